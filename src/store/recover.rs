//! From a directory to a state: what is read, and what is done with what cannot be.

use super::directory::{self, Directory, Found};
use super::format::{self, AUDIT, HEADING, Heading, LABELS, LEARNED, OVERRIDES, VERSION, is_readable};
use super::shelf::{Shelf, ShelfError};
use super::writer::write_heading;
use super::{StoreError, salvage, secret};
use crate::clock::Clock;
use policy_core::State;
use policy_core::kept::{Book, PageId};
use policy_core::time::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use tracing::{error, info, warn};

/// Parts that a table is read in.
const SLICES: u32 = 32;
/// Threads that read at most.
const READERS: usize = 4;

const DAMAGED_IN_PART: &str = "state is damaged in part, set aside; what could be read is kept";

/// Where a state is kept.
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) secret: [u8; 16],
    /// `None` while the directory cannot be used.
    pub(super) directory: Option<Directory>,
    /// `None` while the database cannot be used.
    pub(super) shelf: Option<Shelf>,
    /// Whether what is on the disk has been read.
    pub(super) read: bool,
    /// What is on the disk has another layout, or is not what it should be: it is to be written anew.
    pub(super) whole: bool,
}

impl Kept {
    pub(super) const fn is_open(&self) -> bool {
        self.shelf.is_some()
    }
}

/// Reads the state of a directory, or begins one.
pub(super) fn begin(path: &Path, memory: usize, clock: &Clock) -> Result<(State, Kept), StoreError> {
    match hold(path, memory, clock) {
        Err(StoreError::Unusable { directory, source }) => {
            error!(directory = %directory.display(), error = %source, "state cannot be kept, it is in memory only until it can");
            from_memory(path, memory, clock)
        }
        other => other,
    }
}

/// Holds the directory and reads it. From then on the clock goes on from the last write.
pub(super) fn hold(path: &Path, memory: usize, clock: &Clock) -> Result<(State, Kept), StoreError> {
    let now = clock.now();
    let unusable = |source| StoreError::Unusable { directory: path.to_owned(), source };
    let directory = Directory::hold(path)?;
    directory.tidy().map_err(unusable)?;
    let head = directory.head().map_err(unusable)?;
    let known = usable_head(&directory, &head, now).map_err(unusable)?;
    let was_there = known.is_some() || directory.pages().exists();
    let (shelf, told) = match open_shelf(&directory, now) {
        Ok(opened) => opened,
        Err(ShelfError::Io(source)) => return Err(unusable(source)),
        Err(source) => return Err(StoreError::Shelf { directory: path.to_owned(), source }),
    };
    let heading = read_heading(&shelf);
    let secret = match (heading, known) {
        (Some(heading), _) => heading.secret,
        (None, Some(secret)) => secret,
        (None, None) => secret().map_err(StoreError::Random)?,
    };
    let current = matches!(&head, Found::Head(head) if head.version == VERSION);
    if known != Some(secret) || !current {
        directory.write_head(secret).map_err(unusable)?;
    }
    let now = begun(clock, heading);
    let state = State::new(memory, secret, now);
    let lost = heading.is_none() && was_there;
    if lost && !told {
        warn!(directory = %path.display(), "of the state that was here nothing is left, or less than was written");
    }
    if heading.is_none() && !was_there {
        begin_heading(&shelf, &state, secret, now);
    }
    let read = read(&shelf, &state, now);
    let path = path.to_owned();
    let mut kept =
        Kept { path, secret, directory: Some(directory), shelf: Some(shelf), read: true, whole: false };
    match read {
        // Nobody knows the layout of what lost its heading.
        Ok(()) => kept.whole = heading.map_or(lost, |heading| heading.layout != state.layout()),
        Err(damage) => begin_anew(&mut kept, &damage, now)?,
    }
    if kept.whole {
        state.mark_all();
    }
    Ok((state, kept))
}

/// The secret that the head tells. What lies beside a head of another version, or beside none, is set aside.
fn usable_head(directory: &Directory, head: &Found, now: Timestamp) -> io::Result<Option<[u8; 16]>> {
    let why = match head {
        Found::Head(head) if is_readable(head.version) => return Ok(Some(head.secret)),
        Found::Head(head) => format!("version-{}", head.version),
        // The database knows its secret itself.
        Found::Damaged | Found::Nothing => return Ok(None),
    };
    if directory.pages().exists() {
        let aside = directory.set_aside(&why, now)?;
        error!(aside = %aside.display(), readable = VERSION, "state is of another version, set aside; this one begins empty");
    }
    Ok(None)
}

/// A new database has its heading before anything else, so that one without it is known to have lost something. Where it
/// cannot be written, the writer will tell so.
fn begin_heading(shelf: &Shelf, state: &State, secret: [u8; 16], now: Timestamp) {
    let _ = write_heading(shelf, state, secret, now).and_then(|()| shelf.sync());
}

/// Opens the database; one that cannot be opened is set aside for a new one, with what of it can be kept. Returns whether
/// that was so, and told.
fn open_shelf(directory: &Directory, now: Timestamp) -> Result<(Shelf, bool), ShelfError> {
    let why = match Shelf::open(&directory.pages()) {
        Err(ShelfError::OtherVersion(version)) => {
            let digits: String = version.chars().filter(char::is_ascii_alphanumeric).collect();
            (format!("version-database{digits}"), ShelfError::OtherVersion(version))
        }
        Err(error @ ShelfError::Damaged(_)) if keeps_beginning(directory) => {
            let aside = directory.link_aside("corrupt", now).map_err(ShelfError::Io)?;
            directory.replace_by_new().map_err(ShelfError::Io)?;
            error!(%error, aside = %aside.display(), "{DAMAGED_IN_PART}");
            return Ok((Shelf::open(&directory.pages())?, true));
        }
        Err(error @ ShelfError::Damaged(_)) => ("corrupt".to_owned(), error),
        other => return Ok((other?, false)),
    };
    let aside = directory.set_aside(&why.0, now).map_err(ShelfError::Io)?;
    error!(error = %why.1, aside = %aside.display(), "state cannot be read, set aside; this one begins empty");
    Ok((Shelf::open(&directory.pages())?, true))
}

/// Whether what was written before the damage is now in a database that can take the place of the damaged one.
fn keeps_beginning(directory: &Directory) -> bool {
    let kept = directory.begin_new().and_then(|new| salvage::keep_beginning(&directory.pages(), &new));
    // Without it all of the damaged one is set aside.
    kept.unwrap_or(false)
}

/// A new database in the place of one that was damaged in part; what was read of it is in memory. Until that is on the
/// disk the damaged one stays where it is.
fn begin_anew(kept: &mut Kept, damage: &str, now: Timestamp) -> Result<(), StoreError> {
    kept.shelf = None;
    kept.whole = true;
    if let Some(directory) = &kept.directory {
        let unusable = |source| StoreError::Unusable { directory: kept.path.clone(), source };
        let aside = directory.link_aside("corrupt", now).map_err(unusable)?;
        error!(error = damage, aside = %aside.display(), "{DAMAGED_IN_PART}");
    }
    Ok(())
}

/// A state that nobody keeps yet, with what can be read of the directory all the same.
fn from_memory(path: &Path, memory: usize, clock: &Clock) -> Result<(State, Kept), StoreError> {
    let head = match directory::read_head(path) {
        Ok(Found::Head(head)) if is_readable(head.version) => Some(head.secret),
        _ => None,
    };
    let secret = head.map_or_else(secret, Ok).map_err(StoreError::Random)?;
    let copy = std::env::temp_dir().join(format!("tempfail-{}-state", std::process::id()));
    let shelf = head.map(|_| open_copy(&path.join("pages"), &copy));
    let heading = shelf.as_ref().and_then(|shelf| read_heading(shelf.as_ref().ok()?));
    let now = begun(clock, heading);
    let state = State::new(memory, secret, now);
    let read = shelf.map(|shelf| shelf.and_then(|shelf| read(&shelf, &state, now)));
    let _ = std::fs::remove_dir_all(copy);
    if let Some(Err(error)) = &read {
        warn!(error, "what is in the directory was not read, or not all of it");
    }
    let read = matches!(read, Some(Ok(())));
    let kept = Kept { path: path.to_owned(), secret, directory: None, shelf: None, read, whole: true };
    Ok((state, kept))
}

/// Opens a database that nothing can be written beside, as a copy.
fn open_copy(pages: &Path, copy: &Path) -> Result<Shelf, String> {
    directory::put_files(pages, copy, |from, to| std::fs::copy(from, to).map(drop))
        .map_err(|error| error.to_string())?;
    Shelf::open(copy).map_err(|error| error.to_string())
}

/// When it is, seen from the last write.
fn begun(clock: &Clock, heading: Option<Heading>) -> Timestamp {
    heading.iter().for_each(|heading| clock.go_on_from(heading.written));
    clock.now()
}

/// The heading, if it can be read.
pub(super) fn read_heading(shelf: &Shelf) -> Option<Heading> {
    format::decode_heading(&shelf.get(HEADING).ok()??).ok()
}

/// Reads everything into `state`. An error tells of what could not be read; the rest has been.
fn read(shelf: &Shelf, state: &State, now: Timestamp) -> Result<(), String> {
    let began = Instant::now();
    let counts = Counts::default();
    read_pages(shelf, state, now, &counts);
    let labels = read_labels(shelf, state, now);
    let learned = read_learned(shelf, state, now).and(labels).and(read_rulings(shelf, state, now));
    let (entries, expired) = (counts.entries.load(Ordering::Relaxed), counts.expired.load(Ordering::Relaxed));
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    info!(entries, expired, millis, size = shelf.size(), "state read");
    let damage = counts.damage.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    learned.and(damage.map_or(Ok(()), Err))
}

#[derive(Default)]
struct Counts {
    entries: AtomicU64,
    expired: AtomicU64,
    next: AtomicUsize,
    damage: Mutex<Option<String>>,
}

impl Counts {
    fn damaged(&self, error: impl ToString) {
        let mut damage = self.damage.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *damage = damage.take().or_else(|| Some(error.to_string()));
    }
}

/// Reads all pages, some at a time: those of one slice lie near each other in memory too.
fn read_pages(shelf: &Shelf, state: &State, now: Timestamp, counts: &Counts) {
    let slices: Vec<(PageId, PageId)> = Book::ALL.into_iter().flat_map(|book| slices(state, book)).collect();
    let readers = std::thread::available_parallelism().map_or(1, usize::from).min(READERS);
    std::thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                while let Some((first, last)) = slices.get(counts.next.fetch_add(1, Ordering::Relaxed)) {
                    read_slice(shelf, state, (*first, *last), now, counts);
                }
            });
        }
    });
}

/// Page numbers in parts; the last part has those that this layout does not know.
fn slices(state: &State, book: Book) -> Vec<(PageId, PageId)> {
    let step = (state.pages_of(book) / SLICES).max(1);
    let id = |number| PageId { book, number };
    let slice = |n: u32| {
        let end = if n == SLICES { u32::MAX } else { (n + 1) * step };
        (id(n * step), id(end))
    };
    (0..=SLICES).map(slice).collect()
}

fn read_slice(shelf: &Shelf, state: &State, (first, end): (PageId, PageId), now: Timestamp, counts: &Counts) {
    let (mut taken, mut expired) = (0, 0);
    let mut restoring = state.restoring(now);
    let scanned = shelf.scan(format::key(first), format::key(end), |_, octets| {
        for entry in format::entries_of(octets) {
            match entry.map(|entry| restoring.take(entry)) {
                Ok(is) => {
                    taken += u64::from(is);
                    expired += u64::from(!is);
                }
                Err(error) => counts.damaged(error),
            }
        }
    });
    drop(restoring);
    if let Err(error) = scanned {
        counts.damaged(error);
    }
    counts.entries.fetch_add(taken, Ordering::Relaxed);
    counts.expired.fetch_add(expired, Ordering::Relaxed);
}

fn read_learned(shelf: &Shelf, state: &State, now: Timestamp) -> Result<(), String> {
    let Some(octets) = shelf.get(LEARNED).map_err(|error| error.to_string())? else { return Ok(()) };
    let learned = format::decode_learned(&octets).map_err(|error| error.to_string())?;
    if let Err(error) = state.relearn(&learned, now) {
        warn!(%error, "learned weights are not taken over, the model begins with those that ship");
    }
    Ok(())
}

fn read_labels(shelf: &Shelf, state: &State, now: Timestamp) -> Result<(), String> {
    let Some(octets) = shelf.get(LABELS).map_err(|error| error.to_string())? else { return Ok(()) };
    let labels = format::decode_labels(&octets).map_err(|error| format!("labels: {error}"))?;
    state.add_labels(labels, now);
    Ok(())
}

/// Overrides and the audit trail: what an operator has said.
fn read_rulings(shelf: &Shelf, state: &State, now: Timestamp) -> Result<(), String> {
    let get = |key| shelf.get(key).map_err(|error| error.to_string());
    if let Some(octets) = get(OVERRIDES)? {
        let kept = format::decode_overrides(&octets).map_err(|error| format!("overrides: {error}"))?;
        for kept in kept {
            state.restore_override(kept, now);
        }
    }
    if let Some(octets) = get(AUDIT)? {
        let kept = format::decode_audit(&octets).map_err(|error| format!("audit trail: {error}"))?;
        kept.into_iter().for_each(|kept| state.restore_change(kept));
    }
    Ok(())
}
