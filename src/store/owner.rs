//! Whose a directory's files are: what root writes into it while the daemon is stopped belongs to its owner afterwards.
//!
//! Without that the daemon could not open what is its own, would set it aside at the next start and begin anew. The
//! unit's `StateDirectory=` gives a directory back only when it is itself somebody else's, not what is in it.
//!
//! Known limit: a name is looked up again when its owner is set, so whoever owns the directory has to be trusted not to
//! move things about in it meanwhile. Links are not followed.

use super::StoreError;
use super::directory::is_of_a_state;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

/// A user and a group, by number.
type Owner = (u32, u32);

/// Does some work in a directory, and gives what is in it to its owner afterwards, whatever became of the work.
pub(super) fn kept<T, E: From<StoreError>>(
    directory: &Path,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let done = work();
    let given = if nix::unistd::geteuid().is_root() { give_back(directory) } else { Ok(()) };
    let done = done?;
    given?;
    Ok(done)
}

fn give_back(directory: &Path) -> Result<(), StoreError> {
    let (user, group) = match directory.metadata() {
        Ok(about) => (about.uid(), about.gid()),
        // Nothing was written either.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StoreError::Unusable { directory: directory.to_owned(), source }),
    };
    give_own(directory, (user, group)).map_err(|source| StoreError::Owner {
        directory: directory.to_owned(),
        user,
        group,
        source,
    })
}

/// What the store writes, and nothing else: the directory may be another than was meant.
fn give_own(directory: &Path, owner: Owner) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_of_a_state) {
            give(&entry.path(), owner)?;
        }
    }
    Ok(())
}

fn give(path: &Path, owner: Owner) -> io::Result<()> {
    let about = path.symlink_metadata()?;
    if (about.uid(), about.gid()) != owner {
        lchown(path, Some(owner.0), Some(owner.1))?;
    }
    if about.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const DAEMON: Owner = (12_345, 12_346);

    fn not_given(directory: &Path) -> Vec<PathBuf> {
        let about = |path: &Path| path.symlink_metadata().unwrap();
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| {
                let below = if about(&path).is_dir() { not_given(&path) } else { Vec::new() };
                let own = Some(path).filter(|path| (about(path).uid(), about(path).gid()) != DAEMON);
                below.into_iter().chain(own)
            })
            .collect()
    }

    /// Only root can give anything away.
    fn directory() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        lchown(dir.path(), Some(DAEMON.0), Some(DAEMON.1)).unwrap();
        dir
    }

    #[test]
    fn what_root_writes_is_the_directorys_owners() {
        let dir = directory();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let write = || {
            std::fs::create_dir_all(dir.path().join("pages/0")).unwrap();
            std::fs::write(dir.path().join("pages/0/of"), "x").unwrap();
            std::os::unix::fs::symlink(outside.path(), dir.path().join("pages/link")).unwrap();
            Ok::<_, StoreError>(7)
        };
        assert_eq!(kept(dir.path(), write).unwrap(), 7);
        assert_eq!(not_given(dir.path()), [""; 0].map(PathBuf::from));
        assert_eq!(outside.path().metadata().unwrap().uid(), 0, "links are not followed");
    }

    #[test]
    fn what_is_not_of_a_state_keeps_its_owner() {
        let dir = directory();
        for name in ["mysql", "unread-1", "head"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        kept(dir.path(), || Ok::<_, StoreError>(())).unwrap();
        assert_eq!(not_given(dir.path()), [dir.path().join("mysql")]);
    }

    #[test]
    fn what_failed_leaves_nothing_of_roots_either() {
        let dir = directory();
        let fail = || {
            std::fs::write(dir.path().join("lock"), "1").unwrap();
            Err::<(), _>(StoreError::Thread(ErrorKind::Other.into()))
        };
        assert!(matches!(kept(dir.path(), fail), Err(StoreError::Thread(_))));
        assert_eq!(not_given(dir.path()), [""; 0].map(PathBuf::from));
        let nowhere = dir.path().join("nowhere");
        assert!(kept(&nowhere, || Ok::<_, StoreError>(())).is_ok());
    }

    #[test]
    fn an_owner_that_cannot_be_set_is_told_with_what_to_do() {
        let error = StoreError::Owner {
            directory: "/var/lib/tempfail".into(),
            user: 998,
            group: 997,
            source: ErrorKind::PermissionDenied.into(),
        };
        assert_eq!(
            error.to_string(),
            "/var/lib/tempfail: what was written cannot be given to the directory's owner (permission denied); do so \
             before the daemon starts, which could not read it: chown -R 998:997 /var/lib/tempfail"
        );
    }
}
