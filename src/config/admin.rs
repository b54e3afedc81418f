//! The section of the admin interface: where it listens, whose word counts there.

use super::reader::{Section, Value};
use super::{SocketAccess, values};
use crate::address::Address;
use policy_core::name::DomainName;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where it listens besides loopback, if the directory exists.
pub const DEFAULT_SOCKET: &str = "/run/tempfail/admin.sock";
const PORT: u16 = 10423;
const AUTO: &str = "auto";
/// The token's file in the directory of the state.
const TOKEN_NAME: &str = "admin.token";
/// People and programs of the operator; each `log --follow` holds one.
const CONNECTIONS: usize = 32;

/// The admin interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminService {
    /// Where it listens; nowhere turns it off.
    pub listen: Vec<Address>,
    /// Who may connect to its unix sockets.
    pub access: SocketAccess,
    /// Where the token is that changes need.
    pub token: TokenFile,
    /// Names under which it may be asked, besides loopback's own.
    pub hosts: Vec<DomainName>,
    /// Connections at a time, on each socket.
    pub connections: usize,
    /// Users who may say what they think of mail, by number; `[feedback]` names them.
    pub feedback_users: Vec<u32>,
}

impl Default for AdminService {
    fn default() -> Self {
        let local = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
        Self {
            listen: vec![local, Address::Unix(DEFAULT_SOCKET.into())],
            access: SocketAccess::default(),
            token: TokenFile::default(),
            hosts: Vec::new(),
            connections: CONNECTIONS,
            feedback_users: Vec::new(),
        }
    }
}

/// Where the token is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenFile {
    /// Beside the state. Without a directory for it there is no token, and only a unix socket lets change things.
    #[default]
    Auto,
    /// There.
    At(PathBuf),
}

impl TokenFile {
    /// The file, when the state is kept in `state`.
    pub fn path(&self, state: Option<&Path>) -> Option<PathBuf> {
        match self {
            Self::Auto => state.map(|directory| directory.join(TOKEN_NAME)),
            Self::At(path) => Some(path.clone()),
        }
    }
}

/// Reads the section.
pub(super) fn section(mut section: Section<'_>, admin: &mut AdminService) {
    section.set("listen", &mut admin.listen, values::addresses);
    let outside = |address: &Address| address.tcp().is_some_and(|tcp| !tcp.ip().to_canonical().is_loopback());
    if admin.listen.iter().any(outside) {
        section
            .warn("listen", "the token crosses the network in the clear: let a proxy with TLS listen there");
    }
    section.set("socket_mode", &mut admin.access.mode, values::file_mode);
    section.set("socket_group", &mut admin.access.group, super::sections::group);
    section.set("token_file", &mut admin.token, |value: Value<'_>| {
        const EXPECTED: &str = "\"auto\" or a path that begins with /";
        match value.text(EXPECTED)? {
            AUTO => Ok(TokenFile::Auto),
            path if Path::new(path).is_absolute() => Ok(TokenFile::At(path.into())),
            _ => Err(value.unexpected(EXPECTED)),
        }
    });
    section.set("hosts", &mut admin.hosts, values::domains);
    section.set("connections", &mut admin.connections, |value| {
        values::whole(value, 1..=10_000).map(|number| number as usize)
    });
    section.finish();
}
