//! `log`: what was decided, of whom, and what is decided from now on.

use super::{Administered, complained, said};
use crate::support::question;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// A daemon that has been asked about three messages.
fn asked() -> Administered {
    let mut daemon = Administered::start("");
    let mut client = daemon.served.policy();
    let mail = |address: &str, sender: &str, recipient: &str, port| {
        question(address, port, 1).replace("a@src.example", sender).replace("b@dest.example", recipient)
    };
    for (n, (address, sender, recipient)) in [
        ("192.0.2.7", "a@src.example", "b@dest.example"),
        ("192.0.2.8", "x@news.src.example", "c@dest.example"),
        ("2001:db8::1", "a@other.example", "b@dest.example"),
    ]
    .into_iter()
    .enumerate()
    {
        client.send(&mail(address, sender, recipient, 1001 + n as u16));
        assert_eq!(client.answer().unwrap(), "DUNNO");
    }
    daemon
}

/// The client addresses of a log's lines.
fn clients(text: &str) -> Vec<String> {
    let of = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["client_address"].as_str().unwrap().to_owned()
    };
    text.lines().map(of).collect()
}

#[test]
fn the_log_can_be_asked_for_sender_recipient_and_client() {
    let daemon = asked();
    let log = |args: &[&str]| {
        let output = daemon.run(&[&["log", "--json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", complained(&output));
        clients(&said(&output))
    };
    assert_eq!(log(&[]), ["192.0.2.7", "192.0.2.8", "2001:db8::1"]);
    assert_eq!(log(&["-n", "1"]), ["2001:db8::1"]);
    assert_eq!(log(&["--sender", "src.example"]), ["192.0.2.7", "192.0.2.8"]);
    assert_eq!(log(&["--sender", "A@src.example"]), ["192.0.2.7"]);
    assert_eq!(log(&["--recipient", "B@dest.example"]), ["192.0.2.7", "2001:db8::1"]);
    assert_eq!(log(&["--client", "192.0.2.0/24", "--recipient", "c@dest.example"]), ["192.0.2.8"]);
    assert_eq!(log(&["--client", "2001:db8::1"]), ["2001:db8::1"]);
    let none = daemon.run(&["log", "--client", "198.51.100.1"]);
    assert_eq!((none.status.code(), said(&none)), (Some(1), String::new()));
    let bad = daemon.run(&["log", "--recipient", "nobody"]);
    assert_eq!(bad.status.code(), Some(64));
    assert_eq!(complained(&bad), "recipient \"nobody\" is no whole address\n");
}

#[test]
fn a_domain_is_shown_in_a_labels_and_asked_for_in_either_form() {
    let mut daemon = Administered::start("");
    let mut client = daemon.served.policy();
    client.send(&question("192.0.2.7", 1001, 1).replace("a@src.example", "a@b\u{fc}cher.example"));
    assert_eq!(client.answer().unwrap(), "DUNNO");
    for sender in ["A@B\u{dc}CHER.example", "a@xn--bcher-kva.example", "b\u{fc}cher.example"] {
        let shown = said(&daemon.run(&["log", "--sender", sender]));
        assert!(shown.contains(" sender=a@xn--bcher-kva.example, "), "{sender}: {shown}");
    }
}

#[test]
fn a_line_is_as_in_the_log_without_the_recipient() {
    let mut daemon = asked();
    let logged = daemon.served.wait_for("client_address=192.0.2.8");
    let shown = said(&daemon.run(&["log", "--client", "192.0.2.8"]));
    assert_eq!(shown.trim_end(), logged.replace(" recipient=c@dest.example,", ""));
    assert!(shown.contains(" sender=x@news.src.example, "), "{shown}");
}

#[test]
fn who_follows_hears_of_what_is_decided_and_of_the_end() {
    let mut daemon = asked();
    let socket = format!("unix:{}", daemon.path("admin.sock").display());
    let mut following = Command::new(env!("CARGO_BIN_EXE_tempfail"))
        .args(["log", "--follow", "-n", "1", "--json", "--sender", "src.example", "--admin", &socket])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || clients(&lines.next().unwrap().unwrap())[0].clone();
    assert_eq!(next(), "192.0.2.8", "the latest that passes");
    let mut client = daemon.served.policy();
    client.send(&question("192.0.2.9", 1009, 1).replace("a@src.example", "a@elsewhere.example"));
    client.answer().unwrap();
    client.ask("192.0.2.10", 1010, 1);
    assert_eq!(next(), "192.0.2.10");
    daemon.served.signal(rustix::process::Signal::TERM);
    assert!(lines.next().is_none());
    assert_eq!(following.wait().unwrap().code(), Some(69));
}

#[test]
fn a_queue_id_that_comes_later_is_known() {
    let mut daemon = asked();
    let mut client = daemon.served.policy();
    client.send(&question("192.0.2.11", 1011, 1));
    client.answer().unwrap();
    let data = question("192.0.2.11", 1011, 1).replace("protocol_state=RCPT", "protocol_state=DATA");
    client.send(&data.replace("queue_id=\n", "queue_id=4XyZ\n"));
    client.answer().unwrap();
    let shown = said(&daemon.run(&["log", "-n", "1"]));
    assert!(shown.contains("client_address=192.0.2.11") && shown.contains("queue_id=4XyZ"), "{shown}");
}
