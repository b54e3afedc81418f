//! `tempfail fit`: the weights that ship with the program, from labelled traces and made-up mail of today.
//!
//! The model lives through the recording again and again, each time with an empty ledger and what it has come
//! to before. Every other time labels are few, late and sometimes wrong, so that what ships holds then too.

use super::ReplayError;
use super::engine::Engine;
use super::feedback::Feedback;
use super::ranking::rank;
use super::scenario;
use super::trace::{self, Row};
use policy_core::presentation::TraitSet;
use policy_core::weights::Start;
use std::path::PathBuf;
use std::time::Duration;

/// How often the recording is lived through.
const PASSES: u64 = 4;
/// Memory for the state, in octets.
const MEMORY: usize = 512 << 20;

/// What `tempfail fit` is told.
#[derive(Debug, clap::Args)]
pub struct FitArgs {
    /// Labelled traces, in the order of time
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Fits a start of the model on labelled traces, and returns it as source text.
///
/// # Errors
///
/// A trace cannot be read, or there is no message in them.
pub fn fit(args: &FitArgs) -> Result<String, ReplayError> {
    let mut rows = trace::read_all(&args.files)?.rows;
    let begin = rows.first().ok_or(ReplayError::Empty)?.time;
    rows.extend(scenario::rows(begin));
    rows.sort_by_key(|row| row.time);
    let mut start = Start::flat();
    for pass in 0..PASSES {
        let mut engine = Engine::starting_from(start, MEMORY, begin);
        rank(&rows, feedback(pass), &mut engine, || ());
        start = engine.state.model_start();
        start.count_odds(traits(&rows));
    }
    Ok(start.source())
}

fn traits(rows: &[Row]) -> impl Iterator<Item = (TraitSet, bool)> {
    rows.iter().map(|row| (TraitSet::of(&row.facts()), row.spam))
}

fn feedback(pass: u64) -> Feedback {
    match pass % 2 {
        0 => Feedback::default(),
        _ => Feedback {
            delay: Duration::from_secs(86_400),
            share: 0.4,
            noise: 0.02,
            seed: pass,
            ..Feedback::default()
        },
    }
}
