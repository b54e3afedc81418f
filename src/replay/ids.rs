//! Reads the file beside a trace that says more of its messages, by their numbers.
//!
//! `NAME.ids.tsv` or `NAME.ids.tsv.gz` beside `NAME.tsv`, compressed or not. Its `fcrdns_fail` is 1 where the
//! reverse name was not forward-confirmed; its `rcpt`, if it has that column, is a recipient. Where there is
//! no such file, or nothing in it of a message, the message's reverse name counts as confirmed.

use super::lines::{End, Lines, RecordingError};
use super::trace::{header, number, present, twice};
use compact_str::CompactString;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What is said of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Its client's reverse name does not resolve back.
    pub(super) unconfirmed: bool,
    /// A recipient.
    pub(super) recipient: Option<CompactString>,
}

/// What is said of messages, by number.
#[derive(Debug, Default)]
pub(super) struct Ids(HashMap<u64, Note>);

impl Ids {
    /// What lies beside a trace; nothing when there is no such file.
    pub(super) fn beside(trace: &Path) -> Result<Self, RecordingError> {
        file_beside(trace).map_or_else(|| Ok(Self::default()), |file| Self::read(&file))
    }

    fn read(file: &Path) -> Result<Self, RecordingError> {
        let mut lines = Lines::open(file)?;
        let (_, [seq, fails]) = header(&mut lines, ["seq", "fcrdns_fail"])?;
        let text = lines.text().map_err(|what| lines.wrong(what))?;
        let recipient = text.split('\t').position(|column| column == "rcpt");
        let mut ids = Self::default();
        while let Some(end) = lines.advance()? {
            match lines.text().and_then(|line| note(line, seq, fails, recipient)) {
                Ok((seq, _)) if ids.0.contains_key(&seq) => return Err(lines.wrong(twice(seq))),
                Ok((_, note)) if note == Note::default() => (),
                Ok((seq, note)) => drop(ids.0.insert(seq, note)),
                Err(_) if end != End::Whole => (),
                Err(what) => return Err(lines.wrong(what)),
            }
        }
        Ok(ids)
    }

    /// What is said of a message, once.
    pub(super) fn take(&mut self, seq: u64) -> Note {
        self.0.remove(&seq).unwrap_or_default()
    }
}

fn file_beside(trace: &Path) -> Option<PathBuf> {
    let name = trace.file_name()?.to_str()?;
    let (stem, _) = name.rsplit_once(".tsv")?;
    let beside = |packed| trace.with_file_name(format!("{stem}.ids.tsv{packed}"));
    [beside(""), beside(".gz")].into_iter().find(|ids| ids.is_file())
}

fn note(line: &str, seq: usize, fails: usize, recipient: Option<usize>) -> Result<(u64, Note), String> {
    let field = |place: usize| line.split('\t').nth(place).ok_or("too few columns");
    let recipient = recipient.map(field).transpose()?.and_then(present).map(CompactString::from);
    Ok((number(field(seq)?, "seq")?, Note { unconfirmed: field(fails)? == "1", recipient }))
}
