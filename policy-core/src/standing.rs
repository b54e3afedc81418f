//! The standing: what the ledger says of a client and message now.
//!
//! Each chain gives an estimate of the chance that the next message is spam: the child's evidence, leaning
//! on its parent (shrinkage), at the worse of the two speeds. The estimates are averaged in log-odds, each
//! with the confidence that its evidence has earned; traits speak for strangers and fall silent as evidence
//! of their own comes in. An average, and not a sum, because the chains' evidence comes from the same mail.
//!
//! The standing keeps its uncertainty: the word is Bad only when even the optimistic end of the range is
//! bad, and High only when even the pessimistic end is good.

use crate::facts::Facts;
use crate::features::{COUNT, CROSSES, Features, PER_CHAIN, SLOTS, STRANGER, TRAITS, View, sigmoid};
use crate::identity::{Identities, Kind};
use crate::ledger::Ledger;
use crate::presentation::{ReverseName, Trait, TraitSet};
use crate::state::State;
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Range of the log-odds of a standing without evidence (one standard deviation).
const SPREAD: f32 = 2.0;
/// Standard deviations from the middle to the 5 % and 95 % quantiles.
const QUANTILE: f32 = 1.645;
/// Evidence below which a client is New.
const NEW_BELOW: f32 = 2.0;
/// At most this chance of spam at the pessimistic end makes High.
const HIGH_AT_MOST: f32 = 0.15;
/// At least this chance of spam at the optimistic end makes Bad.
const BAD_AT_LEAST: f32 = 0.75;
/// Most contributions: one for each trait and chain.
const MAX_CONTRIBUTIONS: usize = 1 + SLOTS.len() + TraitSet::COUNT;

/// The standing in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Even the pessimistic end of the range is good.
    High,
    /// Neither here nor there.
    Medium,
    /// More likely spam than not.
    Low,
    /// Even the optimistic end of the range is bad.
    Bad,
    /// Too little is known.
    New,
}

impl Word {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "High",
            Self::Medium => "Medium",
            Self::Low => "Low",
            Self::Bad => "Bad",
            Self::New => "New",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a contribution comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A trait.
    Trait(Trait),
    /// A chain of identities.
    Chain(Kind),
    /// What holds for every message here: the server's own share of spam.
    Base,
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

/// What is thought of a client and message.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The word.
    pub word: Word,
    /// The chance that the next message is spam.
    pub probability: f32,
    /// The optimistic end: its 5 % quantile.
    pub lower: f32,
    /// The pessimistic end: its 95 % quantile.
    pub upper: f32,
    /// Messages' worth of evidence behind it.
    pub evidence: f32,
    /// The terms that made it, strongest first.
    pub contributions: ArrayVec<Contribution, MAX_CONTRIBUTIONS>,
}

impl Ledger {
    /// The standing of `identities` now.
    pub(crate) fn standing(&self, identities: &Identities, now: Timestamp) -> Standing {
        let features = self.features(identities, now);
        let (terms, base) = self.model.terms(&features);
        let known = features.views.iter().map(|view| known(view, identities)).fold(0.0, f32::max);
        let mut contributions = ArrayVec::<Contribution, MAX_CONTRIBUTIONS>::new();
        contributions.push(Contribution {
            source: Source::Base,
            estimate: sigmoid(features.base),
            evidence: 0.0,
            log_odds: base + terms[CROSSES..].iter().sum::<f32>(),
        });
        for view in &features.views {
            contributions.push(Contribution {
                source: Source::Chain(view.kind),
                estimate: view.estimate,
                evidence: view.own,
                log_odds: terms[view.slot * PER_CHAIN..][..PER_CHAIN].iter().sum(),
            });
        }
        let shares = shares(&features, &terms);
        for (i, value) in identities.traits.entries().into_iter().enumerate() {
            contributions.push(Contribution {
                source: Source::Trait(value),
                estimate: sigmoid(features.base + features.values[TRAITS + i]),
                evidence: 0.0,
                log_odds: terms[TRAITS + i] + shares[i],
            });
        }
        contributions.sort_by(|a: &Contribution, b| b.log_odds.abs().total_cmp(&a.log_odds.abs()));
        let log_odds = contributions.iter().map(|c| c.log_odds).sum();
        Standing::new(log_odds, SPREAD / (1.0 + known).sqrt(), known, contributions)
    }
}

/// Each trait's share of what they say together of a stranger.
fn shares(features: &Features, terms: &[f32; COUNT]) -> [f32; TraitSet::COUNT] {
    let values = &features.values[TRAITS..STRANGER];
    let sum: f32 = values.iter().sum();
    let scale = if sum.abs() < 1e-3 { 0.0 } else { terms[STRANGER] / sum };
    std::array::from_fn(|i| values[i] * scale)
}

/// Evidence that makes a client known.
fn known(view: &View, identities: &Identities) -> f32 {
    let named = identities.traits.reverse_name == ReverseName::Named;
    let (share, cap) = match view.kind {
        // A prefix sets how strangers are treated; alone it never makes one known.
        Kind::Address => (0.1, 1.5),
        // Hosts with names of their own answer for each other; customers of an access network do not.
        Kind::ReverseName if named => (0.5, 20.0),
        Kind::ReverseName => (0.05, 1.0),
        Kind::Verified => (0.5, 20.0),
        Kind::SenderInPrefix => (0.0, 0.0),
        // Anybody can write these, and a network is not a client.
        _ => return view.own.min(1.0),
    };
    view.own + (view.parent * share).min(cap)
}

impl State {
    /// How a client with these facts stands now, and the identities that the outcome is to be booked on.
    /// Changes nothing.
    pub fn standing(&self, facts: &Facts, now: Timestamp) -> (Identities, Standing) {
        let identities = Identities::of(facts, &self.keyring);
        let standing = self.ledger.standing(&identities, now);
        (identities, standing)
    }
}

impl Standing {
    /// The log-odds behind the probability, which do not saturate: for ranking.
    pub fn log_odds(&self) -> f32 {
        self.contributions.iter().map(|c| c.log_odds).sum()
    }

    fn new(
        log_odds: f32,
        spread: f32,
        evidence: f32,
        contributions: ArrayVec<Contribution, MAX_CONTRIBUTIONS>,
    ) -> Self {
        let probability = sigmoid(log_odds);
        let lower = sigmoid(log_odds - QUANTILE * spread);
        let upper = sigmoid(log_odds + QUANTILE * spread);
        let word = match () {
            () if evidence < NEW_BELOW => Word::New,
            () if upper <= HIGH_AT_MOST => Word::High,
            () if lower >= BAD_AT_LEAST => Word::Bad,
            () if probability > 0.5 => Word::Low,
            () => Word::Medium,
        };
        Self { word, probability, lower, upper, evidence, contributions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{facts, named};
    use crate::identity::Keyring;
    use crate::outcome::Outcome;
    use crate::weights::Start;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    struct Desk(Ledger, Keyring);

    impl Desk {
        fn new() -> Self {
            Self(Ledger::new(1 << 22, &Start::shipped(), NOW), Keyring::new([7; 16]))
        }
        fn learn(&self, facts: &crate::facts::Facts, outcome: Outcome, times: usize) {
            let identities = Identities::of(facts, &self.1);
            (0..times).for_each(|_| self.0.learn(&identities, outcome, NOW));
        }
        fn standing(&self, facts: &crate::facts::Facts) -> Standing {
            self.0.standing(&Identities::of(facts, &self.1), NOW)
        }
    }

    #[test]
    fn strangers_are_new_and_their_traits_speak() {
        let desk = Desk::new();
        let bare = desk.standing(&facts("192.0.2.1"));
        let proper = desk.standing(&named("192.0.2.2", "mail.corp.example"));
        assert_eq!((bare.word, proper.word), (Word::New, Word::New));
        assert!(bare.probability > 0.7, "{bare:?}");
        assert!(proper.probability < 0.35, "{proper:?}");
        assert!(bare.lower < bare.probability && bare.probability < bare.upper);
    }

    #[test]
    fn twenty_five_good_messages_make_high_and_forty_bad_ones_bad() {
        let desk = Desk::new();
        let good = named("192.0.2.2", "mail.corp.example");
        desk.learn(&good, Outcome::ReportedHam, 25);
        assert_eq!(desk.standing(&good).word, Word::High, "{:?}", desk.standing(&good));
        let bad = facts("198.51.100.1");
        desk.learn(&bad, Outcome::FilteredSpam, 40);
        assert_eq!(desk.standing(&bad).word, Word::Bad, "{:?}", desk.standing(&bad));
    }

    #[test]
    fn a_bad_prefix_does_not_condemn_a_neighbour_with_history() {
        let desk = Desk::new();
        let good = named("192.0.2.2", "mail.corp.example");
        desk.learn(&good, Outcome::ReportedHam, 25);
        for n in 10..60 {
            desk.learn(&facts(&format!("192.0.2.{n}")), Outcome::FilteredSpam, 3);
        }
        let neighbour = desk.standing(&good);
        assert!(matches!(neighbour.word, Word::High | Word::Medium), "{neighbour:?}");
        let other = |address: &str| desk.standing(&named(address, "mail.new.example"));
        let (stranger, elsewhere) = (other("192.0.2.200"), other("203.0.113.200"));
        assert!(stranger.probability > elsewhere.probability);
        assert_ne!(stranger.word, Word::Bad);
    }

    #[test]
    fn a_burst_of_spam_turns_a_good_sender_and_time_brings_it_back() {
        let desk = Desk::new();
        let sender = named("192.0.2.2", "mail.corp.example");
        let identities = Identities::of(&sender, &desk.1);
        for day in 0..30 {
            let at = Timestamp::from_secs(1_700_000_000 - day * 86_400);
            (0..10).for_each(|_| desk.0.learn(&identities, Outcome::ReportedHam, at));
        }
        assert_eq!(desk.standing(&sender).word, Word::High);
        desk.learn(&sender, Outcome::FilteredSpam, 60);
        let turned = desk.standing(&sender);
        assert!(matches!(turned.word, Word::Low | Word::Bad), "{turned:?}");
        let later = desk.0.standing(&identities, NOW.after(Duration::from_secs(2 * 86_400)));
        assert!(later.probability < turned.probability && later.word != Word::Bad, "{later:?}");
    }

    #[test]
    fn contributions_add_up_and_are_sorted() {
        let desk = Desk::new();
        let sender = named("192.0.2.2", "mail.corp.example");
        desk.learn(&sender, Outcome::ReportedHam, 5);
        let standing = desk.standing(&sender);
        let sum: f32 = standing.contributions.iter().map(|c| c.log_odds).sum();
        assert!((sigmoid(sum) - standing.probability).abs() < 1e-4);
        let sizes: Vec<f32> = standing.contributions.iter().map(|c| c.log_odds.abs()).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b));
    }
}
