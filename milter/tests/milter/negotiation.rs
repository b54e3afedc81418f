//! What is asked of a mail server that offers everything, and of one that offers less.

use crate::support::{Server, soon};
use indymilter_test::{Actions, MacroStage, ProtoOpts, Status, TestError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn everything_offered() {
    let (server, _) = Server::recording().await;
    let mut connection = server.connect().await;
    let expected = ProtoOpts::NO_CONNECT
        | ProtoOpts::NO_DATA
        | ProtoOpts::NO_EOH
        | ProtoOpts::NO_UNKNOWN
        | ProtoOpts::REJECTED_RCPT
        | ProtoOpts::NOREPLY_HEADER
        | ProtoOpts::LEADING_SPACE;
    assert_eq!(connection.negotiated_opts(), expected);
    assert_eq!(connection.negotiated_actions(), Actions::ADD_HEADER);
    assert_eq!(connection.requested_macros().len(), 7);
    for stage in [MacroStage::Helo, MacroStage::Mail] {
        let macros = connection.requested_macros()[&stage].to_str().unwrap();
        assert!(macros.contains("{client_addr} {client_port} {client_name} {client_ptr} {client_resolve}"));
    }
    let connect = connection.connect("client.example", [192, 0, 2, 7]).await;
    assert!(matches!(connect, Err(TestError::MilterUsage)));
    assert_eq!(soon(connection.helo("client.example")).await.unwrap(), Status::Continue);
    server.ended().await;
}

#[tokio::test]
async fn less_offered() {
    let (server, _) = Server::recording().await;
    let all = Actions::all();
    let offers = [
        (2, all, ProtoOpts::from_bits_truncate(0x7f)),
        (3, all, ProtoOpts::from_bits_truncate(0x17f)),
        (4, all, ProtoOpts::from_bits_truncate(0x37f)),
        (6, all, ProtoOpts::REJECTED_RCPT),
        (6, Actions::empty(), ProtoOpts::all()),
        (2, Actions::empty(), ProtoOpts::empty()),
    ];
    for (version, actions, opts) in offers {
        let mut connection = server.connect_offering(version, actions, opts).await;
        let helo = soon(async {
            if !connection.negotiated_opts().contains(ProtoOpts::NO_CONNECT) {
                assert_eq!(connection.connect("x", [192, 0, 2, 7]).await.unwrap(), Status::Continue);
            }
            connection.helo("client.example").await
        });
        assert_eq!(helo.await.unwrap(), Status::Continue, "{version} {actions:?} {opts:?}");
    }
    server.ended().await;
}

/// Sendmail's form of an IPv6 address in the connect event ends a session of the milter library if a callback
/// is to be called with it.
#[tokio::test]
async fn an_ipv6_connect_event_is_survived() {
    let (server, recorder) = Server::recording().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let offer = [6u32, 0x3f, 0x1f_ffff].map(u32::to_be_bytes).concat();
    let macros = b"H{client_addr}\0IPv6:2001:db8:0:0:0:0:0:7\0{client_port}\x0046519\0";
    for (command, payload) in [
        (b'O', offer.as_slice()),
        (b'C', b"[IPv6:2001:db8::7]\x006\xb5\xb7IPv6:2001:db8:0:0:0:0:0:7\0"),
        (b'D', macros),
        (b'H', b"client.example\0"),
    ] {
        let length = u32::try_from(payload.len() + 1).unwrap();
        stream.write_all(&[&length.to_be_bytes(), &[command][..], payload].concat()).await.unwrap();
    }
    let mut replies = vec![0; 4 + 13 + 5 + 5];
    soon(stream.read_exact(&mut replies)).await.unwrap();
    assert_eq!(&replies[17..], b"\0\0\0\x01c\0\0\0\x01c");
    assert_eq!(recorder.line().await, "asked Helo [2001:db8::7]:46519 helo=client.example tls=no");
    server.ended().await;
}
