//! What the engine learns besides questions: messages that arrived, sessions that ended.

use crate::support::{DUNNO, Record, Recorder, Server, deferral, request, soon};
use policy_core::answer::Reply;
use policy_core::engine::{Event, Report};
use policy_core::facts::{FrontEnd, SessionId, Stage};
use postfix_policy::Limits;
use std::time::Duration;

async fn server(reply: Reply) -> (Server, Record) {
    let (engine, record) = Recorder::answering(reply);
    (Server::tcp(engine, Limits::default(), Duration::ZERO).await, record)
}

fn tcp(port: u16) -> SessionId {
    SessionId::Tcp(([192, 0, 2, 7], port).into())
}

async fn reported(record: &mut Record) -> Report {
    soon(record.reported.recv()).await.unwrap()
}

fn closed(session: SessionId) -> Report {
    Report { session, front_end: FrontEnd::Policy, event: Event::SessionClosed }
}

#[tokio::test]
async fn a_session_ends_when_postfix_turns_to_another_client() {
    let (server, mut record) = server(Reply::Accept).await;
    let mut peer = server.connect().await;
    for state in ["CONNECT", "EHLO", "MAIL", "RCPT", "RCPT", "DATA", "VRFY"] {
        assert_eq!(peer.ask(request(state, 1001, "")).await, DUNNO);
        assert!(record.reported.is_empty());
    }
    peer.ask(request("RCPT", 1002, "")).await;
    assert_eq!(reported(&mut record).await, closed(tcp(1001)));
    // Even a question that is not for the engine shows that the client before has gone.
    peer.ask(request("VRFY", 1003, "")).await;
    assert_eq!(reported(&mut record).await, closed(tcp(1002)));
    peer.ask(request("RCPT", 1003, "")).await;
    peer.ask(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=2001:db8::7\nclient_port=1003\n\n",
    )
    .await;
    assert_eq!(reported(&mut record).await, closed(tcp(1003)));
    drop(peer);
    assert_eq!(reported(&mut record).await, closed(SessionId::Tcp("[2001:db8::7]:1003".parse().unwrap())));
}

#[tokio::test]
async fn a_session_ends_with_its_connection() {
    let (server, mut record) = server(Reply::Accept).await;
    for breach in ["", "request", "junk\n"] {
        let mut peer = server.connect().await;
        peer.ask(request("RCPT", 1001, "")).await;
        peer.send(breach).await;
        drop(peer);
        assert_eq!(reported(&mut record).await, closed(tcp(1001)));
    }
    let mut peer = server.connect().await;
    peer.ask(request("VRFY", 1001, "")).await;
    drop(peer);
    server.shut_down().await;
    assert!(record.reported.try_recv().is_err(), "the engine was never asked about that session");
}

#[tokio::test]
async fn without_a_port_sessions_have_numbers_that_never_return() {
    let (server, mut record) = server(Reply::Accept).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut peer = server.connect().await;
        // The second CONNECT begins a session that nothing else tells from the first.
        for state in ["CONNECT", "EHLO", "RCPT", "CONNECT", "CONNECT", "RCPT"] {
            peer.ask(request(state, 0, "")).await;
            seen.push(soon(record.asked.recv()).await.unwrap().session);
        }
    }
    assert!(seen.iter().all(|id| matches!(id, SessionId::Connection(FrontEnd::Policy, _))));
    for session in seen.chunks(3) {
        assert!(session.iter().all(|id| *id == session[0]));
        assert_eq!(seen.iter().filter(|id| **id == session[0]).count(), 3);
    }
}

#[tokio::test]
async fn a_message_that_we_accept_is_reported() {
    let (server, mut record) = server(Reply::Accept).await;
    let mut peer = server.connect().await;
    for state in ["RCPT", "DATA", "END-OF-MESSAGE"] {
        peer.ask(request(state, 1001, "instance=1.2.3.0\nsize=2100\nrecipient_count=2\n")).await;
    }
    let mut transaction = None;
    for stage in [Stage::Rcpt, Stage::Data, Stage::EndOfMessage] {
        let facts = soon(record.asked.recv()).await.unwrap();
        assert_eq!(facts.stage, stage);
        transaction = facts.transaction;
    }
    let event =
        Event::MessageReceived { transaction: transaction.unwrap(), recipients: Some(2), filter: None };
    let report = Report { session: tcp(1001), front_end: FrontEnd::Policy, event };
    assert_eq!(reported(&mut record).await, report);
    // The next transaction of the session comes without a word about this one.
    peer.ask(request("RCPT", 1001, "instance=1.2.3.1\n")).await;
    assert!(record.reported.try_recv().is_err());
}

#[tokio::test]
async fn a_message_that_we_refuse_is_not_reported() {
    let (server, mut record) = server(deferral()).await;
    let mut peer = server.connect().await;
    peer.ask(request("END-OF-MESSAGE", 1001, "instance=1.2.3.0\nsize=2100\n")).await;
    drop(peer);
    assert_eq!(reported(&mut record).await, closed(tcp(1001)));
}
