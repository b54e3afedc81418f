//! `GET /v1/log`: the latest decisions, and those that are made from now on, one a line.
//!
//! A reader that is too slow loses lines and is told how many; nobody waits for it. What it does not take waits in a
//! bounded queue here and in the socket's buffer. Who follows is written an empty line now and then: a host that is gone is
//! noticed only by what it does not take, and would keep its place.

use super::super::Desk;
use super::super::reply::Failure;
use super::super::server::Peer;
use crate::log::{self, Format, Stamp};
use crate::recent::{Numbered, Recent, Record};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use ipnet::IpNet;
use policy_core::RecipientHash;
use policy_core::name::{DomainName, Mailbox};
use policy_core::networks::{canonical, canonical_network};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use tokio::time::interval;
use tracing::Level;

/// Lines of the past, unless asked for otherwise: without following, and before it.
const PAST: (usize, usize) = (100, 10);
/// Time between two empty lines.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
/// Lines that wait for a reader.
const QUEUE: usize = 64;

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Whether to go on with what is decided from now on.
    #[serde(default)]
    pub(crate) follow: bool,
    /// Lines of the past, at most.
    pub(crate) n: Option<usize>,
    /// A mailbox, or a domain and all below it.
    pub(crate) sender: Option<String>,
    /// A whole address.
    pub(crate) recipient: Option<String>,
    /// An address, a network, or a host name and all below it.
    pub(crate) client: Option<String>,
    /// As the daemon's own log is written; JSON otherwise.
    #[serde(default)]
    pub(crate) text: bool,
}

/// Answers.
pub(super) async fn log(
    State(desk): State<Arc<Desk>>,
    Extension(peer): Extension<Peer>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(wanted) = wanted?;
    let filter = Filter::of(&wanted, &desk)?;
    let format = if wanted.text { Format::Text } else { Format::Json };
    let full = || Failure::unavailable("as many follow the log as may");
    let place = wanted.follow.then(|| desk.followers.place(&peer).ok_or_else(full)).transpose()?;
    let most = wanted.n.unwrap_or(if wanted.follow { PAST.1 } else { PAST.0 });
    let (lines, body) = mpsc::channel(QUEUE);
    let teller = Teller { filter, format, lines };
    tokio::spawn(teller.tell(desk, most, wanted.follow, place));
    let kind = if wanted.text { "text/plain; charset=us-ascii" } else { "application/x-ndjson" };
    Ok(([(header::CONTENT_TYPE, kind)], Body::new(Lines(body))).into_response())
}

/// Writes lines for one reader.
struct Teller {
    filter: Filter,
    format: Format,
    lines: mpsc::Sender<Bytes>,
}

/// The reader has gone.
struct Gone;

impl Teller {
    /// Until there is no more, or nobody reads.
    async fn tell(self, desk: Arc<Desk>, most: usize, follow: bool, place: Option<OwnedSemaphorePermit>) {
        let (recent, live) = desk.engine.decisions();
        let (lines, mut stop) = (self.lines.clone(), desk.stop.clone());
        // The queue may be full for long, or nothing pass the filter: who leaves is noticed all the same.
        tokio::select! {
            _ = self.all(recent, live, most, follow) => {}
            () = lines.closed() => {}
            // Or the daemon has been dropped, which is no different.
            _ = stop.wait_for(|stop| *stop) => {}
        }
        drop(place);
    }

    async fn all(
        &self,
        recent: &Recent,
        mut live: broadcast::Receiver<Numbered>,
        most: usize,
        follow: bool,
    ) -> Result<(), Gone> {
        let last = self.past(recent, most).await?;
        if !follow {
            return Ok(());
        }
        let mut sign_of_life = interval(SIGN_OF_LIFE);
        sign_of_life.reset();
        loop {
            let heard = tokio::select! {
                heard = live.recv() => heard,
                _ = sign_of_life.tick() => {
                    self.line(String::new()).await?;
                    continue;
                }
            };
            match heard {
                Ok((number, record)) if Some(number) > last => self.decision(&record).await?,
                Ok(_) => {}
                Err(RecvError::Lagged(lost)) => {
                    self.line(self.format.render(&log::lost(lost), Stamp::Time)).await?
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    /// What is held; the number of the last of it.
    async fn past(&self, recent: &Recent, most: usize) -> Result<Option<u64>, Gone> {
        let mut last = None;
        let all = recent.newest_first().inspect(|(number, _)| last = last.max(Some(*number)));
        let mut past: Vec<Arc<Record>> =
            all.map(|(_, record)| record).filter(|record| self.filter.passes(record)).take(most).collect();
        while let Some(record) = past.pop() {
            self.decision(&record).await?;
        }
        Ok(last)
    }

    async fn decision(&self, record: &Record) -> Result<(), Gone> {
        if !self.filter.passes(record) {
            return Ok(());
        }
        self.line(self.format.render(&log::decision(record, Level::INFO), Stamp::Time)).await
    }

    async fn line(&self, mut line: String) -> Result<(), Gone> {
        line.push('\n');
        self.lines.send(line.into()).await.map_err(|_| Gone)
    }
}

/// Lines on their way out.
struct Lines(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

/// Which decisions are wanted.
#[derive(Debug, Default)]
struct Filter {
    sender: Option<SenderFilter>,
    recipient: Option<RecipientHash>,
    client: Option<ClientFilter>,
}

#[derive(Debug)]
enum SenderFilter {
    /// In lower case.
    Mailbox(String),
    Domain(DomainName),
}

#[derive(Debug)]
enum ClientFilter {
    Network(IpNet),
    Name(DomainName),
}

impl Filter {
    fn of(wanted: &Wanted, desk: &Desk) -> Result<Self, Failure> {
        let state = desk.engine.state();
        let recipient = |text: &String| -> Result<RecipientHash, Failure> {
            let whole = Mailbox::new(text).filter(|mailbox| text.contains('@') && mailbox.domain.is_some());
            let whole =
                whole.ok_or_else(|| Failure::bad(format!("recipient {text:?} is no whole address")))?;
            Ok(state.recipient_hash(&whole))
        };
        Ok(Self {
            sender: wanted.sender.as_deref().map(sender).transpose()?,
            recipient: wanted.recipient.as_ref().map(recipient).transpose()?,
            client: wanted.client.as_deref().map(client).transpose()?,
        })
    }

    fn passes(&self, record: &Record) -> bool {
        self.sender.as_ref().is_none_or(|sender| sender.passes(record))
            && self.recipient.is_none_or(|recipient| record.recipient == Some(recipient))
            && self.client.as_ref().is_none_or(|client| client.passes(record))
    }
}

fn sender(text: &str) -> Result<SenderFilter, Failure> {
    if text.contains('@') {
        // The domain in the form that decisions have it.
        let mailbox = Mailbox::new(text).map_or_else(|| text.to_owned(), |mailbox| mailbox.to_string());
        return Ok(SenderFilter::Mailbox(mailbox.to_lowercase()));
    }
    let none = || Failure::bad(format!("sender {text:?} is neither a mailbox nor a domain"));
    DomainName::new(text).map(SenderFilter::Domain).ok_or_else(none)
}

fn client(text: &str) -> Result<ClientFilter, Failure> {
    let network = text
        .parse::<IpAddr>()
        .map(|address| canonical(address).into())
        .or_else(|_| text.parse::<IpNet>().map(canonical_network));
    let none = || Failure::bad(format!("client {text:?} is neither an address, a network nor a host name"));
    match network {
        Ok(network) => Ok(ClientFilter::Network(network)),
        Err(_) => DomainName::new(text).map(ClientFilter::Name).ok_or_else(none),
    }
}

impl SenderFilter {
    fn passes(&self, record: &Record) -> bool {
        let Some(sender) = &record.facts.envelope.sender else { return false };
        match self {
            Self::Mailbox(mailbox) => sender.to_string().to_lowercase() == *mailbox,
            Self::Domain(domain) => {
                sender.domain().is_some_and(|of| of.and_parents().any(|of| of == *domain))
            }
        }
    }
}

impl ClientFilter {
    fn passes(&self, record: &Record) -> bool {
        let client = &record.facts.client;
        match self {
            Self::Network(network) => network.contains(&client.address),
            Self::Name(name) => {
                let mut names = [&client.name, &client.reverse_name].into_iter().flatten();
                names.any(|of| of.and_parents().any(|of| of == *name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_follows_is_written_to_though_there_is_nothing_to_tell() {
        let recent = Recent::default();
        let (lines, mut written) = mpsc::channel(QUEUE);
        let teller = Teller { filter: Filter::default(), format: Format::Json, lines };
        let told = async {
            for _ in 0..3 {
                assert_eq!(written.recv().await.as_deref(), Some(&b"\n"[..]));
            }
        };
        tokio::select! {
            _ = teller.all(&recent, recent.follow(), 0, true) => panic!("it ended"),
            () = told => {}
        }
    }
}
