//! Mail logs: what came in, and what would have been deferred had the policy been enforced.
//!
//! A log has no labels. The configured policy judges each message as it came, in observe mode, since nobody
//! was told to come back; what it would have deferred is told with who, why, and whether more of the same
//! sender came from the same network within a day, as a mailer that was deferred would have.

mod assemble;
mod bounded;
mod entry;
mod event;
mod files;
mod observe;
mod postfix;
mod reader;
mod report;
mod sendmail;
mod stamp;
mod table;

pub use assemble::{Letter, Seen};
pub use reader::Unreadable;
pub use report::{Deferrals, LogReport, Who};

use super::lines::RecordingError;
use super::progress::Progress;
use super::{Args, ReplayError};
use crate::config::Config;
use assemble::Assembler;
use observe::Observer;
use std::path::PathBuf;
use std::time::Instant;

/// Reads logs: the messages that came in and the recipients that were refused as unknown, in order of time.
///
/// # Errors
///
/// A file cannot be read, or is no log. A line that cannot be read is counted, and no error.
pub fn read(files: &[PathBuf]) -> Result<(Vec<Letter>, Seen), RecordingError> {
    let mut assembler = Assembler::new();
    files::read(files, &mut assembler)?;
    Ok(assembler.finish_all())
}

/// Replays mail logs.
///
/// # Errors
///
/// A log cannot be read, or there is no message in them.
pub fn replay(args: &Args, config: &Config) -> Result<LogReport, ReplayError> {
    let (letters, seen) = read(&args.files)?;
    let begin = letters.first().ok_or(ReplayError::Empty)?.time;
    let mut progress = Progress::new("observing", letters.len());
    let clock = Instant::now();
    let mut observer = Observer::new(&config.policy, config.memory, begin);
    let judged: Vec<_> = letters
        .iter()
        .map(|letter| {
            progress.step();
            observer.judge(letter)
        })
        .collect();
    let seconds = clock.elapsed().as_secs_f64();
    progress.done();
    Ok(LogReport::of(&letters, &judged, seen, seconds))
}
