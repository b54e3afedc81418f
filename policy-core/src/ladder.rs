//! The ladder: from 421 to 550, for an address that stays Bad and keeps coming.
//!
//! A rung is an address that is Bad by its own record, with when that began and in which parts of the time since it
//! has tried. Once it has been Bad for `after` and has tried in most parts of that time, it is refused for
//! `refuse_for`. Then, or as soon as it is Bad no more, its rung goes and everything begins anew.
//!
//! Invariant: only an address's own record makes a rung: not its prefix, not its sender's domain; and never an address
//! that many send from. Attempts that are answered by an exemption or an override are not looked at.
//!
//! Bounds: the table is bounded; an address that it has lost begins anew. Off by default, when nothing is held and a
//! decision pays for one comparison.

use crate::identity::Key;
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Parts that `after` is divided into, and in how many of them an address must have tried.
const PARTS: u32 = 6;
const TRIED: u32 = 4;

/// How long an address has to be Bad, and how long it is refused then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// How long it has to stay Bad, and keep coming.
    pub after: Duration,
    /// How long it is refused then.
    pub refuse_for: Duration,
}

/// An address that stays Bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// When it was first seen to be.
    since: Timestamp,
    /// When it last tried.
    last: Timestamp,
    /// The parts of the time since in which it tried.
    tried: u8,
    /// Until when it is refused.
    refused_until: Option<Timestamp>,
}

/// Where an address stands on the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Since when it has been Bad.
    pub since: Timestamp,
    /// Until when it is refused; not yet when `None`.
    pub refused_until: Option<Timestamp>,
}

/// What an attempt of a Bad address comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Not refused yet.
    Below,
    /// Refused until then, and it has just become so.
    Up(Timestamp),
    /// Refused until then, as before.
    There(Timestamp),
}

impl Rung {
    fn new(now: Timestamp) -> Self {
        Self { since: now, last: now, tried: 0, refused_until: None }
    }

    /// Takes an attempt in.
    fn step(&mut self, ladder: &Ladder, now: Timestamp) -> Step {
        if let Some(until) = self.refused_until.filter(|until| now < *until) {
            self.last = now;
            return Step::There(until);
        }
        let is_over = self.refused_until.is_some() || now.since(self.last) > ladder.after;
        if is_over || self.since.is_from_a_wrong_clock(now) {
            *self = Self::new(now);
        }
        self.last = now;
        let stayed = now.since(self.since);
        let part = stayed.as_millis() * u128::from(PARTS) / ladder.after.as_millis().max(1);
        self.tried |= 1 << part.min(u128::from(PARTS) - 1);
        if stayed < ladder.after || self.tried.count_ones() < TRIED {
            return Step::Below;
        }
        let until = now.after(ladder.refuse_for);
        self.refused_until = Some(until);
        Step::Up(until)
    }

    fn place(&self) -> Place {
        Place { since: self.since, refused_until: self.refused_until }
    }

    /// As it may be taken over from a file: `None` when it is over, or of a clock that ran ahead.
    pub(crate) fn taken_over(self, now: Timestamp) -> Option<Self> {
        let over = self.refused_until.is_some_and(|until| now >= until);
        (!over && !self.last.is_from_a_wrong_clock(now)).then_some(self)
    }
}

impl Worth for Rung {
    fn worth(&self, now: Timestamp) -> f32 {
        // Who is refused first; then who has been Bad longest.
        let refused = if self.refused_until.is_some() { 1e9 } else { 0.0 };
        refused + now.since(self.since).as_secs_f32()
    }
}

/// Who is on the ladder.
pub(crate) struct Rungs {
    pub(crate) table: Table<Rung>,
}

impl Rungs {
    /// Nobody yet, in at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { table: Table::with_bytes(bytes) }
    }

    /// An attempt of an address that is Bad.
    pub(crate) fn step(&self, address: Key, ladder: &Ladder, now: Timestamp) -> Step {
        self.table.update(address, now, || Rung::new(now), |rung| rung.step(ladder, now))
    }

    /// Takes an address off. Returns whether it was refused.
    pub(crate) fn leave(&self, address: &Key, now: Timestamp) -> bool {
        let left = self.table.remove_if(address, |_| true);
        left.is_some_and(|rung| rung.refused_until.is_some_and(|until| now < until))
    }

    /// Where an address stands.
    pub(crate) fn place(&self, address: &Key, now: Timestamp) -> Option<Place> {
        let rung = self.table.read(address, |rung| *rung)?;
        rung.refused_until.is_none_or(|until| now < until).then(|| rung.place())
    }

    /// How many segments a sweeper visits.
    pub(crate) fn segments(&self) -> usize {
        self.table.segments()
    }

    /// Drops from one segment whose time is over, or who has not come for as long as anything is `kept`.
    pub(crate) fn sweep(&self, segment: usize, kept: Duration, now: Timestamp) {
        self.table.sweep(segment, |_, rung| {
            now.since(rung.last) < kept && rung.refused_until.is_none_or(|until| now < until)
        });
    }

    /// Entries held, the most that can be held, and octets taken.
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        (self.table.len(), self.table.capacity(), self.table.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const HOUR: u64 = 3600;
    const LADDER: Ladder =
        Ladder { after: Duration::from_secs(6 * HOUR), refuse_for: Duration::from_secs(24 * HOUR) };

    fn key() -> Key {
        Key::address("192.0.2.1".parse().unwrap())
    }

    fn steps(rungs: &Rungs, hours: &[u64]) -> Vec<bool> {
        let at = |hours: &u64| NOW.after(Duration::from_secs(hours * HOUR));
        hours.iter().map(|hours| rungs.step(key(), &LADDER, at(hours)) != Step::Below).collect()
    }

    #[test]
    fn who_stays_bad_and_keeps_coming_is_refused_for_a_time() {
        let rungs = Rungs::new(1 << 16);
        assert_eq!(steps(&rungs, &[0, 1, 2, 3, 4, 5]), [false; 6]);
        assert_eq!(steps(&rungs, &[6, 29]), [true; 2]);
        assert_eq!(
            rungs.place(&key(), NOW).unwrap().refused_until,
            Some(NOW.after(Duration::from_secs(30 * HOUR)))
        );
        assert_eq!(steps(&rungs, &[30, 31]), [false; 2], "then everything begins anew");
    }

    #[test]
    fn a_few_attempts_or_a_burst_do_not_lead_up() {
        let seldom = Rungs::new(1 << 16);
        assert_eq!(steps(&seldom, &[0, 5, 10, 15]), [false; 4]);
        let burst = Rungs::new(1 << 16);
        (0..1000).for_each(|_| assert_eq!(burst.step(key(), &LADDER, NOW), Step::Below));
        assert_eq!(steps(&burst, &[6]), [false]);
        let gone = Rungs::new(1 << 16);
        assert_eq!(steps(&gone, &[0, 1, 2, 3, 10]), [false; 5], "who stayed away begins anew");
    }

    #[test]
    fn who_leaves_is_not_refused_and_time_takes_everybody_off() {
        let rungs = Rungs::new(1 << 16);
        steps(&rungs, &[0, 1, 2, 3, 4, 5, 6]);
        let later = |hours: u64| NOW.after(Duration::from_secs(hours * HOUR));
        assert!(rungs.leave(&key(), later(7)) && !rungs.leave(&key(), later(7)));
        assert_eq!(rungs.place(&key(), later(7)), None);
        steps(&rungs, &[10, 11, 12, 13, 14, 15, 16]);
        assert!(rungs.place(&key(), later(17)).is_some());
        (0..rungs.segments()).for_each(|n| rungs.sweep(n, Duration::MAX, later(40)));
        assert_eq!(rungs.usage().0, 0);
    }
}
