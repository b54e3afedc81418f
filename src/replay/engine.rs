//! The engine as a scorer: the very standing that decisions rest on, and the very door that learns.

use super::ranking::Scorer;
use super::trace::Row;
use policy_core::State;
use policy_core::identity::Identities;
use policy_core::outcome::Outcome;
use policy_core::time::Timestamp;
use std::time::Duration;

/// How often the state is swept whole, in the recording's time.
const SWEEP: Duration = Duration::from_secs(5 * 86_400);

/// An engine that has only a recording to live through.
pub struct Engine {
    /// Its state.
    pub state: State,
    swept: Timestamp,
}

impl Engine {
    /// An engine with an empty state of at most `bytes`, begun at `now`.
    pub fn new(bytes: usize, now: Timestamp) -> Self {
        // The secret keeps strangers from aiming collisions; a replay has none, and wants the same run again.
        Self { state: State::new(bytes, [0x5a; 16], now), swept: now }
    }

    fn sweep(&mut self, now: Timestamp) {
        if now.since(self.swept) >= SWEEP {
            self.state.sweep(self.state.segments(), now);
            self.swept = now;
        }
    }
}

impl Scorer for Engine {
    type Note = Identities;

    fn score(&mut self, row: &Row) -> (f32, Identities) {
        self.sweep(row.time);
        let (identities, standing) = self.state.standing(&row.facts(), row.time);
        (standing.log_odds(), identities)
    }

    fn learn(&mut self, identities: Identities, spam: bool, at: Timestamp) {
        let outcome = if spam { Outcome::FilteredSpam } else { Outcome::FilteredHam };
        policy_core::learn(&self.state, &identities, outcome, at);
    }
}
