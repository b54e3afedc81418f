//! The latest decisions: what `explain` looks up when a postmaster quotes the id of a reply, and what `log` shows.
//!
//! Bounded: the newest ten thousand decisions are held; the oldest goes out first. One lock for some tens of
//! nanoseconds a decision; what goes out is dropped behind it. Who looks through them takes the lock again and again
//! for a few microseconds. Who follows them has a bounded queue, and loses what does not fit: nobody waits.
//!
//! Recipients are held as keyed hashes alone: who wrote to whom is the log's business, which the operator keeps.

use policy_core::answer::{DecisionId, Reply};
use policy_core::facts::{Facts, Stage};
use policy_core::feedback::Subject;
use policy_core::policy::Mode;
use policy_core::time::Timestamp;
use policy_core::verdict::{Action, Verdict};
use policy_core::{RecipientHash, State};
use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Decisions held. With facts and contributions some 20 MB at the worst.
const CAPACITY: usize = 10_000;
/// Decisions that a follower may be behind.
const BEHIND: usize = 1024;
/// Decisions that are taken out under one lock.
const AT_ONCE: usize = 256;

/// One decision: what was asked, found and answered.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What was asked. In a decision that is held, without the recipient.
    pub facts: Arc<Facts>,
    /// What was found.
    pub verdict: Arc<Verdict>,
    /// What was answered.
    pub reply: Reply,
    /// The mode in force.
    pub mode: Mode,
    /// The message that was let in, once its end was seen.
    pub subject: Option<Subject>,
    /// The recipient, in a decision that is held.
    pub recipient: Option<RecipientHash>,
}

impl Record {
    /// The decision as it is held: its recipient is told from others, and not known.
    fn into_held(self, state: &State) -> Self {
        let recipient =
            self.facts.envelope.recipient.as_ref().map(|recipient| state.recipient_hash(recipient));
        Self { facts: without_recipient(self.facts), recipient, ..self }
    }

    /// The answer in one word: `pass`, `defer` or `reject`.
    pub const fn action(&self) -> &'static str {
        match self.reply {
            Reply::Accept => Action::Accept.word(),
            Reply::Defer(..) => Action::Defer.word(),
            Reply::Reject(_) => "reject",
        }
    }

    /// The verdict in one word, when the answer was another.
    pub fn would(&self) -> Option<&'static str> {
        let word = self.verdict.action.word();
        (self.reply == Reply::Accept && self.verdict.action != Action::Accept).then_some(word)
    }
}

fn without_recipient(facts: Arc<Facts>) -> Arc<Facts> {
    if facts.envelope.recipient.is_none() {
        return facts;
    }
    let mut facts = Arc::unwrap_or_clone(facts);
    facts.envelope.recipient = None;
    Arc::new(facts)
}

/// A decision and its number; the numbers ascend.
pub(crate) type Numbered = (u64, Arc<Record>);

/// The latest decisions.
#[derive(Debug)]
pub(crate) struct Recent {
    held: Mutex<Held>,
    live: broadcast::Sender<Numbered>,
}

#[derive(Debug, Default)]
struct Held {
    /// The number of the next one.
    next: u64,
    records: VecDeque<Numbered>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { held: Mutex::default(), live: broadcast::Sender::new(BEHIND) }
    }
}

impl Recent {
    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing that can panic happens under the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, record: Record, state: &State) {
        let record = Arc::new(record.into_held(state));
        let mut held = self.lock();
        let oldest = if held.records.len() >= CAPACITY { held.records.pop_front() } else { None };
        let number = held.next;
        held.next += 1;
        held.records.push_back((number, Arc::clone(&record)));
        drop(held);
        drop(oldest);
        // An error says that nobody follows.
        let _ = self.live.send((number, record));
    }

    /// What a later question of the same mail has shown: the end of a message knows more than its recipient. Returns
    /// whether it is the first about the message, and names its queue id.
    pub(crate) fn know_more(&self, later: &Record) -> bool {
        let (is_whole, queue_id) = (later.facts.stage >= Stage::Data, &later.facts.message.queue_id);
        if !is_whole && queue_id.is_none() {
            return false;
        }
        let facts = without_recipient(Arc::clone(&later.facts));
        let mut held = self.lock();
        let found = held.records.iter_mut().rev().find(|(_, record)| record.verdict.id == later.verdict.id);
        let Some((_, record)) = found else { return false };
        let record = Arc::make_mut(record);
        record.subject = later.subject.clone().or(record.subject.take());
        let is_told = record.facts.stage >= Stage::Data && record.facts.message.queue_id.is_some();
        if is_whole {
            record.facts = facts;
        } else if record.facts.message.queue_id.is_none() {
            // Postfix has none before the first recipient is in.
            Arc::make_mut(&mut record.facts).message.queue_id = queue_id.clone();
        }
        is_whole && !is_told && queue_id.is_some()
    }

    /// The newest decision on the message of this queue id from this client. A mail server uses an id again, but
    /// hardly for the same client.
    pub(crate) fn of_queue_id(&self, queue_id: &str, client: Option<IpAddr>) -> Option<Arc<Record>> {
        let is = |record: &Record| {
            let facts = &record.facts;
            facts.message.queue_id.as_deref() == Some(queue_id)
                && client.is_none_or(|client| facts.client.address == client)
        };
        self.newest_first().map(|(_, record)| record).find(|record| is(record))
    }

    /// The decisions held, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = Numbered> {
        let mut some = Vec::new().into_iter();
        let mut before = u64::MAX;
        std::iter::from_fn(move || {
            if some.len() == 0 {
                some = self.before(before).into_iter();
            }
            some.next().inspect(|(number, _)| before = *number)
        })
    }

    /// Drops the decisions that `gone` names, and returns how many. Whatever it takes to name them, nobody waits.
    pub(crate) fn forget(&self, mut gone: impl FnMut(&Facts) -> bool) -> usize {
        let named = self.newest_first().filter(|(_, record)| gone(&record.facts)).map(|(number, _)| number);
        let named: HashSet<u64> = named.collect();
        let mut held = self.lock();
        let before = held.records.len();
        held.records.retain(|(number, _)| !named.contains(number));
        before - held.records.len()
    }

    /// Some decisions with numbers below this, the newest first.
    fn before(&self, number: u64) -> Vec<Numbered> {
        let held = self.lock();
        let end = held.records.partition_point(|(held, _)| *held < number);
        held.records.range(..end).rev().take(AT_ONCE).cloned().collect()
    }

    /// Decisions as they are made, from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Numbered> {
        self.live.subscribe()
    }

    /// The decision of this id. Of two, as front ends that ask the same may hear, the first.
    pub(crate) fn find(&self, id: DecisionId) -> Option<Arc<Record>> {
        let found = self.newest_first().filter(|(_, record)| record.verdict.id == id).last();
        found.map(|(_, record)| record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::facts::{Client, Envelope, FrontEnd, Message, SessionId};
    use policy_core::findings::Findings;
    use policy_core::verdict::Reason;

    fn record(id: u64) -> Record {
        let facts = Facts {
            session: SessionId::Connection(FrontEnd::Policy, id),
            front_end: FrontEnd::Policy,
            stage: Stage::Rcpt,
            transaction: None,
            client: Client::new("192.0.2.1".parse().unwrap()),
            envelope: Envelope::default(),
            message: Message::default(),
            findings: Findings::default(),
        };
        let verdict = Arc::new(Verdict::accept(DecisionId::new(id), Reason::Allowed));
        let at = Timestamp::from_secs(id);
        Record {
            at,
            facts: Arc::new(facts),
            verdict,
            reply: Reply::Accept,
            mode: Mode::Observe,
            subject: None,
            recipient: None,
        }
    }

    fn state() -> State {
        State::new(16 << 20, [7; 16], Timestamp::from_secs(0))
    }

    #[test]
    fn the_newest_ten_thousand_are_held() {
        let (recent, state) = (Recent::default(), state());
        (0..CAPACITY as u64 + 5).for_each(|id| recent.push(record(id), &state));
        assert!(recent.find(DecisionId::new(4)).is_none());
        assert_eq!(recent.find(DecisionId::new(5)).unwrap().at, Timestamp::from_secs(5));
        let newest: Vec<u64> =
            recent.newest_first().map(|(_, record)| record.at.as_millis() / 1000).collect();
        assert_eq!(newest.len(), CAPACITY);
        assert!(newest.iter().copied().eq((5..CAPACITY as u64 + 5).rev()));
    }

    #[test]
    fn a_recipient_is_told_from_others_and_not_known() {
        let (recent, state) = (Recent::default(), state());
        let to = |address: &str| {
            let mut record = record(1);
            let recipient = policy_core::name::Mailbox::new(address);
            Arc::make_mut(&mut record.facts).envelope.recipient = recipient;
            record
        };
        recent.push(to("Someone@Dest.example"), &state);
        let (_, held) = recent.newest_first().next().unwrap();
        assert_eq!(held.recipient, to("someone@dest.example").into_held(&state).recipient);
        assert_ne!(held.recipient, to("other@dest.example").into_held(&state).recipient);
        assert!(!format!("{held:?}").to_lowercase().contains("someone"), "{held:?}");
        let mut later = to("someone@dest.example");
        Arc::make_mut(&mut later.facts).stage = Stage::EndOfMessage;
        Arc::make_mut(&mut later.facts).message.queue_id = Some("4ABC".into());
        assert!(recent.know_more(&later), "the first that names the message is told");
        assert!(!recent.know_more(&later), "and no other");
        let (_, held) = recent.newest_first().next().unwrap();
        assert!(held.recipient.is_some() && !format!("{held:?}").contains("someone"), "{held:?}");
    }

    #[tokio::test]
    async fn a_follower_that_is_slow_is_told_what_it_lost() {
        let (recent, state) = (Recent::default(), state());
        let mut live = recent.follow();
        (0..BEHIND as u64 + 7).for_each(|id| recent.push(record(id), &state));
        assert_eq!(live.recv().await.unwrap_err(), broadcast::error::RecvError::Lagged(7));
        assert_eq!(live.recv().await.unwrap().0, 7);
    }
}
