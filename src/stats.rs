//! Counts since the start, for logs and metrics.
//!
//! Bounded: one counter for each combination of words that has occurred, all of them from the program itself; and
//! a hundred client addresses, which is enough to tell one from many.

use crate::latency::{Latencies, Latency};
use crate::log::protocol;
use crate::recent::Record;
use policy_core::connections::Connections;
use policy_core::facts::{Facts, FrontEnd};
use policy_core::time::Timestamp;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// What decisions are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counted {
    /// `policy` or `milter`.
    pub protocol: &'static str,
    /// What was answered: `pass`, `defer` or `reject`.
    pub action: &'static str,
    /// The verdict, when the answer was another.
    pub would: Option<&'static str>,
    /// The reason's code.
    pub reason: &'static str,
}

/// Client addresses that are counted.
const CLIENTS: usize = 100;

/// What was seen of one front end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontSeen {
    /// `policy` or `milter`.
    pub protocol: &'static str,
    /// Questions that a mail server asked there.
    pub questions: u64,
    /// When the last one came; `None` when none has.
    pub last: Option<Timestamp>,
    /// How long its answers took.
    pub latency: Latency,
    /// Connections that are open.
    pub open: usize,
    /// Connections that were closed at once, because there were too many.
    pub refused: u64,
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Decisions.
    pub decisions: BTreeMap<Counted, u64>,
    /// What was seen of each front end.
    pub seen: Vec<FrontSeen>,
    /// Client addresses that were asked about, and whether there are more than were counted.
    pub clients: (usize, bool),
    /// Questions whose answer said nothing new: asked again, or before anything is judged.
    pub quiet: u64,
    /// Reports of what became of mail.
    pub reports: u64,
    /// Configurations taken over since the start.
    pub reloads: u64,
}

impl Stats {
    /// All decisions together.
    pub fn total(&self) -> u64 {
        self.decisions.values().sum()
    }
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    decisions: RwLock<BTreeMap<Counted, AtomicU64>>,
    policy: Seen,
    milter: Seen,
    clients: Addresses,
    pub(crate) quiet: AtomicU64,
    pub(crate) reports: AtomicU64,
    pub(crate) reloads: AtomicU64,
}

/// The counters of a front end. No question has come at time zero.
#[derive(Debug, Default)]
struct Seen {
    questions: AtomicU64,
    last: AtomicU64,
    latencies: Latencies,
    connections: Arc<Connections>,
}

impl Seen {
    fn snapshot(&self, front_end: FrontEnd) -> FrontSeen {
        let (questions, last) = (self.questions.load(Ordering::Relaxed), self.last.load(Ordering::Relaxed));
        let last = (questions > 0).then_some(Timestamp::from_millis(last));
        let (open, refused) = (self.connections.open(), self.connections.refused());
        FrontSeen {
            protocol: protocol(front_end),
            questions,
            last,
            latency: self.latencies.snapshot(),
            open,
            refused,
        }
    }
}

/// Different addresses, as far as they are counted. Once there are enough nobody looks any more.
#[derive(Debug, Default)]
struct Addresses {
    known: RwLock<HashSet<IpAddr>>,
    full: AtomicBool,
}

impl Addresses {
    fn note(&self, address: IpAddr) {
        let full = || self.full.load(Ordering::Relaxed);
        if full() || self.known.read().unwrap_or_else(PoisonError::into_inner).contains(&address) {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < CLIENTS {
            known.insert(address);
        } else {
            self.full.store(true, Ordering::Relaxed);
        }
    }

    fn snapshot(&self) -> (usize, bool) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        (known.len(), self.full.load(Ordering::Relaxed))
    }
}

impl Counters {
    const fn seen(&self, front_end: FrontEnd) -> &Seen {
        match front_end {
            FrontEnd::Policy => &self.policy,
            FrontEnd::Milter => &self.milter,
        }
    }

    /// The connections of a front end.
    pub(crate) const fn connections(&self, front_end: FrontEnd) -> &Arc<Connections> {
        &self.seen(front_end).connections
    }

    /// A mail server asks.
    pub(crate) fn asked(&self, facts: &Facts, now: Timestamp) {
        let seen = self.seen(facts.front_end);
        seen.questions.fetch_add(1, Ordering::Relaxed);
        seen.last.store(now.as_millis(), Ordering::Relaxed);
        self.clients.note(facts.client.address);
    }

    /// A question was answered after so long.
    pub(crate) fn answered(&self, front_end: FrontEnd, took: Duration) {
        self.seen(front_end).latencies.note(took);
    }

    pub(crate) fn count(&self, record: &Record) {
        let counted = Counted {
            protocol: protocol(record.facts.front_end),
            action: record.action(),
            would: record.would(),
            reason: record.verdict.reason.code(),
        };
        // The lock is taken for writing once for each combination, then only to read.
        let counters = self.decisions.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get(&counted) {
            counter.fetch_add(1, Ordering::Relaxed);
            return;
        }
        drop(counters);
        let mut counters = self.decisions.write().unwrap_or_else(PoisonError::into_inner);
        counters.entry(counted).or_default().fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        let counters = self.decisions.read().unwrap_or_else(PoisonError::into_inner);
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            decisions: counters.iter().map(|(counted, counter)| (*counted, value(counter))).collect(),
            seen: vec![self.policy.snapshot(FrontEnd::Policy), self.milter.snapshot(FrontEnd::Milter)],
            clients: self.clients.snapshot(),
            quiet: value(&self.quiet),
            reports: value(&self.reports),
            reloads: value(&self.reloads),
        }
    }
}
