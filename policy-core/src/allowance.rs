//! The allowance: how much may come in now.
//!
//! GCRA in its continuous-state leaky-bucket form (ITU-T I.371, annex A): a level that leaks at the quota's
//! rate and rises with each admitted unit, at most to the burst. This form, and not the theoretical arrival
//! time, because the rate follows the standing and may change between two questions.
//!
//! Invariant: a request is checked against every key and every dimension before anything is debited, and
//! no other request sees the keys in between. So a limit of 20 admits 20, whatever the contention, and a
//! refused request has cost nothing.

use crate::identity::Key;
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most keys that one request debits: address, prefix, domain.
pub(crate) const MAX_KEYS: usize = 4;
/// Locks that keep requests on the same keys apart.
const STRIPES: usize = 1024;
/// Absorbs the rounding of levels; far below one unit.
const ROUNDING: f64 = 1e-6;
/// Shortest time that a refused client is told to stay away.
const LEAST_RETRY: Duration = Duration::from_secs(60);
/// Longest time; a client that waits longer than this has likely given up (RFC 5321 section 4.5.4.1).
const MOST_RETRY: Duration = Duration::from_secs(4 * 3600);

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dimension {
    /// SMTP sessions, an hour.
    Connections,
    /// Messages, an hour.
    Messages,
    /// Recipients, an hour.
    Recipients,
    /// Octets, an hour.
    Bytes,
    /// SMTP sessions at the same time.
    Sessions,
}

impl Dimension {
    /// The dimensions that are limited by the hour, in the order of [`PerHour`].
    pub const HOURLY: [Self; 4] = [Self::Connections, Self::Messages, Self::Recipients, Self::Bytes];

    /// Its unit in words.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Connections => "connections an hour",
            Self::Messages => "messages an hour",
            Self::Recipients => "recipients an hour",
            Self::Bytes => "octets an hour",
            Self::Sessions => "sessions at the same time",
        }
    }
}

/// Whose quota is debited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The client's own.
    Host,
    /// That of the prefix or network around it, whose strangers share one.
    Network,
    /// That of a domain that all its hosts share.
    Domain,
    /// The sender's mailbox's own.
    Mailbox,
}

impl Whose {
    /// Who it is in one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Network => "network",
            Self::Domain => "domain",
            Self::Mailbox => "mailbox",
        }
    }
}

/// A number for each dimension that is limited by the hour: connections, messages, recipients, octets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerHour(pub [f64; 4]);

impl PerHour {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|n| self.0[n] + other.0[n]))
    }

    /// All four multiplied.
    pub fn times(self, factor: f64) -> Self {
        Self(self.0.map(|n| n * factor))
    }
}

/// How much one key may take now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Units that may come at once.
    pub burst: PerHour,
    /// Units that may come each hour.
    pub rate: PerHour,
    /// Sessions at the same time.
    pub sessions: u32,
}

/// A request to debit one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debit {
    pub(crate) key: Key,
    pub(crate) quota: Quota,
    pub(crate) cost: PerHour,
    /// Whose quota it is.
    pub(crate) whose: Whose,
}

/// Which limit refused a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal {
    /// The key's place among the request's debits.
    pub index: usize,
    /// The dimension.
    pub dimension: Dimension,
    /// The limit that it ran into, in the dimension's unit.
    pub limit: f64,
    /// Whose limit that is.
    pub whose: Whose,
    /// When the request would fit.
    pub retry_after: Duration,
}

/// The level of one key.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    at: Timestamp,
    /// When every level will have leaked away.
    empty_at: Timestamp,
    level: [f64; 4],
    /// Sessions end with the process that they are of.
    #[serde(skip)]
    sessions: u32,
}

impl Meter {
    fn new(now: Timestamp) -> Self {
        Self { at: now, empty_at: now, level: [0.0; 4], sessions: 0 }
    }

    /// The levels as they have leaked until now.
    fn leaked(&self, rate: &PerHour, now: Timestamp) -> [f64; 4] {
        // It would not leak for as long as the clock was wrong.
        if self.at.is_from_a_wrong_clock(now) {
            return [0.0; 4];
        }
        let hours = now.since(self.at).as_secs_f64() / 3600.0;
        std::array::from_fn(|i| (self.level[i] - rate.0[i] * hours).max(0.0))
    }

    /// Whether `cost` fits; if not, the dimension, its limit and the time until it does.
    fn check(&self, quota: &Quota, cost: &PerHour, now: Timestamp) -> Option<(Dimension, f64, Duration)> {
        let level = self.leaked(&quota.rate, now);
        Dimension::HOURLY.into_iter().enumerate().find_map(|(i, dimension)| {
            // A single cost above the burst would never fit: it fits when the meter is empty.
            let excess = level[i] + cost.0[i].min(quota.burst.0[i]) - quota.burst.0[i];
            let wait = || Duration::from_secs_f64((excess / quota.rate.0[i].max(0.01) * 3600.0).min(1e6));
            (cost.0[i] > 0.0 && excess > ROUNDING).then(|| (dimension, quota.burst.0[i], wait()))
        })
    }

    /// The meter as it may be taken over from a file: `None` when nothing is outstanding, or when it was
    /// written under a clock that ran ahead.
    pub(crate) fn taken_over(self, now: Timestamp) -> Option<Self> {
        let sound = self.level.iter().all(|level| level.is_finite() && *level >= 0.0);
        (sound && self.empty_at > now && !self.at.is_from_a_wrong_clock(now)).then_some(self)
    }

    /// The fuller of two.
    pub(crate) fn merge(&mut self, other: Self) {
        if other.empty_at > self.empty_at {
            *self = Self { sessions: self.sessions, ..other };
        }
    }

    fn debit(&mut self, quota: &Quota, cost: &PerHour, now: Timestamp) {
        let leaked = self.leaked(&quota.rate, now);
        self.level = std::array::from_fn(|i| leaked[i] + cost.0[i].min(quota.burst.0[i]));
        // A clock that jumped back a little must not make the level leak twice.
        self.at = if self.at.is_from_a_wrong_clock(now) { now } else { self.at.max(now) };
        let hours = (0..4).map(|i| self.level[i] / quota.rate.0[i].max(0.01)).fold(0.0, f64::max);
        self.empty_at = self.at.after(Duration::from_secs_f64((hours * 3600.0).min(1e7)));
    }
}

impl Worth for Meter {
    fn worth(&self, _: Timestamp) -> f32 {
        self.sessions as f32 * 1e6 + (self.level[1] + 0.1 * self.level[0]) as f32
    }
}

/// The levels of every key that has something outstanding. A key without a meter has its whole quota.
pub(crate) struct Meters {
    pub(crate) table: Table<Meter>,
    stripes: Box<[Mutex<()>]>,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    /// An empty table of at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let stripes = std::iter::repeat_with(Mutex::default).take(STRIPES).collect();
        Self { table: Table::with_bytes(bytes), stripes }
    }

    /// Debits each key's cost, or nothing at all. With `session`, also takes a place among the sessions of
    /// the first key, which is free again when the returned slot is dropped.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        debits: &[Debit],
        session: bool,
        now: Timestamp,
    ) -> Result<Option<SessionSlot>, Refusal> {
        let _locked = self.lock(debits);
        for (index, debit) in debits.iter().enumerate() {
            self.check(index, debit, session && index == 0, now)?;
        }
        for (index, debit) in debits.iter().enumerate() {
            let session = u32::from(session && index == 0);
            self.table.update(
                debit.key,
                now,
                || Meter::new(now),
                |meter| {
                    meter.debit(&debit.quota, &debit.cost, now);
                    meter.sessions += session;
                },
            );
        }
        let first = debits.first().filter(|_| session);
        Ok(first.map(|debit| SessionSlot { meters: Arc::clone(self), key: debit.key }))
    }

    /// Gives back what a key has paid. What has leaked away meanwhile was given back already.
    pub(crate) fn give_back(&self, key: &Key, paid: &PerHour) {
        self.table.change(key, |meter| {
            meter.level = std::array::from_fn(|n| (meter.level[n] - paid.0[n]).max(0.0));
        });
    }

    /// Locks the stripes of all keys, in ascending order so that two requests cannot wait for each other.
    fn lock(&self, debits: &[Debit]) -> ArrayVec<MutexGuard<'_, ()>, MAX_KEYS> {
        let mut stripes: ArrayVec<usize, MAX_KEYS> = debits.iter().map(|d| d.key.stripe(STRIPES)).collect();
        stripes.sort_unstable();
        let mut last = None;
        stripes.retain(|stripe| last.replace(*stripe) != Some(*stripe));
        stripes.iter().map(|&stripe| unpoisoned(&self.stripes[stripe])).collect()
    }

    fn check(&self, index: usize, debit: &Debit, session: bool, now: Timestamp) -> Result<(), Refusal> {
        let meter = self.table.read(&debit.key, |meter| *meter).unwrap_or(Meter::new(now));
        let quota = &debit.quota;
        let full = session && meter.sessions >= quota.sessions;
        let refused = meter
            .check(quota, &debit.cost, now)
            .or_else(|| full.then_some((Dimension::Sessions, f64::from(quota.sessions), LEAST_RETRY)));
        match refused {
            None => Ok(()),
            Some((dimension, limit, wait)) => {
                let (whose, retry_after) = (debit.whose, wait.clamp(LEAST_RETRY, MOST_RETRY));
                Err(Refusal { index, dimension, limit, whose, retry_after })
            }
        }
    }

    /// What is outstanding on a key: levels by the hour, and sessions.
    pub(crate) fn outstanding(&self, key: &Key, rate: &PerHour, now: Timestamp) -> (PerHour, u32) {
        let read = |meter: &Meter| (PerHour(meter.leaked(rate, now)), meter.sessions);
        self.table.read(key, read).unwrap_or_default()
    }

    /// How many segments a sweeper visits.
    pub(crate) fn segments(&self) -> usize {
        self.table.segments()
    }

    /// Drops empty meters of one segment.
    pub(crate) fn sweep(&self, segment: usize, now: Timestamp) {
        self.table.sweep(segment, |_, meter| meter.sessions > 0 || meter.empty_at > now);
    }

    /// Meters held, the most that can be held, and octets taken.
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        (self.table.len(), self.table.capacity(), self.table.bytes())
    }
}

/// A lock protects no data of its own here, so a panic of another holder leaves nothing half done.
fn unpoisoned(stripe: &Mutex<()>) -> MutexGuard<'_, ()> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the sessions of an address; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct SessionSlot {
    meters: Arc<Meters>,
    key: Key,
}

impl Drop for SessionSlot {
    fn drop(&mut self) {
        let _locked = unpoisoned(&self.meters.stripes[self.key.stripe(STRIPES)]);
        self.meters.table.change(&self.key, |meter| meter.sessions = meter.sessions.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Keyring, Kind};
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const MESSAGE: PerHour = PerHour([0.0, 1.0, 0.0, 0.0]);

    fn debit(name: &str, limit: f64) -> Debit {
        let quota = Quota { burst: PerHour([limit; 4]), rate: PerHour([limit; 4]), sessions: 2 };
        let key = Keyring::new([3; 16]).named(Kind::Address, name);
        Debit { key, quota, cost: MESSAGE, whose: Whose::Host }
    }

    fn meters() -> Arc<Meters> {
        Arc::new(Meters::new(1 << 20))
    }

    fn admitted(meters: &Arc<Meters>, debits: &[Debit], now: Timestamp, tries: usize) -> usize {
        (0..tries).filter(|_| meters.reserve(debits, false, now).is_ok()).count()
    }

    #[test]
    fn a_meter_does_not_stay_full_because_the_clock_was_set_back() {
        let meters = Arc::new(Meters::new(1 << 16));
        let debits = [debit("a", 5.0)];
        let take = |at| meters.reserve(&debits, false, at).is_ok();
        let day = NOW.after(Duration::from_secs(86_400));
        assert_eq!((0..10).filter(|_| take(day)).count(), 5);
        let corrected = NOW.after(Duration::from_secs(86_400 - 60));
        assert!(!take(corrected), "a small correction forgives nothing");
        assert_eq!((0..10).filter(|_| take(NOW.after(Duration::from_secs(4 * 3600)))).count(), 5);
    }

    #[test]
    fn a_limit_of_twenty_admits_twenty_and_says_when_to_come_back() {
        let meters = meters();
        let debits = [debit("a", 20.0)];
        assert_eq!(admitted(&meters, &debits, NOW, 100), 20);
        let refused = meters.reserve(&debits, false, NOW).unwrap_err();
        assert_eq!((refused.dimension, refused.limit), (Dimension::Messages, 20.0));
        assert_eq!(refused.retry_after, Duration::from_secs(180));
        assert_eq!(admitted(&meters, &debits, NOW.after(refused.retry_after), 100), 1);
    }

    #[test]
    fn sixteen_threads_admit_exactly_the_limit_and_refused_ones_cost_nothing() {
        // Many rounds of many tries, because a broken step shows only when threads meet in it at the limit.
        for round in 0..100 {
            let meters = meters();
            let (shared, narrow) = (debit("shared", 1600.0), debit("narrow", 10.0));
            let own: Vec<Debit> = (0..16).map(|n| debit(&format!("{round}-{n}"), 1000.0)).collect();
            let admitted = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for own in &own {
                    scope.spawn(|| {
                        for _ in 0..200 {
                            // A request that the narrow key refuses must leave the shared one untouched.
                            let _ = meters.reserve(&[shared, narrow, *own], false, NOW);
                            let ok = meters.reserve(&[*own, shared], false, NOW).is_ok();
                            admitted.fetch_add(usize::from(ok), Ordering::Relaxed);
                        }
                    });
                }
            });
            let level = |d: &Debit| meters.outstanding(&d.key, &d.quota.rate, NOW).0.0[1];
            assert_eq!(level(&shared), 1600.0);
            assert_eq!(admitted.into_inner() as f64 + level(&narrow), 1600.0);
            assert_eq!(own.iter().map(level).sum::<f64>(), 1600.0);
        }
    }

    #[test]
    fn sessions_are_counted_and_given_back() {
        let meters = meters();
        let debits = [debit("a", 100.0)];
        let first = meters.reserve(&debits, true, NOW).unwrap();
        let _second = meters.reserve(&debits, true, NOW).unwrap();
        let refused = meters.reserve(&debits, true, NOW).unwrap_err();
        assert_eq!(refused.dimension, Dimension::Sessions);
        drop(first);
        assert!(meters.reserve(&debits, true, NOW).is_ok());
    }

    #[test]
    fn a_cost_above_the_burst_passes_when_nothing_is_outstanding() {
        let meters = meters();
        let debits = [Debit { cost: PerHour([0.0, 0.0, 0.0, 1e9]), ..debit("a", 100.0) }];
        assert!(meters.reserve(&debits, false, NOW).is_ok());
        assert!(meters.reserve(&debits, false, NOW).is_err());
        assert!(meters.reserve(&debits, false, NOW.after(Duration::from_secs(3601))).is_ok());
    }

    #[test]
    fn empty_meters_are_swept_and_open_sessions_are_not() {
        let meters = meters();
        meters.reserve(&[debit("a", 10.0)], false, NOW).unwrap();
        let slot = meters.reserve(&[debit("b", 10.0)], true, NOW).unwrap();
        let later = NOW.after(Duration::from_secs(86_400));
        let sweep = || (0..meters.segments()).for_each(|s| meters.sweep(s, later));
        sweep();
        assert_eq!(meters.usage().0, 1);
        drop(slot);
        sweep();
        assert_eq!(meters.usage().0, 0);
    }

    proptest! {
        /// Whatever the order of requests and times: no window of an hour admits more than burst and rate,
        /// and what is refused leaves no trace.
        #[test]
        fn never_more_than_burst_and_rate(
            steps in proptest::collection::vec((0u64..600, 1u32..5), 1..200),
            limit in 1u32..50,
        ) {
            let meters = meters();
            let debits = [debit("a", f64::from(limit))];
            let (mut now, mut admitted) = (NOW, Vec::new());
            for (pause, units) in steps {
                now = now.after(Duration::from_secs(pause));
                let before = meters.outstanding(&debits[0].key, &debits[0].quota.rate, now).0;
                let cost = PerHour([0.0, f64::from(units.min(limit)), 0.0, 0.0]);
                match meters.reserve(&[Debit { cost, ..debits[0] }], false, now) {
                    Ok(_) => admitted.push((now, cost.0[1])),
                    Err(refused) => {
                        prop_assert_eq!(meters.outstanding(&debits[0].key, &debits[0].quota.rate, now).0, before);
                        let then = now.after(refused.retry_after + Duration::from_millis(1));
                        let meter = meters.table.read(&debits[0].key, |m| *m).unwrap();
                        prop_assert!(meter.check(&debits[0].quota, &cost, then).is_none());
                    }
                }
            }
            for (i, (start, _)) in admitted.iter().enumerate() {
                let hour = admitted[i..].iter().filter(|(t, _)| t.since(*start).as_secs() < 3600);
                let sum: f64 = hour.map(|(_, units)| units).sum();
                prop_assert!(sum <= 2.0 * f64::from(limit) + 1e-3, "{} in an hour, limit {}", sum, limit);
            }
        }
    }
}
