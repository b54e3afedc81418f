//! `POST /v1/feedback`: what it wants, what it refuses, and that what it acknowledges outlives kill -9.

use super::Administered;
use crate::support::{Served, Start};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;

const JSON: &str = "Content-Type: application/json\r\n";
const MESSAGE: &str = "Received: from x.example (x.example [198.51.100.3])\\r\\n\\tby mx.dest.example (Postfix) with ESMTP id 4Rq2\\r\\n\\tfor <b@dest.example>; ";

fn body(more: &str) -> String {
    let date = "Tue, 14 Nov 2023 22:13:20 +0000";
    format!("{{\"message\":\"{MESSAGE}{date}\\r\\nSubject: x\\r\\n\\r\\n\",{more}}}")
}

#[test]
fn it_needs_the_token_and_a_request_that_makes_sense() {
    let daemon = Administered::start("");
    let post = |header: &str, body: &str| daemon.ask("POST", "/v1/feedback", header, body);
    let spam = body("\"verdict\":\"spam\",\"source\":\"person\"");
    assert_eq!(post(JSON, &spam).0, 401);
    let token = format!("{JSON}Authorization: Bearer {}\r\n", daemon.token());
    let (status, told) = post(&token, &spam);
    // That message came in long ago.
    assert_eq!((status, told.contains("\"effect\":\"too-old\"")), (200, true), "{told}");
    for (request, expected, what) in [
        (body("\"source\":\"person\""), 400, "\\\"verdict\\\" is missing"),
        ("{\"verdict\":\"spam\"}".to_owned(), 422, "must say which message it is about"),
        ("{\"verdict\":\"spam\",\"id\":\"1\",\"queue_id\":\"2\"}".to_owned(), 422, "must say which message"),
        ("{\"verdict\":\"spam\",\"id\":\"00000000\"}".to_owned(), 404, "no decision"),
        ("{\"verdict\":\"spam\",\"colour\":\"red\"}".to_owned(), 422, "colour"),
        ("{\"verdict\":\"spam\",\"message\":\"Subject: x\"}".to_owned(), 404, "no Received field tells"),
        ("{".to_owned(), 400, "EOF"),
    ] {
        let (status, told) = post(&token, &request);
        assert!(status == expected && told.contains(what), "{request}: {status} {told}");
    }
}

fn start(directory: &Path) -> Served {
    let path = |name: &str| directory.join(name).display().to_string();
    let config = format!(
        "policy.listen = [\"127.0.0.1:0\"]\nmilter.listen = [\"127.0.0.1:0\"]\nsignals.enabled = false\n\
         admin.listen = [\"unix:{}\"]\nstate.directory = \"{}\"\n",
        path("admin.sock"),
        path("state"),
    );
    let mut served = Served::start_with(&Start { config: &config, args: &[], env: None });
    served.wait_for("listening protocol=admin address=unix:");
    served
}

/// What `tempfail learn` says of this message.
fn learn(directory: &Path, label: &str, message: &Path) -> String {
    let socket = format!("unix:{}", directory.join("admin.sock").display());
    let output = Command::new(env!("CARGO_BIN_EXE_tempfail"))
        .args(["learn", label, "--reporter", "anna", "--json", "--admin", &socket])
        .stdin(std::fs::File::open(message).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["effect"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn what_is_acknowledged_outlives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let message = dir.path().join("message");
    let text = MESSAGE.replace("\\r\\n", "\r\n").replace("\\t", "\t");
    // Without a date it counts as of now.
    std::fs::write(&message, format!("{text}\r\nSubject: x\r\n\r\n")).unwrap();
    for (label, effect) in [("--spam", "counted"), ("--ham", "corrected"), ("--spam", "corrected")] {
        let mut served = start(dir.path());
        assert_eq!(learn(dir.path(), label, &message), effect);
        served.signal(Signal::KILL);
        served.ended();
        let mut served = start(dir.path());
        assert_eq!(learn(dir.path(), label, &message), "known", "after kill -9");
        served.signal(Signal::KILL);
        served.ended();
    }
}
