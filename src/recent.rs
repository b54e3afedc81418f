//! The latest decisions, by id: what `explain` looks up when a postmaster quotes the id of a reply.
//!
//! Bounded: the newest ten thousand decisions are held; the oldest goes out first. One lock for some tens of
//! nanoseconds a decision; what goes out is dropped behind it.

use policy_core::answer::{DecisionId, Reply};
use policy_core::facts::Facts;
use policy_core::feedback::Subject;
use policy_core::policy::Mode;
use policy_core::time::Timestamp;
use policy_core::verdict::{Action, Verdict};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Decisions held. With facts and contributions some 20 MB at the worst.
const CAPACITY: usize = 10_000;

/// One decision: what was asked, found and answered.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What was asked.
    pub facts: Arc<Facts>,
    /// What was found.
    pub verdict: Arc<Verdict>,
    /// What was answered.
    pub reply: Reply,
    /// The mode in force.
    pub mode: Mode,
    /// The message that was let in, once its end was seen.
    pub subject: Option<Subject>,
}

impl Record {
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

/// The latest decisions.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<Record>>);

impl Recent {
    pub(crate) fn push(&self, record: Record) {
        // Nothing that can panic happens under the lock.
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if records.len() >= CAPACITY { records.pop_front() } else { None };
        records.push_back(record);
        drop(records);
        drop(oldest);
    }

    /// What a later question of the same mail has shown: the end of a message knows more than its recipient.
    pub(crate) fn know_more(&self, later: Record) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = records.iter_mut().rev().find(|record| record.verdict.id == later.verdict.id) {
            record.facts = later.facts;
            record.subject = later.subject.or(record.subject.take());
        }
    }

    /// The newest decision on the message of this queue id from this client. A mail server uses an id again, but
    /// hardly for the same client.
    pub(crate) fn of_queue_id(&self, queue_id: &str, client: Option<IpAddr>) -> Option<Record> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is = |record: &&Record| {
            let facts = &record.facts;
            facts.message.queue_id.as_deref() == Some(queue_id)
                && client.is_none_or(|client| facts.client.address == client)
        };
        records.iter().rev().find(is).cloned()
    }

    /// The decision of this id. Of two, as front ends that ask the same may hear, the first.
    pub(crate) fn find(&self, id: DecisionId) -> Option<Record> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().find(|record| record.verdict.id == id).cloned()
    }

    /// Drops the decisions that `gone` names, and returns how many.
    pub(crate) fn forget(&self, mut gone: impl FnMut(&Facts) -> bool) -> usize {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = records.len();
        records.retain(|record| !gone(&record.facts));
        before - records.len()
    }

    /// At most `most` decisions, the newest first.
    pub(crate) fn newest(&self, most: usize) -> Vec<Record> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().rev().take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::facts::{Client, Envelope, FrontEnd, Message, SessionId, Stage};
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
        let (reply, mode) = (Reply::Accept, Mode::Observe);
        Record { at, facts: Arc::new(facts), verdict, reply, mode, subject: None }
    }

    #[test]
    fn the_newest_ten_thousand_are_held() {
        let recent = Recent::default();
        (0..CAPACITY as u64 + 5).for_each(|id| recent.push(record(id)));
        assert!(recent.find(DecisionId::new(4)).is_none());
        assert_eq!(recent.find(DecisionId::new(5)).unwrap().at, Timestamp::from_secs(5));
        let newest: Vec<u64> = recent.newest(2).iter().map(|r| r.at.as_millis() / 1000).collect();
        assert_eq!(newest, [CAPACITY as u64 + 4, CAPACITY as u64 + 3]);
    }
}
