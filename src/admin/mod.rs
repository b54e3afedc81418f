//! The admin interface: JSON over HTTP/1.1, on loopback and a unix socket, for the operator and its programs.
//!
//! | module | tells |
//! | --- | --- |
//! | [`server`] | connections: how many, how long, how much |
//! | [`gate`] | who may ask, and who may change something |
//! | [`token`] | the secret that changes need over TCP |
//! | [`routes`] | what can be asked; a new route begins there |
//! | [`pipe`] | what is too long for one piece, on its way between a thread and a body |
//! | [`reply`] | answers and errors |
//! | [`client`] | the other end, which the command line uses |
//!
//! Invariant: it never stands in the way of mail. It waits for no lock that a verdict needs longer than for some
//! microseconds, what takes longer runs elsewhere, and when it cannot listen the daemon serves mail without it.
//!
//! Bounds: connections for each socket, followers of the log, octets of header and body, the time for a header, an
//! answer and a reader that stops reading.
//!
//! Known limit: without TLS. Who wants it from afar puts a proxy before it and names the host in `[admin] hosts`.

pub(crate) mod client;
mod gate;
pub(crate) mod pipe;
mod reply;
mod routes;
mod server;
mod token;

pub(crate) use routes::{explain, log, mode, overrides, status, top};

use crate::address::Address;
use crate::config::{Config, DEFAULT_SOCKET, SocketAccess};
use crate::daemon::Listening;
use crate::engine::Engine;
use crate::sockets::{self, BindError, Bound};
use crate::store::Store;
use axum::Router;
use gate::Guard;
use policy_core::time::Timestamp;
use server::Peer;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use token::Token;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{error, info};

/// Who may follow the log at a time, of either kind.
const FOLLOWERS: usize = 16;

/// Room for who follows the log. Any user of this host may over TCP, so the operator's unix socket has places of its own.
#[derive(Debug)]
pub(crate) struct Followers {
    tcp: Arc<Semaphore>,
    unix: Arc<Semaphore>,
}

impl Default for Followers {
    fn default() -> Self {
        let places = || Arc::new(Semaphore::new(FOLLOWERS));
        Self { tcp: places(), unix: places() }
    }
}

impl Followers {
    /// A place, if there is one.
    fn place(&self, peer: &Peer) -> Option<OwnedSemaphorePermit> {
        let places = match peer {
            Peer::Tcp(_) => &self.tcp,
            Peer::Unix { .. } => &self.unix,
        };
        Arc::clone(places).try_acquire_owned().ok()
    }
}

/// What routes work with.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) engine: Engine,
    /// `None` when the state is not kept.
    pub(crate) store: Option<Store>,
    /// Where the state is kept.
    pub(crate) directory: Option<PathBuf>,
    /// The most octets that the state takes.
    pub(crate) memory: usize,
    /// When the daemon started.
    pub(crate) started: Timestamp,
    /// Every socket of the daemon.
    pub(crate) listening: Vec<Listening>,
    /// Connections that each socket of the policy service admits.
    pub(crate) policy_connections: usize,
    /// What each socket of the milter admits, and more; a reload changes it.
    pub(crate) milter_options: watch::Receiver<Arc<milter::Options>>,
    /// Says when the daemon is told to stop.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) followers: Followers,
    /// Room for one who visits a whole table.
    pub(crate) visitors: Arc<Semaphore>,
    /// Room for those who look through the deferral book and the latest decisions.
    pub(crate) explainers: Arc<Semaphore>,
}

/// The interface, before it serves.
pub(crate) struct Admin {
    bound: Vec<Bound>,
    guard: Arc<Guard>,
    connections: usize,
}

impl Admin {
    /// Binds what can be bound; what cannot is in the log, and no reason not to serve mail.
    pub(crate) fn bind(config: &Config) -> Self {
        let service = &config.admin;
        let bound: Vec<Bound> = service
            .listen
            .iter()
            .filter(|address| !is_left_out(address))
            .filter_map(|address| {
                told(in_some_group(&service.access, |access| sockets::bind(address, access)))
            })
            .collect();
        let token = match service.token.path(config.state.path()) {
            Some(path) if !bound.is_empty() => Token::of(&path)
                .inspect_err(|error| error!(%error, "no admin token, only the unix socket changes anything"))
                .ok(),
            _ => None,
        };
        let guard = Arc::new(Guard::new(token, service.hosts.clone(), service.feedback_users.clone()));
        Self { bound, guard, connections: service.connections }
    }

    /// Where it listens.
    pub(crate) fn listening(&self) -> impl Iterator<Item = Listening> {
        self.bound.iter().map(|bound| Listening { protocol: "admin", address: bound.address.clone() })
    }

    /// Serves until the desk's `stop` says so. A server that ends costs only itself.
    pub(crate) fn serve(self, desk: Desk) {
        let stop = desk.stop.clone();
        let router: Router = routes::all(Arc::new(desk), self.guard);
        for bound in self.bound {
            info!(protocol = "admin", address = %bound.address, "listening");
            tokio::spawn(server::serve(bound, router.clone(), self.connections, stop.clone()));
        }
    }
}

/// The socket of the default where the system has made no place for it: a daemon that somebody runs by hand.
pub(crate) fn is_left_out(address: &Address) -> bool {
    let Address::Unix(path) = address else { return false };
    path == Path::new(DEFAULT_SOCKET) && path.parent().is_some_and(|directory| !directory.exists())
}

/// A socket that cannot be given to a group keeps the daemon's own: root and the daemon's user still get in there, and
/// without it the operator would have no way to change anything. A mail server that is kept out of its socket is told
/// at the start instead.
fn in_some_group<B>(
    access: &SocketAccess,
    bind: impl Fn(&SocketAccess) -> Result<B, BindError>,
) -> Result<B, BindError> {
    match bind(access) {
        Err(error @ BindError::Access { .. }) if access.group.is_some() => {
            error!(%error, "the admin socket keeps the daemon's own group; is the daemon in that one?");
            bind(&SocketAccess { group: None, ..access.clone() })
        }
        bound => bound,
    }
}

fn told(bound: Result<Bound, BindError>) -> Option<Bound> {
    bound.inspect_err(|error| error!(%error, "the admin interface is not there")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Group;

    #[test]
    fn a_socket_that_cannot_be_given_to_its_group_keeps_its_own() {
        let group = Some(Group { name: "vmail".into(), id: 5000 });
        let named = SocketAccess { group, ..SocketAccess::default() };
        let address = Address::Unix("/run/a.sock".into());
        let bind = |access: &SocketAccess| match access.group {
            None => Ok(access.mode),
            Some(_) => Err(BindError::Access {
                address: address.clone(),
                what: "group vmail".into(),
                source: std::io::ErrorKind::PermissionDenied.into(),
            }),
        };
        assert_eq!(in_some_group(&named, bind).unwrap(), 0o660);
        let taken = |_: &SocketAccess| Err::<u32, _>(BindError::InUse(address.clone()));
        assert!(matches!(in_some_group(&named, taken), Err(BindError::InUse(_))));
    }
}
