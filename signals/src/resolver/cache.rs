//! Answers kept, and questions under way: what makes a question cost one datagram however many ask it.
//!
//! Each shard keeps two generations. What is new or asked for again is in the young one; when that is full, it
//! becomes the old one and what was old is forgotten. So the cache is bounded in entries and in octets, what is
//! used stays, and nothing sweeps: insertion alone evicts.
//!
//! Invariant: a question is under way at most once, and what came of it is kept before it ceases to be under
//! way, so that nobody asks between the two.
//!
//! Known limit: an entry that nobody asks for stays beyond its time, unused, until its generation goes.

use super::question::{Question, Records};
use crate::dns::Failure;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What a question came to.
pub(super) type Outcome = Result<Records, Failure>;

/// An outcome with its times.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) outcome: Outcome,
    pub(super) fetched: Instant,
    pub(super) lives: Duration,
}

impl Entry {
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.fetched)
    }

    fn is_current(&self, now: Instant) -> bool {
        self.age(now) < self.lives
    }

    fn octets(&self, question: &Question) -> usize {
        let records = self.outcome.as_ref().map_or(0, Records::octets);
        size_of::<(Question, Self)>() + question.name.len() + records
    }
}

/// What becomes of a question under way; `None` until it is answered.
pub(super) type Awaited = watch::Receiver<Option<Entry>>;

/// What is known of a question.
pub(super) enum Known {
    /// An answer that is still good.
    Kept(Entry),
    /// It is under way.
    UnderWay(Awaited),
    /// Nothing.
    Nothing,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Question, Entry, RandomState>,
    young_octets: usize,
    old: HashMap<Question, Entry, RandomState>,
    under_way: HashMap<Question, Awaited, RandomState>,
}

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    /// A power of two.
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Of one generation of one shard.
    entries: usize,
}

/// Octets that an entry may take on average. A name, an address and the times take a third of it.
const OCTETS_PER_ENTRY: usize = 1024;
/// Entries that are worth a shard of their own.
const SHARD: usize = 1024;
const MAX_SHARDS: usize = 64;

impl Cache {
    /// Keeps up to `entries` answers.
    pub(super) fn new(entries: usize) -> Self {
        let shards = (entries / SHARD).clamp(1, MAX_SHARDS).next_power_of_two();
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            entries: (entries / shards / 2).max(1),
        }
    }

    fn shard(&self, question: &Question) -> MutexGuard<'_, Shard> {
        let hash = usize::try_from(self.hasher.hash_one(question) >> 32).unwrap_or(0);
        // Every change under the lock is whole by itself; a shard left behind by a panic is as good as any.
        self.shards[hash & (self.shards.len() - 1)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer that is kept.
    pub(super) fn peek(&self, question: &Question, now: Instant) -> Option<Entry> {
        self.shard(question).kept(question, now, self.entries)
    }

    /// What is known of a question.
    pub(super) fn look_up(&self, question: &Question, now: Instant) -> Known {
        self.shard(question).known(question, now, self.entries)
    }

    /// Takes note that a question of which nothing is known is under way from now on: the caller must see to it.
    /// Otherwise says what is known.
    pub(super) fn begin(
        &self,
        question: &Question,
        now: Instant,
    ) -> Result<(watch::Sender<Option<Entry>>, Awaited), Known> {
        let mut shard = self.shard(question);
        match shard.known(question, now, self.entries) {
            Known::Nothing => {}
            known => return Err(known),
        }
        let (sender, awaited) = watch::channel(None);
        shard.under_way.insert(question.clone(), awaited.clone());
        Ok((sender, awaited))
    }

    /// Keeps what a question came to. It is under way no more.
    pub(super) fn answered(&self, question: Question, entry: Entry) {
        let mut shard = self.shard(&question);
        shard.under_way.remove(&question);
        shard.keep(question, entry, self.entries);
    }

    /// Lets a question that comes to nothing be under way no more.
    pub(super) fn abandoned(&self, question: &Question) {
        self.shard(question).under_way.remove(question);
    }

    /// Entries kept, and questions under way.
    pub(super) fn len(&self) -> (usize, usize) {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards
            .map(|shard| (shard.young.len() + shard.old.len(), shard.under_way.len()))
            .fold((0, 0), |(kept, under_way), (k, u)| (kept + k, under_way + u))
    }
}

impl Shard {
    fn known(&mut self, question: &Question, now: Instant, entries: usize) -> Known {
        if let Some(entry) = self.kept(question, now, entries) {
            return Known::Kept(entry);
        }
        self.under_way.get(question).map_or(Known::Nothing, |awaited| Known::UnderWay(awaited.clone()))
    }

    fn kept(&mut self, question: &Question, now: Instant, entries: usize) -> Option<Entry> {
        if let Some(entry) = self.young.get(question) {
            return entry.is_current(now).then(|| entry.clone());
        }
        let entry = self.old.remove(question).filter(|entry| entry.is_current(now))?;
        self.keep(question.clone(), entry.clone(), entries);
        Some(entry)
    }

    fn keep(&mut self, question: Question, entry: Entry, entries: usize) {
        self.old.remove(&question);
        let octets = entry.octets(&question);
        if let Some(before) = self.young.remove(&question) {
            self.young_octets = self.young_octets.saturating_sub(before.octets(&question));
        }
        let limit = entries.saturating_mul(OCTETS_PER_ENTRY);
        if self.young.len() >= entries || self.young_octets.saturating_add(octets) > limit {
            self.old = std::mem::take(&mut self.young);
            self.young_octets = 0;
        }
        // What is larger than a whole generation is not worth forgetting one for.
        if octets <= limit {
            self.young_octets += octets;
            self.young.insert(question, entry);
        }
    }
}

#[cfg(test)]
mod tests;
