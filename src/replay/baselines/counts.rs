//! Scorers that count ham and spam by address.

use crate::replay::ranking::{Score, Scorer};
use crate::replay::trace::Row;
use policy_core::identity::Key;
use policy_core::time::Timestamp;
use std::collections::HashMap;

/// Spam and ham seen.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    spam: f64,
    ham: f64,
}

impl Counts {
    fn add(&mut self, spam: bool) {
        if spam { self.spam += 1.0 } else { self.ham += 1.0 }
    }

    /// The share of spam, leaning on a prior worth `k` messages.
    fn lean(self, prior: f64, k: f64) -> f64 {
        (self.spam + k * prior) / (self.spam + self.ham + k)
    }
}

/// The share of spam of an address, with one ham and one spam to begin with.
#[derive(Debug, Default)]
pub struct AddressRatio(HashMap<Key, Counts>);

impl Scorer for AddressRatio {
    type Note = Key;

    fn score(&mut self, row: &Row) -> (Score, Key) {
        let key = Key::address(row.client.address);
        (Score::rank(self.0.get(&key).copied().unwrap_or_default().lean(0.5, 2.0)), key)
    }

    fn learn(&mut self, key: Key, spam: bool, _: Timestamp) {
        self.0.entry(key).or_default().add(spam);
    }
}

/// The share of spam of an address that leans on that of its prefix.
#[derive(Debug, Default)]
pub struct Shrunk(HashMap<Key, Counts>);

/// Messages that the prefix is worth to its address.
const ADDRESS_K: f64 = 4.0;
/// Messages that the middle is worth to a prefix: one ham and one spam.
const PREFIX_K: f64 = 2.0;

impl Scorer for Shrunk {
    type Note = [Key; 2];

    fn score(&mut self, row: &Row) -> (Score, [Key; 2]) {
        let keys = [Key::address(row.client.address), Key::prefix(row.client.address)];
        let [own, around] = keys.map(|key| self.0.get(&key).copied().unwrap_or_default());
        (Score::rank(own.lean(around.lean(0.5, PREFIX_K), ADDRESS_K)), keys)
    }

    fn learn(&mut self, keys: [Key; 2], spam: bool, _: Timestamp) {
        keys.into_iter().for_each(|key| self.0.entry(key).or_default().add(spam));
    }
}

/// GBUdb (MicroNeil): a probability in -1..1 and a confidence by address, and the square root of their
/// product as the score.
///
/// Its daily halving, which leaves the probability and fades the confidence, is left out: on mail that is
/// sparse in time it costs more than it earns, and a comparison shall be with the method at its best.
#[derive(Debug, Default)]
pub struct GbUdb(HashMap<Key, Counts>);

/// Messages at which its confidence is full.
const GBUDB_FULL: f64 = 500.0;

impl Scorer for GbUdb {
    type Note = Key;

    fn score(&mut self, row: &Row) -> (Score, Key) {
        let key = Key::address(row.client.address);
        let Some(counts) = self.0.get(&key) else { return (Score::rank(0.0), key) };
        let total = (counts.spam + counts.ham).max(f64::MIN_POSITIVE);
        let probability = (counts.spam - counts.ham) / total;
        let confidence = (total.ln_1p() / GBUDB_FULL.ln_1p()).min(1.0);
        (Score::rank(probability.signum() * (probability.abs() * confidence).sqrt()), key)
    }

    fn learn(&mut self, key: Key, spam: bool, _: Timestamp) {
        self.0.entry(key).or_default().add(spam);
    }
}
