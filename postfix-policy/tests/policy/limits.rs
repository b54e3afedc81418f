//! What one peer can use up, and what a slow engine can.

use crate::support::log::Log;
use crate::support::{DUNNO, Recorder, Server, deferral, request, soon};
use policy_core::answer::Reply;
use policy_core::engine::Event;
use postfix_policy::Limits;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

/// No wait of the server ends within a test.
const PATIENT: Limits = Limits {
    line: 8192,
    request: 65536,
    attributes: 100,
    connections: 10,
    idle: LONG,
    request_time: LONG,
    answer: LONG,
};

fn log() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    (log, guard)
}

#[tokio::test]
async fn the_defaults_suit_postfix() {
    let limits = Limits::default();
    let max_ttl = Duration::from_secs(1000);
    assert!(limits.idle > max_ttl, "Postfix, not we, closes a connection");
    assert!(limits.answer < Duration::from_secs(5), "an answer comes before a time-out of 5 s");
}

#[tokio::test]
async fn a_silent_peer_is_dropped() {
    let (log, _guard) = log();
    let (engine, _record) = Recorder::answering(Reply::Accept);
    let server = Server::tcp(engine, Limits { idle: SHORT, ..PATIENT }, LONG).await;
    assert_eq!(server.connect().await.rest().await, b"");
    let mut peer = server.connect().await;
    assert_eq!(peer.ask(request("RCPT", 1001, "")).await, DUNNO);
    assert_eq!(peer.rest().await, b"");
    assert_eq!(log.take("WARN"), [""; 0], "it is nothing to warn of");
}

#[tokio::test]
async fn a_request_that_was_begun_must_be_completed() {
    let (log, _guard) = log();
    let (engine, _record) = Recorder::answering(Reply::Accept);
    let server = Server::unix(engine, Limits { request_time: SHORT, ..PATIENT }, LONG);
    let mut peer = server.connect().await;
    assert_eq!(peer.ask(request("RCPT", 1001, "")).await, DUNNO);
    peer.send("request=").await;
    assert_eq!(peer.rest().await, b"");
    let warned = log.take("WARN");
    assert!(warned[0].contains("request not complete in time, 8 octets of it came"), "{warned:?}");
}

#[tokio::test]
async fn a_trickle_does_not_extend_the_time_for_a_request() {
    let (log, _guard) = log();
    let (engine, _record) = Recorder::answering(Reply::Accept);
    let limits = Limits { request_time: 4 * SHORT, line: usize::MAX, request: usize::MAX, ..PATIENT };
    let server = Server::tcp(engine, limits, LONG).await;
    let mut peer = server.connect().await;
    let begun = Instant::now();
    while peer.is_open_after("a").await {
        assert!(begun.elapsed() < LONG);
    }
    let warned = log.take("WARN");
    assert!(warned[0].contains("request not complete in time"), "{warned:?}");
}

#[tokio::test]
async fn each_request_has_its_own_time() {
    let (engine, _record) = Recorder::answering(Reply::Accept);
    let server = Server::tcp(engine, Limits { request_time: 20 * SHORT, ..PATIENT }, LONG).await;
    let (mut peer, mut other) = (server.connect().await, server.connect().await);
    let request = request("RCPT", 1001, "");
    let (start, end) = request.split_at(40);
    for _ in 0..2 {
        peer.send(start).await;
        // Once another peer has its reply, the server has seen that half.
        assert_eq!(other.ask(&request).await, DUNNO);
        assert_eq!(peer.ask(end).await, DUNNO);
        // The next one comes when the time of the one before has run out.
        let mut slow = server.connect().await;
        slow.send(start).await;
        assert_eq!(slow.rest().await, b"");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped() {
    let (log, _guard) = log();
    let (engine, mut record) = Recorder::answering(deferral());
    let server = Server::unix(engine, Limits { request_time: SHORT, ..PATIENT }, LONG);
    let mut peer = server.connect().await;
    // Far more answers than the buffers of a socket hold.
    let requests = request("RCPT", 1001, "").repeat(20_000);
    peer.try_send(requests).await;
    let closed = soon(record.reported.recv()).await.unwrap();
    assert_eq!(closed.event, Event::SessionClosed);
    let warned = log.take("WARN");
    assert!(warned[0].contains("the peer does not read its answer"), "{warned:?}");
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once() {
    let (log, _guard) = log();
    let (engine, _record) = Recorder::answering(Reply::Accept);
    let server = Server::tcp(engine, Limits { connections: 2, ..PATIENT }, LONG).await;
    let mut first = server.connect().await;
    assert_eq!(first.ask(request("RCPT", 1001, "")).await, DUNNO);
    let mut second = server.connect().await;
    assert_eq!(second.ask(request("RCPT", 1002, "")).await, DUNNO);
    for _ in 0..10 {
        assert_eq!(server.connect().await.rest().await, b"");
    }
    let warned = log.take("WARN");
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("too many connections") && warned[0].contains("limit=2"), "{warned:?}");
    assert_eq!(first.ask(request("RCPT", 1001, "")).await, DUNNO);
    first.end().await;
    assert_eq!(first.rest().await, b"");
    assert_eq!(server.connect().await.ask(request("RCPT", 1003, "")).await, DUNNO);
}

#[tokio::test]
async fn an_engine_that_never_decides_does_not_hold_up_mail() {
    let (log, _guard) = log();
    let (engine, mut record) = Recorder::new(deferral(), 0);
    let server = Server::tcp(engine, Limits { answer: SHORT, ..PATIENT }, LONG).await;
    let mut peer = server.connect().await;
    assert_eq!(peer.ask(request("END-OF-MESSAGE", 1001, "instance=1.2.3\n")).await, DUNNO);
    let warned = log.take("WARN");
    assert!(warned[0].contains("no decision in time") && warned[0].contains("192.0.2.7"), "{warned:?}");
    let report = soon(record.reported.recv()).await.unwrap();
    assert!(matches!(report.event, Event::MessageReceived { .. }), "it did arrive, and we let it");
    record.permits.add_permits(1);
    assert_ne!(peer.ask(request("RCPT", 1001, "")).await, DUNNO);
}
