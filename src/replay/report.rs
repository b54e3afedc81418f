//! What a replay of a trace found, as one JSON object for programs; [`super::table`] tells it to people.
//! Shares are of 1.

use super::baselines::Baselines;
use super::delays::ClosedLoop;
use super::ranking::{Quality, Scored};
use serde::Serialize;

/// The ranking of all messages, of the second half, and of first contacts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// All messages.
    #[serde(flatten)]
    pub all: Quality,
    /// Those of the second half of the recording.
    pub second_half: Quality,
    /// Those whose client's address had never been seen before.
    pub first_contact: Quality,
}

impl Ranking {
    /// The ranking by these scores, in the recording's order.
    pub fn of(scored: &[Scored]) -> Self {
        Self {
            all: Quality::of(scored),
            second_half: Quality::of(&scored[scored.len() / 2..]),
            first_contact: Quality::of(scored.iter().filter(|message| message.first_contact)),
        }
    }
}

/// The messages that were given a chance of spam within one tenth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tenth {
    /// The least chance in it.
    pub from: f64,
    /// The chance that it ends before; the last tenth has its end too.
    pub to: f64,
    /// Messages.
    pub count: u64,
    /// Their mean chance; `None` without any.
    pub probability: Option<f64>,
    /// The share of them that is spam; `None` without any.
    pub spam: Option<f64>,
}

/// Whether of the messages given a chance a share as large is spam, by tenths of the chance.
pub(super) fn calibration(scored: &[Scored]) -> [Tenth; 10] {
    let mut sums = [(0u64, 0.0f64, 0u64); 10];
    for message in scored {
        let Some(chance) = message.score.probability else { continue };
        let (count, chances, spam) = &mut sums[((chance * 10.0) as usize).min(9)];
        *count += 1;
        *chances += f64::from(chance);
        *spam += u64::from(message.spam);
    }
    std::array::from_fn(|n| {
        let (count, chances, spam) = sums[n];
        let mean = |sum: f64| (count > 0).then(|| sum / count as f64);
        let (from, to) = (n as f64 / 10.0, (n + 1) as f64 / 10.0);
        Tenth { from, to, count, probability: mean(chances), spam: mean(spam as f64) }
    })
}

/// What a replay of a trace found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Messages.
    pub messages: usize,
    /// Of them ham.
    pub ham: usize,
    /// Of them spam.
    pub spam: usize,
    /// Last lines that were torn and left out.
    pub torn_lines: u64,
    /// Compressed files that were cut off.
    pub cut_files: u64,
    /// The ranking.
    pub ranking: Ranking,
    /// The calibration of the chances given in the ranking.
    pub calibration: [Tenth; 10],
    /// The closed loop.
    pub closed_loop: ClosedLoop,
    /// What others do.
    pub baselines: Baselines,
    /// What the ranking took, reading not included.
    pub seconds: f64,
    /// Messages scored and learned from in a second.
    pub decisions_per_second: f64,
}
