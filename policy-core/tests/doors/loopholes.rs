//! What a client might get for nothing, or pay twice, by the order in which it asks.

use super::*;
use policy_core::identity::{Identities, Keyring};
use policy_core::policy::CodeChoice;

fn asking(server: &Server, address: &str, recipient: &str) -> Facts {
    let mut facts = server.stranger(address);
    facts.envelope.recipient = Mailbox::new(recipient);
    facts
}

fn record_of(server: &Server, facts: &Facts) -> policy_core::evidence::Reading {
    server.state.explain(&server.policy, facts, server.now.get()).identities[0].reading
}

fn with_a_trap() -> Server {
    let spamtraps = Recipients { local_parts: ["trap".into()].into(), ..Recipients::default() };
    Server::new(Policy { mode: Mode::Enforce, spamtraps, ..wary() })
}

#[test]
fn mail_for_a_spamtrap_earns_nothing() {
    let server = with_a_trap();
    for _ in 0..200 {
        let mut facts = asking(&server, "192.0.2.1", "trap@dest.example");
        facts.envelope.sender = Some(Sender::Null);
        assert!(server.deliver(&facts, Some(false)).is_ok());
    }
    server.pass(DAY);
    let record = record_of(&server, &server.stranger("192.0.2.1"));
    assert_eq!((record.slow.good, record.busiest), (0.0, 0.0));
}

#[test]
fn mail_for_postmaster_earns_nothing_beside_a_recipient_that_was_deferred() {
    let server =
        Server::new(Policy { code: CodeChoice::Always(DeferCode::Local), mode: Mode::Enforce, ..wary() });
    for _ in 0..200 {
        let postmaster = asking(&server, "192.0.2.1", "postmaster@dest.example");
        assert_eq!(server.ask(&postmaster).reply, Reply::Accept);
        let other = Facts { envelope: server.stranger("192.0.2.1").envelope, ..postmaster.clone() };
        assert_ne!(server.ask(&other).reply, Reply::Accept);
        let transaction = postmaster.transaction.unwrap();
        server.tell(&postmaster, received(transaction, None));
        server.tell(&postmaster, Event::SessionClosed);
    }
    assert_eq!(record_of(&server, &server.stranger("192.0.2.1")).slow.good, 0.0);
}

/// Postfix's policy client sees no end of a message where it does not ask about DATA.
#[test]
fn who_was_hung_up_has_sent_nothing() {
    let server = Server::enforcing();
    for _ in 0..20 {
        let policy = |facts: Facts| Facts { front_end: FrontEnd::Policy, ..facts };
        let postmaster = policy(asking(&server, "192.0.2.1", "postmaster@dest.example"));
        server.ask(&postmaster);
        let other = Facts { envelope: server.stranger("192.0.2.1").envelope, ..postmaster.clone() };
        assert!(matches!(server.ask(&other).reply, Reply::Defer(DeferCode::Closing, _)));
        server.tell(&postmaster, Event::SessionClosed);
    }
    assert_eq!(record_of(&server, &server.stranger("192.0.2.1")).slow.good, 0.0);
}

/// Postfix asks its policy client about the end of a message before its milters.
#[test]
fn what_the_milter_refuses_at_the_end_was_not_received() {
    let server = Server::enforcing();
    let milter = server.proper("192.0.2.1", "mail.corp.example");
    let policy = Facts { front_end: FrontEnd::Policy, transaction: Some(TransactionId(7)), ..milter.clone() };
    server.ask(&policy);
    server.ask(&milter);
    let end = |facts: &Facts| Facts { stage: Stage::EndOfMessage, ..facts.clone() };
    server.ask(&end(&policy));
    server.tell(&policy, received(TransactionId(7), None));
    server.ask(&end(&milter));
    server.tell(&milter, Event::TransactionAborted { transaction: milter.transaction.unwrap() });
    server.tell(&milter, Event::SessionClosed);
    assert_eq!(record_of(&server, &milter).slow.good, 0.0);
}

#[test]
fn a_policy_client_that_asks_about_data_no_more_still_lets_mail_in() {
    let server = Server::enforcing();
    let recipient =
        || Facts { front_end: FrontEnd::Policy, ..server.proper("192.0.2.1", "mail.corp.example") };
    let good = || record_of(&server, &recipient()).slow.good;
    let with_data = recipient();
    server.ask(&with_data);
    server.ask(&Facts { stage: Stage::Data, ..with_data.clone() });
    server.tell(&with_data, Event::SessionClosed);
    let once = good();
    let deliver = || {
        let facts = recipient();
        server.ask(&facts);
        server.tell(&facts, Event::SessionClosed);
    };
    deliver();
    assert_eq!(good(), once, "it went away before DATA");
    server.pass(2 * DAY);
    let before = good();
    deliver();
    assert!(good() > before + 0.2, "the line for DATA was taken out of the configuration");
}

#[test]
fn who_is_asked_about_at_mail_waits_at_rcpt() {
    let server = Server::new(Policy { mode: Mode::Enforce, reply_from: Stage::Mail, ..wary() });
    let facts = server.stranger("192.0.2.1");
    assert_eq!(server.ask(&Facts { stage: Stage::Mail, ..facts.clone() }).reply, Reply::Accept);
    assert_eq!(code(&server.ask(&facts)), "first-contact");
}

#[test]
fn a_message_that_takes_an_hour_to_come_is_judged_once() {
    let server = Server::enforcing();
    server.ask(&server.stranger("192.0.2.1"));
    server.pass(5 * MINUTE);
    let facts = server.stranger("192.0.2.1");
    assert_eq!(code(&server.ask(&facts)), "returned");
    server.pass(HOUR);
    let end = server.ask(&Facts { stage: Stage::EndOfMessage, ..facts.clone() });
    assert_eq!((end.reply, end.first), (Reply::Accept, false));
    server.pass(5 * HOUR);
    let forgotten =
        server.state.usage().tables.iter().find(|share| share.table == "sessions").unwrap().entries;
    assert_eq!(forgotten, 0, "of a session that was never closed");
}

fn verified(names: &[(&str, VerifiedBy)]) -> Vec<VerifiedDomain> {
    let verified = |&(name, by): &(&str, _)| VerifiedDomain { domain: DomainName::new(name).unwrap(), by };
    names.iter().map(verified).collect()
}

#[test]
fn an_organisation_is_booked_on_once_however_many_of_its_names_are_verified() {
    let server = Server::enforcing();
    let names = ["bounce.shop.example", "shop.example", "news.shop.example"];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let mut facts = server.proper("192.0.2.1", "mail.shop.example");
        facts.message.verified = verified(&order.map(|n: usize| (names[n], VerifiedBy::Dkim)));
        let identities = Identities::of(&facts, &Keyring::new([1; 16]));
        let keys: Vec<_> = identities.keys().collect();
        let each: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(keys.len(), each.len());
        assert_eq!(identities.verified().count(), 3, "each is still asked");
    }
}

#[test]
fn signatures_of_others_do_not_hide_who_sends() {
    let server = Server::enforcing();
    let mut facts = server.proper("192.0.2.1", "mail.shop.example");
    facts.message.verified = verified(&[
        ("one.example", VerifiedBy::Dkim),
        ("two.example", VerifiedBy::Dkim),
        ("three.example", VerifiedBy::Dkim),
        ("shop.example", VerifiedBy::Spf),
    ]);
    let identities = Identities::of(&facts, &Keyring::new([1; 16]));
    assert!(identities.chains.iter().all(|chain| chain.kind != Kind::Claimed));
    assert_eq!(identities.verified().count(), 3);
}

#[test]
fn a_bad_host_borrows_nothing_from_its_neighbours_bounces() {
    let server = without_waits();
    let from_nobody = |address: &str| {
        let mut facts = server.stranger(address);
        facts.envelope.sender = Some(Sender::Null);
        facts
    };
    let learn = |facts: &Facts, outcome| {
        let appraisal = server.state.appraise(facts, server.now.get());
        policy_core::learn(&server.state, &appraisal, outcome, server.now.get());
    };
    (0..12).for_each(|_| learn(&from_nobody("192.0.2.1"), Outcome::FilteredHam));
    server.pass(DAY);
    (0..40).for_each(|_| learn(&server.stranger("192.0.2.66"), Outcome::FilteredSpam));
    let let_in = (0..60).filter(|_| server.deliver(&from_nobody("192.0.2.66"), None).is_ok()).count();
    assert!(let_in <= 5, "{let_in}");
}

#[test]
fn an_address_that_stays_bad_stays_on_the_ladder_whatever_else_comes_from_it() {
    let server = with_a_bad_client(Mode::Enforce);
    let address: IpAddr = "192.0.2.66".parse().unwrap();
    server.ask(&server.stranger("192.0.2.66"));
    let since = server.state.on_ladder(address, server.now.get()).unwrap().since;
    server.pass(HOUR);
    let customer = |address: &str| {
        let mut facts = server.stranger(address);
        facts.envelope.sender = Sender::new("a@customer.example");
        facts.message.verified = verified(&[("customer.example", VerifiedBy::Spf)]);
        facts
    };
    for _ in 0..40 {
        let appraisal = server.state.appraise(&customer("203.0.113.9"), server.now.get());
        policy_core::learn(&server.state, &appraisal, Outcome::FilteredHam, server.now.get());
    }
    assert_ne!(server.word(&customer("192.0.2.66")), Word::Bad);
    server.ask(&customer("192.0.2.66"));
    assert_eq!(server.state.on_ladder(address, server.now.get()).unwrap().since, since);
}

#[test]
fn who_comes_back_is_not_taken_for_one_who_never_did() {
    let server = Server::enforcing();
    let bad = |server: &Server| record_of(server, &server.stranger("192.0.2.1")).slow.bad;
    server.ask(&server.stranger("192.0.2.1"));
    server.pass(2 * DAY);
    assert!(bad(&server) > 0.2, "a bot");
    let server = Server::enforcing();
    server.ask(&server.stranger("192.0.2.1"));
    // Meanwhile it has come to look better, so that its retry need not be one.
    let proper = || {
        let mut facts = server.proper("192.0.2.1", "mail.corp.example");
        facts.envelope.sender = Sender::new("b@other.example");
        facts
    };
    assert!(server.deliver(&proper(), None).is_ok());
    server.pass(2 * DAY);
    assert_eq!(bad(&server), 0.0);
}

#[test]
fn one_network_does_not_have_a_server_hear_of_spam_alone() {
    let server = with_a_trap();
    for n in 0..100 {
        let ham = server.stranger(&format!("10.{n}.0.1"));
        let appraisal = server.state.appraise(&ham, server.now.get());
        policy_core::learn(&server.state, &appraisal, Outcome::FilteredHam, server.now.get());
    }
    for n in 0..4000 {
        let address = format!("2001:db8:0:{n:x}::1");
        server.ask(&asking(&server, &address, "trap@dest.example"));
    }
    assert!(!server.state.hears_of_spam_alone());
}
