//! One connection from Postfix: read a request, ask the engine, write the answer, again.
//!
//! Every wait ends: between requests at [`Limits::idle`], within a request at [`Limits::request_time`] counted
//! from its first octet, on the engine at [`Limits::answer`], on a peer that does not read at
//! `request_time` again. An answer is written whole, in one write. A request that cannot be read gets none.
//!
//! Known limit: requests of one connection are answered one after another, as Postfix sends them.

use crate::server::Limits;
use crate::session::Sessions;
use crate::translate::{self, ClientEnd};
use crate::wire::{self, Bounds, Malformed, Parser, Request};
use policy_core::answer::Reply;
use policy_core::engine::{Engine, Event, Report};
use policy_core::facts::{Facts, FrontEnd, Stage};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, timeout};
use tracing::warn;

/// Room for reading. A request of Postfix takes about 600 octets.
const READ_ROOM: usize = 2048;

/// Why a connection ended.
#[derive(Debug, Error)]
pub(crate) enum Ending {
    #[error("closed by the peer")]
    Closed,
    #[error("idle for too long")]
    Idle,
    #[error("shutting down")]
    ShutDown,
    #[error("malformed request: {0}")]
    Malformed(#[from] Malformed),
    #[error("closed by the peer in the middle of a request, after {0} octets")]
    Cut(usize),
    #[error("request not complete in time, {0} octets of it came")]
    Slow(usize),
    #[error("the peer does not read its answer")]
    Unread,
    #[error("connection failed: {0}")]
    Failed(#[from] io::Error),
}

/// Octets read and not consumed yet, in one allocation that is reused.
struct Buffer {
    bytes: Vec<u8>,
    /// Where the current request begins.
    start: usize,
}

impl Buffer {
    fn unread(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn consume(&mut self, len: usize) {
        self.start += len;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
            // One large request must not cost memory for as long as the connection lives.
            self.bytes.shrink_to(2 * READ_ROOM);
        }
    }

    fn make_room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.reserve(READ_ROOM);
        &mut self.bytes
    }
}

pub(crate) struct Connection<S, E: Engine> {
    stream: S,
    engine: E,
    limits: Limits,
    parser: Parser,
    buffer: Buffer,
    reply: Vec<u8>,
    sessions: Sessions<E>,
    /// When the first octet of an incomplete request was seen.
    begun: Option<Instant>,
    /// One timer, moved rather than made anew for each wait.
    deadline: Pin<Box<Sleep>>,
    closing: watch::Receiver<bool>,
    closed: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, E: Engine> Connection<S, E> {
    /// A connection that ends by itself, between two requests, once `closing` holds `true`.
    pub(crate) fn new(stream: S, engine: E, limits: Limits, closing: watch::Receiver<bool>) -> Self {
        let Limits { line, request, attributes, .. } = limits;
        let mut receiver = closing.clone();
        Self {
            stream,
            limits,
            parser: Parser::new(Bounds { line, request, attributes }),
            buffer: Buffer { bytes: Vec::new(), start: 0 },
            reply: Vec::new(),
            sessions: Sessions::new(engine.clone()),
            engine,
            begun: None,
            deadline: Box::pin(tokio::time::sleep(limits.idle)),
            closing,
            // An error means that the server is gone, which is no different.
            closed: Box::pin(async move { drop(receiver.wait_for(|closing| *closing).await) }),
        }
    }

    /// Serves until something ends it.
    pub(crate) async fn run(mut self) -> Ending {
        loop {
            if let Err(ending) = self.step().await {
                return ending;
            }
        }
    }

    async fn step(&mut self) -> Result<(), Ending> {
        let Some(request) = self.parser.parse(self.buffer.unread())? else {
            return self.read().await;
        };
        let (len, facts) = (request.wire_len(), question(&request, &mut self.sessions));
        self.buffer.consume(len);
        self.begun = None;
        self.answer(facts).await?;
        if *self.closing.borrow() { Err(Ending::ShutDown) } else { Ok(()) }
    }

    /// Waits for more octets, of this request or the first of the next.
    async fn read(&mut self) -> Result<(), Ending> {
        let pending = self.buffer.unread().len();
        let now = Instant::now();
        let deadline = if pending == 0 {
            now + self.limits.idle
        } else {
            *self.begun.get_or_insert(now) + self.limits.request_time
        };
        self.deadline.as_mut().reset(deadline);
        tokio::select! {
            biased;
            // What has come is answered before anything ends the connection.
            read = self.stream.read_buf(self.buffer.make_room()) => match (read?, pending) {
                (0, 0) => Err(Ending::Closed),
                (0, _) => Err(Ending::Cut(pending)),
                _ => Ok(()),
            },
            () = &mut self.deadline => Err(if pending == 0 { Ending::Idle } else { Ending::Slow(pending) }),
            () = &mut self.closed, if pending == 0 => Err(Ending::ShutDown),
        }
    }

    async fn answer(&mut self, facts: Option<Facts>) -> Result<(), Ending> {
        let Some(facts) = facts else { return self.write(&Reply::Accept).await };
        let received = received(&facts);
        let reply = decide(&self.engine, facts, self.limits.answer).await;
        self.write(&reply).await?;
        if let (Reply::Accept, Some(report)) = (&reply, received) {
            self.engine.report(report);
        }
        Ok(())
    }

    async fn write(&mut self, reply: &Reply) -> Result<(), Ending> {
        self.reply.clear();
        wire::encode(reply, &mut self.reply);
        let written = within(self.limits.request_time, self.stream.write_all(&self.reply)).await;
        Ok(written.ok_or(Ending::Unread)??)
    }
}

async fn decide<E: Engine>(engine: &E, facts: Facts, limit: Duration) -> Reply {
    let client = facts.client.address;
    match within(limit, engine.decide(facts)).await {
        Some(answer) => answer.reply,
        None => {
            warn!(%client, ?limit, "no decision in time, accepted");
            Reply::Accept
        }
    }
}

/// The future's output, or `None` when it takes longer than `limit`.
async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    // Most are ready at once, and a timer costs more than they do.
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => timeout(limit, future).await.ok(),
    }
}

/// What to ask the engine. `None`: nothing, the answer is `DUNNO`.
fn question<E: Engine>(request: &Request<'_>, sessions: &mut Sessions<E>) -> Option<Facts> {
    let end = ClientEnd::of(request)?;
    sessions.turn_to(end);
    let stage = translate::stage(request)?;
    let session = sessions.enter(end, stage);
    Some(translate::facts(request, stage, end, session))
}

/// What to report once a message has been accepted.
fn received(facts: &Facts) -> Option<Report> {
    let transaction = facts.transaction.filter(|_| facts.stage == Stage::EndOfMessage)?;
    Some(Report {
        session: facts.session,
        front_end: FrontEnd::Policy,
        event: Event::MessageReceived {
            transaction,
            recipients: facts.envelope.accepted_recipients,
            filter: None,
        },
    })
}
