//! Databases of SQLite, through its own program, which is told to read only and to trust nothing in them.
//!
//! Bounds: a row has at most 64 KiB; rows are read as they come.

use super::{MigrateError, read_error};
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

const LONGEST_ROW: u64 = 64 << 10;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Whether these octets begin a database.
pub(super) fn is_database(begin: &[u8]) -> bool {
    begin.starts_with(MAGIC)
}

/// Visits the rows that a query has, each as a JSON object on its own.
pub(super) fn visit(path: &Path, query: &str, mut each: impl FnMut(&str)) -> Result<(), MigrateError> {
    let args = ["-init", "/dev/null", "-batch", "-readonly", "-safe", "-noheader", "-list"].map(OsStr::new);
    // Another program may be writing just now.
    let wait = ["-cmd", ".timeout 10000"].map(OsStr::new);
    let mut command = Command::new("sqlite3");
    command.args(args).args(wait).arg(std::path::absolute(path).map_err(read_error(path))?).arg(query);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => no_program(path),
        _ => read_error(path)(error),
    })?;
    let mut read = Ok(());
    if let Some(out) = child.stdout.take() {
        read = rows(BufReader::new(out), &mut each);
    }
    if read.is_err() {
        // It may be waiting for its output to be read.
        let _ = child.kill();
    }
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    let status = child.wait().map_err(read_error(path))?;
    let damaged = |why: String| MigrateError::Damaged { path: path.to_owned(), why };
    read.map_err(damaged)?;
    if status.success() {
        Ok(())
    } else {
        Err(damaged(said.lines().next().unwrap_or("its program failed").to_owned()))
    }
}

fn rows(mut lines: impl BufRead, each: &mut impl FnMut(&str)) -> Result<(), String> {
    for number in 1.. {
        let mut line = Vec::new();
        let read = lines.by_ref().take(LONGEST_ROW).read_until(b'\n', &mut line);
        read.map_err(|error| error.to_string())?;
        match line.pop() {
            Some(b'\n') => each(&String::from_utf8_lossy(&line)),
            Some(_) => return Err(format!("row {number} is cut off, or too long")),
            None => break,
        }
    }
    Ok(())
}

fn no_program(path: &Path) -> MigrateError {
    MigrateError::NoProgram {
        path: path.to_owned(),
        program: "sqlite3",
        package: "sqlite3",
        otherwise: "copy the database to a machine that has it",
    }
}
