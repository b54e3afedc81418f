//! Reporters: how much one person's complaints may say.
//!
//! A complaint is only as good as whoever makes it, and one who complains of everything, or of one sender
//! again and again, must not close a sender to all others. So a reporter's first complaint of a day about a
//! sender counts, and at most so many of a day altogether.
//!
//! Bounds: the table is bounded; a reporter that it has lost may complain anew.

use crate::identity::{Key, Keyring};
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Complaints of one reporter that count in a day.
const A_DAY: u16 = 20;
const DAY_SECS: u32 = 86_400;

/// What one reporter has complained of on one day, about one sender or about all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Complaints {
    day: u32,
    count: u16,
}

impl Complaints {
    /// As it may be taken over from a file: complaints of a day to come are of today.
    pub(crate) fn taken_over(self, now: Timestamp) -> Self {
        Self { day: self.day.min(now.as_secs_u32() / DAY_SECS), ..self }
    }

    /// Both together, of the later day.
    pub(crate) fn merge(&mut self, other: Self) {
        let count = if other.day == self.day { other.count } else { 0 };
        self.count = self.count.saturating_add(count);
        if other.day > self.day {
            *self = other;
        }
    }
}

impl Worth for Complaints {
    fn worth(&self, _: Timestamp) -> f32 {
        self.day as f32
    }
}

/// Who has complained today, and how often.
pub(crate) struct Reporters {
    pub(crate) table: Table<Complaints>,
}

impl Reporters {
    /// Nobody yet, in at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { table: Table::with_bytes(bytes) }
    }

    /// Whether a complaint counts; it is noted.
    pub(crate) fn hear(&self, keyring: &Keyring, reporter: &str, about: Key, now: Timestamp) -> bool {
        let key = |about: &[u8]| keyring.internal(&[b"reporter", reporter.as_bytes(), about]);
        self.count(key(&about.to_bytes()), now) <= 1 && self.count(key(b"all"), now) <= A_DAY
    }

    /// Counts one more of this day, and returns how many they are.
    fn count(&self, key: Key, now: Timestamp) -> u16 {
        let day = now.as_secs_u32() / DAY_SECS;
        let none = || Complaints { day, count: 0 };
        self.table.update(key, now, none, |complaints| {
            if complaints.day != day {
                *complaints = none();
            }
            complaints.count = complaints.count.saturating_add(1);
            complaints.count
        })
    }

    /// How many segments a sweeper visits.
    pub(crate) fn segments(&self) -> usize {
        self.table.segments()
    }

    /// Drops what is of an earlier day from one segment.
    pub(crate) fn sweep(&self, segment: usize, now: Timestamp) {
        let day = now.as_secs_u32() / DAY_SECS;
        self.table.sweep(segment, |_, complaints| complaints.day >= day);
    }

    /// Entries held, the most that can be held, and octets taken.
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        (self.table.len(), self.table.capacity(), self.table.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Kind;

    #[test]
    fn one_complaint_a_day_about_a_sender_and_some_about_all() {
        let (reporters, ring) = (Reporters::new(1 << 16), Keyring::new([3; 16]));
        let hear = |reporter: &str, sender: &str, day: u64| {
            let at = Timestamp::from_secs((19_700 + day) * u64::from(DAY_SECS) + 1);
            reporters.hear(&ring, reporter, ring.named(Kind::Verified, sender), at)
        };
        assert!(hear("anna", "shop.example", 0) && !hear("anna", "shop.example", 0));
        assert!(hear("bert", "shop.example", 0) && hear("anna", "shop.example", 1));
        let heard = (0..100).filter(|n| hear("carl", &format!("d{n}.example"), 2)).count();
        assert_eq!(heard, usize::from(A_DAY));
        let before = reporters.usage().0;
        (0..reporters.segments()).for_each(|n| reporters.sweep(n, Timestamp::from_secs(19_702 * 86_400)));
        assert!(reporters.usage().0 < before);
    }
}
