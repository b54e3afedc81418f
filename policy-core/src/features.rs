//! Features: what the model hears of a message, as numbers.
//!
//! Every chain gives eight numbers, every trait one. All are log-odds against the server's own share of
//! spam, or grow with a logarithm, so that a number means the same on a server with little spam as on one
//! with much. A chain or trait that a message does not have gives zeros.

use crate::evidence::{Reading, Tally};
use crate::identity::{Chain, Identities, Kind, MAX_CHAINS};
use crate::ledger::Ledger;
use crate::presentation::TraitSet;
use crate::time::Timestamp;
use arrayvec::ArrayVec;

/// Kinds of chains that the model hears of, each in a place of its own.
pub(crate) const SLOTS: [Kind; 8] = [
    Kind::Address,
    Kind::Network,
    Kind::ReverseName,
    Kind::Helo,
    Kind::Verified,
    Kind::Claimed,
    Kind::SenderInPrefix,
    Kind::Signed,
];
/// Numbers of one chain.
pub(crate) const PER_CHAIN: usize = 8;
/// Where the traits begin.
pub(crate) const TRAITS: usize = SLOTS.len() * PER_CHAIN;
/// Where the traits' sum for strangers stands.
pub(crate) const STRANGER: usize = TRAITS + TraitSet::COUNT;
/// Where the crosses of chains begin.
pub(crate) const CROSSES: usize = STRANGER + 1;
/// How many crosses there are.
pub(crate) const CROSSED: usize = 3;
/// The constant.
pub(crate) const BIAS: usize = CROSSES + CROSSED;
/// How many features there are.
pub(crate) const COUNT: usize = BIAS + 1;

/// The least weight of the log-odds of an address's prefix.
const PREFIX_SPEAKS: f32 = 0.6;

/// Between what a feature's weight must stay: a chain's own log-odds and its parent's never speak the other
/// way round, and an address's prefix always sets how a stranger is treated. What corrects them (confidence, flags, counts, traits that overlap) is free.
pub(crate) fn sense(feature: usize) -> (f32, f32) {
    const FREE: (f32, f32) = (f32::MIN, f32::MAX);
    match feature {
        4 => (PREFIX_SPEAKS, f32::MAX),
        0..TRAITS => match feature % PER_CHAIN {
            0 | 4 => (0.0, f32::MAX),
            _ => FREE,
        },
        _ => FREE,
    }
}

/// Strength of the prior that a child takes from its parent, in messages.
const K_CHILD: f32 = 1.0;
/// Strength of the prior that the last hours take from the last weeks.
const K_FAST: f32 = 1.6;
/// Strength of the prior that a parent takes from the server's share of spam: the wider a key, the more
/// evidence it needs.
const K_PARENT: f32 = 40.0;
/// The same for a child that is looked at by itself.
const K_OWN: f32 = 5.0;
/// Evidence at which half of what is to be known of an identity is known.
const K_CONFIDENCE: f32 = 4.0;
/// The farthest that one log-odds goes.
const LIMIT: f32 = 6.0;
/// Evidence below which an identity is new.
const NEW: f32 = 0.05;

/// What one chain says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) kind: Kind,
    /// The place in [`SLOTS`].
    pub(crate) slot: usize,
    /// The chance of spam by this chain alone.
    pub(crate) estimate: f32,
    /// Evidence of the specific key.
    pub(crate) own: f32,
    /// Evidence of the general key.
    pub(crate) parent: f32,
}

/// What the model hears of a message.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    /// The numbers.
    pub(crate) values: [f32; COUNT],
    /// The chains behind them.
    pub(crate) views: ArrayVec<View, MAX_CHAINS>,
    /// Log-odds of the server's own share of spam: where a message of which nothing is known begins.
    pub(crate) base: f32,
}

impl Ledger {
    /// The features of a message with these identities now.
    pub(crate) fn features(&self, identities: &Identities, now: Timestamp) -> Features {
        let traits = self.trait_odds(&identities.traits, now);
        let base = traits.base;
        let mut features = Features { values: [0.0; COUNT], views: ArrayVec::new(), base };
        for chain in &identities.chains {
            self.add_chain(&mut features, chain, now);
        }
        let known = features.views.iter().filter(|v| !matches!(v.kind, Kind::Network | Kind::Helo));
        let unknown = known.map(|view| 1.0 - confidence(view.own)).fold(1.0, f32::min);
        features.values[TRAITS..STRANGER].copy_from_slice(&traits.log_odds);
        features.values[STRANGER] = unknown * traits.log_odds.iter().sum::<f32>().clamp(-LIMIT, LIMIT);
        features.cross(unknown);
        features.values[BIAS] = 1.0;
        features
    }

    fn add_chain(&self, features: &mut Features, chain: &Chain, now: Timestamp) {
        let Some(slot) = SLOTS.iter().position(|&kind| kind == chain.kind) else { return };
        let base = sigmoid(features.base);
        let own = self.read(&chain.specific, now);
        let parent = chain.general.map(|key| self.read(&key, now)).unwrap_or(Reading::NOTHING);
        let evidence = own.slow.evidence();
        // Of several verified domains the best known speaks.
        if let Some(at) = features.views.iter().position(|view| view.slot == slot) {
            if features.views[at].own >= evidence {
                return;
            }
            features.views.remove(at);
        }
        let around = lean(parent.slow, base, K_PARENT);
        let slow = lean(own.slow, around, K_CHILD);
        let fast = lean(own.fast, slow, K_FAST);
        let relative = |p: f32| (logit(p) - features.base).clamp(-LIMIT, LIMIT);
        let bad = own.slow.bad / evidence.max(NEW);
        let good = own.slow.good / evidence.max(NEW);
        let numbers: [f32; PER_CHAIN] = [
            relative(slow),
            relative(lean(own.slow, base, K_OWN)) * confidence(evidence),
            if evidence < NEW { 1.0 } else { 0.0 },
            4.0 * good * bad * confidence(evidence),
            relative(around),
            logit(fast) - logit(slow),
            own.slow.good.ln_1p() * 0.5 * good,
            own.slow.bad.ln_1p() * 0.5 * bad,
        ];
        features.values[slot * PER_CHAIN..][..PER_CHAIN].copy_from_slice(&numbers);
        let view = View {
            kind: chain.kind,
            slot,
            estimate: slow.max(fast),
            own: evidence,
            parent: parent.slow.evidence(),
        };
        // A slot holds one view, and there are fewer slots than chains, so there is room.
        features.views.push(view);
    }
}

impl Features {
    /// Claims that anybody can write, apart from where they were seen before, and how little is known at all.
    fn cross(&mut self, unknown: f32) {
        let of = |kind: Kind, number: usize| {
            let slot = SLOTS.iter().position(|&slot| slot == kind).unwrap_or(0);
            self.values[slot * PER_CHAIN + number]
        };
        let strange = of(Kind::SenderInPrefix, 2);
        let elsewhere = if self.views.first().is_some_and(|v| v.own + v.parent < NEW) { 1.0 } else { 0.0 };
        let crosses = [of(Kind::Claimed, 0) * strange, of(Kind::Helo, 0) * elsewhere, unknown];
        self.values[CROSSES..BIAS].copy_from_slice(&crosses);
    }
}

/// The chance of spam by a tally that leans on a prior worth `k` messages.
fn lean(tally: Tally, prior: f32, k: f32) -> f32 {
    (tally.bad + k * prior) / (tally.evidence() + k)
}

pub(crate) fn confidence(evidence: f32) -> f32 {
    evidence / (evidence + K_CONFIDENCE)
}

pub(crate) fn logit(p: f32) -> f32 {
    let p = p.clamp(0.001, 0.999);
    (p / (1.0 - p)).ln()
}

pub(crate) fn sigmoid(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}
