//! The state of the running daemon, taken out and put in while mail goes on.

use crate::admin::{Administered, complained, said};
use policy_core::identity::Key;
use policy_core::kept::Entry;
use rustix::process::Signal;
use std::process::{Command, Output};

fn entry_lines(export: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = export.lines().filter(|line| !line.contains("\"written\":")).collect();
    lines.sort_unstable();
    lines
}

fn stopped(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tempfail")).args(args).output().unwrap()
}

fn knows(export: &str, address: &str) -> bool {
    let key = serde_json::to_string(&Key::address(address.parse().unwrap())).unwrap();
    export.contains(&key)
}

#[test]
fn a_running_daemon_exports_what_a_stopped_one_would() {
    let mut daemon = Administered::start("");
    let mut client = daemon.served.policy();
    (0..50).for_each(|n| drop(client.ask(&format!("192.0.2.{n}"), 1000 + n, 1)));
    let allowed = daemon.run(&["allow", "203.0.113.7", "--note", "a friend"]);
    assert!(allowed.status.success(), "{}", complained(&allowed));
    drop(client);
    let running = daemon.run(&["export"]);
    assert!(running.status.success(), "{}", complained(&running));
    let running = said(&running);
    assert!(running.starts_with("{\"tempfail-state\":") && knows(&running, "192.0.2.49"));
    assert!(running.contains("a friend"), "what an operator said is in it");
    // Only who may change things gets it: the secret is in it.
    let (status, body) = daemon.ask("GET", "/v1/export", "", "");
    assert!(status == 401 && !body.contains("secret"), "{status} {body}");
    let token = daemon.path("state/admin.token").display().to_string();
    assert_eq!(entry_lines(&said(&daemon.run_over_tcp(&["export"], &token))), entry_lines(&running));
    assert_eq!(daemon.run_over_tcp(&["export"], "/nonexistent").status.code(), Some(77));
    daemon.served.signal(Signal::TERM);
    assert!(daemon.served.ended().success());
    let directory = daemon.path("state").display().to_string();
    let stopped = said(&stopped(&["export", &directory]));
    // Sessions that were open have been settled in between, so there may be more by now.
    for address in ["192.0.2.0", "192.0.2.49"] {
        assert!(knows(&stopped, address), "{address}");
    }
    assert_eq!(
        stopped.lines().next().map(|l| l.split(",\"written\"").next().unwrap_or_default().to_owned()),
        { running.lines().next().map(|l| l.split(",\"written\"").next().unwrap_or_default().to_owned()) }
    );
    assert_eq!(daemon.run(&["export"]).status.code(), Some(69), "nobody is there");
}

#[test]
fn a_running_daemon_takes_lines_whole_or_not_at_all() {
    let source = Administered::start("");
    let mut source = source;
    let mut client = source.served.policy();
    (0..5).for_each(|n| drop(client.ask(&format!("192.0.2.{n}"), 1000 + n, 1)));
    let lines = said(&source.run(&["export"]));
    let file = source.path("lines");
    let target = Administered::start("");
    let import = |lines: &str, args: &[&str]| {
        std::fs::write(&file, lines).unwrap();
        target.run(&[&["import", "--from", file.to_str().unwrap()], args].concat())
    };
    let exported = || said(&target.run(&["export"]));
    let before = entry_lines(&exported()).len();
    for (bad, what) in [
        (lines.clone() + "{\"nonsense\":1}\n", "line "),
        (lines.clone() + "{\"known\":", "is cut off, or too long"),
        (lines.replacen("\"tempfail-state\":", "\"tempfail-state\":9", 1), "are of version 9"),
        ("nothing".to_owned(), "line 1: "),
    ] {
        let refused = import(&bad, &[]);
        assert_eq!(refused.status.code(), Some(64), "{}", complained(&refused));
        assert!(complained(&refused).contains(what), "{}", complained(&refused));
        assert_eq!(entry_lines(&exported()).len(), before);
    }
    let head = lines.lines().next().unwrap().split(",\"secret\"").next().unwrap().to_owned();
    let known =
        "{\"known\":{\"client\":\"198.51.100.7/32\",\"messages\":9,\"first\":0,\"last\":4000000000000}}";
    let taken = import(&format!("{head},\"written\":0}}\n{known}\n"), &[]);
    assert_eq!(said(&taken), "1 entries taken over\n");
    assert!(knows(&exported(), "198.51.100.7"));
    let merged = import(&lines, &[]);
    assert!(merged.status.success() && complained(&merged).is_empty(), "{}", complained(&merged));
    assert!(complained(&import(&lines, &[])).contains("were taken over before"));
    assert_eq!(import(&lines, &["--replace"]).status.code(), Some(64), "of a stopped daemon only");
    // It was on the disk before it was acknowledged.
    target.served.signal(Signal::KILL);
    let mut target = target;
    let _ = target.served.ended();
    let directory = target.path("state").display().to_string();
    assert!(knows(&said(&stopped(&["export", &directory])), "198.51.100.7"));
}

#[test]
fn an_entry_of_every_line_is_one_that_is_known() {
    // What an export has, an import reads: no line of one is a mystery to the other.
    let mut daemon = Administered::start("");
    let mut client = daemon.served.policy();
    (0..9).for_each(|n| drop(client.ask(&format!("192.0.2.{n}"), 1000 + n, 1)));
    let lines = said(&daemon.run(&["export"]));
    let entries = lines.lines().filter(|line| serde_json::from_str::<Entry>(line).is_ok()).count();
    assert!(entries >= 9, "{lines}");
}
