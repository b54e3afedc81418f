//! A soak of restarts: the real daemon under the real policy protocol, stopped and killed again and again.
//!
//! Mail servers ask all the time, and an operator allows somebody now and then. What the operator was told is kept; what
//! a mail server was answered is there after an orderly end, and after `kill -9` when it was more than a moment before.
//!
//! `TEMPFAIL_SOAK_ROUNDS` says how many restarts (10).

use crate::support::{LONG, Served, Start, question};
use policy_core::identity::Key;
use rustix::process::Signal;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Counts may be lost that are so young when it is killed: a second, and what a loaded machine adds.
const YOUNG: Duration = Duration::from_millis(1500);

/// Clients that were answered about, and when.
type Answered = Vec<(IpAddr, Instant)>;

fn client(round: u16, n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(11, round as u8, high, low).into()
}

/// Asks about one client after the other until nobody answers.
fn ask(address: SocketAddr, round: u16, stop: &AtomicBool) -> Answered {
    let mut answered = Vec::new();
    let Ok(stream) = TcpStream::connect_timeout(&address, LONG) else { return answered };
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut lines = BufReader::new(&stream).lines();
    for n in 0..u16::MAX {
        let client = client(round, n);
        let text = question(&client.to_string(), 1024 + n % 60_000, u32::from(n));
        // An answer is a line and an empty one.
        let answer = (&stream).write_all(text.as_bytes()).map(|()| (lines.next(), lines.next()));
        match answer {
            Ok((Some(Ok(action)), Some(Ok(_)))) if action.starts_with("action=") => {
                answered.push((client, Instant::now()));
            }
            _ => break,
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    answered
}

fn program(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_tempfail")).args(args).output().unwrap()
}

/// Keys of everything in the state, as they are written.
fn kept(directory: &Path) -> (HashSet<String>, String) {
    let output = program(&["export", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let keys =
        lines.lines().filter_map(|line| Some(line.split_once(":[\"")?.1.split_once('"')?.0.to_owned()));
    (keys.collect(), lines)
}

fn key(client: IpAddr) -> String {
    serde_json::to_string(&Key::address(client)).unwrap().trim_matches('"').to_owned()
}

#[test]
fn restarts_lose_nothing_that_was_acknowledged() {
    let rounds =
        std::env::var("TEMPFAIL_SOAK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10u16);
    let dir = tempfile::tempdir().unwrap();
    let (state, socket) = (dir.path().join("state"), dir.path().join("admin.sock"));
    let config = format!(
        "policy.listen = [\"127.0.0.1:0\"]\nmilter.listen = [\"127.0.0.1:0\"]\nsignals.enabled = false\n\
         log.level = \"warn\"\nadmin.listen = [\"unix:{}\"]\nstate.directory = \"{}\"\n",
        socket.display(),
        state.display()
    );
    let config = config.replace("log.level = \"warn\"\n", "");
    let admin = format!("unix:{}", socket.display());
    let (mut due, mut allowed, mut answers) = (Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        let mut served = Served::start_with(&Start { config: &config, args: &[], env: None });
        served.wait_for("listening protocol=admin");
        let address = served.address("policy");
        let stop = AtomicBool::new(false);
        let killed = round % 3 != 2;
        let (answered, ended) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(address, round, &stop));
            let friend = format!("198.51.100.{round}");
            let output = program(&["allow", &friend, "--admin", &admin]);
            assert!(output.status.success(), "{output:?}");
            allowed.push(friend);
            // What has been asked by now grows old; every other one is killed sooner.
            let lives = if round % 2 == 0 { YOUNG + Duration::from_millis(700) } else { YOUNG / 4 };
            std::thread::park_timeout(lives);
            served.signal(if killed { Signal::KILL } else { Signal::TERM });
            let ended = Instant::now();
            stop.store(!killed, Ordering::Relaxed);
            let _ = served.ended();
            (asking.join().unwrap(), ended)
        });
        answers += answered.len();
        let old = answered.iter().filter(|(_, at)| !killed || *at + YOUNG < ended).map(|(client, _)| *client);
        due.extend(old);
    }
    let (keys, lines) = kept(&state);
    let lost: Vec<&IpAddr> = due.iter().filter(|client| !keys.contains(&key(**client))).collect();
    assert!(lost.is_empty(), "{} of {} lost, such as {:?}", lost.len(), due.len(), lost.first());
    for friend in &allowed {
        assert!(lines.contains(&format!("\"{friend}")), "{friend} was allowed, and nobody knows");
    }
    assert!(due.len() > 100, "{} answers, {} due", answers, due.len());
    println!("{rounds} restarts, {answers} answers, {} of them due and all there", due.len());
}
