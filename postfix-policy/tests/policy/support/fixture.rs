//! The requests under `fixtures/policy`, and what is expected of each.

use policy_core::facts::{Facts, SessionId};
use policy_core::name::{Mailbox, Sender};
use std::fmt::Display;
use std::path::PathBuf;

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/policy"))
}

fn table(path: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(directory().join(path)).unwrap();
    let rows = text.lines().skip(1);
    rows.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The names of the request files in a folder.
fn files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".txt")).collect();
    names.sort();
    names
}

/// A row of `expected.tsv` and its request.
pub(crate) struct Fixture {
    pub(crate) file: String,
    pub(crate) bytes: Vec<u8>,
    /// The columns from `stage` to `queue_id`; all `-` when the engine is not asked.
    pub(crate) facts: Vec<String>,
    pub(crate) when_deferring: String,
    pub(crate) when_accepting: String,
}

impl Fixture {
    pub(crate) fn is_asked(&self) -> bool {
        self.facts[0] != "-"
    }

    /// Postfix's name of the transaction.
    pub(crate) fn instance(&self) -> Option<&str> {
        Some(self.facts[3].as_str()).filter(|&instance| instance != "-")
    }
}

/// Every request that Postfix may send.
pub(crate) fn all() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for row in table("expected.tsv") {
        let [file, facts @ .., when_deferring, when_accepting] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!(facts.len(), 14, "{file}");
        fixtures.push(Fixture {
            file: file.clone(),
            bytes: std::fs::read(directory().join(file)).unwrap(),
            facts: facts.to_vec(),
            when_deferring: format!("action={when_deferring}\n\n"),
            when_accepting: format!("action={when_accepting}\n\n"),
        });
    }
    let names: Vec<_> = fixtures.iter().map(|fixture| fixture.file.clone()).collect();
    assert_eq!(names, files("."), "expected.tsv lists the files in order");
    fixtures
}

/// A request that breaks the format.
pub(crate) struct Malformed {
    pub(crate) file: String,
    pub(crate) bytes: Vec<u8>,
    /// What is logged.
    pub(crate) reason: String,
}

/// Every request that breaks the format.
pub(crate) fn malformed() -> Vec<Malformed> {
    let mut fixtures = Vec::new();
    for row in table("malformed/expected.tsv") {
        let [file, reason] = row.as_slice() else { panic!("{row:?}") };
        let bytes = std::fs::read(directory().join("malformed").join(file)).unwrap();
        fixtures.push(Malformed { file: file.clone(), bytes, reason: reason.clone() });
    }
    let names: Vec<_> = fixtures.iter().map(|fixture| fixture.file.clone()).collect();
    assert_eq!(names, files("malformed"), "malformed/expected.tsv lists the files in order");
    fixtures
}

/// Facts as `expected.tsv` writes them; `instance` stands for the transaction.
pub(crate) fn describe(facts: &Facts, instance: Option<&str>) -> Vec<String> {
    let Facts { session, stage, transaction, client, envelope, message, .. } = facts;
    let session = match session {
        SessionId::Tcp(address) => Some(*address),
        SessionId::Connection(..) => None,
    };
    let sender = envelope.sender.as_ref().map(|sender| match sender {
        Sender::Null => "<>".to_owned(),
        Sender::Mailbox(mailbox) => bracketed(mailbox),
    });
    vec![
        format!("{stage:?}"),
        client.address.to_string(),
        or_dash(session),
        or_dash(transaction.and(instance)),
        or_dash(client.name.as_ref()),
        or_dash(client.reverse_name.as_ref()),
        or_dash(client.helo.as_ref()),
        or_dash(client.tls.map(|tls| if tls { "yes" } else { "no" })),
        or_dash(client.authenticated.as_ref()),
        or_dash(sender),
        or_dash(envelope.recipient.as_ref().map(bracketed)),
        or_dash(envelope.accepted_recipients),
        or_dash(message.size),
        or_dash(message.queue_id.as_ref()),
    ]
}

fn bracketed(mailbox: &Mailbox) -> String {
    format!("<{mailbox}>")
}

fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
