//! The resolver against a server that sends what no honest one does.
#![allow(clippy::unwrap_used, clippy::expect_used)] // assertions, in helpers too

mod support;

use signals::dns::{Dns, Failure};
use signals::resolver::Resolver;
use std::net::Ipv4Addr;
use support::{hurried, name};
use tokio::net::UdpSocket;

/// Answers every datagram with what `reply` makes of it, over UDP only.
async fn raw(reply: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> (Resolver, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((octets, client)) = socket.recv_from(&mut buffer).await {
            drop(socket.send_to(&reply(&buffer[..octets]), client).await);
        }
    });
    (Resolver::new(hurried(address)).unwrap(), task)
}

#[tokio::test]
async fn a_forged_answer_is_none() {
    // The answer to another question id, and one whose name has not the case of the question's.
    let (other_id, _a) = raw(|question| {
        let mut reply = [question, b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01"].concat();
        reply[0] ^= 1;
        reply[2] |= 0x80;
        reply
    })
    .await;
    assert_eq!(other_id.a(&name("a.example")).await, Err(Failure::TimedOut));
    let (lower_case, _b) = raw(|question| {
        let mut reply = question.to_vec();
        reply[2] |= 0x80;
        reply[12..].make_ascii_lowercase();
        reply
    })
    .await;
    let long = name("a-name-with-very-many-letters-in-it.example");
    assert!(lower_case.a(&long).await.is_err_and(|failure| !failure.is_void()));
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for garbage in [&b""[..], b"\0", &[0xff; 12], &[0xc0; 600], b"\0\0\x81\x80\0\x01\0\x01"] {
        let (dns, _server) = raw(move |question| [&question[..2], garbage].concat()).await;
        let answer = dns.a(&name("a.example")).await;
        assert!(answer.as_ref().is_err_and(|failure| !failure.is_void()), "{garbage:?}: {answer:?}");
    }
}
