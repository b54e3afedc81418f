//! The stamps that log lines begin with: RFC 3339, or the traditional `Nov 21 23:39:11`, which has no year.
//!
//! Known limit: a traditional stamp names no zone either, so it is read as if it were UTC. Within a log that
//! changes nothing but an hour twice a year.

use policy_core::time::Timestamp;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_SECS: i64 = 86_400;
/// Days that a mail log goes without a line at most.
const QUIET: i64 = 31;

/// A day of some year, and the second in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Yearless {
    month: u8,
    day: u8,
    second: u32,
}

/// A stamp as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// With everything.
    Full(Timestamp),
    /// Without its year.
    Yearless(Yearless),
}

impl Stamp {
    /// Reads the stamp that a line begins with, and gives what follows it.
    pub(super) fn read(line: &str) -> Option<(Self, &str)> {
        if line.as_bytes().first()?.is_ascii_digit() {
            let (stamp, rest) = line.split_once(' ')?;
            Some((Self::Full(rfc3339(stamp)?), rest))
        } else {
            let (stamp, rest) = line.split_at_checked(15)?;
            Some((Self::Yearless(traditional(stamp)?), rest.strip_prefix(' ')?))
        }
    }
}

impl Yearless {
    /// The moment in a year; `None` for 29 February of a year without one.
    pub(super) fn in_year(self, year: i64) -> Option<Timestamp> {
        let days = days_to(year, self.month, self.day)?;
        u64::try_from(days * DAY_SECS + i64::from(self.second)).ok().map(Timestamp::from_secs)
    }

    /// The last year in which the moment does not come after `now`, give or take a day for the zone.
    pub(super) fn year_before(self, now: Timestamp) -> Option<i64> {
        let latest = now.as_millis() / 1000 + DAY_SECS as u64;
        let this_year = year_of((latest / DAY_SECS as u64) as i64);
        // The 29th of February comes back after eight years at most.
        (this_year - 8..=this_year)
            .rev()
            .find(|&year| self.in_year(year).is_some_and(|at| at.as_millis() / 1000 <= latest))
    }

    /// Whether a line with this stamp that follows one of `before` was written in the next year. Lines are
    /// hours out of order at most, when daylight saving ends.
    fn turns_year_after(self, before: Self) -> bool {
        before.day_of_year() - self.day_of_year() > 2
    }

    /// Whether more lies between the two than a mail log goes without a line, or it is out of order by.
    fn leaps_from(self, before: Self) -> bool {
        self.turns_year_after(before) || self.day_of_year() - before.day_of_year() > QUIET
    }

    /// The day in a year whose months have 31 days each.
    fn day_of_year(self) -> i64 {
        i64::from(self.month) * 31 + i64::from(self.day)
    }
}

/// The years that turn from line to line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turns {
    turned: i64,
    last: Option<Yearless>,
    /// What stood before the last leap, and how many years had turned by then.
    before: Option<(Yearless, i64)>,
}

impl Turns {
    /// How many years have turned by the next line's stamp since the first line's.
    ///
    /// A host that starts before its clock is set writes a few lines as of some other day, which looks as a turn does.
    /// That the log goes on then where it was gives it away.
    pub(super) fn until(&mut self, next: Yearless) -> i64 {
        if let Some(last) = self.last.filter(|last| next.leaps_from(*last)) {
            match self.before.take_if(|(before, _)| !next.leaps_from(*before)) {
                Some((_, turned)) => self.turned = turned,
                None => {
                    self.before = Some((last, self.turned));
                    self.turned += i64::from(next.turns_year_after(last));
                }
            }
        }
        self.last = Some(next);
        self.turned
    }

    /// The last stamp, and how many years have turned by then.
    pub(super) const fn end(self) -> (Option<Yearless>, i64) {
        (self.last, self.turned)
    }
}

fn traditional(text: &str) -> Option<Yearless> {
    let month = MONTHS.iter().position(|month| text.starts_with(month))? as u8 + 1;
    let (day, time) = text.get(3..)?.strip_prefix(' ')?.trim_start().split_once(' ')?;
    let (day, second) = (day.parse().ok()?, time_of_day(time)?);
    // Some year has the day: the 29th of February is one.
    days_to(2000, month, day).map(|_| Yearless { month, day, second })
}

/// RFC 3339, also with a zone without its colon, as journalctl writes it.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let mut part = || date.next()?.parse::<u16>().ok();
    let (year, month, day) = (part()?, part()?, part()?);
    let zone_at = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at(zone_at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let days = days_to(year.into(), u8::try_from(month).ok()?, u8::try_from(day).ok()?)?;
    let seconds = days * DAY_SECS + i64::from(time_of_day(time)?) - offset(zone)?;
    let millis = u64::try_from(seconds).ok()?.checked_mul(1000)? + millis(fraction)?;
    Some(Timestamp::from_millis(millis))
}

fn time_of_day(text: &str) -> Option<u32> {
    let mut parts = text.splitn(3, ':').map(|part| part.parse::<u32>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// `Z`, `+01:00` or `+0100`, in seconds.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.get(1..)?.chars().filter(|c| *c != ':').collect();
    let number: i64 = digits.parse().ok().filter(|_| digits.len() == 4)?;
    Some(sign * (number / 100 * 3600 + number % 100 * 60))
}

fn millis(fraction: &str) -> Option<u64> {
    let digits = fraction.get(..fraction.len().min(3))?;
    let number: u64 = digits.parse().ok()?;
    Some(number * 10u64.pow(3 - digits.len() as u32))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` when there is no such date.
fn days_to(year: i64, month: u8, day: u8) -> Option<i64> {
    let month = usize::from(month).checked_sub(1)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if day == 0 || i64::from(day) > *lengths.get(month)? {
        return None;
    }
    let before: i64 = lengths[..month].iter().sum();
    Some(days_before(year) + before + i64::from(day) - 1)
}

/// Days from 1970-01-01 to the first of January of a year.
fn days_before(year: i64) -> i64 {
    let leaps =
        |year: i64| (year - 1).div_euclid(4) - (year - 1).div_euclid(100) + (year - 1).div_euclid(400);
    365 * (year - 1970) + leaps(year) - leaps(1970)
}

/// The year of a day counted from 1970-01-01.
fn year_of(day: i64) -> i64 {
    let guess = 1970 + day.div_euclid(366);
    (guess..=guess + 2 + day / 100_000).rev().find(|&year| days_before(year) <= day).unwrap_or(guess)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> Option<u64> {
        rfc3339(text).map(Timestamp::as_millis)
    }

    fn yearless(text: &str) -> Yearless {
        traditional(text).unwrap()
    }

    #[test]
    fn rfc_3339_stamps_are_moments() {
        assert_eq!(full("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(full("2026-11-21T23:39:11.5+01:00"), full("2026-11-21T22:39:11.500Z"));
        assert_eq!(full("2026-11-21T22:39:11Z"), Some(1_795_300_751_000));
        assert_eq!(full("2024-02-29T12:00:00.123456-0330"), Some(1_709_220_600_123));
        for wrong in ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01"] {
            assert_eq!(full(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn traditional_stamps_get_the_last_year_they_fit() {
        let now = rfc3339("2026-01-03T00:00:00Z").unwrap();
        assert_eq!(yearless("Jan  2 23:59:59").year_before(now), Some(2026));
        assert_eq!(yearless("Jan  3 11:00:00").year_before(now), Some(2026), "a zone east of Greenwich");
        assert_eq!(yearless("Nov 21 23:39:11").year_before(now), Some(2025));
        assert_eq!(yearless("Feb 29 00:00:00").year_before(now), Some(2024));
        assert_eq!(yearless("Nov 21 22:39:11").in_year(2026), rfc3339("2026-11-21T22:39:11Z"));
    }

    #[test]
    fn a_year_turns_once_and_an_hour_back_is_no_year() {
        assert!(yearless("Jan  1 00:00:01").turns_year_after(yearless("Dec 31 23:59:59")));
        assert!(yearless("Jan  9 00:00:01").turns_year_after(yearless("Mar  1 00:00:00")));
        assert!(!yearless("Oct 25 02:00:01").turns_year_after(yearless("Oct 25 02:59:59")));
        assert!(!yearless("Mar  1 00:00:00").turns_year_after(yearless("Feb 28 23:00:00")));
    }

    #[test]
    fn a_clock_that_was_not_set_yet_turns_no_year() {
        let turned = |stamps: &[&str]| {
            let mut turns = Turns::default();
            stamps.iter().map(|stamp| turns.until(yearless(stamp))).collect::<Vec<_>>()
        };
        let boot =
            ["Nov 21 10:00:00", "Jan  1 00:00:07", "Jan  1 00:00:09", "Nov 21 10:02:00", "Nov 22 10:02:00"];
        assert_eq!(turned(&boot), [0, 1, 1, 0, 0]);
        assert_eq!(turned(&[&boot[..], &boot[..]].concat())[5..], [0, 1, 1, 0, 0]);
        assert_eq!(turned(&["Jan  3 10:00:00", "Nov 21 00:00:07", "Jan  3 10:02:00"]), [0, 0, 0]);
        assert_eq!(turned(&["Nov 21 10:00:00", "Aug  1 00:00:07", "Nov 21 10:02:00"]), [0, 1, 0]);
        let years =
            ["Dec 31 10:00:00", "Jan  1 10:00:00", "Jan 30 10:00:00", "Feb 28 10:00:00", "Jan  9 10:00:00"];
        assert_eq!(turned(&years), [0, 1, 1, 1, 2]);
    }

    #[test]
    fn what_follows_the_stamp_is_given_on() {
        let rest = |line| Stamp::read(line).map(|(_, rest)| rest);
        assert_eq!(rest("Nov  1 23:39:11 mx postfix/smtpd[1]: x"), Some("mx postfix/smtpd[1]: x"));
        assert_eq!(rest("2026-11-21T23:39:11+01:00 mx x"), Some("mx x"));
        for wrong in [
            "",
            "Nov",
            "Nov 41 23:39:11 mx",
            "Nov 21 23:39 mx postfix",
            "7",
            "Frimaire 21 23:39:11",
            "Feb 30 23:39:11 mx",
        ] {
            assert_eq!(rest(wrong), None, "{wrong}");
        }
    }
}
