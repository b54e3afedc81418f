//! The two doors from outside: what a client lives through, told as a mail server would ask.
#![allow(clippy::unwrap_used, clippy::panic)] // assertions, in helpers too

use policy_core::allowance::Whose;
use policy_core::answer::{DeferCode, Reply};
use policy_core::audit::What;
use policy_core::engine::{Event, FilterVerdict, Refusal, Report};
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId};
use policy_core::facts::{VerifiedBy, VerifiedDomain};
use policy_core::findings::Findings;
use policy_core::forget::Traces;
use policy_core::identity::Kind;
use policy_core::ladder::Ladder;
use policy_core::name::{DomainName, Mailbox, Sender};
use policy_core::outcome::Outcome;
use policy_core::overrides::{Effect, Override};
use policy_core::policy::{Gateways, Mode, Policy, Recipients};
use policy_core::standing::Word;
use policy_core::time::Timestamp;
use policy_core::verdict::{Action, Scope};
use policy_core::{Decision, State, decide, report};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

#[path = "doors/loopholes.rs"]
mod loopholes;

const T0: Timestamp = Timestamp::from_secs(1_700_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A receiving server with a clock of its own.
struct Server {
    state: State,
    policy: Arc<Policy>,
    now: Cell<Timestamp>,
    serial: Cell<u64>,
}

/// The defaults, but a stranger without a name has to wait from the first day, when little is certain yet.
fn wary() -> Policy {
    let waits = policy_core::policy::Waits { suspicious: 0.8, ..Default::default() };
    Policy { waits, ..Policy::default() }
}

impl Server {
    fn new(policy: Policy) -> Self {
        Self {
            state: State::new(64 << 20, [5; 16], T0),
            policy: Arc::new(policy),
            now: Cell::new(T0),
            serial: Cell::new(1),
        }
    }

    fn enforcing() -> Self {
        Self::new(Policy { mode: Mode::Enforce, ..wary() })
    }

    fn pass(&self, time: Duration) {
        self.now.set(self.now.get().after(time));
        self.state.sweep(self.state.segments(), self.now.get());
    }

    fn next(&self) -> u64 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }

    fn ask(&self, facts: &Facts) -> Decision {
        decide(&self.policy, &self.state, facts, self.now.get())
    }

    fn tell(&self, facts: &Facts, event: Event) {
        let report_ = Report { session: facts.session, front_end: facts.front_end, event };
        report(&self.state, &report_, self.now.get());
    }

    /// A question at RCPT in a session of its own.
    fn stranger(&self, address: &str) -> Facts {
        let address: IpAddr = address.parse().unwrap();
        let n = self.next();
        Facts {
            session: SessionId::Tcp(SocketAddr::new(address, (n % 60_000 + 1024) as u16)),
            front_end: FrontEnd::Milter,
            stage: Stage::Rcpt,
            transaction: Some(TransactionId(n)),
            client: Client { helo: Some("pc.local".into()), ..Client::new(address) },
            envelope: Envelope {
                sender: Sender::new("a@src.example"),
                recipient: Mailbox::new("good@dest.example"),
                accepted_recipients: None,
            },
            message: Message::default(),
            findings: Findings::default(),
        }
    }

    /// The same from a host that presents itself properly.
    fn proper(&self, address: &str, host: &str) -> Facts {
        let mut facts = self.stranger(address);
        facts.client.name = DomainName::new(host);
        facts.client.reverse_name = facts.client.name.clone();
        facts.client.helo = Some(host.into());
        facts.envelope.sender = Sender::new(&format!("news@{host}"));
        facts
    }

    /// One whole message of one recipient; `Ok` when it was let in.
    fn deliver(&self, facts: &Facts, spam: Option<bool>) -> Result<Decision, Box<Decision>> {
        let decision = self.ask(facts);
        if decision.reply != Reply::Accept {
            self.tell(facts, Event::SessionClosed);
            return Err(Box::new(decision));
        }
        let filter =
            spam.map(|spam| FilterVerdict { header: "X-Spam".into(), spam, score: None, forgeable: false });
        let transaction = facts.transaction.unwrap();
        self.tell(facts, received(transaction, filter));
        self.tell(facts, Event::SessionClosed);
        Ok(decision)
    }

    fn word(&self, facts: &Facts) -> Word {
        self.state.explain(&self.policy, facts, self.now.get()).standing.word
    }
}

fn received(transaction: TransactionId, filter: Option<FilterVerdict>) -> Event {
    Event::MessageReceived { transaction, recipients: None, filter }
}

fn code(decision: &Decision) -> &'static str {
    decision.verdict.reason.code()
}

#[test]
fn a_suspicious_stranger_waits_once_and_a_proper_one_does_not() {
    let server = Server::enforcing();
    assert!(server.deliver(&server.proper("198.51.100.1", "mail.corp.example"), None).is_ok());
    let first = server.deliver(&server.stranger("192.0.2.1"), None).unwrap_err();
    assert_eq!(code(&first), "first-contact");
    let Reply::Defer(DeferCode::Closing, text) = &first.reply else { panic!("{first:?}") };
    assert!(text.as_str().contains("3 minutes") && text.as_str().contains(&first.verdict.id.to_string()));
    server.pass(5 * MINUTE);
    let second = server.deliver(&server.stranger("192.0.2.1"), None).unwrap();
    assert_eq!(code(&second), "returned");
    assert_eq!(code(&server.deliver(&server.stranger("192.0.2.1"), None).unwrap()), "allowed");
}

#[test]
fn a_stranger_warms_up_and_a_good_history_carries_a_large_volume() {
    let server = Server::enforcing();
    let sender = || server.proper("198.51.100.1", "mail.corp.example");
    // As long as nothing is known of what became of its mail.
    let begins = |facts: &Facts| {
        let reply = server.ask(facts).reply;
        server.tell(facts, Event::SessionClosed);
        reply == Reply::Accept
    };
    let admitted = (0..100).filter(|_| begins(&sender())).count();
    assert_eq!(admitted, 60, "the cold quota of 60 admits 60");
    let refused = server.deliver(&sender(), None).unwrap_err();
    assert_eq!(code(&refused), "rate-messages");
    assert!(refused.verdict.retry_after.unwrap() <= 3 * MINUTE);
    for _ in 0..20 {
        server.pass(DAY);
        (0..60).for_each(|_| drop(server.deliver(&sender(), Some(false))));
    }
    assert_eq!(server.word(&sender()), Word::High);
    server.pass(DAY);
    let admitted = (0..1000).filter(|_| server.deliver(&sender(), Some(false)).is_ok()).count();
    assert!(admitted >= 150, "{admitted}");
}

#[test]
fn a_good_server_that_turns_to_spam_is_clamped_and_recovers_by_itself() {
    let server = Server::enforcing();
    let sender = || server.proper("198.51.100.1", "mail.corp.example");
    for _ in 0..30 {
        server.pass(DAY);
        (0..30).for_each(|_| drop(server.deliver(&sender(), Some(false))));
    }
    let leaked = (0..2000)
        .filter(|_| {
            server.pass(Duration::from_secs(1));
            server.deliver(&sender(), Some(true)).is_ok()
        })
        .count();
    assert!(leaked < 150, "{leaked} spam messages came through");
    assert!(server.deliver(&sender(), Some(true)).is_err());
    assert_ne!(server.word(&sender()), Word::High);
    server.pass(DAY);
    assert!(server.deliver(&sender(), Some(false)).is_ok(), "after a day mail flows again");
    assert_ne!(server.word(&sender()), Word::Bad);
}

#[test]
fn a_bad_sender_still_gets_a_message_through_now_and_then() {
    let server = Server::enforcing();
    let bad = || server.stranger("192.0.2.1");
    let appraisal = server.ask(&bad()).verdict.appraisal().unwrap();
    for _ in 0..60 {
        policy_core::learn(
            &server.state,
            &appraisal,
            policy_core::outcome::Outcome::ReportedSpam,
            server.now.get(),
        );
    }
    assert_eq!(server.word(&bad()), Word::Bad);
    let mut admitted = 0;
    for _ in 0..24 * 6 {
        admitted += usize::from(server.deliver(&bad(), None).is_ok());
        server.pass(10 * MINUTE);
    }
    assert!((5..=50).contains(&admitted), "{admitted} in a day");
}

#[test]
fn both_front_ends_hear_the_same_and_the_session_is_debited_once() {
    let server = Server::enforcing();
    let mut admitted = 0;
    for _ in 0..100 {
        let milter = server.proper("198.51.100.1", "mail.corp.example");
        let mut policy = Facts { front_end: FrontEnd::Policy, ..milter.clone() };
        policy.transaction = Some(TransactionId(server.next() << 32));
        let heard_by_policy = server.ask(&policy);
        let heard_by_milter = server.ask(&milter);
        assert_eq!(heard_by_policy.verdict, heard_by_milter.verdict);
        assert_eq!(heard_by_policy.reply, heard_by_milter.reply);
        assert!(heard_by_policy.first && !heard_by_milter.first);
        admitted += usize::from(heard_by_policy.reply == Reply::Accept);
        server.tell(&milter, Event::SessionClosed);
    }
    assert_eq!(admitted, 60);
}

#[test]
fn a_session_that_was_hung_up_is_over_even_if_its_port_comes_again() {
    let server = Server::enforcing();
    let first = server.stranger("192.0.2.1");
    assert!(server.ask(&first).reply != Reply::Accept);
    server.pass(5 * MINUTE);
    let again = Facts { transaction: Some(TransactionId(server.next())), ..first.clone() };
    assert_eq!(code(&server.ask(&again)), "returned");
}

#[test]
fn observe_says_what_enforce_would_do_and_accepts() {
    let server = Server::new(wary());
    let decision = server.ask(&server.stranger("192.0.2.1"));
    assert_eq!((code(&decision), &decision.reply), ("first-contact", &Reply::Accept));
    server.pass(6 * MINUTE);
    assert_eq!(code(&server.ask(&server.stranger("192.0.2.1"))), "allowed", "it would have come back");
    server.pass(3 * DAY);
    let explained = server.state.explain(&server.policy, &server.stranger("192.0.2.1"), server.now.get());
    assert!(explained.identities.iter().all(|i| i.reading.slow.bad == 0.0), "nobody failed to come back");
}

#[test]
fn exemptions_and_off_beat_everything() {
    let mut policy = Policy { mode: Mode::Enforce, ..Policy::default() };
    policy.gateways =
        [(DomainName::new("dest.example").unwrap(), Default::default())].into_iter().collect::<Gateways>();
    let server = Server::new(policy.clone());
    let refused = server.ask(&server.proper("198.51.100.1", "mail.corp.example"));
    let Reply::Defer(DeferCode::Closing, text) = &refused.reply else { panic!("{refused:?}") };
    assert!(
        text.as_str().starts_with("[198.51.100.1] IP not in whitelist for RCPT domain, closing connection")
    );
    let mut authenticated = server.stranger("192.0.2.1");
    authenticated.client.authenticated = Some("joe".into());
    assert_eq!(code(&server.ask(&authenticated)), "exempt-authenticated");
    assert_eq!(code(&server.ask(&server.stranger("127.0.0.1"))), "exempt-own-network");
    let mut postmaster = server.stranger("192.0.2.1");
    postmaster.envelope.recipient = Mailbox::new("Postmaster@dest.example");
    let decision = server.ask(&postmaster);
    assert_eq!((code(&decision), &decision.reply), ("exempt-recipient", &Reply::Accept));
    let end = Facts { stage: Stage::EndOfMessage, ..postmaster.clone() };
    let end = Facts { envelope: Envelope { recipient: None, ..end.envelope.clone() }, ..end };
    assert_eq!(server.ask(&end).reply, Reply::Accept, "what was exempt stays so to the end");
    policy.mode = Mode::Off;
    let off = Server::new(policy);
    assert_eq!(code(&off.ask(&off.stranger("192.0.2.1"))), "off");
}

fn overrule(server: &Server, subject: &str, effect: Effect, until: Option<Timestamp>) {
    let subject = subject.parse().unwrap();
    let said = Override { subject, effect, since: server.now.get(), until, note: String::new() };
    server.state.overrule(said, "uid 0", server.now.get()).unwrap();
}

#[test]
fn an_operator_allows_and_blocks_at_once_until_it_expires() {
    let server = Server::enforcing();
    let stranger = || server.stranger("192.0.2.1");
    assert_eq!(code(&server.deliver(&stranger(), None).unwrap_err()), "first-contact");
    overrule(&server, "192.0.2.0/24", Effect::Allow, Some(server.now.get().after(HOUR)));
    assert_eq!(code(&server.deliver(&stranger(), None).unwrap()), "exempt-override");
    overrule(&server, "192.0.2.1", Effect::Block, None);
    let blocked = server.deliver(&stranger(), None).unwrap_err();
    assert!(matches!(blocked.reply, Reply::Defer(DeferCode::Closing, _)), "{blocked:?}");
    assert_eq!((code(&blocked), blocked.reply.enhanced_code()), ("blocked", Some("4.7.0")));
    overrule(&server, "192.0.2.1", Effect::Reject, None);
    let refused = server.deliver(&stranger(), None).unwrap_err();
    let Reply::Reject(text) = &refused.reply else { panic!("{refused:?}") };
    assert!(text.as_str().contains("(blocked "), "{text}");
    server.state.lift(&"192.0.2.1".parse().unwrap(), "uid 0", server.now.get()).unwrap();
    assert!(server.deliver(&stranger(), None).is_ok());
    server.pass(HOUR);
    assert!(server.state.overrides().is_empty());
    assert_eq!(server.state.audit().newest(9).len(), 4);
}

#[test]
fn a_block_reaches_a_session_in_progress_and_spares_the_others_of_its_host() {
    let server = Server::enforcing();
    let mut facts = server.proper("198.51.100.1", "mail.corp.example");
    assert_eq!(server.ask(&facts).reply, Reply::Accept);
    overrule(&server, "corp.example", Effect::Block, None);
    facts.stage = Stage::EndOfMessage;
    let end = server.ask(&facts);
    assert!(matches!(end.reply, Reply::Defer(DeferCode::Local, _)), "others were accepted before: {end:?}");
    assert_eq!((code(&end), end.verdict.scope), ("blocked", Scope::Domain));
    overrule(&server, "corp.example", Effect::Allow, None);
    let mut other = server.proper("198.51.100.1", "mail.corp.example");
    assert_eq!(code(&server.ask(&other)), "exempt-override");
    overrule(&server, "198.51.100.1", Effect::Block, None);
    other.stage = Stage::EndOfMessage;
    assert_eq!(code(&server.ask(&other)), "blocked", "what was allowed is not settled by it");
}

/// A server with a ladder of six hours, whose client at 192.0.2.66 is Bad by forty labels.
fn with_a_bad_client(mode: Mode) -> Server {
    let ladder = Some(Ladder { after: 6 * HOUR, refuse_for: DAY });
    let server = Server::new(Policy { mode: Mode::Observe, ladder, ..wary() });
    for _ in 0..40 {
        server.deliver(&server.stranger("192.0.2.66"), Some(true)).unwrap();
    }
    let policy = Policy { mode, ..Policy::clone(&server.policy) };
    assert_eq!(server.word(&server.stranger("192.0.2.66")), Word::Bad);
    Server { policy: Arc::new(policy), ..server }
}

fn hours_of_attempts(server: &Server, hours: u32, client: impl Fn() -> Facts) -> Vec<Decision> {
    let attempt = |_| {
        server.pass(HOUR);
        let facts = client();
        let decision = server.ask(&facts);
        server.tell(&facts, Event::SessionClosed);
        decision
    };
    (0..hours).map(attempt).collect()
}

#[test]
fn who_stays_bad_and_keeps_coming_is_refused_until_it_ends_by_itself() {
    let server = with_a_bad_client(Mode::Enforce);
    let bad = || server.stranger("192.0.2.66");
    let decisions = hours_of_attempts(&server, 31, bad);
    let refused: Vec<bool> = decisions.iter().map(|decision| code(decision) == "refused").collect();
    let first = refused.iter().position(|refused| *refused).expect("refused");
    assert!((5..=7).contains(&first), "{refused:?}");
    assert_eq!(refused.iter().filter(|refused| **refused).count(), 24, "for a day: {refused:?}");
    let Reply::Reject(text) = &decisions[first].reply else { panic!("{:?}", decisions[first]) };
    assert!(text.as_str().starts_with("[192.0.2.66] Mail from this host is refused"), "{text}");
    let neighbour = server.ask(&server.stranger("192.0.2.67"));
    assert_ne!(code(&neighbour), "refused", "never by prefix alone");
    let [change] = &server.state.audit().newest(9)[..] else { panic!("one change") };
    assert_eq!(
        (change.what, change.key.as_str(), change.who.as_str()),
        (What::Refuse, "192.0.2.66", "ladder")
    );
    assert!(change.until.is_some());
}

#[test]
fn allowing_forgetting_and_a_returning_standing_end_a_refusal() {
    let refused = || {
        let server = with_a_bad_client(Mode::Enforce);
        let bad = || server.stranger("192.0.2.66");
        assert_eq!(code(hours_of_attempts(&server, 8, bad).last().unwrap()), "refused");
        server
    };
    let address = "192.0.2.66".parse().unwrap();
    let server = refused();
    overrule(&server, "192.0.2.0/24", Effect::Allow, Some(server.now.get().after(HOUR)));
    assert!(server.state.on_ladder(address, server.now.get()).is_none());
    server.pass(2 * HOUR);
    assert_ne!(code(&server.ask(&server.stranger("192.0.2.66"))), "refused", "it begins anew");
    let server = refused();
    let (subject, traces) = ("192.0.2.66".parse().unwrap(), Traces::default());
    assert!(server.state.forget(&subject, &traces, "uid 0", server.now.get()).entries > 0);
    assert_ne!(code(&server.ask(&server.stranger("192.0.2.66"))), "refused");
    let server = refused();
    for _ in 0..200 {
        let facts = server.stranger("192.0.2.66");
        let appraisal = server.state.appraise(&facts, server.now.get());
        policy_core::learn(&server.state, &appraisal, Outcome::ReportedHam, server.now.get());
    }
    assert_ne!(code(&server.ask(&server.stranger("192.0.2.66"))), "refused");
    assert_eq!(server.state.audit().newest(1)[0].what, What::Release);
}

#[test]
fn neither_a_pool_nor_anybody_without_a_ladder_is_refused_and_observing_accepts() {
    let server = with_a_bad_client(Mode::Enforce);
    let bad = |server: &Server| server.stranger("192.0.2.66");
    let pools = ["192.0.2.64/29".parse().unwrap()].into_iter().collect();
    let pool = Policy { pools, ..Policy::clone(&server.policy) };
    let server = Server { policy: Arc::new(pool), ..server };
    assert!(
        hours_of_attempts(&server, 9, || bad(&server)).iter().all(|decision| code(decision) != "refused")
    );
    let server = with_a_bad_client(Mode::Enforce);
    let server =
        Server { policy: Arc::new(Policy { ladder: None, ..Policy::clone(&server.policy) }), ..server };
    assert!(
        hours_of_attempts(&server, 9, || bad(&server)).iter().all(|decision| code(decision) != "refused")
    );
    let server = with_a_bad_client(Mode::Observe);
    let decisions = hours_of_attempts(&server, 9, || bad(&server));
    assert!(decisions.iter().all(|decision| decision.reply == Reply::Accept));
    assert_eq!(decisions.last().map(|last| last.verdict.action), Some(Action::Reject));
}

#[test]
fn the_ladder_outlives_a_restart() {
    let server = with_a_bad_client(Mode::Enforce);
    assert_eq!(
        code(hours_of_attempts(&server, 8, || server.stranger("192.0.2.66")).last().unwrap()),
        "refused"
    );
    let again = State::new(64 << 20, [5; 16], server.now.get());
    let restored = server.state.entries().flatten().filter(|entry| again.restore(*entry, server.now.get()));
    assert!(restored.count() > 0);
    let server = Server { state: again, ..server };
    assert_eq!(code(&server.ask(&server.stranger("192.0.2.66"))), "refused");
}

#[test]
fn what_has_had_no_news_for_as_long_as_is_retained_is_gone_whatever_it_weighs() {
    for (retained, left) in [(None, true), (Some(30 * DAY), false)] {
        let server = Server::enforcing();
        retained.into_iter().for_each(|kept| server.state.retain_for(kept));
        for _ in 0..1000 {
            let _ = server.deliver(&server.proper("198.51.100.1", "mail.corp.example"), Some(false));
        }
        server.pass(29 * DAY);
        assert!(server.state.entries().flatten().count() > 0);
        server.pass(3 * DAY);
        assert_eq!(server.state.entries().flatten().count() > 0, left);
    }
}

#[test]
fn off_observe_and_every_exemption_beat_a_block() {
    for mode in [Mode::Off, Mode::Observe, Mode::Enforce] {
        let server = Server::new(Policy { mode, ..wary() });
        overrule(&server, "0.0.0.0/0", Effect::Reject, None);
        let mut postmaster = server.stranger("192.0.2.1");
        postmaster.envelope.recipient = Mailbox::new("postmaster@dest.example");
        assert_eq!(server.ask(&postmaster).reply, Reply::Accept);
        let other = server.ask(&server.stranger("192.0.2.2"));
        assert_eq!(other.reply == Reply::Accept, mode != Mode::Enforce, "{other:?}");
        let action = if mode == Mode::Off { Action::Accept } else { Action::Reject };
        assert_eq!(other.verdict.action, action);
    }
}

#[test]
fn one_recipients_verdict_spares_the_recipients_before_it() {
    let mut policy = Policy { mode: Mode::Enforce, ..Policy::default() };
    let bank = DomainName::new("bank.example").unwrap();
    policy.gateways = [(bank, Default::default())].into_iter().collect();
    let server = Server::new(policy);
    let first = server.proper("198.51.100.1", "mail.corp.example");
    let mut second = first.clone();
    second.envelope.recipient = Mailbox::new("a@bank.example");
    assert_eq!(server.ask(&first).reply, Reply::Accept);
    assert!(matches!(server.ask(&second).reply, Reply::Defer(DeferCode::Local, _)));
    let alone = Facts { transaction: Some(TransactionId(server.next())), ..second };
    assert!(matches!(server.ask(&alone).reply, Reply::Defer(DeferCode::Closing, _)));
}

#[test]
fn a_large_message_is_delivered_to_the_recipients_that_fit() {
    let server = Server::enforcing();
    let message = server.proper("198.51.100.1", "mail.corp.example");
    let rcpt = |n: usize| {
        let mut facts = message.clone();
        facts.envelope.recipient = Mailbox::new(&format!("user{n}@dest.example"));
        server.ask(&facts)
    };
    let replies: Vec<_> = (0..150).map(|n| rcpt(n).reply).collect();
    assert_eq!(replies.iter().filter(|r| **r == Reply::Accept).count(), 120);
    assert!(replies[120..].iter().all(|r| matches!(r, Reply::Defer(DeferCode::Local, _))));
}

#[test]
fn a_lists_next_issue_goes_to_as_many_as_its_last_at_once() {
    let server = Server::enforcing();
    let issue = |messages: usize| {
        let to_fifty = |_: &usize| {
            let facts = server.proper("198.51.100.1", "lists.corp.example");
            let to = |n| Mailbox::new(&format!("member{n}@dest.example"));
            let envelope = |n| Envelope { recipient: to(n), ..facts.envelope.clone() };
            let asked = (0..50).map(|n| server.ask(&Facts { envelope: envelope(n), ..facts.clone() }));
            let all = asked.filter(|decision| decision.reply == Reply::Accept).count() == 50;
            server.tell(&facts, received(facts.transaction.unwrap(), None));
            server.tell(&facts, Event::SessionClosed);
            all
        };
        (0..messages).filter(to_fifty).count()
    };
    // A stranger's issue takes some hours.
    for _ in 0..15 {
        server.pass(HOUR);
        assert_eq!(issue(2), 2);
    }
    server.pass(7 * DAY);
    assert_eq!(issue(30), 30);
}

#[test]
fn who_is_refused_for_its_network_is_told_so() {
    let server = Server::new(Policy { mode: Mode::Enforce, ..Policy::default() });
    let replies =
        (1..=200).map(|n| server.ask(&server.proper(&format!("203.0.113.{n}"), "mail.corp.example")));
    let refused: Vec<_> = replies.filter(|decision| decision.reply != Reply::Accept).collect();
    let text = |decision: &Decision| format!("{:?}", decision.reply);
    assert!(
        refused.len() > 50 && text(&refused[0]).contains("Too much mail from this network: limit of 120")
    );
}

#[test]
fn a_dozen_labels_of_spam_do_not_make_whoever_is_new_wait() {
    for (spam, good) in [(6, 0), (12, 2), (20, 8), (40, 20)] {
        let server = Server::new(Policy { mode: Mode::Enforce, ..Policy::default() });
        let sender = |n: usize| {
            let domain = format!("{}{}.example", ["stone", "river", "maple", "harbor"][n % 4], n * n % 97);
            let mut facts =
                server.proper(&format!("203.{}.113.{}", n % 200, n % 250), &format!("mail.{domain}"));
            facts.client.tls = Some(true);
            facts.envelope.sender = Sender::new(&format!("info@{domain}"));
            let domain = DomainName::new(&domain).unwrap();
            facts.message.verified = vec![VerifiedDomain { domain, by: VerifiedBy::Spf }];
            facts
        };
        for n in 0..spam + good {
            server.pass(HOUR / 60);
            let _ = server.deliver(&sender(n), Some(n * good % (spam + good) >= good));
        }
        let waits = (100..200).filter(|&n| server.ask(&sender(n)).reply != Reply::Accept);
        assert_eq!(waits.count(), 0, "after {spam} labels of spam, and {good} of good mail");
    }
}

/// What comes of a message whose domain is verified at its end alone.
fn verified_at_the_end(server: &Server, n: u8, by: VerifiedBy) -> Decision {
    let facts = server.proper(&format!("198.{n}.100.7"), &format!("m{n}.corp{n}.example"));
    assert_eq!(server.ask(&facts).reply, Reply::Accept);
    let mut end = Facts { stage: Stage::EndOfMessage, ..facts };
    end.envelope.recipient = None;
    end.message.size = Some(1000);
    end.message.verified = vec![VerifiedDomain { domain: DomainName::new("corp.example").unwrap(), by }];
    server.ask(&end)
}

#[test]
fn a_domain_verified_at_the_end_pays_for_the_whole_message() {
    let server = Server::enforcing();
    let replies: Vec<_> = (1..=70).map(|n| verified_at_the_end(&server, n, VerifiedBy::Spf)).collect();
    assert!(replies[..60].iter().all(|d| d.reply == Reply::Accept), "60 for a domain, as for an address");
    let refused = &replies[60];
    assert!(matches!(refused.reply, Reply::Defer(DeferCode::Local, _)), "{refused:?}");
    let corp = DomainName::new("mail.corp.example").unwrap();
    let all = server.state.allotment_of(&server.policy, &corp, server.now.get()).unwrap();
    assert_eq!((all.whose, all.quota.burst.0[1], all.used.unwrap().0[1]), (Whose::Domain, 60.0, 60.0));
    let nobody = DomainName::new("nobody.example").unwrap();
    assert!(server.state.allotment_of(&server.policy, &nobody, server.now.get()).is_none());
}

#[test]
fn a_signed_message_that_others_send_again_costs_its_signer_nothing() {
    let server = Server::enforcing();
    (1..=200).for_each(|n| drop(verified_at_the_end(&server, n, VerifiedBy::Dkim)));
    let mut own = server.proper("203.0.113.1", "mail.corp.example");
    for by in [VerifiedBy::Dkim, VerifiedBy::Spf] {
        own.message.verified.push(VerifiedDomain { domain: DomainName::new("corp.example").unwrap(), by });
    }
    let let_in = (0..60).filter(|_| server.deliver(&own, None).is_ok()).count();
    assert_eq!(let_in, 60);
}

#[test]
fn a_customer_of_a_shared_host_pays_for_itself_and_not_for_the_others() {
    let server = Server::enforcing();
    let of = |domain: &str| {
        let mut facts = server.proper("203.0.113.1", "out.provider.example");
        facts.envelope.sender = Sender::new(&format!("news@{domain}"));
        let domain = DomainName::new(domain).unwrap();
        facts.message.verified = vec![VerifiedDomain { domain, by: VerifiedBy::Spf }];
        facts
    };
    let customer = |n: usize| of(&format!("customer{n}.example"));
    for n in 0..30 {
        assert!(server.deliver(&customer(n), Some(false)).is_ok());
        server.pass(HOUR / 30);
    }
    for _ in 0..10 {
        let _ = server.deliver(&of("bad.example"), Some(true));
        server.pass(HOUR / 60);
    }
    let spammer = server.ask(&of("bad.example"));
    assert!(spammer.reply != Reply::Accept && spammer.verdict.scope == Scope::Domain, "{spammer:?}");
    let taken = (0..300).filter(|n| server.deliver(&customer(n % 30), None).is_ok()).count();
    assert_eq!(taken, 300, "ten messages of each, five times what a stranger's address has");
    let alone = |n: usize| {
        let mut facts = customer(n);
        facts.client.address = "198.51.100.1".parse().unwrap();
        facts
    };
    let taken = (0..300).filter(|&n| server.deliver(&alone(n % 3), None).is_ok()).count();
    assert!(taken < 300, "a host of few is no pool");
}

/// A server of the defaults that makes nobody wait: only allowances defer.
fn without_waits() -> Server {
    let waits = policy_core::policy::Waits {
        first_contact: Duration::ZERO,
        bad: Duration::ZERO,
        ..Default::default()
    };
    Server::new(Policy { mode: Mode::Enforce, waits, ..Policy::default() })
}

#[test]
fn who_turns_from_low_to_bad_does_not_begin_afresh() {
    let server = without_waits();
    let host = || server.proper("198.51.100.1", "mail.corp.example");
    let learn = |outcome| {
        let appraisal = server.state.appraise(&host(), server.now.get());
        policy_core::learn(&server.state, &appraisal, outcome, server.now.get());
        server.word(&host())
    };
    let spam_until = |word| assert!((0..60).any(|_| learn(Outcome::FilteredSpam) == word), "never {word}");
    (0..3).for_each(|_| _ = learn(Outcome::FilteredHam));
    let let_in = || (0..20).take_while(|_| server.deliver(&host(), None).is_ok()).count();
    spam_until(Word::Low);
    assert_eq!(let_in(), 4);
    spam_until(Word::Bad);
    assert_eq!(let_in(), 0, "as Low it has sent more already than as Bad it may");
    server.pass(4 * HOUR);
    assert_eq!(let_in(), 2);
}

/// A forwarder's correspondent that was taken for a spammer now and then, among all the spam from there.
#[test]
fn who_was_vouched_for_does_not_wait_behind_the_spam_of_its_forwarder() {
    let server = without_waits();
    let of = |sender: &str| {
        let mut facts = server.proper("203.0.113.9", "forward.example");
        facts.envelope.sender = Sender::new(&format!("info@{sender}"));
        facts
    };
    let learn = |sender: &str, outcome| {
        let appraisal = server.state.appraise(&of(sender), server.now.get());
        policy_core::learn(&server.state, &appraisal, outcome, server.now.get());
    };
    (0..200).for_each(|n| learn(&format!("junk{n}.example"), Outcome::FilteredSpam));
    (0..3).for_each(|_| learn("friend.example", Outcome::FilteredHam));
    (0..3).for_each(|_| learn("friend.example", Outcome::FilteredSpam));
    let friend_after_spam = || {
        let mut junk = (0..100).map(|n| server.deliver(&of(&format!("more{n}.example")), None));
        let refused = junk.find_map(Result::err).unwrap();
        assert_eq!(refused.verdict.scope, Scope::Client, "{refused:?}");
        assert!(matches!(server.word(&of("friend.example")), Word::Low | Word::Bad));
        server.deliver(&of("friend.example"), None)
    };
    assert!(friend_after_spam().is_err(), "it is known since today alone");
    server.pass(DAY);
    assert!(friend_after_spam().is_ok());
    let more = (0..20).find_map(|_| server.deliver(&of("friend.example"), None).err()).unwrap();
    assert_eq!(more.verdict.scope, Scope::Domain, "{more:?}");
}

/// A good server's stolen mailbox is not taken for a forwarder's newcomer.
#[test]
fn a_stolen_mailbox_has_no_part_in_what_its_host_has_earned() {
    let server = without_waits();
    let of = |user: &str| {
        let mut facts = server.proper("203.0.113.1", "mail.corp.example");
        facts.envelope.sender = Sender::new(&format!("{user}@corp.example"));
        facts
    };
    let learn = |user: &str, outcome| {
        let appraisal = server.state.appraise(&of(user), server.now.get());
        policy_core::learn(&server.state, &appraisal, outcome, server.now.get());
    };
    (0..400).for_each(|n| learn(&format!("user{}", n % 20), Outcome::FilteredHam));
    (0..40).for_each(|_| learn("stolen", Outcome::FilteredSpam));
    assert_eq!(server.word(&of("stolen")), Word::Bad);
    let spam = (0..20).filter(|_| server.deliver(&of("stolen"), None).is_ok()).count();
    assert_eq!(spam, 2);
}

/// What others send in a provider's name does not close it to a customer whose own mail is known to be good.
#[test]
fn a_good_customer_of_a_bad_domain_does_not_queue_behind_the_others() {
    let server = without_waits();
    let of = |user: &str| {
        let mut facts = server.proper("203.0.113.1", "out.webmail.example");
        facts.envelope.sender = Sender::new(&format!("{user}@webmail.example"));
        let domain = DomainName::new("webmail.example").unwrap();
        facts.message.verified = vec![VerifiedDomain { domain, by: VerifiedBy::Spf }];
        facts
    };
    let learn = |user: &str, outcome| {
        let appraisal = server.state.appraise(&of(user), server.now.get());
        policy_core::learn(&server.state, &appraisal, outcome, server.now.get());
    };
    (0..5).for_each(|_| learn("friend", Outcome::FilteredHam));
    (0..300).for_each(|n| learn(&format!("junk{n}"), Outcome::FilteredSpam));
    server.pass(DAY);
    let junk = (0..20).filter(|n| server.deliver(&of(&format!("more{n}")), None).is_ok()).count();
    assert!(junk <= 2, "{junk}");
    let friend = (0..20).filter(|_| server.deliver(&of("friend"), None).is_ok()).count();
    assert!(friend >= 2, "{friend}");
}

/// Spammers of a network use up what is left to them, not what is left to whoever comes new among them.
#[test]
fn a_newcomer_does_not_wait_behind_its_networks_spammers() {
    let server = Server::new(Policy { mode: Mode::Enforce, ..Policy::default() });
    let spammer = |n: u32| server.proper(&format!("203.0.113.{n}"), &format!("mx{n}.spam.example"));
    for n in 1..100 {
        let appraisal = server.state.appraise(&spammer(n), server.now.get());
        (0..4).for_each(|_| {
            policy_core::learn(&server.state, &appraisal, Outcome::FilteredSpam, server.now.get());
        });
    }
    let mut let_in = 0;
    for _ in 0..4 {
        let_in += (1..100).filter(|&n| server.deliver(&spammer(n), None).is_ok()).count();
        server.pass(4 * MINUTE);
    }
    assert!(let_in <= 3, "{let_in} of the whole network in a quarter of an hour");
    let shop = server.proper("203.0.113.200", "mail.shop.example");
    assert_eq!(server.word(&shop), Word::New);
    let login_code = server.deliver(&shop, None);
    assert!(login_code.is_ok(), "{login_code:?}");
}

/// The bounces of a joe job, and callouts about its senders, come from innocent servers.
#[test]
fn a_bounce_to_an_unknown_recipient_is_not_held_against_its_server() {
    let server = Server::enforcing();
    let held_against = |address: &str, unknown: usize| {
        let host = || server.proper(address, "mail.corp.example");
        for _ in 0..30 {
            let mut facts = host();
            facts.envelope.sender = Some(Sender::Null);
            server.ask(&facts);
            let transaction = facts.transaction.unwrap();
            for _ in 0..unknown {
                let refusal = Refusal::UnknownRecipient;
                server.tell(&facts, Event::RecipientRefused { transaction, refusal });
            }
            server.tell(&facts, Event::TransactionAborted { transaction });
            server.tell(&facts, Event::SessionClosed);
        }
        let explained = server.state.explain(&server.policy, &host(), server.now.get());
        explained.identities[0].reading.slow.bad
    };
    assert_eq!(held_against("198.51.100.1", 2), 0.0);
    let harvester = held_against("203.0.113.1", 9);
    assert!(harvester > 10.0, "who looks for addresses in nobody's name: {harvester}");
}

/// A forwarder's queue of hundreds is longer than what the deferral book keeps of one source.
#[test]
fn a_sender_of_mixed_mail_waits_once_and_not_with_each_message() {
    let server = Server::new(Policy { mode: Mode::Enforce, ..Policy::default() });
    let of = |sender: &str| {
        let mut facts = server.stranger("203.0.113.9");
        facts.envelope.sender = Sender::new(sender);
        facts
    };
    let learn = |sender: &str, outcome| {
        let appraisal = server.state.appraise(&of(sender), server.now.get());
        policy_core::learn(&server.state, &appraisal, outcome, server.now.get());
    };
    for n in 0..400 {
        let outcome = if n % 5 < 2 { Outcome::FilteredHam } else { Outcome::FilteredSpam };
        learn(&format!("info@sender{n}.example"), outcome);
    }
    let spam = |n: u32| {
        let mut facts = of(&format!("new{n}@junk.example"));
        facts.envelope.recipient = Mailbox::new(&format!("user{n}@dest.example"));
        facts
    };
    (0..300).for_each(|n| learn(&format!("old{n}@junk.example"), Outcome::FilteredSpam));
    (0..200).for_each(|n| learn(&format!("info@good{n}.example"), Outcome::FilteredHam));
    let waits = |facts: Facts| server.ask(&facts).verdict.retry_after;
    let first = waits(spam(0)).expect("it looks like spam");
    server.pass(first);
    assert_eq!(waits(spam(0)), None);
    assert_eq!(waits(spam(1)), None, "its mailer has come back");
}

#[test]
fn a_harvester_that_finds_nobody_is_remembered() {
    let server = Server::enforcing();
    let facts = server.proper("198.51.100.1", "mail.corp.example");
    let mut begins = Facts { stage: Stage::Mail, ..facts.clone() };
    begins.envelope.recipient = None;
    server.ask(&begins);
    let transaction = facts.transaction.unwrap();
    server.tell(&facts, Event::RecipientRefused { transaction, refusal: Refusal::UnknownRecipient });
    server.tell(&facts, Event::TransactionAborted { transaction });
    let explained = server.state.explain(&server.policy, &facts, server.now.get());
    assert_eq!(explained.identities[0].reading.slow.bad, 1.0);
}

/// Whoever has a signed message can send it again, to whomever he likes.
#[test]
fn unknown_recipients_are_not_held_against_who_signed_the_message() {
    let server = Server::new(wary());
    let domain = |name| DomainName::new(name).unwrap();
    let of = |name, by| vec![VerifiedDomain { domain: domain(name), by }];
    for n in 0..20 {
        let mut facts = server.proper(&format!("203.0.113.{n}"), "replay.example");
        facts.message.verified = of("replay.example", VerifiedBy::Spf);
        let unknown =
            |transaction| Event::RecipientRefused { transaction, refusal: Refusal::UnknownRecipient };
        assert_eq!(server.ask(&facts).reply, Reply::Accept);
        (0..9).for_each(|_| server.tell(&facts, unknown(facts.transaction.unwrap())));
        let signed = of("news.example", VerifiedBy::Dkim).into_iter().chain(facts.message.verified.clone());
        let whole = Message { verified: signed.collect(), ..facts.message.clone() };
        server.ask(&Facts { stage: Stage::EndOfMessage, message: whole, ..facts.clone() });
        server.tell(&facts, received(facts.transaction.unwrap(), None));
        server.tell(&facts, Event::SessionClosed);
    }
    let bad = |name| {
        let held = server.state.records_of(&domain(name), None, server.now.get());
        let verified = held.iter().find(|held| held.kind == Kind::Verified).unwrap();
        verified.reading.slow.bad
    };
    assert_eq!(bad("news.example"), 0.0);
    assert!(bad("replay.example") > 10.0, "{}", bad("replay.example"));
}

#[test]
fn unknown_recipients_and_spamtraps_are_remembered() {
    let mut policy = Policy { mode: Mode::Enforce, ..Policy::default() };
    policy.spamtraps = Recipients {
        addresses: ["trap@dest.example".into()].into(),
        domains: DomainName::new("traps.example").into_iter().collect(),
        ..Recipients::default()
    };
    let server = Server::new(policy);
    let harvester = || server.proper("198.51.100.1", "mail.corp.example");
    for _ in 0..20 {
        let facts = harvester();
        server.ask(&Facts { stage: Stage::Mail, ..facts.clone() });
        server.ask(&facts);
        for _ in 0..9 {
            let transaction = facts.transaction.unwrap();
            server.tell(&facts, Event::RecipientRefused { transaction, refusal: Refusal::UnknownRecipient });
        }
        server.tell(&facts, Event::TransactionAborted { transaction: facts.transaction.unwrap() });
        server.tell(&facts, Event::SessionClosed);
    }
    assert!(matches!(server.word(&harvester()), Word::Low | Word::Bad));
    let server = Server::new((*server.policy).clone());
    let mut trapped = server.proper("203.0.113.1", "mail.other.example");
    let before = server.state.explain(&server.policy, &trapped, server.now.get()).standing.probability;
    trapped.envelope.recipient = Mailbox::new("Trap@dest.example");
    assert_eq!(code(&server.ask(&trapped)), "spamtrap");
    let after = server.state.explain(&server.policy, &trapped, server.now.get()).standing.probability;
    assert!(after > before + 0.2, "{before} {after}");
    let end = Facts { stage: Stage::EndOfMessage, ..trapped };
    assert_eq!(code(&server.ask(&end)), "spamtrap", "what a trap let in is let in to its end");
    let trapped = |traps: &str| {
        let mut facts = server.proper("203.0.113.1", "mail.other.example");
        facts.envelope.recipient = Mailbox::new(traps);
        server.ask(&facts);
        let explained = server.state.explain(&server.policy, &facts, server.now.get());
        explained.identities[0].reading.slow.bad
    };
    let once = trapped("trap@dest.example");
    assert_eq!(trapped("TRAP@dest.example"), once, "anybody can sign a trap up for letters");
    assert!(trapped("one@traps.example") > once + 4.0, "another trap has not spoken");
    let twice = trapped("two@traps.example");
    assert_eq!(trapped("one@traps.example"), twice, "a domain is one trap");
    server.pass(Duration::from_secs(86_400));
    assert!(trapped("trap@dest.example") > twice + 4.0, "the next day");
    let server = Server::new((*server.policy).clone());
    let mut bounce = server.proper("203.0.113.77", "mail.third.example");
    (bounce.envelope.sender, bounce.envelope.recipient) =
        (Sender::new(""), Mailbox::new("trap@dest.example"));
    assert!(bounce.envelope.sender.is_some());
    assert_eq!(code(&server.ask(&bounce)), "spamtrap");
    let held = server.state.explain(&server.policy, &bounce, server.now.get());
    assert!(held.identities.iter().all(|key| key.reading.slow.bad == 0.0), "{:?}", held.identities);
}

#[test]
fn what_turns_out_to_be_spam_loses_what_its_acceptance_earned() {
    let server = Server::enforcing();
    let facts = server.proper("198.51.100.1", "mail.corp.example");
    let verdict = server.deliver(&facts, None).unwrap().verdict;
    let reading = || {
        let explained = server.state.explain(&server.policy, &facts, server.now.get());
        explained.identities[0].reading.slow
    };
    assert!(reading().good > 0.2, "{:?}", reading());
    let spam = policy_core::outcome::Outcome::FilteredSpam;
    policy_core::learn(&server.state, &verdict.appraisal().unwrap(), spam, server.now.get());
    assert!(reading().good < 1e-6 && reading().bad > 0.99, "{:?}", reading());
}

#[test]
fn a_forged_sender_never_touches_the_verified_domain() {
    let server = Server::enforcing();
    let verified = || {
        let mut facts = server.proper("198.51.100.1", "mail.bank.example");
        facts.message.verified =
            vec![VerifiedDomain { domain: DomainName::new("bank.example").unwrap(), by: VerifiedBy::Spf }];
        facts
    };
    (0..25).for_each(|_| drop(server.deliver(&verified(), Some(false))));
    let reading = |facts: &Facts| {
        let explained = server.state.explain(&server.policy, facts, server.now.get());
        let of = |kind| explained.identities.iter().find(|i| i.kind == kind).map(|i| i.reading);
        of(policy_core::identity::Kind::Verified)
    };
    let before = reading(&verified());
    for n in 0..200u8 {
        let mut forged = server.stranger(&format!("192.0.2.{n}"));
        forged.envelope.sender = Sender::new("ceo@bank.example");
        drop(server.deliver(&forged, Some(true)));
    }
    assert_eq!(reading(&verified()), before);
}

#[test]
fn too_many_sessions_at_once_are_deferred_and_a_closed_one_makes_room() {
    let server = Server::enforcing();
    let open: Vec<Facts> = (0..21).map(|_| server.proper("198.51.100.1", "mail.corp.example")).collect();
    let decisions: Vec<_> = open.iter().map(|facts| server.ask(facts)).collect();
    assert!(decisions[..20].iter().all(|d| d.reply == Reply::Accept));
    assert_eq!(code(&decisions[20]), "concurrency");
    server.tell(&open[0], Event::SessionClosed);
    assert_eq!(server.ask(&server.proper("198.51.100.1", "mail.corp.example")).reply, Reply::Accept);
}

#[test]
fn a_million_hostile_keys_keep_within_the_cap_and_spare_those_with_history() {
    const CAP: usize = 16 << 20;
    let state = State::new(CAP, [5; 16], T0);
    let server = Server { state, ..Server::enforcing() };
    let friends: Vec<_> = (0..50u8)
        .map(|n| move |s: &Server| s.proper(&format!("198.51.100.{n}"), &format!("mx.friend{n}.example")))
        .collect();
    for friend in &friends {
        (0..25).for_each(|_| drop(server.deliver(&friend(&server), Some(false))));
    }
    for n in 0..1_000_000u32 {
        let mut hostile = server.stranger("192.0.2.1");
        let address: IpAddr = std::net::Ipv4Addr::from_bits(0x1400_0000 + n).into();
        hostile.client.address = address;
        hostile.session = SessionId::Tcp(SocketAddr::new(address, 1025));
        hostile.envelope.sender = Sender::new(&format!("x@d{n}.example"));
        let appraisal = server.ask(&hostile).verdict.appraisal().unwrap();
        if n % 4 == 0 {
            let spam = policy_core::outcome::Outcome::FilteredSpam;
            policy_core::learn(&server.state, &appraisal, spam, server.now.get());
        }
        if n % 100_000 == 0 {
            let usage = server.state.usage();
            assert!(usage.bytes() <= CAP, "{usage:?}");
        }
    }
    assert!(friends.iter().all(|friend| server.word(&friend(&server)) != Word::New));
}

#[test]
fn sixteen_threads_at_the_front_door_admit_exactly_the_limit() {
    for _ in 0..20 {
        let server = Server::enforcing();
        let questions: Vec<Facts> =
            (0..160).map(|_| server.proper("198.51.100.1", "mail.corp.example")).collect();
        let (state, policy, now) = (&server.state, &server.policy, server.now.get());
        let policy = Arc::new(Policy { limits: quick_limits(), ..(**policy).clone() });
        let admitted = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for chunk in questions.chunks(10) {
                let (policy, admitted) = (&policy, &admitted);
                scope.spawn(move || {
                    for facts in chunk {
                        let accept = decide(policy, state, facts, now).reply == Reply::Accept;
                        admitted.fetch_add(usize::from(accept), std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 60);
    }
}

/// The default limits, with room for all sessions at once.
fn quick_limits() -> policy_core::quota::Limits {
    policy_core::quota::Limits { sessions: 1000, ..Default::default() }
}

#[test]
fn a_reload_reaches_new_sessions_and_leaves_open_ones_as_they_began() {
    let mut server = Server::enforcing();
    let open = server.proper("198.51.100.1", "mail.corp.example");
    server.ask(&open);
    let bank = DomainName::new("dest.example").unwrap();
    let gateways = [(bank, Default::default())].into_iter().collect();
    server.policy = Arc::new(Policy { mode: Mode::Enforce, gateways, ..Policy::default() });
    let mut same = open.clone();
    same.envelope.recipient = Mailbox::new("good2@dest.example");
    assert_eq!(server.ask(&same).reply, Reply::Accept);
    let new = server.proper("198.51.100.1", "mail.corp.example");
    assert_eq!(code(&server.ask(&new)), "gateway");
}

#[test]
fn storms_of_early_retries_cost_no_allowance_and_extend_nothing() {
    let server = Server::enforcing();
    for _ in 0..300 {
        assert_eq!(code(&server.ask(&server.stranger("192.0.2.1"))), "first-contact");
        server.pass(Duration::from_millis(500));
    }
    server.pass(HOUR / 60);
    let back = server.ask(&server.stranger("192.0.2.1"));
    assert_eq!(code(&back), "returned");
    let left = server.state.explain(&server.policy, &server.stranger("192.0.2.1"), server.now.get());
    assert_eq!(left.allotments[0].used.unwrap().0[1], 1.0, "one message was let in, one was debited");
}

/// A message of a domain that SPF verifies, from a host with a name.
fn verified_from(server: &Server, address: &str, domain: &str) -> Facts {
    let mut facts = server.proper(address, "out.provider.example");
    facts.envelope.sender = Sender::new(&format!("news@{domain}"));
    let domain = DomainName::new(domain).unwrap();
    facts.message.verified = vec![VerifiedDomain { domain, by: VerifiedBy::Spf }];
    facts
}

#[test]
fn a_hundred_fresh_domains_make_no_pool_of_a_stranger() {
    let server = Server::enforcing();
    let send =
        |n: usize| server.deliver(&verified_from(&server, "203.0.113.1", &format!("fresh{n}.example")), None);
    // Some of one, so that its address comes to stand well; then ever new ones.
    (0..8).for_each(|_| assert!(send(0).is_ok()));
    let let_in = (1..400).filter(|&n| send(n).is_ok()).count();
    assert!(let_in <= 120, "{let_in} at once");
    let refused = server.ask(&verified_from(&server, "203.0.113.1", "fresh.example"));
    assert_eq!(refused.verdict.scope, Scope::Client, "no pool, whose newcomers alone had used up theirs");
    server.pass(24 * HOUR);
    let let_in = (400..800).filter(|&n| send(n).is_ok()).count();
    assert!(let_in <= 240, "{let_in} on the next day");
}

#[test]
fn new_domains_of_a_pool_share_what_its_address_may() {
    let server = Server::enforcing();
    let of = |domain: &str| verified_from(&server, "203.0.113.1", domain);
    for n in 0..30 {
        assert!(server.deliver(&of(&format!("customer{n}.example")), Some(false)).is_ok());
        server.pass(HOUR / 30);
    }
    let fresh = (0..400).filter(|n| server.deliver(&of(&format!("fresh{n}.example")), None).is_ok()).count();
    assert!((30..=60).contains(&fresh), "{fresh}");
    let refused = server.ask(&of("fresh999.example"));
    assert_eq!(refused.verdict.scope, Scope::Domain, "{refused:?}");
    assert!((0..30).all(|n| server.deliver(&of(&format!("customer{n}.example")), None).is_ok()));
}

#[test]
fn who_begins_and_never_ends_uses_up_nothing_of_what_strangers_share() {
    for aborts in [true, false] {
        let server = Server::enforcing();
        for n in 0..600 {
            let facts =
                server.proper(&format!("203.0.113.{}", n % 8), &format!("mail{}.drain.example", n % 8));
            let asked = server.ask(&facts);
            if aborts && asked.reply == Reply::Accept {
                server.tell(&facts, Event::TransactionAborted { transaction: facts.transaction.unwrap() });
            }
            server.tell(&facts, Event::SessionClosed);
        }
        let newcomer = server.proper("203.0.113.200", "mail.newcomer.example");
        assert!(server.deliver(&newcomer, None).is_ok());
        let host = server.proper("203.0.113.1", "mail1.drain.example");
        assert_eq!(code(&server.ask(&host)), "rate-messages", "the host itself has used up its own");
    }
}
