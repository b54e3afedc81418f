//! What the model knows when it starts.
//!
//! The tables are fitted on a public corpus of mail of the year 2002 and printed by `replay::fit`. They hold
//! weights of features and log-odds of classes; no address, name or domain is in them.

use crate::features::{COUNT, PER_CHAIN, SLOTS, STRANGER, TRAITS};
use crate::identity::Kind;
use crate::presentation::{SenderFit, Signature, Tls, Trait};

/// Where a model starts: the weight of each feature, and what each trait value says, as log-odds.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Weights of the features.
    pub weights: Vec<f32>,
    /// Log-odds of the trait values, by [`Trait::index`].
    pub odds: Vec<f32>,
}

impl Start {
    /// A start that knows next to nothing: each chain and trait a little. What fitting begins with.
    pub fn flat() -> Self {
        let mut weights = vec![0.0; COUNT];
        (0..TRAITS / PER_CHAIN).for_each(|slot| weights[slot * PER_CHAIN] = 0.1);
        weights[TRAITS..STRANGER].fill(0.3);
        weights[STRANGER] = 0.2;
        Self { weights, odds: vec![0.0; Trait::COUNT] }
    }

    /// What ships with the program: the fitted tables, and by hand what the recording they were fitted on
    /// is too old to show. A verified domain is worth what a domain within its own prefix is, which nobody
    /// can forge either; a signature half of what a claim is.
    pub fn shipped() -> Self {
        let mut start = Self { weights: WEIGHTS.to_vec(), odds: ODDS.to_vec() };
        start.odds.resize(Trait::COUNT, 0.0);
        start.copy(Kind::SenderInPrefix, Kind::Verified, 1.0);
        start.copy(Kind::Claimed, Kind::Signed, 0.5);
        BY_HAND.iter().for_each(|&(value, odds)| start.odds[value.index()] = odds);
        start
    }

    fn copy(&mut self, from: Kind, to: Kind, scale: f32) {
        let place = |kind| SLOTS.iter().position(|&slot| slot == kind).unwrap_or(0) * PER_CHAIN;
        for i in 0..PER_CHAIN {
            self.weights[place(to) + i] = scale * self.weights[place(from) + i];
        }
    }
}

/// What today's postmasters publish of traits that mail of 2002 did not have.
const BY_HAND: [(Trait, f32); 6] = [
    (Trait::Sender(SenderFit::Verified), -1.5),
    (Trait::Sender(SenderFit::VerifiedOther), -0.5),
    (Trait::Tls(Tls::Encrypted), -0.4),
    (Trait::Tls(Tls::Plain), 0.4),
    (Trait::Signature(Signature::OfSender), -0.5),
    (Trait::Signature(Signature::OfOther), -0.2),
];

const WEIGHTS: [f32; 85] = [
    0.46, -0.01, 0.21, -0.20, 0.06, 0.33, -0.20, -0.12, 0.77, -0.69, 0.16, -0.14, 0.00, 1.10, -0.12, -0.14,
    0.14, -0.27, -0.33, -0.05, 0.06, 0.17, 0.17, 0.12, 0.19, 0.31, 0.46, -0.18, 0.00, 0.05, -0.54, -0.31,
    0.10, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.70, -1.08, -0.23, 0.09, 0.00, -0.25, 0.58, 0.14, 1.15,
    -0.34, 0.32, -0.19, 0.00, 0.35, -0.05, 0.02, 0.10, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.41,
    -0.15, -0.51, -0.25, -0.21, 0.20, 0.62, -0.51, -0.51, 0.35, 0.29, 0.66, 0.26, 0.20, 0.42, -0.13, 0.66,
    0.45, -0.02, 0.18,
];
const ODDS: [f32; 123] = [
    2.43, 1.18, 1.89, -0.54, -0.00, 4.00, 2.50, 1.84, -0.40, -1.02, -0.00, -0.00, -0.00, -0.00, -1.62, 1.29,
    1.10, 0.55, -0.00, -0.00, 2.18, 0.09, -0.24, 2.57, 0.99, 0.71, 1.77, 1.57, 0.06, 0.18, 0.40, 1.50, 1.19,
    1.28, -0.89, -0.00, 0.40, 2.06, 0.28, 0.87, 0.56, -0.53, -0.22, -0.00, 0.55, -0.00, -0.00, -0.00, 0.55,
    -0.00, -0.00, 0.83, 1.92, 1.75, 0.35, 1.72, -0.69, -0.00, 4.00, 1.92, 2.37, -0.00, -0.00, -0.00, 1.05,
    0.68, 1.05, -0.00, -0.00, -0.00, 1.94, 2.01, 1.61, 1.12, 0.65, -0.00, 2.01, 3.24, 0.94, -0.49, -1.05,
    -0.00, -0.00, -0.00, -0.00, 1.14, -0.00, 2.51, -0.00, -0.00, -0.00, -0.00, -0.00, -0.00, 0.99, -0.00,
    -0.00, -0.00, -0.00, -0.73, 0.60, 1.12, -0.00, -0.00, -0.00, -0.00, -1.19, 2.49, 1.76, -0.00, -0.00,
    -0.00, -0.00, 0.23, -0.00, 1.52, -0.00, -0.00, -0.00, -0.00, -1.91, 0.16, 0.80,
];
