//! The store's directory: its lock, its head, and what was set aside.
//!
//! ```text
//! lock                          held by the one process that uses the directory; its number is in it
//! head                          tempfail-state VERSION SECRET
//! imports                       what was taken in last: see [`super::seen`]
//! pages/                        the database
//! pages.new/                    a database that is being written whole, and takes the place of pages/ after
//! corrupt-20261122T040000Z/     a database that could not be read, the newest three are kept
//! version-2-20261122T040000Z/   one of another version
//! unread-20261122T040000Z/      one that could not be opened when the daemon started
//! ```

use super::StoreError;
use super::format::{VERSION, is_readable};
use nix::fcntl::OFlag;
use policy_core::time::Timestamp;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tracing::warn;

const MAGIC: &str = "tempfail-state";
/// What is longer is no head.
const LONGEST_HEAD: u64 = 200;
/// Databases set aside that are kept.
const ASIDE: usize = 3;

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: u32,
    pub(super) secret: [u8; 16],
}

/// What is in place of a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Head(Head),
    Damaged,
}

/// Whether a name in a directory is that of a state which was set aside.
pub(crate) fn is_aside(name: &str) -> bool {
    ["corrupt-", "version-", "unread-"].iter().any(|why| name.starts_with(why))
}

/// Whether it is one that the store gives.
pub(super) fn is_of_a_state(name: &str) -> bool {
    ["lock", "head", "head.new", "imports", "imports.new", "pages", "pages.new", "pages.old"].contains(&name)
        || is_aside(name)
}

/// A directory that this process holds.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Unlocked when it is closed, also by a process that is killed.
    _lock: File,
}

impl Directory {
    /// Makes the directory if need be, and takes its lock.
    pub(super) fn hold(path: &Path) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::Unusable { directory: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let mut lock = own_file().truncate(false).read(true).open(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { lock: path.join("lock"), holder: holder(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        if path.metadata().is_ok_and(|about| is_open_to_others(about.mode())) {
            warn!(directory = %path.display(), "others on this host may look into the state; chmod 700 this directory");
        }
        // On a full disk the number is missing and the lock is held all the same.
        let _ = note_holder(&mut lock);
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where the database is.
    pub(super) fn pages(&self) -> PathBuf {
        self.path.join("pages")
    }

    /// Reads the head.
    pub(super) fn head(&self) -> io::Result<Found> {
        read_head(&self.path)
    }

    /// Writes the head, whole or not at all.
    pub(super) fn write_head(&self, secret: [u8; 16]) -> io::Result<()> {
        let text = format!("{MAGIC} {VERSION} {:032x}\n", u128::from_be_bytes(secret));
        let new = self.path.join("head.new");
        let mut file = own_file().truncate(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, self.path.join("head"))?;
        self.sync()
    }

    /// Begins a database that takes the place of the one in use: where it is to be written.
    pub(super) fn begin_new(&self) -> io::Result<PathBuf> {
        let new = self.path.join("pages.new");
        remove(&new)?;
        Ok(new)
    }

    /// Puts the new database, closed and synced, in the place of the one in use.
    pub(super) fn replace_by_new(&self) -> io::Result<()> {
        let old = self.path.join("pages.old");
        remove(&old)?;
        if self.pages().exists() {
            std::fs::rename(self.pages(), &old)?;
        }
        std::fs::rename(self.path.join("pages.new"), self.pages())?;
        self.sync()?;
        remove(&old)
    }

    /// Ends what a process that was killed has left half done.
    pub(super) fn tidy(&self) -> io::Result<()> {
        let new = self.path.join("pages.new");
        // The old one is moved away only when the new one is whole.
        if !self.pages().exists() && self.path.join("pages.old").exists() && new.exists() {
            std::fs::rename(&new, self.pages())?;
        }
        remove(&new)?;
        remove(&self.path.join("pages.old"))
    }

    /// Sets the database aside, and returns where to.
    pub(super) fn set_aside(&self, why: &str, now: Timestamp) -> io::Result<PathBuf> {
        self.aside(why, now, |pages, aside| std::fs::rename(pages, aside))
    }

    /// The same, with the database staying where it is until another takes its place. It must be closed.
    pub(super) fn link_aside(&self, why: &str, now: Timestamp) -> io::Result<PathBuf> {
        self.aside(why, now, |pages, aside| put_files(pages, aside, |from, to| std::fs::hard_link(from, to)))
    }

    fn aside(
        &self,
        why: &str,
        now: Timestamp,
        put: impl FnOnce(&Path, &Path) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let aside = self.path.join(format!("{why}-{}", stamp(now)));
        remove(&aside)?;
        put(&self.pages(), &aside)?;
        // With its head beside it, it can be put back by hand.
        let _ = std::fs::copy(self.path.join("head"), aside.join("head"));
        self.sync()?;
        self.forget_oldest();
        Ok(aside)
    }

    fn forget_oldest(&self) {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| is_aside(name)).collect();
        // By their stamps.
        names.sort_unstable_by(|a, b| b.rsplit('-').next().cmp(&a.rsplit('-').next()));
        for name in names.iter().skip(ASIDE) {
            let _ = std::fs::remove_dir_all(self.path.join(name));
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Opens or makes a file to write, for its owner alone. It may be root who writes, in a directory that is the daemon's: a
/// link there must not lead the pen elsewhere.
pub(super) fn own_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).write(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

/// Puts each file of a directory at its place in a new one.
pub(super) fn put_files(from: &Path, to: &Path, put: fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            put_files(&entry.path(), &to, put)?;
        } else {
            put(&entry.path(), &to)?;
        }
    }
    Ok(())
}

/// Reads the head of a directory that nobody holds.
pub(super) fn read_head(directory: &Path) -> io::Result<Found> {
    let mut text = String::new();
    let file = match File::open(directory.join("head")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    match file.take(LONGEST_HEAD).read_to_string(&mut text) {
        Ok(_) => Ok(parse(&text).map_or(Found::Damaged, Found::Head)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Found::Damaged),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Option<Head> {
    let mut words = text.strip_suffix('\n')?.split(' ');
    let magic = words.next()?;
    let version = words.next()?.parse().ok()?;
    let secret = words.next().unwrap_or_default();
    if magic != MAGIC {
        return None;
    }
    // Another version may have more to say, or say it otherwise.
    let secret = match u128::from_str_radix(secret, 16) {
        Ok(secret) => secret.to_be_bytes(),
        Err(_) if !is_readable(version) => [0; 16],
        Err(_) => return None,
    };
    Some(Head { version, secret })
}

/// Whether anybody but the owner may enter or read; the database's files trust in the directory.
const fn is_open_to_others(mode: u32) -> bool {
    mode & 0o077 != 0
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = Read::by_ref(lock).take(20).read_to_string(&mut text);
    let digits = text.trim();
    match read {
        Ok(_) if !digits.is_empty() => format!("process {digits}"),
        _ => "another process".to_owned(),
    }
}

fn note_holder(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A moment in a file's name.
fn stamp(now: Timestamp) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(u64::from(now.as_secs_u32()));
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[test]
    fn what_is_made_is_for_the_owner_alone_and_what_is_not_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("state");
        Directory::hold(&made).unwrap();
        assert!(!is_open_to_others(made.metadata().unwrap().mode()));
        assert!(is_open_to_others(0o750) && is_open_to_others(0o701) && !is_open_to_others(0o40_700));
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::hold(&dir.path().join("a/b")).unwrap();
        assert_eq!(directory.head().unwrap(), Found::Nothing);
        directory.write_head(*b"0123456789abcdef").unwrap();
        let head = Head { version: VERSION, secret: *b"0123456789abcdef" };
        assert_eq!(directory.head().unwrap(), Found::Head(head));
        std::fs::write(dir.path().join("a/b/head"), "tempfail-state 7 and more\n").unwrap();
        assert_eq!(directory.head().unwrap(), Found::Head(Head { version: 7, secret: [0; 16] }));
    }

    #[test]
    fn only_one_holds_it_and_the_other_is_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let held = Directory::hold(dir.path()).unwrap();
        let error = Directory::hold(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        assert!(Directory::hold(dir.path()).is_ok());
    }

    #[test]
    fn no_link_leads_what_is_written_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(outside.path(), "others'").unwrap();
        let untouched = || std::fs::read_to_string(outside.path()).unwrap() == "others'";
        let link = |name: &str| std::os::unix::fs::symlink(outside.path(), dir.path().join(name)).unwrap();
        let directory = Directory::hold(dir.path()).unwrap();
        link("head.new");
        assert!(directory.write_head([7; 16]).is_err() && untouched());
        drop(directory);
        std::fs::remove_file(dir.path().join("lock")).unwrap();
        link("lock");
        assert!(Directory::hold(dir.path()).is_err() && untouched());
    }

    #[test]
    fn what_was_left_half_done_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::hold(dir.path()).unwrap();
        let make = |name: &str| {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("of"), name).unwrap();
        };
        let of = || std::fs::read_to_string(dir.path().join("pages/of")).unwrap();
        make("pages");
        make("pages.new");
        directory.tidy().unwrap();
        assert_eq!(of(), "pages");
        std::fs::rename(directory.pages(), dir.path().join("pages.old")).unwrap();
        make("pages.new");
        directory.tidy().unwrap();
        assert_eq!(of(), "pages.new");
        assert!(!dir.path().join("pages.old").exists());
    }

    #[test]
    fn three_are_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::hold(dir.path()).unwrap();
        for n in 0..5 {
            std::fs::create_dir(directory.pages()).unwrap();
            let why = if n % 2 == 0 { "corrupt" } else { "version-9" };
            directory.set_aside(why, NOW.after(Duration::from_secs(n))).unwrap();
        }
        let names =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "lock").collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["corrupt-20231114T221322Z", "corrupt-20231114T221324Z", "version-9-20231114T221323Z"]
        );
    }

    proptest! {
        #[test]
        fn no_head_panics(text in "\\PC*") {
            let _ = parse(&text);
            let _ = parse(&format!("{MAGIC} {text}\n"));
        }
    }
}
