//! The standing: what the ledger says of a client and message now.
//!
//! The model weighs what every chain and trait says and gives log-odds; calibration makes a chance of them,
//! and tells how much of this server's good mail looks as bad. That chance is what the record of whoever
//! answers for the message leans on, at the worse of two speeds, and then that of its sender: what a sender
//! has done itself outweighs what it looks like, and one bad mailbox does not spoil the others of its host.
//!
//! The standing keeps its uncertainty: the word is Bad only when even the optimistic end of the range is
//! bad, and High only when even the pessimistic end is good.

mod contribution;

pub use contribution::{Contribution, Source};
use contribution::{MAX_CONTRIBUTIONS, strongest};

use crate::evidence::{Reading, Tally};
use crate::features::{Heard, logit, sigmoid};
use crate::identity::{Chain, Identities, Kind};
use crate::ledger::{ChainReading, Ledger, Readings};
use crate::presentation::ReverseName;
use crate::time::Timestamp;
use crate::weights::{Part, Without};
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
/// The same of a wider key's record: it needs more evidence.
const K_WIDER: f32 = 8.0;
/// Strength of the model's chance as a prior of the sender's own record, in messages.
const K_OWN: f32 = 4.0;
/// The least share of good mail that is told apart: two messages of a thousand.
const LEAST_SHARE: f32 = 0.002;
/// What the odds of spam are divided by where spam alone is reported, or little else so far: there what is known of good
/// mail's networks and names is mostly bad. It keeps the good mail that waits below 0.5 % on two traces of which only spam
/// was labelled.
const DOUBT: f32 = 8.0;
/// What they are divided by where much of all mail is spam: so much for each spam that comes upon a good message, if that
/// is more than 1. The more spam there is, the more good mail is among what looks like it. It brings the good mail that
/// waits from 0.5 to 0.2 % on parts of a trace that hold up to three times as much spam. The labels of a flood count
/// little in it: a flood must not make more room for itself.
const SPAM_HEAVY: f32 = 6.0;
/// The most certain that anything is where that is so.
const CERTAIN: f32 = 0.999;
/// The most that they are divided by: the surest spam waits however much of it there is.
const MOST_DOUBT: f32 = 32.0;

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

/// What is thought of a client and message.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The word.
    pub word: Word,
    /// What the model says, as log-odds of spam: it ranks messages even where chances are alike.
    pub log_odds: f32,
    /// The chance that the next message is spam: of messages that are given one, that share is.
    pub probability: f32,
    /// The chance that the word rests on: what the sender's own record makes of it.
    pub judged: f32,
    /// The same against the most certain spam of this server, since labels that miss some keep every chance below 1; and
    /// doubted where little is known of good mail, or much of all mail is spam.
    pub certainty: f32,
    /// Its optimistic end: the 5 % quantile.
    pub lower: f32,
    /// Its pessimistic end: the 95 % quantile.
    pub upper: f32,
    /// Messages' worth of evidence behind it.
    pub evidence: f32,
    /// The share of this server's good mail that looked at least as bad; `None` while too little good mail
    /// is known.
    pub good_above: Option<f32>,
    /// The strongest terms that made it, strongest first.
    pub contributions: ArrayVec<Contribution, MAX_CONTRIBUTIONS>,
    /// What the model has heard of the chains, to learn from when a label comes.
    pub(crate) heard: Heard,
}

impl Ledger {
    /// The standing of `identities` now, by what is known of each.
    pub(crate) fn standing(&self, identities: &Identities, readings: &Readings, now: Timestamp) -> Standing {
        let features = self.features(identities, readings, now);
        let terms = self.terms(&features);
        let log_odds = terms.iter().sum();
        let probability = self.model.calibration.chance(log_odds);
        let without = self.model.without();
        let record = records(identities, readings, without);
        let judged = record.iter().fold(probability, |prior, record| worse_speed(record, prior, K_OWN));
        let place = self.model.calibration.good_above(log_odds, LEAST_SHARE);
        let good_above = place.filter(|_| !without.has(Part::Place));
        let contribution = |n: usize| self.contribution(identities, &features, n, terms[n]);
        let strongest = strongest(&terms).into_iter().map(contribution).collect();
        let known = known(identities, readings, without);
        let certainty = self.certainty(judged, self.spam_per_good(self.traits_left(now)));
        let heard = features.heard();
        Standing {
            log_odds,
            probability,
            good_above,
            certainty,
            heard,
            ..Standing::new(judged, known, strongest)
        }
    }

    /// A chance of spam as far as it is believed, where there is so much spam for each good message.
    fn certainty(&self, judged: f32, spam_per_good: f32) -> f32 {
        if self.hears_of_little_good() {
            return doubted(judged, DOUBT);
        }
        let purity =
            if self.model.without().has(Part::Purity) { 1.0 } else { self.model.calibration.purity() };
        match SPAM_HEAVY * spam_per_good {
            doubt if doubt > 1.0 => doubted((judged / purity).min(CERTAIN), doubt.min(MOST_DOUBT)),
            _ => (judged / purity).min(1.0),
        }
    }
}

/// What is known of those who answer for a message, the widest first: the best known verified domain or the
/// address, then the sender there: its domain, and its mailbox.
fn records<'a>(
    identities: &Identities,
    readings: &'a Readings,
    without: Without,
) -> ArrayVec<&'a Reading, 3> {
    let of = |kind: Kind| {
        let is_of =
            move |kind: Kind, of: Kind| kind == of && !without.has_chain(of) && !without.has(Part::Records);
        let chains = identities.chains.iter().zip(readings).filter(move |(chain, _)| is_of(chain.kind, kind));
        chains.map(|(_, levels)| levels)
    };
    let evidence = |levels: &&ChainReading| levels.first().map_or(0.0, |own| own.slow.evidence());
    let verified = of(Kind::Verified).max_by(|a, b| evidence(a).total_cmp(&evidence(b)));
    let host = verified.or_else(|| of(Kind::Address).next()).and_then(|levels| levels.first());
    // The first of two tells of all that the other does.
    let sender = of(Kind::Mailbox).take(1).flat_map(|levels| {
        // The widest level of a mailbox is a claim, or the verified domain that has been heard already.
        let own = &levels[..levels.len() - 1];
        own[..if without.has(Part::Wider) { own.len().min(1) } else { own.len() }].iter().rev()
    });
    host.into_iter().chain(sender).take(3).collect()
}

/// The chance of spam at the worse of two speeds, each leaning on a prior worth `k` messages. A sender
/// rises only when both agree.
pub(crate) fn worse_speed(reading: &Reading, prior: f32, k: f32) -> f32 {
    let lean = |tally: Tally, prior: f32| (tally.bad + k * prior) / (tally.evidence() + k);
    let slow = lean(reading.slow, prior);
    slow.max(lean(reading.fast, slow))
}

/// Evidence that makes a client known: that of its best known chain.
fn known(identities: &Identities, readings: &Readings, without: Without) -> f32 {
    let named = identities.traits.reverse_name() == ReverseName::Named;
    let chains = identities.chains.iter().zip(readings).filter(|(chain, _)| !without.has_chain(chain.kind));
    let general = |chain: &Chain| if without.has(Part::Wider) { 0 } else { chain.general_level() };
    chains.map(|(chain, levels)| evidence(chain.kind, levels, general(chain), named)).fold(0.0, f32::max)
}

/// A chain's own evidence, and what it may borrow of its general key's: a share of it, up to so many messages.
fn evidence(kind: Kind, levels: &ChainReading, general: usize, named: bool) -> f32 {
    let (share, most) = match kind {
        // A prefix sets how strangers are treated; alone it never makes one known.
        Kind::Address => (0.1, 1.5),
        // Hosts with names of their own answer for each other; customers of an access network do not.
        Kind::ReverseName if named => (0.5, 20.0),
        Kind::ReverseName => (0.05, 1.0),
        Kind::Verified => (0.5, 20.0),
        // Anybody can write these: they inform, but never make a client known.
        _ => return levels.first().map_or(0.0, |own| own.slow.evidence().min(1.0)),
    };
    let of = |level: usize| levels.get(level).map_or(0.0, |reading| reading.slow.evidence());
    let borrowed = if general > 0 { (of(general) * share).min(most) } else { 0.0 };
    of(0) + borrowed
}

/// The 5 % and 95 % quantiles of a chance, which this much evidence stands behind.
fn range(chance: f32, evidence: f32) -> [f32; 2] {
    let spread = QUANTILE * SPREAD / (1.0 + evidence).sqrt();
    [-spread, spread].map(|spread| sigmoid(logit(chance) + spread))
}

/// A chance whose odds are divided.
fn doubted(chance: f32, by: f32) -> f32 {
    chance / (chance + by * (1.0 - chance))
}

fn word(chance: f32, evidence: f32, [lower, upper]: [f32; 2]) -> Word {
    match () {
        () if evidence < NEW_BELOW => Word::New,
        () if upper <= HIGH_AT_MOST => Word::High,
        () if lower >= BAD_AT_LEAST => Word::Bad,
        () if chance > 0.5 => Word::Low,
        () => Word::Medium,
    }
}

/// The word of a record by itself, whatever is thought of what lies around it.
pub(crate) fn word_alone(record: &Reading) -> Word {
    let evidence = record.slow.evidence();
    let chance = worse_speed(record, 0.5, K_WIDER);
    word(chance, evidence, range(chance, evidence))
}

impl Standing {
    /// The word to reckon a wider key's quota by: the client's, or the key's own record where that is worse.
    pub(crate) fn word_on(&self, record: &Reading) -> Word {
        let evidence = record.slow.evidence();
        let chance = worse_speed(record, self.judged, K_WIDER);
        match word(chance, evidence, range(chance, evidence)) {
            own @ (Word::Low | Word::Bad) if self.word != Word::Bad => own,
            _ => self.word,
        }
    }

    fn new(chance: f32, evidence: f32, contributions: ArrayVec<Contribution, MAX_CONTRIBUTIONS>) -> Self {
        let [lower, upper] = range(chance, evidence);
        let word = word(chance, evidence, [lower, upper]);
        let (log_odds, good_above) = (logit(chance), None);
        Self {
            word,
            log_odds,
            probability: chance,
            judged: chance,
            certainty: chance,
            lower,
            upper,
            evidence,
            good_above,
            contributions,
            heard: Heard::NOTHING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Record, Weight};
    use crate::fixtures::{facts, named};
    use crate::identity::Keyring;
    use crate::outcome::Outcome;
    use crate::policy::Waits;
    use crate::weights::Start;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    struct Desk(Ledger, Keyring);

    impl Desk {
        fn new() -> Self {
            Self(Ledger::new(1 << 22, Start::shipped(), NOW), Keyring::new([7; 16]))
        }
        fn learn(&self, facts: &crate::facts::Facts, outcome: Outcome, times: usize) {
            (0..times).for_each(|_| self.learn_at(facts, outcome, NOW));
        }
        fn learn_at(&self, facts: &crate::facts::Facts, outcome: Outcome, at: Timestamp) {
            let identities = Identities::of(facts, &self.1);
            let standing = self.standing_at(facts, at);
            let said = (standing.log_odds, &standing.heard);
            self.0.teach(&identities, said, outcome.label().unwrap(), at);
            self.0.learn(&identities, outcome, at);
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
    fn where_there_is_much_spam_it_has_to_be_surer() {
        let desk = Desk::new();
        let mut heard = Record::new(NOW);
        heard.add(Weight { good: 1000.0, bad: 1000.0, ..Weight::default() }, NOW);
        desk.0.add_labels(heard, NOW);
        let certainty = |spam_per_good: f32| desk.0.certainty(0.97, spam_per_good);
        assert_eq!(certainty(0.15), 0.97);
        let certainties = [0.2, 0.5, 2.0, 5.0].map(certainty);
        assert!(certainties.is_sorted_by(|a, b| a > b) && certainties[0] < 0.97, "{certainties:?}");
        let surest = desk.0.certainty(1.0, 1e6);
        assert!(surest > Waits::default().suspicious, "the surest spam waits all the same: {surest}");
    }

    #[test]
    fn strangers_are_new_and_their_traits_speak() {
        let desk = Desk::new();
        let bare = desk.standing(&facts("192.0.2.1"));
        let proper = desk.standing(&named("192.0.2.2", "mail.corp.example"));
        assert_eq!((bare.word, proper.word), (Word::New, Word::New));
        let dynamic = {
            let name = "192-0-2-3.dsl.isp.example";
            let mut facts = named("192.0.2.3", name);
            facts.envelope.sender = crate::name::Sender::new("winner@webmail.example");
            desk.standing(&facts)
        };
        assert!(dynamic.probability > 0.85 && bare.probability > 0.85, "{dynamic:?} {bare:?}");
        assert!(proper.probability < 0.6, "{proper:?}");
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
        for day in 0..30 {
            let at = Timestamp::from_secs(1_700_000_000 - day * 86_400);
            (0..10).for_each(|_| desk.learn_at(&sender, Outcome::ReportedHam, at));
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
        let identities = Identities::of(&sender, &desk.1);
        let all = desk.0.all_contributions(&identities, &desk.0.readings(&identities, NOW), NOW);
        let sum: f32 = all.iter().map(|c| c.log_odds).sum();
        assert!((sum - standing.log_odds).abs() < 1e-3, "{sum} {}", standing.log_odds);
        assert_eq!(standing.contributions[..], all[..MAX_CONTRIBUTIONS]);
        let sizes: Vec<f32> = all.iter().map(|c| c.log_odds.abs()).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn a_stolen_mailbox_does_not_spoil_the_others_of_its_host() {
        let desk = Desk::new();
        let mailbox = |name: &str| {
            let mut facts = named("192.0.2.2", "mail.corp.example");
            facts.envelope.sender = crate::name::Sender::new(&format!("{name}@corp.example"));
            facts
        };
        (0..20).for_each(|_| desk.learn(&mailbox("anna"), Outcome::FilteredHam, 1));
        (0..30).for_each(|_| desk.learn(&mailbox("bert"), Outcome::FilteredSpam, 1));
        let [anna, bert] = ["anna", "bert"].map(|name| desk.standing(&mailbox(name)));
        assert!(matches!(bert.word, Word::Low | Word::Bad), "{bert:?}");
        assert!(matches!(anna.word, Word::High | Word::Medium), "{anna:?}");
    }
}
