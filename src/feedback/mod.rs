//! Feedback about mail that was let in: from a request to the ledger, in one line.
//!
//! ```text
//! request (JSON) -> which message, said by whom, spam or ham
//!   -> found: by its mark, its Received field, its decision's id or its queue id
//!   -> policy_core::hear: book, caps, ledger, model
//!   -> flushed to the disk, then acknowledged
//! ```
//!
//! Invariants: what is acknowledged is on the disk, where the state is kept there. No text of a message is kept or
//! logged.
//!
//! Bounds: a request has at most [`LONGEST_REQUEST`] octets, a message's header 256 KiB.

mod find;
mod header;
mod hop;
mod mime;
mod received;
mod report;

use crate::engine::Engine;
use crate::store::Store;
use compact_str::CompactString;
use policy_core::answer::DecisionId;
use policy_core::feedback::{Effect, News, Source, Subject};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use thiserror::Error;
use tracing::info;

/// Octets of a message that are looked at; its header stands within them.
pub const LONGEST_MESSAGE: usize = 256 << 10;
/// Octets of a report that are looked at, with what it includes.
pub const LONGEST_REPORT: usize = 1 << 20;
/// Octets of a request. A report whose octets are mostly escaped in the JSON does not fit; the command line cuts it.
pub const LONGEST_REQUEST: usize = 3 << 20;
/// Characters of a reporter's name that tell him from others.
const LONGEST_REPORTER: usize = 255;

/// What is called spam or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Unwanted.
    Spam,
    /// Good.
    Ham,
}

/// The body of `POST /v1/feedback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Request {
    /// Where it comes from.
    pub source: Source,
    /// Who says so; caps are for each by himself.
    pub reporter: Option<String>,
    /// What is said. A report says it itself.
    pub verdict: Option<Label>,
    /// Of which message.
    pub about: About,
}

/// The same as it is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reporter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Label>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_id: Option<String>,
}

impl TryFrom<Wire> for Request {
    type Error = Refused;

    fn try_from(wire: Wire) -> Result<Self, Refused> {
        let Wire { source, reporter, verdict, message, report, id, queue_id } = wire;
        let about = [
            message.map(About::Message),
            report.map(About::Report),
            id.map(About::Id),
            queue_id.map(About::QueueId),
        ];
        let mut about = about.into_iter().flatten();
        let (Some(about), None) = (about.next(), about.next()) else {
            let which =
                "one of \"message\", \"report\", \"id\" and \"queue_id\" must say which message it is about";
            return Err(Refused::Incomplete(which));
        };
        Ok(Self { source: source.unwrap_or(Source::Api), reporter, verdict, about })
    }
}

impl From<Request> for Wire {
    fn from(Request { source, reporter, verdict, about }: Request) -> Self {
        let wire = Self { source: Some(source), reporter, verdict, ..Self::default() };
        match about {
            About::Message(text) => Self { message: Some(text), ..wire },
            About::Report(text) => Self { report: Some(text), ..wire },
            About::Id(id) => Self { id: Some(id), ..wire },
            About::QueueId(id) => Self { queue_id: Some(id), ..wire },
        }
    }
}

/// Which message feedback is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The message: at least its header, as it was delivered.
    Message(String),
    /// A complaint report (RFC 5965) that includes the message or its header.
    Report(String),
    /// The id of the decision that let it in.
    Id(String),
    /// The queue id that the mail server gave it.
    QueueId(String),
}

/// What became of feedback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// In one word.
    pub effect: Effect,
    /// What was said.
    pub verdict: Label,
    /// How the message was found.
    pub found_by: FoundBy,
    /// The client that sent it, where that is known in plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The decision that let it in, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// How a message was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundBy {
    /// By its mark.
    Mark,
    /// By its Received field, and the decision on it is still remembered.
    Decision,
    /// By its Received field alone.
    Received,
}

/// Why feedback was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The request does not say what it must.
    #[error("{0}")]
    Incomplete(&'static str),
    /// No message of ours is in it.
    #[error("no message that was let in here: {0}")]
    NotFound(String),
    /// The report is about something else than a complaint.
    #[error("the report is no complaint: its feedback type says nothing of spam")]
    NoComplaint,
    /// The report praises the message, and nothing shows that it is not from the message's sender.
    #[error(
        "the report says that the message is good, which its sender could write: it counts with a mark of ours, and where \
         --reporter says whose reports these are"
    )]
    MayBeItsSender,
    /// It is taken in, and not on the disk.
    #[error("taken in, but the state cannot be written just now; say it again later")]
    NotKept,
}

/// A message that was found.
#[derive(Clone, Debug)]
struct Found {
    subject: Subject,
    by: FoundBy,
    client: Option<IpAddr>,
    id: Option<DecisionId>,
}

/// Takes in what a request says.
///
/// # Errors
///
/// It says too little, its message cannot be found, or it cannot be kept.
pub async fn take(engine: &Engine, store: Option<&Store>, request: &Request) -> Result<Told, Refused> {
    let (found, verdict) = understand(engine, request).inspect_err(|why| {
        // Who runs the command may throw its words away, as Postfix does.
        info!(source = request.source.name(), %why, "feedback is of no use");
    })?;
    let reporter = reporter(engine, request);
    let spam = verdict == Label::Spam;
    let news = News { source: request.source, reporter: &reporter, spam, forgeable: false };
    let (policy, now) = (engine.policy(), engine.clock().now());
    let effect = policy_core::hear(&policy, engine.state(), &found.subject, news, now);
    // What is known already may still be on its way to the disk.
    if let Some(store) = store {
        store.flush().await.map_err(|_| Refused::NotKept)?;
    }
    let id = found.id.map(|id| id.to_string());
    let (source, client) = (request.source.name(), found.client.map(|client| client.to_string()));
    info!(source, ?verdict, ?effect, client, id, "feedback");
    Ok(Told { effect, verdict, found_by: found.by, client: found.client, id })
}

/// Finds the message, and what is said of it.
fn understand(engine: &Engine, request: &Request) -> Result<(Found, Label), Refused> {
    let verdict =
        || request.verdict.ok_or(Refused::Incomplete("\"verdict\" is missing: \"spam\" or \"ham\""));
    if request.source == Source::Trap && request.verdict == Some(Label::Ham) {
        return Err(Refused::Incomplete("a trap says \"spam\" and nothing else"));
    }
    match &request.about {
        About::Message(text) => Ok((find::in_message(engine, text)?, verdict()?)),
        About::Report(text) => {
            let report = report::read(text)?;
            let found = find::in_report(engine, &report)?;
            // A sender knows his queue id from the reply to his message, and its mark if it comes back to him, as with a
            // bounce.
            let is_known = found.by == FoundBy::Mark && request.reporter.is_some();
            if request.verdict.is_none() && report.verdict == Label::Ham && !is_known {
                return Err(Refused::MayBeItsSender);
            }
            Ok((found, request.verdict.unwrap_or(report.verdict)))
        }
        About::Id(id) => Ok((find::by_id(engine, id)?, verdict()?)),
        About::QueueId(id) => Ok((find::by_queue_id(engine, id)?, verdict()?)),
    }
}

/// Who says so: as the request has it, else whoever has sent the report, by what the mail server saw of him. A From
/// could name another with each report.
fn reporter(engine: &Engine, request: &Request) -> CompactString {
    let name = match (&request.reporter, &request.about) {
        (Some(name), _) => name.clone(),
        (None, About::Report(text)) => {
            find::in_message(engine, text).map(|found| found.subject.sender().to_string()).unwrap_or_default()
        }
        (None, _) => String::new(),
    };
    name.chars().take(LONGEST_REPORTER).collect()
}

#[cfg(test)]
mod tests;
