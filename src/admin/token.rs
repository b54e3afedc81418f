//! The token: who can read its file may change things over TCP.
//!
//! Made at the first start from 256 random bits, readable by the daemon's user alone. It is compared in constant time
//! and never written anywhere else.

use getrandom::Error as RandomError;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tracing::{info, warn};

/// Shortest and longest token, in characters. What is made has 64.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=256;

/// Why there is no token.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    /// The file cannot be read or made.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// It holds something else.
    #[error("{}: not a token; one line of {} to {} printable ASCII characters is", path.display(), LENGTH.start(), LENGTH.end())]
    Malformed { path: PathBuf },
    /// The system gives no random numbers.
    #[error("no random numbers to be had: {0}")]
    Random(RandomError),
}

/// A secret.
#[derive(Clone)]
pub(crate) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// The token of a file; the file is made when it does not exist, or was left empty by a full disk.
    pub(crate) fn of(path: &Path) -> Result<Self, TokenError> {
        match Self::read(path) {
            Err(TokenError::File { source, .. }) if source.kind() == ErrorKind::NotFound => Self::make(path),
            Err(TokenError::Malformed { .. }) if path.metadata().is_ok_and(|file| file.len() == 0) => {
                Self::make(path)
            }
            read => read,
        }
    }

    /// The token of a file.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        // Opening a FIFO would wait for whoever writes to it.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(std::io::Error::other("not a regular file")));
        }
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode();
        if mode & 0o007 != 0 {
            warn!(file = %path.display(), "everybody on this host may read the admin token");
        }
        let mut text = String::new();
        // One more than the longest and its line end, so that a longer one is seen to be longer.
        file.take(*LENGTH.end() as u64 + 3).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim_end();
        let printable = token.bytes().all(|b| b.is_ascii_graphic());
        if !printable || !LENGTH.contains(&token.len()) {
            return Err(TokenError::Malformed { path: path.to_owned() });
        }
        Ok(Self(token.to_owned()))
    }

    fn make(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(TokenError::Random)?;
        let token: String = random.iter().map(|octet| format!("{octet:02x}")).collect();
        // Whole or not at all.
        let new = path.with_added_extension("new");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(failed)?;
        file.write_all(format!("{token}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&new, path).map_err(failed)?;
        info!(file = %path.display(), "admin token made");
        Ok(Self(token))
    }

    /// Whether this is it. Takes as long whatever differs.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }

    /// As it is shown.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_has_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        for path in [&path, dir.path()] {
            let error = Token::of(path).unwrap_err().to_string();
            assert!(
                error.contains("not a regular file") && error.contains(&path.display().to_string()),
                "{error}"
            );
        }
    }

    #[test]
    fn a_token_is_made_once_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let made = Token::of(&path).unwrap();
        let again = Token::of(&path).unwrap();
        assert!(made.is(again.0.as_bytes()) && made.0.len() == 64);
        assert!(!made.is(b"") && !made.is(&again.0.as_bytes()[1..]));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(!format!("{made:?}").contains(&again.0));
    }

    #[test]
    fn a_file_that_a_full_disk_left_empty_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        std::fs::write(&path, "").unwrap();
        let made = Token::of(&path).unwrap();
        assert!(made.is(Token::read(&path).unwrap().0.as_bytes()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_token_is_told_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        for text in [" ", "short\n", "two words of a token\n", &"x".repeat(300)] {
            std::fs::write(&path, text).unwrap();
            let error = Token::of(&path).unwrap_err().to_string();
            assert!(error.contains("admin.token: not a token; one line of 16 to 256"), "{error}");
        }
        let error = Token::of(&path.join("below")).unwrap_err().to_string();
        assert!(error.contains("admin.token/below: Not a directory"), "{error}");
    }
}
