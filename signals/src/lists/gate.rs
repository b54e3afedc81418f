//! Whether a list is asked at all: not before its test points are in order, not while it answers everything,
//! nothing or nonsense, and not while it does not answer.
//!
//! Two things are watched apart. What a list answers is tested by its test points (RFC 5782 section 5), now and
//! then. Whether it answers is seen from the questions themselves: test points may be answered from a cache
//! long after a list is dead. One that is silent is tried now and then by a question that nobody waits for.
//!
//! Known limit: a list that goes bad between two tests is believed until the next one, unless its answers are
//! such as no list gives.

use super::codes::{Nothing, objection};
use super::options::WatchOptions;
use crate::breaker::Breaker;
use crate::dns::{Answer, Dns, Failure, Name};
use compact_str::CompactString;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::select;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// It lists what no list may list.
    #[error("it lists everything")]
    ListsEverything,
    /// It does not list what every list must.
    #[error("it lists nothing")]
    ListsNothing,
    /// It does not serve this resolver, and says so with this address.
    #[error("it refuses to serve this resolver, with {0}")]
    Refuses(Ipv4Addr),
    /// It answers with this address, which is none of a list.
    #[error("it answers {0}, which no list does")]
    Nonsense(Ipv4Addr),
}

/// Whether a list is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not yet: its test points have not been answered.
    Untested,
    /// It is.
    InOrder,
    /// Not until its test points are in order again.
    Faulty(Fault),
    /// It does not answer. It is tried now and then.
    Silent,
}

/// What to do with a question.
pub(super) enum Admission {
    Ask,
    /// Ask, but let nobody wait for it.
    Try,
    Refuse(Standing),
}

#[derive(Debug)]
struct State {
    standing: Standing,
    /// When a silent list may be tried again.
    next_try: Instant,
    /// Until its test points are asked again.
    wait: Duration,
}

impl State {
    /// How long to wait now; the next time it is twice as long.
    fn longer(&mut self, longest: Duration) -> Duration {
        let longer = self.wait.saturating_mul(2).min(longest);
        std::mem::replace(&mut self.wait, longer)
    }
}

/// The gate before a list.
#[derive(Debug)]
pub(super) struct Gate {
    /// For the log.
    label: CompactString,
    listed: Name,
    unlisted: Name,
    options: WatchOptions,
    state: Mutex<State>,
    breaker: Breaker,
    wake: Notify,
    tested: watch::Sender<bool>,
    asked: AtomicU64,
    failed: AtomicU64,
}

/// What a test of the test points came to.
enum Test {
    InOrder,
    Faulty(Fault),
    Unanswered(Failure),
}

impl Gate {
    pub(super) fn new(label: CompactString, listed: Name, unlisted: Name, options: WatchOptions) -> Self {
        let state =
            State { standing: Standing::Untested, next_try: Instant::now(), wait: options.first_wait };
        Self {
            label,
            listed,
            unlisted,
            options,
            state: Mutex::new(state),
            breaker: Breaker::new(options.breaker),
            wake: Notify::new(),
            tested: watch::Sender::new(false),
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each field is good by itself; a state left behind by a panic is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn label(&self) -> &CompactString {
        &self.label
    }

    pub(super) fn standing(&self) -> Standing {
        self.state().standing
    }

    /// Questions asked, and those of them that were not answered.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.asked.load(Relaxed), self.failed.load(Relaxed))
    }

    /// Waits until the test points have been asked for once.
    pub(super) async fn tested(&self) {
        // Fails only when the sender is gone, which is part of this value.
        drop(self.tested.subscribe().wait_for(|tested| *tested).await);
    }

    /// Whether to ask. A list that is silent is tried with what is `news`: an answer that is kept says nothing of it.
    pub(super) fn admit(&self, news: bool, now: Instant) -> Admission {
        let mut state = self.state();
        match state.standing {
            Standing::InOrder => Admission::Ask,
            Standing::Silent if news && now >= state.next_try => {
                // Nobody else tries until this has come to something, or is forgotten.
                state.next_try = now + self.options.breaker.longest_wait;
                Admission::Try
            }
            other => Admission::Refuse(other),
        }
    }

    /// Takes note of what a question came to.
    pub(super) fn note(&self, answer: &Answer<Ipv4Addr>, is_try: bool, now: Instant) {
        self.asked.fetch_add(1, Relaxed);
        match answer {
            Ok(found) => {
                self.answered(now);
                match objection(&found.records) {
                    Some(Nothing::Refused(address)) => self.fault(Fault::Refuses(address)),
                    Some(Nothing::Foreign(address)) => self.fault(Fault::Nonsense(address)),
                    _ => {}
                }
            }
            Err(Failure::NoName | Failure::NoData) => self.answered(now),
            Err(Failure::ServerFailed | Failure::TimedOut) => self.unanswered(is_try, now),
            // The resolver asked nobody, which says nothing of the list.
            Err(Failure::Suspended) => {}
        }
    }

    fn answered(&self, now: Instant) {
        let silent_for = self.breaker.succeeded(now);
        let mut state = self.state();
        if state.standing != Standing::Silent {
            return;
        }
        state.standing = Standing::InOrder;
        drop(state);
        let seconds = silent_for.map_or(0, |time| time.as_secs());
        tracing::info!(list = %self.label, seconds, "the list answers again");
    }

    fn unanswered(&self, is_try: bool, now: Instant) {
        self.failed.fetch_add(1, Relaxed);
        if let Some(wait) = self.breaker.failed(now) {
            let mut state = self.state();
            state.next_try = now + wait;
            if state.standing == Standing::InOrder {
                state.standing = Standing::Silent;
                drop(state);
                tracing::warn!(list = %self.label, "the list does not answer: it is not asked for a while");
            }
        } else if is_try && let Some(wait) = self.breaker.probe_failed() {
            self.state().next_try = now + wait;
        }
    }

    fn fault(&self, fault: Fault) {
        let mut state = self.state();
        if matches!(state.standing, Standing::Faulty(_)) {
            return;
        }
        state.standing = Standing::Faulty(fault);
        state.wait = self.options.first_wait;
        drop(state);
        tracing::warn!(list = %self.label, %fault, "the list is switched off until its test points are in order");
        self.wake.notify_one();
    }

    /// Asks the test points for ever, now and then.
    pub(super) async fn watch<D: Dns>(&self, dns: &D) {
        loop {
            let wait = self.judge(self.test(dns).await);
            self.tested.send_replace(true);
            select! {
                () = sleep(wait) => {}
                // Found faulty by an answer: tested again soon, but not at once.
                () = self.wake.notified() => sleep(self.options.first_wait).await,
            }
        }
    }

    async fn test<D: Dns>(&self, dns: &D) -> Test {
        let (listed, unlisted) = tokio::join!(dns.a(&self.listed), dns.a(&self.unlisted));
        for answer in [&listed, &unlisted] {
            match answer.as_ref().map(|found| objection(&found.records)) {
                Ok(Some(Nothing::Refused(address))) => return Test::Faulty(Fault::Refuses(address)),
                Ok(Some(Nothing::Foreign(address))) => return Test::Faulty(Fault::Nonsense(address)),
                Err(failure) if !failure.is_void() => return Test::Unanswered(*failure),
                _ => {}
            }
        }
        match (listed.is_ok(), unlisted.is_ok()) {
            (_, true) => Test::Faulty(Fault::ListsEverything),
            (false, false) => Test::Faulty(Fault::ListsNothing),
            (true, false) => Test::InOrder,
        }
    }

    /// Acts on a test, and says when to test again.
    fn judge(&self, test: Test) -> Duration {
        let mut state = self.state();
        let before = state.standing;
        let wait = match test {
            Test::InOrder => {
                // The test points of a silent list may have been answered from a cache.
                if before != Standing::Silent {
                    state.standing = Standing::InOrder;
                    self.breaker.succeeded(Instant::now());
                }
                state.wait = self.options.first_wait;
                self.options.every
            }
            Test::Faulty(fault) => {
                state.standing = Standing::Faulty(fault);
                state.longer(self.options.longest_wait)
            }
            Test::Unanswered(_) => state.longer(self.options.longest_wait),
        };
        drop(state);
        self.tell(before, &test);
        wait
    }

    fn tell(&self, before: Standing, test: &Test) {
        let list = &self.label;
        match (before, test) {
            (Standing::Faulty(_), Test::InOrder) => tracing::info!(%list, "the list is in order again"),
            (Standing::Faulty(old), Test::Faulty(new)) if old == *new => {}
            (_, Test::Faulty(fault)) => {
                tracing::warn!(%list, %fault, "the list is switched off until its test points are in order");
            }
            (Standing::Untested, Test::Unanswered(failure)) if !*self.tested.borrow() => {
                tracing::warn!(%list, %failure, "the list's test points are not answered: it is not asked so far");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
