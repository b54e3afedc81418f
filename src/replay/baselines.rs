//! What others do, on the same recording: a comparison, and no part of the product.
//!
//! The scorers are played like the engine, labels late. Greylisting and a fixed limit know no score: they
//! defer or they do not, so the share of ham and of spam that they defer is told.
//!
//! Known limit: these are the methods' published rules as the papers and manuals give them, without the
//! rest of the systems they come from.

use super::ranking::Scorer;
use super::trace::Row;
use policy_core::facts::Client;
use policy_core::identity::Key;
use policy_core::name::{DomainName, Sender};
use policy_core::time::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Spam and ham seen.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    spam: f32,
    ham: f32,
}

impl Counts {
    fn add(&mut self, spam: bool) {
        if spam { self.spam += 1.0 } else { self.ham += 1.0 }
    }

    /// The share of spam, leaning on a prior worth `k` messages.
    fn lean(self, prior: f32, k: f32) -> f32 {
        (self.spam + k * prior) / (self.spam + self.ham + k)
    }
}

/// The share of spam of an address, with one ham and one spam to begin with.
#[derive(Debug, Default)]
pub struct AddressRatio(HashMap<Key, Counts>);

impl Scorer for AddressRatio {
    type Note = Key;

    fn score(&mut self, row: &Row) -> (f32, Key) {
        let key = Key::address(row.client.address);
        (self.0.get(&key).copied().unwrap_or_default().lean(0.5, 2.0), key)
    }

    fn learn(&mut self, key: Key, spam: bool, _: Timestamp) {
        self.0.entry(key).or_default().add(spam);
    }
}

/// The share of spam of an address that leans on its /24.
#[derive(Debug, Default)]
pub struct Shrunk(HashMap<Key, Counts>);

/// Messages that a prior is worth there.
const SHRUNK_K: f32 = 4.0;

impl Scorer for Shrunk {
    type Note = [Key; 2];

    fn score(&mut self, row: &Row) -> (f32, [Key; 2]) {
        let keys = [Key::address(row.client.address), Key::prefix(row.client.address)];
        let [own, around] = keys.map(|key| self.0.get(&key).copied().unwrap_or_default());
        (own.lean(around.lean(0.5, SHRUNK_K), SHRUNK_K), keys)
    }

    fn learn(&mut self, keys: [Key; 2], spam: bool, _: Timestamp) {
        keys.into_iter().for_each(|key| self.0.entry(key).or_default().add(spam));
    }
}

/// GBUdb (MicroNeil): a probability in -1..1 and a confidence by address; both counts halve each day.
#[derive(Debug, Default)]
pub struct GbUdb(HashMap<Key, (Counts, Timestamp)>);

/// Messages at which its confidence is full.
const GBUDB_FULL: f32 = 500.0;
const DAY_SECS: f32 = 86_400.0;

impl Scorer for GbUdb {
    type Note = Key;

    fn score(&mut self, row: &Row) -> (f32, Key) {
        let key = Key::address(row.client.address);
        let Some((counts, at)) = self.0.get(&key) else { return (0.0, key) };
        let left = (-row.time.since(*at).as_secs_f32() / DAY_SECS).exp2();
        let total = (counts.spam + counts.ham).max(f32::MIN_POSITIVE);
        let probability = (counts.spam - counts.ham) / total;
        let confidence = ((total * left).ln_1p() / GBUDB_FULL.ln_1p()).min(1.0);
        (probability.signum() * (probability.abs() * confidence).sqrt(), key)
    }

    fn learn(&mut self, key: Key, spam: bool, at: Timestamp) {
        let (counts, last) = self.0.entry(key).or_insert((Counts::default(), at));
        let left = (-at.since(*last).as_secs_f32() / DAY_SECS).exp2();
        counts.spam *= left;
        counts.ham *= left;
        counts.add(spam);
        *last = at;
    }
}

/// TxRep (Apache SpamAssassin): means over five identities, each fading by the message, weighted.
#[derive(Debug, Default)]
pub struct TxRep(HashMap<String, (f32, f32)>);

const TXREP_FADE: f32 = 0.98;
/// Weights of sender with network, address, sender, domain, HELO name.
const TXREP_WEIGHTS: [f32; 5] = [10.0, 4.0, 3.0, 2.0, 0.5];

impl Scorer for TxRep {
    type Note = [Option<String>; 5];

    fn score(&mut self, row: &Row) -> (f32, Self::Note) {
        let keys = txrep_keys(row);
        let means = keys.iter().zip(TXREP_WEIGHTS).filter_map(|(key, weight)| {
            let (sum, count) = self.0.get(key.as_deref()?)?;
            Some((weight, sum / count))
        });
        let (weights, sums) =
            means.fold((0.0, 0.0), |(w, s), (weight, mean)| (w + weight, s + weight * mean));
        (if weights > 0.0 { sums / weights } else { 0.0 }, keys)
    }

    fn learn(&mut self, keys: Self::Note, spam: bool, _: Timestamp) {
        for key in keys.into_iter().flatten() {
            let (sum, count) = self.0.entry(key).or_default();
            *sum = *sum * TXREP_FADE + if spam { 1.0 } else { -1.0 };
            *count = *count * TXREP_FADE + 1.0;
        }
    }
}

fn txrep_keys(row: &Row) -> [Option<String>; 5] {
    let Client { address, helo, .. } = &row.client;
    let network = match address {
        IpAddr::V4(v4) => format!("{}.{}", v4.octets()[0], v4.octets()[1]),
        IpAddr::V6(v6) => format!("{:x}:{:x}:{:x}", v6.segments()[0], v6.segments()[1], v6.segments()[2]),
    };
    let sender = row.sender.as_ref().filter(|sender| **sender != Sender::Null);
    let domain = sender.and_then(|sender| sender.domain()).map(DomainName::as_str);
    [
        sender.map(|sender| format!("p{sender} {network}")),
        Some(format!("a{address}")),
        sender.map(|sender| format!("s{sender}")),
        domain.map(|domain| format!("d{domain}")),
        helo.as_ref().map(|helo| format!("h{helo}")),
    ]
}

/// Shares of ham and of spam that a method without a score defers.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Deferred {
    /// Share of ham, of 1.
    pub ham_deferred: f64,
    /// Share of spam, of 1.
    pub spam_deferred: f64,
}

fn deferred(rows: &[Row], mut defers: impl FnMut(&Row) -> bool) -> Deferred {
    let (mut all, mut deferred) = ([0.0f64; 2], [0.0f64; 2]);
    for row in rows {
        all[usize::from(row.spam)] += 1.0;
        deferred[usize::from(row.spam)] += f64::from(u8::from(defers(row)));
    }
    let share = |i: usize| deferred[i] / all[i].max(1.0);
    Deferred { ham_deferred: share(0), spam_deferred: share(1) }
}

/// What greylisting makes a message wait.
const GREYLIST_WAIT: Duration = Duration::from_secs(300);

/// Greylisting by triplet, the client by its prefix; a client that has come back is allowed for good. Ham
/// comes back and spam does not. The recipients are not in a trace, so the triplet is client and sender.
pub fn greylisting(rows: &[Row]) -> Deferred {
    let mut triplets: HashMap<(Key, Option<Sender>), Timestamp> = HashMap::new();
    let mut clients: HashMap<IpAddr, Timestamp> = HashMap::new();
    deferred(rows, |row| {
        let triplet = (Key::prefix(row.client.address), row.sender.clone());
        let since = |passed: Option<&Timestamp>| passed.is_some_and(|passed| *passed <= row.time);
        let passes = since(clients.get(&row.client.address)) || since(triplets.get(&triplet));
        if !row.spam {
            let passed = row.time.after(GREYLIST_WAIT);
            clients.entry(row.client.address).or_insert(passed);
            triplets.entry(triplet).or_insert(passed);
        }
        !passes
    })
}

/// Messages an hour that a fixed limit lets an address send.
pub const FIXED_LIMIT: u32 = 30;

/// A fixed limit by address and clock hour.
pub fn fixed_limit(rows: &[Row]) -> Deferred {
    let mut sent: HashMap<IpAddr, (u64, u32)> = HashMap::new();
    deferred(rows, |row| {
        let hour = row.time.as_millis() / 3_600_000;
        let (counted, count) = sent.entry(row.client.address).or_insert((hour, 0));
        if *counted != hour {
            (*counted, *count) = (hour, 0);
        }
        *count += 1;
        *count > FIXED_LIMIT
    })
}
