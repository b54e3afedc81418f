//! Databases of Berkeley DB, through its own programs.
//!
//! A database that belongs to an environment (there are `log.*` files beside it) is copied with its log, recovered
//! there and dumped: what is only in the log yet is then not missed, and the program that uses it may go on. The
//! output of `db_dump` is taken in place of a database too, for one that was made on another machine.
//!
//! The format of a dump: lines `name=value` up to `HEADER=END`, then a key and a value on a line each, beginning with
//! a space, in hexadecimal digits or (`format=print`) as text with `\xx` for other octets, up to `DATA=END`.
//!
//! Bounds: a line has at most 128 KiB; a dump is read as it comes.

use super::places::{begins_with, name_of};
use super::{MigrateError, read_error};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const LONGEST_LINE: u64 = 128 << 10;
/// Magic numbers of B-trees and hashes, at octet 12 of the first page, in either order of octets.
const MAGIC: [u32; 2] = [0x0005_3162, 0x0006_1561];

/// Visits each key with its value.
pub(super) fn visit(path: &Path, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), MigrateError> {
    let begin = begins_with(path)?;
    if begin.starts_with(b"VERSION=") {
        let file = File::open(path).map_err(read_error(path))?;
        return read_dump(BufReader::new(file), &mut each).map_err(damaged(path));
    }
    if !is_database(&begin) {
        let why = "it begins neither as a database of Berkeley DB nor as a dump of one".to_owned();
        return Err(damaged(path)(why));
    }
    let copy = snapshot(path)?;
    let mut child = start(Command::new(program(path, "dump")?).arg(copy.path().join(name_of(path))), path)?;
    let read = match child.stdout.take() {
        Some(out) => read_dump(BufReader::new(out), &mut each),
        None => Err("no output".to_owned()),
    };
    if read.is_err() {
        // It may be waiting for its output to be read.
        let _ = child.kill();
    }
    let told = finish(child);
    match (read, told) {
        (Ok(()), Ok(())) => Ok(()),
        (_, Err(why)) if !why.is_empty() => Err(damaged(path)(why)),
        (Err(why), _) => Err(damaged(path)(why)),
        (Ok(()), Err(_)) => Err(damaged(path)("its program failed".to_owned())),
    }
}

/// Whether these octets begin a database.
pub(super) fn is_database(begin: &[u8]) -> bool {
    let Some(Ok(octets)) = begin.get(12..16).map(<[u8; 4]>::try_from) else { return false };
    MAGIC.contains(&u32::from_le_bytes(octets)) || MAGIC.contains(&u32::from_be_bytes(octets))
}

/// A copy of a database in a directory of its own, with what its log had for it.
fn snapshot(path: &Path) -> Result<tempfile::TempDir, MigrateError> {
    let copy = tempfile::tempdir().map_err(read_error(path))?;
    // The database first: its log may be ahead of it, never behind.
    std::fs::copy(path, copy.path().join(name_of(path))).map_err(read_error(path))?;
    let logs = logs_beside(path).map_err(read_error(path))?;
    for log in &logs {
        std::fs::copy(log, copy.path().join(name_of(log))).map_err(read_error(log))?;
    }
    if !logs.is_empty() {
        let child = start(Command::new(program(path, "recover")?).arg("-h").arg(copy.path()), path)?;
        finish(child).map_err(|why| damaged(path)(format!("its log cannot be replayed: {why}")))?;
    }
    Ok(copy)
}

fn logs_beside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(directory)?.filter_map(Result::ok).map(|entry| entry.path());
    let is_log = |path: &PathBuf| {
        let number = name_of(path).strip_prefix("log.").unwrap_or_default();
        number.len() == 10 && number.bytes().all(|b| b.is_ascii_digit())
    };
    Ok(entries.filter(is_log).collect())
}

/// The program that Debian calls by the version it reads, and others plainly.
fn program(path: &Path, what: &str) -> Result<PathBuf, MigrateError> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = std::env::split_paths(&places).collect();
    let mut names = [format!("db5.3_{what}"), format!("db_{what}")].into_iter();
    let found =
        names.find_map(|name| places.iter().map(|place| place.join(&name)).find(|path| path.is_file()));
    found.ok_or_else(|| MigrateError::NoProgram {
        path: path.to_owned(),
        program: "db_dump",
        package: "db-util",
        otherwise: "give the output of db_dump in place of the database",
    })
}

fn start(command: &mut Command, path: &Path) -> Result<Child, MigrateError> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(read_error(path))
}

/// Waits for its end; what it said when it failed.
fn finish(mut child: Child) -> Result<(), String> {
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(said.lines().next().unwrap_or_default().to_owned()) }
}

fn damaged(path: &Path) -> impl Fn(String) -> MigrateError {
    let path = path.to_owned();
    move |why| MigrateError::Damaged { path: path.clone(), why }
}

/// Reads a dump. An error says at which line.
fn read_dump(mut lines: impl BufRead, each: &mut impl FnMut(&[u8], &[u8])) -> Result<(), String> {
    let (mut number, mut print) = (0, false);
    loop {
        match next_line(&mut lines, &mut number)?.as_slice() {
            b"HEADER=END" => break,
            b"format=print" => print = true,
            _ => {}
        }
    }
    let mut key: Option<Vec<u8>> = None;
    loop {
        let line = next_line(&mut lines, &mut number)?;
        if line == b"DATA=END" {
            return if key.is_none() { Ok(()) } else { Err(format!("line {number}: a key without a value")) };
        }
        let item = line.strip_prefix(b" ").and_then(|item| if print { unescape(item) } else { unhex(item) });
        let item = item.ok_or_else(|| format!("line {number} of its dump is neither a key nor a value"))?;
        match key.take() {
            None => key = Some(item),
            Some(key) => each(&key, &item),
        }
    }
}

fn next_line(lines: &mut impl BufRead, number: &mut u64) -> Result<Vec<u8>, String> {
    *number += 1;
    let mut line = Vec::new();
    let read = lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
    read.map_err(|error| error.to_string())?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        Some(_) => Err(format!("line {number} is cut off, or too long")),
        None => Err(format!("its dump ends at line {number}, before its end")),
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let octet = |pair: &[u8]| Some((digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?) as u8);
    digits.chunks(2).map(octet).collect()
}

fn unescape(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    while let Some((&first, rest)) = text.split_first() {
        text = rest;
        if first != b'\\' {
            octets.push(first);
        } else if let Some(rest) = text.strip_prefix(b"\\") {
            octets.push(b'\\');
            text = rest;
        } else {
            octets.extend(unhex(text.get(..2)?)?);
            text = &text[2..];
        }
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(dump: &str) -> Result<Vec<(String, String)>, String> {
        let mut all = Vec::new();
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        read_dump(dump.as_bytes(), &mut |key, value| all.push((text(key), text(value)))).map(|()| all)
    }

    #[test]
    fn both_formats_of_a_dump_are_read() {
        let pair = [("a\\b".to_owned(), "1,2".to_owned())];
        assert_eq!(
            read("VERSION=3\nformat=bytevalue\nHEADER=END\n 615c62\n 312c32\nDATA=END\n").unwrap(),
            pair
        );
        assert_eq!(read("VERSION=3\nformat=print\nHEADER=END\n a\\\\b\n 1\\2c2\nDATA=END\n").unwrap(), pair);
    }

    #[test]
    fn what_is_no_dump_is_told_with_its_line() {
        let head = "VERSION=3\nHEADER=END\n";
        for (rest, what) in [
            ("", "ends at line 3"),
            (" 61\n", "ends at line 4"),
            (" 61\nDATA=END\n", "line 4: a key without a value"),
            (" 6\n", "line 3"),
            ("61\n", "line 3"),
            (" zz\n", "line 3"),
            (" 61", "line 3 is cut off"),
        ] {
            let error = read(&format!("{head}{rest}")).unwrap_err();
            assert!(error.contains(what), "{rest:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_dump_panics(text in "\\PC*", head in any::<bool>()) {
            let head = if head { "VERSION=3\nformat=print\nHEADER=END\n" } else { "" };
            let _ = read(&format!("{head} {}\n", text.replace(',', "\n ")));
        }
    }
}
