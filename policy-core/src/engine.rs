//! The handle that a front end holds: one call to ask, one to report what became of it.

use crate::answer::Answer;
use crate::connections::Connections;
use crate::facts::{Facts, FrontEnd, SessionId, TransactionId};
use compact_str::CompactString;
use std::future::Future;
use std::sync::Arc;

/// The policy engine as a front end sees it.
///
/// `decide` always answers, within the engine's own deadline: an engine that cannot decide accepts.
pub trait Engine: Clone + Send + Sync + 'static {
    /// May this come in now?
    fn decide(&self, facts: Facts) -> impl Future<Output = Answer> + Send;

    /// Something became known about mail that was asked about. Never waits.
    fn report(&self, report: Report);

    /// Where the connections of a front end are counted. One that keeps no count has a new one for each server.
    fn connections(&self, _: FrontEnd) -> Arc<Connections> {
        Arc::default()
    }
}

/// News from a front end about a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The session.
    pub session: SessionId,
    /// Who reports.
    pub front_end: FrontEnd,
    /// What happened.
    pub event: Event,
}

/// What can become known after a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The mail server refused a recipient by itself.
    RecipientRefused {
        /// The transaction it belongs to.
        transaction: TransactionId,
        /// Why.
        refusal: Refusal,
    },
    /// The message arrived whole and was not refused by us.
    MessageReceived {
        /// The transaction it belongs to.
        transaction: TransactionId,
        /// Recipients it was accepted for; `None` when the front end cannot tell.
        recipients: Option<u32>,
        /// What a content filter wrote into the message, if one did.
        filter: Option<FilterVerdict>,
    },
    /// The transaction ended without a message: RSET, a new MAIL, or the client left.
    TransactionAborted {
        /// The transaction that ended.
        transaction: TransactionId,
    },
    /// The SMTP session is over, as far as this front end can see.
    SessionClosed,
}

/// Why the mail server refused a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 5.1.x, but for those that are about the sender: no such mailbox or domain here.
    UnknownRecipient,
    /// Another permanent refusal (5.x.x): relaying denied, an access rule.
    Permanent,
    /// A temporary refusal (4.x.x), which includes this engine's own.
    Temporary,
}

impl Refusal {
    /// What the code of a reply to RCPT says: an enhanced status code (RFC 3463) or an SMTP code. `None` when it is
    /// neither, or none of a refusal.
    pub fn of_code(code: &str) -> Option<Self> {
        match code {
            _ if !is_code(code) => None,
            // About the sender, though refused at RCPT: X.1.7 and X.1.8 by RFC 3463 section 3.2, and X.1.0 is
            // what Postfix says of a sender of its own domains who does not exist.
            "5.1.0" | "5.1.7" | "5.1.8" => Some(Self::Permanent),
            _ if code.starts_with("5.1.") => Some(Self::UnknownRecipient),
            _ if code.starts_with('5') => Some(Self::Permanent),
            _ => Some(Self::Temporary),
        }
    }
}

/// Whether `word` reads `4.x.y`, `5.x.y`, `4xx` or `5xx`.
fn is_code(word: &str) -> bool {
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let parts: Vec<&str> = word.split('.').take(4).collect();
    word.starts_with(['4', '5'])
        && match parts[..] {
            [code] => code.len() == 3 && digits(code, 3),
            [class, subject, detail] => digits(class, 1) && digits(subject, 3) && digits(detail, 3),
            _ => false,
        }
}

/// The verdict that a content filter wrote into a message's header.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterVerdict {
    /// The header field it was read from.
    pub header: CompactString,
    /// Whether the filter calls the message spam.
    pub spam: bool,
    /// The filter's score, when it gave one.
    pub score: Option<f32>,
    /// Whether the sender could have written the header itself. Verified domains are then not charged: a
    /// signed message can be sent again with such a header on top.
    pub forgeable: bool,
}
