//! Features: what the model hears of a message, as numbers.
//!
//! Every chain gives ten numbers and every trait one. All are log-odds against the server's own share of
//! spam, or grow with a logarithm, so that a number means the same on a server with little spam as on one with
//! much. Besides, each trait and each pair of the first traits has a weight of its own in a table of fixed
//! size, which speaks the more the less is known of the client. A chain or trait that a message does not
//! have gives zeros.

mod heard;

pub(crate) use heard::Heard;

use crate::evidence::{Reading, Tally};
use crate::identity::{Identities, Kind, MAX_CHAINS};
use crate::ledger::{Ledger, Readings};
use crate::presentation::{SHOWN, SHOWN_VALUES, TraitSet};
use crate::time::Timestamp;
use crate::weights::{Part, Without};
use arrayvec::ArrayVec;

/// Kinds of chains that the model hears of, each in a place of its own. A reverse name takes the same place
/// whether confirmed or not; a trait tells which.
pub(crate) const SLOTS: [Kind; 8] = [
    Kind::Address,
    Kind::ReverseName,
    Kind::Helo,
    Kind::Claimed,
    Kind::Signed,
    Kind::Mailbox,
    Kind::Pattern,
    Kind::Verified,
];
/// Numbers of one chain.
pub(crate) const PER_CHAIN: usize = 10;
/// Where the traits begin.
pub(crate) const TRAITS: usize = SLOTS.len() * PER_CHAIN;
/// The constant.
pub(crate) const BIAS: usize = TRAITS + TraitSet::COUNT;
/// How little is known of the client.
pub(crate) const UNKNOWN: usize = BIAS + 1;
/// The traits' sum, for strangers.
pub(crate) const STRANGER: usize = UNKNOWN + 1;
/// How many numbers there are.
pub(crate) const NUMBERS: usize = STRANGER + 1;
/// Weights in the table of traits and pairs, a power of two.
pub(crate) const TABLE: usize = 4096;
/// Traits that are looked at in pairs: the first ones.
const PAIRED: usize = 13;
/// Places of the table that one message has: only what clients show by themselves is looked at there.
pub(crate) const PLACES: usize = SHOWN + PAIRED * (PAIRED - 1) / 2;

/// What a trait and a pair of traits count in the table.
const OF_TRAIT: f32 = 0.3;
const OF_PAIR: f32 = 0.3;
/// The least share of it, for clients that are well known.
const LEAST: f32 = 0.2;

/// Strength of the prior that a child takes from its parent, in messages.
const K_CHILD: f32 = 0.7;
/// Strength of the prior that the last hours take from the last weeks.
const K_FAST: f32 = 0.5;
/// Strength of the prior that a parent takes from what is wider still: the wider a key, the more evidence it
/// needs.
const K_PARENT: f32 = 6.0;
/// The same for a child that is looked at by itself.
const K_OWN: f32 = 16.0;
/// Evidence at which half of what is to be known of an identity is known.
const K_CONFIDENCE: f32 = 10.0;
/// Messages that the prior of a trait is worth.
const K_TRAIT: f32 = 16.0;
/// The share of labels that is thought to be wrong.
const WRONG: f32 = 0.01;
/// The farthest that one log-odds of a chain goes, and of a trait.
const LIMIT: f32 = 6.0;
const TRAIT_LIMIT: f32 = 8.0;
/// What a flag counts: a little, so that its weight is learned slowly and traits have to tell strangers apart.
const OF_FLAG: f32 = 0.25;
/// Evidence below which an identity is new.
const NEW: f32 = 0.05;
/// What the logarithm of days counts that an identity is known for.
const OF_AGE: f32 = 0.15;
/// Days after which it is no better known for being known longer.
const OLD: u16 = 30;

/// Between what the weight of a number must stay, beside the weights of the others: what a chain itself says, its
/// parent, and a trait never speak the other way round. What a chain says by itself speaks of the same evidence again,
/// so it may take back what the first number says, and no more. What else corrects them (confidence, flags, counts) is
/// free.
pub(crate) fn sense(number: usize, weight: impl Fn(usize) -> f32) -> (f32, f32) {
    match number % PER_CHAIN {
        0 | 4 if number < TRAITS => (0.0, f32::MAX),
        1 if number < TRAITS => (-weight(number - 1), f32::MAX),
        _ if (TRAITS..BIAS).contains(&number) => (0.0, f32::MAX),
        _ => (f32::MIN, f32::MAX),
    }
}

/// What one chain says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// What its most specific key stands for.
    pub(crate) kind: Kind,
    /// The place in [`SLOTS`].
    pub(crate) slot: usize,
    /// The chance of spam by this chain alone.
    pub(crate) estimate: f32,
    /// Evidence of the most specific key.
    pub(crate) own: f32,
}

/// What the model hears of a message.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    /// The numbers.
    pub(crate) numbers: [f32; NUMBERS],
    /// Places in the table: of each trait, then of each pair, by [`PAIRS`].
    places: [u16; PLACES],
    /// What each of them counts: nothing where a trait is unknown.
    counts: [f32; PLACES],
    /// How little is known of the client and its sender: 1 of a stranger, near 0 of an old acquaintance.
    unknown: f32,
    /// What is left out.
    without: Without,
    /// The chains behind the numbers.
    pub(crate) views: ArrayVec<View, MAX_CHAINS>,
    /// Log-odds of the server's own share of spam: where a message of which nothing is known begins.
    pub(crate) base: f32,
    /// That share itself.
    share: f32,
    /// What is left of a trait's evidence since the ledger's landmark.
    left: f64,
}

impl Ledger {
    /// The features of a message with these identities, by what is known of each.
    pub(crate) fn features(&self, identities: &Identities, readings: &Readings, now: Timestamp) -> Features {
        let (left, without) = (self.traits_left(now), self.model.without());
        let mut features = Features::new(self.base(left), left, without);
        for (chain, levels) in identities.chains.iter().zip(readings) {
            if !without.has_chain(chain.kind) {
                features.add_chain(chain.kind, levels);
            }
        }
        features.unknown = features.least_known();
        self.add_common(&mut features, &identities.traits);
        features
    }

    /// The features of a message of whose chains this was heard when it came, and which has these traits.
    pub(crate) fn features_heard(&self, heard: &Heard, traits: &TraitSet, now: Timestamp) -> Features {
        let (left, without) = (self.traits_left(now), self.model.without());
        let mut features = Features::new(self.base(left), left, without);
        heard.tell(&mut features);
        self.add_common(&mut features, traits);
        features
    }

    /// Adds what is no chain's.
    fn add_common(&self, features: &mut Features, traits: &TraitSet) {
        let sum: f32 = self.add_traits(features, traits);
        let unknown = features.unknown;
        features.numbers[BIAS] = 1.0;
        if !features.without.has(Part::Strangers) {
            features.numbers[UNKNOWN] = unknown;
            features.numbers[STRANGER] = unknown * 0.5 * sum.clamp(-TRAIT_LIMIT, TRAIT_LIMIT);
        }
        features.look_up(traits, unknown.max(LEAST));
    }

    /// Adds what each trait says; returns their sum.
    fn add_traits(&self, features: &mut Features, traits: &TraitSet) -> f32 {
        let (base, mut sum) = (features.base, 0.0);
        let against = (-base).exp();
        for (n, value) in traits.iter().enumerate() {
            let Some(place) = value.index().filter(|_| !features.without.has_trait(n)) else { continue };
            let (good, bad) = self.read_trait(place, features.left);
            // The prior is the sigmoid of base and the trait's own log-odds; this way both need no exponential.
            let prior = 1.0 / (1.0 + against * self.model.prior_against(place));
            let estimate = (bad as f32 + K_TRAIT * prior) / ((good + bad) as f32 + K_TRAIT);
            let log_odds = (logit(estimate) - base).clamp(-TRAIT_LIMIT, TRAIT_LIMIT);
            features.numbers[TRAITS + n] = log_odds;
            sum += log_odds;
        }
        sum
    }
}

impl Features {
    fn new(base: f32, left: f64, without: Without) -> Self {
        Self {
            numbers: [0.0; NUMBERS],
            places: [0; PLACES],
            counts: [0.0; PLACES],
            unknown: 1.0,
            without,
            views: ArrayVec::new(),
            base,
            share: sigmoid(base),
            left,
        }
    }

    fn add_chain(&mut self, kind: Kind, levels: &[Reading]) {
        let kind = if kind == Kind::Unconfirmed { Kind::ReverseName } else { kind };
        let Some(slot) = SLOTS.iter().position(|&slot| slot == kind) else { return };
        let Some((own, wider)) = levels.split_first() else { return };
        let wider = if self.without.has(Part::Wider) { &[] } else { wider };
        let evidence = own.slow.evidence();
        // Of several verified domains the best known speaks.
        if let Some(at) = self.views.iter().position(|view| view.slot == slot) {
            if self.views[at].own >= evidence {
                return;
            }
            self.views.remove(at);
        }
        let base = self.share;
        let around = wider.iter().rev().fold(base, |prior, level| lean(level.slow, prior, K_PARENT));
        let trusted = trusted(own.slow);
        let slow = lean(trusted, around, K_CHILD);
        let fast = lean(own.fast, slow, K_FAST);
        let relative = |log_odds: f32| (log_odds - self.base).clamp(-LIMIT, LIMIT);
        let [of_slow, of_fast] = [slow, fast].map(logit);
        let [good, bad] = [own.slow.good, own.slow.bad].map(|weight| weight / evidence.max(NEW));
        let sure = confidence(trusted.evidence());
        let flag = |is: bool| if is { OF_FLAG } else { 0.0 };
        let age = if self.without.has(Part::Age) { 0 } else { own.age_days.min(OLD) };
        let numbers: [f32; PER_CHAIN] = [
            relative(of_slow),
            relative(logit(lean(trusted, base, K_OWN))) * sure,
            flag(evidence < NEW),
            4.0 * good * bad * sure,
            relative(logit(around)),
            of_fast - of_slow,
            own.slow.good.ln_1p() * 0.5 * good,
            own.slow.bad.ln_1p() * 0.5 * bad,
            flag(wider.first().is_some_and(|level| level.slow.evidence() < NEW)),
            OF_AGE * f32::from(age).ln_1p(),
        ];
        self.numbers[slot * PER_CHAIN..][..PER_CHAIN].copy_from_slice(&numbers);
        // A slot holds one view, and there are fewer slots than chains, so there is room.
        self.views.push(View { kind, slot, estimate: slow.max(fast), own: evidence });
    }

    /// How little is known of the best known chain that says who the client or its sender is.
    fn least_known(&self) -> f32 {
        let mut known = self
            .views
            .iter()
            .filter(|view| matches!(view.kind, Kind::Address | Kind::Mailbox | Kind::Verified));
        let least = |least: f32, view: &View| least.min(1.0 - confidence(view.own));
        known.by_ref().fold(1.0, least)
    }

    /// Looks up the places of traits and pairs of them, which count the more the less is known of the client.
    fn look_up(&mut self, traits: &TraitSet, unknown: f32) {
        let values: [Option<usize>; SHOWN] = std::array::from_fn(|n| traits.nth(n).index());
        // Without branches, since nearly all are known: what an unknown one says is looked up and counts nothing.
        let known = values.map(|value| f32::from(u8::from(value.is_some())));
        let values = values.map(Option::unwrap_or_default);
        for n in 0..SHOWN {
            self.places[n] = place(values[n], values[n]);
            self.counts[n] = OF_TRAIT * unknown * known[n];
        }
        for (n, (first, second)) in PAIRS.iter().map(|&(a, b)| (usize::from(a), usize::from(b))).enumerate() {
            self.places[SHOWN + n] = place(values[first], values[second]);
            self.counts[SHOWN + n] = OF_PAIR * unknown * known[first] * known[second];
        }
        if self.without != Without::default() {
            let without = |n: &usize| self.without.has_place(*n);
            (0..PLACES).filter(without).for_each(|n| self.counts[n] = 0.0);
        }
    }

    /// What was heard of the chains, to be learned from later.
    pub(crate) fn heard(&self) -> Heard {
        Heard::of(self)
    }

    /// Places in the table with what they count.
    pub(crate) fn table(&self) -> impl Iterator<Item = (usize, f32)> {
        self.places.iter().zip(self.counts).map(|(&place, count)| (usize::from(place), count))
    }

    /// What is left of a trait's evidence since the ledger's landmark.
    pub(crate) const fn traits_left(&self) -> f64 {
        self.left
    }
}

/// The pairs of traits that have a place in the table, after those of single traits.
pub(crate) const PAIRS: [(u8, u8); PLACES - SHOWN] = {
    let mut pairs = [(0, 0); PLACES - SHOWN];
    let (mut n, mut first, mut second) = (0, 0, 1);
    while n < pairs.len() {
        pairs[n] = (first, second);
        n += 1;
        second += 1;
        if second as usize == PAIRED {
            first += 1;
            second = first + 1;
        }
    }
    pairs
};

/// The place of a pair of trait values, or of one value with itself; pairs may share a place.
fn place(first: usize, second: usize) -> u16 {
    let pair = (first * SHOWN_VALUES + second) as u32;
    // Fibonacci hashing: the uppermost bits are mixed best. 4096 places fit 16 bits.
    (pair.wrapping_mul(0x9e37_79b1) >> (u32::BITS - TABLE.trailing_zeros())) as u16
}

/// The evidence that is left when some labels are wrong: one label against many says nothing.
fn trusted(tally: Tally) -> Tally {
    let wrong = WRONG * tally.evidence();
    Tally { good: (tally.good - wrong).max(0.0), bad: (tally.bad - wrong).max(0.0) }
}

/// The chance of spam by a tally that leans on a prior worth `k` messages.
fn lean(tally: Tally, prior: f32, k: f32) -> f32 {
    (tally.bad + k * prior) / (tally.evidence() + k)
}

pub(crate) fn confidence(evidence: f32) -> f32 {
    evidence / (evidence + K_CONFIDENCE)
}

pub(crate) fn logit(p: f32) -> f32 {
    let p = p.clamp(0.0005, 0.9995);
    (p / (1.0 - p)).ln()
}

pub(crate) fn sigmoid(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Weight;
    use crate::fixtures::facts;
    use crate::identity::Keyring;
    use crate::weights::Start;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[test]
    fn who_has_been_known_for_longer_is_better_known_up_to_a_month() {
        let identities = Identities::of(&facts("192.0.2.2"), &Keyring::new([1; 16]));
        let ages = |start: Start| {
            let ledger = Ledger::new(1 << 20, start, NOW);
            ledger.add(identities.address(), Weight { good: 100.0, ..Weight::default() }, NOW);
            [0, 1, 10, 30, 90].map(|days| {
                let now = NOW.after(Duration::from_secs(days * 86_400));
                ledger.features(&identities, &ledger.readings(&identities, now), now).numbers[PER_CHAIN - 1]
            })
        };
        let known = ages(Start::shipped());
        assert_eq!((known[0], known[3]), (0.0, known[4]));
        assert!(known[..4].is_sorted_by(|a, b| a < b), "{known:?}");
        assert_eq!(ages(Start::shipped().without(Part::Age)), [0.0; 5]);
    }
}
