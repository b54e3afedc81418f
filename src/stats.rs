//! Counts since the start, for logs and metrics.
//!
//! Bounded: one counter for each combination of words that has occurred, all of them from the program itself.

use crate::log::protocol;
use crate::recent::Record;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

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

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Decisions.
    pub decisions: BTreeMap<Counted, u64>,
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
    pub(crate) quiet: AtomicU64,
    pub(crate) reports: AtomicU64,
    pub(crate) reloads: AtomicU64,
}

impl Counters {
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
            quiet: value(&self.quiet),
            reports: value(&self.reports),
            reloads: value(&self.reloads),
        }
    }
}
