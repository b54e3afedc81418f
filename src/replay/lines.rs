//! Lines of a recording, plain or gzip, counted and bounded.
//!
//! A line that is wrong is named with its file and its number. The last line may be torn, as a recording is
//! when its writer was stopped: it has no end, and a compressed file ends in the middle of its stream. Whoever
//! reads decides whether such a line still says something, and whether a line that is too long ends the reading:
//! no more than 64 KiB of it are held, and the next call passes over the rest.
//!
//! Known limit: of the compressions only gzip is read; the others are named with the command that unpacks
//! them.

use flate2::bufread::MultiGzDecoder;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Longest line that is read.
const MAX_LINE: u64 = 64 << 10;
/// Octets read at once.
const BUFFER: usize = 1 << 16;
/// What a gzip file begins with (RFC 1952 section 2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b];
/// What other compressed files begin with, and what unpacks them.
const PACKED: [(&[u8], &str); 3] =
    [(b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (&[0x28, 0xb5, 0x2f, 0xfd], "zstd")];

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be opened or read at all.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is compressed in a way that is not read.
    #[error("{}: compressed with {with}, which is not read here; unpack it with `{with} -dk`", file.display())]
    Packed {
        /// The file.
        file: PathBuf,
        /// What compressed it.
        with: &'static str,
    },
    /// A line cannot be read or understood.
    #[error("{}:{line}: {what}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As lines do.
    Whole,
    /// With the file: it is the last and may be torn.
    Torn,
    /// Where a compressed stream was cut off: what came after it is missing.
    Cut,
}

/// What is still to be passed over before the next line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    #[default]
    Nothing,
    /// The rest of a line that is too long.
    Line,
    /// The rest of a hole, in which a line may follow.
    Hole,
}

/// The lines of one file.
pub(super) struct Lines {
    file: PathBuf,
    reader: Box<dyn BufRead>,
    number: u64,
    line: Vec<u8>,
    rest: Rest,
    /// The compressed stream ended before its end.
    cut: bool,
}

impl Lines {
    /// Opens a file; what it holds is seen by its first octets, not by its name.
    pub(super) fn open(file: &Path) -> Result<Self, RecordingError> {
        let io = |source| RecordingError::Io { file: file.to_owned(), source };
        let mut opened = BufReader::with_capacity(BUFFER, File::open(file).map_err(io)?);
        let begin = opened.fill_buf().map_err(io)?;
        if let Some((_, with)) = PACKED.iter().find(|(magic, _)| begin.starts_with(magic)) {
            return Err(RecordingError::Packed { file: file.to_owned(), with });
        }
        let reader: Box<dyn BufRead> = if begin.starts_with(GZIP) {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(opened)))
        } else {
            Box::new(opened)
        };
        Ok(Self {
            file: file.to_owned(),
            reader,
            number: 0,
            line: Vec::new(),
            rest: Rest::Nothing,
            cut: false,
        })
    }

    /// Reads the next line, which [`Lines::text`] then gives; `None` at the end of the file.
    pub(super) fn advance(&mut self) -> Result<Option<End>, RecordingError> {
        self.line.clear();
        if self.cut {
            return Ok(None);
        }
        let rest = std::mem::take(&mut self.rest);
        self.number += u64::from(rest != Rest::Hole);
        match self.pass(rest).and_then(|()| self.read_line()) {
            Ok(()) => (),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.cut = true,
            Err(source) => return Err(self.failed(source)),
        }
        if self.cut {
            return Ok(Some(End::Cut));
        }
        if self.line.is_empty() {
            return Ok(None);
        }
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            self.line.pop_if(|last| *last == b'\r');
        } else if self.line.len() as u64 >= MAX_LINE {
            self.rest = if self.line.iter().all(|octet| *octet == 0) { Rest::Hole } else { Rest::Line };
        } else {
            return Ok(Some(End::Torn));
        }
        Ok(Some(End::Whole))
    }

    fn read_line(&mut self) -> io::Result<()> {
        (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.line).map(drop)
    }

    /// Passes over what is left of what was too long, keeping nothing of it.
    fn pass(&mut self, rest: Rest) -> io::Result<()> {
        match rest {
            Rest::Nothing => Ok(()),
            Rest::Line => self.reader.skip_until(b'\n').map(drop),
            Rest::Hole => self.pass_hole(),
        }
    }

    fn pass_hole(&mut self) -> io::Result<()> {
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            let (nuls, all) = (leading_nuls(buffer), buffer.len());
            self.reader.consume(nuls);
            if nuls < all || all == 0 {
                return Ok(());
            }
        }
    }

    /// The line as text.
    pub(super) fn text(&self) -> Result<&str, String> {
        self.bounded()?;
        std::str::from_utf8(&self.line)
            .map_err(|error| format!("not UTF-8 from octet {} on", error.valid_up_to() + 1))
    }

    /// The line as text, whatever it holds: programs log what clients said. A hole that a loss of power left before
    /// it, which reads as NULs, is no part of it; with one inside, two lines have become one.
    pub(super) fn logged(&self) -> Result<Cow<'_, str>, String> {
        self.bounded()?;
        let line = &self.line[leading_nuls(&self.line)..];
        if line.contains(&0) {
            return Err("NULs within the line".to_owned());
        }
        Ok(String::from_utf8_lossy(line))
    }

    fn bounded(&self) -> Result<(), String> {
        match self.rest {
            Rest::Nothing => Ok(()),
            Rest::Line => Err(format!("a line of more than {MAX_LINE} octets")),
            Rest::Hole => Err(format!("a hole of more than {MAX_LINE} NULs")),
        }
    }

    /// The line's number, counted from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// An error that names the line.
    pub(super) fn wrong(&self, what: impl Into<String>) -> RecordingError {
        RecordingError::Line { file: self.file.clone(), line: self.number, what: what.into() }
    }

    /// The file itself failed, or what compressed it was not what it seems.
    fn failed(&self, source: io::Error) -> RecordingError {
        match source.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                self.wrong(format!("the compressed stream is broken: {source}"))
            }
            _ => RecordingError::Io { file: self.file.clone(), source },
        }
    }
}

fn leading_nuls(octets: &[u8]) -> usize {
    octets.iter().position(|&octet| octet != 0).unwrap_or(octets.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    }

    /// All lines with their ends, or the error.
    fn read(content: &[u8]) -> Result<Vec<(String, End)>, String> {
        let file = file(content);
        let mut lines = Lines::open(file.path()).map_err(|error| error.to_string())?;
        let mut read = Vec::new();
        while let Some(end) = lines.advance().map_err(|error| error.to_string())? {
            let text = lines.text().map_err(|what| lines.wrong(what).to_string())?;
            read.push((text.to_owned(), end));
        }
        Ok(read)
    }

    #[test]
    fn lines_are_the_same_plain_compressed_and_from_windows() {
        let expected = Ok(vec![("a".to_owned(), End::Whole), ("b".to_owned(), End::Whole)]);
        assert_eq!(read(b"a\nb\n"), expected);
        assert_eq!(read(b"a\r\nb\r\n"), expected);
        assert_eq!(read(&gzip(b"a\nb\n")), expected);
        assert_eq!(read(&[gzip(b"a\n"), gzip(b"b\n")].concat()), expected, "rotated logs joined with cat");
        assert_eq!(read(b""), Ok(vec![]));
    }

    #[test]
    fn a_torn_last_line_is_told() {
        assert_eq!(read(b"a\nb").unwrap()[1], ("b".to_owned(), End::Torn));
        let noise: Vec<u8> =
            (0u32..4000).flat_map(|n| format!("{}\n", n.wrapping_mul(2_654_435_761)).into_bytes()).collect();
        let whole = gzip(&noise);
        let cut = read(&whole[..whole.len() / 2]).unwrap();
        assert!(cut.len() < 4000);
        assert!(cut.iter().rev().skip(1).all(|(_, end)| *end == End::Whole));
        assert_eq!(cut.last().map(|(_, end)| *end), Some(End::Cut));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut broken = gzip(&b"line\n".repeat(1000));
        let checksum = broken.len() - 8;
        broken[checksum] ^= 1;
        assert!(read(&broken).unwrap_err().contains(":1001: the compressed stream is broken"));
        assert!(read(&[b'x'; 70_000]).unwrap_err().contains(":1: a line of more than 65536 octets"));
        assert!(read(b"\xfd7zXZ\0...").unwrap_err().contains("unpack it with `xz -dk`"));
        let directory = tempfile::tempdir().unwrap();
        assert!(Lines::open(directory.path()).is_err_and(|error| error.to_string().contains("directory")));
        let bad = file(b"ok\nb\xffd\n");
        let mut lines = Lines::open(bad.path()).unwrap();
        lines.advance().unwrap();
        lines.advance().unwrap();
        assert_eq!(lines.text(), Err("not UTF-8 from octet 2 on".to_owned()));
    }

    /// What each line logged, or why it cannot be read, with its number.
    fn logged(content: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let file = file(content);
        let mut lines = Lines::open(file.path()).unwrap();
        let mut read = Vec::new();
        while lines.advance().unwrap().is_some() {
            assert!(lines.line.capacity() <= 2 * MAX_LINE as usize, "no more is held");
            read.push((lines.number(), lines.logged().map(Cow::into_owned)));
        }
        read
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_the_next_line_is_read() {
        let (long, hole) = ("x".repeat(1 << 20), "\0".repeat(1 << 20));
        let (a, b) = ((1, Ok("a".to_owned())), |line| (line, Ok("b".to_owned())));
        let too_long = || Err("a line of more than 65536 octets".to_owned());
        for content in [format!("a\n{long}\nb\n").into_bytes(), gzip(format!("a\n{long}\nb\n").as_bytes())] {
            assert_eq!(logged(&content), [a.clone(), (2, too_long()), b(3)]);
        }
        assert_eq!(logged(format!("a\n{long}").as_bytes()), [a.clone(), (2, too_long())]);
        let holed = logged(format!("a\n{hole}b\n").as_bytes());
        assert_eq!(holed, [a.clone(), (2, Err("a hole of more than 65536 NULs".to_owned())), b(2)]);
        assert_eq!(logged(format!("a\n{}b\n", &hole[..60_000]).as_bytes()), [a, b(2)]);
        assert_eq!(logged(b"a\0\0b\n"), [(1, Err("NULs within the line".to_owned()))]);
        let packed = gzip(format!("{long}\n").as_bytes());
        assert_eq!(logged(&packed[..packed.len() - 12]).len(), 2, "cut off while it is passed over");
    }
}
