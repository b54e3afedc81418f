//! Between a thread that blocks and a body of HTTP: lines on their way out of here, or in.
//!
//! Invariant: what ends early ends with an error at the other side too, and never as if it were whole.
//!
//! Bounds: four parts of 64 KiB are on their way; who writes waits for who reads.

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Bytes, Frame};
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

const PART: usize = 64 << 10;
const ON_THE_WAY: usize = 4;

enum Part {
    Octets(Bytes),
    /// That was all.
    End,
}

/// The end that a thread writes to.
pub(crate) struct Inlet {
    parts: Sender<Part>,
    buffer: Vec<u8>,
}

/// The body that comes of it.
pub(crate) struct Outlet {
    parts: Receiver<Part>,
    ended: bool,
}

/// A body and the end to write to.
pub(crate) fn outgoing() -> (Inlet, Outlet) {
    let (sender, parts) = channel(ON_THE_WAY);
    (Inlet { parts: sender, buffer: Vec::with_capacity(PART) }, Outlet { parts, ended: false })
}

impl Inlet {
    fn send(&self, part: Part) -> io::Result<()> {
        self.parts.blocking_send(part).map_err(|_| ErrorKind::BrokenPipe.into())
    }

    /// Says that this was all. Without it the other side hears of an error.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.send(Part::End)
    }
}

impl Write for Inlet {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(octets);
        if self.buffer.len() >= PART {
            self.flush()?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(PART));
        self.send(Part::Octets(full.into()))
    }
}

impl HttpBody for Outlet {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let part = ready!(self.parts.poll_recv(context));
        self.ended = !matches!(part, Some(Part::Octets(_)));
        Poll::Ready(match part {
            Some(Part::Octets(octets)) => Some(Ok(Frame::data(octets))),
            Some(Part::End) => None,
            None => Some(Err(cut_off())),
        })
    }
}

fn cut_off() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "it was cut off")
}

/// What a thread reads a body through.
pub(crate) struct Arriving {
    parts: Receiver<Part>,
    octets: Bytes,
    ended: bool,
}

/// A reader of a body, which is taken to its end even if nobody reads any more: who sends hears what was wrong. What has
/// not come within this time is cut off, so that nobody waits for a sender that hangs.
pub(crate) fn arriving(body: Body, within: Duration) -> Arriving {
    let (sender, parts) = channel(ON_THE_WAY);
    tokio::spawn(timeout(within, forward(body, sender)));
    Arriving { parts, octets: Bytes::new(), ended: false }
}

async fn forward(mut body: Body, parts: Sender<Part>) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        if let Ok(octets) = frame.into_data() {
            // Nobody may want it any more.
            let _ = parts.send(Part::Octets(octets)).await;
        }
    }
    let _ = parts.send(Part::End).await;
}

impl Read for Arriving {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.octets.is_empty() && !self.ended {
            match self.parts.blocking_recv() {
                Some(Part::Octets(octets)) => self.octets = octets,
                Some(Part::End) => self.ended = true,
                None => return Err(cut_off()),
            }
        }
        let count = into.len().min(self.octets.len());
        into[..count].copy_from_slice(&self.octets.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_written_is_read_whole_and_what_is_cut_off_is_an_error() {
        for whole in [true, false] {
            let (mut inlet, outlet) = outgoing();
            let writer = std::thread::spawn(move || {
                (0..40_000).try_for_each(|n| writeln!(inlet, "line {n}")).unwrap();
                inlet.flush().unwrap();
                if whole { inlet.end() } else { Ok(()) }
            });
            let mut reader = arriving(Body::new(outlet), LONG);
            let read = tokio::task::spawn_blocking(move || {
                let mut text = String::new();
                reader.read_to_string(&mut text).map(|_| text)
            });
            match read.await.unwrap() {
                Ok(text) => {
                    assert!(whole);
                    assert_eq!((text.lines().count(), text.lines().last()), (40_000, Some("line 39999")));
                }
                Err(error) => assert!(!whole && error.kind() == ErrorKind::UnexpectedEof, "{error}"),
            }
            writer.join().unwrap().unwrap();
        }
    }

    #[test]
    fn who_writes_hears_that_nobody_reads() {
        let (mut inlet, outlet) = outgoing();
        drop(outlet);
        inlet.write_all(b"x").unwrap();
        assert_eq!(inlet.end().unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_waits_for_a_sender_that_hangs() {
        let (mut inlet, outlet) = outgoing();
        // Kept open: its end is never told.
        let writer = std::thread::spawn(move || {
            writeln!(inlet, "a line").unwrap();
            inlet.flush().unwrap();
            inlet
        });
        let mut reader = arriving(Body::new(outlet), Duration::from_millis(500));
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            (reader.read_to_string(&mut text).unwrap_err().kind(), text)
        });
        assert_eq!(read.await.unwrap(), (ErrorKind::UnexpectedEof, "a line\n".to_owned()));
        drop(writer.join().unwrap());
    }
}
