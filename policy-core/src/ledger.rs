//! The ledger: what is remembered of every identity and trait.
//!
//! Identities live in a bounded table; the least informative leave first under pressure. Traits have few
//! values and every decision reads them, so they are plain atomic sums against one landmark: additions that
//! commute, and reads that write to no shared cache line.

use crate::evidence::{Reading, Record, Weight};
use crate::features::{logit, sigmoid};
use crate::identity::{Identities, Key};
use crate::model::Model;
use crate::outcome::Outcome;
use crate::presentation::{Trait, TraitSet};
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use crate::weights::Start;
use std::sync::atomic::{AtomicU64, Ordering};

/// A record is forgotten when less than this is left of it.
const FORGOTTEN: f32 = 0.02;
/// Half-life of what the traits remember, in seconds: what traffic looks like changes slowly.
const TRAIT_HALF_LIFE: f64 = 90.0 * 86_400.0;
/// Messages that what ships with a trait value is worth.
const K_TRAIT: f32 = 8.0;
/// Messages that the assumption of as much spam as ham is worth.
const K_BASE: f32 = 50.0;
/// How much of the server's share of spam a message begins with: shares swing, senders less.
const BASE_SCALE: f32 = 0.5;
/// The farthest that one trait's log-odds go.
const TRAIT_LIMIT: f32 = 4.0;
/// Evidence of an address at which its mail moves traits and model half as much as a stranger's.
const NOVELTY: f32 = 1.0;

/// What the traits of a message say.
pub(crate) struct TraitOdds {
    /// One for each, in the order of [`Trait::place`].
    pub(crate) log_odds: [f32; TraitSet::COUNT],
    /// Log-odds of the server's own share of spam.
    pub(crate) base: f32,
}

impl Worth for Record {
    fn worth(&self, now: Timestamp) -> f32 {
        let reading = self.read(now);
        reading.slow.evidence() + reading.today.max(reading.busiest)
    }
}

/// Decayed good and bad weight of one trait value, in 64-bit floats against the ledger's landmark: with
/// their half-life they overflow after a century.
#[derive(Default)]
struct TraitSums {
    good: AtomicU64,
    bad: AtomicU64,
}

/// Evidence of every identity and trait.
pub(crate) struct Ledger {
    records: Table<Record>,
    traits: Box<[TraitSums]>,
    /// All messages that the traits were learned from.
    all: TraitSums,
    /// What each trait value says before this server has seen any.
    odds: Box<[f32]>,
    /// How what is known is combined.
    pub(crate) model: Model,
    /// The moment that the traits' sums are stored against.
    landmark: Timestamp,
}

impl Ledger {
    /// An empty ledger of at most `bytes`, begun at `now`.
    pub(crate) fn new(bytes: usize, start: &Start, now: Timestamp) -> Self {
        Self {
            records: Table::with_bytes(bytes),
            traits: std::iter::repeat_with(TraitSums::default).take(Trait::COUNT).collect(),
            all: TraitSums::default(),
            odds: start.odds.iter().copied().chain(std::iter::repeat(0.0)).take(Trait::COUNT).collect(),
            model: Model::new(&start.weights),
            landmark: now,
        }
    }

    pub(crate) fn start_from(&mut self, start: &Start, now: Timestamp) {
        let empty = Self::new(0, start, now);
        (self.odds, self.model, self.landmark) = (empty.odds, empty.model, now);
    }

    /// Weights and shares as they are now.
    pub(crate) fn model_start(&self, now: Timestamp) -> Start {
        let scale = 1.0 / self.trait_scale(now);
        let value = |sum: &AtomicU64| (f64::from_bits(sum.load(Ordering::Relaxed)) * scale) as f32;
        let read = |sums: &TraitSums| [value(&sums.good), value(&sums.bad)];
        let base = base(read(&self.all));
        Start {
            weights: self.model.weights().to_vec(),
            odds: self
                .traits
                .iter()
                .zip(&self.odds)
                .map(|(sums, &odds)| relative(read(sums), odds, base))
                .collect(),
        }
    }

    /// What is known of an identity.
    pub(crate) fn read(&self, key: &Key, now: Timestamp) -> Reading {
        self.records.read(key, |record| record.read(now)).unwrap_or(Reading::NOTHING)
    }

    /// What each trait of a message says, as log-odds against the server's own share of spam.
    pub(crate) fn trait_odds(&self, traits: &TraitSet, now: Timestamp) -> TraitOdds {
        let scale = 1.0 / self.trait_scale(now);
        let read = |sums: &TraitSums| {
            let value = |sum: &AtomicU64| (f64::from_bits(sum.load(Ordering::Relaxed)) * scale) as f32;
            [value(&sums.good), value(&sums.bad)]
        };
        let base = base(read(&self.all));
        let log_odds = traits.entries().map(|value| {
            let own = read(&self.traits[value.index()]);
            relative(own, self.odds[value.index()], base)
        });
        TraitOdds { log_odds, base }
    }

    fn trait_scale(&self, at: Timestamp) -> f64 {
        (at.since(self.landmark).as_secs_f64() / TRAIT_HALF_LIFE).exp2()
    }

    /// Books an outcome on every identity and trait of a message; the model learns from it first, while the
    /// ledger does not know it yet.
    pub(crate) fn learn(&self, identities: &Identities, outcome: Outcome, at: Timestamp) {
        if let Some(spam) = outcome.label() {
            let features = self.features(identities, at);
            let known = features.views.first().map_or(0.0, |address| address.own);
            let weight = NOVELTY / (NOVELTY + known);
            self.model.learn(&features, spam, weight);
            self.learn_traits(&identities.traits, spam, weight, at);
        }
        let weight = outcome.weight();
        for key in identities.keys() {
            self.add(key, weight, at);
        }
    }

    /// The more is known of a client, the less it moves the traits: one that sends much is one sender still.
    fn learn_traits(&self, traits: &TraitSet, spam: bool, weight: f32, at: Timestamp) {
        let weight = f64::from(weight) * self.trait_scale(at);
        let entries = traits.entries().map(|value| &self.traits[value.index()]);
        for sums in entries.into_iter().chain([&self.all]) {
            add(if spam { &sums.bad } else { &sums.good }, weight);
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

/// Log-odds of the server's own share of spam.
fn base(all: [f32; 2]) -> f32 {
    BASE_SCALE * logit((all[1] + K_BASE * 0.5) / (all[0] + all[1] + K_BASE))
}

/// What a trait value says beyond the server's share of spam: what was seen, leaning on what shipped.
fn relative(own: [f32; 2], shipped: f32, base: f32) -> f32 {
    let prior = sigmoid(base + shipped);
    (logit((own[1] + K_TRAIT * prior) / (own[0] + own[1] + K_TRAIT)) - base).clamp(-TRAIT_LIMIT, TRAIT_LIMIT)
}
