//! The daemon that is killed. Its argument is the round's number; in every other round it hears feedback.
//!
//! | line | means |
//! | --- | --- |
//! | `known HEARD COUNTED` | how many senders of the round before it remembers, by feedback and by count |
//! | `serving` | it answers |
//! | `heard N` | feedback about the senders up to N is on the disk |
//! | `counted N` | so many messages were taken in so far; told every 50 milliseconds |

use crate::{COUNTED, HEARD, address};
use policy_core::State;
use policy_core::engine::Engine as _;
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage};
use policy_core::findings::Findings;
use policy_core::identity::Key;
use policy_core::name::Mailbox;
use policy_core::outcome::Outcome;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfail::config::StateDirectory;
use tempfail::{Clock, Config, Daemon};

pub(crate) fn run(directory: &Path) -> ExitCode {
    let round: u16 = std::env::args().nth(1).and_then(|round| round.parse().ok()).unwrap_or(0);
    let mut config = Config::default();
    config.policy_service.listen = vec!["127.0.0.1:0".parse().expect("an address")];
    config.milter.listen.clear();
    config.admin.listen.clear();
    config.state = StateDirectory::At(directory.to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build();
    runtime.expect("a runtime").block_on(serve(config, round))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Who does not listen any more is about to kill this.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

async fn serve(config: Config, round: u16) -> ExitCode {
    let daemon = Daemon::start(config, Clock::system()).await.expect("a daemon");
    say("serving");
    let before = round.wrapping_sub(1);
    say(&format!(
        "known {} {}",
        known(daemon.state(), HEARD, before),
        known(daemon.state(), COUNTED, before)
    ));
    let counted = Arc::new(AtomicU32::new(0));
    tokio::spawn(count(daemon.engine().clone(), round, Arc::clone(&counted)));
    tokio::spawn(tell(counted));
    if round.is_multiple_of(2) {
        // Nothing but counts, which nobody flushes.
        return std::future::pending().await;
    }
    for n in 0.. {
        hear(daemon.state(), round, n);
        match daemon.store().expect("a store").flush().await {
            Ok(()) => say(&format!("heard {}", n + 1)),
            Err(error) => say(&format!("failed {error}")),
        }
    }
    ExitCode::SUCCESS
}

/// How many senders of a round are remembered, counted up to the first that is not.
fn known(state: &State, kind: u8, round: u16) -> u32 {
    let keys: std::collections::HashSet<Key> = state.entries().flatten().map(|entry| *entry.key()).collect();
    (0u32..).take_while(|&n| keys.contains(&Key::address(address(kind, round, n)))).count() as u32
}

fn facts(kind: u8, round: u16, n: u32) -> Facts {
    let address = address(kind, round, n);
    Facts {
        session: SessionId::Tcp(SocketAddr::new(address, 1024)),
        front_end: FrontEnd::Policy,
        stage: Stage::Rcpt,
        transaction: None,
        client: Client::new(address),
        envelope: Envelope { recipient: Mailbox::new("b@dest.example"), ..Envelope::default() },
        message: Message::default(),
        findings: Findings::default(),
    }
}

fn hear(state: &State, round: u16, n: u32) {
    let now = Clock::system().now();
    let appraisal = state.appraise(&facts(HEARD, round, n), now);
    policy_core::learn(state, &appraisal, Outcome::ReportedHam, now);
}

/// A new sender's message at a time, as a mail server would ask and tell.
async fn count(engine: tempfail::engine::Engine, round: u16, counted: Arc<AtomicU32>) {
    for n in 0..u32::from(u16::MAX) {
        let facts = facts(COUNTED, round, n);
        let now = engine.clock().now();
        let appraisal = engine.state().appraise(&facts, now);
        engine.decide(facts).await;
        policy_core::learn(engine.state(), &appraisal, Outcome::FilteredHam, now);
        counted.store(n + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

async fn tell(counted: Arc<AtomicU32>) {
    loop {
        say(&format!("counted {}", counted.load(Ordering::SeqCst)));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
