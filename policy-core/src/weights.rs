//! What the model knows when it starts.
//!
//! The tables are fitted on recorded mail and printed by `tempfail fit`. They hold weights of features and
//! log-odds of classes; no address, name or domain is in them.

mod found;
mod part;
#[rustfmt::skip]
mod shipped;

pub(crate) use part::Without;
pub use part::{NoSuchPart, Part};

use crate::features::{NUMBERS, PER_CHAIN, SLOTS, STRANGER, TABLE, TRAITS, logit, sense};
use crate::presentation::{SHOWN, SHOWN_VALUES, Trait, TraitSet};
use std::fmt::Write as _;

/// In the printed tables a weight of 1 is a hundred.
const UNIT: f32 = 100.0;
/// Where the numbers of what is looked up stand: the recordings have none of it, so nothing was fitted.
const FOUND: std::ops::Range<usize> = TRAITS + SHOWN..TRAITS + TraitSet::COUNT;
/// Messages that the share of spam is worth for a trait value when a start is fitted.
const K_ODDS: f32 = 20.0;

/// Where a model starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Weights of the numbers.
    pub(crate) numbers: Vec<f32>,
    /// Weights of traits and pairs of traits.
    pub(crate) table: Vec<f32>,
    /// What each trait value says, as log-odds against the share of spam, by [`Trait::index`].
    pub(crate) odds: Vec<f32>,
    /// Slope and offset that make a chance of what the weights say.
    pub(crate) curve: [f32; 2],
    /// Whether weights may leave what they began with far behind.
    pub(crate) fitting: bool,
    /// The parts of the model that are left out.
    pub(crate) without: Without,
}

impl Start {
    /// A start that knows next to nothing: each chain and trait a little. What fitting begins with.
    pub fn flat() -> Self {
        let mut numbers = vec![0.0; NUMBERS];
        (0..SLOTS.len()).for_each(|slot| numbers[slot * PER_CHAIN] = 0.1);
        numbers[TRAITS..TRAITS + TraitSet::COUNT].fill(0.2);
        numbers[FOUND].fill(found::WEIGHT);
        numbers[STRANGER] = 0.2;
        Self {
            numbers,
            table: vec![0.0; TABLE],
            odds: std::iter::repeat_n(0.0, SHOWN_VALUES).chain(found::odds()).collect(),
            curve: [1.0, 0.0],
            fitting: true,
            without: Without::default(),
        }
    }

    /// What ships with the program.
    pub fn shipped() -> Self {
        let weights = |table: &[i16]| table.iter().map(|&weight| f32::from(weight) / UNIT).collect();
        let (mut numbers, mut odds): (Vec<f32>, Vec<f32>) =
            (weights(&shipped::NUMBERS), weights(&shipped::ODDS));
        numbers.splice(FOUND.start..FOUND.start, FOUND.map(|_| found::WEIGHT));
        odds.extend(found::odds());
        Self {
            numbers,
            table: weights(&shipped::TABLE),
            odds,
            curve: shipped::CURVE.map(|value| f32::from(value) / UNIT),
            fitting: false,
            without: Without::default(),
        }
    }

    /// The same without a part of the model, to measure what that part is worth. Without the weights that ship
    /// it knows next to nothing, but is bounded and calibrated as they are.
    pub fn without(self, part: Part) -> Self {
        let without = self.without.and(part);
        match part {
            Part::Shipped => Self { curve: self.curve, fitting: self.fitting, without, ..Self::flat() },
            _ => Self { without, ..self },
        }
    }

    /// The same as it would ship: bounded in what it may still learn.
    pub fn shipping(self) -> Self {
        Self { fitting: false, ..self }
    }

    /// Takes what each trait value says from labelled mail: its traits, and whether it was spam.
    pub fn count_odds(&mut self, mail: impl Iterator<Item = (TraitSet, bool)>) {
        let mut counts = vec![[0.0f32; 2]; SHOWN_VALUES];
        let mut all = [1.0f32; 2];
        for (traits, spam) in mail {
            all[usize::from(spam)] += 1.0;
            traits
                .iter()
                .take(SHOWN)
                .filter_map(Trait::index)
                .for_each(|n| counts[n][usize::from(spam)] += 1.0);
        }
        let share = all[1] / (all[0] + all[1]);
        let odds = |[good, bad]: [f32; 2]| {
            let estimate = (bad + K_ODDS * share) / (good + bad + K_ODDS);
            logit(estimate) - logit(share)
        };
        self.odds.splice(..SHOWN_VALUES, counts.into_iter().map(odds));
    }

    /// The same with every weight within the bounds of its sense.
    pub(crate) fn bounded(mut self) -> Self {
        for number in 0..self.numbers.len() {
            let (least, most) = sense(number, |of| self.numbers[of]);
            self.numbers[number] = self.numbers[number].clamp(least, most);
        }
        self
    }

    /// The tables as the source text of this program.
    pub fn source(&self) -> String {
        let mut text = String::from("//! Printed by `tempfail fit`: hundredths.\n");
        let mut print = |name: &str, kind: &str, weights: &[f32]| {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n#[rustfmt::skip]\npub(super) const {name}: [i16; {kind}] = [");
            for (n, weight) in weights.iter().enumerate() {
                let _ =
                    write!(text, "{}{},", if n % 20 == 0 { "\n    " } else { " " }, (weight * UNIT).round());
            }
            text.push_str("\n];\n");
        };
        let fitted = [&self.numbers[..FOUND.start], &self.numbers[FOUND.end..]].concat();
        print("NUMBERS", &fitted.len().to_string(), &fitted);
        print("TABLE", &TABLE.to_string(), &self.table);
        print("ODDS", &SHOWN_VALUES.to_string(), &self.odds[..SHOWN_VALUES]);
        print("CURVE", "2", &self.curve);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_tables_are_whole_and_within_bounds() {
        let start = Start::shipped();
        assert_eq!((start.numbers.len(), start.table.len()), (NUMBERS, TABLE));
        assert_eq!(start.odds.len(), Trait::COUNT);
        assert_eq!(start.clone().bounded(), start);
        let weighty = start.numbers.iter().filter(|weight| weight.abs() > 0.05).count();
        assert!(
            weighty > NUMBERS / 4,
            "{weighty} of {NUMBERS} numbers have a weight: is this a fitted table?"
        );
    }

    #[test]
    fn what_is_printed_is_what_was_fitted() {
        let source = Start::flat().source();
        assert!(source.contains("const TABLE: [i16; 4096]") && source.contains(" 20, 20,"), "{source}");
    }
}
