//! What a model has learned, as plain values: its weights, what traits have shown, its calibration.
//!
//! Invariant: what is taken back can be no worse than what learning could have led to: numbers are finite,
//! and weights lie within their range around the shipped ones. Weights of other features than these mean
//! nothing here and are not taken.

use super::{BEGIN, Model, TABLE_RANGE, Weight, load, store};
use crate::evidence::MOST;
use crate::features::{NUMBERS, TABLE};
use crate::presentation::Trait;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;
use thiserror::Error;

/// What was learned belongs to a model of other features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("learned by a version with other features, {0} numbers and not {NUMBERS}")]
pub struct OtherModel(usize);

/// What a model has learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The moment that the sums of labels are stored against.
    pub(crate) landmark: Timestamp,
    /// Sums of good and bad labels of all mail.
    pub(crate) all: [f64; 2],
    /// The same of each trait value.
    pub(crate) traits: Vec<[f64; 2]>,
    /// Each number's weight, and the squared gradients that it has met.
    numbers: Vec<[f32; 2]>,
    /// The same of each place in the table of traits and pairs.
    table: Vec<[f32; 2]>,
    /// Good and bad messages in each bin of log-odds.
    bins: Vec<[f32; 2]>,
    /// Slope and offset of the curve.
    curve: [f32; 2],
    /// Mean losses of the learned and of the shipped weights.
    losses: [f32; 2],
    labels: u64,
    fallbacks: u64,
}

impl Learned {
    /// How many labels it was learned from.
    pub const fn labels(&self) -> u64 {
        self.labels
    }

    /// Whether it was learned by a model of these features.
    pub(crate) fn check(&self) -> Result<(), OtherModel> {
        let fits =
            (self.numbers.len(), self.table.len(), self.traits.len()) == (NUMBERS, TABLE, Trait::COUNT);
        fits.then_some(()).ok_or(OtherModel(self.numbers.len()))
    }
}

fn weights(weights: &[Weight]) -> Vec<[f32; 2]> {
    weights.iter().map(|weight| [weight.get(), load(&weight.squares)]).collect()
}

impl Weight {
    fn take(&self, [value, squares]: [f32; 2], (least, most): (f32, f32)) {
        if value.is_finite() && squares.is_finite() {
            store(&self.value, value.clamp(least, most));
            store(&self.squares, squares.clamp(BEGIN, MOST));
        }
    }
}

impl Model {
    /// What it has learned, with the ledger's sums of labels.
    pub(crate) fn learned(&self, landmark: Timestamp, all: [f64; 2], traits: Vec<[f64; 2]>) -> Learned {
        Learned {
            landmark,
            all,
            traits,
            numbers: weights(&self.numbers),
            table: weights(&self.table),
            bins: self.calibration.bins(),
            curve: self.calibration.curve(),
            losses: [0, 1].map(|i| load(&self.losses[i])),
            labels: self.labels.load(Ordering::Relaxed),
            fallbacks: self.fallbacks.load(Ordering::Relaxed),
        }
    }

    /// Takes back what it has learned.
    pub(crate) fn relearn(&self, learned: &Learned) {
        for (n, (weight, taken)) in self.numbers.iter().zip(&learned.numbers).enumerate() {
            weight.take(*taken, self.range(n));
        }
        let table = self.table.iter().zip(&self.shipped.table).zip(&learned.table);
        table.for_each(|((weight, shipped), taken)| {
            weight.take(*taken, (shipped - TABLE_RANGE, shipped + TABLE_RANGE));
        });
        self.calibration.take(&learned.bins, learned.curve);
        let losses = self.losses.iter().zip(learned.losses).filter(|(_, loss)| loss.is_finite());
        losses.for_each(|(cell, loss)| store(cell, loss.clamp(0.0, MOST)));
        self.labels.store(learned.labels, Ordering::Relaxed);
        self.fallbacks.store(learned.fallbacks, Ordering::Relaxed);
    }
}
