//! A log line at most once in a while, for faults that come in floods.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Least time between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(10);

/// Says whether a line is due, and counts those that were not.
#[derive(Debug, Default)]
pub(crate) struct Occasional {
    // Held for a comparison and an addition, never across an await; contended only by the fault's own flood.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl Occasional {
    /// `Some(n)` when a line is due, where `n` counts the occurrences left out since the line before.
    pub(crate) fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            state.suppressed = state.suppressed.saturating_add(1);
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_due_and_then_one_after_each_pause() {
        let lines = Occasional::default();
        let start = Instant::now();
        assert_eq!(lines.due_at(start), Some(0));
        assert_eq!(lines.due_at(start), None);
        assert_eq!(lines.due_at(start + PAUSE / 2), None);
        assert_eq!(lines.due_at(start + PAUSE), Some(2));
        assert_eq!(lines.due_at(start + PAUSE), None);
    }
}
