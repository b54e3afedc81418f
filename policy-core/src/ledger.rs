//! The ledger: what is remembered of every identity and trait.
//!
//! Identities live in a bounded table; the least informative leave first under pressure. Traits have few
//! values and every decision reads them, so they are plain atomic sums against one landmark: additions that
//! commute, and reads that write to no shared cache line.

use crate::evidence::{Reading, Record, SLOW_HALF_LIFE, Weight};
use crate::identity::{Chain, Identities, Key, MAX_CHAINS};
use crate::outcome::Outcome;
use crate::presentation::{Trait, TraitSet};
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use std::sync::atomic::{AtomicU64, Ordering};

/// A record is forgotten when less than this is left of it.
const FORGOTTEN: f32 = 0.02;

impl Worth for Record {
    fn worth(&self, now: Timestamp) -> f32 {
        let reading = self.read(now);
        reading.slow.evidence() + reading.today.max(reading.busiest)
    }
}

/// Decayed good and bad weight of one trait value, in 64-bit floats against the ledger's landmark: with the
/// slow half-life they overflow after 28 years.
#[derive(Default)]
struct TraitSums {
    good: AtomicU64,
    bad: AtomicU64,
}

/// What is known of a chain's keys; nothing of a general key that there is none of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainReading {
    pub(crate) specific: Reading,
    pub(crate) general: Reading,
}

/// What is known of each chain of a message, in the order of its chains.
pub(crate) type Readings = ArrayVec<ChainReading, MAX_CHAINS>;

/// Evidence of every identity and trait.
pub(crate) struct Ledger {
    records: Table<Record>,
    traits: [TraitSums; Trait::COUNT],
    /// The moment that the traits' sums are stored against.
    landmark: Timestamp,
}

impl Ledger {
    /// An empty ledger of at most `bytes`, begun at `now`.
    pub(crate) fn new(bytes: usize, now: Timestamp) -> Self {
        Self {
            records: Table::with_bytes(bytes),
            traits: std::array::from_fn(|_| TraitSums::default()),
            landmark: now,
        }
    }

    /// What is known of an identity.
    pub(crate) fn read(&self, key: &Key, now: Timestamp) -> Reading {
        self.records.read(key, |record| record.read(now)).unwrap_or(Reading::NOTHING)
    }

    /// What is known of every identity of a message.
    pub(crate) fn readings(&self, identities: &Identities, now: Timestamp) -> Readings {
        let keys: ArrayVec<Key, { 2 * MAX_CHAINS }> = identities.keys().collect();
        let mut records = self.records.read_all(&keys).into_iter();
        let mut read = || records.next().flatten().map_or(Reading::NOTHING, |record| record.read(now));
        let chain = |chain: &Chain| ChainReading {
            specific: read(),
            general: if chain.general.is_some() { read() } else { Reading::NOTHING },
        };
        identities.chains.iter().map(chain).collect()
    }

    /// Good and bad weight of each of a client's traits, as they read now.
    pub(crate) fn read_traits(
        &self,
        traits: &TraitSet,
        now: Timestamp,
    ) -> impl Iterator<Item = (Trait, f64, f64)> {
        let scale = 1.0 / self.trait_scale(now);
        let read = move |sum: &AtomicU64| f64::from_bits(sum.load(Ordering::Relaxed)) * scale;
        traits.iter().map(move |value| {
            let sums = &self.traits[value.index()];
            (value, read(&sums.good), read(&sums.bad))
        })
    }

    fn trait_scale(&self, at: Timestamp) -> f64 {
        (at.since(self.landmark).as_secs_f64() / SLOW_HALF_LIFE).exp2()
    }

    /// Books an outcome on every identity and trait of a message.
    pub(crate) fn learn(&self, identities: &Identities, outcome: Outcome, at: Timestamp) {
        let weight = outcome.weight();
        for key in identities.keys() {
            self.add(key, weight, at);
        }
        let scale = self.trait_scale(at);
        for value in identities.traits.iter() {
            let sums = &self.traits[value.index()];
            add(&sums.good, f64::from(weight.good) * scale);
            add(&sums.bad, f64::from(weight.bad) * scale);
        }
    }

    /// Books a weight on one identity.
    pub(crate) fn add(&self, key: Key, weight: Weight, at: Timestamp) {
        self.records.update(key, at, || Record::new(at), |record| record.add(weight, at));
    }

    /// How many segments a sweeper visits.
    pub(crate) fn segments(&self) -> usize {
        self.records.segments()
    }

    /// Drops what has faded away from one segment.
    pub(crate) fn sweep(&self, segment: usize, now: Timestamp) {
        self.records.sweep(segment, |_, record| record.worth(now) > FORGOTTEN);
    }

    /// Identities held, the most that can be held, and octets taken.
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        (self.records.len(), self.records.capacity(), self.records.bytes())
    }
}

/// Adds to an atomic float. The closure always returns a value, so the update cannot fail.
fn add(sum: &AtomicU64, weight: f64) {
    if weight != 0.0 {
        let added = |bits| Some((f64::from_bits(bits) + weight).to_bits());
        let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }
}
