//! The handle that a front end holds: one call to ask, one to report what became of it.

use crate::answer::Answer;
use crate::facts::{Facts, FrontEnd, SessionId, TransactionId};
use compact_str::CompactString;
use std::future::Future;

/// The policy engine as a front end sees it.
///
/// `decide` always answers, within the engine's own deadline: an engine that cannot decide accepts.
pub trait Engine: Clone + Send + Sync + 'static {
    /// May this come in now?
    fn decide(&self, facts: Facts) -> impl Future<Output = Answer> + Send;

    /// Something became known about mail that was asked about. Never waits.
    fn report(&self, report: Report);
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
    /// 5.1.x: no such mailbox or domain here.
    UnknownRecipient,
    /// Another permanent refusal (5.x.x): relaying denied, an access rule.
    Permanent,
    /// A temporary refusal (4.x.x), which includes this engine's own.
    Temporary,
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
