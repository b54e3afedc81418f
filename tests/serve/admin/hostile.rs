//! What must not get in, and what must not keep the operator out.

use super::{Administered, read_answer};
use crate::support::LONG;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Instant;

const STATUS: &str = "/v1/status";

/// A GET with these header lines alone.
fn get(daemon: &Administered, header: &str) -> (u16, String) {
    read_answer(&daemon.raw(format!("GET {STATUS} HTTP/1.1\r\nConnection: close\r\n{header}\r\n").as_bytes()))
}

#[test]
fn a_foreign_host_is_refused() {
    let daemon = Administered::start("admin.hosts = [\"mail.example\"]\n");
    for host in ["127.0.0.1", "localhost:10423", "[::1]"] {
        assert_eq!(get(&daemon, &format!("Host: {host}\r\n")).0, 200, "{host}");
    }
    for host in ["mail.example", "MAIL.example:443"] {
        let token = format!("Authorization: Bearer {}\r\n", daemon.token());
        assert_eq!(get(&daemon, &format!("Host: {host}\r\n{token}")).0, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example", "", "a@localhost.evil"] {
        let (status, body) = get(&daemon, &format!("Host: {host}\r\n"));
        assert_eq!(status, 403, "{host}");
        assert!(body.starts_with("{\"error\":\"Host names a host that this is not"), "{body}");
    }
    assert_eq!(get(&daemon, "").0, 403, "no Host");
    assert_eq!(get(&daemon, "Host: localhost\r\nHost: evil.example\r\n").0, 403, "two");
    let absolute =
        "GET http://evil.example/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(read_answer(&daemon.raw(absolute.as_bytes())).0, 403);
}

#[test]
fn through_a_proxy_on_this_host_nothing_is_read_without_the_token() {
    let daemon = Administered::start("admin.hosts = [\"mail.example\"]\n");
    let forwarded = "Host: localhost\r\nX-Forwarded-For: 203.0.113.9\r\n";
    for header in ["Host: mail.example\r\n", forwarded] {
        assert_eq!(
            get(&daemon, header),
            (401, "{\"error\":\"this needs the token\"}".to_owned()),
            "{header}"
        );
    }
}

#[test]
fn nothing_is_changed_without_the_token() {
    let daemon = Administered::start("");
    let ask = |header: &str| daemon.ask("POST", STATUS, header, "");
    let (status, body) = ask("");
    assert_eq!((status, body.as_str()), (401, "{\"error\":\"this needs the token\"}"));
    for wrong in ["Bearer wrong", "Bearer ", "Basic eDp4", "Bearer", "wrong"] {
        assert_eq!(ask(&format!("Authorization: {wrong}\r\n")).0, 401, "{wrong}");
    }
    let almost = daemon.token().replacen(|c: char| c != '0', "0", 1);
    assert_eq!(ask(&format!("Authorization: Bearer {almost}\r\n")).0, 401);
    assert_eq!(ask(&format!("Authorization: Bearer {}\r\n", daemon.token())).0, 405, "past the gate");
    let shown = daemon.ask("GET", STATUS, "Authorization: Bearer wrong\r\n", "");
    assert_eq!(shown.0, 401, "a wrong token is told even where none is needed");
}

#[test]
fn no_other_site_is_given_leave() {
    let daemon = Administered::start("");
    let request = format!(
        "OPTIONS {STATUS} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\
         Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
    );
    let answer = daemon.raw(request.as_bytes());
    assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
}

#[test]
fn odd_paths_are_nothing() {
    let daemon = Administered::start("");
    for path in [
        "/",
        "/v1",
        "/v1/status/",
        "//v1/status",
        "/v1/../v1/status",
        "/v1/%2e%2e/status",
        "/v1/status%00",
        "/V1/STATUS",
    ] {
        let (status, body) = daemon.ask("GET", path, "", "");
        assert_eq!(status, 404, "{path}");
        assert!(body.starts_with("{\"error\":\"there is nothing at "), "{body}");
    }
}

#[test]
fn garbage_and_excess_are_refused() {
    let daemon = Administered::start("");
    for garbage in [&b"\x16\x03\x01\x02\x00\x01"[..], b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", &[0xff; 4000]] {
        let answer = daemon.raw(garbage);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    }
    let long = format!("GET {STATUS} HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = daemon.raw(long.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    let many = format!("GET {STATUS} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-A: b\r\n".repeat(500));
    let answer = daemon.raw(many.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    assert_eq!(daemon.ask("GET", STATUS, "", "").0, 200);
}

#[test]
fn who_holds_connections_keeps_nobody_out_for_long() {
    let daemon = Administered::start("admin.connections = 4\n");
    let begun = Instant::now();
    let held: Vec<TcpStream> = (0..4)
        .map(|n| {
            let mut stream = TcpStream::connect_timeout(&daemon.tcp, LONG).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            if n % 2 == 0 {
                stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: local").unwrap();
            }
            stream
        })
        .collect();
    // The connection that is one too many is closed at once; the socket beside has room of its own.
    assert_eq!(daemon.raw(b""), "");
    assert!(daemon.run(&["status"]).status.success());
    for mut stream in held {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(begun.elapsed() < LONG, "they were closed by the daemon");
    assert_eq!(daemon.ask("GET", STATUS, "", "").0, 200);
}

#[test]
fn followers_are_bounded_and_hold_nobody_up() {
    let mut daemon = Administered::start("");
    let follow = || {
        let mut stream = TcpStream::connect_timeout(&daemon.tcp, LONG).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(b"GET /v1/log?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (stream, String::from_utf8(head.to_vec()).unwrap())
    };
    let following: Vec<(TcpStream, String)> = (0..16).map(|_| follow()).collect();
    assert!(following.iter().all(|(_, head)| head == "HTTP/1.1 200"), "{following:?}");
    assert_eq!(follow().1, "HTTP/1.1 503");
    assert_eq!(daemon.ask("GET", "/v1/log", "", "").0, 200, "who does not follow needs no place");
    // The buffers of a unix socket are small, so this one is behind soon.
    let mut slow = UnixStream::connect(daemon.path("admin.sock")).unwrap();
    slow.set_read_timeout(Some(LONG)).unwrap();
    slow.write_all(b"GET /v1/log?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut head = [0; 12];
    slow.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200", "those of TCP do not keep the socket's users out");
    // None of them reads, and there is more to tell than any queue holds.
    let mut client = daemon.served.policy();
    for n in 0..5_000u32 {
        client.ask(&format!("198.51.{}.{}", n / 250, n % 250), 2000, n);
    }
    client.ask("192.0.2.7", 1001, 1);
    let (mut line, mut lost) = (String::new(), false);
    let mut slow = BufReader::new(slow);
    while !line.contains("192.0.2.7") {
        line.clear();
        assert!(slow.read_line(&mut line).unwrap() > 0, "the daemon closed it");
        lost |= line.contains("log lines lost, nobody read them");
    }
    assert!(lost, "all was told, so nothing was tested");
    drop((slow, following));
    // Their places are given back once they are seen to have gone.
    while follow().1 != "HTTP/1.1 200" {
        std::thread::yield_now();
    }
}
