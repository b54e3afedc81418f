//! The octets of one connection: acknowledged at once, counted while open, and not waited for for ever.
//!
//! Postfix writes small packets and leaves Nagle's algorithm on: a write that gets no reply (macros before
//! DATA, an abort) is followed by the next one only when it has been acknowledged, and an acknowledgement
//! that waits for a reply to ride on waits 40 ms. So what is read is acknowledged at once, and what is written
//! is sent at once. Acknowledging at once is known to Linux only; elsewhere a message may take 40 ms longer.

use crate::open::Guard;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Octets of the shortest first packet, option negotiation: length, command, and three numbers.
const FIRST_PACKET: usize = 4 + 1 + 12;

/// A TCP connection on which neither side waits for an acknowledgement.
#[derive(Debug)]
pub(crate) struct Prompt(TcpStream);

impl Prompt {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // It can only fail on a connection that is gone already, as the first read will tell.
        let _ = stream.set_nodelay(true);
        Self(stream)
    }

    /// Sends the acknowledgement that is due. The system forgets the option, so it is set after each read.
    fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        let _ = self.0.set_quickack(true);
    }
}

impl AsyncRead for Prompt {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.0).poll_read(cx, buf));
        this.acknowledge();
        Poll::Ready(result)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// A connection that is counted while it is open, and fails when its first packet does not come in time.
pub(crate) struct Stream<S> {
    io: S,
    /// Until the first packet is there.
    deadline: Option<Pin<Box<Sleep>>>,
    heard: usize,
    _open: Guard,
}

impl<S> Stream<S> {
    /// Starts the wait for the first packet.
    pub(crate) fn new(io: S, open: Guard, first_packet: Duration) -> Self {
        Self { io, deadline: Some(Box::pin(sleep(first_packet))), heard: 0, _open: open }
    }

    fn hear(&mut self, octets: usize) {
        self.heard = self.heard.saturating_add(octets);
        if self.heard >= FIRST_PACKET {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.io).poll_read(cx, buf) {
            this.hear(buf.filled().len().saturating_sub(before));
            return Poll::Ready(result);
        }
        let Some(deadline) = &mut this.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(cx));
        tracing::debug!("connection closed, its first packet did not come in time");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::Open;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    #[cfg(target_os = "linux")]
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(10), what).await.expect("did not happen in time")
    }

    /// Without both options a message took 40 ms longer with Postfix.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn neither_side_waits_for_an_acknowledgement() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = Prompt::new(listener.accept().await.unwrap().0);
        assert!(stream.0.nodelay().unwrap());
        stream.0.set_quickack(false).unwrap();
        peer.write_all(b"x").await.unwrap();
        soon(stream.read_exact(&mut [0])).await.unwrap();
        assert!(stream.0.quickack().unwrap());
    }

    #[tokio::test]
    async fn the_first_packet_must_come_in_time_and_whole() {
        let (mut peer, stream) = duplex(64);
        let guard = Open::new(Default::default()).enter(1).unwrap();
        let mut stream = Stream::new(stream, guard, Duration::from_millis(20));
        peer.write_all(&[0; FIRST_PACKET - 1]).await.unwrap();
        let mut packet = [0; FIRST_PACKET];
        let error = soon(stream.read_exact(&mut packet)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn after_the_first_packet_a_peer_may_be_silent() {
        let (mut peer, stream) = duplex(64);
        let guard = Open::new(Default::default()).enter(1).unwrap();
        let mut stream = Stream::new(stream, guard, Duration::ZERO);
        peer.write_all(&[0; FIRST_PACKET + 1]).await.unwrap();
        soon(stream.read_exact(&mut [0; FIRST_PACKET + 1])).await.unwrap();
        assert!(stream.deadline.is_none());
    }
}
