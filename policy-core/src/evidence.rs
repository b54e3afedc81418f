//! Evidence with a memory that fades at two speeds.
//!
//! Forward decay (Cormode, Shkapenyuk, Srivastava and Xu, "Forward decay", ICDE 2009): a weight w that
//! arrives at time t is stored as w * 2^((t - L) / H) against a landmark L, and a reading at time n divides
//! by 2^((n - L) / H). Additions therefore commute: evidence may arrive late or out of order, and records
//! of two hosts merge by plain addition once their landmarks agree. What is presumed is the exception: whether it
//! counts depends on what the record holds by then, so two orders may differ, by what is presumed of some hours' mail.
//!
//! Known limits: a record last written under a clock that ran ahead counts new evidence for less until that
//! time is reached or the record fades. Sums are 32-bit floats. They keep seven digits, so a weight of 0.1 is lost on a sum above
//! about two million; by then it changes nothing.

use crate::outcome::ACCEPTED;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::ops::Neg;

/// Half-life of the fast memory in seconds: six hours.
pub const FAST_HALF_LIFE: f64 = 6.0 * 3600.0;
/// Half-life of the slow memory in seconds: sixty days.
pub const SLOW_HALF_LIFE: f64 = 60.0 * 86_400.0;
/// Half-life of the busiest day's volume in seconds: sixty days, so that who sends once a month may do so again.
const VOLUME_HALF_LIFE: f64 = 60.0 * 86_400.0;
/// Evidence of the last hours from which on a record needs no presumptions: so much, or so much for each message of its
/// busiest day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enough {
    pub(crate) least: f64,
    pub(crate) of_busiest: f64,
}

/// Five messages' worth, or what is presumed of as many messages as usually come in within the fast memory. Where people
/// complain and nobody praises, the mail that nobody complains of is all that speaks for a large sender.
pub(crate) const KNOWS_ENOUGH: Enough =
    Enough { least: 5.0, of_busiest: ACCEPTED as f64 * FAST_HALF_LIFE / std::f64::consts::LN_2 / 86_400.0 };
/// Half-lives a landmark may lie behind before sums are brought to a new one; 2^64 is far from overflow.
const MAX_LAG: f64 = 64.0;
/// The most that evidence, or a volume, adds up to, in messages' worth. No server has as much mail; what a file says may
/// be more, and from infinity nothing is ever taken away.
pub const MOST: f32 = 1e9;
/// The same of a sum that is stored against a landmark up to 64 half-lives ago, as the fast memory's.
pub const MOST_STORED: f32 = MOST * 18_446_744_073_709_551_616.0;

/// Evidence about an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// Weight of good evidence.
    pub good: f32,
    /// Weight of bad evidence.
    pub bad: f32,
    /// Weight of good evidence that is presumed for want of news. It counts only on a record that knows little of
    /// the last hours: what comes in is not to vouch for more of its kind without end.
    pub presumed: f32,
    /// Messages let in; one to many recipients counts as several.
    pub volume: f32,
}

impl Neg for Weight {
    type Output = Self;

    fn neg(self) -> Self {
        let Self { good, bad, presumed, volume } = self;
        Self { good: -good, bad: -bad, presumed: -presumed, volume: -volume }
    }
}

/// Good and bad weight together, fading alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Weight of good evidence.
    pub good: f32,
    /// Weight of bad evidence.
    pub bad: f32,
}

impl Tally {
    /// Both weights together.
    pub fn evidence(self) -> f32 {
        self.good + self.bad
    }

    fn add_scaled(&mut self, good: f32, bad: f32, scale: f64) {
        // Through f64: the product of a tiny weight and a large scale must not round twice.
        let add = |sum: &mut f32, weight: f32| *sum = (f64::from(*sum) + f64::from(weight) * scale) as f32;
        add(&mut self.good, good);
        add(&mut self.bad, bad);
    }

    /// What was taken back later than it was given has faded less: never less than nothing is left.
    fn at_least_nothing(self) -> Self {
        Self { good: self.good.max(0.0), bad: self.bad.max(0.0) }
    }

    fn at_most(self, most: f32) -> Self {
        Self { good: self.good.clamp(-most, most), bad: self.bad.clamp(-most, most) }
    }

    fn scaled(self, scale: f64) -> Self {
        let mut result = Self::default();
        result.add_scaled(self.good, self.bad, scale);
        result
    }
}

/// What is remembered of one identity: 32 octets.
///
/// Volume is kept by the day (UTC): today's messages (one to many recipients counts as several), and the most of any
/// day before, which fades with a half-life of sixty days. Today does not count towards what a sender may send today, so
/// a burst cannot widen its own allowance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The landmark of the tallies, in seconds since the epoch.
    landmark: u32,
    /// The day it was first seen, since the epoch.
    first_day: u16,
    /// The day that `today` counts, and of the latest news.
    day: u16,
    fast: Tally,
    slow: Tally,
    /// Messages let in on `day`.
    today: f32,
    /// The most messages of any earlier day, faded to `day`.
    busiest: f32,
}

/// A record as it reads at some moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Weights of the last hours.
    pub fast: Tally,
    /// Weights of the last weeks.
    pub slow: Tally,
    /// Messages let in since midnight (UTC).
    pub today: f32,
    /// The most messages of any earlier day, faded until now.
    pub busiest: f32,
    /// Days since the identity was first seen.
    pub age_days: u16,
}

fn day_of(at: Timestamp) -> u16 {
    // 65,535 days reach the year 2149.
    u16::try_from(at.as_secs_u32() / 86_400).unwrap_or(u16::MAX)
}

/// What is left of a number after some days.
fn faded(number: f32, days: u16) -> f32 {
    // Most records had no mail yesterday, and many are asked of.
    if number == 0.0 || days == 0 {
        return number;
    }
    (f64::from(number) * (-f64::from(days) * 86_400.0 / VOLUME_HALF_LIFE).exp2()) as f32
}

impl Record {
    /// An empty record that begins now.
    pub fn new(now: Timestamp) -> Self {
        let day = day_of(now);
        Self {
            landmark: now.as_secs_u32(),
            first_day: day,
            day,
            fast: Tally::default(),
            slow: Tally::default(),
            today: 0.0,
            busiest: 0.0,
        }
    }

    /// Adds evidence that arose at `at`, which may lie before the record's beginning.
    pub fn add(&mut self, weight: Weight, at: Timestamp) {
        self.add_presuming(weight, KNOWS_ENOUGH, at);
    }

    /// The same, where other evidence of the last hours is enough to need no presumptions.
    pub(crate) fn add_presuming(&mut self, weight: Weight, enough: Enough, at: Timestamp) {
        Writer::at(at).add(self, weight, enough);
    }

    fn add_volume(&mut self, volume: f32, day: u16) {
        if volume > 0.0 {
            self.turn_to(day);
            self.today += volume;
        }
    }

    /// Any news turns to its day, so that `day` tells when there was some last.
    fn turn_forward_to(&mut self, day: u16) {
        if day > self.day {
            self.turn_to(day);
        }
    }

    /// Days since there was any news.
    pub(crate) fn quiet_days(&self, now: Timestamp) -> u16 {
        day_of(now).saturating_sub(self.day)
    }

    /// Whether any mail of it was let in, and there was news on the day of `since` or after it.
    pub(crate) fn has_let_in_since(&self, since: Timestamp) -> bool {
        self.day >= day_of(since) && self.today.max(self.busiest) > 0.0
    }

    /// Turns to a later day: what was today becomes one of the days before.
    fn turn_to(&mut self, day: u16) {
        if self.day > day.saturating_add(1) {
            self.day = day;
        }
        let days = day.saturating_sub(self.day);
        if days > 0 {
            self.busiest = faded(self.busiest, days).max(faded(self.today, days - 1));
            self.today = 0.0;
            self.day = day;
        }
    }

    fn rebase(&mut self, landmark: u32) {
        let lag = f64::from(landmark) - f64::from(self.landmark);
        self.fast = self.fast.scaled((-lag / FAST_HALF_LIFE).exp2());
        self.slow = self.slow.scaled((-lag / SLOW_HALF_LIFE).exp2());
        self.landmark = landmark;
    }

    /// The record with every number brought to what evidence adds up to at most.
    fn bounded(self) -> Self {
        Self {
            fast: self.fast.at_most(MOST_STORED),
            slow: self.slow.at_most(MOST),
            today: self.today.clamp(0.0, MOST),
            busiest: self.busiest.clamp(0.0, MOST),
            ..self
        }
    }

    /// The record as it may be written or taken over: `None` when its numbers are none; those that are too large count as
    /// the largest.
    pub fn sound(self) -> Option<Self> {
        let tallies = [self.fast, self.slow].into_iter().flat_map(|tally| [tally.good, tally.bad]);
        let mut numbers = tallies.chain([self.today, self.busiest]);
        numbers.all(f32::is_finite).then(|| self.bounded())
    }

    /// The record as it may be taken over from a file: `None` when its numbers are none.
    pub(crate) fn taken_over(self, now: Timestamp) -> Option<Self> {
        let mut record = self.sound()?;
        record.right_clock(now);
        Some(record)
    }

    /// What was written under a clock that ran ahead counts as of `now`, undiminished.
    pub(crate) fn right_clock(&mut self, now: Timestamp) {
        let today = day_of(now);
        if Timestamp::from_secs(self.landmark.into()).is_from_a_wrong_clock(now) {
            self.landmark = now.as_secs_u32();
        }
        self.first_day = self.first_day.min(today);
        if self.day > today.saturating_add(1) {
            self.day = today;
        }
    }

    /// Adds what another host has recorded of the same identity.
    pub fn merge(&mut self, mut other: Self) {
        let landmark = self.landmark.max(other.landmark);
        self.rebase(landmark);
        other.rebase(landmark);
        self.fast.add_scaled(other.fast.good, other.fast.bad, 1.0);
        self.slow.add_scaled(other.slow.good, other.slow.bad, 1.0);
        let day = self.day.max(other.day);
        self.turn_to(day);
        other.turn_to(day);
        self.today += other.today;
        self.busiest += other.busiest;
        self.first_day = self.first_day.min(other.first_day);
        *self = self.bounded();
    }

    /// Brings good evidence up to what another record has, and takes over since when it is known.
    pub(crate) fn raise(&mut self, mut other: Self) {
        let landmark = self.landmark.max(other.landmark);
        self.rebase(landmark);
        other.rebase(landmark);
        self.fast.good = self.fast.good.max(other.fast.good);
        self.slow.good = self.slow.good.max(other.slow.good);
        self.first_day = self.first_day.min(other.first_day);
    }

    /// The record as it reads now.
    pub fn read(&self, now: Timestamp) -> Reading {
        Reader::at(now).read(self)
    }

    /// Evidence and volume together as they read now: what would be lost without the record.
    pub(crate) fn amount(&self, now: Timestamp) -> f32 {
        let reader = Reader::at(now);
        let [today, busiest] = reader.volume(self);
        let slow = self.slow.scaled(reader.left(self.landmark, SLOW_HALF_LIFE)).at_least_nothing();
        slow.evidence() + today.max(busiest)
    }
}

/// Adds to records what arose at one moment; like a [`Reader`], it reckons once for records that began together.
pub(crate) struct Writer {
    secs: u32,
    day: u16,
    /// The landmark of the record written last.
    landmark: u32,
    /// What a weight counts against it, in its fast and in its slow memory.
    scales: [f64; 2],
}

impl Writer {
    /// A writer of what arose at `at`.
    pub(crate) fn at(at: Timestamp) -> Self {
        let secs = at.as_secs_u32();
        Self { secs, day: day_of(at), landmark: secs, scales: [1.0; 2] }
    }

    /// Adds a weight to a record, presumptions only while it has less than `enough` evidence of the last hours.
    pub(crate) fn add(&mut self, record: &mut Record, weight: Weight, enough: Enough) {
        let lag = |landmark: u32| f64::from(self.secs) - f64::from(landmark);
        if lag(record.landmark) > MAX_LAG * FAST_HALF_LIFE {
            record.rebase(self.secs);
        }
        if record.landmark != self.landmark {
            let lag = lag(record.landmark);
            self.landmark = record.landmark;
            self.scales = [FAST_HALF_LIFE, SLOW_HALF_LIFE].map(|half_life| (lag / half_life).exp2());
        }
        let mut good = weight.good;
        // Of what is taken back, only the least was surely given.
        let usual = if weight.presumed > 0.0 { enough.of_busiest * f64::from(record.busiest) } else { 0.0 };
        let enough = enough.least.max(usual);
        if weight.presumed != 0.0 && f64::from(record.fast.evidence()) < enough * self.scales[0] {
            good += weight.presumed;
        }
        record.fast.add_scaled(good, weight.bad, self.scales[0]);
        record.slow.add_scaled(good, weight.bad, self.scales[1]);
        record.add_volume(weight.volume, self.day);
        record.turn_forward_to(self.day);
        record.first_day = record.first_day.min(self.day);
    }
}

/// Reads records at one moment. The keys of one message were often first seen with the same message, and what
/// time leaves of records that began together is reckoned once.
pub(crate) struct Reader {
    secs: u32,
    day: u16,
    /// The landmark of the record read last.
    landmark: u32,
    /// What is left of its fast and its slow memory.
    left: [f64; 2],
}

impl Reader {
    /// A reader at `now`.
    pub(crate) fn at(now: Timestamp) -> Self {
        let secs = now.as_secs_u32();
        Self { secs, day: day_of(now), landmark: secs, left: [1.0; 2] }
    }

    /// A record as it reads at this moment.
    pub(crate) fn read(&mut self, record: &Record) -> Reading {
        if record.landmark != self.landmark {
            self.landmark = record.landmark;
            self.left = [FAST_HALF_LIFE, SLOW_HALF_LIFE].map(|half_life| self.left(self.landmark, half_life));
        }
        let [today, busiest] = self.volume(record);
        Reading {
            fast: record.fast.scaled(self.left[0]).at_least_nothing(),
            slow: record.slow.scaled(self.left[1]).at_least_nothing(),
            today,
            busiest,
            age_days: self.day.saturating_sub(record.first_day),
        }
    }

    fn left(&self, landmark: u32, half_life: f64) -> f64 {
        let lag = f64::from(self.secs) - f64::from(landmark);
        // A clock that jumped back must not blow the sums up.
        (-lag / half_life).exp2().min(1.0)
    }

    /// Messages of today, and of the busiest day before.
    fn volume(&self, record: &Record) -> [f32; 2] {
        let mut turned = *record;
        turned.turn_to(self.day);
        [turned.today, turned.busiest]
    }
}

impl Reading {
    /// A reading of nothing at all.
    pub const NOTHING: Self = Self {
        fast: Tally { good: 0.0, bad: 0.0 },
        slow: Tally { good: 0.0, bad: 0.0 },
        today: 0.0,
        busiest: 0.0,
        age_days: 0,
    };
}

#[cfg(test)]
mod tests;
