//! Accepting connections, and giving up those that are too many or say nothing.
//!
//! The milter library stops for good at the first accept error and leaves connections above its own limit
//! unaccepted, so that the mail server waits for its whole time limit. So connections are accepted here, and
//! handed over through a channel. An error costs a pause that doubles up to a second; a connection too many
//! is closed at once. Both are logged at most once in ten seconds, with how often they happened.

use crate::open::Open;
use crate::options::Options;
use crate::stream::{Prompt, Stream};
use indymilter::EitherStream;
use policy_core::seldom::Seldom;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// Shortest and longest pause after an accept error.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix domain socket.
    Unix(UnixListener),
}

/// Where connections come from.
pub(crate) trait Accept {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The next connection, or why it was not to be had. Nothing is lost when it is dropped before.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Io>> + Send;
}

impl Accept for Socket {
    type Io = EitherStream<Prompt, UnixStream>;

    async fn accept(&mut self) -> io::Result<Self::Io> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(EitherStream::Tcp(Prompt::new(stream)))
            }
            Self::Unix(listener) => Ok(EitherStream::Unix(listener.accept().await?.0)),
        }
    }
}

/// Accepts for ever. Dropping the future closes the socket.
pub(crate) async fn admit<A: Accept>(
    mut source: A,
    open: Open,
    options: watch::Receiver<Arc<Options>>,
    admitted: mpsc::Sender<Stream<A::Io>>,
) {
    let (mut failed, mut refused) = (Seldom::default(), Seldom::default());
    let mut pause = PAUSE.0;
    loop {
        // A flood that is over is told too.
        let due = refused.due();
        let accepted = tokio::select! {
            accepted = source.accept() => accepted,
            () = sleep_until(due.map_or_else(Instant::now, Instant::from_std)), if due.is_some() => {
                tell_refused(&options, refused.tell(now()));
                continue;
            }
        };
        match accepted {
            Ok(io) => {
                pause = PAUSE.0;
                let limits = options.borrow().limits.clone();
                if let Some(guard) = open.enter(limits.connections) {
                    // An error says that the server has ended; then this future is about to be dropped.
                    let _ = admitted.send(Stream::new(io, guard, limits.first_packet)).await;
                } else if let Some(times) = refused.happened(now()) {
                    tell_refused(&options, times);
                }
            }
            Err(error) => {
                if let Some(times) = failed.happened(now()) {
                    tracing::warn!(%error, times, "cannot accept connections, trying again");
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn tell_refused(options: &watch::Receiver<Arc<Options>>, times: u64) {
    let limit = options.borrow().limits.connections;
    tracing::warn!(limit, times, "too many connections, closed at once");
}

/// The receiving end of [`admit`], as the library wants it. It never fails, so the library never stops.
pub(crate) struct Arrivals<S>(pub(crate) mpsc::Receiver<Stream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> indymilter::Listener for Arrivals<S> {
    type Io = Stream<S>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Io>> {
        match ready!(self.0.poll_recv(cx)) {
            Some(stream) => Poll::Ready(Ok(stream)),
            // No more will come; the library waits for its shutdown signal beside this.
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::time::timeout;

    /// Gives what it holds, one after another, and then nothing more.
    struct Script(VecDeque<io::Result<DuplexStream>>);

    impl Accept for Script {
        type Io = DuplexStream;

        async fn accept(&mut self) -> io::Result<DuplexStream> {
            match self.0.pop_front() {
                Some(result) => result,
                None => std::future::pending().await,
            }
        }
    }

    fn start(
        script: Vec<io::Result<DuplexStream>>,
        connections: usize,
    ) -> (mpsc::Receiver<Stream<DuplexStream>>, Open) {
        let mut options = Options::default();
        options.limits.connections = connections;
        let (open, (admitted, arrivals)) = (Open::new(Arc::default()), mpsc::channel(8));
        let (sender, options) = watch::channel(Arc::new(options));
        let accepting = admit(Script(script.into()), open.clone(), options, admitted);
        tokio::spawn(async move {
            accepting.await;
            drop(sender);
        });
        (arrivals, open)
    }

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(10), what).await.expect("did not happen in time")
    }

    /// EMFILE and ECONNABORTED end the milter library's own accept loop.
    #[tokio::test]
    async fn accept_errors_are_survived() {
        let (peer, stream) = duplex(64);
        let failures = [24, 23, 103].map(|code| Err(io::Error::from_raw_os_error(code)));
        let script = failures.into_iter().chain([Ok(stream)]).collect();
        let (mut arrivals, open) = start(script, 1);
        let stream = soon(arrivals.recv()).await;
        assert!(stream.is_some());
        assert_eq!(open.count(), 1);
        drop(peer);
    }

    #[tokio::test]
    async fn a_connection_too_many_is_closed_at_once() {
        let (streams, mut peers): (Vec<_>, Vec<_>) =
            (0..3).map(|_| duplex(64)).map(|(a, b)| (Ok(a), b)).unzip();
        let (mut arrivals, open) = start(streams, 2);
        let _first = soon(arrivals.recv()).await;
        let _second = soon(arrivals.recv()).await;
        assert_eq!(soon(peers[2].read(&mut [0])).await.unwrap(), 0);
        assert_eq!(open.count(), 2);
    }
}
