//! What comes in floods is told at most once in an interval, with how often it happened.
//!
//! Invariant: the numbers that are told add up to how often it happened, once [`Seldom::due`] has been heeded.

use std::time::{Duration, Instant};

/// The least time between two lines.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// Something that is told seldom.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seldom {
    last: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// It happened. Returns how often since it was told last, this time included, when that is to be told now.
    pub fn happened(&mut self, now: Instant) -> Option<u64> {
        self.untold = self.untold.saturating_add(1);
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL).then(|| self.tell(now))
    }

    /// When what has not been told is to be told, by [`Seldom::tell`], if it does not happen again; `None` when there is
    /// nothing.
    pub fn due(&self) -> Option<Instant> {
        self.last.filter(|_| self.untold > 0).map(|last| last + INTERVAL)
    }

    /// How often it happened since it was told last. It is told now.
    pub fn tell(&mut self, now: Instant) -> u64 {
        self.last = Some(now);
        std::mem::take(&mut self.untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an instant can be had in no other way")]
    fn the_first_is_told_and_the_rest_after_each_interval() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!((seldom.due(), seldom.happened(start)), (None, Some(1)));
        assert_eq!((seldom.due(), seldom.happened(start)), (None, None));
        assert_eq!(seldom.happened(start + INTERVAL / 2), None);
        assert_eq!(seldom.due(), Some(start + INTERVAL));
        assert_eq!(seldom.happened(start + INTERVAL), Some(3));
        assert_eq!(seldom.happened(start + INTERVAL), None);
        assert_eq!(seldom.tell(start + 2 * INTERVAL), 1);
        assert_eq!(seldom.due(), None);
    }
}
