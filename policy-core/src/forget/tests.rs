use super::*;
use crate::facts::{VerifiedBy, VerifiedDomain};
use crate::fixtures::{facts, named};
use crate::outcome::Outcome;
use crate::overrides::{Effect, Override};
use crate::policy::{Mode, Policy};
use crate::{decide, learn};
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn state() -> State {
    State::new(16 << 20, *b"secret of a test", NOW)
}

/// A sender of whom everything is held: evidence, an allowance, a deferral, an override.
fn busy(state: &State, facts: &Facts) {
    let mut policy = Policy { mode: Mode::Enforce, ..Policy::default() };
    for suspicious in [1.0, 0.0] {
        policy.waits.suspicious = suspicious;
        let mut again = facts.clone();
        again.session = crate::facts::SessionId::Connection(facts.front_end, suspicious as u64);
        decide(&Arc::new(policy.clone()), state, &again, NOW);
    }
    learn(state, &state.appraise(facts, NOW), Outcome::FilteredHam, NOW);
    state.pools.note(&Identities::of(facts, &state.keyring), NOW);
}

fn block(state: &State, subject: &str) {
    let subject: Subject = subject.parse().unwrap();
    let said = Override { subject, effect: Effect::Block, since: NOW, until: None, note: "spam".into() };
    state.overrule(said, "uid 0", NOW).unwrap();
}

fn forget(state: &State, subject: &str, seen: &[&Facts]) -> Forgotten {
    let subject: Subject = subject.parse().unwrap();
    let mut traces = Traces::default();
    seen.iter().for_each(|facts| traces.note(&subject, facts));
    state.forget(&subject, &traces, "uid 0", NOW)
}

/// Everything that an export would show.
fn export(state: &State) -> String {
    let entries = state.entries().flatten().map(|entry| serde_json::to_string(&entry).unwrap());
    let overrides = state.overrides().list().into_iter().map(|said| serde_json::to_string(&said).unwrap());
    let audit = state.audit().newest(99).into_iter().map(|change| serde_json::to_string(&change).unwrap());
    entries.chain(overrides).chain(audit).collect::<Vec<_>>().join("\n")
}

fn hex(key: Key) -> String {
    format!("{:032x}", u128::from_be_bytes(key.to_bytes()))
}

#[test]
fn nothing_of_a_forgotten_address_is_left_and_its_neighbour_stays() {
    let state = state();
    let (gone, stays) = (facts("192.0.2.7"), facts("192.0.2.8"));
    [&gone, &stays].into_iter().for_each(|facts| busy(&state, facts));
    block(&state, "192.0.2.7");
    let before = export(&state);
    assert!(before.contains("c0000207") && before.contains("192.0.2.7") && before.contains("c0000208"));
    let _ = state.changes().count();
    let forgotten = forget(&state, "192.0.2.7", &[&gone]);
    assert!(forgotten.entries >= 3 && forgotten.overrides == 1, "{forgotten:?}");
    let after = export(&state);
    assert!(!after.contains("c0000207") && !after.contains("192.0.2.7"), "{after}");
    assert!(after.contains("c0000208") && after.contains("\"forget\""));
    assert!(state.changes().count() > 0, "its pages are marked, so that the disk forgets too");
    let standing = state.appraise(&facts("192.0.2.7"), NOW).identities;
    assert_eq!(state.ledger.read(&standing.address(), NOW).slow.evidence(), 0.0);
}

#[test]
fn an_address_is_forgotten_with_its_name_and_with_who_has_sent_from_there() {
    let state = state();
    let gone = named("192.0.2.7", "mail.src.example");
    busy(&state, &gone);
    forget(&state, "192.0.2.7", &[&gone]);
    let identities = Identities::of(&gone, &state.keyring);
    let held = |kind| {
        let chain = identities.chains.iter().find(|chain| chain.kind == kind).unwrap();
        state.ledger.read(&chain.specific(), NOW).slow.evidence() > 0.0
    };
    assert!(!held(Kind::Address) && !held(Kind::ReverseName) && !held(Kind::Mailbox));
    assert!(held(Kind::Claimed), "its sender's domain is another subject");
}

#[test]
fn a_network_is_forgotten_with_all_that_lies_in_it() {
    let state = state();
    let inside = ["192.0.2.7", "192.0.3.200", "2001:db8:1:2::1"].map(facts);
    let outside = ["192.0.4.1", "2001:db9::1"].map(facts);
    inside.iter().chain(&outside).for_each(|facts| busy(&state, facts));
    forget(&state, "192.0.2.0/23", &[]);
    forget(&state, "2001:db8::/32", &[]);
    let after = export(&state);
    for facts in &inside {
        let identities = Identities::of(facts, &state.keyring);
        assert!(!after.contains(&hex(identities.address())) && !after.contains(&hex(identities.prefix())));
    }
    for facts in &outside {
        assert!(after.contains(&hex(Key::address(facts.client.address))));
    }
}

#[test]
fn a_domain_is_forgotten_in_all_its_kinds() {
    let state = state();
    let mut host = named("192.0.2.1", "mail.src.example");
    let mut claims = facts("198.51.100.1");
    claims.client.helo = Some("relay.src.example".into());
    host.message.signed = DomainName::new("sig.src.example");
    let mut verified = named("203.0.113.1", "mx.other.example");
    verified.envelope.sender = Sender::new("news@src.example");
    let domain = DomainName::new("src.example").unwrap();
    verified.message.verified = vec![VerifiedDomain { domain, by: VerifiedBy::Dkim }];
    let all = [&host, &claims, &verified];
    all.into_iter().for_each(|facts| busy(&state, facts));
    block(&state, "src.example");
    block(&state, "a@src.example");
    let forgotten = forget(&state, "src.example", &all);
    assert_eq!(forgotten.overrides, 2);
    let after = export(&state);
    assert!(!after.contains("src.example"), "{after}");
    let everybodys = [Kind::Network as u8, Kind::TopLevel as u8, Kind::Pattern as u8];
    for facts in all {
        let identities = Identities::of(facts, &state.keyring);
        for chain in identities.chains.iter().filter(|chain| chain.kind != Kind::Address) {
            let own = chain.levels().iter().filter(|key| !everybodys.contains(&key.kind()));
            let others = [ring_key(&state, "mx.other.example"), ring_key(&state, "other.example")];
            for key in own.filter(|key| !others.contains(key)) {
                assert!(!after.contains(&hex(*key)), "{:?} of {facts:?}", chain.kind);
            }
        }
    }
    assert!(after.contains(&hex(ring_key(&state, "mx.other.example"))), "another's name stays");
}

fn ring_key(state: &State, name: &str) -> Key {
    state.keyring.named(Kind::ReverseName, name)
}

#[test]
fn a_mailbox_is_forgotten_wherever_it_was_seen() {
    let state = state();
    let [one, two] = ["192.0.2.1", "198.51.100.1"].map(facts);
    [&one, &two].into_iter().for_each(|facts| busy(&state, facts));
    let key = |facts: &Facts| {
        let identities = Identities::of(facts, &state.keyring);
        identities.chains.iter().find(|chain| chain.kind == Kind::Mailbox).unwrap().specific()
    };
    assert!(export(&state).contains(&hex(key(&one))));
    assert_eq!(forget(&state, "a@src.example", &[]).entries, 2);
    let after = export(&state);
    assert!(!after.contains(&hex(key(&one))) && !after.contains(&hex(key(&two))));
}

#[test]
fn keys_tell_their_networks() {
    for (address, nets) in [
        ("192.0.2.7", ["192.0.2.7/32", "192.0.2.0/24", "192.0.0.0/16"]),
        ("2001:db8:1:2::7", ["2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32"]),
    ] {
        let identities = Identities::of(&facts(address), &Keyring::new([1; 16]));
        let levels = identities.chains[0].levels();
        for (key, net) in levels.iter().zip(nets) {
            assert_eq!(key.addresses().map(|net| net.to_string()).as_deref(), Some(net));
            assert_eq!(Lane::Narrow.key(*key).without_lane(), *key);
        }
    }
}
