use super::*;
use crate::engine::{Event, FilterVerdict, Report};
use crate::facts::{FrontEnd, Stage, TransactionId, VerifiedBy, VerifiedDomain};
use crate::fixtures::facts;
use crate::name::DomainName;
use crate::policy::{Exemptions, Mode, Policy, Recipients, Waits};
use crate::{decide, hear, report};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A server that observes, so that nothing is deferred.
struct Server {
    state: State,
    policy: Arc<Policy>,
}

/// Good and bad weight of the slow memory.
type Weights = (f32, f32);

impl Server {
    fn new() -> Self {
        let traps = Recipients { local_parts: ["trap".into()].into(), ..Recipients::default() };
        let policy = Policy { mode: Mode::Observe, spamtraps: traps, ..Policy::default() };
        Self { state: State::new(16 << 20, *b"secret of a test", NOW), policy: Arc::new(policy) }
    }

    /// A message from an address with a verified domain, let in by both stages. What a filter says of it is heard.
    fn let_in(&self, address: &str, domain: &str, filter: Option<(bool, bool)>) -> Subject {
        self.let_in_for(address, domain, "good@dest.example", filter)
    }

    fn let_in_for(&self, address: &str, domain: &str, to: &str, filter: Option<(bool, bool)>) -> Subject {
        let mut facts = facts(address);
        facts.front_end = FrontEnd::Milter;
        facts.envelope.recipient = crate::name::Mailbox::new(to);
        decide(&self.policy, &self.state, &facts, NOW);
        facts.stage = Stage::EndOfMessage;
        facts.message.verified =
            vec![VerifiedDomain { domain: DomainName::new(domain).unwrap(), by: VerifiedBy::Dkim }];
        let subject = decide(&self.policy, &self.state, &facts, NOW).subject.unwrap();
        let filter = filter.map(|(spam, forgeable)| FilterVerdict {
            header: "X-Spam".into(),
            spam,
            score: None,
            forgeable,
        });
        let transaction: TransactionId = facts.transaction.unwrap();
        let event = Event::MessageReceived { transaction, recipients: Some(1), filter };
        report(&self.state, &Report { session: facts.session, front_end: FrontEnd::Milter, event }, NOW);
        subject
    }

    fn says(&self, subject: &Subject, source: Source, reporter: &str, spam: bool, at: Timestamp) -> Effect {
        let news = News { source, reporter, spam, forgeable: false };
        hear(&self.policy, &self.state, subject, news, at)
    }

    fn weights(&self, key: Key, at: Timestamp) -> Weights {
        let slow = self.state.ledger.read(&key, at).slow;
        let rounded = |weight: f32| (weight * 1000.0).round() / 1000.0;
        (rounded(slow.good), rounded(slow.bad))
    }

    fn address(&self, subject: &Subject) -> Weights {
        self.weights(subject.identities.address(), NOW)
    }

    fn domain(&self, subject: &Subject) -> Weights {
        self.weights(subject.identities.verified().next().unwrap().specific(), NOW)
    }
}

#[test]
fn whom_a_message_is_from_is_known_by_its_end_though_its_verdict_was_settled_before() {
    let exempt = Exemptions {
        clients: ["192.0.2.0/24".parse().unwrap()].into_iter().collect(),
        ..Exemptions::default()
    };
    let waits = Waits { suspicious: 0.0, ..Waits::default() };
    let server = Server::new();
    let policies = [
        Policy { exempt, ..Policy::clone(&server.policy) },
        // A stranger would wait, if this server did not only observe.
        Policy { waits, ..Policy::clone(&server.policy) },
    ];
    for policy in policies {
        let server = Server { policy: Arc::new(policy), ..Server::new() };
        let subject = server.let_in("192.0.2.1", "corp.example", None);
        assert_eq!(server.domain(&subject), (0.25, 0.0));
    }
}

#[test]
fn the_same_kind_counts_once_and_each_kind_counts() {
    let server = Server::new();
    let subject = server.let_in("192.0.2.1", "corp.example", None);
    assert_eq!(server.address(&subject), (0.25, 0.0));
    assert_eq!(server.says(&subject, Source::Person, "anna", true, NOW), Effect::Counted);
    assert_eq!(server.address(&subject), (0.0, 2.0));
    for reporter in ["anna", "bert"] {
        assert_eq!(server.says(&subject, Source::Person, reporter, true, NOW), Effect::Known);
    }
    assert_eq!(server.says(&subject, Source::Complaint, "isp", true, NOW), Effect::Counted);
    assert_eq!(server.address(&subject), (0.0, 4.0), "its acceptance is taken back once");
}

#[test]
fn a_later_word_corrects_an_earlier_one_to_the_digit() {
    let server = Server::new();
    let subject = server.let_in("192.0.2.1", "corp.example", Some((true, false)));
    assert_eq!((server.address(&subject), server.domain(&subject)), ((0.0, 1.0), (0.0, 1.0)));
    let later = NOW.after(HOUR);
    assert_eq!(server.says(&subject, Source::Person, "anna", false, later), Effect::Corrected);
    let (good, bad) = server.weights(subject.identities.address(), later);
    assert!((good - 1.25).abs() < 0.002 && bad == 0.0, "{good} {bad}");
    assert_eq!(server.says(&subject, Source::Person, "anna", true, later), Effect::Corrected, "and back");
    let (good, bad) = server.weights(subject.identities.address(), later);
    assert!(good.abs() < 0.002 && (bad - 2.0).abs() < 0.002, "{good} {bad}");
}

#[test]
fn a_filter_corrects_no_person_and_nobody_a_trap() {
    let server = Server::new();
    let subject = server.let_in("192.0.2.1", "corp.example", None);
    server.says(&subject, Source::Person, "anna", false, NOW);
    assert_eq!(server.says(&subject, Source::Filter, "", true, NOW), Effect::Overruled);
    assert_eq!(server.says(&subject, Source::Complaint, "isp", true, NOW), Effect::Overruled);
    assert_eq!(server.address(&subject), (1.25, 0.0));
    let trapped = server.let_in_for("192.0.3.1", "other.example", "trap@dest.example", Some((false, false)));
    assert_eq!(server.address(&trapped), (0.0, 5.0), "mail for a trap alone earns nothing");
    server.says(&trapped, Source::Person, "anna", false, NOW);
    assert_eq!(server.address(&trapped).1, 5.0);
}

#[test]
fn what_a_sender_can_write_charges_no_verified_domain_and_is_corrected_all_the_same() {
    let server = Server::new();
    let subject = server.let_in("192.0.2.1", "corp.example", Some((true, true)));
    assert_eq!((server.address(&subject), server.domain(&subject)), ((0.0, 1.0), (0.25, 0.0)));
    server.says(&subject, Source::Person, "anna", false, NOW);
    assert_eq!((server.address(&subject), server.domain(&subject)), ((1.25, 0.0), (1.25, 0.0)));
}

#[test]
fn the_model_is_taught_each_new_label_once() {
    let server = Server::new();
    let labels = || server.state.model_health().labels;
    let subject = server.let_in("192.0.2.1", "corp.example", Some((true, false)));
    assert_eq!(labels(), 1);
    server.says(&subject, Source::Complaint, "isp", true, NOW);
    assert_eq!(labels(), 1, "that is known");
    server.says(&subject, Source::Person, "anna", false, NOW);
    assert_eq!(labels(), 2, "that is new");
    let forgeable = server.let_in("192.0.2.2", "corp.example", Some((true, true)));
    assert_eq!(labels(), 2, "anybody may have written that");
    server.says(&forgeable, Source::Person, "anna", true, NOW);
    assert_eq!(labels(), 3);
}

#[test]
fn caps_and_silence_are_obeyed() {
    let mut server = Server::new();
    let mail = |server: &Server| server.let_in("192.0.2.1", "corp.example", None);
    let (first, second) = (mail(&server), mail(&server));
    assert_eq!(server.says(&first, Source::Person, "anna", true, NOW), Effect::Counted);
    assert_eq!(server.says(&second, Source::Person, "anna", true, NOW), Effect::CapSender);
    assert_eq!(server.says(&second, Source::Person, "bert", true, NOW), Effect::Counted);
    assert_eq!(server.says(&first, Source::Person, "anna", false, NOW), Effect::Corrected);
    Arc::make_mut(&mut server.policy).sources.rule_mut(Source::Person).weight = 0.0;
    let third = mail(&server);
    assert_eq!(server.says(&third, Source::Person, "carl", true, NOW), Effect::Silenced);
    let late = NOW.after(OLDEST + HOUR);
    assert_eq!(server.says(&third, Source::Complaint, "isp", true, late), Effect::TooOld);
}

#[test]
fn a_configured_weight_is_what_is_booked() {
    let mut server = Server::new();
    Arc::make_mut(&mut server.policy).sources.rule_mut(Source::Person).weight = 0.5;
    let (bad, good) =
        (server.let_in("192.0.2.1", "a.example", None), server.let_in("192.0.3.1", "b.example", None));
    server.says(&bad, Source::Person, "anna", true, NOW);
    server.says(&good, Source::Person, "anna", false, NOW);
    assert_eq!((server.address(&bad), server.address(&good)), ((0.0, 0.5), (0.75, 0.0)));
}

#[test]
fn it_is_told_what_was_heard_of_a_sender_and_forgotten_on_demand() {
    let server = Server::new();
    let subject = server.let_in("192.0.2.1", "corp.example", Some((true, false)));
    server.says(&subject, Source::Complaint, "isp", true, NOW.after(HOUR));
    let domain = subject.identities.group.unwrap();
    let heard = server.state.heard_of(&[domain]);
    let told: Vec<_> = heard.iter().map(|heard| (heard.source, heard.spam, heard.ham, heard.last)).collect();
    assert_eq!(told, [(Source::Filter, 1, 0, NOW), (Source::Complaint, 1, 0, NOW.after(HOUR))]);
    assert_eq!(server.state.heard_of(&[subject.identities.address()]), heard);
    let network = "192.0.2.0/24".parse().unwrap();
    server.state.forget(&network, &crate::forget::Traces::default(), "uid 0", NOW);
    assert!(server.state.heard_of(&[domain]).is_empty());
}

#[test]
fn a_subject_comes_back_as_it_was_carried() {
    let server = Server::new();
    let subject = server.let_in("192.0.2.1", "corp.example", None);
    let back = Carried::from(&subject).into_subject().unwrap();
    assert_eq!((back.message, back.let_in), (subject.message, subject.let_in));
    assert_eq!(back.identities, subject.identities);
    let (ours, theirs) = (subject.decided.unwrap(), back.decided.unwrap());
    assert_eq!((ours.identities, ours.said, ours.well), (theirs.identities, theirs.said, theirs.well));
}

#[test]
fn other_traits_teach_nothing_and_broken_keys_are_no_subject() {
    let server = Server::new();
    let subject = server.let_in("192.0.2.1", "corp.example", None);
    let carried = || serde_json::to_value(Carried::from(&subject)).unwrap();
    let read = |value| serde_json::from_value::<Carried>(value).unwrap().into_subject();
    let mut fewer = carried();
    fewer["identities"]["traits"].as_array_mut().unwrap().pop();
    fewer["decided"]["identities"] = serde_json::Value::Null;
    let fewer = read(fewer).unwrap();
    assert!(fewer.decided.is_none() && fewer.identities.chains == subject.identities.chains);
    for broken in ["/identities/chains", "/identities/chains/0/levels", "/keys"] {
        let mut value = carried();
        *value.pointer_mut(broken).unwrap() = serde_json::json!([]);
        assert!(read(value).is_none(), "{broken}");
    }
}

proptest! {
    /// Whatever is said in whatever order, what is booked is what the words that stand would have booked alone.
    #[test]
    fn what_is_booked_is_what_stands(
        words in prop::collection::vec((0usize..5, any::<bool>()), 0..12), filter in any::<Option<(bool, bool)>>(),
    ) {
        let mut server = Server::new();
        for source in Source::ALL {
            let rule = server.policy.sources.rule(source).weight;
            *Arc::make_mut(&mut server.policy).sources.rule_mut(source) =
                SourceRule { weight: rule, per_sender: 0, per_reporter: 0, per_day: 0 };
        }
        let subject = server.let_in("192.0.2.1", "corp.example", filter);
        let mut heard = vec![];
        if let Some((spam, false)) = filter {
            heard.push((Source::Filter, spam));
        }
        for (source, spam) in words {
            let source = Source::ALL[source];
            let spam = spam || source == Source::Trap;
            if server.says(&subject, source, "x", spam, NOW).counts() {
                heard.retain(|(of, said)| *of != source && (*said == spam || !source.corrects(*of)));
                heard.push((source, spam));
            }
        }
        if filter.is_some_and(|(_, forgeable)| forgeable) {
            return Ok(());
        }
        let bad: f32 = heard.iter().filter(|(_, spam)| *spam).map(|(of, _)| of.default_weight()).sum();
        let ham = heard.iter().filter(|(_, spam)| !spam).count() as f32;
        let accepted = if bad > 0.0 { 0.0 } else { 0.25 };
        let (good, booked) = server.address(&subject);
        prop_assert!((good - ham - accepted).abs() < 0.01 && (booked - bad).abs() < 0.01, "{good} {booked} {heard:?}");
    }
}
