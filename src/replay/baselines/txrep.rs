//! TxRep, the reputation plugin of Apache SpamAssassin: means over five identities, each fading by the
//! message, weighted.
//!
//! The plugin averages scores of a whole filter. A label stands for such a score here: spam far above the
//! filter's threshold, ham below it.

use crate::replay::ranking::{Score, Scorer};
use crate::replay::trace::Row;
use policy_core::facts::Client;
use policy_core::name::DomainName;
use policy_core::time::Timestamp;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

/// The sum of scores and the count of messages, by identity.
#[derive(Debug, Default)]
pub struct TxRep(HashMap<u64, (f64, f64)>);

/// What is left of the past with each message.
const FADE: f64 = 0.98;
/// Weights of sender with network, address, sender, domain, HELO name.
const WEIGHTS: [f64; 5] = [10.0, 4.0, 3.0, 2.0, 0.5];
/// The scores that labels stand for.
const SPAM: f64 = 10.0;
const HAM: f64 = -5.0;

impl Scorer for TxRep {
    type Note = [Option<u64>; 5];

    fn score(&mut self, row: &Row) -> (Score, Self::Note) {
        let keys = keys(row);
        let means = keys.iter().zip(WEIGHTS).filter_map(|(key, weight)| {
            let (sum, count) = self.0.get(key.as_ref()?)?;
            Some((weight, sum / count))
        });
        let (weights, sums) =
            means.fold((0.0, 0.0), |(w, s), (weight, mean)| (w + weight, s + weight * mean));
        (Score::rank(if weights > 0.0 { sums / weights } else { 0.0 }), keys)
    }

    fn learn(&mut self, keys: Self::Note, spam: bool, _: Timestamp) {
        for key in keys.into_iter().flatten() {
            let (sum, count) = self.0.entry(key).or_default();
            *sum = *sum * FADE + if spam { SPAM } else { HAM };
            *count = *count * FADE + 1.0;
        }
    }
}

fn keys(row: &Row) -> [Option<u64>; 5] {
    let Client { address, helo, .. } = &row.client;
    // The null sender is a sender like others, and its own domain.
    let sender = row.sender.as_ref();
    let domain = sender.map(|sender| sender.domain().map_or("", DomainName::as_str));
    [
        sender.map(|sender| digest((0, sender, network(*address)))),
        Some(digest((1, address))),
        sender.map(|sender| digest((2, sender))),
        domain.map(|domain| digest((3, domain))),
        helo.as_ref().map(|helo| digest((4, helo))),
    ]
}

/// IPv4 by its /16, IPv6 by its /48.
fn network(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 16),
        IpAddr::V6(v6) => (v6.to_bits() >> 80) as u64,
    }
}

fn digest(key: impl Hash) -> u64 {
    // Its keys are fixed, so the same recording gives the same digests.
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
