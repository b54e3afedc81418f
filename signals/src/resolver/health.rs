//! How the resolver is doing, in numbers.

use crate::dns::Failure;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How the resolver is doing. The counters count since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How long the breaker has been open, if it is.
    pub suspended_for: Option<Duration>,
    /// Times that the breaker opened.
    pub suspensions: u64,
    /// Questions of all callers.
    pub questions: u64,
    /// Of those, answered from the cache.
    pub hits: u64,
    /// Of those, merged into one that was under way already.
    pub merged: u64,
    /// Of those, not asked: of names that are nobody else's business.
    pub private: u64,
    /// Of those, not asked: suspended, or too many waited before them.
    pub not_asked: u64,
    /// Questions that went to the servers, without probes.
    pub sent: u64,
    /// Of those, not answered in time.
    pub timed_out: u64,
    /// Of those, failed at the server.
    pub server_failed: u64,
    /// Answers kept.
    pub kept: usize,
    /// Questions under way.
    pub under_way: usize,
    /// Questions that wait for their turn.
    pub waiting: usize,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) suspensions: AtomicU64,
    pub(super) questions: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) merged: AtomicU64,
    pub(super) private: AtomicU64,
    pub(super) not_asked: AtomicU64,
    pub(super) sent: AtomicU64,
    timed_out: AtomicU64,
    server_failed: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(super) fn failed(&self, failure: Failure) {
        match failure {
            Failure::TimedOut => count(&self.timed_out),
            Failure::ServerFailed => count(&self.server_failed),
            Failure::NoName | Failure::NoData | Failure::Suspended => {}
        }
    }

    pub(super) fn read(&self) -> Health {
        Health {
            suspensions: self.suspensions.load(Relaxed),
            questions: self.questions.load(Relaxed),
            hits: self.hits.load(Relaxed),
            merged: self.merged.load(Relaxed),
            private: self.private.load(Relaxed),
            not_asked: self.not_asked.load(Relaxed),
            sent: self.sent.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            server_failed: self.server_failed.load(Relaxed),
            ..Health::default()
        }
    }
}
