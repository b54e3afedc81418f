//! When mail arrives: a Poisson process, even or with the rhythm of a working day.

use super::mail::Mail;
use policy_core::time::Timestamp;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::ops::Range;

/// Share of a day's mail by the hour (UTC), in thousandths: quiet nights, two busy half-days.
const DAY: [f64; 24] = [
    12.0, 10.0, 9.0, 9.0, 12.0, 20.0, 32.0, 52.0, 70.0, 78.0, 76.0, 68.0, 60.0, 66.0, 72.0, 70.0, 64.0, 54.0,
    44.0, 36.0, 30.0, 24.0, 18.0, 14.0,
];
const BUSIEST: f64 = 78.0;

/// A stream of mail in order of time. It is an iterator, so that a million messages need no memory.
pub(crate) struct Stream<F> {
    rng: SmallRng,
    /// Messages an hour in the busiest hour.
    peak: f64,
    even: bool,
    /// Seconds since the epoch.
    at: f64,
    until: f64,
    make: F,
}

impl<F: FnMut(&mut SmallRng, Timestamp) -> Mail> Stream<F> {
    /// `hourly` messages an hour, at any hour alike.
    pub(crate) fn even(seed: u64, hourly: f64, when: Range<Timestamp>, make: F) -> Self {
        let secs = |at: Timestamp| at.as_millis() as f64 / 1000.0;
        let (at, until) = (secs(when.start), secs(when.end));
        Self { rng: SmallRng::seed_from_u64(seed), peak: hourly, even: true, at, until, make }
    }

    /// `daily` messages a day, most of them in working hours.
    pub(crate) fn diurnal(seed: u64, daily: f64, when: Range<Timestamp>, make: F) -> Self {
        let peak = daily * BUSIEST / DAY.iter().sum::<f64>();
        Self { even: false, ..Self::even(seed, peak, when, make) }
    }
}

impl<F: FnMut(&mut SmallRng, Timestamp) -> Mail> Iterator for Stream<F> {
    type Item = (Timestamp, Mail);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // The gap of a Poisson process is exponential; 1 - u is never zero.
            let unit: f64 = self.rng.random();
            self.at -= (1.0 - unit).ln() / self.peak * 3600.0;
            if self.at >= self.until {
                return None;
            }
            let share = DAY[(self.at / 3600.0) as usize % 24] / BUSIEST;
            if self.even || self.rng.random_bool(share) {
                break;
            }
        }
        let at = Timestamp::from_millis((self.at * 1000.0) as u64);
        Some((at, (self.make)(&mut self.rng, at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::mail::{bare, v4};

    fn moments(stream: impl Iterator<Item = (Timestamp, Mail)>) -> Vec<u64> {
        stream.map(|(at, _)| at.as_millis()).collect()
    }

    fn mail(_: &mut SmallRng, _: Timestamp) -> Mail {
        Mail::unverified(bare(v4(1)), "a.example")
    }

    #[test]
    fn volume_and_rhythm_are_as_asked_and_repeat_by_the_seed() {
        let when = Timestamp::from_secs(0)..Timestamp::from_secs(100 * 86_400);
        let even = moments(Stream::even(1, 10.0, when.clone(), mail));
        assert!((23_000..25_000).contains(&even.len()), "{}", even.len());
        assert_eq!(even, moments(Stream::even(1, 10.0, when.clone(), mail)));
        assert_ne!(even, moments(Stream::even(2, 10.0, when.clone(), mail)));
        let diurnal = moments(Stream::diurnal(1, 100.0, when, mail));
        assert!((9_500..10_500).contains(&diurnal.len()), "{}", diurnal.len());
        let at_night = diurnal.iter().filter(|&&at| at / 3_600_000 % 24 < 4).count();
        assert!(at_night < diurnal.len() / 20, "{at_night} before four in the morning");
        assert!(diurnal.is_sorted() && even.is_sorted());
    }
}
