//! The closed loop: the policy enforced, and senders that come back, or do not.
//!
//! A deferral changes what arrives next: ham comes back on the schedule of a real mailer, spam comes back or
//! not by a given share, and a label comes only for what was let in. Every attempt goes through the same
//! door as on a server.
//!
//! Known limit: a message comes back from the address it came from first; a session carries one message.

use super::ranking::Feedback;
use super::trace::Row;
use policy_core::answer::Reply;
use policy_core::engine::{Event, Report};
use policy_core::facts::{Facts, FrontEnd, SessionId, Stage, TransactionId};
use policy_core::identity::Identities;
use policy_core::name::Mailbox;
use policy_core::outcome::Outcome;
use policy_core::policy::{Mode, Policy};
use policy_core::time::Timestamp;
use policy_core::{State, decide, learn, report};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

/// Minutes after the first attempt at which ten mailers come back; after the last one they go on by the
/// hour until they give up. The first is Postfix with its default back-off, the fourth a large webmail that
/// gives up after half an hour.
const SCHEDULES: [&[u64]; 10] = [
    &[5, 10, 20, 40, 80, 146, 213],
    &[6, 13, 24, 41, 76],
    &[2, 6, 14, 30, 62, 110],
    &[3, 9, 17, 31],
    &[5, 15, 30, 60],
    &[6, 12, 23, 44, 80],
    &[1, 6, 11, 21, 41, 81],
    &[7, 27, 60, 107],
    &[15, 30, 45, 60],
    &[10, 20, 30, 40, 50, 60],
];
/// The schedule that ends without going on by the hour.
const GIVES_UP: usize = 3;
/// When any mailer gives up (RFC 5321 section 4.5.4.1: four to five days).
const LAST: Duration = Duration::from_secs(4 * 86_400);
/// How often the state is swept whole, in the recording's time.
const SWEEP: Duration = Duration::from_secs(5 * 86_400);
/// Recipients that a recording's mail is spread over.
const RECIPIENTS: u64 = 8;

/// How a loop went.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct ClosedLoop {
    /// Share of ham that was deferred at its first attempt, of 1.
    pub ham_deferred: f64,
    /// Median delay of the ham that was deferred and came in, in seconds.
    pub ham_delay_p50_s: f64,
    /// Its 95th percentile.
    pub ham_delay_p95_s: f64,
    /// Its 99th percentile.
    pub ham_delay_p99_s: f64,
    /// Ham that never came in.
    pub ham_lost: u64,
    /// Share of spam that was deferred at its first attempt, of 1.
    pub spam_deferred: f64,
    /// Share of spam that never came in, of 1.
    pub spam_never_in: f64,
    /// First deferrals by reason: of ham, of spam.
    pub reasons: BTreeMap<&'static str, [u64; 2]>,
    /// Who was delayed most: the client's address, deferred ham messages, seconds of delay.
    pub delayed_most: Vec<(String, u64, f64)>,
}

/// Something that happens at its time: a label comes, or an attempt (message, number).
enum Happening {
    Label(Arc<Identities>, bool),
    Attempt(usize, usize),
}

/// A loop on its way.
pub struct Loop<'a> {
    rows: &'a [Row],
    policy: Arc<Policy>,
    state: &'a State,
    feedback: Feedback,
    /// Share of spam that comes back.
    spam_retries: f64,
    chance: SmallRng,
    /// What will happen, soonest first; the number keeps equals in order.
    queue: BinaryHeap<Reverse<(Timestamp, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    serial: u64,
    swept: Timestamp,
    /// By message: the reason of its first deferral, and when it came in.
    deferred: Vec<Option<&'static str>>,
    came_in: Vec<Option<Timestamp>>,
}

impl<'a> Loop<'a> {
    /// A loop over messages with a policy; its mode is enforce whatever it says.
    pub fn new(
        rows: &'a [Row],
        policy: &Policy,
        state: &'a State,
        feedback: Feedback,
        spam_retries: f64,
    ) -> Self {
        Self {
            rows,
            policy: Arc::new(Policy { mode: Mode::Enforce, ..policy.clone() }),
            state,
            feedback,
            spam_retries,
            chance: SmallRng::seed_from_u64(feedback.seed),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            serial: 0,
            swept: rows.first().map_or(Timestamp::default(), |row| row.time),
            deferred: vec![None; rows.len()],
            came_in: vec![None; rows.len()],
        }
    }

    /// Plays the recording and what follows from it.
    pub fn run(mut self) -> ClosedLoop {
        for message in 0..self.rows.len() {
            self.play_until(Some(self.rows[message].time));
            self.attempt(message, 0, self.rows[message].time);
        }
        self.play_until(None);
        self.sum_up()
    }

    /// Plays what is due by then, or everything that is left.
    fn play_until(&mut self, until: Option<Timestamp>) {
        while let Some(&Reverse((at, serial))) = self.queue.peek() {
            if until.is_some_and(|until| at > until) {
                return;
            }
            self.queue.pop();
            match self.happenings.remove(&serial) {
                Some(Happening::Label(identities, spam)) => {
                    let outcome = if spam { Outcome::FilteredSpam } else { Outcome::FilteredHam };
                    learn(self.state, &identities, outcome, at);
                }
                Some(Happening::Attempt(message, number)) => self.attempt(message, number, at),
                None => (),
            }
        }
    }

    fn plan(&mut self, at: Timestamp, happening: Happening) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial)));
        self.happenings.insert(self.serial, happening);
    }

    fn attempt(&mut self, message: usize, number: usize, now: Timestamp) {
        if now.since(self.swept) >= SWEEP {
            self.state.sweep(self.state.segments(), now);
            self.swept = now;
        }
        let facts = self.facts(message);
        let decision = decide(&self.policy, self.state, &facts, now);
        let tell = |event| {
            report(self.state, &Report { session: facts.session, front_end: facts.front_end, event }, now);
        };
        if decision.reply == Reply::Accept {
            let transaction = TransactionId(self.serial);
            tell(Event::MessageReceived { transaction, recipients: None, filter: None });
            tell(Event::SessionClosed);
            self.came_in[message] = Some(now);
            self.label(message, decision.verdict.identities.clone(), now);
        } else {
            tell(Event::SessionClosed);
            self.deferred[message].get_or_insert(decision.verdict.reason.code());
            self.come_back(message, number);
        }
    }

    /// The question at the recipient, in a session of its own.
    fn facts(&mut self, message: usize) -> Facts {
        self.serial += 1;
        let row = &self.rows[message];
        let mut facts = row.facts();
        facts.session = SessionId::Connection(FrontEnd::Milter, self.serial);
        facts.transaction = Some(TransactionId(self.serial));
        facts.stage = Stage::Rcpt;
        facts.message.signed = None;
        facts.envelope.recipient = Mailbox::new(&format!("user{}@recipient.invalid", row.seq % RECIPIENTS));
        facts
    }

    fn label(&mut self, message: usize, identities: Option<Arc<Identities>>, now: Timestamp) {
        let labelled = self.chance.random_bool(self.feedback.share);
        let wrong = self.chance.random_bool(self.feedback.noise);
        if let (true, Some(identities)) = (labelled, identities) {
            let label = Happening::Label(identities, self.rows[message].spam != wrong);
            self.plan(now.after(self.feedback.delay), label);
        }
    }

    fn come_back(&mut self, message: usize, number: usize) {
        let row = &self.rows[message];
        if row.spam && number == 0 && !self.chance.random_bool(self.spam_retries) {
            return;
        }
        // Which mailer it is depends on its address, so that a host keeps its schedule.
        let host = policy_core::identity::networks_of(row.client.address)[1].to_string();
        let mailer = host.bytes().fold(0usize, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        if let Some(after) = next_try(mailer % SCHEDULES.len(), number) {
            self.plan(row.time.after(after), Happening::Attempt(message, number + 1));
        }
    }

    fn sum_up(self) -> ClosedLoop {
        let mut reasons: BTreeMap<&'static str, [u64; 2]> = BTreeMap::new();
        let mut who: BTreeMap<String, (u64, f64)> = BTreeMap::new();
        let (mut all, mut never_in, mut delays) = ([0u64; 2], [0u64; 2], Vec::new());
        for ((row, deferred), came_in) in self.rows.iter().zip(&self.deferred).zip(&self.came_in) {
            let side = usize::from(row.spam);
            all[side] += 1;
            never_in[side] += u64::from(came_in.is_none());
            let Some(reason) = deferred else { continue };
            reasons.entry(reason).or_default()[side] += 1;
            if let (false, Some(came_in)) = (row.spam, came_in) {
                let delay = came_in.since(row.time).as_secs_f64();
                delays.push(delay);
                let entry = who.entry(row.client.address.to_string()).or_default();
                *entry = (entry.0 + 1, entry.1 + delay);
            }
        }
        delays.sort_unstable_by(f64::total_cmp);
        let share = |count: u64, side: usize| count as f64 / all[side].max(1) as f64;
        let deferred = |side: usize| reasons.values().map(|sides| sides[side]).sum::<u64>();
        let mut delayed_most: Vec<_> = who.into_iter().map(|(who, (n, delay))| (who, n, delay)).collect();
        delayed_most.sort_by(|a, b| b.2.total_cmp(&a.2));
        delayed_most.truncate(10);
        ClosedLoop {
            ham_deferred: share(deferred(0), 0),
            ham_delay_p50_s: quantile(&delays, 0.5),
            ham_delay_p95_s: quantile(&delays, 0.95),
            ham_delay_p99_s: quantile(&delays, 0.99),
            ham_lost: never_in[0],
            spam_deferred: share(deferred(1), 1),
            spam_never_in: share(never_in[1], 1),
            reasons,
            delayed_most,
        }
    }
}

/// How long after its first attempt a message is tried again for the `number`th time, counted from 0.
fn next_try(mailer: usize, number: usize) -> Option<Duration> {
    let schedule = SCHEDULES[mailer];
    let minutes = match (schedule.get(number), schedule.last()) {
        (Some(&minutes), _) => minutes,
        (None, Some(last)) if mailer != GIVES_UP => last + 60 * (number - schedule.len() + 1) as u64,
        _ => return None,
    };
    Some(Duration::from_secs(60 * minutes)).filter(|after| *after < LAST)
}

/// The smallest of sorted values that a share of them does not exceed; zero of none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailers_come_back_and_give_up() {
        assert_eq!(next_try(0, 0), Some(Duration::from_secs(300)));
        assert_eq!(next_try(0, 7), Some(Duration::from_secs(60 * 273)));
        assert_eq!(next_try(GIVES_UP, 4), None);
        assert_eq!(next_try(8, 200), None);
    }

    #[test]
    fn quantiles_are_of_what_there_is() {
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
    }
}
