//! Methods without a score: they defer, or they do not.

use crate::replay::trace::Row;
use policy_core::identity::Key;
use policy_core::name::Sender;
use policy_core::time::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Shares of ham and of spam that a method without a score defers at the first attempt.
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
