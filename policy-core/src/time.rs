//! Time as the core sees it: an argument, never a reading of a clock.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
///
/// The caller reads the clock. A clock may jump either way: subtraction saturates at zero, so a jump
/// back reads as "no time has passed".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// A moment from milliseconds since the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// A moment from whole seconds since the epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch; what the tables store (good until the year 2106).
    pub fn as_secs_u32(self) -> u32 {
        u32::try_from(self.0 / 1000).unwrap_or(u32::MAX)
    }

    /// The time since `earlier`, zero when that lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whether this moment lies so far ahead of `now` that only a clock set back explains it. What was
    /// written down under the wrong clock must not hold for as long as the clock was wrong. Clocks that are kept right
    /// are corrected by less than five minutes.
    pub const fn is_from_a_wrong_clock(self, now: Self) -> bool {
        const TOLERANCE: u64 = 5 * 60 * 1000;
        self.0 > now.0.saturating_add(TOLERANCE)
    }

    /// This moment and `duration` more.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}
