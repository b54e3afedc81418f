//! One file of a mail log, line by line, and which of its lines cannot be read.
//!
//! A busy log has an odd line now and then: of a program that writes over several, torn by a loss of power, two in
//! one, or of a clock that ran wild. Such lines are left out and counted, and the first is named. Where they are more
//! than that, the file is no mail log, or a broken one, and a report on the rest would be wrong.

use super::assemble::{Assembler, Seen};
use super::entry::Entry;
use super::files::Calendar;
use crate::replay::lines::{End, Lines, RecordingError};
use policy_core::time::Timestamp;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is read of a journal, whose other styles are no mail logs.
pub(super) const JOURNAL: &str = "of a journal, what `journalctl -o short-iso` prints";
/// Lines of a file that may be unreadable, however short it is.
const ODD_LINES: u64 = 10;
/// Of how many lines one may be unreadable.
const ONE_IN: u64 = 100;

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The file's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// A file that is being read.
pub(super) struct Reader {
    file: PathBuf,
    lines: Lines,
    calendar: Calendar,
    /// Several programs write at once, so a line may be a little before the one above it; time does not go back.
    now: Timestamp,
    total: u64,
    unreadable: u64,
    first_unreadable: Option<Unreadable>,
}

impl Reader {
    pub(super) fn open(file: &Path, calendar: Calendar) -> Result<Self, RecordingError> {
        Ok(Self {
            file: file.to_owned(),
            lines: Lines::open(file)?,
            calendar,
            now: Timestamp::default(),
            total: 0,
            unreadable: 0,
            first_unreadable: None,
        })
    }

    /// Goes to the next line of a program, which [`Reader::give`] then gives, and tells its moment; `None` at the end.
    pub(super) fn advance(&mut self, seen: &mut Seen) -> Result<Option<Timestamp>, RecordingError> {
        while let Some(end) = self.lines.advance()? {
            self.total += 1;
            seen.lines += 1;
            seen.cut_files += u64::from(end == End::Cut);
            if end != End::Whole {
                // It may look whole and lack half a number.
                seen.torn_lines += 1;
                break;
            }
            let calendar = &mut self.calendar;
            match self.lines.logged().and_then(|text| moment_of(&text, calendar)) {
                Ok(None) => (),
                Ok(Some(at)) => {
                    self.now = at.max(self.now);
                    return Ok(Some(self.now));
                }
                Err(why) => self.leave_out(why, seen),
            }
        }
        self.check().map(|()| None)
    }

    /// Gives the line to an assembler.
    pub(super) fn give(&self, into: &mut Assembler) {
        let Ok(text) = self.lines.logged() else { return };
        if let Some(entry) = Entry::read(&text) {
            into.take(&entry, self.now);
        }
    }

    fn leave_out(&mut self, why: String, seen: &mut Seen) {
        self.unreadable += 1;
        seen.unreadable_lines += 1;
        if self.first_unreadable.is_none() {
            let file = self.file.display().to_string();
            let first = Unreadable { file, line: self.lines.number(), why };
            seen.first_unreadable.get_or_insert_with(|| first.clone());
            self.first_unreadable = Some(first);
        }
    }

    /// Whether so many lines were left out that nothing can be said of the file.
    fn check(&mut self) -> Result<(), RecordingError> {
        let (total, unreadable) = (self.total, self.unreadable);
        let few = unreadable <= ODD_LINES.max(total / ONE_IN) && unreadable <= total / 2;
        match self.first_unreadable.take().filter(|_| !few) {
            None => Ok(()),
            Some(Unreadable { line, why, .. }) => {
                let what = format!(
                    "{why}; {unreadable} of {total} lines cannot be read, too many for a mail log ({JOURNAL})"
                );
                Err(RecordingError::Line { file: self.file.clone(), line, what })
            }
        }
    }
}

/// When a line was written; `None` for a note, and why it cannot be read.
fn moment_of(text: &str, calendar: &mut Calendar) -> Result<Option<Timestamp>, String> {
    let moment = match Entry::read(text) {
        Some(entry) => calendar.moment(entry.stamp).map(Some),
        None if is_note(text) => Ok(None),
        None => Err("no stamp at its begin"),
    };
    moment.map_err(|why| format!("{why}: {:?}", &text[..text.floor_char_boundary(60)]))
}

/// What a log may hold besides lines of programs: nothing, or a note of the journal's.
pub(super) fn is_note(text: &str) -> bool {
    text.is_empty() || text.starts_with("-- ")
}
