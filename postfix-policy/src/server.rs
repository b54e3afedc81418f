//! The server: one listening socket, a bounded number of connections, an orderly end.
//!
//! A connection over the limit is accepted and closed at once. Postfix then waits a second, tries once more and
//! goes on with its `default_action`; left in the queue of the socket, it would wait for its whole time-out.
//!
//! Shutdown: the socket is closed first. Connections go on being served for the grace period, because closing
//! one in the middle of an SMTP session costs its client a second; then each ends when it stands between two
//! requests. The time after the grace is bounded by [`Limits`] as any request is.

use crate::accept::{Listener, accept_all};
use policy_core::engine::Engine;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{debug, info};

/// A socket that is bound and listening.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A unix stream socket. Whoever bound it sees to its mode and removes it.
    Unix(UnixListener),
}

/// What a peer may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets in a line. Postfix bounds what a client can bring about at 2,048 (`line_length_limit`).
    pub line: usize,
    /// Octets in a request.
    pub request: usize,
    /// Attributes in a request. Postfix sends about 30.
    pub attributes: usize,
    /// Connections at a time, over all peers of this socket. Postfix opens one for each SMTP server process
    /// and each differently written `check_policy_service`.
    pub connections: usize,
    /// Time between requests. Postfix keeps a connection for up to 1,000 s (`smtpd_policy_service_max_ttl`),
    /// and pays a second when it finds it closed in the middle of a session.
    pub idle: Duration,
    /// Time from a request's first octet to its last, and for the peer to take its answer.
    pub request_time: Duration,
    /// Time for the engine to decide; `DUNNO` after it.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 8 * 1024,
            request: 64 * 1024,
            attributes: 100,
            connections: 1000,
            idle: Duration::from_secs(1200),
            request_time: Duration::from_secs(10),
            answer: Duration::from_secs(4),
        }
    }
}

/// Serves `socket` until `shutdown` resolves, and returns when the last connection has ended.
///
/// Dropping the future closes the socket, and each connection as soon as it stands between two requests.
pub async fn serve<E: Engine>(
    socket: Socket,
    engine: E,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
    grace: Duration,
) {
    match socket {
        Socket::Tcp(listener) => run(listener, engine, limits, shutdown, grace).await,
        Socket::Unix(listener) => run(listener, engine, limits, shutdown, grace).await,
    }
}

async fn run<E: Engine>(
    listener: impl Listener,
    engine: E,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
    grace: Duration,
) {
    let room = u32::try_from(limits.connections.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let permits = Arc::new(Semaphore::new(room as usize));
    let (close, closing) = watch::channel(false);
    tokio::select! {
        () = accept_all(&listener, engine, limits, &permits, closing) => {}
        () = shutdown => {}
    }
    drop(listener);
    debug!("no more connections are accepted");
    // All permits are back when no connection is left. The semaphore is never closed.
    if timeout(grace, permits.acquire_many(room)).await.is_err() {
        let left = room as usize - permits.available_permits();
        info!(connections = left, "grace is over, closing connections");
        close.send_replace(true);
        drop(permits.acquire_many(room).await);
    }
}
