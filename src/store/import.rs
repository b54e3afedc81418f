//! Import: JSON lines into a store.
//!
//! Everything is read and checked first and written to a new database then, which takes the place of the one
//! before at the end: an import that fails has changed nothing.
//!
//! What another program knows of clients ([`policy_core::known`]) comes the same way, and raises what is held.
//!
//! Names are keyed with a secret. Lines of another state's secret say nothing here about names, so of those
//! only what is known of addresses and networks is merged; to take all over, replace.

use super::directory::{Directory, Found};
use super::export::{Head, Line};
use super::format::{OLDEST, VERSION, is_readable};
use super::recover;
use super::seen::Digested;
use super::shelf::Shelf;
use super::writer::write_new;
use super::{Store, StoreError, directory, numbers, owner, seen};
use crate::clock::Clock;
use policy_core::State;
use policy_core::kept::Entry;
use policy_core::known::{Heard, Known};
use policy_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What was learned takes the longest line, some hundred thousand octets.
const LONGEST_LINE: u64 = 4 << 20;
/// Any other line.
const LONGEST_ENTRY: usize = 8 << 10;

/// What is done with a state that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// Lines are added to it: evidence is summed.
    Merge,
    /// Lines replace it.
    Replace,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Entries taken over.
    pub entries: u64,
    /// Entries that had expired.
    pub expired: u64,
    /// Entries about names under another secret, or about nobody.
    pub foreign: u64,
    /// Whether the lines have weights of another version's model, which mean nothing here.
    #[serde(default)]
    pub other_model: bool,
    /// Whether the same lines were added before, so that what they say counts once more.
    #[serde(default)]
    pub again: bool,
}

/// Why nothing was imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// A line is not what it should be.
    #[error("line {0}: {1}")]
    Line(u64, String),
    /// The lines are of another version.
    #[error("these lines are of version {0}; this program reads the versions {OLDEST} to {VERSION}")]
    OtherVersion(u32),
    /// What is there is of another version.
    #[error("{}: holds a state of another version; move it away, or import with --replace", .0.display())]
    OtherState(PathBuf),
    /// The directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lines cannot be read.
    #[error("cannot read: {0}")]
    Read(#[from] io::Error),
}

/// Takes lines into the state of a directory, which has at most `memory` octets. What root writes there is given to the
/// directory's owner.
///
/// # Errors
///
/// Something is wrong with a line, a daemon holds the directory, or it cannot be written; nothing has changed. Or all
/// is written, and its owner cannot be set: [`StoreError::Owner`].
pub fn import(
    path: &Path,
    memory: usize,
    lines: &mut impl BufRead,
    how: Import,
    clock: &Clock,
) -> Result<Imported, ImportError> {
    let mut lines = Digested::new(lines);
    let theirs = read_head(&mut lines)?;
    owner::kept(path, || take_in(path, memory, theirs, lines, how, clock))
}

fn take_in(
    path: &Path,
    memory: usize,
    theirs: Option<[u8; 16]>,
    mut lines: Digested<impl BufRead>,
    how: Import,
    clock: &Clock,
) -> Result<Imported, ImportError> {
    let begun = clock.now();
    let place = match (how, theirs) {
        (Import::Replace, Some(secret)) => {
            Place { state: State::new(memory, secret, begun), secret, directory: Directory::hold(path)? }
        }
        (Import::Replace, None) => return Err(ImportError::Line(1, NO_SECRET.to_owned())),
        (Import::Merge, Some(secret)) => existing(path, memory, secret, clock)?,
        (Import::Merge, None) => existing(path, memory, super::secret().map_err(StoreError::Random)?, clock)?,
    };
    let now = clock.now();
    let mut taking = Taking::new(&place.state, how, theirs == Some(place.secret), now);
    each_line(&mut lines, |_, line| {
        taking.take(line);
        Ok(())
    })?;
    let (mut imported, sums) = (taking.imported, taking.sums);
    place.write(path, now)?;
    let replaced = how == Import::Replace;
    imported.again = sums && seen::note(path, &lines.end(place.secret), replaced, now);
    Ok(imported)
}

/// Merges lines into the state of a running daemon: all are read and checked before the first is taken. More than
/// `most` are too many; what an operator has said counts for 64 of them.
///
/// # Errors
///
/// Something is wrong with a line, or there are too many; nothing has changed.
pub fn import_running(
    state: &State,
    store: &Store,
    lines: &mut impl BufRead,
    most: usize,
    now: Timestamp,
) -> Result<Imported, ImportError> {
    let mut lines = Digested::new(lines);
    let theirs = read_head(&mut lines)?;
    let (mut all, mut learned, mut taken) = (Vec::new(), false, 0);
    each_line(&mut lines, |number, line| {
        // Each of these takes as much memory as thousands of others.
        let again = matches!(line, Line::Learned(_)) && std::mem::replace(&mut learned, true);
        taken += if matches!(line, Line::Override(_) | Line::Change(_)) { WORDS } else { 1 };
        match (again, taken > most) {
            (true, _) => return Err(ImportError::Line(number, "has what was learned once more".to_owned())),
            (_, true) => return Err(ImportError::Line(number, TOO_MANY.to_owned())),
            _ => all.push(line),
        }
        Ok(())
    })?;
    let mut taking = Taking::new(state, Import::Merge, theirs == Some(store.secret.0), now);
    all.into_iter().for_each(|line| taking.take(line));
    let again = taking.sums && seen::note(&store.directory, &lines.end(store.secret.0), false, now);
    Ok(Imported { again, ..taking.imported })
}

/// Lines that one with an operator's words may be as long as.
const WORDS: usize = 64;
const NO_SECRET: &str = "has no secret, so these lines are no whole state that could replace one";
const TOO_MANY: &str =
    "is one too many for a running daemon's memory; import into its directory while it is stopped";

/// Takes what another program knows of clients into the state of a directory. What root writes there is given to the
/// directory's owner.
///
/// # Errors
///
/// A daemon holds the directory, or it cannot be written; nothing has changed. Or all is written, and its owner cannot
/// be set: [`StoreError::Owner`].
pub fn know(path: &Path, memory: usize, known: &[Known], clock: &Clock) -> Result<Imported, ImportError> {
    let new = super::secret().map_err(StoreError::Random)?;
    owner::kept(path, || {
        let place = existing(path, memory, new, clock)?;
        let now = clock.now();
        let mut imported = Imported::default();
        known.iter().for_each(|known| imported.know(&place.state, known, now));
        place.write(path, now)?;
        Ok(imported)
    })
}

impl Imported {
    fn know(&mut self, state: &State, known: &Known, now: Timestamp) {
        match state.know(known, now) {
            Heard::Taken => self.entries += 1,
            Heard::Faded => self.expired += 1,
            Heard::NoIdentity => self.foreign += 1,
        }
    }
}

/// A directory and what it will hold.
struct Place {
    state: State,
    secret: [u8; 16],
    directory: Directory,
}

impl Place {
    /// Writes all of it to a new database, in the place of the one before.
    fn write(&self, path: &Path, now: Timestamp) -> Result<(), StoreError> {
        let Self { state, secret, directory } = self;
        let unusable = |source| StoreError::Unusable { directory: path.to_owned(), source };
        directory.tidy().map_err(unusable)?;
        let failed = |source| StoreError::Shelf { directory: path.to_owned(), source };
        let new = directory.begin_new().map_err(unusable)?;
        state.mark_all();
        write_new(&Shelf::open(&new).map_err(failed)?, state, *secret, now).map_err(failed)?;
        directory.replace_by_new().map_err(unusable)?;
        directory.write_head(*secret).map_err(unusable)
    }
}

/// The state that is there; where there is none, one begins that has the lines' secret.
fn existing(path: &Path, memory: usize, theirs: [u8; 16], clock: &Clock) -> Result<Place, ImportError> {
    match directory::read_head(path) {
        Ok(Found::Nothing) if !path.join("pages").exists() => {
            let state = State::new(memory, theirs, clock.now());
            return Ok(Place { state, secret: theirs, directory: Directory::hold(path)? });
        }
        Ok(Found::Head(head)) if !is_readable(head.version) => {
            return Err(ImportError::OtherState(path.to_owned()));
        }
        _ => {}
    }
    let (state, kept) = recover::hold(path, memory, clock)?;
    let secret = kept.secret;
    let directory = kept.directory.map_or_else(|| Directory::hold(path), Ok)?;
    Ok(Place { state, secret, directory })
}

fn read_line(lines: &mut impl BufRead, number: u64) -> Result<Option<Vec<u8>>, ImportError> {
    let mut line = Vec::new();
    lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(ImportError::Line(number, "is cut off, or too long".to_owned())),
    }
}

/// Reads the first line: what keys the names.
fn read_head(lines: &mut impl BufRead) -> Result<Option<[u8; 16]>, ImportError> {
    let line = read_line(lines, 1)?.unwrap_or_default();
    let what = |error| ImportError::Line(1, format!("is not the head of an export: {error}"));
    // A later version may have more to say in its head.
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "tempfail-state")]
        version: u32,
    }
    let Version { version } = serde_json::from_slice(&line).map_err(what)?;
    if !is_readable(version) {
        return Err(ImportError::OtherVersion(version));
    }
    let Head { secret, .. } = serde_json::from_slice(&line).map_err(what)?;
    let digits = |_| ImportError::Line(1, "a secret has 32 hexadecimal digits".to_owned());
    secret.map(|secret| u128::from_str_radix(&secret, 16).map(u128::to_be_bytes).map_err(digits)).transpose()
}

/// Reads every line but the first.
fn each_line(
    lines: &mut impl BufRead,
    mut each: impl FnMut(u64, Line) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let mut number = 1;
    loop {
        number += 1;
        let Some(line) = read_line(lines, number)? else { return Ok(()) };
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if line.len() > LONGEST_ENTRY && !line.starts_with(b"{\"learned\"") {
            return Err(ImportError::Line(number, "is too long for an entry".to_owned()));
        }
        let wrong = |what| ImportError::Line(number, what);
        let parsed = parse(&line).map_err(|error| wrong(error.to_string()))?;
        if has_weights(&parsed) {
            numbers::check(&line).map_err(wrong)?;
        }
        each(number, parsed)?;
    }
}

/// Whether a line tells what evidence weighs. What was learned has its own checks.
const fn has_weights(line: &Line) -> bool {
    matches!(line, Line::Labels(_) | Line::Entry(Entry::Identity(..) | Entry::Message(..)))
}

/// An entry, or one of the few other lines. Of what is neither, the error tells that came later in the line: that one's
/// kind is right.
fn parse(line: &[u8]) -> Result<Line, serde_json::Error> {
    let no_entry = match serde_json::from_slice(line) {
        Ok(entry) => return Ok(Line::Entry(entry)),
        Err(error) => error,
    };
    serde_json::from_slice(line)
        .map_err(|error| if error.column() > no_entry.column() { error } else { no_entry })
}

/// Lines on their way into a state.
struct Taking<'a> {
    state: &'a State,
    how: Import,
    /// Whether names mean the same here.
    same_secret: bool,
    now: Timestamp,
    imported: Imported,
    /// Whether there were lines that add to what is held; all others may come again.
    sums: bool,
}

impl<'a> Taking<'a> {
    fn new(state: &'a State, how: Import, same_secret: bool, now: Timestamp) -> Self {
        Self { state, how, same_secret, now, imported: Imported::default(), sums: false }
    }

    /// Takes one line.
    fn take(&mut self, line: Line) {
        let (state, now) = (self.state, self.now);
        self.sums |= matches!(line, Line::Labels(_) | Line::Entry(_));
        match line {
            Line::Learned(learned) => {
                let better = self.how == Import::Replace || learned.labels() > state.model_health().labels;
                if better {
                    self.imported.other_model = state.relearn(&learned, now).is_err();
                }
            }
            Line::Labels(labels) => state.add_labels(labels, now),
            Line::Override(said) => self.count(state.restore_override(said, now)),
            Line::Change(change) => state.restore_change(change),
            Line::Known(known) => self.imported.know(state, &known, now),
            Line::Entry(entry) if !self.same_secret && !entry.is_plain() => self.imported.foreign += 1,
            Line::Entry(entry) => self.count(match self.how {
                Import::Merge => state.merge(entry, now),
                Import::Replace => state.restore(entry, now),
            }),
        }
    }

    fn count(&mut self, taken: bool) {
        self.imported.entries += u64::from(taken);
        self.imported.expired += u64::from(!taken);
    }
}
