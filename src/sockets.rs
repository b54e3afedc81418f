//! Binding sockets.
//!
//! The file of a unix socket that a dead process left behind is removed; one that somebody answers at, or
//! that is no socket, is left alone and the start fails. What this process made it removes again, unless
//! another process has put its own there meanwhile.
//!
//! Known limit: between bind and chmod the file has the mode that the umask leaves, so a mode narrower than
//! that is in force some microseconds late. Put the socket into a directory that only the mail server enters.

use crate::address::Address;
use crate::config::SocketAccess;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, UnixListener};

/// Connections that wait to be accepted. A busy mail server opens hundreds at once after a restart.
const BACKLOG: u32 = 1024;

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    /// The system says no.
    #[error("cannot listen on {address}: {source}")]
    System {
        /// The address.
        address: Address,
        /// Why not.
        source: io::Error,
    },
    /// Another process answers there.
    #[error("cannot listen on {0}: another process is listening there")]
    InUse(Address),
    /// The path is taken by something else.
    #[error("cannot listen on {0}: the file exists and is not a socket")]
    NotASocket(Address),
    /// Mode or group cannot be given to the socket.
    #[error("cannot set {what} of {address}: {source}")]
    Access {
        /// The address.
        address: Address,
        /// What was to be set.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

/// The listening half of a [`Bound`].
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket that is bound and listening.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Where; the port is the real one.
    pub(crate) address: Address,
    pub(crate) listener: Listener,
    /// The file behind it, removed on drop.
    pub(crate) file: Option<SocketFile>,
}

/// Binds an address. To be called on a runtime.
pub(crate) fn bind(address: &Address, access: &SocketAccess) -> Result<Bound, BindError> {
    match address {
        Address::Tcp(tcp) => bind_tcp(*tcp).map_err(|source| match source.kind() {
            ErrorKind::AddrInUse => BindError::InUse(address.clone()),
            _ => BindError::System { address: address.clone(), source },
        }),
        Address::Unix(path) => bind_unix(address, path, access),
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<Bound> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait until the connections of the run before have timed out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = Address::Tcp(listener.local_addr()?);
    Ok(Bound { address, listener: Listener::Tcp(listener), file: None })
}

fn bind_unix(address: &Address, path: &Path, access: &SocketAccess) -> Result<Bound, BindError> {
    let system = |source| BindError::System { address: address.clone(), source };
    remove_stale(address, path)?;
    let listener = UnixListener::bind(path).map_err(system)?;
    let file = SocketFile::of(path).map_err(system)?;
    give_access(address, path, access)?;
    Ok(Bound { address: address.clone(), listener: Listener::Unix(listener), file: Some(file) })
}

/// Removes a socket that nobody listens on any more.
fn remove_stale(address: &Address, path: &Path) -> Result<(), BindError> {
    let system = |source| BindError::System { address: address.clone(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(address.clone())),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse(address.clone())),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(system),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Its queue is full: somebody is there.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(BindError::InUse(address.clone())),
        Err(error) => Err(system(error)),
    }
}

/// The group first: with the mode first, the old group could connect meanwhile.
fn give_access(address: &Address, path: &Path, access: &SocketAccess) -> Result<(), BindError> {
    let failed = |what: String| move |source| BindError::Access { address: address.clone(), what, source };
    if let Some(group) = &access.group {
        let set = std::os::unix::fs::chown(path, None, Some(group.id));
        set.map_err(failed(format!("group {}", group.name)))?;
    }
    let set = fs::set_permissions(path, Permissions::from_mode(access.mode));
    set.map_err(failed(format!("mode {:04o}", access.mode)))
}

/// The file of a unix socket, removed on drop if it is still the same.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(&fs::symlink_metadata(path)?) })
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path).map(|found| identity(&found));
        if found.is_ok_and(|found| found == self.identity) {
            // The next start removes it otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: SocketAccess = SocketAccess { mode: 0o600, group: None };

    fn unix(dir: &tempfile::TempDir) -> (PathBuf, Address) {
        let path = dir.path().join("s.sock");
        (path.clone(), Address::Unix(path))
    }

    #[tokio::test]
    async fn a_stale_socket_makes_room_and_a_live_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (path, address) = unix(&dir);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = bind(&address, &ACCESS).unwrap();
        let error = bind(&address, &ACCESS).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on unix:{}: another process is listening there", path.display())
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(bound);
        assert!(!path.exists(), "it removes its own file");
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, address) = unix(&dir);
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&address, &ACCESS), Err(BindError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, address) = unix(&dir);
        let before = bind(&address, &ACCESS).unwrap();
        // The inode of a removed file may be given again at once; moved aside, it stays in use.
        fs::rename(&path, dir.path().join("aside")).unwrap();
        let after = bind(&address, &ACCESS).unwrap();
        drop(before);
        assert!(path.exists());
        drop(after);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn errors_name_the_address_and_the_reason() {
        let missing = Address::Unix("/nonexistent/s.sock".into());
        let error = bind(&missing, &ACCESS).unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on unix:/nonexistent/s.sock: No such file"), "{error}");
        let bound = bind(&"127.0.0.1:0".parse().unwrap(), &ACCESS).unwrap();
        let error = bind(&bound.address, &ACCESS).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {}: another process is listening there", bound.address)
        );
        let dir = tempfile::tempdir().unwrap();
        let access = SocketAccess {
            group: Some(crate::config::Group { name: "nobody-of-us".into(), id: u32::MAX - 1 }),
            ..ACCESS
        };
        // A process that may give any group away, as root may, has no error to show.
        if let Err(error) = bind(&unix(&dir).1, &access) {
            assert!(error.to_string().contains("cannot set group nobody-of-us of unix:"), "{error}");
        }
    }
}
