//! The shelf: pages on the disk, in an embedded database.
//!
//! Why fjall, a log-structured tree, and not redb, a B-tree: measured with a million pages of 300 octets, of which
//! 120 or 3000 in no order were rewritten and synced at a time, on the same two loaded processors:
//!
//! | | 120 pages | 3000 pages | written to the disk for each page | reading all | file |
//! | --- | --- | --- | --- | --- | --- |
//! | fjall 3.1.13 | 3 ms | 18 ms | 0.7 to 2.1 KB | 0.52 s | 320 to 590 MB |
//! | redb 4.5.0 | 12 ms | 140 ms | 5.6 to 9.7 KB | 0.51 s | 330 to 457 MB |
//!
//! A mail server rewrites a few pages each second for ever, so what a page costs the disk decides.
//!
//! Bounds: 16 MiB of memory table, 8 MiB of cache, 64 MiB of journal, one background thread.

use super::format::StoredKey;
use fjall::config::BlockSizePolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use thiserror::Error;

const MEMORY_TABLE: u64 = 16 << 20;
const CACHE: u64 = 8 << 20;
const JOURNAL: u64 = 64 << 20;
const BLOCK: u32 = 16 << 10;
const OPEN_FILES: usize = 64;

/// Why the shelf cannot be used.
#[derive(Debug, Error)]
pub enum ShelfError {
    /// The disk is full, read-only or broken, or the directory cannot be entered.
    #[error("{0}")]
    Io(io::Error),
    /// Its files are not what was written.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Its files are of another version of the database.
    #[error("of another version of the database: {0}")]
    OtherVersion(String),
}

impl From<fjall::Error> for ShelfError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) => Self::from(error),
            fjall::Error::Storage(fjall::LsmError::Io(error)) => Self::from(error),
            fjall::Error::InvalidVersion(Some(version)) => Self::OtherVersion(format!("{version:?}")),
            fjall::Error::Storage(fjall::LsmError::InvalidVersion(version)) => {
                Self::OtherVersion(version.to_string())
            }
            fjall::Error::Poisoned => Self::Io(io::Error::other("an earlier write in the background failed")),
            error => Self::Damaged(format!("{error:?}")),
        }
    }
}

impl From<io::Error> for ShelfError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        match error.kind() {
            // A file that is missing or ends early inside of a database that is there.
            NotFound | UnexpectedEof | InvalidData => Self::Damaged(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

/// One write: a page's octets, or `None` to take it away.
pub(super) type Write = (StoredKey, Option<Vec<u8>>);

/// An open shelf.
pub(super) struct Shelf {
    database: Database,
    pages: Keyspace,
}

impl Shelf {
    /// Opens it, or makes a new one. The secret is in it, so it is for its owner alone, whatever the directory above and
    /// the umask are.
    pub(super) fn open(path: &Path) -> Result<Self, ShelfError> {
        guarded(|| {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(ShelfError::Io)?;
            // Made by an earlier version. Where it is another user's it stays as it is.
            let _ = std::fs::set_permissions(path, Permissions::from_mode(0o700));
            let builder = Database::builder(path)
                .cache_size(CACHE)
                .max_journaling_size(JOURNAL)
                .max_cached_files(Some(OPEN_FILES))
                .worker_threads(1);
            let database = builder.open()?;
            let options = || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(MEMORY_TABLE)
                    .data_block_size_policy(BlockSizePolicy::all(BLOCK))
            };
            let pages = database.keyspace("pages", options)?;
            Ok(Self { database, pages })
        })
    }

    /// Writes all of it or nothing. It is handed to the system, which keeps it if this process dies.
    pub(super) fn write(&self, writes: Vec<Write>) -> Result<(), ShelfError> {
        guarded(|| {
            let mut batch = self.database.batch();
            for (key, value) in writes {
                match value {
                    Some(value) => batch.insert(&self.pages, key, value),
                    None => batch.remove(&self.pages, key),
                }
            }
            Ok(batch.durability(Some(PersistMode::Buffer)).commit()?)
        })
    }

    /// Waits until all that was written is on the disk.
    pub(super) fn sync(&self) -> Result<(), ShelfError> {
        guarded(|| Ok(self.database.persist(PersistMode::SyncData)?))
    }

    /// One value.
    pub(super) fn get(&self, key: StoredKey) -> Result<Option<Vec<u8>>, ShelfError> {
        guarded(|| Ok(self.pages.get(key)?.map(|value| value.to_vec())))
    }

    /// Visits values whose keys lie from `first` up to, not including, `end`.
    pub(super) fn scan(
        &self,
        first: StoredKey,
        end: StoredKey,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), ShelfError> {
        guarded(|| {
            for entry in self.pages.range(first..end) {
                let (key, value) = entry.into_inner()?;
                visit(&key, &value);
            }
            Ok(())
        })
    }

    /// Octets on the disk.
    pub(super) fn size(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }
}

/// Damaged files may make the database panic where it takes for granted what it wrote; here that is an error
/// as any other. What it leaves behind is not used again.
fn guarded<T>(work: impl FnOnce() -> Result<T, ShelfError>) -> Result<T, ShelfError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic");
        Err(ShelfError::Damaged(text.to_owned()))
    })
}
