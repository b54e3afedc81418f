//! What a standing is made of: the terms of its log-odds, by where each comes from.
//!
//! Invariant: all contributions of a standing add up to its log-odds.

use crate::features::{
    BIAS, Features, NUMBERS, PAIRS, PER_CHAIN, SLOTS, STRANGER, TRAITS, UNKNOWN, View, sigmoid,
};
use crate::identity::{Identities, Kind};
use crate::ledger::{Ledger, Readings};
use crate::presentation::{SHOWN, Trait, TraitSet};
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use std::fmt;

/// Contributions that a standing carries: the strongest.
pub(super) const MAX_CONTRIBUTIONS: usize = 6;

/// Where a contribution comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A trait, alone and in pairs with others.
    Trait(Trait),
    /// A chain of identities.
    Chain(Kind),
    /// What all mail of this server has in common, and how little is known of the client.
    Base,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trait(value) => value.fmt(f),
            Self::Chain(kind) => f.write_str(kind.word()),
            Self::Base => f.write_str("mail to this server in general"),
        }
    }
}

/// One term of the standing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// Its source.
    pub source: Source,
    /// The chance of spam by this source alone.
    pub estimate: f32,
    /// Messages' worth of evidence behind it.
    pub evidence: f32,
    /// What it adds to the log-odds of the standing; above zero speaks against the client.
    pub log_odds: f32,
}

impl Ledger {
    /// Every term of the standing, strongest first: they add up to its log-odds.
    pub(crate) fn all_contributions(
        &self,
        identities: &Identities,
        readings: &Readings,
        now: Timestamp,
    ) -> Vec<Contribution> {
        let features = self.features(identities, readings, now);
        let terms = self.terms(&features).into_iter().enumerate();
        let mut contributions: Vec<Contribution> =
            terms.map(|(n, term)| self.contribution(identities, &features, n, term)).collect();
        contributions.sort_unstable_by(|a, b| b.log_odds.abs().total_cmp(&a.log_odds.abs()));
        contributions
    }

    /// What each chain, each trait and the base add to the log-odds.
    pub(super) fn terms(&self, features: &Features) -> Terms {
        let numbers = self.model.of_numbers(features);
        let mut of_traits = [0.0; TraitSet::COUNT];
        of_traits.copy_from_slice(&numbers[TRAITS..BIAS]);
        self.share_out(features, numbers[STRANGER], &mut of_traits);
        let of_chain = |view: &View| numbers[view.slot * PER_CHAIN..][..PER_CHAIN].iter().sum();
        let mut terms: Terms = features.views.iter().map(of_chain).collect();
        terms.extend(of_traits);
        terms.push(features.base + numbers[BIAS] + numbers[UNKNOWN]);
        terms
    }

    /// The `n`th of the [`Terms`] with what is behind it.
    pub(super) fn contribution(
        &self,
        identities: &Identities,
        features: &Features,
        n: usize,
        term: f32,
    ) -> Contribution {
        if let Some(view) = features.views.get(n) {
            return Contribution::of_chain(view, term);
        }
        let of = n - features.views.len();
        let (source, alone, evidence) = if of < TraitSet::COUNT {
            let value = identities.traits.nth(of);
            let read = |place| self.read_trait(place, features.traits_left());
            let (good, bad) = value.index().map(read).unwrap_or_default();
            (Source::Trait(value), features.numbers[TRAITS + of], (good + bad) as f32)
        } else {
            (Source::Base, 0.0, 0.0)
        };
        Contribution { source, estimate: sigmoid(alone + features.base), evidence, log_odds: term }
    }

    /// Shares out among the traits what they add in the table, a pair half and half, and as strangers' traits.
    fn share_out(&self, features: &Features, stranger: f32, of_traits: &mut [f32; TraitSet::COUNT]) {
        let mut of_places = self.model.of_places(features);
        of_traits.iter_mut().take(SHOWN).zip(&mut of_places).for_each(|(sum, term)| *sum += term);
        for (&(first, second), term) in PAIRS.iter().zip(of_places) {
            of_traits[usize::from(first)] += 0.5 * term;
            of_traits[usize::from(second)] += 0.5 * term;
        }
        let own = &features.numbers[TRAITS..BIAS];
        let all = own.iter().sum::<f32>();
        if all.abs() > f32::MIN_POSITIVE {
            of_traits.iter_mut().zip(own).for_each(|(sum, term)| *sum += stranger * term / all);
        } else {
            of_traits[0] += stranger;
        }
    }
}

/// What each chain with a slot adds, in the order of the views, then each trait, then the base.
pub(super) type Terms = ArrayVec<f32, { SLOTS.len() + TraitSet::COUNT + 1 }>;

const _: () = assert!(NUMBERS == STRANGER + 1);

/// Places of the strongest terms, strongest first. Nearly every term is weaker than the last of those found
/// so far, so this takes about one comparison a term.
pub(super) fn strongest(terms: &[f32]) -> ArrayVec<usize, MAX_CONTRIBUTIONS> {
    let mut strongest = ArrayVec::<usize, MAX_CONTRIBUTIONS>::new();
    for (n, term) in terms.iter().enumerate() {
        let stronger = |&other: &usize| terms[other].abs() >= term.abs();
        let place = strongest.iter().rposition(stronger).map_or(0, |last| last + 1);
        if place < MAX_CONTRIBUTIONS {
            strongest.truncate(MAX_CONTRIBUTIONS - 1);
            strongest.insert(place, n);
        }
    }
    strongest
}

impl Contribution {
    fn of_chain(view: &View, log_odds: f32) -> Self {
        Self { source: Source::Chain(view.kind), estimate: view.estimate, evidence: view.own, log_odds }
    }
}
