//! The server itself: limits, silence, reload, leaving.

use crate::support::recorder::Recorder;
use crate::support::{Server, soon};
use indymilter_test::{MacroStage, Status, TestConnection};
use milter::{FilterHeader, Forgeries, Limits, Options, Reading, Socket, serve};
use policy_core::answer::Answer;
use policy_core::engine::{Engine, Report};
use policy_core::facts::Facts;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::{oneshot, watch};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(600);

async fn introduce(connection: &mut TestConnection) {
    let client = [("{client_addr}", "192.0.2.7"), ("{client_port}", "4321")];
    connection.macros(MacroStage::Helo, client).await.unwrap();
    assert_eq!(soon(connection.helo("client.example")).await.unwrap(), Status::Continue);
}

async fn mail(connection: &mut TestConnection) {
    let client = [("{client_addr}", "192.0.2.7"), ("{client_port}", "4321")];
    connection.macros(MacroStage::Mail, client).await.unwrap();
    assert_eq!(soon(connection.mail(["<a@src.example>"])).await.unwrap(), Status::Continue);
}

async fn message(connection: &mut TestConnection, field: (&str, &str)) {
    mail(connection).await;
    assert_eq!(soon(connection.rcpt(["<good@dest.example>"])).await.unwrap(), Status::Continue);
    soon(connection.header(field.0, field.1)).await.unwrap();
    assert_eq!(soon(connection.eom()).await.unwrap().1, Status::Continue);
}

/// The lines up to the first that contains `text`.
async fn until(recorder: &Recorder, text: &str) -> String {
    loop {
        let line = recorder.line().await;
        if line.contains(text) {
            return line;
        }
    }
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_a_place_comes_free() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let server = Server::start(Recorder::default(), options, Duration::ZERO).await;
    let first = server.connect().await;
    assert!(soon(TestConnection::open(server.address)).await.is_err());
    first.close().await.unwrap();
    let again = async { while TestConnection::open(server.address).await.is_err() {} };
    soon(again).await;
    server.ended().await;
}

#[tokio::test]
async fn a_peer_that_does_not_negotiate_is_dropped_and_others_are_not() {
    let limits = Limits { first_packet: SHORT, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let server = Server::start(Recorder::default(), options, Duration::ZERO).await;
    let mut negotiated = server.connect().await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"\0\0\0\x0dO\0\0\0\x06").await.unwrap();
    for peer in [&mut silent, &mut slow] {
        assert_eq!(soon(peer.read(&mut [0])).await.unwrap(), 0);
    }
    introduce(&mut negotiated).await;
    server.ended().await;
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_dropped_in_the_end() {
    let limits = Limits { idle: SHORT, ..Limits::default() };
    let recorder = Recorder::default();
    let options = Options { limits, ..Options::default() };
    let server = Server::start(recorder.clone(), options, Duration::ZERO).await;
    let mut connection = server.connect().await;
    introduce(&mut connection).await;
    assert_eq!(until(&recorder, "told").await, "told 192.0.2.7:4321 closed");
    server.ended().await;
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let (server, _) = Server::recording().await;
    let mut connection = server.connect().await;
    let offer = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff";
    let garbage: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: mx.dest.example\r\n\r\n",
        b"\xff\xff\xff\xffO",
        b"\0\0\0\0O\0\0\0\0O\0\0\0\0O\0\0\0\0O",
        b"\0\0\0\x0dO\0\0\0\x01\0\0\0\0\0\0\0\0",
        &[&offer[..], b"\0\0\0\x02H!"].concat(),
        &[&offer[..], b"\0\0\0\x01!"].concat(),
        &[&offer[..], b"\0\0\0\x04M\xff\0\xfe\0\0\0\x01M"].concat(),
    ];
    for octets in garbage {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(octets).await.unwrap();
        // Closed in order or reset: either way it ends.
        let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    }
    introduce(&mut connection).await;
    server.ended().await;
}

#[tokio::test]
async fn leaving_waits_for_the_sessions_that_are_open() {
    let recorder = Recorder::default();
    let server = Server::start(recorder.clone(), Options::default(), LONG).await;
    let address = server.address;
    let mut connection = server.connect().await;
    let task = server.leave();
    soon(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    introduce(&mut connection).await;
    message(&mut connection, ("Subject", "x")).await;
    assert!(!task.is_finished());
    connection.close().await.unwrap();
    soon(task).await.unwrap().unwrap();
    assert_eq!(recorder.rest().pop().as_deref(), Some("told 192.0.2.7:4321 closed"));
}

#[tokio::test]
async fn leaving_ends_what_is_open_when_the_grace_period_is_over() {
    let recorder = Recorder::default();
    let server = Server::start(recorder.clone(), Options::default(), SHORT).await;
    let mut connection = server.connect().await;
    introduce(&mut connection).await;
    mail(&mut connection).await;
    server.ended().await;
    let lines = recorder.rest();
    let told: Vec<_> = lines.iter().filter(|line| line.starts_with("told")).collect();
    assert_eq!(told, ["told 192.0.2.7:4321 aborted transaction=1", "told 192.0.2.7:4321 closed"]);
    assert!(soon(connection.rcpt(["<good@dest.example>"])).await.is_err());
}

#[tokio::test]
async fn a_lost_connection_ends_its_transaction_and_its_session() {
    let (server, recorder) = Server::recording().await;
    let mut connection = server.connect().await;
    introduce(&mut connection).await;
    mail(&mut connection).await;
    drop(connection);
    assert_eq!(until(&recorder, "told").await, "told 192.0.2.7:4321 aborted transaction=1");
    assert_eq!(recorder.line().await, "told 192.0.2.7:4321 closed");
    server.ended().await;
}

#[tokio::test]
async fn a_connection_keeps_the_options_it_began_with() {
    let (server, recorder) = Server::recording().await;
    let mut before = server.connect().await;
    introduce(&mut before).await;
    let verdict =
        FilterHeader { name: "X-Verdict".into(), reading: Reading::Flag, forgeries: Forgeries::Removed };
    let options = Options { filter_headers: vec![verdict], ..Options::default() };
    server.options.send(Arc::new(options)).unwrap();
    let mut after = server.connect().await;
    introduce(&mut after).await;
    message(&mut before, ("X-Verdict", "bad")).await;
    assert!(!until(&recorder, "received").await.contains("filter="));
    message(&mut after, ("X-Verdict", "bad")).await;
    assert!(until(&recorder, "received").await.ends_with("filter=X-Verdict:spam"));
    server.ended().await;
}

#[tokio::test]
async fn a_unix_socket_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("milter.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (_options, current) = watch::channel(Arc::new(Options::default()));
    let (stop, stopped) = oneshot::channel::<()>();
    let recorder = Recorder::default();
    let shutdown = async { stopped.await.unwrap_or_default() };
    let engine = recorder.clone();
    let server = serve(Socket::Unix(listener), engine, current, shutdown, LONG);
    let client = async {
        let mut connection = soon(TestConnection::configure().open_unix(&path)).await.unwrap();
        introduce(&mut connection).await;
        connection.close().await.unwrap();
        stop.send(()).unwrap();
    };
    let (result, ()) = soon(async { tokio::join!(server, client) }).await;
    result.unwrap();
    assert_eq!(recorder.rest().len(), 2);
}

/// An engine that never answers, or panics.
#[derive(Clone)]
struct Broken {
    panics: bool,
    recorder: Recorder,
}

impl Engine for Broken {
    async fn decide(&self, facts: Facts) -> Answer {
        self.recorder.decide(facts).await;
        assert!(!self.panics, "as the test wants it");
        std::future::pending().await
    }

    fn report(&self, report: Report) {
        self.recorder.report(report);
    }
}

#[tokio::test]
async fn mail_goes_on_when_the_engine_is_silent() {
    let limits = Limits { answer: SHORT, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let recorder = Recorder::default();
    let engine = Broken { panics: false, recorder: recorder.clone() };
    let server = Server::start(engine, options, Duration::ZERO).await;
    let mut connection = server.connect().await;
    introduce(&mut connection).await;
    message(&mut connection, ("Subject", "x")).await;
    let received = until(&recorder, "received").await;
    assert!(received.ends_with("received transaction=1 recipients=1"), "{received}");
    server.ended().await;
}

#[tokio::test]
async fn a_session_is_closed_even_when_its_task_panics() {
    let recorder = Recorder::default();
    let engine = Broken { panics: true, recorder: recorder.clone() };
    let server = Server::start(engine, Options::default(), Duration::ZERO).await;
    let mut connection = server.connect().await;
    let client = [("{client_addr}", "192.0.2.7"), ("{client_port}", "4321")];
    connection.macros(MacroStage::Helo, client).await.unwrap();
    assert!(soon(connection.helo("client.example")).await.is_err());
    assert_eq!(until(&recorder, "told").await, "told 192.0.2.7:4321 closed");
    let mut other = server.connect().await;
    assert_eq!(soon(other.helo("client.example")).await.unwrap(), Status::Continue);
    server.ended().await;
}
