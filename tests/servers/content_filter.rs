//! A content filter for the tests: a milter that adds the header field it is told to at the end of each
//! message, as rspamd and the SpamAssassin milters do.

use crate::tempfail::Failure;
use indymilter::{Actions, Callbacks, Config, ContextActions, NegotiateContext, Status};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running filter. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct ContentFilter {
    address: SocketAddr,
    verdict: Arc<Mutex<String>>,
    serving: JoinHandle<()>,
}

impl ContentFilter {
    /// Starts it. `field` is the name of the header field that it writes.
    pub(crate) async fn start(field: &'static str) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let verdict = Arc::new(Mutex::new(String::new()));
        let says = Arc::clone(&verdict);
        let callbacks = Callbacks::<()>::new()
            .on_negotiate(|cx: &mut NegotiateContext<()>, _, _| {
                cx.requested_actions = Actions::ADD_HEADER;
                Box::pin(async { Status::Continue })
            })
            .on_eom(move |cx| {
                let value = says.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Box::pin(async move {
                    match cx.actions.add_header(field, value).await {
                        Ok(()) => Status::Continue,
                        Err(_) => Status::Tempfail,
                    }
                })
            });
        let serving = tokio::spawn(async move {
            // It runs until it is aborted.
            let _ =
                indymilter::run(listener, callbacks, Config::default(), std::future::pending::<()>()).await;
        });
        Ok(Self { address, verdict, serving })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it writes from now on.
    pub(crate) fn says(&self, value: &str) {
        value.clone_into(&mut self.verdict.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for ContentFilter {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
