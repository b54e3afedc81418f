//! Methods without a score: they defer, or they do not.

use crate::replay::trace::Row;
use policy_core::name::Sender;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

/// Shares of ham and of spam that a method without a score defers at the first attempt.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Deferred {
    /// Share of ham, of 1.
    pub ham_deferred: f64,
    /// Share of spam, of 1.
    pub spam_deferred: f64,
}

fn deferred<'a>(rows: &'a [Row], mut defers: impl FnMut(&'a Row) -> bool) -> Deferred {
    let (mut all, mut deferred) = ([0.0f64; 2], [0.0f64; 2]);
    for row in rows {
        all[usize::from(row.spam)] += 1.0;
        deferred[usize::from(row.spam)] += f64::from(u8::from(defers(row)));
    }
    let share = |i: usize| deferred[i] / all[i].max(1.0);
    Deferred { ham_deferred: share(0), spam_deferred: share(1) }
}

/// Messages let in after which greylisting knows a network.
const GREYLIST_KNOWN: u32 = 5;

/// Greylisting by triplet of network, sender and recipient (RFC 6647 section 2.3), with the client's network
/// known for good after five messages. Ham comes back and spam does not, so that spam never passes a triplet
/// of its own. Where the recipient was not recorded it is the same for all.
pub fn greylisting(rows: &[Row]) -> Deferred {
    let mut triplets: HashSet<(IpAddr, Option<&Sender>, Option<&str>)> = HashSet::new();
    let mut let_in: HashMap<IpAddr, u32> = HashMap::new();
    deferred(rows, |row| {
        let network = greylisted_network(row.client.address);
        let passes = let_in.entry(network).or_default();
        let triplet = (network, row.sender.as_ref(), row.recipient.as_deref());
        let defers = *passes < GREYLIST_KNOWN && !triplets.contains(&triplet);
        if !(defers && row.spam) {
            triplets.insert(triplet);
            *passes += 1;
        }
        defers
    })
}

/// An IPv4 address by its /24; IPv6 hosts stand for themselves.
fn greylisted_network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !0xff)),
        IpAddr::V6(_) => address,
    }
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
