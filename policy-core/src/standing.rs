//! The standing: what the ledger says of a client and message now.
//!
//! Each chain gives an estimate of the chance that the next message is spam: the child's evidence, leaning
//! on its parent (shrinkage), at the worse of the two speeds. The estimates are averaged in log-odds, each
//! with the confidence that its evidence has earned; traits speak for strangers and fall silent as evidence
//! of their own comes in. An average, and not a sum, because the chains' evidence comes from the same mail.
//!
//! The standing keeps its uncertainty: the word is Bad only when even the optimistic end of the range is
//! bad, and High only when even the pessimistic end is good.

use crate::evidence::{Reading, Tally};
use crate::identity::{Identities, Kind, MAX_CHAINS};
use crate::ledger::{ChainReading, Ledger, Readings};
use crate::presentation::{FirstLabel, HeloName, ReverseName, SenderFit, Tls, Trait};
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Strength of the prior that a child takes from its parent, in messages.
const K_CHILD: f32 = 4.0;
/// Strength of the prior that a parent takes from the middle: a wider key needs more evidence.
const K_PARENT: f32 = 8.0;
/// Messages that the evidence behind a trait value's prior is worth.
const K_TRAIT: f64 = 200.0;
/// How much of a trait's log-odds counts: traits are correlated with each other.
const TRAIT_SCALE: f32 = 0.6;
/// The farthest that traits together move the log-odds.
const TRAIT_LIMIT: f32 = 3.0;
/// The traits' weight in the average while nothing else is known.
const TRAIT_WEIGHT: f32 = 0.5;
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
const MAX_CONTRIBUTIONS: usize = 16;

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

impl Standing {
    /// The log-odds of spam: it ranks messages even where the probability has no digits left to tell them
    /// apart.
    pub fn log_odds(&self) -> f32 {
        self.contributions.iter().map(|c| c.log_odds).sum()
    }
}

/// What one chain says.
struct Estimate {
    kind: Kind,
    log_odds: f32,
    /// Evidence for the purpose of confidence; the parent's counts for little.
    evidence: f32,
    weight: f32,
}

impl Ledger {
    /// The standing of `identities` now, by what is known of each.
    pub(crate) fn standing(&self, identities: &Identities, readings: &Readings, now: Timestamp) -> Standing {
        let named = identities.traits.reverse_name == ReverseName::Named;
        let estimates: ArrayVec<Estimate, MAX_CHAINS> = (identities.chains.iter().zip(readings))
            .map(|(chain, reading)| Estimate::new(chain.kind, reading, named))
            .collect();
        let known = estimates.iter().map(|e| e.evidence).fold(0.0, f32::max);
        let trait_weight = TRAIT_WEIGHT * (1.0 - confidence(known));
        let total = trait_weight + estimates.iter().map(|e| e.weight).sum::<f32>();
        let traits = self.read_traits(&identities.traits, now);
        let mut contributions: ArrayVec<Contribution, MAX_CONTRIBUTIONS> = traits.map(of_trait).collect();
        let presented = contributions.iter().map(|c| c.log_odds).sum::<f32>().abs();
        let limit = (TRAIT_LIMIT / presented.max(TRAIT_LIMIT)) * trait_weight / total;
        contributions.iter_mut().for_each(|c| c.log_odds *= limit);
        for estimate in estimates.iter().filter(|e| e.weight > 0.0) {
            contributions.push(estimate.contribution(total));
        }
        let log_odds = contributions.iter().map(|c| c.log_odds).sum::<f32>();
        contributions.sort_by(|a: &Contribution, b| b.log_odds.abs().total_cmp(&a.log_odds.abs()));
        Standing::new(log_odds, spread(&estimates, log_odds, total, known), known, contributions)
    }
}

fn of_trait((value, good, bad): (Trait, f64, f64)) -> Contribution {
    let estimate = ((bad + K_TRAIT * f64::from(prior(value))) / (good + bad + K_TRAIT)) as f32;
    Contribution {
        source: Source::Trait(value),
        estimate,
        evidence: (good + bad) as f32,
        log_odds: TRAIT_SCALE * logit(estimate),
    }
}

/// How far a kind of chain leans on its parent (share of the parent's evidence, and its cap in messages), and
/// the chain's weight in the average.
fn reach(kind: Kind, named: bool) -> ((f32, f32), f32) {
    match kind {
        // A prefix sets how strangers are treated; alone it never makes one known.
        Kind::Address => ((0.1, 1.5), 1.0),
        // Hosts with names of their own answer for each other; customers of an access network do not.
        Kind::ReverseName if named => ((0.5, 20.0), 0.7),
        Kind::ReverseName => ((0.05, 1.0), 0.4),
        Kind::Verified => ((0.5, 20.0), 1.0),
        Kind::SenderInPrefix | Kind::Helo | Kind::Claimed | Kind::Prefix | Kind::Internal => {
            ((0.0, 0.0), 0.3)
        }
    }
}

/// The chance of spam at the worse of two speeds, each leaning on a prior worth `k` messages. A sender
/// rises only when both agree.
fn worse_speed(reading: &Reading, prior: f32, k: f32) -> f32 {
    let lean = |tally: Tally, prior: f32| (tally.bad + k * prior) / (tally.evidence() + k);
    let slow = lean(reading.slow, prior);
    slow.max(lean(reading.fast, slow))
}

fn confidence(evidence: f32) -> f32 {
    evidence / (evidence + K_CHILD)
}

/// The spread shrinks with evidence and grows with disagreement between the chains.
fn spread(estimates: &[Estimate], mean: f32, total: f32, known: f32) -> f32 {
    let squares = estimates.iter().map(|e| e.weight * (e.log_odds - mean).powi(2)).sum::<f32>();
    let disagreement = squares / total / (1.0 + known).sqrt();
    (SPREAD * SPREAD / (1.0 + known) + disagreement).sqrt()
}

impl Estimate {
    fn new(kind: Kind, reading: &ChainReading, named: bool) -> Self {
        let ChainReading { specific: child, general: parent } = reading;
        let parents = worse_speed(parent, 0.5, K_PARENT);
        let log_odds = logit(worse_speed(child, parents, K_CHILD));
        let (leaning, weight) = reach(kind, named);
        let own = child.slow.evidence();
        let evidence = match kind {
            // Anybody can write these: they inform, but never make a client known.
            Kind::Helo | Kind::Claimed | Kind::SenderInPrefix => own.min(1.0),
            _ => own + (parent.slow.evidence() * leaning.0).min(leaning.1),
        };
        Self { kind, log_odds, evidence, weight: weight * confidence(evidence) }
    }

    fn contribution(&self, total: f32) -> Contribution {
        Contribution {
            source: Source::Chain(self.kind),
            estimate: sigmoid(self.log_odds),
            evidence: self.evidence,
            log_odds: self.weight * self.log_odds / total,
        }
    }
}

impl Standing {
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

fn logit(p: f32) -> f32 {
    let p = p.clamp(0.001, 0.999);
    (p / (1.0 - p)).ln()
}

fn sigmoid(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// The chance of spam among strangers with this trait, before this server has seen any. Set by hand from
/// what postmasters publish (RFC 1912 section 2.1 on reverse names, RFC 5321 section 4.1.1.1 on HELO); the
/// server's own mail outweighs them after some two hundred messages, so that no single sender moves them far.
const fn prior(value: Trait) -> f32 {
    match value {
        Trait::ReverseName(ReverseName::Absent) => 0.85,
        Trait::ReverseName(ReverseName::Unconfirmed) => 0.75,
        Trait::ReverseName(ReverseName::Generic) => 0.80,
        Trait::ReverseName(ReverseName::Named) => 0.30,
        Trait::Helo(HeloName::Absent | HeloName::Unrelated) => 0.60,
        Trait::Helo(HeloName::Literal) => 0.80,
        Trait::Helo(HeloName::BareWord) => 0.90,
        Trait::Helo(HeloName::SameDomain) => 0.35,
        Trait::Helo(HeloName::Equal) => 0.25,
        Trait::Sender(SenderFit::Verified) => 0.15,
        Trait::Sender(SenderFit::VerifiedOther) => 0.35,
        Trait::Sender(SenderFit::OfReverseName) => 0.30,
        Trait::Sender(SenderFit::Unrelated) => 0.55,
        Trait::Sender(SenderFit::Unknown | SenderFit::Null | SenderFit::OfHelo) => 0.50,
        Trait::Tls(Tls::Plain) => 0.60,
        Trait::Tls(Tls::Encrypted) => 0.40,
        Trait::Tls(Tls::Unknown) => 0.50,
        Trait::FirstLabel(FirstLabel::MailLike) => 0.35,
        Trait::FirstLabel(FirstLabel::Absent | FirstLabel::Other) => 0.50,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{facts, named};
    use crate::identity::Keyring;
    use crate::outcome::Outcome;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    struct Desk(Ledger, Keyring);

    impl Desk {
        fn new() -> Self {
            Self(Ledger::new(1 << 22, NOW), Keyring::new([7; 16]))
        }
        fn learn(&self, facts: &crate::facts::Facts, outcome: Outcome, times: usize) {
            let identities = Identities::of(facts, &self.1);
            (0..times).for_each(|_| self.0.learn(&identities, outcome, NOW));
        }
        fn standing(&self, facts: &crate::facts::Facts) -> Standing {
            self.standing_at(facts, NOW)
        }
        fn standing_at(&self, facts: &crate::facts::Facts, now: Timestamp) -> Standing {
            let identities = Identities::of(facts, &self.1);
            self.0.standing(&identities, &self.0.readings(&identities, now), now)
        }
    }

    #[test]
    fn strangers_are_new_and_their_traits_speak() {
        let desk = Desk::new();
        let bare = desk.standing(&facts("192.0.2.1"));
        let proper = desk.standing(&named("192.0.2.2", "mail.corp.example"));
        assert_eq!((bare.word, proper.word), (Word::New, Word::New));
        assert!(bare.probability > 0.7, "{bare:?}");
        assert!(proper.probability < 0.25, "{proper:?}");
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
        let later = desk.standing_at(&sender, NOW.after(Duration::from_secs(2 * 86_400)));
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
