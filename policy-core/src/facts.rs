//! What a front end knows when it asks: the client, the envelope, the message.
//!
//! Facts are plain values. Nothing here is trusted beyond its field's meaning: the reverse name may be a
//! lie unless it is [`Client::name`], a domain is a claim unless it stands in [`Message::verified`].

use crate::feedback::Anchor;
use crate::findings::Findings;
use crate::message::Raw;
use crate::name::{DomainName, Mailbox, Sender};
use crate::networks::canonical;
use compact_str::CompactString;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Which protocol brought the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrontEnd {
    /// Postfix policy delegation (`check_policy_service`).
    Policy,
    /// The milter protocol.
    Milter,
}

/// One SMTP session. Both front ends name the same session alike when the client's port is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionId {
    /// The client's end of the TCP connection.
    Tcp(SocketAddr),
    /// The port is not known: the front end's own connection, by a number that it never reuses.
    Connection(FrontEnd, u64),
}

/// A front end's own token for one mail transaction: Postfix's `instance`, or a milter's MAIL counter, hashed
/// or counted into 64 bits. It differs between any two transactions of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub u64);

/// How far the SMTP session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The client has connected.
    Connect,
    /// HELO or EHLO.
    Helo,
    /// MAIL FROM.
    Mail,
    /// RCPT TO, once for each recipient.
    Rcpt,
    /// DATA or the first BDAT.
    Data,
    /// The whole message has arrived.
    EndOfMessage,
}

/// The host that connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Its forward-confirmed reverse name: PTR, and that name resolves back to the address.
    pub name: Option<DomainName>,
    /// Its reverse name by PTR alone; anybody can write one.
    pub reverse_name: Option<DomainName>,
    /// The name given with HELO or EHLO.
    pub helo: Option<CompactString>,
    /// Whether the session is encrypted; `None` when the front end cannot tell.
    pub tls: Option<bool>,
    /// The SASL login name, when the client has authenticated.
    pub authenticated: Option<CompactString>,
}

impl Client {
    /// A client of which only the address is known.
    pub fn new(address: IpAddr) -> Self {
        Self {
            address: canonical(address),
            name: None,
            reverse_name: None,
            helo: None,
            tls: None,
            authenticated: None,
        }
    }
}

/// The envelope as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// MAIL FROM; `None` before it, or when it cannot be read.
    pub sender: Option<Sender>,
    /// The recipient this question is about (stage RCPT), or the only one.
    pub recipient: Option<Mailbox>,
    /// How many recipients the mail server has accepted so far in this transaction; `None` when unknown.
    pub accepted_recipients: Option<u32>,
}

/// How a domain was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerifiedBy {
    /// SPF passed for MAIL FROM or HELO (RFC 7208).
    Spf,
    /// A DKIM signature of this domain verified (RFC 6376).
    Dkim,
}

/// A domain that has been verified for this message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDomain {
    /// The domain.
    pub domain: DomainName,
    /// What verified it.
    pub by: VerifiedBy,
}

/// The message as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Octets: declared with SIZE= until end of message, measured then. `None` when not declared.
    pub size: Option<u64>,
    /// Domains that a check passed. Bounded by the front end.
    pub verified: Vec<VerifiedDomain>,
    /// The domain of a DKIM signature that the message carries, verified or not; `None` before end of
    /// message, or when there is none. A claim: anybody can write one.
    pub signed: Option<DomainName>,
    /// The mail server's queue id, once there is one.
    pub queue_id: Option<CompactString>,
    /// What a mark in the message would be tied to, at its end.
    pub anchor: Option<Arc<Anchor>>,
    /// The message itself, at its end, where the front end has it. Nothing is decided on it, only on what is
    /// found in it.
    pub raw: Option<Arc<Raw>>,
}

/// Everything known at the moment of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The SMTP session.
    pub session: SessionId,
    /// Who asks.
    pub front_end: FrontEnd,
    /// How far the session has come.
    pub stage: Stage,
    /// The mail transaction; `None` before MAIL.
    pub transaction: Option<TransactionId>,
    /// The client.
    pub client: Client,
    /// The envelope.
    pub envelope: Envelope,
    /// The message.
    pub message: Message,
    /// What has been looked up or computed about them.
    pub findings: Findings,
}
