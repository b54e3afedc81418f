//! What a client tries in order to be let in for less than others pay. Each test is an attack that once worked.
#![allow(clippy::unwrap_used)] // assertions, in helpers too

use policy_core::answer::Reply;
use policy_core::engine::{Event, FilterVerdict, Report};
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId};
use policy_core::findings::Findings;
use policy_core::name::{DomainName, Mailbox, Sender};
use policy_core::policy::{Gateways, Mode, Policy, Waits};
use policy_core::quota::Limits;
use policy_core::standing::Word;
use policy_core::time::Timestamp;
use policy_core::{State, decide, report};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const T0: Timestamp = Timestamp::from_secs(1_700_000_000);

/// A policy by which a stranger without a name has to wait on a new server too, where little is certain yet.
fn enforcing() -> Arc<Policy> {
    let waits = Waits { suspicious: 0.8, ..Waits::default() };
    Arc::new(Policy { mode: Mode::Enforce, waits, ..Policy::default() })
}

fn state() -> State {
    State::new(64 << 20, [5; 16], T0)
}

/// A question at RCPT from a host without a name: transaction `n` in a session of its own.
fn question(n: u64, recipient: &str) -> Facts {
    let address: IpAddr = [192, 0, 2, 1].into();
    Facts {
        session: SessionId::Tcp(SocketAddr::new(address, (n % 60_000 + 1024) as u16)),
        front_end: FrontEnd::Milter,
        stage: Stage::Rcpt,
        transaction: Some(TransactionId(n)),
        client: Client { helo: Some("pc.local".into()), ..Client::new(address) },
        envelope: Envelope {
            sender: Sender::new("a@src.example"),
            recipient: Mailbox::new(recipient),
            accepted_recipients: None,
        },
        message: Message::default(),
        findings: Findings::default(),
    }
}

/// The same from a host that need not wait.
fn proper(n: u64, recipient: &str) -> Facts {
    let mut facts = question(n, recipient);
    facts.client.name = DomainName::new("mail.src.example");
    facts.client.reverse_name = facts.client.name.clone();
    facts.client.helo = Some("mail.src.example".into());
    facts
}

fn end_of_message(rcpt: &Facts, size: u64) -> Facts {
    let mut facts = Facts { stage: Stage::EndOfMessage, ..rcpt.clone() };
    facts.envelope.recipient = None;
    facts.message.size = Some(size);
    facts
}

fn lets_in(state: &State, policy: &Arc<Policy>, facts: &Facts, now: Timestamp) -> bool {
    decide(policy, state, facts, now).reply == Reply::Accept
}

fn tell(state: &State, facts: &Facts, event: Event) {
    report(state, &Report { session: facts.session, front_end: facts.front_end, event }, T0);
}

#[test]
fn postmaster_among_the_recipients_does_not_pay_for_the_others() {
    let (state, policy) = (state(), enforcing());
    let message = |n: u64| {
        let rcpt = proper(n, "good@dest.example");
        assert!(lets_in(&state, &policy, &rcpt, T0));
        assert!(lets_in(&state, &policy, &proper(n, "postmaster@dest.example"), T0));
        let is_let_in = lets_in(&state, &policy, &end_of_message(&rcpt, 50_000_000), T0);
        tell(&state, &rcpt, Event::SessionClosed);
        is_let_in
    };
    assert_eq!((0..20).filter(|&n| message(n)).count(), 4, "200 million octets an hour");
}

#[test]
fn mail_to_postmaster_earns_no_reputation() {
    let (state, policy) = (state(), enforcing());
    for n in 0..1000 {
        let facts = question(n, "postmaster@dest.example");
        assert!(lets_in(&state, &policy, &facts, T0), "postmaster is exempt");
        assert!(lets_in(&state, &policy, &end_of_message(&facts, 1000), T0), "to the end");
        let filter = FilterVerdict { header: "X-Spam".into(), spam: false, score: None, forgeable: false };
        let transaction = TransactionId(n);
        tell(
            &state,
            &facts,
            Event::MessageReceived { transaction, recipients: Some(1), filter: Some(filter) },
        );
        tell(&state, &facts, Event::SessionClosed);
    }
    let stranger = question(5000, "good@dest.example");
    assert_eq!(state.explain(&policy, &stranger, T0).standing.word, Word::New);
    assert!(!lets_in(&state, &policy, &stranger, T0.after(Duration::from_secs(86_400))));
}

#[test]
fn an_odd_recipient_waits_like_any_other_and_keeps_its_domain() {
    let gateways: Gateways = [(
        DomainName::new("bank.example").unwrap(),
        ["198.51.100.0/24".parse().unwrap()].into_iter().collect(),
    )]
    .into_iter()
    .collect();
    let behind = Arc::new(Policy { mode: Mode::Enforce, gateways, ..Policy::default() });
    let tag = "x".repeat(300);
    for (n, odd) in
        [format!("good+{tag}@bank.example"), "good+\u{1}@bank.example".to_owned()].iter().enumerate()
    {
        assert!(!lets_in(&state(), &enforcing(), &question(n as u64, odd), T0));
        assert!(!lets_in(&state(), &behind, &proper(n as u64, odd), T0));
    }
    assert!(!lets_in(&state(), &enforcing(), &question(7, ""), T0), "without any recipient, too");
}

#[test]
fn a_client_that_keeps_its_port_does_not_keep_the_policy_for_ever() {
    let (state, observe) = (state(), Arc::new(Policy::default()));
    let ask = |n: u64, policy: &Arc<Policy>, minutes: u64| {
        let mut facts = question(n, &format!("r{n}@dest.example"));
        facts.session = SessionId::Tcp(SocketAddr::new(facts.client.address, 25_000));
        facts.front_end = FrontEnd::Policy;
        let now = T0.after(Duration::from_secs(60 * minutes));
        state.sweep(state.segments(), now);
        lets_in(&state, policy, &facts, now)
    };
    assert!(ask(0, &observe, 0));
    let mut limits = Limits::default();
    limits.cold.0 = [1.0; 4];
    // Its messages have been let in, so it is no stranger any more.
    (limits.least, limits.least_high) = (1.0, 1.0);
    let strict = Arc::new(Policy { mode: Mode::Enforce, limits, ..Policy::default() });
    assert!(ask(1, &strict, 5), "a session keeps the policy that it began with");
    assert!((2..20).any(|n| !ask(n, &strict, 5 * n)), "but not for ever");
}

/// The question of a host in the prefix of [`proper`], which sends as its neighbour does.
fn neighbour(n: u64, last: u8, recipient: &str) -> Facts {
    let mut facts = question(n, recipient);
    let address: IpAddr = [192, 0, 2, last].into();
    facts.client.address = address;
    facts.session = SessionId::Tcp(SocketAddr::new(address, (n % 60_000 + 1024) as u16));
    facts
}

fn word(state: &State, policy: &Policy, facts: &Facts) -> Word {
    state.explain(policy, facts, T0).standing.word
}

#[test]
fn a_neighbour_that_forges_the_sender_of_a_good_host_borrows_nothing() {
    let (state, policy) = (state(), enforcing());
    for n in 0..100 {
        let appraisal = decide(&policy, &state, &proper(n, "good@dest.example"), T0).verdict.appraisal();
        policy_core::learn(&state, &appraisal.unwrap(), policy_core::outcome::Outcome::ReportedHam, T0);
    }
    assert_eq!(word(&state, &policy, &proper(1000, "good@dest.example")), Word::High);
    assert_eq!(word(&state, &policy, &neighbour(1001, 77, "good@dest.example")), Word::New);
}

#[test]
fn neighbours_that_forge_the_sender_of_a_host_do_not_make_it_bad() {
    let (state, policy) = (state(), enforcing());
    for n in 0..20 {
        let facts = neighbour(n, 100 + n as u8, "good@dest.example");
        let appraisal = decide(&policy, &state, &facts, T0).verdict.appraisal();
        policy_core::learn(&state, &appraisal.unwrap(), policy_core::outcome::Outcome::Spamtrap, T0);
    }
    // A stranger in such company may have to wait once, but no more than a stranger.
    let victim = proper(1000, "good@dest.example");
    assert_eq!(word(&state, &policy, &victim), Word::New);
    assert!(!lets_in(&state, &policy, &victim, T0));
    let later = Facts { transaction: Some(TransactionId(1001)), ..victim };
    assert!(lets_in(&state, &policy, &later, T0.after(Duration::from_secs(290))));
}
