//! Facts for the tests of this crate.

use crate::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId};
use crate::findings::Findings;
use crate::name::{DomainName, Mailbox, Sender};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// A stranger at RCPT without anything to recommend it, in a session of its own.
pub(crate) fn facts(address: &str) -> Facts {
    static PORT: AtomicU16 = AtomicU16::new(1024);
    static TRANSACTION: AtomicU64 = AtomicU64::new(1);
    let address: IpAddr = address.parse().unwrap();
    let port = PORT.fetch_add(1, Ordering::Relaxed).max(1);
    Facts {
        session: SessionId::Tcp(SocketAddr::new(address, port)),
        front_end: FrontEnd::Policy,
        stage: Stage::Rcpt,
        transaction: Some(TransactionId(TRANSACTION.fetch_add(1, Ordering::Relaxed))),
        client: Client { helo: Some("client.example".into()), ..Client::new(address) },
        envelope: Envelope {
            sender: Sender::new("a@src.example"),
            recipient: Mailbox::new("good@dest.example"),
            accepted_recipients: Some(0),
        },
        message: Message::default(),
        findings: Findings::default(),
    }
}

/// The same with a confirmed name of a mail server that says HELO with it.
pub(crate) fn named(address: &str, name: &str) -> Facts {
    let mut facts = facts(address);
    facts.client.name = DomainName::new(name);
    facts.client.reverse_name = facts.client.name.clone();
    facts.client.helo = Some(name.into());
    facts.envelope.sender = Sender::new(&format!("a@{name}"));
    facts
}
