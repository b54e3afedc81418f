//! The end of the server, seen by peers in every state.

use crate::support::log::Log;
use crate::support::{DUNNO, Recorder, Server, deferral, request, soon};
use policy_core::answer::Reply;
use policy_core::engine::Event;
use postfix_policy::Limits;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_server_without_connections_ends_at_once() {
    let (engine, _record) = Recorder::answering(Reply::Accept);
    let server = Server::tcp(engine.clone(), Limits::default(), LONG).await;
    server.shut_down().await;
    let server = Server::unix(engine, Limits::default(), LONG);
    let mut peer = server.connect().await;
    assert_eq!(peer.ask(request("RCPT", 1001, "")).await, DUNNO);
    drop(peer);
    server.shut_down().await;
}

#[tokio::test]
async fn during_the_grace_connections_go_on_but_no_more_come() {
    let (engine, _record) = Recorder::answering(Reply::Accept);
    let mut server = Server::tcp(engine, Limits::default(), LONG).await;
    let mut peer = server.connect().await;
    assert_eq!(peer.ask(request("MAIL", 1001, "")).await, DUNNO);
    server.ask_to_shut_down();
    soon(server.refuses()).await;
    assert_eq!(peer.ask(request("RCPT", 1001, "")).await, DUNNO);
    assert!(!server.is_done());
    drop(peer);
    server.shut_down().await;
}

#[tokio::test]
async fn after_the_grace_idle_connections_are_closed() {
    let (engine, mut record) = Recorder::answering(Reply::Accept);
    let server = Server::tcp(engine, Limits::default(), Duration::ZERO).await;
    let mut peer = server.connect().await;
    assert_eq!(peer.ask(request("RCPT", 1001, "")).await, DUNNO);
    let mut silent = server.connect().await;
    assert_eq!(silent.ask(request("VRFY", 1002, "")).await, DUNNO);
    server.shut_down().await;
    assert_eq!((peer.rest().await, silent.rest().await), (vec![], vec![]));
    assert_eq!(soon(record.reported.recv()).await.unwrap().event, Event::SessionClosed);
}

#[tokio::test]
async fn a_request_in_progress_gets_its_reply() {
    let (engine, mut record) = Recorder::new(deferral(), 0);
    let mut server = Server::tcp(engine, Limits { answer: LONG, ..Limits::default() }, Duration::ZERO).await;
    let (mut deciding, mut begun) = (server.connect().await, server.connect().await);
    deciding.send(request("RCPT", 1001, "")).await;
    soon(record.asked.recv()).await.unwrap();
    begun.ask(request("VRFY", 1002, "")).await;
    let request = request("RCPT", 1002, "");
    let (start, end) = request.split_at(60);
    begun.send(start).await;
    server.ask_to_shut_down();
    soon(server.refuses()).await;
    begun.send(end).await;
    soon(record.asked.recv()).await.unwrap();
    assert!(!server.is_done());
    record.permits.add_permits(2);
    for mut peer in [deciding, begun] {
        assert!(peer.reply().await.starts_with("action=421 4.7.0 "));
        assert_eq!(peer.rest().await, b"");
    }
    server.shut_down().await;
}

#[tokio::test]
async fn a_peer_with_endless_requests_cannot_hold_up_the_end() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let (engine, mut record) = Recorder::new(Reply::Accept, 0);
    let mut server = Server::unix(engine, Limits { answer: LONG, ..Limits::default() }, Duration::ZERO);
    let mut peer = server.connect().await;
    peer.send(request("RCPT", 1001, "").repeat(100)).await;
    soon(record.asked.recv()).await.unwrap();
    server.ask_to_shut_down();
    soon(log.says("grace is over, closing connections connections=1")).await;
    record.permits.add_permits(100);
    assert_eq!(peer.rest().await, DUNNO.as_bytes(), "one reply, to the request in progress");
    server.shut_down().await;
}

#[tokio::test]
async fn a_dropped_server_closes_its_connections() {
    let (engine, _record) = Recorder::answering(Reply::Accept);
    let server = Server::tcp(engine, Limits::default(), LONG).await;
    let mut peer = server.connect().await;
    assert_eq!(peer.ask(request("RCPT", 1001, "")).await, DUNNO);
    server.abort();
    assert_eq!(peer.rest().await, b"");
}
