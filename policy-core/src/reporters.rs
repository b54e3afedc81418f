//! Reporters: how much one person, or one source, may say in a day.
//!
//! A word about a message is only as good as whoever says it, and one who complains of everything, or of one
//! sender again and again, must not close a sender to all others. So there are caps, for each source: on what
//! one reporter says of one sender, and of all, and on what all its reporters say.
//!
//! Known limit: a word that one cap refuses has counted against the narrower ones before it.
//!
//! Bounds: the table is bounded; a reporter that it has lost may speak anew.

use crate::feedback::{Effect, News, SourceRule};
use crate::identity::{Key, Keyring};
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

const DAY_SECS: u32 = 86_400;

/// What one reporter has said on one day, about one sender or about all, or what all of a source have.
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

/// Who has spoken today, and how often.
pub(crate) struct Reporters {
    pub(crate) table: Table<Complaints>,
}

impl Reporters {
    /// Nobody yet, in at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { table: Table::with_bytes(bytes) }
    }

    /// Notes a word about a sender, or says which cap it runs into. Who corrects himself has spoken of this sender
    /// before.
    pub(crate) fn hear(
        &self,
        keyring: &Keyring,
        rule: &SourceRule,
        news: &News<'_>,
        about: Key,
        corrects: bool,
        now: Timestamp,
    ) -> Result<(), Effect> {
        let (source, reporter) = (news.source.name().as_bytes(), news.reporter.as_bytes());
        let said: &[u8] = if news.spam { b"spam" } else { b"ham" };
        let sender = about.to_bytes();
        let within = |parts: &[&[u8]], cap: u16| cap == 0 || self.count(keyring.internal(parts), now) <= cap;
        if !corrects && !within(&[b"reporter", source, reporter, said, &sender], rule.per_sender) {
            return Err(Effect::CapSender);
        }
        if !within(&[b"reporter", source, reporter], rule.per_reporter) {
            return Err(Effect::CapReporter);
        }
        within(&[b"source", source], rule.per_day).then_some(()).ok_or(Effect::CapDay)
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
    use crate::feedback::Source;
    use crate::identity::Kind;

    const RULE: SourceRule = SourceRule { weight: 1.0, per_sender: 1, per_reporter: 20, per_day: 50 };

    #[test]
    fn one_word_a_day_about_a_sender_and_some_about_all() {
        let (reporters, ring) = (Reporters::new(1 << 16), Keyring::new([3; 16]));
        let hear = |reporter: &str, sender: &str, day: u64, corrects| {
            let at = Timestamp::from_secs((19_700 + day) * u64::from(DAY_SECS) + 1);
            let news = News { source: Source::Complaint, reporter, spam: true, forgeable: false };
            reporters.hear(&ring, &RULE, &news, ring.named(Kind::Verified, sender), corrects, at)
        };
        assert_eq!(hear("anna", "shop.example", 0, false), Ok(()));
        assert_eq!(hear("anna", "shop.example", 0, false), Err(Effect::CapSender));
        assert_eq!(hear("anna", "shop.example", 0, true), Ok(()), "who corrects himself");
        assert_eq!(hear("bert", "shop.example", 0, false), Ok(()));
        assert_eq!(hear("anna", "shop.example", 1, false), Ok(()), "the next day");
        let heard = (0..100).map(|n| hear("carl", &format!("d{n}.example"), 2, false));
        let heard: Vec<_> = heard.filter(|heard| *heard == Ok(())).collect();
        assert_eq!(heard.len(), usize::from(RULE.per_reporter));
        let all = (0..100).filter(|n| hear(&format!("r{n}"), "other.example", 2, false).is_ok()).count();
        assert_eq!(all, usize::from(RULE.per_day) - heard.len());
        let before = reporters.usage().0;
        (0..reporters.segments()).for_each(|n| reporters.sweep(n, Timestamp::from_secs(19_702 * 86_400)));
        assert!(reporters.usage().0 < before);
    }

    #[test]
    fn zero_is_no_cap() {
        let (reporters, ring) = (Reporters::new(1 << 16), Keyring::new([3; 16]));
        let rule = SourceRule { weight: 1.0, per_sender: 0, per_reporter: 0, per_day: 0 };
        let news = News { source: Source::Filter, reporter: "", spam: true, forgeable: false };
        let about = ring.named(Kind::Verified, "shop.example");
        assert!(
            (0..100)
                .all(|_| reporters.hear(&ring, &rule, &news, about, false, Timestamp::from_secs(9)).is_ok())
        );
    }
}
