//! A server's memory, full of known senders.

use super::senders;
use super::traffic::Random;
use policy_core::allowance::PerHour;
use policy_core::engine::{Event, Report};
use policy_core::facts::{Facts, FrontEnd, SessionId};
use policy_core::outcome::Outcome;
use policy_core::policy::{Mode, Policy};
use policy_core::quota::Limits;
use policy_core::time::Timestamp;
use policy_core::{Decision, State, decide, learn, report};
use std::sync::Arc;

/// When a server begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_secs(1_700_000_000);
/// What its state may take.
pub(crate) const MEMORY: usize = 1 << 30;
/// Messages of each sender that somebody has vouched for: enough to be well known.
const VOUCHED: usize = 8;

/// What a decision rests on.
pub(crate) struct Server {
    pub(crate) policy: Arc<Policy>,
    pub(crate) state: Arc<State>,
}

impl Server {
    /// A server that knows nobody.
    pub(crate) fn new(policy: Policy) -> Self {
        Self::over(Arc::new(State::new(MEMORY, *b"benchmark secret", BEGIN)), policy)
    }

    /// A server with this memory.
    pub(crate) fn over(state: Arc<State>, policy: Policy) -> Self {
        Self { policy: Arc::new(policy), state }
    }

    /// A server that has had mail of `count` senders, each vouched for.
    pub(crate) fn knowing(count: u64, policy: Policy) -> Self {
        let server = Self::new(policy);
        in_no_order(count).into_iter().for_each(|n| server.meet(n));
        server
    }

    /// Has mail of sender `n`, and hears good of it.
    pub(crate) fn meet(&self, n: u64) {
        let facts = senders::question(n, 25, n);
        let decision = self.decide(&facts, BEGIN);
        if let Some(appraisal) = decision.verdict.appraisal() {
            (0..VOUCHED).for_each(|_| learn(&self.state, &appraisal, Outcome::ReportedHam, BEGIN));
        }
        self.close(facts.session, BEGIN);
        // As a stranger it may have had to wait; now that it is known its message is debited.
        self.decide(&facts, BEGIN);
        self.close(facts.session, BEGIN);
    }

    /// One question.
    pub(crate) fn decide(&self, facts: &Facts, now: Timestamp) -> Decision {
        decide(&self.policy, &self.state, facts, now)
    }

    /// The message of a question has arrived.
    pub(crate) fn received(&self, facts: &Facts, now: Timestamp) {
        let Some(transaction) = facts.transaction else { return };
        let event = Event::MessageReceived { transaction, recipients: Some(1), filter: None };
        report(&self.state, &Report { session: facts.session, front_end: FrontEnd::Policy, event }, now);
    }

    /// The client of a session has left.
    pub(crate) fn close(&self, session: SessionId, now: Timestamp) {
        let event = Event::SessionClosed;
        report(&self.state, &Report { session, front_end: FrontEnd::Policy, event }, now);
    }
}

/// The numbers below `count`, in an order unlike their own: so mail comes, and so memory is laid out.
pub(crate) fn in_no_order(count: u64) -> Vec<u64> {
    let mut random = Random(1);
    let mut order: Vec<u64> = (0..count).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, (random.next() % (i as u64 + 1)) as usize);
    }
    order
}

/// Enforces, with limits so wide that no sender of a benchmark runs into one.
///
/// A benchmark asks in a second what a server is asked in hours, so with the shipped limits its largest
/// senders would be deferred, and that is another path. The numbers change nothing about this path's work.
pub(crate) fn wide() -> Policy {
    let cold = PerHour([1e12; 4]);
    let sessions = u32::MAX;
    let limits =
        Limits { cold, sessions_high: sessions, sessions, sessions_low: sessions, ..Limits::default() };
    enforcing(limits)
}

/// Enforces, with limits that one message an hour uses up, whatever history a sender has.
pub(crate) fn narrow() -> Policy {
    let cold = PerHour([1e12, 1.0, 1e12, 1e12]);
    enforcing(Limits { cold, growth: 0.0, growth_high: 0.0, ..Limits::default() })
}

/// Enforces the shipped limits.
pub(crate) fn shipped() -> Policy {
    enforcing(Limits::default())
}

/// The same, and any stranger has to wait, whatever it looks like.
pub(crate) fn wary() -> Policy {
    let mut policy = shipped();
    policy.waits.suspicious = 0.0;
    policy
}

fn enforcing(limits: Limits) -> Policy {
    Policy { mode: Mode::Enforce, limits, ..Policy::default() }
}
