//! What is known of a client and its sender.

use crate::support::*;
use crate::world::*;
use hickory_server::proto::rr::RecordType;
use policy_core::facts::{Facts, Stage, VerifiedBy};
use policy_core::findings::{HeloAddress, Listing, Spf};
use signals::gather::{Options, Signals};
use signals::lists::{Code, Kind, ListOptions, Meaning};
use signals::operators::Operators;
use std::collections::HashSet;
use test_support::{MaxMind, Value};

fn pointers(server: &TestServer) -> usize {
    server.asked().iter().filter(|asked| asked.kind == RecordType::PTR).count()
}

#[tokio::test]
async fn a_client_in_order_is_known_for_what_it_is() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut facts = good(1);
    signals.gather(&mut facts).await;
    assert_eq!(facts.client.name, Some(domain("mail.src.example")));
    let findings = &facts.findings;
    assert_eq!((findings.helo, findings.spf), (HeloAddress::Same, Spf::Pass));
    assert_eq!((findings.listing, findings.reverse_name_failed), (Listing::NotListed, false));
    assert_eq!(verified(&facts), [("src.example", VerifiedBy::Spf)]);
    assert_eq!(said(&facts, "ptr"), ["mail.src.example, confirmed"]);
    assert_eq!(said(&facts, "spf"), ["pass src.example by a:mail.src.example"]);
    assert_eq!(said(&facts, "helo"), ["resolves to the client"]);
    assert!(["ptr", "helo", "spf"].iter().all(|signal| notes(&facts, signal)[0].age.is_some()));
    assert!(said(&facts, "lookups").is_empty() && findings.notes.iter().all(|n| !n.source.is_empty()));
}

#[tokio::test]
async fn a_listed_client_without_a_name_is_known_for_that() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut facts = rcpt(LISTED, 1, "nowhere.example", "x@src.example");
    // The mail server had no answer; here there is one.
    facts.findings.reverse_name_failed = true;
    signals.gather(&mut facts).await;
    assert_eq!((facts.client.name.clone(), facts.client.reverse_name.clone()), (None, None));
    let findings = &facts.findings;
    assert_eq!((findings.helo, findings.spf), (HeloAddress::Nowhere, Spf::Fail));
    assert_eq!((findings.listing, findings.reverse_name_failed), (Listing::Listed, false));
    assert!(facts.message.verified.is_empty());
    let listing = notes(&facts, "list")[0];
    assert_eq!(listing.source, "bl.example");
    assert!(listing.value.starts_with(LISTED) && listing.age.is_some(), "{listing:?}");
    assert_eq!(said(&facts, "ptr"), ["none"]);
    assert_eq!(
        (notes(&facts, "ptr")[0].age, notes(&facts, "helo")[0].age),
        (None, None),
        "nothing has an age"
    );
    assert!(notes(&facts, "spf")[0].age.is_some());
}

#[tokio::test]
async fn a_name_that_the_mail_server_has_found_is_not_asked_for() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut confirmed = good(1);
    confirmed.client.name = Some(domain("given.src.example"));
    let mut unconfirmed = good(2);
    unconfirmed.client.reverse_name = Some(domain("given.src.example"));
    for facts in [&mut confirmed, &mut unconfirmed] {
        let before = facts.client.clone();
        signals.gather(facts).await;
        assert_eq!((&facts.client, pointers(&server)), (&before, 0));
        assert!(!facts.findings.reverse_name_failed && said(facts, "ptr").is_empty());
    }
    signals.gather(&mut good(3)).await;
    assert_eq!(pointers(&server), 1);
}

#[tokio::test]
async fn our_own_name_and_another_hosts_address_are_lies() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    for (port, helo, address) in [
        (1, "mta.dest.example", HeloAddress::Ours),
        (2, "MTA.dest.example", HeloAddress::Ours),
        (3, "[192.0.2.99]", HeloAddress::WrongLiteral),
        (4, "[192.0.2.7]", HeloAddress::Unknown),
        (5, "friend", HeloAddress::Unknown),
    ] {
        let mut facts = rcpt(GOOD, port, helo, "ann@src.example");
        signals.gather(&mut facts).await;
        assert_eq!(facts.findings.helo, address, "{helo}");
    }
}

#[tokio::test]
async fn the_null_sender_stands_for_the_name_greeted_with() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let mut facts = rcpt(GOOD, 1, "src.example", "");
    signals.gather(&mut facts).await;
    assert_eq!(verified(&facts), [("src.example", VerifiedBy::Spf)]);
    // Before MAIL nobody has said for whom: nothing is verified yet.
    let mut early = rcpt(GOOD, 2, "src.example", "");
    (early.stage, early.envelope.sender) = (Stage::Helo, None);
    signals.gather(&mut early).await;
    assert_eq!((early.findings.spf, verified(&early)), (Spf::Unknown, vec![]));
}

#[tokio::test]
async fn equal_questions_are_one_and_a_second_recipient_asks_nothing() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let before = server.count();
    server.hold(true);
    let gathering: Vec<_> = (1..=40)
        .map(|n| {
            let signals = signals.clone();
            // Ten sessions, each of four recipients.
            tokio::spawn(async move {
                let mut facts = good(n % 10);
                signals.gather(&mut facts).await;
                facts
            })
        })
        .collect();
    server.has_been_asked(before + 4).await;
    server.hold(false);
    for facts in gathering {
        assert_eq!(facts.await.unwrap().findings.spf, Spf::Pass);
    }
    let asked = server.asked();
    let different: HashSet<_> = asked.iter().map(|asked| (asked.name.to_lowercase(), asked.kind)).collect();
    // hickory sends a datagram again that is not answered for long, so datagrams do not count.
    let sent = || signals.dns().health().sent;
    assert_eq!(sent(), different.len() as u64, "{asked:?}");
    let mut second_recipient = good(3);
    signals.gather(&mut second_recipient).await;
    assert_eq!((second_recipient.findings.spf, sent()), (Spf::Pass, different.len() as u64));
}

#[tokio::test]
async fn what_was_begun_early_is_there_later() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), patient()).await;
    let before = server.count();
    let mut early = good(1);
    (early.stage, early.envelope.sender) = (Stage::Helo, None);
    signals.begin(&early);
    // Its PTR and address, HELO's address and SPF, and the list.
    server.has_been_asked(before + 3).await;
    let mut facts = good(1);
    signals.gather(&mut facts).await;
    assert_eq!((facts.findings.helo, pointers(&server)), (HeloAddress::Same, 1));
}

/// Anybody can greet with a good name; only what is the client's own speaks for it.
#[tokio::test]
async fn an_allow_list_speaks_for_the_clients_own_names_alone() {
    let server = TestServer::start(|asked| match asked.name.to_ascii().as_str() {
        "test.good.example." | "src.example.good.example." => addresses(&asked.name, &["127.0.0.2"]),
        _ => world(asked),
    })
    .await;
    let allowed = Code::new([127, 0, 0, 2], 32, Meaning::Allowed(1.0), "good");
    let lists = vec![ListOptions::new("good.example", Kind::Domain).with_codes([allowed])];
    let signals = start(server.options(), Options { lists, ..patient() }).await;
    let mut own = good(1);
    own.client.name = Some(domain("mail.src.example"));
    let claimed = rcpt("192.0.2.8", 2, "mail.src.example", "ann@src.example");
    let mut unconfirmed = rcpt("192.0.2.8", 3, "x.example", "ann@other.example");
    unconfirmed.client.reverse_name = Some(domain("mail.src.example"));
    for (mut facts, listing) in
        [(own, Listing::Allowed), (claimed, Listing::NotListed), (unconfirmed, Listing::NotListed)]
    {
        signals.gather(&mut facts).await;
        assert_eq!(facts.findings.listing, listing, "{:?}", facts.findings.notes);
    }
}

#[tokio::test]
async fn who_runs_the_network_stands_in_a_table() {
    let asn = Value::map([("autonomous_system_number", Value::U32(64_501))]);
    let table = MaxMind::new("test").network([192, 0, 2, 0], 24, &asn);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), table.to_bytes()).unwrap();
    let operators = Operators::open(&[file.path().to_owned()]).unwrap();
    let server = TestServer::start(world).await;
    let signals = Signals::start(server.resolver(), Some(operators), patient()).unwrap();
    let number = |facts: &Facts| facts.findings.operator.as_ref().map(|operator| operator.number);
    let (mut inside, mut outside) = (good(1), rcpt("198.51.100.1", 2, "x.example", ""));
    signals.gather(&mut inside).await;
    signals.gather(&mut outside).await;
    assert_eq!((number(&inside), number(&outside)), (Some(64_501), None));
    assert_eq!((said(&inside, "operator"), said(&outside, "operator")), (vec!["AS64501"], vec![]));
}
