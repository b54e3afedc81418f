//! Which lines a state has taken in last, so that the same ones again are told of: evidence is summed, and would count
//! twice.
//!
//! ```text
//! imports      a line for each: the digest of the lines and of what keys the state's names, and when
//! ```
//!
//! It is a help and nothing rests on it: what cannot be read or written is as if it were not there. A state that begins
//! anew has another secret and knows of none.

use super::directory::own_file;
use policy_core::time::Timestamp;
use ring::digest::{Context, SHA256};
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

/// Imports that are remembered.
const REMEMBERED: usize = 16;
/// What is longer is no such file.
const LONGEST: u64 = 4096;

/// Lines of which a digest is made while they are read.
pub(super) struct Digested<R> {
    lines: R,
    context: Context,
}

impl<R: BufRead> Digested<R> {
    pub(super) fn new(lines: R) -> Self {
        Self { lines, context: Context::new(&SHA256) }
    }

    /// What tells these lines, in a state whose names this secret keys, from others: in hexadecimal digits.
    pub(super) fn end(self, secret: [u8; 16]) -> String {
        let mut context = Context::new(&SHA256);
        context.update(&secret);
        context.update(self.context.finish().as_ref());
        data_encoding::HEXLOWER.encode(context.finish().as_ref())
    }
}

impl<R: BufRead> Read for Digested<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut buffer = self.fill_buf()?;
        let read = buffer.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Digested<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.lines.fill_buf()
    }

    fn consume(&mut self, read: usize) {
        // What is consumed is in the buffer already, so nothing is waited for.
        if let Some(octets) = self.lines.fill_buf().ok().and_then(|buffer| buffer.get(..read)) {
            self.context.update(octets);
        }
        self.lines.consume(read);
    }
}

/// Remembers lines by their digest. Returns whether they were taken in before; where they have replaced the state, what
/// it took in before is gone.
pub(super) fn note(directory: &Path, digest: &str, replaced: bool, now: Timestamp) -> bool {
    let held = if replaced { String::new() } else { read(directory).unwrap_or_default() };
    let others: Vec<&str> = held.lines().filter(|line| !line.starts_with(digest)).collect();
    let again = others.len() < held.lines().count();
    let kept = others.len().saturating_sub(REMEMBERED - 1);
    let mut text: String = others[kept..].iter().map(|line| format!("{line}\n")).collect();
    text += &format!("{digest} {}\n", now.as_secs_u32());
    let _ = write(directory, &text);
    again
}

fn read(directory: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(directory.join("imports"))?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes it, whole or not at all.
fn write(directory: &Path, text: &str) -> io::Result<()> {
    let new = directory.join("imports.new");
    own_file().truncate(true).open(&new)?.write_all(text.as_bytes())?;
    std::fs::rename(&new, directory.join("imports"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn digest(lines: &str, secret: u8) -> String {
        let mut digested = Digested::new(lines.as_bytes());
        let mut line = Vec::new();
        while digested.by_ref().take(5).read_until(b'\n', &mut line).unwrap() > 0 {}
        assert_eq!(line, lines.as_bytes());
        digested.end([secret; 16])
    }

    #[test]
    fn the_last_few_are_remembered_and_a_replaced_state_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let note =
            |n: usize, replaced| note(dir.path(), &digest(&format!("a long line\n{n}"), 1), replaced, NOW);
        assert_eq!([note(0, false), note(0, false)], [false, true]);
        assert!((1..REMEMBERED).all(|n| !note(n, false)));
        assert!(note(0, false), "the oldest of them");
        assert!(!note(REMEMBERED, false) && !note(1, false), "one too many");
        assert!(!note(0, true) && note(0, false) && !note(REMEMBERED, false));
        let size = dir.path().join("imports").metadata().unwrap().len();
        assert!(size < LONGEST, "{size}");
    }

    #[test]
    fn lines_differ_by_what_they_say_and_by_whose_they_become() {
        assert_eq!(digest("a\nb\n", 1), digest("a\nb\n", 1));
        assert_ne!(digest("a\nb\n", 1), digest("a\nc\n", 1));
        assert_ne!(digest("a\nb\n", 1), digest("a\nb\n", 2));
    }
}
