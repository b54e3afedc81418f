//! A real server on port 0, and an engine that records what it is asked and told.

pub(crate) mod fixture;
pub(crate) mod recorder;

use indymilter_test::{Actions, ProtoOpts, TestConnection};
use milter::{Options, Socket, serve};
use policy_core::engine::Engine;
use recorder::Recorder;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait for anything that must happen.
const DEADLINE: Duration = Duration::from_secs(10);

/// Awaits what must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("did not happen in time")
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) options: watch::Sender<Arc<Options>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    pub(crate) async fn start<E: Engine>(engine: E, options: Options, grace: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (options, current) = watch::channel(Arc::new(options));
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.unwrap_or_default() };
        let task =
            tokio::spawn(async move { serve(Socket::Tcp(listener), engine, current, shutdown, grace).await });
        Self { address, options, stop, task }
    }

    /// A server with a recorder, and all other things by default.
    pub(crate) async fn recording() -> (Self, Recorder) {
        let recorder = Recorder::default();
        (Self::start(recorder.clone(), Options::default(), Duration::ZERO).await, recorder)
    }

    pub(crate) async fn connect(&self) -> TestConnection {
        soon(TestConnection::open(self.address)).await.unwrap()
    }

    pub(crate) async fn connect_offering(
        &self,
        version: u32,
        actions: Actions,
        opts: ProtoOpts,
    ) -> TestConnection {
        let offer = TestConnection::configure()
            .protocol_version(version)
            .available_actions(actions)
            .available_opts(opts);
        soon(offer.open_tcp(self.address)).await.unwrap()
    }

    /// Tells the server to leave; the task ends when it has.
    pub(crate) fn leave(self) -> JoinHandle<io::Result<()>> {
        self.stop.send(()).unwrap();
        self.task
    }

    /// Tells the server to leave, and waits until it has.
    pub(crate) async fn ended(self) {
        soon(self.leave()).await.unwrap().unwrap();
    }
}
