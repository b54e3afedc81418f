//! How a sending program comes back after a deferral: its retry schedule and its patience.
//!
//! Honest schedules are the defaults that the programs' own manuals give; what asks for a pause of five
//! minutes is met by each of them at its second or third try.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A sending program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mailer {
    /// Sends once and is gone: most bots.
    Never,
    /// Comes back exactly when the reply says, this many times.
    AsTold(u32),
    /// Comes back every so many seconds, this many times.
    Every(u64, u32),
    /// Postfix: `minimal_backoff_time` 300 s, doubled up to `maximal_backoff_time` 4000 s, for five days.
    Postfix,
    /// Sendmail: a queue run each quarter of an hour, for five days.
    Sendmail,
    /// Exim: `F,2h,15m; G,16h,1h,1.5; F,4d,6h`.
    Exim,
    /// Exchange: six tries five minutes apart, then every fifteen minutes, for two days.
    Exchange,
    /// qmail: the n-th retry comes (20 n)^2 seconds after the first try, for seven days.
    Qmail,
    /// A large provider's pool: one minute at first, doubled up to an hour, for three days.
    Provider,
}

/// What honest servers run.
pub(crate) const HONEST: [Mailer; 6] =
    [Mailer::Postfix, Mailer::Sendmail, Mailer::Exim, Mailer::Exchange, Mailer::Qmail, Mailer::Provider];

impl Mailer {
    /// How long it waits after its `tries`-th try, `waited` after the first one; `None` when it gives up.
    /// `told` is when the reply asked it to come back.
    pub(crate) fn pause(self, tries: u32, waited: Duration, told: Duration) -> Option<Duration> {
        let waited = waited.as_secs();
        let (pause, patience) = match self {
            Self::Never => return None,
            Self::AsTold(most) => return (tries <= most).then_some(told),
            Self::Every(secs, most) => return (tries <= most).then(|| Duration::from_secs(secs)),
            Self::Postfix => (doubled(300, tries).min(4000), 5 * DAY),
            Self::Sendmail => (15 * MINUTE, 5 * DAY),
            Self::Exim => (exim(waited), 4 * DAY),
            Self::Exchange => (if tries <= 6 { 5 * MINUTE } else { 15 * MINUTE }, 2 * DAY),
            Self::Qmail => ((20 * u64::from(tries)).pow(2).saturating_sub(waited).max(1), 7 * DAY),
            Self::Provider => (doubled(MINUTE, tries).min(HOUR), 3 * DAY),
        };
        (waited + pause <= patience).then(|| Duration::from_secs(pause))
    }
}

fn doubled(first: u64, tries: u32) -> u64 {
    first << tries.saturating_sub(1).min(16)
}

fn exim(waited: u64) -> u64 {
    match waited {
        0..7200 => 15 * MINUTE,
        // The intervals of the middle stage grow by half each, from an hour.
        7200..57_600 => (waited / 3).clamp(HOUR, 8 * HOUR),
        _ => 6 * HOUR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a mailer tries again within `limit`, in seconds after its first try.
    fn tries(mailer: Mailer, limit: u64) -> Vec<u64> {
        let mut at = vec![0];
        while let Some(pause) =
            mailer.pause(at.len() as u32, Duration::from_secs(at[at.len() - 1]), Duration::from_secs(290))
        {
            let next = at[at.len() - 1] + pause.as_secs();
            if next > limit {
                break;
            }
            at.push(next);
        }
        at
    }

    #[test]
    fn schedules_are_those_of_the_manuals() {
        assert_eq!(tries(Mailer::Postfix, 9000), [0, 300, 900, 2100, 4500, 8500]);
        assert_eq!(tries(Mailer::Sendmail, 2700), [0, 900, 1800, 2700]);
        assert_eq!(tries(Mailer::Qmail, 3600), [0, 400, 1600, 3600]);
        assert_eq!(tries(Mailer::Provider, 900), [0, 60, 180, 420, 900]);
        assert_eq!(tries(Mailer::AsTold(2), 86_400), [0, 290, 580]);
        assert_eq!(tries(Mailer::Never, 86_400), [0]);
        assert_eq!(tries(Mailer::Every(10, 3), 86_400), [0, 10, 20, 30]);
    }

    #[test]
    fn honest_mailers_meet_five_minutes_soon_try_for_days_and_give_up() {
        for mailer in HONEST {
            let all = tries(mailer, 30 * DAY);
            let met = all.iter().find(|&&at| at >= 290).unwrap();
            assert!((290..=900).contains(met), "{mailer:?} comes back after {met} s");
            let last = all[all.len() - 1];
            assert!((DAY..=7 * DAY).contains(&last), "{mailer:?} gives up after {last} s");
            assert!(all.is_sorted_by(|a, b| a < b));
        }
    }
}
