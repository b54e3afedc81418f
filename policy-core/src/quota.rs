//! From standing and history to quotas: one rule for warm-up, spikes and recovery.
//!
//! A stranger has the cold quota. Good volume widens it: the quota follows the sender's busiest day before
//! today (in messages, of which one to many recipients counts as several), times a growth that the standing
//! earns, so a published warm-up schedule (20 an hour at first, 1.4 times more each day) always fits. Once today has far outrun every day before, the growth is halved unless
//! the standing is High. Low and Bad senders draw on a meter of their own, so what they do costs the good
//! mail of the same host nothing. It is one for both words: with one each, who goes from Low to Bad, or back and
//! forth, would begin afresh each time. And even Bad has a floor, so a sender can always prove itself.
//!
//! A sender of mixed mail, such as a forwarder that passes on its users' spam, may go on as it has, with a stranger's
//! quota at the least. Its mailer comes back with all of it for days: narrowing it would let in most of the spam all
//! the same, and make good mail of whoever is new there queue behind that.

use crate::allowance::{PerHour, Quota};
use crate::evidence::Reading;
use crate::identity::Key;
use crate::standing::Word;
use serde::{Deserialize, Serialize};

/// Hours in which a day's volume may come at the sustained rate.
const HOURS: f64 = 24.0;
/// What a Bad sender may send at once at the least. With one message it would be refused whenever it sends twice within
/// an hour, and good mail of a host that has just relayed spam would wait for its mailer's third or fourth try.
const AT_ONCE: f64 = 2.0;
/// Good messages' worth from which on a sender's mail can be mixed: more than a burst of spam is taken for good.
const MIXED_FROM: f32 = 10.0;
/// The share of mixed mail that is good at the least. A spammer's stays below it, whose spam a filter takes for good
/// once in ten messages.
const MIXED_SHARE: f32 = 0.25;
/// What is left of that share in the last hours at the least: whoever turns sends no longer what it has always sent.
const MIXED_LATELY: f32 = 2.0 / 3.0;
/// Evidence as of so many messages that the last hours are like all before.
const MIXED_STEADY: f32 = 10.0;
/// A baseline means something after this many days.
const BASELINE_DAYS: u16 = 2;

/// The limits of a policy. Each number is for one address; see the factors for wider keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// What a stranger may send, an hour and at once: connections, messages, recipients, octets.
    pub cold: PerHour,
    /// What is left to a Bad sender.
    pub floor: PerHour,
    /// The share of a stranger's quota that is left to a Low sender.
    pub low_share: f64,
    /// Times a stranger's quota that a sender of standing High has at the least, from its second day on.
    pub least_high: f64,
    /// The same for Medium.
    pub least: f64,
    /// Times its busiest day that a sender of standing High may send in a day, and at once.
    pub growth_high: f64,
    /// The same for Medium and New. At least 1.4, the step of published warm-up schedules.
    pub growth: f64,
    /// Times its busiest day above which a sender counts as spiking.
    pub spike: f64,
    /// Times an address's quota that all strangers of a prefix share.
    pub prefix_factor: f64,
    /// Times an address's quota that a verified domain has.
    pub domain_factor: f64,
    /// Sessions at the same time for standing High.
    pub sessions_high: u32,
    /// The same for Medium and New.
    pub sessions: u32,
    /// The same for Low and Bad.
    pub sessions_low: u32,
}

impl Default for Limits {
    /// 60 messages an hour for a stranger (bulk senders publish 20 for a new host; a list's host that is new here
    /// has more to deliver in its first hour), 120 recipients (RFC 5321 section 4.5.3.1.8 asks for 100 in one
    /// message), 20 sessions (Postfix opens that many to one host).
    fn default() -> Self {
        Self {
            cold: PerHour([120.0, 60.0, 120.0, 200e6]),
            floor: PerHour([2.0, 1.0, 10.0, 20e6]),
            low_share: 0.075,
            least_high: 5.0,
            least: 2.0,
            growth_high: 4.0,
            growth: 2.0,
            spike: 2.0,
            prefix_factor: 2.0,
            domain_factor: 1.0,
            sessions_high: 50,
            sessions: 20,
            sessions_low: 2,
        }
    }
}

/// Which meters a sender draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Lane {
    /// High, Medium and New.
    Open = 0,
    /// Low and Bad.
    Narrow = 1,
    /// Good mail in bad company: of newcomers to a network, and of trusted mailboxes in a domain, whose mail is Low or Bad.
    Apart = 2,
    /// Mail of a domain that its signature alone verifies. Anybody can send a signed message again, and it must cost the
    /// domain's own hosts nothing.
    Signed = 3,
}

impl Lane {
    /// The lane of a standing.
    pub const fn of(word: Word) -> Self {
        match word {
            Word::High | Word::Medium | Word::New => Self::Open,
            Word::Low | Word::Bad => Self::Narrow,
        }
    }

    /// The key of this lane's meter.
    pub(crate) const fn key(self, key: Key) -> Key {
        key.in_lane(self as u8)
    }
}

impl Limits {
    /// The quota of a key with this history and standing; `factor` widens it for keys of many hosts.
    pub fn quota(&self, reading: &Reading, word: Word, factor: f64) -> Quota {
        let cold = self.cold.times(factor);
        let (burst, rate) = match word {
            Word::High | Word::Medium | Word::New => self.earned(cold, reading, word),
            Word::Low => (cold.times(self.low_share), cold.times(self.low_share)),
            Word::Bad => {
                let floor = self.floor.times(factor);
                (PerHour(floor.0.map(|n| n.max(AT_ONCE))), floor)
            }
        };
        // A limit that is told is one that holds: whole units, and never none.
        let burst = PerHour(burst.0.map(|n| n.floor().max(1.0)));
        Quota { burst, rate, sessions: self.sessions(word) }
    }

    /// The cold quota, widened by good volume: all dimensions by the ratio that messages earn.
    fn earned(&self, cold: PerHour, reading: &Reading, word: Word) -> (PerHour, PerHour) {
        let as_ever = if is_mixed(reading) { 1.0 } else { 0.0 };
        let growth = (good_share(reading) * self.growth_for(reading, word)).max(as_ever);
        let daily = f64::from(reading.busiest) * growth;
        // Only for those who have sent before today: nobody earns more within a burst.
        let least = match word {
            _ if reading.busiest <= 0.0 => 1.0,
            Word::High => self.least_high,
            Word::Medium => self.least,
            _ => 1.0,
        };
        let ratio = |messages: f64| (messages / cold.0[1].max(1.0)).max(least);
        (cold.times(ratio(daily)), cold.times(ratio(daily / HOURS)))
    }

    fn growth_for(&self, reading: &Reading, word: Word) -> f64 {
        match word {
            Word::High => self.growth_high,
            _ if self.is_spike(reading) => self.growth / 2.0,
            _ => self.growth,
        }
    }

    /// Whether a sender with a baseline has far outrun it today.
    pub fn is_spike(&self, reading: &Reading) -> bool {
        let (today, busiest) = (f64::from(reading.today), f64::from(reading.busiest));
        reading.age_days >= BASELINE_DAYS && today > (self.spike * busiest).max(self.cold.0[1])
    }

    fn sessions(&self, word: Word) -> u32 {
        match word {
            Word::High => self.sessions_high,
            Word::Medium | Word::New => self.sessions,
            Word::Low | Word::Bad => self.sessions_low,
        }
    }
}

fn good_share(reading: &Reading) -> f64 {
    let evidence = reading.slow.evidence();
    if evidence > 0.0 { f64::from(reading.slow.good / evidence) } else { 1.0 }
}

/// The word that a sender's quota goes by: of mixed mail that of a stranger, but for a mailbox that is `convicted` by what
/// itself has sent.
pub(crate) fn quota_word(word: Word, reading: &Reading, convicted: bool) -> Word {
    if Lane::of(word) == Lane::Narrow && !convicted && is_mixed(reading) { Word::New } else { word }
}

/// Whether much of what a sender sends is good, and no less of late than ever.
pub(crate) fn is_mixed(Reading { fast, slow, .. }: &Reading) -> bool {
    let share = slow.good / slow.evidence();
    let lately = (fast.good + MIXED_STEADY * share) / (fast.evidence() + MIXED_STEADY);
    slow.good >= MIXED_FROM && share >= MIXED_SHARE && lately >= MIXED_LATELY * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Record, Weight};
    use crate::outcome::Outcome;
    use crate::time::Timestamp;

    /// A midnight, so that hours fall on days as they read.
    const T0: u64 = 19_700 * 86_400;

    /// A sender that sends by the hour as `hourly` says, all of it good.
    fn history(hours: u64, hourly: impl Fn(u64) -> f64) -> Reading {
        let at = |hour: u64| Timestamp::from_secs(T0 + hour * 3600);
        let mut record = Record::new(at(0));
        for hour in 0..hours {
            let n = hourly(hour) as f32;
            record.add(Weight { good: 0.25 * n, volume: n, ..Weight::default() }, at(hour));
        }
        // The last second of the last hour.
        record.read(Timestamp::from_secs(T0 + hours * 3600 - 1))
    }

    /// The same, read in the first second after.
    fn tomorrow(hours: u64, hourly: impl Fn(u64) -> f64) -> Reading {
        history(hours + 1, |hour| if hour < hours { hourly(hour) } else { 0.0 })
    }

    #[test]
    fn a_stranger_has_the_cold_quota_and_bad_a_floor_above_zero() {
        let limits = Limits::default();
        let new = limits.quota(&Reading::NOTHING, Word::New, 1.0);
        assert_eq!((new.burst.0[1], new.rate.0[1]), (60.0, 60.0));
        for word in [Word::Low, Word::Bad] {
            let quota = limits.quota(&Reading::NOTHING, word, 1.0);
            assert!(quota.rate.0.iter().all(|&n| n > 0.0) && quota.sessions > 0);
            assert!(quota.burst.0[1] < new.burst.0[1]);
        }
    }

    #[test]
    fn bad_may_send_twice_within_an_hour_and_no_more_than_once_an_hour_for_long() {
        let quota = |floor| {
            let limits = Limits { floor: PerHour([floor; 4]), ..Limits::default() };
            limits.quota(&Reading::NOTHING, Word::Bad, 1.0)
        };
        let messages = |floor: f64| (quota(floor).burst.0[1], quota(floor).rate.0[1]);
        assert_eq!((messages(1.0), messages(5.0)), ((2.0, 1.0), (5.0, 5.0)));
    }

    #[test]
    fn a_published_warm_up_always_fits() {
        let limits = Limits::default();
        let ramp = |hour: u64| 20.0 * 1.4f64.powi((hour / 24) as i32);
        for day in 1..30 {
            let quota = limits.quota(&tomorrow(day * 24, ramp), Word::Medium, 1.0);
            let (needs, has) = (ramp(day * 24), quota.rate.0[1]);
            assert!(has >= needs, "day {day}: {needs} an hour, quota {has}");
        }
    }

    #[test]
    fn a_list_may_send_to_as_many_as_on_its_busiest_day() {
        let mut record = Record::new(Timestamp::from_secs(T0));
        let issue = Outcome::Accepted { recipients: 50, unknown: 0 }.weight();
        (0..400).for_each(|_| record.add(issue, Timestamp::from_secs(T0)));
        let reading = record.read(Timestamp::from_secs(T0 + 7 * 86_400));
        for (word, growth) in [(Word::Medium, 2.0), (Word::High, 4.0)] {
            let at_once = Limits::default().quota(&reading, word, 1.0).burst.0[2];
            let busiest = 400.0 * 50.0 * 0.92;
            assert!(at_once > growth * busiest, "{word}: {at_once} recipients at once");
        }
    }

    #[test]
    fn a_burst_does_not_widen_its_own_allowance() {
        for word in [Word::New, Word::Medium, Word::High] {
            let burst = |hourly: f64| Limits::default().quota(&history(1, |_| hourly), word, 1.0).burst.0[1];
            assert_eq!((burst(10_000.0), burst(1.0)), (60.0, 60.0), "{word}");
        }
    }

    #[test]
    fn a_spike_narrows_and_high_is_spared() {
        let limits = Limits::default();
        let spiking = history(24 * 20, |hour| if hour < 24 * 20 - 6 { 50.0 } else { 1000.0 });
        assert!(limits.is_spike(&spiking));
        let (medium, high) =
            (limits.quota(&spiking, Word::Medium, 1.0), limits.quota(&spiking, Word::High, 1.0));
        assert!(high.rate.0[1] > 2.4 * medium.rate.0[1], "{} and {}", high.rate.0[1], medium.rate.0[1]);
        assert!(!limits.is_spike(&history(24 * 20, |_| 50.0)));
    }

    /// What is left to a Bad sender that was like this for forty days and like that for the last three hours: how many
    /// good and bad messages an hour.
    fn left_to_bad(ever: [f32; 2], lately: [f32; 2]) -> f64 {
        let at = |hour: u64| Timestamp::from_secs(T0 + hour * 3600);
        let mut record = Record::new(at(0));
        for hour in 0..40 * 24 {
            let [good, bad] = if hour < 40 * 24 - 3 { ever } else { lately };
            record.add(Weight { good, bad, volume: good + bad, ..Weight::default() }, at(hour));
        }
        let reading = record.read(at(40 * 24 - 1));
        assert_eq!(quota_word(Word::Bad, &reading, true), Word::Bad, "a mailbox that has sent spam itself");
        Limits::default().quota(&reading, quota_word(Word::Bad, &reading, false), 1.0).rate.0[1]
    }

    #[test]
    fn who_has_always_sent_good_mail_among_its_spam_is_not_narrowed() {
        assert_eq!(left_to_bad([20.0, 30.0], [20.0, 30.0]), 60.0);
        for mix in [[400.0, 600.0], [300.0, 700.0]] {
            assert_eq!(left_to_bad(mix, mix).round(), 1000.0, "as on its busiest day");
        }
    }

    #[test]
    fn a_filters_mistakes_make_no_spam_mixed_and_what_turns_is_narrowed() {
        assert_eq!(left_to_bad([5.0, 45.0], [5.0, 45.0]), 1.0, "a spammer, whose filter errs once in ten");
        assert_eq!(left_to_bad([0.0, 0.0], [3.0, 1.0]), 1.0, "too little is known");
        assert_eq!(left_to_bad([20.0, 0.0], [20.0, 180.0]), 1.0, "a good server has turned");
        assert_eq!(left_to_bad([20.0, 30.0], [2.0, 98.0]), 1.0, "a forwarder has turned");
    }

    #[test]
    fn bad_volume_earns_nothing() {
        let mut record = Record::new(Timestamp::from_secs(T0));
        record.add(Weight { bad: 1e4, volume: 1e4, ..Weight::default() }, Timestamp::from_secs(T0));
        let quota = |reading| Limits::default().quota(reading, Word::Medium, 1.0).burst.0[1];
        assert_eq!(quota(&record.read(Timestamp::from_secs(T0))), quota(&Reading::NOTHING));
    }
}
