//! When to stop asking, and when to ask again.
//!
//! A breaker opens after so many failures in a row, without a success between them and within so short a time
//! that they tell something of the server rather than of the names asked for. While it is open nothing is asked
//! but probes, which come ever more rarely; the first success closes it.
//!
//! Before it opens it may be in doubt: where a stranger chooses what is asked, his own names may be all that fails.
//! Nothing is given up then before a question that he has no hand in has failed as well.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// When a breaker opens, and how often it is probed while open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row that open it; with 0 it never opens.
    pub failures: u32,
    /// How far the first and the last of them may lie apart.
    pub within: Duration,
    /// How long after opening the first probe goes out.
    pub first_probe: Duration,
    /// The longest wait between two probes; each is twice the one before.
    pub longest_wait: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failures: 8,
            within: Duration::from_secs(30),
            first_probe: Duration::from_secs(2),
            longest_wait: Duration::from_secs(60),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
        first: Option<Instant>,
    },
    /// So many have failed, and whether it opens is being found out.
    Doubted,
    Open {
        since: Instant,
        wait: Duration,
    },
}

const CLOSED: State = State::Closed { failures: 0, first: None };

/// A breaker. Its lock is held for a few instructions at a time.
#[derive(Debug)]
pub(crate) struct Breaker {
    options: BreakerOptions,
    state: Mutex<State>,
}

impl Breaker {
    /// Closed.
    pub(crate) fn new(options: BreakerOptions) -> Self {
        Self { options, state: Mutex::new(CLOSED) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state is written whole, so that one left behind by a panic is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when it has been open.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        match *self.state() {
            State::Open { since, .. } => Some(since),
            State::Closed { .. } | State::Doubted => None,
        }
    }

    /// Takes note of a success; says how long the breaker was open, if it was this that closed it.
    pub(crate) fn succeeded(&self, now: Instant) -> Option<Duration> {
        match std::mem::replace(&mut *self.state(), CLOSED) {
            State::Open { since, .. } => Some(now.saturating_duration_since(since)),
            State::Closed { .. } | State::Doubted => None,
        }
    }

    /// Takes note of a failure; if it was this that opened the breaker, says when to probe.
    pub(crate) fn failed(&self, now: Instant) -> Option<Duration> {
        if self.is_doubted_by(now) { self.open(now) } else { None }
    }

    /// Takes note of a failure that says little by itself. Whether it was the last of a row: then [`Self::open`] opens
    /// the breaker, and until then a success closes it.
    pub(crate) fn is_doubted_by(&self, now: Instant) -> bool {
        let mut state = self.state();
        let State::Closed { failures, first } = *state else { return false };
        let first = first.filter(|&first| now.saturating_duration_since(first) <= self.options.within);
        let failures = if first.is_some() { failures.saturating_add(1) } else { 1 };
        if failures != self.options.failures {
            *state = State::Closed { failures, first: first.or(Some(now)) };
            return false;
        }
        *state = State::Doubted;
        true
    }

    /// Opens a breaker that is in doubt still, and says when to probe.
    pub(crate) fn open(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        let State::Doubted = *state else { return None };
        let wait = self.options.first_probe;
        *state = State::Open { since: now, wait };
        Some(wait)
    }

    /// Takes note of a probe that failed; says when to send the next, unless the breaker has been closed.
    pub(crate) fn probe_failed(&self) -> Option<Duration> {
        let mut state = self.state();
        let State::Open { since, wait } = *state else { return None };
        let wait = wait.saturating_mul(2).min(self.options.longest_wait);
        *state = State::Open { since, wait };
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(failures: u32) -> Breaker {
        Breaker::new(BreakerOptions { failures, ..BreakerOptions::default() })
    }

    #[test]
    fn opens_at_the_last_of_a_row_of_failures_and_closes_at_a_success() {
        let (breaker, now) = (breaker(3), Instant::now());
        assert_eq!([breaker.failed(now), breaker.failed(now)], [None, None]);
        assert_eq!(breaker.failed(now), Some(Duration::from_secs(2)));
        assert_eq!(breaker.failed(now), None, "it opens once");
        assert_eq!(breaker.open_since(), Some(now));
        let later = now + Duration::from_secs(5);
        assert_eq!(breaker.succeeded(later), Some(Duration::from_secs(5)));
        assert_eq!((breaker.succeeded(later), breaker.open_since()), (None, None));
    }

    #[test]
    fn in_doubt_it_is_closed_and_a_success_ends_the_doubt() {
        let (breaker, now) = (breaker(2), Instant::now());
        assert_eq!(breaker.open(now), None, "nothing has failed");
        assert_eq!([breaker.is_doubted_by(now), breaker.is_doubted_by(now)], [false, true]);
        assert!(!breaker.is_doubted_by(now), "it is doubted once");
        assert_eq!((breaker.open_since(), breaker.probe_failed(), breaker.failed(now)), (None, None, None));
        assert_eq!((breaker.succeeded(now), breaker.open(now)), (None, None));
        assert_eq!([breaker.is_doubted_by(now), breaker.is_doubted_by(now)], [false, true]);
        assert_eq!(breaker.open(now), Some(Duration::from_secs(2)));
        assert_eq!((breaker.open_since(), breaker.open(now)), (Some(now), None));
    }

    #[test]
    fn a_success_between_failures_begins_the_row_anew() {
        let (breaker, now) = (breaker(2), Instant::now());
        for _ in 0..10 {
            assert_eq!(breaker.failed(now), None);
            assert_eq!(breaker.succeeded(now), None);
        }
    }

    #[test]
    fn failures_far_apart_are_no_row() {
        let (breaker, mut now) = (breaker(2), Instant::now());
        for _ in 0..10 {
            assert_eq!(breaker.failed(now), None);
            now += Duration::from_secs(31);
        }
        assert_eq!(breaker.failed(now), None);
        assert!(breaker.failed(now + Duration::from_secs(30)).is_some());
    }

    #[test]
    fn probes_become_rarer_up_to_a_bound() {
        let (breaker, now) = (breaker(1), Instant::now());
        assert_eq!(breaker.probe_failed(), None, "closed");
        assert!(breaker.failed(now).is_some());
        let waits: Vec<u64> =
            (0..7).map_while(|_| breaker.probe_failed()).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn without_a_number_it_never_opens() {
        let (breaker, now) = (breaker(0), Instant::now());
        assert!((0..100).all(|_| breaker.failed(now).is_none()));
    }
}
