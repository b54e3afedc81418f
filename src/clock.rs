//! The clock: the system's, or one that a test moves by hand.
//!
//! Evidence fades with time and is dropped when it has faded, so a system clock that leaps by months for a minute would
//! empty the state: on a host without a clock of its own, say, that starts in the past until a time service sets it. Time
//! therefore goes on from the last write of the state, at the pace of the monotonic clock, until a leap has lasted a day.
//!
//! Known limits: a leap of less than a week ahead, or an hour back, is followed at once. Nothing tells a host that was
//! suspended for weeks from one whose clock is wrong: its time lags for a day.

use policy_core::time::Timestamp;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How far ahead the system's clock may leap and be followed at once, in milliseconds: what a host loses that was
/// suspended. Of what is known for months little fades in that time.
const AHEAD: i64 = 7 * 86_400_000;
/// And how far back.
const BACK: i64 = 3_600_000;
/// How long a wider leap has to last before it is believed, in milliseconds.
const LASTS: i64 = 86_400_000;
/// As much as the two clocks drift apart before it is noted, in milliseconds: it is shared by all threads.
const DRIFT: i64 = 1000;

/// What tells the time to the engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Arc<Steady>),
    Manual(ManualClock),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System(Arc::new(Steady::new(wall()))))
    }

    /// A clock that stands at `now` until it is moved. Keep the handle, give clones away.
    pub fn manual(now: Timestamp) -> ManualClock {
        ManualClock(Arc::new(AtomicU64::new(now.as_millis())))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System(steady) => steady.now(steady.reading()),
            Source::Manual(clock) => clock.now(),
        }
    }

    /// Goes on from when the state was last written, if the system's clock stands far from that.
    pub(crate) fn go_on_from(&self, written: Timestamp) {
        if let Source::System(steady) = &self.0 {
            steady.go_on_from(written, steady.reading());
        }
    }

    /// Watches the system's clock; to be called every second or so. Returns what there is to tell.
    pub(crate) fn watch(&self) -> Option<Turn> {
        match &self.0 {
            Source::System(steady) => steady.watch(steady.reading()),
            Source::Manual(_) => None,
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Self {
        Self(Source::Manual(clock))
    }
}

/// The system's time; 1970 when its clock stands before that.
pub(crate) fn system_now() -> Timestamp {
    moment(wall())
}

fn wall() -> i64 {
    millis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The length of a leap.
fn length(by: i64) -> Duration {
    Duration::from_millis(by.unsigned_abs())
}

/// What becomes of a leap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The system's clock has leapt and is not followed.
    Ahead(Duration),
    /// The same, back.
    Back(Duration),
    /// The clock stands right again.
    Returned,
    /// The leap has lasted, and is followed now.
    Followed,
}

/// What two clocks say at one moment, in milliseconds: the system's since 1970, the monotonic one since some beginning.
#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: i64,
    mono: i64,
}

/// The system's clock, but not its leaps.
#[derive(Debug)]
struct Steady {
    began: Instant,
    /// What the believed time is ahead of the monotonic clock.
    offset: AtomicI64,
    leap: Mutex<Option<Leap>>,
}

/// A leap that is not followed.
#[derive(Clone, Copy, Debug)]
struct Leap {
    /// What the system's clock was ahead of the monotonic one.
    offset: i64,
    /// When it was first seen, by the monotonic clock.
    seen: i64,
}

const fn is_wide(by: i64) -> bool {
    by > AHEAD || by < -BACK
}

impl Steady {
    fn new(wall: i64) -> Self {
        Self { began: Instant::now(), offset: AtomicI64::new(wall), leap: Mutex::new(None) }
    }

    fn reading(&self) -> Reading {
        Reading { wall: wall(), mono: millis(self.began.elapsed()) }
    }

    /// How far the system's clock stands from the believed time.
    fn leap(&self, Reading { wall, mono }: Reading) -> i64 {
        wall.saturating_sub(mono).saturating_sub(self.offset.load(Ordering::Relaxed))
    }

    fn follow(&self, Reading { wall, mono }: Reading) {
        self.offset.store(wall.saturating_sub(mono), Ordering::Relaxed);
    }

    fn now(&self, reading: Reading) -> Timestamp {
        let by = self.leap(reading);
        if is_wide(by) {
            return moment(reading.wall.saturating_sub(by));
        }
        if by.abs() > DRIFT {
            self.follow(reading);
        }
        moment(reading.wall)
    }

    fn go_on_from(&self, written: Timestamp, reading: Reading) {
        let written = i64::try_from(written.as_millis()).unwrap_or(i64::MAX);
        if is_wide(reading.wall.saturating_sub(written)) {
            self.follow(Reading { wall: written, ..reading });
        }
    }

    fn watch(&self, reading: Reading) -> Option<Turn> {
        let by = self.leap(reading);
        let mut known = self.leap.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_wide(by) {
            return known.take().map(|_| Turn::Returned);
        }
        let offset = reading.wall.saturating_sub(reading.mono);
        match *known {
            Some(leap) if !is_wide(offset.saturating_sub(leap.offset)) => {
                if reading.mono.saturating_sub(leap.seen) < LASTS {
                    return None;
                }
                self.follow(reading);
                *known = None;
                Some(Turn::Followed)
            }
            // The first, or another one, from which the day counts anew.
            _ => {
                *known = Some(Leap { offset, seen: reading.mono });
                Some(if by > 0 { Turn::Ahead(length(by)) } else { Turn::Back(length(by)) })
            }
        }
    }
}

/// A clock that is moved by hand. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// The time that it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }

    /// Sets it, back too.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.as_millis(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    /// Some day in 2026.
    const START: i64 = 1_790_000_000_000;

    /// What a clock that began at `START` is told `mono` later, when the system's stands `leap` from where it should.
    fn reading(mono: i64, leap: i64) -> Reading {
        Reading { wall: START + mono + leap, mono }
    }

    fn days(days: i64) -> Duration {
        length(days * DAY)
    }

    #[test]
    fn a_wide_leap_is_followed_when_it_has_lasted_a_day() {
        for (leap, turn) in [(181 * DAY, Turn::Ahead(days(181))), (-200 * DAY, Turn::Back(days(200)))] {
            let clock = Steady::new(START);
            assert_eq!(clock.watch(reading(1000, 0)), None);
            assert_eq!(clock.now(reading(2000, leap)), moment(START + 2000), "time goes on");
            assert_eq!(clock.watch(reading(2000, leap)), Some(turn));
            assert_eq!(clock.watch(reading(3000, leap)), None, "it is told once");
            assert_eq!(clock.watch(reading(2000 + DAY - 1, leap)), None);
            assert_eq!(clock.now(reading(2000 + DAY - 1, leap)), moment(START + 2000 + DAY - 1));
            assert_eq!(clock.watch(reading(2000 + DAY, leap)), Some(Turn::Followed));
            assert_eq!(clock.now(reading(2000 + DAY, leap)), moment(START + 2000 + DAY + leap));
            assert_eq!(clock.watch(reading(3000 + DAY, leap)), None);
        }
    }

    #[test]
    fn a_leap_that_ends_was_none_and_another_counts_anew() {
        let clock = Steady::new(START);
        assert_eq!(clock.watch(reading(0, 181 * DAY)), Some(Turn::Ahead(days(181))));
        assert_eq!(clock.watch(reading(65_000, 0)), Some(Turn::Returned));
        assert_eq!(clock.watch(reading(66_000, -DAY)), Some(Turn::Back(days(1))));
        assert_eq!(clock.watch(reading(DAY, 50 * DAY)), Some(Turn::Ahead(days(50))));
        assert_eq!(clock.watch(reading(66_000 + DAY, 50 * DAY)), None);
        assert_eq!(clock.watch(reading(2 * DAY, 50 * DAY)), Some(Turn::Followed));
    }

    #[test]
    fn what_a_time_service_or_a_pause_does_is_followed_at_once() {
        let clock = Steady::new(START);
        let mut moved = 0;
        for leap in [1, -1500, 900, -3_500_000, 6 * DAY] {
            moved += leap;
            assert_eq!(clock.now(reading(moved.abs(), moved)), moment(START + moved.abs() + moved));
            assert_eq!(clock.watch(reading(moved.abs(), moved)), None);
        }
    }

    #[test]
    fn time_goes_on_from_the_last_write() {
        let at = |wall: i64| Reading { wall, mono: 5 };
        let begun = |wall: i64, written: i64| {
            let clock = Steady::new(wall);
            clock.go_on_from(moment(written), at(wall));
            (clock.now(at(wall)), clock)
        };
        // Behind, as a host without a clock of its own begins; a time service sets it a minute later.
        let (now, clock) = begun(0, START);
        assert_eq!(now, moment(START));
        assert_eq!(clock.watch(at(0)), Some(Turn::Back(length(START))));
        let set = Reading { wall: START + 3 * DAY, mono: 60_005 };
        assert_eq!(clock.now(set), moment(START + 3 * DAY));
        assert_eq!(clock.watch(set), Some(Turn::Returned));
        assert_eq!(begun(START + 8 * DAY, START).0, moment(START));
        assert_eq!(begun(START + 6 * DAY, START).0, moment(START + 6 * DAY));
        assert_eq!(begun(START - 60_000, START).0, moment(START - 60_000));
    }

    #[test]
    fn clocks_that_stand_nowhere_are_survived() {
        let clock = Steady::new(i64::MAX);
        clock.go_on_from(Timestamp::from_millis(u64::MAX), Reading { wall: 0, mono: i64::MAX });
        for reading in [Reading { wall: i64::MAX, mono: 0 }, Reading { wall: 0, mono: i64::MAX }] {
            clock.now(reading);
            clock.watch(reading);
        }
    }

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let hand = Clock::manual(Timestamp::from_secs(100));
        let clock = Clock::from(hand.clone());
        hand.advance(Duration::from_millis(1500));
        assert_eq!(clock.now(), Timestamp::from_millis(101_500));
        hand.set(Timestamp::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_secs(1));
    }
}
