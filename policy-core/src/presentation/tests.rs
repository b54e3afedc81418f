use super::*;
use crate::facts::{VerifiedBy, VerifiedDomain};
use crate::fixtures::facts;

fn class(address: &str, name: &str) -> ReverseName {
    let mut facts = facts(address);
    facts.client.name = DomainName::new(name);
    TraitSet::of(&facts).reverse_name()
}

#[test]
fn generic_names_are_told_from_mail_servers() {
    for (address, name) in [
        ("192.0.2.17", "192-0-2-17.isp.example"),
        ("192.0.2.17", "host17.2.0.192.isp.example"),
        ("192.0.2.17", "c0000211.isp.example"),
        ("192.0.2.17", "dyn-55.isp.example"),
        ("192.0.2.17", "pool7.isp.example"),
        ("2001:db8:aa1:bb2::1", "2001-db8-aa1-bb2.isp.example"),
    ] {
        assert_eq!(class(address, name), ReverseName::Generic, "{name}");
    }
    for (address, name) in [
        ("209.85.208.50", "mail-ed1-f50.google.com"),
        ("54.240.8.50", "a8-50.smtp-out.amazonses.com"),
        ("161.38.204.231", "m204-231.eu.mailgun.net"),
        ("192.0.2.17", "mx1.corp.example"),
    ] {
        assert_eq!(class(address, name), ReverseName::Named, "{name}");
    }
}

#[test]
fn every_trait_value_has_its_own_place_and_words() {
    let all = Aspect::ALL.iter().flat_map(|&aspect| {
        (0..Aspect::VALUES[aspect as usize]).map(move |value| Trait { aspect, value: value as u8 })
    });
    let all: Vec<Trait> = all.collect();
    assert_eq!(
        all.iter().filter_map(|value| value.index()).collect::<Vec<_>>(),
        (0..Trait::COUNT).filter(|n| !STARTS[SHOWN..].contains(n)).collect::<Vec<_>>()
    );
    assert!(all.iter().all(|value| !value.to_string().is_empty()));
}

#[test]
fn helo_and_sender_are_compared_with_the_reverse_name() {
    let mut f = facts("192.0.2.1");
    f.client.name = DomainName::new("mail.corp.example");
    let mut helo = |helo: &str| {
        f.client.helo = Some(helo.into());
        HeloName::ALL[usize::from(TraitSet::of(&f).get(Aspect::Helo).value)]
    };
    assert_eq!(helo("Mail.Corp.Example"), HeloName::Equal);
    assert_eq!(helo("out.corp.example"), HeloName::SameDomain);
    assert_eq!(helo("other.example"), HeloName::Unrelated);
    assert_eq!(helo("[192.0.2.1]"), HeloName::Literal);
    assert_eq!(helo("192.0.2.1"), HeloName::Literal);
    assert_eq!(helo("pc"), HeloName::BareWord);
    let fit = |f: &Facts| SenderFit::ALL[usize::from(TraitSet::of(f).get(Aspect::Sender).value)];
    let mut of = |sender: &str| {
        f.envelope.sender = Sender::new(sender);
        fit(&f)
    };
    assert_eq!(of("a@corp.example"), SenderFit::OfReverseName);
    assert_eq!(of("a@else.example"), SenderFit::Unrelated);
    assert_eq!(of(""), SenderFit::Null);
    f.message.verified =
        vec![VerifiedDomain { domain: DomainName::new("else.example").unwrap(), by: VerifiedBy::Spf }];
    f.envelope.sender = Sender::new("a@news.else.example");
    assert_eq!(fit(&f), SenderFit::Verified);
}

#[test]
fn the_message_has_traits_too() {
    let mut f = facts("192.0.2.1");
    f.envelope.sender = Sender::new("a@news4u.example");
    let words = |f: &Facts, aspect| TraitSet::of(f).get(aspect).to_string();
    assert_eq!(words(&f, Aspect::Size), "size unknown");
    assert_eq!(words(&f, Aspect::Signature), "signature unknown");
    assert_eq!(words(&f, Aspect::SenderDigits), "1 digits in the sender's domain");
    f.stage = Stage::EndOfMessage;
    f.envelope.accepted_recipients = Some(7);
    for (size, said) in [(0, "0.2"), (255, "0.2"), (1024, "1.0"), (u64::MAX, "256.0")] {
        f.message.size = Some(size);
        assert_eq!(words(&f, Aspect::Size), format!("about {said} KiB"), "{size}");
    }
    assert_eq!(words(&f, Aspect::Crowd), "five to twenty recipients");
    assert_eq!(words(&f, Aspect::Signature), "no signature");
    f.message.signed = DomainName::new("mail.news4u.example");
    assert_eq!(words(&f, Aspect::Signature), "a signature of the sender's domain");
}
