//! Export: a state as JSON lines, for a backup, another machine, or a look inside.
//!
//! The first line is the [`Head`]; then comes what the model has learned, then each entry on a line of its own, as
//! `docs/state.md` shows. Invariant: an import of these lines with `--replace` makes the same state.
//!
//! A stopped daemon's comes from its directory, which is held meanwhile; a running one's from memory, a segment at a
//! time, so that no verdict waits for more than the copying of a thousand entries.
//!
//! Known limit: mail that comes in while a running daemon is exported is in what has not been copied yet, and not in
//! the rest.

use super::directory::{self, Directory, Found};
use super::format::{self, AUDIT, LABELS, LEARNED, OVERRIDES, VERSION, is_readable};
use super::recover::read_heading;
use super::shelf::{Shelf, ShelfError};
use super::{Store, StoreError, owner};
use policy_core::State;
use policy_core::audit::Change;
use policy_core::evidence::Record;
use policy_core::kept::{Book, Entry, Learned, PageId};
use policy_core::known::Known;
use policy_core::overrides::Override;
use policy_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why nothing, or not all, was exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// There is nothing to export.
    #[error("{}: holds no state that this version reads", .0.display())]
    NoState(PathBuf),
    /// The directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value cannot be read.
    #[error("{}: a value cannot be read: {why}", directory.display())]
    Unreadable {
        /// The directory.
        directory: PathBuf,
        /// Why.
        why: String,
    },
    /// Nobody takes the lines.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The version of all lines.
    #[serde(rename = "tempfail-state")]
    pub(super) version: u32,
    /// What keys the names, in hexadecimal digits. Lines without it have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
    /// When the state was last written, in milliseconds since the epoch.
    pub(super) written: Timestamp,
}

/// Any other line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    Learned(Learned),
    /// Labels of all mail.
    Labels(Record),
    Override(Override),
    Change(Change),
    /// No export has it: it is for what others know.
    Known(Known),
    /// Stands alone, without a word before it: most lines are entries.
    #[serde(skip)]
    Entry(Entry),
}

/// Writes the state of a running daemon as lines. Returns how many entries it has.
///
/// # Errors
///
/// Nobody takes the lines.
pub fn export_running(state: &State, store: &Store, now: Timestamp, out: &mut impl Write) -> io::Result<u64> {
    head(out, Some(store.secret.0), now)?;
    line(out, &Line::Learned(state.learned()))?;
    line(out, &Line::Labels(state.labels()))?;
    state.overrides().list().into_iter().try_for_each(|said| line(out, &Line::Override(said)))?;
    let changes = state.audit().newest(usize::MAX).into_iter().rev();
    changes.into_iter().try_for_each(|change| line(out, &Line::Change(change)))?;
    let mut count = 0;
    for entries in state.entries() {
        entries.iter().try_for_each(|entry| line(out, entry))?;
        count += entries.len() as u64;
    }
    out.flush()?;
    Ok(count)
}

/// Writes what another program knows of clients as lines that an import takes.
///
/// # Errors
///
/// Nobody takes the lines.
pub fn export_known(known: &[Known], now: Timestamp, out: &mut impl Write) -> io::Result<()> {
    head(out, None, now)?;
    known.iter().try_for_each(|known| line(out, &Line::Known(known.clone())))
}

fn head(out: &mut impl Write, secret: Option<[u8; 16]>, written: Timestamp) -> io::Result<()> {
    let secret = secret.map(|secret| format!("{:032x}", u128::from_be_bytes(secret)));
    line(out, &Head { version: VERSION, secret, written })
}

/// Writes the state of a directory as lines. Returns how many entries it has. Opening a database may write to it: what
/// root writes there is given to the directory's owner.
///
/// # Errors
///
/// There is none, a daemon holds it, it cannot be read to its end, or its owner cannot be set.
pub fn export(path: &Path, out: &mut impl Write) -> Result<u64, ExportError> {
    let head = readable_head(path)?;
    owner::kept(path, || export_held(path, head, out))
}

/// The head of a state that this version reads.
fn readable_head(path: &Path) -> Result<directory::Head, ExportError> {
    let unusable = |source| StoreError::Unusable { directory: path.to_owned(), source };
    path.metadata().map_err(unusable)?;
    match directory::read_head(path).map_err(unusable)? {
        Found::Head(head) if is_readable(head.version) && path.join("pages").exists() => Ok(head),
        _ => Err(ExportError::NoState(path.to_owned())),
    }
}

fn export_held(path: &Path, head: directory::Head, out: &mut impl Write) -> Result<u64, ExportError> {
    let directory = Directory::hold(path)?;
    let failed = |source| StoreError::Shelf { directory: path.to_owned(), source };
    let shelf = Shelf::open(&directory.pages()).map_err(failed)?;
    let heading = read_heading(&shelf);
    let secret = heading.map_or(head.secret, |heading| heading.secret);
    self::head(out, Some(secret), heading.map(|heading| heading.written).unwrap_or_default())?;
    if let Some(octets) = shelf.get(LEARNED).map_err(failed)? {
        let learned = format::decode_learned(&octets).map_err(|error| unreadable(path, &error))?;
        line(out, &Line::Learned(learned))?;
    }
    if let Some(octets) = shelf.get(LABELS).map_err(failed)? {
        let labels = format::decode_labels(&octets).map_err(|error| unreadable(path, &error))?;
        labels.sound().map_or(Ok(()), |labels| line(out, &Line::Labels(labels)))?;
    }
    rulings(&shelf, path, out)?;
    let written = Book::ALL.into_iter().map(|book| pages(&shelf, book, path, out));
    let count = written.sum::<Result<u64, ExportError>>()?;
    out.flush()?;
    Ok(count)
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// What an operator has said, and who has changed what.
fn rulings(shelf: &Shelf, path: &Path, out: &mut impl Write) -> Result<(), ExportError> {
    let failed = |source| StoreError::Shelf { directory: path.to_owned(), source };
    let damaged = |error: postcard::Error| unreadable(path, &error);
    if let Some(octets) = shelf.get(OVERRIDES).map_err(failed)? {
        let overrides = format::decode_overrides(&octets).map_err(damaged)?;
        overrides.into_iter().try_for_each(|said| line(out, &Line::Override(said)))?;
    }
    if let Some(octets) = shelf.get(AUDIT).map_err(failed)? {
        let changes = format::decode_audit(&octets).map_err(damaged)?;
        changes.into_iter().try_for_each(|change| line(out, &Line::Change(change)))?;
    }
    Ok(())
}

fn pages(shelf: &Shelf, book: Book, path: &Path, out: &mut impl Write) -> Result<u64, ExportError> {
    let id = |number| format::key(PageId { book, number });
    let (mut count, mut failed) = (0, None);
    let scanned = shelf.scan(id(0), id(u32::MAX), |_, octets| {
        if failed.is_none() {
            failed = page(octets, path, out, &mut count).err();
        }
    });
    let store = |source: ShelfError| StoreError::Shelf { directory: path.to_owned(), source };
    scanned.map_err(store)?;
    failed.map_or(Ok(count), Err)
}

fn page(octets: &[u8], path: &Path, out: &mut impl Write, count: &mut u64) -> Result<(), ExportError> {
    for entry in format::entries_of(octets) {
        if let Some(entry) = entry.map_err(|error| unreadable(path, &error))?.sound() {
            line(out, &entry)?;
            *count += 1;
        }
    }
    Ok(())
}

fn unreadable(directory: &Path, error: &postcard::Error) -> ExportError {
    ExportError::Unreadable { directory: directory.to_owned(), why: error.to_string() }
}
