//! From the attributes of a request to [`Facts`].
//!
//! An attribute that is absent, empty, `0` or `unknown` tells nothing, and nothing is made of it: the fact is
//! then `None`. Every text kept is bounded.
//!
//! Known limits: at `RCPT` Postfix sends `recipient_count=0`, so how many recipients it has accepted is known at
//! `DATA` and `END-OF-MESSAGE` only; before `RCPT` it sends no `instance`, so MAIL has no transaction.

use crate::wire::{Attribute, Request};
use compact_str::CompactString;
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId};
use policy_core::findings::Findings;
use policy_core::name::{DomainName, Mailbox, Sender};
use policy_core::networks::canonical;
use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Longest HELO name, login name and queue id kept, in octets: the limit of a domain (RFC 5321 section 4.5.3.1.2).
const MAX_TEXT: usize = 255;

/// The client's end of the SMTP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientEnd {
    /// Its address.
    pub address: IpAddr,
    /// Its port; `None` before Postfix 3.0, and behind a proxy that does not tell it.
    pub port: Option<u16>,
}

impl ClientEnd {
    /// Whom the request is about. `None` when Postfix does not know the address, which XCLIENT makes possible.
    pub fn of(request: &Request<'_>) -> Option<Self> {
        let address = request.filled(Attribute::ClientAddress)?;
        let address = address.split('%').next().unwrap_or_default();
        Some(Self {
            address: canonical(IpAddr::from_str(address).ok()?),
            port: number(request, Attribute::ClientPort),
        })
    }

    /// The name of the SMTP session, when the port tells it.
    pub fn session(&self) -> Option<SessionId> {
        self.port.map(|port| SessionId::Tcp(SocketAddr::new(self.address, port)))
    }
}

/// How far the SMTP session has come. `None` for what is not asked of the engine: VRFY, ETRN, and states that
/// do not exist yet.
pub fn stage(request: &Request<'_>) -> Option<Stage> {
    Some(match &*request.get(Attribute::ProtocolState)? {
        // XCLIENT: a proxy has named the real client, and the checks of CONNECT run again for it.
        "CONNECT" | "XCLIENT" => Stage::Connect,
        "EHLO" | "HELO" => Stage::Helo,
        "MAIL" => Stage::Mail,
        "RCPT" => Stage::Rcpt,
        "DATA" => Stage::Data,
        "END-OF-MESSAGE" => Stage::EndOfMessage,
        _ => return None,
    })
}

/// Everything that the request tells.
pub fn facts(request: &Request<'_>, stage: Stage, end: ClientEnd, session: SessionId) -> Facts {
    Facts {
        session,
        front_end: FrontEnd::Policy,
        stage,
        transaction: transaction(request),
        client: client(request, end.address),
        envelope: envelope(request, stage),
        message: message(request),
        findings: Findings::default(),
    }
}

/// Postfix writes `instance` from process id, time and a counter; it is the same for every question about one
/// mail transaction, over whichever connection it comes.
fn transaction(request: &Request<'_>) -> Option<TransactionId> {
    let instance = request.filled(Attribute::Instance)?;
    let mut hasher = DefaultHasher::new();
    hasher.write(instance.as_bytes());
    Some(TransactionId(hasher.finish()))
}

fn client(request: &Request<'_>, address: IpAddr) -> Client {
    Client {
        name: host_name(request, Attribute::ClientName),
        reverse_name: host_name(request, Attribute::ReverseClientName),
        helo: text(request, Attribute::HeloName),
        tls: request.get(Attribute::EncryptionProtocol).map(|protocol| !protocol.is_empty()),
        authenticated: text(request, Attribute::SaslUsername),
        ..Client::new(address)
    }
}

fn envelope(request: &Request<'_>, stage: Stage) -> Envelope {
    let sender = request.get(Attribute::Sender).filter(|_| stage >= Stage::Mail);
    Envelope {
        // Empty is the null sender, but only once MAIL has been given.
        sender: sender.and_then(|sender| Sender::new(&sender)),
        recipient: request.filled(Attribute::Recipient).and_then(|text| Mailbox::new(&text)),
        accepted_recipients: number(request, Attribute::RecipientCount),
    }
}

fn message(request: &Request<'_>) -> Message {
    Message {
        size: number(request, Attribute::Size),
        verified: Vec::new(),
        signed: None,
        queue_id: text(request, Attribute::QueueId),
        anchor: None,
        raw: None,
    }
}

/// A name that Postfix got from the DNS, which writes `unknown` when there is none.
fn host_name(request: &Request<'_>, attribute: Attribute) -> Option<DomainName> {
    request.get(attribute).filter(|name| name != "unknown").and_then(|name| DomainName::new(&name))
}

fn number<N: FromStr + Default + PartialEq>(request: &Request<'_>, attribute: Attribute) -> Option<N> {
    request.get(attribute)?.parse().ok().filter(|number| *number != N::default())
}

fn text(request: &Request<'_>, attribute: Attribute) -> Option<CompactString> {
    let value = request.filled(attribute)?;
    Some(CompactString::new(&value[..value.floor_char_boundary(MAX_TEXT)]))
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
