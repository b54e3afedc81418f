//! Files of another program: a path names one, or a directory that has them by their usual names.

use super::{MigrateError, read_error};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Octets of a settings file that are read.
const LONGEST_FILE: u64 = 16 << 20;
/// Octets of a line.
const LONGEST_LINE: usize = 64 << 10;

/// The files among `names` that a place has: itself when it is a file.
pub(super) fn files(place: &Path, names: &[&str]) -> Result<Vec<PathBuf>, MigrateError> {
    let meta = std::fs::metadata(place).map_err(read_error(place))?;
    if !meta.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let found: Vec<PathBuf> =
        names.iter().map(|name| place.join(name)).filter(|path| path.is_file()).collect();
    if found.is_empty() {
        let what = format!("has none of {}", names.join(", "));
        return Err(MigrateError::NotOurs { path: place.to_owned(), what });
    }
    Ok(found)
}

/// The last part of a path.
pub(super) fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The first octets of a file.
pub(super) fn begins_with(path: &Path) -> Result<Vec<u8>, MigrateError> {
    let mut octets = Vec::new();
    File::open(path).and_then(|file| file.take(64).read_to_end(&mut octets)).map_err(read_error(path))?;
    Ok(octets)
}

/// The text of a settings file. What is no UTF-8 in it is replaced.
pub(super) fn text(path: &Path) -> Result<String, MigrateError> {
    let mut octets = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut octets))
        .map_err(read_error(path))?;
    if octets.len() as u64 > LONGEST_FILE {
        let what = format!("has more than {} MiB", LONGEST_FILE >> 20);
        return Err(MigrateError::NotOurs { path: path.to_owned(), what });
    }
    if octets.contains(&0) {
        return Err(MigrateError::NotOurs { path: path.to_owned(), what: "is no text".to_owned() });
    }
    let text = String::from_utf8_lossy(&octets).into_owned();
    if let Some(line) = text.lines().position(|line| line.len() > LONGEST_LINE) {
        let what = format!("has more than {LONGEST_LINE} octets");
        return Err(MigrateError::Line { path: path.to_owned(), line: line + 1, what });
    }
    Ok(text)
}

/// The lines of a list: without comments and what surrounds them, each with where it stands.
pub(super) fn list(path: &Path) -> Result<Vec<(String, String)>, MigrateError> {
    let text = text(path)?;
    let lines = text.lines().enumerate().map(|(number, line)| {
        let content = line.split('#').next().unwrap_or_default().trim();
        (format!("{}:{}", path.display(), number + 1), content.to_owned())
    });
    Ok(lines.filter(|(_, content)| !content.is_empty()).collect())
}
