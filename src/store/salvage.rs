//! A database whose journal is damaged: what was written before the damage.
//!
//! The database refuses a journal with a wrong checksum as a whole, and has no way to read it up to there. One that ends
//! early it reads to its end, as after a loss of power. So the longest beginning of the journals that it reads is looked
//! for, by halves, each time in a copy. Tables, which are never written again, are links in it.
//!
//! Invariant: nothing of the damaged database is written to. Bounds: a journal has 64 MiB, which takes some fifteen openings.
//!
//! Known limits: whole writes that end less than [`CLOSE_ENOUGH`] before the damage may be lost too. A flipped bit that the
//! database takes for the journal's end is not found, here as by itself.

use super::directory::put_files;
use super::shelf::Shelf;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Octets of the place where the damage begins.
const CLOSE_ENOUGH: u64 = 4 << 10;

/// Makes a database of what was written before the damage. Returns whether there is one: not if something else is damaged.
pub(super) fn keep_beginning(pages: &Path, new: &Path) -> io::Result<bool> {
    let journals = journals(pages)?;
    let (mut good, mut bad) = (0, journals.iter().map(|journal| journal.written).sum());
    if !opens(pages, new, &journals, good)? {
        return Ok(false);
    }
    // Of what is at `new` now.
    let mut is_good = true;
    while bad - good > CLOSE_ENOUGH {
        let middle = good + (bad - good) / 2;
        is_good = opens(pages, new, &journals, middle)?;
        if is_good {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(is_good || opens(pages, new, &journals, good)?)
}

struct Journal {
    number: u64,
    path: PathBuf,
    /// Octets before the empty space at its end.
    written: u64,
}

/// In the order in which they were written.
fn journals(pages: &Path) -> io::Result<Vec<Journal>> {
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(pages)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(OsStr::to_str).and_then(|stem| stem.parse().ok());
        if let (true, Some(number)) = (is_journal(&path), number) {
            journals.push(Journal { number, written: written(&path)?, path });
        }
    }
    journals.sort_unstable_by_key(|journal| journal.number);
    Ok(journals)
}

fn is_journal(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("jnl"))
}

fn written(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let (mut part, empty) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let (mut at, mut written) = (0, 0);
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            return Ok(written);
        }
        // Most of a journal is empty: parts that are need no look at each octet.
        if part != empty {
            let last = part.iter().take(read).rposition(|octet| *octet != 0);
            written = last.map_or(written, |last| at + last as u64 + 1);
        }
        at += read as u64;
    }
}

/// Whether the database opens with so many octets of its journals; it is then at `new`.
fn opens(pages: &Path, new: &Path, journals: &[Journal], mut octets: u64) -> io::Result<bool> {
    if new.exists() {
        std::fs::remove_dir_all(new)?;
    }
    put_files(pages, new, put_beside_journals)?;
    for journal in journals {
        let taken = octets.min(journal.written);
        octets -= taken;
        if let (true, Some(name)) = (taken > 0, journal.path.file_name()) {
            io::copy(&mut File::open(&journal.path)?.take(taken), &mut File::create(new.join(name))?)?;
        }
    }
    Ok(Shelf::open(new).is_ok())
}

fn put_beside_journals(from: &Path, to: &Path) -> io::Result<()> {
    let is_table = from.parent().and_then(Path::file_name) == Some(OsStr::new("tables"));
    match (is_journal(from), is_table) {
        (true, _) => Ok(()),
        (_, true) => std::fs::hard_link(from, to),
        _ => std::fs::copy(from, to).map(drop),
    }
}
