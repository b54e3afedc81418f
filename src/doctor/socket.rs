//! Whether a mail server can reach a unix socket: it has to be there, and its user has to be let in.

use super::Finding;
use nix::unistd::{Group, User};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

const EXECUTE: u32 = 1;
const WRITE: u32 = 2;

/// A user of the system.
pub(super) struct Caller {
    name: String,
    uid: u32,
    gid: u32,
}

impl Caller {
    /// The user of this name, if there is one.
    pub(super) fn named(name: &str) -> Option<Self> {
        let user = User::from_name(name).ok()??;
        Some(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    fn is_in(&self, gid: u32) -> bool {
        let group = || Group::from_gid(gid.into()).ok().flatten();
        gid == self.gid || group().is_some_and(|group| group.mem.contains(&self.name))
    }

    fn may(&self, what: u32, file: &Metadata) -> bool {
        let shift = match () {
            () if self.uid == 0 => return true,
            () if file.uid() == self.uid => 6,
            () if self.is_in(file.gid()) => 3,
            () => 0,
        };
        file.mode() >> shift & what != 0
    }
}

/// What keeps `caller` from connecting to a socket. Where this process may not look, it says nothing.
pub(super) fn finding(path: &Path, caller: &Caller) -> Option<Finding> {
    let (at, name) = (path.display(), &caller.name);
    let told = |what: String, todo: &str| Some(Finding::new("socket", what, todo));
    let closed =
        |directory: &&Path| std::fs::metadata(directory).is_ok_and(|held| !caller.may(EXECUTE, &held));
    if let Some(directory) = path.ancestors().skip(1).find(closed) {
        let what = format!("{name} may not enter {}, where the socket {at} is", directory.display());
        return told(what, "let it in (chmod o+x), or choose another place");
    }
    match std::fs::metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            told(format!("{at} is no socket"), "remove it, and restart the daemon")
        }
        Ok(file) if !caller.may(WRITE, &file) => told(
            format!("{name} may not connect to {at} (mode {:04o})", file.mode() & 0o777),
            "set socket_mode = \"0660\" and socket_group = \"postfix\" in its section",
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            told(format!("there is no socket {at}"), "start the daemon, or compare its listen with this")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    fn nobody(uid: u32) -> Caller {
        Caller { name: "nobody".to_owned(), uid, gid: 65_534 }
    }

    #[test]
    fn what_keeps_a_user_out_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let path = dir.path().join("s");
        let what = |uid| finding(&path, &nobody(uid)).map(|finding| finding.what).unwrap_or_default();
        set(dir.path(), 0o755);
        assert!(what(65_534).starts_with("there is no socket "));
        std::fs::write(&path, "").unwrap();
        assert!(what(65_534).ends_with(" is no socket"));
        std::fs::remove_file(&path).unwrap();
        let _listener = UnixListener::bind(&path).unwrap();
        set(&path, 0o666);
        assert_eq!(what(65_534), "");
        set(&path, 0o600);
        assert!(what(65_534).ends_with("(mode 0600)"), "{}", what(65_534));
        assert_eq!(what(std::fs::metadata(&path).unwrap().uid()), "");
        set(&path, 0o666);
        set(dir.path(), 0o700);
        assert!(what(65_534).starts_with("nobody may not enter "));
    }
}
