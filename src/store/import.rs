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
use super::format::{VERSION, is_readable};
use super::recover;
use super::shelf::Shelf;
use super::writer::write_new;
use super::{StoreError, directory};
use policy_core::State;
use policy_core::known::{Heard, Known};
use policy_core::time::Timestamp;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What was learned takes the longest line, some hundred thousand octets.
const LONGEST_LINE: u64 = 4 << 20;

/// What is done with a state that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// Lines are added to it: evidence is summed.
    Merge,
    /// Lines replace it.
    Replace,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Entries taken over.
    pub entries: u64,
    /// Entries that had expired.
    pub expired: u64,
    /// Entries about names under another secret, or about nobody.
    pub foreign: u64,
}

/// Why nothing was imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// A line is not what it should be.
    #[error("line {0}: {1}")]
    Line(u64, String),
    /// The lines are of another version.
    #[error("these lines are of version {0}; this program reads version {VERSION}")]
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

/// Takes lines into the state of a directory, which has at most `memory` octets.
///
/// # Errors
///
/// Something is wrong with a line, a daemon holds the directory, or it cannot be written; nothing has changed.
pub fn import(
    path: &Path,
    memory: usize,
    lines: &mut impl BufRead,
    how: Import,
    now: Timestamp,
) -> Result<Imported, ImportError> {
    let head = read_head(lines)?;
    let theirs = u128::from_str_radix(&head.secret, 16).map(u128::to_be_bytes);
    let theirs = theirs.map_err(|_| ImportError::Line(1, "a secret has 32 hexadecimal digits".to_owned()))?;
    let place = match how {
        Import::Replace => {
            let state = State::new(memory, theirs, now);
            Place { state, secret: theirs, directory: Directory::hold(path)? }
        }
        Import::Merge => existing(path, memory, theirs, now)?,
    };
    let imported = take_all(&place.state, lines, (how, place.secret == theirs), now)?;
    place.write(path, now)?;
    Ok(imported)
}

/// Takes what another program knows of clients into the state of a directory.
///
/// # Errors
///
/// A daemon holds the directory, or it cannot be written; nothing has changed.
pub fn know(path: &Path, memory: usize, known: &[Known], now: Timestamp) -> Result<Imported, ImportError> {
    let new = super::secret().map_err(StoreError::Random)?;
    let place = existing(path, memory, new, now)?;
    let mut imported = Imported::default();
    known.iter().for_each(|known| imported.know(&place.state, known, now));
    place.write(path, now)?;
    Ok(imported)
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
fn existing(path: &Path, memory: usize, theirs: [u8; 16], now: Timestamp) -> Result<Place, ImportError> {
    match directory::read_head(path) {
        Ok(Found::Nothing) if !path.join("pages").exists() => {
            let state = State::new(memory, theirs, now);
            return Ok(Place { state, secret: theirs, directory: Directory::hold(path)? });
        }
        Ok(Found::Head(head)) if !is_readable(head.version) => {
            return Err(ImportError::OtherState(path.to_owned()));
        }
        _ => {}
    }
    let (state, kept) = recover::hold(path, memory, now)?;
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

fn read_head(lines: &mut impl BufRead) -> Result<Head, ImportError> {
    let line = read_line(lines, 1)?.unwrap_or_default();
    let what = |error| ImportError::Line(1, format!("is not the head of an export: {error}"));
    // A later version may have more to say in its head.
    #[derive(serde::Deserialize)]
    struct Version {
        #[serde(rename = "tempfail-state")]
        version: u32,
    }
    let Version { version } = serde_json::from_slice(&line).map_err(what)?;
    if !is_readable(version) {
        return Err(ImportError::OtherVersion(version));
    }
    serde_json::from_slice(&line).map_err(what)
}

fn take_all(
    state: &State,
    lines: &mut impl BufRead,
    (how, same_secret): (Import, bool),
    now: Timestamp,
) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    let mut number = 1;
    loop {
        number += 1;
        let Some(line) = read_line(lines, number)? else { return Ok(imported) };
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let line = serde_json::from_slice(&line);
        match line.map_err(|error| ImportError::Line(number, error.to_string()))? {
            Line::Learned(learned) => {
                let better = how == Import::Replace || learned.labels() > state.model_health().labels;
                if better {
                    let other = |error| ImportError::Line(number, format!("{error}"));
                    state.relearn(&learned, now).map_err(other)?;
                }
            }
            Line::Override(said) => {
                let taken = state.restore_override(said, now);
                imported.entries += u64::from(taken);
                imported.expired += u64::from(!taken);
            }
            Line::Change(change) => state.restore_change(change),
            Line::Known(known) => imported.know(state, &known, now),
            Line::Entry(entry) if !same_secret && !entry.is_plain() => imported.foreign += 1,
            Line::Entry(entry) => {
                let taken = match how {
                    Import::Merge => state.merge(entry, now),
                    Import::Replace => state.restore(entry, now),
                };
                imported.entries += u64::from(taken);
                imported.expired += u64::from(!taken);
            }
        }
    }
}
