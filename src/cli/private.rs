//! A file for its owner alone, there whole or not at all: what was there before stays until then.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is being written beside its place.
pub(super) struct PrivateFile {
    path: PathBuf,
    new: PathBuf,
    file: BufWriter<File>,
}

impl PrivateFile {
    /// Begins it.
    ///
    /// # Errors
    ///
    /// Nothing can be written to the directory.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let new = path.with_added_extension("new");
        // Of one that was cut short. Whoever else may write to the directory can put a link there, which is not
        // followed: it is removed, and the file must not be there afterwards.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        Ok(Self { path: path.to_owned(), new, file: BufWriter::new(file) })
    }

    /// Puts it in its place.
    ///
    /// # Errors
    ///
    /// It cannot be written, or not put there. What was there is still there.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.new, &self.path)
    }
}

impl Write for PrivateFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        // Gone already when it has its place.
        let _ = fs::remove_file(&self.new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn it_is_for_its_owner_and_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("x.jsonl"), dir.path().join("other"));
        fs::write(&path, "before").unwrap();
        fs::write(&other, "another's").unwrap();
        symlink(&other, dir.path().join("x.jsonl.new")).unwrap();
        let mut file = PrivateFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        let mut file = PrivateFile::create(&path).unwrap();
        file.write_all(b"after").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&other).unwrap(), "another's");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(PrivateFile::create(Path::new("/nonexistent/x")).is_err());
    }
}
