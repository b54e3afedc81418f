//! What peers may use up, and what is left when they use up everything.

use crate::admin::{Administered, json};
use crate::support::{PolicyClient, Served, question};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use std::collections::HashSet;
use std::net::TcpStream;

#[test]
fn a_connection_too_many_is_closed_told_and_counted_and_the_others_go_on() {
    let mut daemon = Administered::start("policy.connections = 2\n");
    let served = &mut daemon.served;
    let mut clients = [served.policy(), served.policy()];
    for client in &mut clients {
        assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    }
    let address = served.address("policy");
    for _ in 0..3 {
        assert_eq!(PolicyClient::connect(address).answer(), None);
    }
    served.wait_for("warn too many connections, closed at once peer=127.0.0.1: ... limit=2 times=1");
    for client in &mut clients {
        assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    }
    let status = json(&daemon.run(&["status", "--json"]));
    let counted = &status["front_ends"][0]["connections"];
    assert_eq!(*counted, serde_json::json!({"open": 2, "max": 2, "refused": 3}));
    // The rest of a flood is told when ten seconds are over.
    daemon.served.wait_for("warn too many connections, closed at once ... times=2");
}

#[test]
fn a_peer_that_does_not_finish_its_request_is_dropped() {
    let mut served = Served::start("policy.request_time = \"1s\"\n");
    let mut client = served.policy();
    client.send(question("192.0.2.7", 1001, 1).split_at(100).0);
    assert_eq!(client.answer(), None);
    served.wait_for("request not complete in time");
}

#[test]
fn a_peer_that_says_nothing_is_dropped() {
    let mut served = Served::start("policy.idle = \"1s\"\nmilter.first_packet = \"1s\"\n");
    let mut silent = [served.policy(), PolicyClient::connect(served.address("milter"))];
    for peer in &mut silent {
        assert_eq!(peer.answer(), None);
    }
}

#[test]
fn file_descriptors_that_run_out_are_survived() {
    let mut served = Served::start("");
    let address = served.address("policy");
    let mut before = served.policy();
    assert_eq!(before.ask("192.0.2.7", 1001, 1), "DUNNO");
    // Five more than are open now; it may have been given some high numbers.
    let open = std::fs::read_dir(format!("/proc/{}/fd", served.pid().as_raw_nonzero())).unwrap();
    let open: HashSet<u64> =
        open.map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    let free = (0..).find(|fd| !open.contains(fd)).unwrap();
    let few = Rlimit { current: Some(free + 5), maximum: getrlimit(Resource::Nofile).maximum };
    let limit = prlimit(Some(served.pid()), Resource::Nofile, few).unwrap();
    let flood: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    served.wait_for("warn cannot accept connections, trying again ... Too many open files");
    assert_eq!(before.ask("192.0.2.7", 1001, 2), "DUNNO", "who is in goes on");
    drop(flood);
    assert_eq!(served.policy().ask("198.51.100.7", 1002, 1), "DUNNO", "and the next is let in");
    prlimit(Some(served.pid()), Resource::Nofile, limit).unwrap();
}

#[test]
fn few_descriptors_mean_fewer_connections() {
    let limited = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 74; exec \"$0\" serve --config /dev/stdin", env!("CARGO_BIN_EXE_tempfail")])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut child = limited.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, crate::support::PORTS.as_bytes()).unwrap();
    drop(stdin);
    let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(stderr).map_while(Result::ok);
    let raised = lines.find(|line| line.contains("file descriptors")).unwrap();
    assert!(raised.contains("before=74 now=74"), "{raised}");
    let told = "warn too few file descriptors, fewer connections protocol=policy configured=1000 now=5";
    assert!(lines.any(|line| line.contains(told)), "not told: {told}");
    child.kill().unwrap();
    child.wait().unwrap();
}
