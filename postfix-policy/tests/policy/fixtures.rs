//! Every recorded request, over both kinds of socket, in every way that bytes may arrive.

use crate::support::fixture::{self, Fixture, describe};
use crate::support::log::Log;
use crate::support::{DUNNO, Peer, Record, Recorder, Server, deferral, soon};
use policy_core::answer::Reply;
use policy_core::facts::TransactionId;
use postfix_policy::Limits;
use std::collections::HashMap;
use std::time::Duration;

/// A server of each kind over an engine that answers `reply`.
async fn servers(reply: Reply) -> Vec<(Server, Record)> {
    let (engine, record) = Recorder::answering(reply.clone());
    let tcp = (Server::tcp(engine, Limits::default(), Duration::ZERO).await, record);
    let (engine, record) = Recorder::answering(reply);
    let unix = (Server::unix(engine, Limits::default(), Duration::ZERO), record);
    vec![tcp, unix]
}

/// The engine was asked this, or nothing when nothing was to be asked.
async fn asked(fixture: &Fixture, record: &mut Record) -> Option<TransactionId> {
    if !fixture.is_asked() {
        assert!(record.asked.is_empty(), "{}", fixture.file);
        return None;
    }
    let facts = soon(record.asked.recv()).await.unwrap();
    assert_eq!(describe(&facts, fixture.instance()), fixture.facts, "{}", fixture.file);
    assert!(facts.message.verified.is_empty(), "{}", fixture.file);
    facts.transaction
}

#[tokio::test]
async fn each_request_has_its_facts_and_its_replies() {
    for (server, mut record) in servers(deferral()).await {
        let mut peer = server.connect().await;
        for fixture in fixture::all() {
            assert_eq!(peer.ask(&fixture.bytes).await, fixture.when_deferring, "{}", fixture.file);
            asked(&fixture, &mut record).await;
        }
    }
    for (server, mut record) in servers(Reply::Accept).await {
        let mut peer = server.connect().await;
        for fixture in fixture::all() {
            assert_eq!(peer.ask(&fixture.bytes).await, fixture.when_accepting, "{}", fixture.file);
            asked(&fixture, &mut record).await;
        }
    }
}

#[tokio::test]
async fn a_transaction_is_the_same_for_every_question_about_it() {
    let (server, mut record) = servers(deferral()).await.remove(0);
    let mut ids = HashMap::<String, TransactionId>::new();
    for fixture in fixture::all() {
        server.connect().await.ask(&fixture.bytes).await;
        if let Some(id) = asked(&fixture, &mut record).await {
            let known = *ids.entry(fixture.instance().unwrap().to_owned()).or_insert(id);
            assert_eq!(known, id, "{}", fixture.file);
        }
    }
    let distinct: std::collections::HashSet<_> = ids.values().collect();
    assert_eq!((distinct.len(), ids.len() > 10), (ids.len(), true));
}

#[tokio::test]
async fn a_request_may_arrive_in_single_octets() {
    for (server, mut record) in servers(deferral()).await {
        let mut peer = server.connect().await;
        for fixture in fixture::all() {
            for octet in &fixture.bytes {
                peer.send([*octet]).await;
            }
            assert_eq!(peer.reply().await, fixture.when_deferring, "{}", fixture.file);
            asked(&fixture, &mut record).await;
        }
    }
}

#[tokio::test]
async fn requests_may_arrive_together() {
    for (server, mut record) in servers(deferral()).await {
        let mut peer = server.connect().await;
        let fixtures = fixture::all();
        peer.send(fixtures.iter().flat_map(|fixture| fixture.bytes.clone()).collect::<Vec<_>>()).await;
        peer.end().await;
        for fixture in &fixtures {
            assert_eq!(peer.reply().await, fixture.when_deferring, "{}", fixture.file);
            if fixture.is_asked() {
                asked(fixture, &mut record).await;
            }
        }
        assert_eq!(peer.rest().await, b"");
    }
}

/// Sends what breaks the format after a request that is well, and returns what follows that one's reply.
async fn break_off(peer: &mut Peer, bytes: &[u8]) -> Vec<u8> {
    assert_eq!(peer.ask("request=smtpd_access_policy\n\n").await, DUNNO);
    // The server may have closed before all of a long one is sent.
    peer.try_send(bytes).await;
    peer.end().await;
    peer.rest().await
}

#[tokio::test]
async fn what_breaks_the_format_is_logged_and_never_answered() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    for (server, mut record) in servers(Reply::Accept).await {
        for fixture in fixture::malformed() {
            let mut peer = server.connect().await;
            assert_eq!(break_off(&mut peer, &fixture.bytes).await, b"", "{}", fixture.file);
            let lines = log.take("WARN");
            assert_eq!(lines.len(), 1, "{}: {lines:?}", fixture.file);
            assert!(
                lines[0].contains(" peer=127.0.0.1:") || lines[0].contains(" peer=unix:pid="),
                "{lines:?}"
            );
            assert!(
                lines[0].ends_with(&format!(" reason={}", fixture.reason)),
                "{}: {lines:?}",
                fixture.file
            );
        }
        assert!(record.asked.try_recv().is_err());
    }
}
