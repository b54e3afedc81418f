//! A world of a few domains and one list, and the facts of a client in it.
#![allow(dead_code, reason = "tests and benchmarks each use a part")]

use crate::support::*;
use crate::support_message::ED25519_PUBLIC;
use hickory_server::proto::rr::RecordType;
use policy_core::facts::*;
use policy_core::findings::{Findings, Note};
use policy_core::message::{Budget, Collector, MAX_MESSAGE, Raw};
use policy_core::name::{DomainName, Mailbox, Sender};
use signals::gather::{Options, Signals};
use signals::lists::presets;
use signals::resolver::{Resolver, ResolverOptions};
use std::sync::Arc;
use std::time::Duration;

/// The client whose everything is in order, and one that is listed and has no name.
pub(crate) const GOOD: &str = "192.0.2.7";
pub(crate) const LISTED: &str = "192.0.2.66";

/// What the world's servers say.
pub(crate) fn world(asked: &Asked) -> Say {
    let of = asked.name.to_ascii().to_ascii_lowercase();
    let key = format!("v=DKIM1; k=ed25519; p={ED25519_PUBLIC}");
    let texts = |one: &str| Say::Records(vec![text(&of, &[one.as_bytes()])]);
    match (asked.kind, of.as_str()) {
        (RecordType::PTR, "7.2.0.192.in-addr.arpa.") => {
            Say::Records(vec![pointer(&asked.name, "mail.src.example")])
        }
        (RecordType::A, "mail.src.example.") => addresses(&asked.name, &[GOOD]),
        (RecordType::A, "mta.dest.example.") => addresses(&asked.name, &["192.0.2.1"]),
        (RecordType::TXT, "src.example." | "other.example.") => texts("v=spf1 a:mail.src.example -all"),
        (RecordType::TXT, "_dmarc.src.example.") => texts("v=DMARC1; p=reject"),
        (RecordType::TXT, "ed._domainkey.src.example." | "arc._domainkey.list.example.") => texts(&key),
        (RecordType::A, "2.0.0.127.bl.example." | "66.2.0.192.bl.example.") => {
            addresses(&asked.name, &["127.0.0.2"])
        }
        (_, "mail.src.example." | "mta.dest.example." | "src.example.") => no_data(),
        _ => no_name(),
    }
}

/// Long enough that nothing is cut off on a busy machine.
pub(crate) fn patient() -> Options {
    Options {
        within: DEADLINE,
        lists: vec![presets::generic("bl.example")],
        own_names: vec![domain("mta.dest.example")],
        trusted_sealers: vec![domain("list.example")],
        ..Options::default()
    }
}

pub(crate) fn within(milliseconds: u64) -> Options {
    Options { within: Duration::from_millis(milliseconds), ..patient() }
}

/// Gathers, with the list's test points asked.
pub(crate) async fn start(resolver: ResolverOptions, options: Options) -> Signals<Resolver> {
    let signals = Signals::start(Resolver::new(resolver).unwrap(), None, options).unwrap();
    signals.tested().await;
    signals
}

pub(crate) fn domain(name: &str) -> DomainName {
    DomainName::new(name).unwrap()
}

/// The question at RCPT; sessions are told apart by the client's port.
pub(crate) fn rcpt(address: &str, port: u16, helo: &str, sender: &str) -> Facts {
    let mut client = Client::new(address.parse().unwrap());
    client.helo = Some(helo.into());
    Facts {
        session: SessionId::Tcp((client.address, port).into()),
        front_end: FrontEnd::Milter,
        stage: Stage::Rcpt,
        transaction: Some(TransactionId(1)),
        client,
        envelope: Envelope {
            sender: Sender::new(sender),
            recipient: Mailbox::new("bob@dest.example"),
            accepted_recipients: Some(1),
        },
        message: Message::default(),
        findings: Findings::default(),
    }
}

/// The client whose everything is in order.
pub(crate) fn good(port: u16) -> Facts {
    rcpt(GOOD, port, "mail.src.example", "ann@src.example")
}

/// The end of that mail.
pub(crate) fn end(mut facts: Facts, message: &str) -> Facts {
    facts.stage = Stage::EndOfMessage;
    facts.message.raw = Some(Arc::new(collected(message, MAX_MESSAGE)));
    facts
}

/// The message as a milter is given it.
pub(crate) fn collected(message: &str, limit: usize) -> Raw {
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    let mut collector = Collector::new(&Budget::default(), limit);
    for field in header.replace("\r\n ", "\n ").replace("\r\n\t", "\n\t").split("\r\n") {
        let (name, value) = field.split_once(':').unwrap();
        collector.header(name.as_bytes(), value.as_bytes(), true);
    }
    collector.body(body.as_bytes());
    collector.finish()
}

pub(crate) fn verified(facts: &Facts) -> Vec<(&str, VerifiedBy)> {
    facts.message.verified.iter().map(|verified| (verified.domain.as_str(), verified.by)).collect()
}

/// What is told of a signal.
pub(crate) fn notes<'f>(facts: &'f Facts, signal: &str) -> Vec<&'f Note> {
    facts.findings.notes.iter().filter(|note| note.signal == signal).collect()
}

pub(crate) fn said<'f>(facts: &'f Facts, signal: &str) -> Vec<&'f str> {
    notes(facts, signal).into_iter().map(|note| note.value.as_str()).collect()
}
