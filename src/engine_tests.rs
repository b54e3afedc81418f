use super::*;
use crate::config;
use crate::log::Format;
use policy_core::engine::{Engine as _, Event};
use policy_core::facts::{Client, Envelope, FrontEnd, Message, SessionId, Stage, TransactionId};
use policy_core::findings::Findings;
use policy_core::name::{DomainName, Mailbox, Sender};
use policy_core::policy::Waits;
use std::sync::Mutex;
use std::sync::mpsc::{Sender as Release, channel};
use tracing::level_filters::LevelFilter;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

/// The defaults, but a stranger without a name has to wait on a new server too, where little is certain yet.
fn wary() -> Policy {
    let waits = Waits { suspicious: 0.8, ..Waits::default() };
    Policy { waits, ..Policy::default() }
}

/// A client that waits at first contact: no reverse name, and a HELO name that is not its own.
fn facts(address: &str, stage: Stage) -> Facts {
    let mut client = Client::new(address.parse().unwrap());
    client.reverse_name = None;
    client.helo = Some("pc.local".into());
    Facts {
        session: SessionId::Tcp(format!("{address}:4321").parse().unwrap()),
        front_end: FrontEnd::Policy,
        stage,
        transaction: (stage >= Stage::Mail).then_some(TransactionId(1)),
        client,
        envelope: Envelope {
            sender: Sender::new("a@src.example"),
            recipient: Mailbox::new("b@dest.example"),
            accepted_recipients: None,
        },
        message: Message::default(),
        findings: Findings::default(),
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn log(&self) -> Log {
        let lines = Arc::clone(&self.0);
        Log::to(Format::Text, LevelFilter::INFO, move |line| lines.lock().unwrap().push(line))
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn engine(mode: Mode, lines: &Lines) -> (Engine, crate::clock::ManualClock) {
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let state = Arc::new(State::new(16 << 20, [7; 16], clock.now()));
    let policy = Arc::new(Policy { mode, ..wary() });
    (Engine::new(state, policy, LONG, clock.clone().into(), lines.log()), clock)
}

/// An engine whose core does what the client's HELO name says; `hang` ends when the second part is dropped.
fn broken(within: Duration, lines: &Lines) -> (Engine, Release<()>) {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let core = move |policy: &Arc<Policy>, state: &State, facts: &Facts, now: Timestamp| {
        match facts.client.helo.as_deref() {
            Some("panic") => panic!("on purpose"),
            Some("hang") => drop(wait.lock().unwrap().recv()),
            _ => {}
        }
        policy_core::decide(policy, state, facts, now)
    };
    let now = Timestamp::from_secs(1_700_000_000);
    let state = Arc::new(State::new(16 << 20, [7; 16], now));
    let policy = Arc::new(Policy { mode: Mode::Enforce, ..wary() });
    let clock = Clock::manual(now).into();
    (Engine::with_core(state, policy, within, clock, lines.log(), Box::new(core)), release)
}

fn saying_helo(helo: &str) -> Facts {
    let mut facts = facts("192.0.2.9", Stage::Rcpt);
    facts.client.helo = Some(helo.into());
    facts
}

#[tokio::test]
async fn observing_accepts_and_says_what_enforcing_would_do() {
    let lines = Lines::default();
    let (engine, _) = engine(Mode::Observe, &lines);
    let answer = engine.decide(facts("192.0.2.7", Stage::Rcpt)).await;
    assert_eq!(answer.reply, Reply::Accept);
    let line = lines.take().pop().unwrap();
    assert!(line.contains("info action=pass, reason=first-contact, client_name=unknown, "), "{line}");
    assert!(line.contains(", would=defer, mode=observe, "), "{line}");
    assert!(line.contains(&format!(", id={}, ", answer.id)), "{line}");
}

#[tokio::test]
async fn enforcing_defers_and_lets_in_who_comes_back() {
    let lines = Lines::default();
    let (engine, clock) = engine(Mode::Enforce, &lines);
    let answer = engine.decide(facts("192.0.2.7", Stage::Rcpt)).await;
    let Reply::Defer(_, text) = &answer.reply else { panic!("{answer:?}") };
    assert!(text.as_str().contains(&answer.id.to_string()));
    assert_eq!(engine.recent(answer.id).unwrap().reply, answer.reply);
    clock.advance(Duration::from_secs(300));
    let mut back = facts("192.0.2.7", Stage::Rcpt);
    back.session = SessionId::Tcp("192.0.2.7:5000".parse().unwrap());
    assert_eq!(engine.decide(back).await.reply, Reply::Accept);
    let lines = lines.take();
    assert!(lines[0].contains("action=defer, reason=first-contact"), "{lines:?}");
    assert!(
        lines[1].contains("action=pass, reason=returned") && lines[1].contains(", delay=300, "),
        "{lines:?}"
    );
}

#[tokio::test]
async fn one_line_a_decision_however_often_it_is_asked() {
    let lines = Lines::default();
    let (engine, _) = engine(Mode::Enforce, &lines);
    engine.decide(facts("192.0.2.7", Stage::Helo)).await;
    assert_eq!(lines.take(), [""; 0], "nothing is judged yet");
    let policy = engine.decide(facts("192.0.2.7", Stage::Rcpt)).await;
    let mut again = facts("192.0.2.7", Stage::Rcpt);
    again.front_end = FrontEnd::Milter;
    assert_eq!(engine.decide(again).await, policy);
    assert_eq!(lines.take().len(), 1);
    let stats = engine.stats();
    assert_eq!((stats.total(), stats.quiet), (1, 2));
    let (by, count) = stats.decisions.first_key_value().unwrap();
    assert_eq!((by.protocol, by.action, by.reason, *count), ("policy", "defer", "first-contact", 1));
}

#[tokio::test]
async fn a_session_keeps_its_policy_and_the_next_one_has_the_new() {
    let lines = Lines::default();
    let (engine, _) = engine(Mode::Observe, &lines);
    engine.decide(facts("192.0.2.7", Stage::Helo)).await;
    engine.replace(Arc::new(Policy { mode: Mode::Enforce, ..wary() }));
    assert_eq!(engine.decide(facts("192.0.2.7", Stage::Rcpt)).await.reply, Reply::Accept);
    let next = engine.decide(facts("198.51.100.7", Stage::Rcpt)).await;
    assert!(matches!(next.reply, Reply::Defer(..)));
    assert_eq!(engine.stats().reloads, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_panics_lets_the_mail_in() {
    let lines = Lines::default();
    let (engine, _release) = broken(LONG, &lines);
    assert_eq!(engine.decide(saying_helo("panic")).await.reply, Reply::Accept);
    let line = lines.take().pop().unwrap();
    assert!(line.contains("action=pass, reason=failsafe, "), "{line}");
    let next = engine.decide(saying_helo("pc.local")).await;
    assert!(matches!(next.reply, Reply::Defer(..)), "the engine goes on: {next:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_hangs_lets_the_mail_in_when_its_time_is_up() {
    let lines = Lines::default();
    let (engine, release) = broken(SHORT, &lines);
    assert_eq!(engine.decide(saying_helo("hang")).await.reply, Reply::Accept);
    let line = lines.take().pop().unwrap();
    assert!(line.contains("action=pass, reason=failsafe, "), "{line}");
    drop(release);
}

#[tokio::test]
async fn reports_are_counted_and_never_fail() {
    let (engine, _) = engine(Mode::Enforce, &Lines::default());
    let session = SessionId::Tcp("192.0.2.7:4321".parse().unwrap());
    let report = Report { session, front_end: FrontEnd::Policy, event: Event::SessionClosed };
    engine.report(report);
    assert_eq!(engine.stats().reports, 1);
}

#[test]
fn hostile_names_cannot_end_the_line() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let lines = Lines::default();
        let (engine, _) = engine(Mode::Observe, &lines);
        let mut facts = facts("192.0.2.7", Stage::Rcpt);
        facts.client.helo = Some("x\r\naction=pass, reason=allowed".into());
        facts.client.name = DomainName::new("a\",b.example");
        engine.decide(facts).await;
        let lines = lines.take();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains(r#"helo="x\u{d}\u{a}action=pass, reason=allowed""#), "{lines:?}");
        assert!(lines[0].contains(r#"client_name="a\",b.example""#), "{lines:?}");
    });
}

#[tokio::test]
async fn who_is_known_for_good_is_looked_up_where_strangers_have_all_their_turns() {
    let (engine, clock) = engine(Mode::Observe, &Lines::default());
    let saying = |address: &str, helo: &str| {
        let mut facts = facts(address, Stage::Rcpt);
        facts.client.helo = Some(helo.into());
        facts
    };
    for message in 1..=20 {
        let transaction = TransactionId(message);
        let facts = Facts { transaction: Some(transaction), ..saying("192.0.2.7", "known.example") };
        let (session, front_end) = (facts.session, facts.front_end);
        engine.decide(facts).await;
        let event = Event::MessageReceived { transaction, recipients: Some(1), filter: None };
        engine.report(Report { session, front_end, event });
        clock.advance(Duration::from_secs(6 * 3600));
    }
    let address = "192.0.2.7".parse().unwrap();
    assert!(engine.state().trusts(address, clock.now()));
    // It hears every question and answers none.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut config = config::Lookups::default();
    config.resolver.servers = vec![silent.local_addr().unwrap()];
    (config.resolver.timeout, config.resolver.concurrent, config.gather.within) = (LONG, 32, SHORT);
    engine.look_up_with(Some(Lookups::start(config).unwrap()));
    for n in 0..=99 {
        engine.decide(saying(&format!("198.51.{n}.1"), &format!("stranger{n}.example"))).await;
    }
    engine.decide(saying("192.0.2.7", "known.example")).await;
    let mut asked = String::new();
    while !asked.contains("known") {
        let mut question = [0; 512];
        let octets = tokio::time::timeout(LONG, silent.recv(&mut question)).await.unwrap().unwrap();
        // Names are asked for in letters of either case, which makes answers hard to guess.
        asked.push_str(&String::from_utf8_lossy(&question[..octets]).to_lowercase());
    }
    assert!(asked.contains("stranger0") && !asked.contains("stranger99"), "{asked:?}");
}
