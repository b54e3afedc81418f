//! `tempfail replay`: the real engine over a recording, with the recording's own clock.
//!
//! A labelled trace is read in two ways. The ranking scores every message before any of its feedback and
//! defers nothing. The closed loop enforces the policy, and senders come back on real mailers' schedules.
//! Beside them stands, as a comparison, what other methods do with the same recording. A mail log has no
//! labels: there it is told what would have been deferred.
//!
//! Invariant: the same recording, configuration and seed give the same run, but for the time it took.
//!
//! Known limit: a recording is held in memory whole, some 300 octets a message, and ranking and loop have an
//! engine each at the same time, each within the configured memory.

mod args;
pub mod baselines;
pub mod closed_loop;
mod delays;
pub mod engine;
mod feedback;
mod fit;
mod hints;
mod hold_out;
mod ids;
mod lines;
pub mod maillog;
mod progress;
pub mod ranking;
mod report;
mod retries;
mod scenario;
mod table;
pub mod trace;

pub use args::{Args, Format};
pub use delays::{ClosedLoop, Delayed, Sides};
pub use feedback::Feedback;
pub use fit::{FitArgs, fit, hold_out};
pub use hold_out::HeldOut;
pub use lines::RecordingError;
pub use report::{Ranking, Report, Tenth};

use crate::config::Config;
use baselines::Baselines;
use closed_loop::Loop;
use engine::Engine;
use progress::Progress;
use ranking::rank;
use std::time::Instant;
use trace::Row;

/// Why a replay cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Nothing can be told of how ham and spam are told apart.
    #[error("no half of the networks in the recordings has both ham and spam")]
    OneKind,
    /// There is nothing in the recordings.
    #[error("there is no message in the recordings")]
    Empty,
    /// The ranking, or a comparison, could not be made to its end.
    #[error("the ranking or the comparison with other methods failed")]
    Ranking,
}

/// Replays labelled traces.
///
/// # Errors
///
/// A trace cannot be read, or there is no message in them.
pub fn replay_traces(args: &Args, config: &Config) -> Result<Report, ReplayError> {
    let recording = trace::read_all(&args.files)?;
    let rows = &recording.rows;
    let begin = rows.first().ok_or(ReplayError::Empty)?.time;
    let engine = || Engine::starting_from(args.start(), config.memory, begin);
    // Neither way to read the recording knows of the other, and the loop takes about as long as all the rest.
    let (closed_loop, beside) = std::thread::scope(|scope| {
        let ranked = || timed_ranking(rows, args, engine());
        let beside = scope.spawn(move || (ranked(), Baselines::of(rows, args.feedback())));
        (enforced(rows, args, config, engine()), beside.join())
    });
    let ((scored, seconds), baselines) = beside.map_err(|_| ReplayError::Ranking)?;
    let spam = rows.iter().filter(|row| row.spam).count();
    Ok(Report {
        messages: rows.len(),
        ham: rows.len() - spam,
        spam,
        torn_lines: recording.torn,
        cut_files: recording.cut,
        ranking: Ranking::of(&scored),
        calibration: report::calibration(&scored),
        closed_loop,
        baselines,
        seconds,
        decisions_per_second: rows.len() as f64 / seconds.max(f64::MIN_POSITIVE),
    })
}

fn enforced(rows: &[Row], args: &Args, config: &Config, engine: Engine) -> ClosedLoop {
    let mut progress = Progress::new("enforcing", rows.len());
    let closed_loop = Loop::new(rows, &config.policy, engine, args.feedback(), args.spam_retries);
    let closed_loop = closed_loop.run(|| progress.step());
    progress.done();
    closed_loop
}

/// Ranks, and tells what the decisions took. The bar on the terminal is the loop's, which goes on meanwhile.
fn timed_ranking(rows: &[Row], args: &Args, mut engine: Engine) -> (Vec<ranking::Scored>, f64) {
    let begin = Instant::now();
    let scored = rank(rows, args.feedback(), &mut engine, || ());
    (scored, begin.elapsed().as_secs_f64())
}
