//! A log's files as one log in order of time, and the year of stamps that have none.
//!
//! Each file is looked at before it is read: for the moment it begins with, and for the years that turn in it. Its
//! last line was written by the time the file was last changed, which gives the last line its year. Files that
//! overlap, as the logs of two hosts do, are read side by side; one that was rotated away is closed before the
//! next is opened.
//!
//! A line that cannot be read is left out and counted, since a busy log has one now and then: see
//! [`super::reader`].
//!
//! Known limits: a pipe cannot be read twice. A file whose last line has a traditional stamp that is far too early, as
//! a host's whose clock is not set yet, is taken for a year older than it is.

use super::assemble::Assembler;
use super::entry::Entry;
use super::reader::{JOURNAL, Reader, is_note};
use super::stamp::{Stamp, Turns};
use crate::replay::lines::{End, Lines, RecordingError};
use policy_core::time::Timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Lines without a stamp before the first that has one: with so many the file is no mail log.
const FIRST_LINES: u32 = 100;
/// How much later than its file's last change a line may have been written: stamps without a zone count as UTC.
const ZONES: Duration = Duration::from_secs(24 * 3600);

/// The year that goes on through a file's lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    /// Of the first line.
    year: i64,
    turns: Turns,
    /// Nothing in the file was written later.
    latest: Timestamp,
}

impl Calendar {
    /// The moment of the next line's stamp, or why it has none.
    pub(super) fn moment(&mut self, stamp: Stamp) -> Result<Timestamp, &'static str> {
        let moment = match stamp {
            Stamp::Full(moment) => moment,
            Stamp::Yearless(yearless) => {
                let year = self.year + self.turns.until(yearless);
                yearless.in_year(year).ok_or("no such day in its year")?
            }
        };
        if moment > self.latest { Err("a stamp of after the file's last change") } else { Ok(moment) }
    }
}

/// A file that has been looked at.
#[derive(Debug)]
struct Surveyed {
    file: PathBuf,
    calendar: Calendar,
    begins: Timestamp,
}

/// Gives all lines of these files to an assembler, in order of time.
pub(super) fn read(files: &[PathBuf], into: &mut Assembler) -> Result<(), RecordingError> {
    let mut waiting = files.iter().map(|file| survey(file)).collect::<Result<Vec<Surveyed>, _>>()?;
    waiting.sort_by_key(|file| Reverse(file.begins));
    let mut open = Open::default();
    loop {
        let next = open.next();
        if let Some(file) = waiting.pop_if(|file| next.is_none_or(|next| file.begins < next)) {
            open.put(Reader::open(&file.file, file.calendar)?, into)?;
        } else if !open.step(into)? {
            return Ok(());
        }
    }
}

/// The files that are being read; the one whose line is the earliest goes on.
#[derive(Default)]
struct Open {
    order: BinaryHeap<Reverse<(Timestamp, usize)>>,
    readers: Vec<Option<Reader>>,
}

impl Open {
    /// The moment of the earliest line that is to come.
    fn next(&self) -> Option<Timestamp> {
        self.order.peek().map(|Reverse((at, _))| *at)
    }

    fn put(&mut self, reader: Reader, into: &mut Assembler) -> Result<(), RecordingError> {
        self.readers.push(Some(reader));
        self.advance(self.readers.len() - 1, into)
    }

    /// Takes in the earliest line; false when there is none left.
    fn step(&mut self, into: &mut Assembler) -> Result<bool, RecordingError> {
        let Some(Reverse((_, place))) = self.order.pop() else { return Ok(false) };
        if let Some(reader) = self.readers.get(place).and_then(Option::as_ref) {
            reader.give(into);
        }
        self.advance(place, into).map(|()| true)
    }

    /// Goes to a file's next line, and closes it behind its last.
    fn advance(&mut self, place: usize, into: &mut Assembler) -> Result<(), RecordingError> {
        let Some(slot) = self.readers.get_mut(place) else { return Ok(()) };
        match slot.as_mut().map_or(Ok(None), |reader| reader.advance(&mut into.seen))? {
            Some(at) => self.order.push(Reverse((at, place))),
            None => *slot = None,
        }
        Ok(())
    }
}

/// Finds out when a file begins; one without a line begins with time itself.
fn survey(file: &Path) -> Result<Surveyed, RecordingError> {
    let failed = |source| RecordingError::Io { file: file.to_owned(), source };
    let about = std::fs::metadata(file).map_err(failed)?;
    if !about.is_file() && !about.is_dir() {
        return Err(failed(io::Error::other("a mail log is read twice, so it must be a regular file")));
    }
    let mut lines = Lines::open(file)?;
    let mut years = Years::default();
    let mut stampless = 0;
    while let Some(end) = lines.advance()? {
        match lines.logged().map(|text| (is_note(&text), Entry::read(&text).map(|entry| entry.stamp))) {
            Ok((_, Some(stamp))) => years.take(stamp),
            Ok((true, None)) => (),
            // Half a stamp says nothing of the file.
            Ok((false, None)) | Err(_) => stampless += u32::from(end == End::Whole),
        }
        if end != End::Whole || (years.first.is_none() && stampless >= FIRST_LINES) {
            break;
        }
    }
    if years.first.is_none() && stampless > 0 {
        let what = format!("its first lines have no stamp: this is no mail log ({JOURNAL})");
        return Err(RecordingError::Line { file: file.to_owned(), line: 1, what });
    }
    let calendar = years.calendar(changed(&about));
    // What has no moment is told of when it is read.
    let moment = |first| Calendar { ..calendar }.moment(first).unwrap_or_default();
    let begins = years.first.map(moment).unwrap_or_default();
    Ok(Surveyed { file: file.to_owned(), calendar, begins })
}

/// The stamps of a file at a first look.
#[derive(Default)]
struct Years {
    first: Option<Stamp>,
    turns: Turns,
}

impl Years {
    fn take(&mut self, stamp: Stamp) {
        self.first = self.first.or(Some(stamp));
        if let Stamp::Yearless(yearless) = stamp {
            self.turns.until(yearless);
        }
    }

    /// The calendar of a file that was last changed at this moment.
    fn calendar(&self, changed: Timestamp) -> Calendar {
        let (last, turned) = self.turns.end();
        let year = last.and_then(|last| last.year_before(changed)).map_or(0, |year| year - turned);
        Calendar { year, turns: Turns::default(), latest: changed.after(ZONES) }
    }
}

/// When a file was last changed; the end of time where the system does not tell.
fn changed(about: &Metadata) -> Timestamp {
    let since = about.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    Timestamp::from_secs(since.map_or(u32::MAX.into(), |since| since.as_secs()))
}
