//! How labels come back: late, for a share of the messages, and some of them wrong.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::time::Duration;

/// How labels come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feedback {
    /// How long after the message.
    pub delay: Duration,
    /// For which share of messages.
    pub share: f64,
    /// Which share of the labels is wrong.
    pub noise: f64,
    /// Whether only spam gets labels.
    pub spam_only: bool,
    /// Decides which.
    pub seed: u64,
}

impl Default for Feedback {
    fn default() -> Self {
        Self { delay: Duration::from_secs(3600), share: 1.0, noise: 0.0, spam_only: false, seed: 1 }
    }
}

impl Feedback {
    /// Labels as people give them: for 40 % of the messages, a day late, one of fifty wrong.
    pub(super) fn few(seed: u64) -> Self {
        let delay = Duration::from_secs(86_400);
        Self { delay, share: 0.4, noise: 0.02, seed, ..Self::default() }
    }
}

/// What chance makes of labels: for each message by itself, so that what happens to one message does not
/// change the luck of the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels(Feedback);

impl Labels {
    pub(super) const fn new(feedback: Feedback) -> Self {
        Self(feedback)
    }

    /// The label that comes back for the message at this place, if one does.
    pub(super) fn of(&self, place: usize, spam: bool) -> Option<bool> {
        let mut chance = luck(self.0.seed, place, 0);
        let (comes, wrong) = (chance.random_bool(self.0.share), chance.random_bool(self.0.noise));
        let label = spam != wrong;
        (comes && (label || !self.0.spam_only)).then_some(label)
    }

    /// How long after the message it comes.
    pub(super) const fn delay(&self) -> Duration {
        self.0.delay
    }
}

/// The luck of one message in one matter.
pub(super) fn luck(seed: u64, place: usize, matter: u64) -> SmallRng {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    SmallRng::seed_from_u64(seed ^ (place as u64).wrapping_mul(ODD) ^ matter.rotate_left(32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_noise_are_met_and_the_seed_decides() {
        let labels = |seed| {
            let labels = Labels::new(Feedback { share: 0.4, noise: 0.1, seed, ..Feedback::default() });
            (0..10_000).map(|place| labels.of(place, true)).collect::<Vec<_>>()
        };
        let first = labels(1);
        let came = first.iter().flatten().count();
        let wrong = first.iter().flatten().filter(|spam| !**spam).count();
        assert!((3_850..4_150).contains(&came), "{came}");
        assert!((330..470).contains(&wrong), "{wrong}");
        assert_eq!(first, labels(1));
        assert_ne!(first, labels(2));
        let spam_only = Labels::new(Feedback { spam_only: true, ..Feedback::default() });
        assert_eq!([true, false].map(|spam| spam_only.of(0, spam)), [Some(true), None]);
    }
}
