use super::*;
use crate::facts::{VerifiedBy, VerifiedDomain};
use crate::fixtures::{facts, named};
use proptest::prelude::*;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn said(subject: &str, effect: Effect) -> Override {
    let subject = subject.parse().unwrap();
    Override { subject, effect, since: NOW, until: None, note: "".into() }
}

fn overrides(of: &[(&str, Effect)]) -> Overrides {
    let overrides = Overrides::default();
    of.iter().for_each(|(subject, effect)| overrides.set(said(subject, *effect)).unwrap());
    overrides
}

fn effect(overrides: &Overrides, facts: &Facts) -> Option<Effect> {
    overrides.speaking(facts, NOW).map(|said| said.effect)
}

fn verified(mut facts: Facts, domain: &str) -> Facts {
    let domain = DomainName::new(domain).unwrap();
    facts.message.verified.push(VerifiedDomain { domain, by: VerifiedBy::Dkim });
    facts
}

#[test]
fn the_most_specific_speaks_first() {
    let overrides = overrides(&[
        ("192.0.2.0/24", Effect::Block),
        ("192.0.2.128/25", Effect::Allow),
        ("192.0.2.200", Effect::Reject),
        ("2001:db8::/32", Effect::Block),
    ]);
    for (address, expected) in [
        ("192.0.2.1", Some(Effect::Block)),
        ("192.0.2.129", Some(Effect::Allow)),
        ("192.0.2.200", Some(Effect::Reject)),
        ("192.0.3.1", None),
        ("2001:db8:1::1", Some(Effect::Block)),
        ("2001:db9::1", None),
    ] {
        assert_eq!(effect(&overrides, &facts(address)), expected, "{address}");
    }
}

#[test]
fn a_forged_sender_gains_nothing_and_is_blocked_all_the_same() {
    let allowed = overrides(&[("src.example", Effect::Allow), ("a@src.example", Effect::Allow)]);
    let forged = facts("192.0.2.1");
    assert_eq!(effect(&allowed, &forged), None);
    assert_eq!(effect(&allowed, &verified(forged.clone(), "other.example")), None);
    assert_eq!(effect(&allowed, &verified(forged.clone(), "mail.src.example")), Some(Effect::Allow));
    let mut named_only = named("192.0.2.1", "mx.src.example");
    named_only.envelope.sender = None;
    assert_eq!(effect(&allowed, &named_only), Some(Effect::Allow), "a name that leads back is proof");
    named_only.client.name = None;
    assert_eq!(effect(&allowed, &named_only), None, "a name that does not is none");
    let blocked = overrides(&[("src.example", Effect::Block)]);
    assert_eq!(effect(&blocked, &forged), Some(Effect::Block));
    assert_eq!(effect(&blocked, &named_only), Some(Effect::Block));
    assert_eq!(effect(&blocked, &facts("192.0.2.1")), effect(&blocked, &verified(forged, "src.example")));
}

#[test]
fn a_mailbox_beats_its_host_and_a_host_its_domain() {
    let from = |sender: &str| {
        let mut facts = facts("192.0.2.1");
        facts.envelope.sender = Sender::new(sender);
        verified(facts, "src.example")
    };
    let overrides = overrides(&[
        ("bad@src.example", Effect::Block),
        ("192.0.2.1", Effect::Allow),
        ("src.example", Effect::Reject),
    ]);
    assert_eq!(effect(&overrides, &from("Bad@src.example")), Some(Effect::Block));
    assert_eq!(effect(&overrides, &from("good@src.example")), Some(Effect::Allow));
    assert_eq!(effect(&overrides, &from("")), Some(Effect::Allow));
}

#[test]
fn of_two_alike_allowing_speaks() {
    let overrides = overrides(&[("src.example", Effect::Block), ("other.example", Effect::Allow)]);
    assert_eq!(effect(&overrides, &verified(facts("192.0.2.1"), "other.example")), Some(Effect::Allow));
}

#[test]
fn they_expire_and_are_bounded() {
    let overrides = Overrides::default();
    let until = Some(NOW.after(Duration::from_secs(60)));
    overrides.set(Override { until, ..said("192.0.2.1", Effect::Block) }).unwrap();
    assert!(overrides.speaking(&facts("192.0.2.1"), NOW).is_some());
    let later = NOW.after(Duration::from_secs(60));
    assert!(overrides.speaking(&facts("192.0.2.1"), later).is_none());
    let before = overrides.revision();
    overrides.expire(later);
    assert!(overrides.is_empty() && overrides.revision() != before);
    for n in 0..MOST {
        overrides.set(said(&format!("d{n}.example"), Effect::Block)).unwrap();
    }
    assert_eq!(overrides.set(said("one.more.example", Effect::Block)), Err(Full));
    assert_eq!(overrides.set(said("d7.example", Effect::Allow)), Ok(()), "what is there may change");
    assert_eq!(overrides.len(), MOST);
}

#[test]
fn a_note_is_one_line() {
    assert_eq!(note(" a\nb "), "a b");
    assert_eq!(note(&"é".repeat(500)).chars().count(), MAX_NOTE);
}

fn any_effect() -> impl Strategy<Value = Effect> {
    prop_oneof![Just(Effect::Allow), Just(Effect::Block), Just(Effect::Reject)]
}

#[test]
fn what_allows_a_claim_that_nothing_proves_is_told_apart() {
    let overrides = overrides(&[
        ("src.example", Effect::Allow),
        ("a@src.example", Effect::Allow),
        ("host.example", Effect::Allow),
        ("b@src.example", Effect::Allow),
        ("192.0.2.0/24", Effect::Allow),
    ]);
    overrides.set(said("example", Effect::Block)).unwrap();
    let of = |facts: &Facts| {
        let unproven = overrides.unproven(facts, NOW);
        unproven.iter().map(|said| said.subject.to_string()).collect::<Vec<_>>()
    };
    let mut claims = facts("198.51.100.1");
    claims.envelope.sender = Sender::new("a@src.example");
    claims.client.reverse_name = DomainName::new("mail.host.example");
    assert_eq!(of(&claims), ["a@src.example", "src.example", "host.example"]);
    assert_eq!(of(&verified(claims.clone(), "src.example")), ["host.example"]);
    claims.client.name = claims.client.reverse_name.clone();
    assert_eq!(of(&claims), ["a@src.example", "src.example"]);
    assert_eq!(effect(&overrides, &claims), Some(Effect::Allow), "its host is proven");
}

proptest! {
    /// Against a plain reading of the rule: of all that match the highest rank, then the kindest.
    #[test]
    fn precedence_is_by_rank_then_by_kindness(
        of in proptest::collection::vec(
            (proptest::sample::select(vec![
                "192.0.2.1", "192.0.2.0/25", "192.0.2.0/24", "192.0.0.0/16", "example", "src.example",
                "mail.src.example", "host.example", "a@src.example", "b@src.example",
            ]), any_effect()), 0..8),
        is_verified: bool, is_named: bool,
    ) {
        let overrides = overrides(&of);
        let mut facts = facts("192.0.2.1");
        if is_verified { facts = verified(facts, "mail.src.example"); }
        if is_named { facts.client.name = DomainName::new("host.example"); }
        let matches = |said: &Override| {
            let allows = said.effect == Effect::Allow;
            match said.subject.to_string().as_str() {
                "192.0.2.1" | "192.0.2.0/25" | "192.0.2.0/24" | "192.0.0.0/16" => true,
                "example" => !allows || is_verified || is_named,
                "src.example" | "a@src.example" => !allows || is_verified,
                "mail.src.example" => is_verified,
                "host.example" => is_named,
                _ => false,
            }
        };
        let key = |said: &Override| (said.subject.rank(), std::cmp::Reverse(said.effect));
        let expected = overrides.list().into_iter().filter(matches).max_by_key(key);
        prop_assert_eq!(overrides.speaking(&facts, NOW).map(|said| said.effect), expected.map(|said| said.effect));
    }

    #[test]
    fn any_sender_is_answered(sender in "\\PC{0,40}", name in "\\PC{0,40}") {
        let overrides = overrides(&[("src.example", Effect::Block), ("10.0.0.0/8", Effect::Block)]);
        let mut facts = facts("10.2.3.4");
        facts.envelope.sender = Sender::new(&sender);
        facts.client.reverse_name = DomainName::new(&name);
        prop_assert!(overrides.speaking(&facts, NOW).is_some());
    }
}
