//! One milter server: start, run, leave.
//!
//! Leaving takes three steps, so that no session is cut off while there is time. First nothing more is
//! accepted: the socket closes, and the mail server goes on with its default action at once. Then the
//! sessions that are open may end by themselves, until the grace period is over. Then the library is told to
//! end the rest, which it does between two commands.

use crate::callbacks::callbacks;
pub use crate::listen::Socket;
use crate::listen::{Arrivals, admit};
use crate::open::Open;
use crate::options::Options;
use indymilter::Config;
use policy_core::engine::Engine;
use policy_core::facts::FrontEnd;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Connections accepted and not yet taken by the library.
const WAITING: usize = 16;
/// How long the last commands may take beyond an answer's own limit.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves the milter protocol on `socket` until `shutdown` resolves and the open sessions have ended, for
/// which they have `grace`. A connection keeps the options that it began with; [`crate::Limits::idle`] is read
/// once, now.
///
/// # Errors
///
/// None is expected: accept errors are survived. The library's own is passed on.
pub async fn serve<E: Engine>(
    socket: Socket,
    engine: E,
    options: watch::Receiver<Arc<Options>>,
    shutdown: impl Future<Output = ()> + Send,
    grace: Duration,
) -> io::Result<()> {
    let limits = options.borrow().limits.clone();
    let config = Config {
        // The limit that counts is applied where connections are accepted.
        max_connections: tokio::sync::Semaphore::MAX_PERMITS,
        connection_timeout: limits.idle,
        ..Config::default()
    };
    let open = Open::new(engine.connections(FrontEnd::Milter));
    let (admitted, arrivals) = mpsc::channel(WAITING);
    let (stop, stopped) = oneshot::channel::<()>();
    let accepting = admit(socket, open.clone(), options.clone(), admitted);
    let mut library = pin!(indymilter::run(Arrivals(arrivals), callbacks(engine, options), config, stopped));

    tokio::select! {
        result = &mut library => return result,
        () = accepting => {}
        () = shutdown => {}
    }
    tracing::info!(open = open.count(), ?grace, "milter server leaving");
    tokio::select! {
        result = &mut library => return result,
        _ = timeout(grace, open.none()) => {}
    }
    // The library is listening, or has ended and been dealt with above.
    let _ = stop.send(());
    // A peer that does not read its reply must not keep the program from ending.
    timeout(limits.answer.saturating_add(LAST_WORDS), library).await.unwrap_or(Ok(()))
}
