//! What became of a message: every command with its reply, in order.

use super::Reply;
use std::fmt;

/// The step of a session a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The greeting on connection.
    Greeting,
    /// The greeting after XCLIENT.
    Xclient,
    /// EHLO.
    Ehlo,
    /// MAIL FROM.
    Mail,
    /// One RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The lone dot at the end of the message.
    Message,
}

/// One command and its reply.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Which step.
    pub stage: Stage,
    /// What was sent; empty for the greeting and the message.
    pub sent: String,
    /// The reply, or `None` if the server hung up without one.
    pub reply: Option<Reply>,
}

/// The record of one message's way.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Every exchange, in order.
    pub exchanges: Vec<Exchange>,
    /// Whether the server had closed the connection at the end. After a refusal the client makes sure.
    pub hung_up: bool,
}

impl Outcome {
    /// Whether the server took the message (for one recipient at least).
    pub fn is_accepted(&self) -> bool {
        self.exchanges.last().is_some_and(|last| {
            last.stage == Stage::Message && last.reply.as_ref().is_some_and(Reply::is_positive)
        })
    }

    /// The first refusal and where it came.
    pub fn refusal(&self) -> Option<(Stage, &Reply)> {
        let replies = self.exchanges.iter().filter_map(|step| Some((step.stage, step.reply.as_ref()?)));
        replies.into_iter().find(|(_, reply)| !reply.is_positive())
    }

    /// The reply to RCPT for `recipient`.
    pub fn rcpt(&self, recipient: &str) -> Option<&Reply> {
        let command = format!("RCPT TO:<{recipient}>");
        self.exchanges.iter().find(|step| step.sent == command)?.reply.as_ref()
    }

    /// The replies at `stage`, in order.
    pub fn replies_at(&self, stage: Stage) -> Vec<&Reply> {
        self.exchanges
            .iter()
            .filter(|step| step.stage == stage)
            .filter_map(|step| step.reply.as_ref())
            .collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Exchange { stage, sent, reply } in &self.exchanges {
            let reply = reply.as_ref().map_or_else(|| "(no reply)".to_owned(), Reply::to_string);
            writeln!(f, "{stage:?}: {sent} -> {reply}")?;
        }
        write!(f, "{}", if self.hung_up { "server hung up" } else { "connection open" })
    }
}
