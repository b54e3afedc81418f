//! When mailers come back.
//!
//! Minutes after the first attempt, for ten mailers, one of which gives up early; the others go on by the
//! hour until four days have passed. A mailer keeps its schedule: a host's prefix decides which it is.
//!
//! The minutes are made so that the delay which a least wait leads to is that of the ten large webmail
//! providers which Pagani et al. measured (DSN 2016), at the median and at the worst.

use policy_core::identity::networks_of;
use std::net::IpAddr;
use std::time::Duration;

const SCHEDULES: [&[u64]; 10] = [
    &[5, 10, 20, 40, 80, 146, 213],
    &[6, 13, 24, 41, 76],
    &[2, 6, 14, 30, 62, 110],
    &[3, 9, 17, 31],
    &[4, 19, 41, 76],
    &[5, 9, 29, 57, 110],
    &[6, 12, 31, 71],
    &[5, 13, 23, 43, 83],
    &[5, 11, 23, 41, 70],
    &[6, 12, 22, 44, 76],
];
/// The schedule that ends without going on by the hour.
const GIVES_UP: usize = 3;
/// When any mailer gives up (RFC 5321 section 4.5.4.1: four to five days).
const LAST: Duration = Duration::from_secs(4 * 86_400);

/// The schedule of one mailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mailer(usize);

impl Mailer {
    /// The mailer at this address.
    pub(super) fn at(address: IpAddr) -> Self {
        let [_, prefix] = networks_of(address);
        let sum =
            prefix.to_string().bytes().fold(0usize, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
        Self(sum % SCHEDULES.len())
    }

    /// How long after its first attempt a message is tried again for the `number`th time, counted from 0.
    pub(super) fn again(self, number: usize) -> Option<Duration> {
        let schedule = SCHEDULES[self.0];
        let minutes = match (schedule.get(number), schedule.last()) {
            (Some(&minutes), _) => minutes,
            (None, Some(last)) if self.0 != GIVES_UP => last + 60 * (number - schedule.len() + 1) as u64,
            _ => return None,
        };
        Some(Duration::from_secs(60 * minutes)).filter(|after| *after < LAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailers_come_back_and_give_up() {
        assert_eq!(Mailer(0).again(0), Some(Duration::from_secs(300)));
        assert_eq!(Mailer(0).again(7), Some(Duration::from_secs(60 * 273)));
        assert_eq!(Mailer(GIVES_UP).again(4), None);
        assert_eq!(Mailer(8).again(200), None);
        assert_eq!(Mailer(8).again(5), Some(Duration::from_secs(60 * 130)));
    }

    /// Least wait, median delay, worst delay, in minutes.
    const MEASURED: [(u64, u64, u64); 6] =
        [(1, 5, 6), (5, 6, 19), (10, 13, 29), (15, 23, 31), (30, 41, 57), (60, 76, 110)];

    #[test]
    fn waits_lead_to_the_delays_that_were_measured() {
        for (wait, median, worst) in MEASURED {
            let first_after = |schedule: &&[u64]| schedule.iter().find(|minutes| **minutes >= wait).copied();
            let mut delays: Vec<u64> = SCHEDULES.iter().filter_map(first_after).collect();
            delays.sort_unstable();
            assert_eq!((delays[delays.len() / 2], delays[delays.len() - 1]), (median, worst), "{wait}");
            assert_eq!(delays.len(), if wait > 31 { 9 } else { 10 }, "one gives up at 31 minutes");
        }
    }

    #[test]
    fn hosts_side_by_side_keep_one_schedule() {
        let at = |address: &str| Mailer::at(address.parse().unwrap());
        assert_eq!(at("192.0.2.1"), at("192.0.2.200"));
        let kinds: std::collections::HashSet<usize> =
            (0..100).map(|n| at(&format!("198.51.{n}.1")).0).collect();
        assert_eq!(kinds.len(), SCHEDULES.len());
    }
}
