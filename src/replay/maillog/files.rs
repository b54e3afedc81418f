//! A log's files, in order of time, and the year of stamps that have none.
//!
//! Each file is read twice: first for its first and last stamp and for the years that turn in it. Its last
//! line was written by the time the file was last changed, which gives the last line its year.
//!
//! Known limit: a pipe cannot be read twice.

use super::assemble::Assembler;
use super::entry::Entry;
use super::stamp::{Stamp, Yearless};
use crate::replay::lines::{End, Lines, RecordingError};
use policy_core::time::Timestamp;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The year that goes on through a file's lines.
#[derive(Clone, Copy, Debug)]
struct Calendar {
    year: i64,
    last: Option<Yearless>,
}

impl Calendar {
    fn moment(&mut self, stamp: Stamp) -> Option<Timestamp> {
        let yearless = match stamp {
            Stamp::Full(moment) => return Some(moment),
            Stamp::Yearless(yearless) => yearless,
        };
        if self.last.is_some_and(|last| yearless.turns_year_after(last)) {
            self.year += 1;
        }
        self.last = Some(yearless);
        yearless.in_year(self.year)
    }
}

/// A file, and when it begins.
#[derive(Debug)]
struct Surveyed {
    file: PathBuf,
    begins: Timestamp,
    calendar: Calendar,
}

/// Gives all lines of these files to an assembler, the oldest file first.
pub(super) fn read(files: &[PathBuf], into: &mut Assembler) -> Result<(), RecordingError> {
    let surveyed: Result<Vec<Option<Surveyed>>, _> = files.iter().map(|file| survey(file)).collect();
    let mut surveyed: Vec<Surveyed> = surveyed?.into_iter().flatten().collect();
    surveyed.sort_by_key(|file| file.begins);
    let mut now = Timestamp::default();
    surveyed.iter().try_for_each(|file| read_one(file, into, &mut now))
}

fn read_one(file: &Surveyed, into: &mut Assembler, now: &mut Timestamp) -> Result<(), RecordingError> {
    let mut lines = Lines::open(&file.file)?;
    let mut calendar = file.calendar;
    while let Some(end) = lines.advance()? {
        into.seen.lines += 1;
        into.seen.cut_files += u64::from(end == End::Cut);
        if end != End::Whole {
            // It may look whole and lack half a number.
            into.seen.torn_lines += 1;
            break;
        }
        let text = lines.lossy();
        let entry = Entry::read(&text);
        let at = entry.and_then(|entry| calendar.moment(entry.stamp));
        match (entry, at) {
            // Several programs write at once, so a line may be a little before the one above it.
            (Some(entry), Some(at)) => {
                *now = at.max(*now);
                into.take(&entry, *now);
            }
            _ if is_note(&text) => (),
            _ => return Err(lines.wrong(format!("no line of a mail log ({JOURNAL}): {:?}", begin_of(&text)))),
        }
    }
    Ok(())
}

/// What a log may hold besides lines of programs: nothing, or a note of the journal's.
fn is_note(text: &str) -> bool {
    text.is_empty() || text.starts_with("-- ")
}

/// What is read of a journal, whose other styles are no mail logs.
const JOURNAL: &str = "of a journal, what `journalctl -o short-iso` prints";

fn begin_of(text: &str) -> &str {
    &text[..text.floor_char_boundary(60)]
}

/// Finds out when a file begins; `None` when there is no line in it.
fn survey(file: &Path) -> Result<Option<Surveyed>, RecordingError> {
    let failed = |source| RecordingError::Io { file: file.to_owned(), source };
    let about = std::fs::metadata(file).map_err(failed)?;
    if !about.is_file() && !about.is_dir() {
        return Err(failed(io::Error::other("a mail log is read twice, so it must be a regular file")));
    }
    let mut lines = Lines::open(file)?;
    let (mut first, mut last, mut turns) = (None, None, 0);
    let mut is_empty = true;
    while let Some(end) = lines.advance()? {
        is_empty = false;
        if end != End::Whole {
            break;
        }
        let text = lines.lossy();
        let Some((stamp, _)) = Stamp::read(&text) else { continue };
        first = first.or(Some((stamp, lines.number())));
        if let Stamp::Yearless(yearless) = stamp {
            turns += i64::from(last.is_some_and(|last| yearless.turns_year_after(last)));
            last = Some(yearless);
        }
    }
    let year = last.and_then(|last| last.year_before(changed(&about)));
    let mut calendar = Calendar { year: year.map_or(0, |year| year - turns), last: None };
    let Some((stamp, line)) = first else { return without_stamp(file, is_empty) };
    let wrong =
        || RecordingError::Line { file: file.to_owned(), line, what: "no such day in its year".into() };
    let begins = Calendar { ..calendar }.moment(stamp).ok_or_else(wrong)?;
    calendar.last = None;
    Ok(Some(Surveyed { file: file.to_owned(), begins, calendar }))
}

/// A file of the last rotation may be empty; one that is not is no log.
fn without_stamp(file: &Path, is_empty: bool) -> Result<Option<Surveyed>, RecordingError> {
    if is_empty {
        return Ok(None);
    }
    let what = format!("no line of this file begins with a stamp: it is no mail log ({JOURNAL})");
    Err(RecordingError::Line { file: file.to_owned(), line: 1, what })
}

/// When a file was last changed; the end of time where the system does not tell.
fn changed(about: &Metadata) -> Timestamp {
    let since = about.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    Timestamp::from_secs(since.map_or(u32::MAX.into(), |since| since.as_secs()))
}
