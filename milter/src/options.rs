//! What the operator may set.
//!
//! A connection keeps the options that were in force when it negotiated. Only [`Limits::idle`] is fixed when
//! the server starts.

use crate::filter::FilterHeader;
use policy_core::message::{Budget, MAX_MESSAGE};
use policy_core::name::DomainName;
use std::time::Duration;

/// Bounds on connections and on time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once; one more is closed as soon as it is accepted, so that the mail server goes
    /// on with its default action instead of waiting. Set it above the number of SMTP server processes of
    /// all mail servers together (Postfix: 100 each by default). Default 1000.
    pub connections: usize,
    /// Longest wait for the next packet, and for writing a reply. The mail server is silent for as long as
    /// its client is, and through the whole of DATA, so this is the 7210 seconds of Sendmail's own library:
    /// a little above two hours. Read once, when the server starts.
    pub idle: Duration,
    /// Longest wait for option negotiation, the first packet. Both mail servers send it at once. Default 10
    /// seconds.
    pub first_packet: Duration,
    /// Longest wait for the engine, after which the mail goes on. Sendmail gives up after ten seconds.
    /// Default 4 seconds.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            idle: Duration::from_secs(7210),
            first_packet: Duration::from_secs(10),
            answer: Duration::from_secs(4),
        }
    }
}

/// All that the operator may set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bounds on connections and on time.
    pub limits: Limits,
    /// Header fields in which a content filter writes its verdict. The mail server must list the filter before
    /// this milter. Default: the fields of rspamd and SpamAssassin, with forgeries held possible.
    pub filter_headers: Vec<FilterHeader>,
    /// The authserv-ids (RFC 8601 section 2.5) whose Authentication-Results count. Naming one states that
    /// fields with this id are removed from arriving mail. Default: none, so none is read.
    pub trusted_authserv_ids: Vec<DomainName>,
    /// Octets of a message that are kept until it is judged, so that its signatures can be verified; of a larger
    /// one only the beginning is kept. Default 10 MiB, the most there is.
    pub message_max: usize,
    /// What all connections share for that.
    pub message_memory: Budget,
}

impl PartialEq for Options {
    /// As configured: what is left of the memory does not matter.
    fn eq(&self, other: &Self) -> bool {
        self.limits == other.limits
            && self.filter_headers == other.filter_headers
            && self.trusted_authserv_ids == other.trusted_authserv_ids
            && self.message_max == other.message_max
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            filter_headers: FilterHeader::defaults(),
            trusted_authserv_ids: Vec::new(),
            message_max: MAX_MESSAGE,
            message_memory: Budget::default(),
        }
    }
}
