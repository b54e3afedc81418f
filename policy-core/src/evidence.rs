//! Evidence with a memory that fades at two speeds.
//!
//! Forward decay (Cormode, Shkapenyuk, Srivastava and Xu, "Forward decay", ICDE 2009): a weight w that
//! arrives at time t is stored as w * 2^((t - L) / H) against a landmark L, and a reading at time n divides
//! by 2^((n - L) / H). Additions therefore commute: evidence may arrive late or out of order, and records
//! of two hosts merge by plain addition once their landmarks agree.
//!
//! Known limit: sums are 32-bit floats. They keep seven digits, so a weight of 0.1 is lost on a sum above
//! about two million; by then it changes nothing.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Half-life of the fast memory in seconds: six hours.
pub const FAST_HALF_LIFE: f64 = 6.0 * 3600.0;
/// Half-life of the slow memory in seconds: ten days.
pub const SLOW_HALF_LIFE: f64 = 10.0 * 86_400.0;
/// Half-lives a landmark may lie behind before sums are brought to a new one; 2^64 is far from overflow.
const MAX_LAG: f64 = 64.0;

/// Something that is counted: what becomes of it fades alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// Weight of good evidence.
    pub good: f32,
    /// Weight of bad evidence.
    pub bad: f32,
    /// Messages let in.
    pub volume: f32,
}

impl Weight {
    /// Good and bad weight together.
    pub fn evidence(self) -> f32 {
        self.good + self.bad
    }

    fn add_scaled(&mut self, other: Self, scale: f64) {
        // Through f64: the product of a tiny weight and a large scale must not round twice.
        let add = |sum: &mut f32, weight: f32| *sum = (f64::from(*sum) + f64::from(weight) * scale) as f32;
        add(&mut self.good, other.good);
        add(&mut self.bad, other.bad);
        add(&mut self.volume, other.volume);
    }

    fn scaled(self, scale: f64) -> Self {
        let mut result = Self::default();
        result.add_scaled(self, scale);
        result
    }
}

/// What is remembered of one identity: 32 octets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The landmark of the sums, in seconds since the epoch.
    landmark: u32,
    /// When the identity was first seen, in seconds since the epoch.
    first_seen: u32,
    fast: Weight,
    slow: Weight,
}

/// A record as it reads at some moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Weights of the last hours.
    pub fast: Weight,
    /// Weights of the last weeks.
    pub slow: Weight,
    /// Seconds since the identity was first seen.
    pub age: f64,
}

impl Record {
    /// An empty record that begins now.
    pub fn new(now: Timestamp) -> Self {
        let now = now.as_secs_u32();
        Self { landmark: now, first_seen: now, fast: Weight::default(), slow: Weight::default() }
    }

    /// Adds evidence that arose at `at`, which may lie before the record's beginning.
    pub fn add(&mut self, weight: Weight, at: Timestamp) {
        let at = at.as_secs_u32();
        let lag = f64::from(at) - f64::from(self.landmark);
        if lag > MAX_LAG * FAST_HALF_LIFE {
            self.rebase(at);
            return self.add_lagging(weight, 0.0);
        }
        self.add_lagging(weight, lag);
        self.first_seen = self.first_seen.min(at);
    }

    fn add_lagging(&mut self, weight: Weight, lag: f64) {
        self.fast.add_scaled(weight, (lag / FAST_HALF_LIFE).exp2());
        self.slow.add_scaled(weight, (lag / SLOW_HALF_LIFE).exp2());
    }

    fn rebase(&mut self, landmark: u32) {
        let lag = f64::from(landmark) - f64::from(self.landmark);
        self.fast = self.fast.scaled((-lag / FAST_HALF_LIFE).exp2());
        self.slow = self.slow.scaled((-lag / SLOW_HALF_LIFE).exp2());
        self.landmark = landmark;
    }

    /// Adds what another host has recorded of the same identity.
    pub fn merge(&mut self, mut other: Self) {
        let landmark = self.landmark.max(other.landmark);
        self.rebase(landmark);
        other.rebase(landmark);
        self.fast.add_scaled(other.fast, 1.0);
        self.slow.add_scaled(other.slow, 1.0);
        self.first_seen = self.first_seen.min(other.first_seen);
    }

    /// The record as it reads now.
    pub fn read(&self, now: Timestamp) -> Reading {
        let now = f64::from(now.as_secs_u32());
        let lag = now - f64::from(self.landmark);
        Reading {
            // A clock that jumped back must not blow the sums up.
            fast: self.fast.scaled((-lag / FAST_HALF_LIFE).exp2().min(1.0)),
            slow: self.slow.scaled((-lag / SLOW_HALF_LIFE).exp2().min(1.0)),
            age: (now - f64::from(self.first_seen)).max(0.0),
        }
    }
}

impl Reading {
    /// A reading of nothing at all.
    pub const NOTHING: Self = Self {
        fast: Weight { good: 0.0, bad: 0.0, volume: 0.0 },
        slow: Weight { good: 0.0, bad: 0.0, volume: 0.0 },
        age: 0.0,
    };

    /// Messages a day, as far back as memory and age allow; the larger of both speeds, so that a sender
    /// that grows is not held to its past.
    pub fn daily_volume(&self) -> f64 {
        daily(self.fast.volume, FAST_HALF_LIFE, self.age).max(daily(
            self.slow.volume,
            SLOW_HALF_LIFE,
            self.age,
        ))
    }

    /// Messages a day by the slow memory alone: the baseline that a spike is measured against.
    pub fn baseline(&self) -> f64 {
        daily(self.slow.volume, SLOW_HALF_LIFE, self.age)
    }

    /// Messages a day by the fast memory alone.
    pub fn recent_daily(&self) -> f64 {
        daily(self.fast.volume, FAST_HALF_LIFE, self.age)
    }
}

/// A decayed sum as a rate for a day: the sum over the length that the memory effectively spans, but never
/// less than a day, so that one hour's mail is not taken for a habit.
fn daily(sum: f32, half_life: f64, age: f64) -> f64 {
    let span = half_life / std::f64::consts::LN_2 * (1.0 - (-age / half_life).exp2());
    let least = (half_life / std::f64::consts::LN_2).min(86_400.0);
    f64::from(sum) / span.max(least) * 86_400.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: u64 = 1_700_000_000;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(T0 + secs)
    }

    fn bad(weight: f32) -> Weight {
        Weight { bad: weight, ..Weight::default() }
    }

    #[test]
    fn a_half_life_halves() {
        let mut record = Record::new(at(0));
        record.add(bad(8.0), at(0));
        let fast = record.read(at(6 * 3600));
        assert!((fast.fast.bad - 4.0).abs() < 1e-4);
        let slow = record.read(at(10 * 86_400));
        assert!((slow.slow.bad - 4.0).abs() < 1e-4);
    }

    #[test]
    fn a_burst_within_one_second_moves_the_memory_at_once() {
        let mut record = Record::new(at(0));
        record.add(Weight { good: 100.0, ..Weight::default() }, at(0));
        for _ in 0..50 {
            record.add(bad(1.0), at(86_400));
        }
        let reading = record.read(at(86_400));
        assert!(reading.fast.bad / reading.fast.evidence() > 0.8);
    }

    #[test]
    fn years_do_not_overflow_and_a_clock_that_jumps_back_does_not_blow_up() {
        let mut record = Record::new(at(0));
        for year in 0..50 {
            record.add(bad(1.0), at(year * 31_557_600));
        }
        let reading = record.read(at(49 * 31_557_600));
        assert!((reading.slow.bad - 1.0).abs() < 1e-3);
        assert!(record.read(at(0)).slow.bad <= 2.0);
    }

    #[test]
    fn daily_volume_follows_a_steady_sender() {
        let mut record = Record::new(at(0));
        for hour in 0..24 * 60 {
            record.add(Weight { volume: 10.0, ..Weight::default() }, at(hour * 3600));
        }
        let daily = record.read(at(24 * 60 * 3600)).daily_volume();
        assert!((daily - 240.0).abs() < 15.0, "{daily}");
    }

    proptest! {
        #[test]
        fn order_does_not_matter(mut events in proptest::collection::vec((0u64..20_000_000, 0.1f32..10.0), 1..40)) {
            let sum = |events: &[(u64, f32)]| {
                let mut record = Record::new(at(events[0].0));
                events.iter().for_each(|&(t, w)| record.add(bad(w), at(t)));
                record.read(at(20_000_000))
            };
            let forward = sum(&events);
            events.reverse();
            let backward = sum(&events);
            prop_assert!((forward.slow.bad - backward.slow.bad).abs() <= 1e-3 * forward.slow.bad.max(1e-3));
            prop_assert!((forward.fast.bad - backward.fast.bad).abs() <= 1e-3 * forward.fast.bad.max(1e-3));
            prop_assert_eq!(forward.age, backward.age);
        }

        #[test]
        fn merging_equals_recording_in_one_place(
            a in proptest::collection::vec((0u64..5_000_000, 0.1f32..10.0), 1..20),
            b in proptest::collection::vec((0u64..5_000_000, 0.1f32..10.0), 1..20),
        ) {
            let record = |events: &[(u64, f32)]| {
                let mut record = Record::new(at(events[0].0));
                events.iter().for_each(|&(t, w)| record.add(bad(w), at(t)));
                record
            };
            let mut merged = record(&a);
            merged.merge(record(&b));
            let both: Vec<_> = a.iter().chain(&b).copied().collect();
            let (merged, whole) = (merged.read(at(5_000_000)), record(&both).read(at(5_000_000)));
            prop_assert!((merged.slow.bad - whole.slow.bad).abs() <= 1e-3 * whole.slow.bad);
        }
    }
}
