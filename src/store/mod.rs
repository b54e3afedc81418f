//! The store: the state on the disk, so that a restart, kill -9 or a crash costs at most a second of counts.
//!
//! ```text
//! let (state, store) = store::open(directory, memory, &clock)?;   reads what is there, begins to write
//! store.flush().await?;                                          all that was learned before is on the disk
//! store.close().await;                                           writes the rest, gives the lock back
//! store::export(directory, now, &mut lines)?; store::import(directory, memory, lines, Import::Merge, &clock)?;
//! ```
//!
//! One thread owns the disk. Each second, and for each flush, it takes the pages that have changed from the
//! state, writes them to an embedded database and waits until they are on the disk. No verdict waits for it.
//!
//! Invariants: the state in memory is the truth, the disk follows. What a flush has acknowledged survives
//! kill -9 and a loss of power. What cannot be written stays marked, and is written once that is possible.
//!
//! | fault | what happens |
//! | --- | --- |
//! | disk full, write error | told once; mail goes on from memory; tried again with growing pauses up to a minute |
//! | directory read-only or unusable | what is there is read if that is possible; then as above |
//! | damaged files | what can still be read is kept, of a journal what comes before the damage; a copy of all is set aside as `corrupt-STAMP` |
//! | journal emptied or gone | told; begins empty |
//! | another version | set aside as `version-N-STAMP`; begins empty |
//! | a second daemon | refused: [`StoreError::Locked`] names the lock and who holds it |
//! | clock behind the last write by more than an hour, or ahead by more than a week | told; time goes on from the last write until the clock is right, or has stood so for a day |
//!
//! Bounds: memory is that of the shelf, one batch of pages, and eight octets for each page; the disk has each page
//! about twice, 64 MiB of journal, and at most three databases that were set aside.

mod directory;
mod export;
mod format;
mod import;
mod numbers;
mod owner;
mod recover;
mod salvage;
mod seen;
mod shelf;
mod writer;

pub(crate) use directory::is_aside;
pub use export::{ExportError, export, export_known, export_running};
pub use format::VERSION;
pub use import::{Import, ImportError, Imported, import, import_running, know};
pub use shelf::ShelfError;

use crate::clock::Clock;
use policy_core::State;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use thiserror::Error;
use tokio::sync::oneshot;
use writer::Request;

/// Why there is no store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process uses the directory.
    #[error("{} is held by {holder}: a state has one daemon; stop the other or give this one a [state] directory of its own", lock.display())]
    Locked {
        /// The lock.
        lock: PathBuf,
        /// Who holds it, in words.
        holder: String,
    },
    /// The directory cannot be used.
    #[error("{}: {source}", directory.display())]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was written there as root is not its owner's, who could not read it.
    #[error("{}: what was written cannot be given to the directory's owner ({source}); do so before the daemon starts, which could not read it: chown -R {user}:{group} {}", directory.display(), directory.display())]
    Owner {
        /// The directory.
        directory: PathBuf,
        /// Its owner, by number.
        user: u32,
        /// Its group, by number.
        group: u32,
        /// Why.
        source: io::Error,
    },
    /// Its database cannot be used.
    #[error("{}: {source}", directory.display())]
    Shelf {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: ShelfError,
    },
    /// The system gives no random numbers.
    #[error("no random numbers to be had: {0}")]
    Random(getrandom::Error),
    /// The system gives no thread.
    #[error("no thread to write the state: {0}")]
    Thread(io::Error),
}

/// What was to be kept is not on the disk; it is remembered, and will be written when that is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the state cannot be written just now")]
pub struct NotKept;

/// A handle to what writes the state. Cheap to clone; when the last one is gone, writing ends.
#[derive(Clone, Debug)]
pub struct Store {
    requests: Sender<Request>,
    durable: Arc<AtomicBool>,
    secret: Secret,
    directory: Arc<Path>,
}

/// What keys the names in the state. Never shown.
#[derive(Clone, Copy)]
struct Secret([u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

impl Store {
    /// Waits until all that the state has taken in so far is on the disk.
    ///
    /// # Errors
    ///
    /// It cannot be written just now.
    pub async fn flush(&self) -> Result<(), NotKept> {
        let (done, written) = oneshot::channel();
        self.requests.send(Request::Flush(done)).map_err(|_| NotKept)?;
        written.await.unwrap_or(Err(NotKept))
    }

    /// Writes what is left, and gives the directory back.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.requests.send(Request::Close(done)).is_ok() {
            // An error says that it has ended already.
            let _ = closed.await;
        }
    }

    /// Whether the last write went well.
    pub fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }
}

/// Reads the state of a directory, or begins one there, and keeps it from now on. Blocks while it reads.
///
/// # Errors
///
/// Another process holds the directory, or the system is short of something. A directory that cannot be used
/// is no error: the state is then kept in memory until it can.
pub fn open(directory: &Path, memory: usize, clock: &Clock) -> Result<(Arc<State>, Store), StoreError> {
    let (state, kept) = recover::begin(directory, memory, clock)?;
    let state = Arc::new(state);
    let durable = Arc::new(AtomicBool::new(kept.is_open()));
    let secret = Secret(kept.secret);
    let requests = writer::spawn(Arc::clone(&state), kept, clock.clone(), Arc::clone(&durable))?;
    Ok((state, Store { requests, durable, secret, directory: directory.into() }))
}

/// What keys the names in a state: nobody outside can guess which names share a place in it.
pub(crate) fn secret() -> Result<[u8; 16], getrandom::Error> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret)?;
    Ok(secret)
}

#[cfg(test)]
mod tests;
