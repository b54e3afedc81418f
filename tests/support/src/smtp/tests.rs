//! The client against servers that follow a script.

use super::*;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that answers its n-th line with the n-th of `replies` (the first is the greeting) and hangs
/// up when they are used up. After a `354` it reads up to the lone dot. It returns what it was sent.
async fn server(replies: &'static [&'static str]) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut heard = Vec::new();
        for (n, reply) in replies.iter().enumerate() {
            stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
            if n + 1 == replies.len() {
                break;
            }
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                heard.push(line.trim_end().to_owned());
                if !reply.starts_with("354") || line == ".\r\n" {
                    break;
                }
            }
        }
        heard
    };
    (address, tokio::spawn(script))
}

fn mail() -> Mail {
    Mail::from("a@src.example").to("one@dest.example").to("two@dest.example").header("Subject", "x")
}

#[tokio::test]
async fn an_accepted_message_shows_each_exchange() {
    let replies = &[
        "220 hi",
        "250-mx\r\n250 SIZE",
        "250 2.1.0 ok",
        "250 ok",
        "550 5.1.1 no",
        "354 go",
        "250 2.0.0 queued",
    ];
    let (address, heard) = server(replies).await;
    let outcome = Visit::to(address).send(&mail()).await.unwrap();
    assert!(outcome.is_accepted(), "{outcome}");
    assert_eq!(outcome.rcpt("two@dest.example").unwrap().code, 550);
    assert_eq!(outcome.replies_at(Stage::Rcpt).len(), 2);
    let heard = heard.await.unwrap();
    let expected = ["EHLO client.example", "MAIL FROM:<a@src.example>", "RCPT TO:<one@dest.example>"];
    assert_eq!(heard[..3], expected);
    assert_eq!(heard[4..], ["DATA", "Subject: x", "", "A test.", "."]);
}

#[tokio::test]
async fn a_421_that_closes_shows_as_hung_up() {
    let (address, _) = server(&["220 hi", "250 mx", "250 ok", "421 4.7.0 Try again later"]).await;
    let outcome = Visit::to(address).send(&mail()).await.unwrap();
    assert!(!outcome.is_accepted() && outcome.hung_up, "{outcome}");
    let (stage, reply) = outcome.refusal().unwrap();
    assert_eq!((stage, reply.code, reply.enhanced.as_deref()), (Stage::Rcpt, 421, Some("4.7.0")));
}

#[tokio::test]
async fn a_refusal_that_keeps_the_session_open_shows_as_open() {
    let (address, heard) = server(&["220 hi", "250 mx", "451 4.7.0 later", "250 reset", "221 bye"]).await;
    let outcome = Visit::to(address).send(&mail()).await.unwrap();
    assert!(!outcome.is_accepted() && !outcome.hung_up, "{outcome}");
    assert_eq!(outcome.refusal().unwrap().0, Stage::Mail);
    assert_eq!(heard.await.unwrap()[2..], ["RSET", "QUIT"]);
}

#[tokio::test]
async fn a_server_that_hangs_up_without_a_reply_is_told_apart() {
    let (address, _) = server(&["220 hi", "250 mx"]).await;
    let mut client = SmtpClient::connect(address).await.unwrap();
    client.ehlo("client.example").await.unwrap();
    let outcome = client.send_mail(&mail()).await.unwrap();
    assert!(outcome.hung_up && outcome.refusal().is_none(), "{outcome}");
    assert!(outcome.exchanges.last().is_some_and(|last| last.stage == Stage::Mail && last.reply.is_none()));
    client.closed_by_server().await.unwrap();
}

#[tokio::test]
async fn a_refused_greeting_and_a_refused_xclient_end_the_visit() {
    let (address, _) = server(&["554 5.7.1 go away"]).await;
    let outcome = Visit::to(address).send(&mail()).await.unwrap();
    assert_eq!(outcome.refusal().unwrap().0, Stage::Greeting, "{outcome}");
    let (address, heard) = server(&["220 hi", "421 4.7.0 not now"]).await;
    let client = Xclient::from_address([192, 0, 2, 7]);
    let outcome = Visit::to(address).as_client(client).send(&mail()).await.unwrap();
    assert_eq!(outcome.refusal().unwrap().0, Stage::Xclient, "{outcome}");
    assert_eq!(heard.await.unwrap(), ["XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE]"]);
}

#[tokio::test]
async fn what_is_no_reply_is_an_error() {
    let (address, _) = server(&["hello"]).await;
    assert!(matches!(SmtpClient::connect(address).await, Err(SmtpError::Malformed(_))));
    let (address, _) = server(&["220-a\r\n221 b"]).await;
    assert!(matches!(SmtpClient::connect(address).await, Err(SmtpError::Malformed(_))));
}
