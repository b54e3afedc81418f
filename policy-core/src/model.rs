//! The model: one logistic regression over the features, learned online.
//!
//! It begins with the weights that ship with the program and is drawn back to them; each step is bounded,
//! and no weight leaves a range around the shipped one, so that no reporter, domain or day can turn it.
//! Steps shrink as a feature is heard of (AdaGrad: Duchi, Hazan and Singer, JMLR 2011).
//!
//! Drift guard: the loss of the learned weights and of the shipped ones is kept side by side. When the
//! learned ones have become clearly worse, they are dropped for the shipped ones, and that is counted.
//!
//! Readers take no lock: weights are atomic, and a reading across an update mixes old and new weights that
//! differ by one bounded step.

use crate::features::{COUNT, Features, sense, sigmoid};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Step of AdaGrad.
const STEP: f32 = 0.25;
/// Squared gradients that every feature begins with: how much the shipped weights are trusted.
const BEGIN: f32 = 2.0;
/// The farthest that one update moves a weight.
const MOST: f32 = 0.125;
/// The farthest that a weight leaves the shipped one.
const RANGE: f32 = 1.5;
/// Share of the way back to the shipped weight at each update of a feature.
const PULL: f32 = 0.00002;
/// Step of the scaling.
const SCALING_STEP: f32 = 0.02;
/// The farthest log-odds that the scaling hears of.
const SAID: f32 = 4.0;
/// Messages over which losses are averaged.
const MEMORY: f32 = 2000.0;
/// How much worse than the shipped weights the learned ones may do, in nats a message.
const DRIFT: f32 = 0.05;
/// Messages before the guard judges.
const PATIENCE: u64 = 500;

/// How the model fares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelHealth {
    /// Labels learned from.
    pub labels: u64,
    /// Mean log loss of the learned weights of late, in nats.
    pub loss: f32,
    /// The same of the shipped weights.
    pub shipped_loss: f32,
    /// How often the learned weights were dropped for the shipped ones.
    pub fallbacks: u64,
}

/// The model.
pub(crate) struct Model {
    /// The weights that it began with.
    shipped: [f32; COUNT],
    weights: [AtomicU32; COUNT],
    squares: [AtomicU32; COUNT],
    /// Slope and offset that make a chance of what the weights say (Platt scaling, learned online).
    scaling: [AtomicU32; 2],
    losses: [AtomicU32; 2],
    labels: AtomicU64,
    fallbacks: AtomicU64,
}

fn load(cell: &AtomicU32) -> f32 {
    f32::from_bits(cell.load(Ordering::Relaxed))
}

fn store(cell: &AtomicU32, value: f32) {
    cell.store(value.to_bits(), Ordering::Relaxed);
}

impl Model {
    /// A model that begins with these weights; those that are missing are zero.
    pub(crate) fn new(start: &[f32]) -> Self {
        let shipped: [f32; COUNT] = std::array::from_fn(|i| {
            let (least, most) = sense(i);
            start.get(i).copied().unwrap_or(0.0).clamp(least, most)
        });
        Self {
            shipped,
            weights: shipped.map(|weight| AtomicU32::new(weight.to_bits())),
            squares: std::array::from_fn(|_| AtomicU32::new(BEGIN.to_bits())),
            scaling: [1.0f32, 0.0].map(|value| AtomicU32::new(value.to_bits())),
            losses: std::array::from_fn(|_| AtomicU32::new(0)),
            labels: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
        }
    }

    /// What each feature adds to the log-odds, and last what holds for every message.
    pub(crate) fn terms(&self, features: &Features) -> ([f32; COUNT], f32) {
        let [slope, offset] = [0, 1].map(|i| load(&self.scaling[i]));
        let terms = std::array::from_fn(|i| slope * load(&self.weights[i]) * features.values[i]);
        (terms, slope * features.base + offset)
    }

    /// Moves slope and offset so that of what is given a chance p a share p is spam.
    fn scale(&self, said: f32, label: f32) {
        let said = said.clamp(-SAID, SAID);
        let [slope, offset] = [0, 1].map(|i| load(&self.scaling[i]));
        let step = SCALING_STEP * (label - sigmoid(slope * said + offset));
        store(&self.scaling[0], (slope + step * said / SAID).clamp(0.5, 1.5));
        store(&self.scaling[1], (offset + step).clamp(-1.0, 1.0));
    }

    /// Learns that a message with these features was spam, or was not; `weight` at most 1.
    pub(crate) fn learn(&self, features: &Features, spam: bool, weight: f32) {
        let label = if spam { 1.0 } else { 0.0 };
        let sum = |weight: &dyn Fn(usize) -> f32| {
            features.base + (0..COUNT).map(|i| weight(i) * features.values[i]).sum::<f32>()
        };
        let learned = sum(&|i| load(&self.weights[i]));
        self.note(loss(learned, spam), loss(sum(&|i| self.shipped[i]), spam));
        self.scale(learned, label);
        let error = (sigmoid(learned) - label) * weight;
        for (i, &value) in features.values.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            self.step(i, error * value);
        }
        self.guard();
    }

    /// Two threads may step at once; one step may then be lost, which changes nothing that lasts.
    fn step(&self, i: usize, gradient: f32) {
        let squares = load(&self.squares[i]) + gradient * gradient;
        store(&self.squares[i], squares);
        let old = load(&self.weights[i]);
        let step = (STEP * gradient / squares.sqrt()).clamp(-MOST, MOST);
        let shipped = self.shipped[i];
        let new = old - step - PULL * (old - shipped);
        let (least, most) = sense(i);
        store(&self.weights[i], new.clamp((shipped - RANGE).max(least), (shipped + RANGE).min(most)));
    }

    fn note(&self, learned: f32, shipped: f32) {
        let labels = self.labels.fetch_add(1, Ordering::Relaxed) + 1;
        let share = 1.0 / (labels as f32).min(MEMORY);
        for (cell, loss) in self.losses.iter().zip([learned, shipped]) {
            store(cell, load(cell) + share * (loss - load(cell)));
        }
    }

    fn guard(&self) {
        let [learned, shipped] = [0, 1].map(|i| load(&self.losses[i]));
        if self.labels.load(Ordering::Relaxed) > PATIENCE && learned > shipped + DRIFT {
            self.weights.iter().zip(self.shipped).for_each(|(cell, weight)| store(cell, weight));
            self.squares.iter().for_each(|cell| store(cell, BEGIN));
            store(&self.losses[0], shipped);
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The weights as they are now.
    pub(crate) fn weights(&self) -> [f32; COUNT] {
        std::array::from_fn(|i| load(&self.weights[i]))
    }

    /// How it fares.
    pub(crate) fn health(&self) -> ModelHealth {
        ModelHealth {
            labels: self.labels.load(Ordering::Relaxed),
            loss: load(&self.losses[0]),
            shipped_loss: load(&self.losses[1]),
            fallbacks: self.fallbacks.load(Ordering::Relaxed),
        }
    }
}

/// Log loss in nats, bounded so that one surprise does not outweigh hundreds.
fn loss(log_odds: f32, spam: bool) -> f32 {
    let against = if spam { -log_odds } else { log_odds };
    (against.exp().ln_1p()).min(5.0)
}
