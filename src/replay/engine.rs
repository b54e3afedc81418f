//! The engine as a scorer: the very standing that decisions rest on, and the very door that learns.

use super::ranking::{Score, Scorer};
use super::trace::Row;
use policy_core::outcome::Outcome;
use policy_core::time::Timestamp;
use policy_core::weights::Start;
use policy_core::{Appraisal, State};
use std::time::Duration;

/// How often the state is swept whole, in the recording's time.
const SWEEP: Duration = Duration::from_secs(5 * 86_400);
/// The secret of a server keeps strangers from aiming at its keys. A replay has no strangers, and the same
/// recording shall give the same run.
const SECRET: [u8; 16] = [0x5a; 16];

/// What became of a message, as a label tells it.
pub(super) const fn outcome(spam: bool) -> Outcome {
    if spam { Outcome::FilteredSpam } else { Outcome::FilteredHam }
}

/// An engine that has only a recording to live through.
pub struct Engine {
    /// Its state.
    pub state: State,
    swept: Timestamp,
}

impl Engine {
    /// An engine with an empty state of at most `bytes`, begun at `now`.
    pub fn new(bytes: usize, now: Timestamp) -> Self {
        Self { state: State::new(bytes, SECRET, now), swept: now }
    }

    /// The same, beginning with another start of the model than the one that ships.
    pub(super) fn starting_from(start: Start, bytes: usize, now: Timestamp) -> Self {
        Self { state: State::starting_from(start, bytes, SECRET, now), swept: now }
    }

    /// Sweeps the state when it is time; a recording has no idle moments of its own.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        if now.since(self.swept) >= SWEEP {
            self.state.sweep(self.state.segments(), now);
            self.swept = now;
        }
    }
}

impl Scorer for Engine {
    type Note = Appraisal;

    fn score(&mut self, row: &Row) -> (Score, Self::Note) {
        self.sweep(row.time);
        let appraisal = self.state.appraise(&row.facts(), row.time);
        let standing = &appraisal.standing;
        let score = Score { rank: standing.log_odds.into(), probability: Some(standing.probability) };
        // Nothing is deferred, so the message comes in, which is known before any label.
        let accepted = Outcome::Accepted { recipients: row.recipients.max(1), unknown: 0 };
        policy_core::learn(&self.state, &appraisal, accepted, row.time);
        (score, appraisal)
    }

    fn learn(&mut self, appraisal: Self::Note, spam: bool, at: Timestamp) {
        policy_core::learn(&self.state, &appraisal, outcome(spam), at);
    }
}
