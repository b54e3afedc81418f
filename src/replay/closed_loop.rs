//! The closed loop: the policy enforced, and senders that come back, or do not.
//!
//! A deferral changes what arrives next: ham comes back on the schedule of a real mailer, spam comes back or
//! not by a given share, and a label comes only for what was let in. Every attempt goes through the same
//! door as on a server, with the question at the recipient.
//!
//! Known limit: a message comes back from the address it came from first; a session carries one message.

use super::delays::{ClosedLoop, Fate};
use super::engine::{Engine, outcome};
use super::feedback::{Feedback, Labels, luck};
use super::retries::Mailer;
use super::trace::Row;
use policy_core::answer::Reply;
use policy_core::engine::{Event, Report};
use policy_core::facts::{Facts, FrontEnd, SessionId, TransactionId};
use policy_core::policy::{Mode, Policy};
use policy_core::time::Timestamp;
use policy_core::{Appraisal, decide, learn, report};
use rand::Rng;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

/// The matter of luck that decides whether spam comes back.
const RETURNS: u64 = 1;

/// Something that will happen: a label comes, or a message is tried again.
enum Happening {
    Label(Box<Appraisal>, bool),
    Attempt { message: usize, number: usize },
}

/// What will happen, ordered by time and then by the order in which it was planned.
struct Planned {
    at: Timestamp,
    serial: u64,
    what: Happening,
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

/// A loop on its way.
pub struct Loop<'a> {
    rows: &'a [Row],
    policy: Arc<Policy>,
    engine: Engine,
    labels: Labels,
    seed: u64,
    /// Share of spam that comes back.
    spam_retries: f64,
    /// What will happen, soonest first.
    plan: BinaryHeap<Reverse<Planned>>,
    serial: u64,
    fates: Vec<Fate>,
}

impl<'a> Loop<'a> {
    /// A loop over messages with a policy and a fresh engine; the mode is enforce whatever the policy says.
    pub fn new(
        rows: &'a [Row],
        policy: &Policy,
        engine: Engine,
        feedback: Feedback,
        spam_retries: f64,
    ) -> Self {
        Self {
            rows,
            policy: Arc::new(Policy { mode: Mode::Enforce, ..policy.clone() }),
            engine,
            labels: Labels::new(feedback),
            seed: feedback.seed,
            spam_retries,
            plan: BinaryHeap::new(),
            serial: 0,
            fates: vec![Fate::default(); rows.len()],
        }
    }

    /// Plays the recording and what follows from it; `each` is called after every message.
    pub fn run(mut self, mut each: impl FnMut()) -> ClosedLoop {
        for (message, row) in self.rows.iter().enumerate() {
            self.play_until(Some(row.time));
            self.attempt(message, 0, row.time);
            each();
        }
        self.play_until(None);
        ClosedLoop::of(self.rows, &self.fates)
    }

    /// Plays what is due by then, or everything that is left.
    fn play_until(&mut self, until: Option<Timestamp>) {
        let due = |planned: &Reverse<Planned>| until.is_none_or(|until| planned.0.at <= until);
        while self.plan.peek().is_some_and(due) {
            let Some(Reverse(Planned { at, what, .. })) = self.plan.pop() else { return };
            match what {
                Happening::Label(appraisal, spam) => learn(&self.engine.state, &appraisal, outcome(spam), at),
                Happening::Attempt { message, number } => self.attempt(message, number, at),
            }
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn plan(&mut self, at: Timestamp, what: Happening) {
        let serial = self.next_serial();
        self.plan.push(Reverse(Planned { at, serial, what }));
    }

    fn attempt(&mut self, message: usize, number: usize, now: Timestamp) {
        self.engine.sweep(now);
        let facts = self.facts(message);
        let decision = decide(&self.policy, &self.engine.state, &facts, now);
        if decision.reply == Reply::Accept {
            self.receive(&facts, now);
            self.fates[message].came_in = Some(now);
            self.label(message, decision.verdict.appraisal(), now);
        } else {
            self.fates[message].deferred.get_or_insert(decision.verdict.reason.code());
            self.come_back(message, number);
        }
        self.tell(&facts, Event::SessionClosed, now);
    }

    fn receive(&self, facts: &Facts, now: Timestamp) {
        let recipients = facts.envelope.accepted_recipients.map(|accepted| accepted + 1);
        if let Some(transaction) = facts.transaction {
            self.tell(facts, Event::MessageReceived { transaction, recipients, filter: None }, now);
        }
    }

    fn tell(&self, facts: &Facts, event: Event, now: Timestamp) {
        let news = Report { session: facts.session, front_end: facts.front_end, event };
        report(&self.engine.state, &news, now);
    }

    /// The question at the recipient, in a session of its own.
    fn facts(&mut self, message: usize) -> Facts {
        let serial = self.next_serial();
        Facts {
            session: SessionId::Connection(FrontEnd::Milter, serial),
            transaction: Some(TransactionId(serial)),
            ..self.rows[message].facts_at_recipient()
        }
    }

    fn label(&mut self, message: usize, appraisal: Option<Appraisal>, now: Timestamp) {
        let label = self.labels.of(message, self.rows[message].spam);
        if let (Some(spam), Some(appraisal)) = (label, appraisal) {
            self.plan(now.after(self.labels.delay()), Happening::Label(Box::new(appraisal), spam));
        }
    }

    fn come_back(&mut self, message: usize, number: usize) {
        let row = &self.rows[message];
        if row.spam && !luck(self.seed, message, RETURNS).random_bool(self.spam_retries) {
            return;
        }
        if let Some(after) = Mailer::at(row.client.address).again(number) {
            self.plan(row.time.after(after), Happening::Attempt { message, number: number + 1 });
        }
    }
}
