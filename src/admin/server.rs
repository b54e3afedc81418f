//! Connections of the admin interface: how many, for how long, with how much.
//!
//! A connection too many is closed at once. One that does not get its header done, does not take its answer, or says
//! nothing between two requests is closed when its time is over; so nobody who only holds connections open keeps the
//! operator out for longer than that. `accept` never ends the server.

use crate::sockets::{Bound, Listener};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};

/// From the end of a request to the end of the next one's header, and from the beginning to the first.
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// A reader that takes nothing for this long is gone.
const TAKE_WITHIN: Duration = Duration::from_secs(30);
/// Octets of a request's header, and fields in it.
const HEADER_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;
/// What is being answered at shutdown has this long.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);
/// Least time between two lines about connections that were too many.
const TELL_EACH: Duration = Duration::from_secs(10);

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    /// Process and user, where the system tells.
    Unix {
        pid: Option<i32>,
        uid: Option<u32>,
    },
}

impl Peer {
    /// Whether it is on this host.
    pub(super) fn is_here(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }

    /// Where it is, without the port, which means nothing to anybody.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Tcp(address) => IpAddr::to_canonical(&address.ip()).to_string(),
            Self::Unix { .. } => self.to_string(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { pid: Some(pid), uid: Some(uid) } => write!(f, "unix:uid={uid},pid={pid}"),
            Self::Unix { uid: Some(uid), .. } => write!(f, "unix:uid={uid}"),
            Self::Unix { .. } => f.write_str("unix"),
        }
    }
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

async fn accept(listener: &Listener) -> io::Result<(Box<dyn Stream>, Peer)> {
    match listener {
        Listener::Tcp(tcp) => {
            let (stream, address) = tcp.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream), Peer::Tcp(address)))
        }
        Listener::Unix(unix) => {
            let (stream, _) = unix.accept().await?;
            let credentials = stream.peer_cred().ok();
            let pid = credentials.and_then(|credentials| credentials.pid());
            Ok((Box::new(stream), Peer::Unix { pid, uid: credentials.map(|credentials| credentials.uid()) }))
        }
    }
}

/// Serves one socket until told to stop, and for a moment more what is being answered.
pub(super) async fn serve(bound: Bound, router: Router, connections: usize, mut stop: watch::Receiver<bool>) {
    let Bound { listener, file, address } = bound;
    let permits = Arc::new(Semaphore::new(connections));
    let told = stop.clone();
    tokio::select! {
        () = accept_all(&listener, &router, &permits, told) => {}
        () = stopped(&mut stop) => {}
    }
    drop((listener, file));
    let all = u32::try_from(connections).unwrap_or(u32::MAX);
    if timeout(LAST_ANSWERS, permits.acquire_many(all)).await.is_err() {
        debug!(%address, "admin connections cut");
    }
}

/// Told to stop, or dropped, which is no different.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn accept_all(
    listener: &Listener,
    router: &Router,
    permits: &Arc<Semaphore>,
    stop: watch::Receiver<bool>,
) {
    let mut refused = Refused::default();
    loop {
        match accept(listener).await {
            Ok((stream, peer)) => match Arc::clone(permits).try_acquire_owned() {
                Ok(permit) => {
                    let router = router.clone().layer(Extension(peer.clone()));
                    tokio::spawn(serve_one(stream, peer, router, permit, stop.clone()));
                }
                Err(_) => {
                    if let Some(times) = refused.due(Instant::now()) {
                        warn!(%peer, times, "too many admin connections, closed at once");
                    }
                }
            },
            Err(error) => {
                debug!(%error, "cannot accept an admin connection, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Connections that were too many, told at most once in [`TELL_EACH`]: whoever may connect must not fill the log.
#[derive(Default)]
struct Refused {
    last: Option<Instant>,
    times: u64,
}

impl Refused {
    /// One more; how many there were since the last line, when another is due.
    fn due(&mut self, now: Instant) -> Option<u64> {
        self.times += 1;
        let due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= TELL_EACH);
        due.then(|| {
            self.last = Some(now);
            std::mem::take(&mut self.times)
        })
    }
}

async fn serve_one(
    stream: Box<dyn Stream>,
    peer: Peer,
    router: Router,
    permit: OwnedSemaphorePermit,
    mut stop: watch::Receiver<bool>,
) {
    let mut stream = TimeoutStream::new(Box::into_pin(stream));
    stream.set_write_timeout(Some(TAKE_WITHIN));
    let io = TokioIo::new(Box::pin(stream));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .max_buf_size(HEADER_MAX)
        .max_headers(FIELDS_MAX);
    let mut connection = std::pin::pin!(http.serve_connection(io, TowerToHyperService::new(router)));
    let mut ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = stopped(&mut stop) => None,
    };
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        ended = timeout(LAST_ANSWERS, connection).await.ok();
    }
    if let Some(Err(error)) = ended {
        debug!(%peer, %error, "admin connection broken off");
    }
    drop(permit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_connections_is_one_line_at_a_time() {
        let mut refused = Refused::default();
        let start = Instant::now();
        assert_eq!(refused.due(start), Some(1));
        assert_eq!((0..9).filter_map(|_| refused.due(start)).count(), 0);
        assert_eq!(refused.due(start + TELL_EACH), Some(10));
    }
}
