//! Accepting connections, whatever the kernel says.
//!
//! An error of `accept` never ends the server: it is out of file descriptors or memory, and will not be for
//! ever. The pauses between attempts double from 10 ms to a second. Failures, and connections over the limit,
//! are logged at most once in ten seconds, with how often they happened; of the latter a flood that is over is told too.
//!
//! Known limit: a connection that ends badly is logged each time; how often that is, is up to its peer.

use crate::connection::{Connection, Ending};
use crate::server::Limits;
use policy_core::connections::Open;
use policy_core::engine::Engine;
use policy_core::facts::FrontEnd;
use policy_core::seldom::Seldom;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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

    /// Nothing is lost when the future is dropped before.
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
    let (mut failed, mut refused) = (Seldom::default(), Seldom::default());
    let counted = engine.connections(FrontEnd::Policy);
    // Of the latest: of a flood one is mostly as good as another.
    let mut from = None;
    let too_many = |peer: Option<Peer>, times| {
        let peer = peer.map(tracing::field::display);
        warn!(peer, limit = limits.connections, times, "too many connections, closed at once")
    };
    loop {
        // A flood that is over is told too.
        let due = refused.due();
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sleep_until(due.map_or_else(Instant::now, Instant::from_std)), if due.is_some() => {
                too_many(from, refused.tell(now()));
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = SHORTEST_PAUSE;
                match Arc::clone(permits).try_acquire_owned() {
                    Ok(permit) => {
                        let connection = Connection::new(stream, engine.clone(), limits, closing.clone());
                        tokio::spawn(serve_one(connection, peer, (permit, counted.enter())));
                    }
                    Err(_) => {
                        counted.refuse();
                        from = Some(peer);
                        refused.happened(now()).into_iter().for_each(|times| too_many(from, times));
                    }
                }
            }
            Err(error) if is_of_one_connection(&error) => debug!(%error, "connection lost before accept"),
            Err(error) => {
                if let Some(times) = failed.happened(now()) {
                    warn!(%error, times, "cannot accept connections, trying again");
                }
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn serve_one<S, E>(connection: Connection<S, E>, peer: Peer, room: (OwnedSemaphorePermit, Open))
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
    drop(room);
}

/// Whether the error speaks of the connection that was waiting, and the next may be well.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
