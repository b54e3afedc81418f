//! `tempfail fit`: the weights that ship with the program, from labelled traces and made-up mail of today.
//!
//! The model lives through the recording again and again, each time with an empty ledger and what it has come
//! to before. Every other time labels are few, late and sometimes wrong, so that what ships holds then too.
//! [`super::hold_out`] tells how well such weights do on mail that they were not fitted on.

use super::ReplayError;
use super::engine::Engine;
use super::feedback::Feedback;
use super::hold_out::HeldOut;
use super::ranking::rank;
use super::scenario;
use super::trace::{self, Row};
use policy_core::presentation::TraitSet;
use policy_core::time::Timestamp;
use policy_core::weights::Start;
use std::path::PathBuf;

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
    /// Print no weights, but how well such do on networks that they were not fitted on
    #[arg(long)]
    pub hold_out: bool,
    /// With --hold-out, print one JSON object
    #[arg(long, requires = "hold_out")]
    pub json: bool,
}

/// Fits a start of the model on labelled traces, and returns it as source text.
///
/// # Errors
///
/// A trace cannot be read, or there is no message in them.
pub fn fit(args: &FitArgs) -> Result<String, ReplayError> {
    Ok(fitted(&recorded(args)?).source())
}

/// Fits on a part of labelled traces, and ranks the rest.
///
/// # Errors
///
/// A trace cannot be read, there is no message in them, or no half has both ham and spam.
pub fn hold_out(args: &FitArgs) -> Result<HeldOut, ReplayError> {
    HeldOut::of(&recorded(args)?).ok_or(ReplayError::OneKind)
}

fn recorded(args: &FitArgs) -> Result<Vec<Row>, ReplayError> {
    let rows = trace::read_all(&args.files)?.rows;
    if rows.is_empty() { Err(ReplayError::Empty) } else { Ok(rows) }
}

/// What the model comes to on recorded mail and the made-up mail of the same time.
pub(super) fn fitted(recorded: &[Row]) -> Start {
    let begin = recorded.first().map_or_else(Timestamp::default, |row| row.time);
    let mut rows = [recorded, &scenario::rows(begin)].concat();
    rows.sort_by_key(|row| row.time);
    let mut start = Start::flat();
    for pass in 0..PASSES {
        let mut engine = Engine::starting_from(start, MEMORY, begin);
        rank(&rows, feedback(pass), &mut engine, || ());
        start = engine.state.model_start();
        start.count_odds(traits(&rows));
    }
    start
}

fn traits(rows: &[Row]) -> impl Iterator<Item = (TraitSet, bool)> {
    rows.iter().map(|row| (TraitSet::of(&row.facts()), row.spam))
}

fn feedback(pass: u64) -> Feedback {
    match pass % 2 {
        0 => Feedback::default(),
        _ => Feedback::few(pass),
    }
}
