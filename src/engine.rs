//! The engine that both front ends ask: the core, a clock, the policy in force, a deadline and a log.
//!
//! What can be looked up is looked up first, for as long as that may take; what is exempt, or not judged yet,
//! waits for nothing.
//!
//! Invariant: every question gets an answer within `answer_within`. When the core takes longer, fails, or
//! cannot be asked at all, the mail is let in with the reason `failsafe`, and an error is logged: mail comes
//! before judgement.
//!
//! A session keeps the policy that it began with; the core sees to that. This engine only hands it the
//! policy that is in force now.

use crate::clock::Clock;
use crate::deadline::{Deadline, Failure};
use crate::in_force::{InForce, NotReloaded};
use crate::log::{self, Log};
use crate::lookups::Lookups;
use crate::mark::Marker;
use crate::recent::{Numbered, Recent, Record};
use crate::stats::{Counters, Stats};
use arc_swap::{ArcSwap, ArcSwapOption};
use policy_core::answer::{Answer, DecisionId, Reply};
use policy_core::connections::Connections;
use policy_core::engine::Report;
use policy_core::facts::{Facts, FrontEnd, Stage};
use policy_core::policy::{Mode, Policy};
use policy_core::time::Timestamp;
use policy_core::verdict::{Reason, Verdict};
use policy_core::{Decision, State};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tracing::{Level, error, warn};

/// The call that decides. Tests put another in its place.
type Core = dyn Fn(&Arc<Policy>, &State, &Facts, Timestamp) -> Decision + Send + Sync;

struct Inner {
    state: Arc<State>,
    policy: ArcSwap<Policy>,
    /// Held to read or write some words, and while a policy takes the place of another.
    in_force: Mutex<InForce>,
    answer_within: Duration,
    clock: Clock,
    log: Log,
    deadline: Deadline,
    lookups: ArcSwapOption<Lookups>,
    recent: Recent,
    marker: Marker,
    counters: Counters,
    core: Box<Core>,
}

/// The engine. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over `state`. To be called on the runtime that it will answer on.
    pub fn new(
        state: Arc<State>,
        policy: Arc<Policy>,
        answer_within: Duration,
        clock: Clock,
        log: Log,
    ) -> Self {
        Self::with_core(state, policy, answer_within, clock, log, Box::new(policy_core::decide))
    }

    fn with_core(
        state: Arc<State>,
        policy: Arc<Policy>,
        answer_within: Duration,
        clock: Clock,
        log: Log,
        core: Box<Core>,
    ) -> Self {
        let marker = Marker::new(&state);
        let in_force = Mutex::new(InForce::at_start(policy.mode, clock.now()));
        Self(Arc::new(Inner {
            state,
            policy: ArcSwap::new(policy),
            in_force,
            answer_within,
            clock,
            log,
            deadline: Deadline::new(),
            lookups: ArcSwapOption::empty(),
            recent: Recent::default(),
            marker,
            counters: Counters::default(),
            core,
        }))
    }

    /// What is remembered.
    pub fn state(&self) -> &Arc<State> {
        &self.0.state
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The policy that new sessions begin with.
    pub fn policy(&self) -> Arc<Policy> {
        self.0.policy.load_full()
    }

    /// The mode in force, and what else is known of the configuration in force.
    pub fn in_force(&self) -> (Mode, InForce) {
        let in_force = self.lock_in_force();
        (self.policy().mode, in_force.clone())
    }

    fn lock_in_force(&self) -> MutexGuard<'_, InForce> {
        self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another policy in force, for sessions that begin from now on.
    pub fn replace(&self, policy: Arc<Policy>) {
        let mut in_force = self.lock_in_force();
        if let Some(by) = &in_force.mode_set_by {
            warn!(
                by,
                mode = log::mode(policy.mode),
                "the mode that was set is over, the configuration's is in force"
            );
        }
        in_force.reloaded(self.policy().mode, policy.mode, self.0.clock.now());
        self.0.policy.store(policy);
        self.0.counters.reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts another mode in force until a policy is replaced, for sessions that begin from now on.
    pub fn set_mode(&self, mode: Mode, by: &str) {
        let mut in_force = self.lock_in_force();
        let policy = self.policy();
        in_force.mode_set(policy.mode, mode, by, self.0.clock.now());
        self.0.policy.store(Arc::new(Policy { mode, ..Policy::clone(&policy) }));
    }

    /// Notes that a configuration was not taken over. Everybody may read `why`, so it is to hold nothing of the file.
    pub fn not_reloaded(&self, why: String) {
        self.lock_in_force().failed = Some(NotReloaded { at: self.0.clock.now(), why });
    }

    /// From now on these look up what they can; without any, nothing is.
    pub fn look_up_with(&self, lookups: Option<Lookups>) {
        if let Some(lookups) = &lookups {
            let (state, clock) = (Arc::clone(&self.0.state), self.0.clock.clone());
            lookups.trust(move |address| state.trusts(address, clock.now()));
        }
        self.0.lookups.store(lookups.map(Arc::new));
    }

    /// What looks up.
    pub fn lookups(&self) -> Option<Arc<Lookups>> {
        self.0.lookups.load_full()
    }

    /// The decision of this id, if it is one of the latest ten thousand.
    pub fn recent(&self, id: DecisionId) -> Option<Arc<Record>> {
        self.0.recent.find(id)
    }

    /// The latest decision on the message of this queue id, from this client if one is named.
    pub fn recent_queue_id(&self, queue_id: &str, client: Option<IpAddr>) -> Option<Arc<Record>> {
        self.0.recent.of_queue_id(queue_id, client)
    }

    /// What makes marks and knows its own.
    pub(crate) fn marker(&self) -> &Marker {
        &self.0.marker
    }

    /// The latest ten thousand decisions, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = Arc<Record>> {
        self.0.recent.newest_first().map(|(_, record)| record)
    }

    /// The latest decisions with their numbers, and those that are made from now on.
    pub(crate) fn decisions(&self) -> (&Recent, broadcast::Receiver<Numbered>) {
        (&self.0.recent, self.0.recent.follow())
    }

    /// Drops the latest decisions that `gone` names, and returns how many.
    pub(crate) fn forget_recent(&self, gone: impl FnMut(&Facts) -> bool) -> usize {
        self.0.recent.forget(gone)
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        self.0.counters.snapshot()
    }

    /// Whether so many decisions are stuck that none is begun any more.
    pub fn is_stuck(&self) -> bool {
        self.0.deadline.is_stuck()
    }

    /// Writes into the facts what can be looked up about them. Afterwards the message's octets are let go.
    async fn look_up(&self, policy: &Policy, facts: &mut Facts) {
        if let Some(lookups) = self.0.lookups.load_full()
            && policy.mode != Mode::Off
            && policy.exempt.exempt(facts).is_none()
        {
            if facts.stage >= policy.reply_from {
                lookups.gather(facts).await;
            } else if facts.stage >= Stage::Helo {
                lookups.begin(facts);
            }
        }
        facts.message.raw = None;
    }

    async fn judge(
        &self,
        policy: Arc<Policy>,
        facts: &Arc<Facts>,
        now: Timestamp,
        within: Duration,
    ) -> Decision {
        let (inner, asked) = (Arc::clone(&self.0), Arc::clone(facts));
        let compute = move || (inner.core)(&policy, &inner.state, &asked, now);
        match self.0.deadline.run(within, compute).await {
            Ok(decision) => decision,
            Err(failure) => self.failsafe(facts, failure),
        }
    }

    fn failsafe(&self, facts: &Facts, failure: Failure) -> Decision {
        let verdict = Arc::new(Verdict::accept(self.0.state.next_id(), Reason::Failsafe));
        let (id, client_address) = (verdict.id, facts.client.address);
        error!(%id, %client_address, why = %failure, "no decision, mail let in");
        Decision { verdict, reply: Reply::Accept, first: true, subject: None }
    }

    /// Counts, logs and remembers a decision. One that says nothing new is for debugging only, but for the first one
    /// about a whole message: it has the queue id, by which the mail server's log is joined.
    fn book(&self, decision: Decision, facts: Arc<Facts>, mode: Mode, now: Timestamp) {
        let Decision { verdict, reply, first, subject } = decision;
        let record = Record { at: now, facts, verdict, reply, mode, subject, recipient: None };
        let level = if first || self.0.recent.know_more(&record) { Level::INFO } else { Level::DEBUG };
        if self.0.log.enabled(level) {
            self.0.log.write(&log::decision(&record, level));
        }
        if first {
            self.0.counters.count(&record);
            self.0.recent.push(record, &self.0.state);
        } else {
            self.0.counters.quiet.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl policy_core::engine::Engine for Engine {
    async fn decide(&self, mut facts: Facts) -> Answer {
        let (policy, begun) = (self.policy(), Instant::now());
        self.0.counters.asked(&facts, self.0.clock.now());
        let anchor = facts.message.anchor.take();
        self.look_up(&policy, &mut facts).await;
        let within = self.0.answer_within.saturating_sub(begun.elapsed());
        let (facts, now) = (Arc::new(facts), self.0.clock.now());
        let (mode, marks) = (policy.mode, policy.mark);
        let decision = self.judge(policy, &facts, now, within).await;
        let id = decision.verdict.id;
        let marked = decision.subject.as_ref().zip(anchor).filter(|_| marks);
        let mark = marked.and_then(|(subject, anchor)| self.0.marker.write(id, subject, &anchor));
        self.0.counters.answered(facts.front_end, begun.elapsed());
        let answer = Answer { id, reply: decision.reply.clone(), mark };
        self.book(decision, facts, mode, now);
        answer
    }

    fn report(&self, report: Report) {
        let (inner, now) = (Arc::clone(&self.0), self.0.clock.now());
        self.0.counters.reports.fetch_add(1, Ordering::Relaxed);
        let compute = move || policy_core::report(&inner.state, &report, now);
        if let Err(failure) = self.0.deadline.run_at_once(compute) {
            error!(why = %failure, "a report was lost");
        }
    }

    fn connections(&self, front_end: FrontEnd) -> Arc<Connections> {
        Arc::clone(self.0.counters.connections(front_end))
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
