//! Accepting connections, whatever the kernel says.
//!
//! An error of `accept` never ends the server: it is out of file descriptors or memory, and will not be for
//! ever. The pauses between attempts double from 10 ms to a second. Failures, and connections over the limit,
//! are logged at most once in ten seconds, with how often they happened.
//!
//! Known limit: a connection that ends badly is logged each time; how often that is, is up to its peer.

use crate::connection::{Connection, Ending};
use crate::server::Limits;
use policy_core::engine::Engine;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tracing::{debug, warn};

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Who is at the other end, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    /// Process and user at the other end of a unix socket, where the system tells.
    Unix {
        pid: Option<i32>,
        uid: Option<u32>,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { pid: Some(pid), uid: Some(uid) } => write!(f, "unix:pid={pid},uid={uid}"),
            Self::Unix { .. } => f.write_str("unix"),
        }
    }
}

/// What connections come from.
pub(crate) trait Listener: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = Self::accept(self).await?;
        // Without it the kernel may hold an answer back for the peer's delayed acknowledgement.
        stream.set_nodelay(true)?;
        Ok((stream, Peer::Tcp(address)))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = Self::accept(self).await?;
        let credentials = stream.peer_cred().ok();
        let peer = Peer::Unix { pid: credentials.and_then(|c| c.pid()), uid: credentials.map(|c| c.uid()) };
        Ok((stream, peer))
    }
}

/// Accepts and serves until dropped.
pub(crate) async fn accept_all<E: Engine>(
    listener: &impl Listener,
    engine: E,
    limits: Limits,
    permits: &Arc<Semaphore>,
    closing: watch::Receiver<bool>,
) {
    let mut pause = SHORTEST_PAUSE;
    let mut refused = Seldom::default();
    let mut failed = Seldom::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = SHORTEST_PAUSE;
                match Arc::clone(permits).try_acquire_owned() {
                    Ok(permit) => {
                        let connection = Connection::new(stream, engine.clone(), limits, closing.clone());
                        tokio::spawn(serve_one(connection, peer, permit));
                    }
                    Err(_) => refused.tell(|times| {
                        warn!(%peer, limit = limits.connections, times, "too many connections, closed at once")
                    }),
                }
            }
            Err(error) if is_of_one_connection(&error) => debug!(%error, "connection lost before accept"),
            Err(error) => {
                failed.tell(|times| warn!(%error, times, "cannot accept connections, trying again"));
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn serve_one<S, E>(connection: Connection<S, E>, peer: Peer, permit: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    E: Engine,
{
    match connection.run().await {
        ending @ (Ending::Closed | Ending::Idle | Ending::ShutDown) => {
            debug!(%peer, reason = %ending, "policy connection ended");
        }
        ending => warn!(%peer, reason = %ending, "policy connection broken off"),
    }
    drop(permit);
}

/// Whether the error speaks of the connection that was waiting, and the next may be well.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}

/// Something that is told at most once in an interval, with how often it happened.
#[derive(Default)]
struct Seldom {
    last: Option<Instant>,
    times: u64,
}

impl Seldom {
    fn tell(&mut self, tell: impl FnOnce(u64)) {
        self.times += 1;
        let now = Instant::now();
        if self.last.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL) {
            tell(self.times);
            *self = Self { last: Some(now), times: 0 };
        }
    }
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
