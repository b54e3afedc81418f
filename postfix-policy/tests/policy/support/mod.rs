//! A server under test, an engine that tells what it was asked, and a peer that talks to them.

pub(crate) mod fixture;
pub(crate) mod log;

use policy_core::answer::{Answer, DecisionId, DeferCode, Reply, ReplyText};
use policy_core::engine::{Engine, Report};
use policy_core::facts::Facts;
use postfix_policy::{Limits, Socket, serve};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Every deferral of a test says this.
pub(crate) const REASON: &str = "try again in 5 minutes [0123ABCD]";

pub(crate) const DUNNO: &str = "action=DUNNO\n\n";

pub(crate) fn deferral() -> Reply {
    Reply::Defer(DeferCode::Closing, ReplyText::new(REASON))
}

/// Fails the test instead of hanging.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("nothing came")
}

/// Answers always the same, and tells what it was asked and what was reported.
#[derive(Clone)]
pub(crate) struct Recorder {
    reply: Reply,
    /// A decision takes a permit; none, and it never comes.
    permits: Arc<Semaphore>,
    asked: UnboundedSender<Facts>,
    reported: UnboundedSender<Report>,
}

pub(crate) struct Record {
    pub(crate) asked: UnboundedReceiver<Facts>,
    pub(crate) reported: UnboundedReceiver<Report>,
    pub(crate) permits: Arc<Semaphore>,
}

impl Recorder {
    pub(crate) fn new(reply: Reply, permits: usize) -> (Self, Record) {
        let ((asked, asked_rx), (reported, reported_rx)) = (unbounded_channel(), unbounded_channel());
        let permits = Arc::new(Semaphore::new(permits));
        let recorder = Self { reply, permits: Arc::clone(&permits), asked, reported };
        (recorder, Record { asked: asked_rx, reported: reported_rx, permits })
    }

    pub(crate) fn answering(reply: Reply) -> (Self, Record) {
        Self::new(reply, Semaphore::MAX_PERMITS)
    }
}

impl Engine for Recorder {
    async fn decide(&self, facts: Facts) -> Answer {
        self.asked.send(facts).unwrap();
        self.permits.acquire().await.unwrap().forget();
        Answer { id: DecisionId::new(1), reply: self.reply.clone(), mark: None }
    }

    fn report(&self, report: Report) {
        // Reports of a connection's end may come after the test has ended.
        drop(self.reported.send(report));
    }
}

/// Where a server listens.
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(tempfile::TempDir),
}

/// A running server. Dropping it shuts it down.
pub(crate) struct Server {
    pub(crate) address: Address,
    shutdown: Option<oneshot::Sender<()>>,
    done: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn tcp(engine: impl Engine, limits: Limits, grace: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        Self::start(Socket::Tcp(listener), address, engine, limits, grace)
    }

    pub(crate) fn unix(engine: impl Engine, limits: Limits, grace: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("policy")).unwrap();
        Self::start(Socket::Unix(listener), Address::Unix(directory), engine, limits, grace)
    }

    fn start(socket: Socket, address: Address, engine: impl Engine, limits: Limits, grace: Duration) -> Self {
        let (shutdown, asked) = oneshot::channel();
        let until = async { drop(asked.await) };
        let done = tokio::spawn(serve(socket, engine, limits, until, grace));
        Self { address, shutdown: Some(shutdown), done }
    }

    pub(crate) async fn connect(&self) -> Peer {
        match &self.address {
            Address::Tcp(address) => Peer::new(TcpStream::connect(address).await.unwrap()),
            Address::Unix(directory) => {
                Peer::new(UnixStream::connect(directory.path().join("policy")).await.unwrap())
            }
        }
    }

    pub(crate) fn ask_to_shut_down(&mut self) {
        drop(self.shutdown.take());
    }

    pub(crate) async fn shut_down(mut self) {
        self.ask_to_shut_down();
        soon(&mut self.done).await.unwrap();
    }

    /// Waits until the socket is closed.
    pub(crate) async fn refuses(&self) {
        let is_refused = async || match &self.address {
            Address::Tcp(address) => TcpStream::connect(address).await.is_err(),
            Address::Unix(directory) => UnixStream::connect(directory.path().join("policy")).await.is_err(),
        };
        while !is_refused().await {
            tokio::task::yield_now().await;
        }
    }

    /// Ends the server without ceremony.
    pub(crate) fn abort(&self) {
        self.done.abort();
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.is_finished()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What Postfix would be.
pub(crate) struct Peer(Box<dyn Stream>);

impl Peer {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(stream))
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends what the server may refuse to take.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(soon(self.0.write_all(bytes.as_ref())).await);
    }

    /// Sends, and tells whether the server still listens.
    pub(crate) async fn is_open_after(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        soon(self.0.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Tells that no more will follow; reading goes on. A server that has closed is no failure.
    pub(crate) async fn end(&mut self) {
        drop(soon(self.0.shutdown()).await);
    }

    /// One reply, up to its empty line.
    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = Vec::new();
        while !reply.ends_with(b"\n\n") {
            reply.push(soon(self.0.read_u8()).await.expect("a reply"));
        }
        String::from_utf8(reply).unwrap()
    }

    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> String {
        self.send(request).await;
        self.reply().await
    }

    /// What comes until the server closes. A reset is an end too: the server left something unread.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        drop(soon(self.0.read_to_end(&mut rest)).await);
        rest
    }
}

/// A request at `state` about a client at 192.0.2.7 with this port.
pub(crate) fn request(state: &str, port: u16, more: &str) -> String {
    format!(
        "request=smtpd_access_policy\nprotocol_state={state}\nclient_address=192.0.2.7\n\
         client_port={port}\n{more}\n"
    )
}
