//! The writer: the one thread that owns the disk.
//!
//! It waits for a second to pass or for somebody to ask, then writes all pages that have changed in batches,
//! and waits for the disk once at the end. Who asks while it writes is answered by the next round, all at
//! once.
//!
//! After an error the database is closed and opened again later: what an interrupted write leaves behind is
//! for its own recovery to judge. The pages of that batch are marked again.

use super::directory::Directory;
use super::format::{self, AUDIT, HEADING, Heading, LABELS, LEARNED, OVERRIDES};
use super::recover::Kept;
use super::shelf::{Shelf, ShelfError, Write};
use super::{NotKept, StoreError};
use crate::clock::Clock;
use policy_core::State;
use policy_core::kept::Page;
use policy_core::time::Timestamp;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// Counts reach the disk within this time.
const EACH: Duration = Duration::from_secs(1);
/// Pages of a batch: a few hundred thousand octets.
const BATCH: usize = 1024;
/// Pauses between tries after an error.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// Write now, and say when that is done.
    Flush(oneshot::Sender<Result<(), NotKept>>),
    /// Write now, and end.
    Close(oneshot::Sender<()>),
}

/// Starts the writer.
pub(super) fn spawn(
    state: Arc<State>,
    kept: Kept,
    clock: Clock,
    durable: Arc<AtomicBool>,
) -> Result<Sender<Request>, StoreError> {
    let (sender, requests) = channel();
    // What was just read need not be written.
    let labels = kept.is_open().then(|| state.model_health().labels);
    let rulings = kept.is_open().then(|| revision(&state));
    let mut writer = Writer { state, kept, clock, durable, labels, rulings, failed: None };
    std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || writer.run(&requests))
        .map_err(StoreError::Thread)?;
    Ok(sender)
}

struct Writer {
    state: Arc<State>,
    kept: Kept,
    clock: Clock,
    durable: Arc<AtomicBool>,
    /// Labels that the model on the disk has learned from.
    labels: Option<u64>,
    /// The revision of overrides and audit trail on the disk.
    rulings: Option<(u64, u64)>,
    /// Since the last error: when to try again, and the pause before that.
    failed: Option<(Instant, Duration)>,
}

impl Writer {
    fn run(&mut self, requests: &Receiver<Request>) {
        loop {
            let mut waiting = Vec::new();
            let mut closing = None;
            let mut next = requests.recv_timeout(EACH);
            // All who have asked by now are answered by one write.
            while let Ok(request) = next {
                match request {
                    Request::Flush(done) => waiting.push(done),
                    Request::Close(done) => closing = Some(done),
                }
                next = requests.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
            let ends = closing.is_some() || matches!(next, Err(RecvTimeoutError::Disconnected));
            let written = self.write_unless_pausing(ends);
            // Who has gone does not want to know.
            for done in waiting {
                let _ = done.send(written);
            }
            if ends {
                // Before the answer: who closes a store may open it again.
                self.kept.shelf = None;
                self.kept.directory = None;
                closing.map(|done| done.send(()));
                return;
            }
        }
    }

    fn write_unless_pausing(&mut self, now: bool) -> Result<(), NotKept> {
        if !now && self.failed.is_some_and(|(again, _)| Instant::now() < again) {
            return Err(NotKept);
        }
        match self.write() {
            Ok(()) => self.succeeded(),
            Err(error) => return Err(self.fail(&error)),
        }
        Ok(())
    }

    fn succeeded(&mut self) {
        let was_durable = self.durable.swap(true, Ordering::Relaxed);
        if self.failed.take().is_some() || !was_durable {
            info!(directory = %self.kept.path.display(), "state is kept again");
        }
    }

    fn fail(&mut self, error: &StoreError) -> NotKept {
        self.kept.shelf = None;
        self.durable.store(false, Ordering::Relaxed);
        let (first, most) = PAUSES;
        let pause = self.failed.map_or(first, |(_, pause)| (pause * 2).min(most));
        if self.failed.is_none() {
            error!(%error, "state cannot be written, mail goes on from memory; tried again until it can");
        }
        self.failed = Some((Instant::now() + pause, pause));
        NotKept
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.reopen()?;
        let path = self.kept.path.clone();
        let failed = |source| StoreError::Shelf { directory: path.clone(), source };
        if self.kept.whole {
            self.write_whole().map_err(failed)?;
        }
        let Some(shelf) = &self.kept.shelf else {
            return Err(failed(ShelfError::Io(io::Error::other("closed"))));
        };
        let labels = self.state.model_health().labels;
        let learned = self.labels != Some(labels);
        if learned {
            write_learned(shelf, &self.state).map_err(failed)?;
        }
        let rulings = revision(&self.state);
        let ruled = self.rulings != Some(rulings);
        if ruled {
            write_rulings(shelf, &self.state).map_err(failed)?;
        }
        if write_changes(shelf, &self.state, false).map_err(failed)? || learned || ruled {
            write_heading(shelf, &self.state, self.kept.secret, self.clock.now()).map_err(failed)?;
            shelf.sync().map_err(failed)?;
            self.labels = Some(labels);
            self.rulings = Some(rulings);
        }
        Ok(())
    }

    /// Holds the directory and opens the database, when they are not.
    fn reopen(&mut self) -> Result<(), StoreError> {
        let path = &self.kept.path;
        let unusable = |source| StoreError::Unusable { directory: path.clone(), source };
        if self.kept.directory.is_none() {
            let directory = Directory::hold(path)?;
            directory.tidy().map_err(unusable)?;
            if !self.kept.read && directory.pages().exists() {
                let aside = directory.set_aside("unread", self.clock.now()).map_err(unusable)?;
                warn!(aside = %aside.display(), "what was there could not be read in time, set aside");
            }
            directory.write_head(self.kept.secret).map_err(unusable)?;
            self.state.mark_all();
            self.kept.directory = Some(directory);
        }
        if let (None, false, Some(directory)) = (&self.kept.shelf, self.kept.whole, &self.kept.directory) {
            match Shelf::open(&directory.pages()) {
                Ok(shelf) => self.kept.shelf = Some(shelf),
                Err(ShelfError::Io(source)) => return Err(unusable(source)),
                // What is in memory is all there is to know: it is written anew.
                Err(error) => {
                    error!(%error, "state on the disk cannot be read again, it is written anew");
                    self.state.mark_all();
                    self.kept.whole = true;
                }
            }
        }
        Ok(())
    }

    /// Writes everything to a new database, which then takes the place of the one before.
    fn write_whole(&mut self) -> Result<(), ShelfError> {
        let Some(directory) = &self.kept.directory else { return Ok(()) };
        let path = directory.begin_new().map_err(ShelfError::Io)?;
        self.state.mark_all();
        let shelf = Shelf::open(&path)?;
        write_new(&shelf, &self.state, self.kept.secret, self.clock.now())?;
        drop(shelf);
        self.kept.shelf = None;
        directory.replace_by_new().map_err(ShelfError::Io)?;
        self.kept.whole = false;
        self.kept.shelf = Some(Shelf::open(&directory.pages())?);
        Ok(())
    }
}

/// Writes a state whose pages are all marked to a new database.
pub(super) fn write_new(
    shelf: &Shelf,
    state: &State,
    secret: [u8; 16],
    now: Timestamp,
) -> Result<(), ShelfError> {
    write_changes(shelf, state, true)?;
    write_heading(shelf, state, secret, now)?;
    write_learned(shelf, state)?;
    write_rulings(shelf, state)?;
    shelf.sync()
}

/// Writes the pages that have changed; of a new database those that are empty are left out. Returns whether
/// there were any.
fn write_changes(shelf: &Shelf, state: &State, is_new: bool) -> Result<bool, ShelfError> {
    let mut any = false;
    let mut changes = state.changes().filter(|page| !is_new || !page.entries.is_empty());
    loop {
        let pages: Vec<Page> = changes.by_ref().take(BATCH).collect();
        if pages.is_empty() {
            return Ok(any);
        }
        any = true;
        let writes = pages.iter().map(write_of).collect::<Result<Vec<Write>, ShelfError>>();
        if let Err(error) = writes.and_then(|writes| shelf.write(writes)) {
            pages.iter().for_each(|page| state.mark(page.id));
            return Err(error);
        }
    }
}

fn unwritable(error: postcard::Error) -> ShelfError {
    ShelfError::Io(io::Error::other(error))
}

fn write_of(page: &Page) -> Result<Write, ShelfError> {
    let octets = || format::encode_page(&page.entries).map_err(unwritable);
    let value = if page.entries.is_empty() { None } else { Some(octets()?) };
    Ok((format::key(page.id), value))
}

pub(super) fn write_heading(
    shelf: &Shelf,
    state: &State,
    secret: [u8; 16],
    written: Timestamp,
) -> Result<(), ShelfError> {
    let heading = Heading { layout: state.layout(), written, secret };
    shelf.write(vec![(HEADING, Some(format::encode(&heading).map_err(unwritable)?))])
}

/// Tells whether overrides or audit trail have changed.
fn revision(state: &State) -> (u64, u64) {
    (state.overrides().revision(), state.audit().revision())
}

fn write_rulings(shelf: &Shelf, state: &State) -> Result<(), ShelfError> {
    let mut changes = state.audit().newest(usize::MAX);
    changes.reverse();
    let overrides = format::encode(&state.overrides().list()).map_err(unwritable)?;
    let audit = format::encode(&changes).map_err(unwritable)?;
    shelf.write(vec![(OVERRIDES, Some(overrides)), (AUDIT, Some(audit))])
}

fn write_learned(shelf: &Shelf, state: &State) -> Result<(), ShelfError> {
    let learned = format::encode(&state.learned()).map_err(unwritable)?;
    let labels = format::encode(&state.labels()).map_err(unwritable)?;
    shelf.write(vec![(LEARNED, Some(learned)), (LABELS, Some(labels))])
}
