use super::*;
use crate::facts::{Facts, VerifiedBy, VerifiedDomain};
use crate::fixtures::facts;
use crate::identity::{Chain, Identities, Keyring};
use crate::ledger::Ledger;
use crate::name::DomainName;
use crate::outcome::Outcome;
use crate::standing::Standing;
use crate::time::Timestamp;
use crate::weights::Start;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

struct Desk(Ledger, Keyring);

impl Desk {
    fn without(parts: &[Part]) -> Self {
        let start = parts.iter().fold(Start::shipped(), |start, &part| start.without(part));
        Self(Ledger::new(1 << 22, start, NOW), Keyring::new([7; 16]))
    }
    fn identities(&self, facts: &Facts) -> Identities {
        Identities::of(facts, &self.1)
    }
    fn standing(&self, facts: &Facts) -> Standing {
        let identities = self.identities(facts);
        self.0.standing(&identities, &self.0.readings(&identities, NOW), NOW)
    }
    fn learn(&self, facts: &Facts, outcome: Outcome, times: usize) {
        for _ in 0..times {
            let (identities, standing) = (self.identities(facts), self.standing(facts));
            let said = (standing.log_odds, &standing.heard);
            outcome.label().into_iter().for_each(|spam| self.0.teach(&identities, said, spam, NOW));
            self.0.learn(&identities, outcome, NOW);
        }
    }
    /// Books spam on keys of a mail's chains and tells whether that changes its standing.
    fn hears(&self, facts: &Facts, keys: impl Fn(&Chain) -> Vec<crate::identity::Key>) -> bool {
        let before = self.standing(facts);
        let identities = self.identities(facts);
        let spam = Outcome::FilteredSpam.weight();
        identities
            .chains
            .iter()
            .flat_map(keys)
            .for_each(|key| (0..9).for_each(|_| self.0.add(key, spam, NOW)));
        self.standing(facts) != before
    }
}

/// A mail that has every chain.
fn whole() -> Facts {
    let domain = |name: &str| DomainName::new(name).unwrap();
    let mut facts = facts("192.0.2.1");
    facts.client.name = Some(domain("mx7.host.example"));
    facts.client.reverse_name = facts.client.name.clone();
    facts.client.helo = Some("mail.helo.example".into());
    facts.message.signed = Some(domain("signed.example"));
    facts.message.verified = vec![VerifiedDomain { domain: domain("other.example"), by: VerifiedBy::Spf }];
    facts
}

#[test]
fn every_part_has_a_word_that_is_read_again() {
    for &part in Part::ALL {
        assert_eq!(part.word().parse(), Ok(part));
        assert!(Without::default().and(part).has(part) && !Without::default().has(part));
    }
    assert_eq!("all".parse::<Part>(), Err(NoSuchPart));
}

#[test]
fn a_chain_that_is_left_out_is_not_heard() {
    for (slot, &part) in SLOTS.iter().zip(&Part::OF_SLOTS) {
        let own = |chain: &Chain| Vec::from_iter((chain.kind == *slot).then(|| chain.specific()));
        assert!(Desk::without(&[]).hears(&whole(), own), "{part} is no part of that mail");
        // A mailbox of a domain that nothing verified leans on that claim.
        let leaning = if part == Part::Claimed { Part::Mailbox } else { part };
        assert!(!Desk::without(&[part, leaning]).hears(&whole(), own), "{part}");
    }
}

#[test]
fn wider_keys_that_are_left_out_are_not_heard() {
    let wider = |chain: &Chain| match chain.kind {
        // A mailbox leans on a domain that has a chain of its own.
        Kind::Mailbox => Vec::new(),
        _ => chain.levels()[1..].to_vec(),
    };
    assert!(Desk::without(&[]).hears(&whole(), wider));
    assert!(!Desk::without(&[Part::Wider]).hears(&whole(), wider));
}

#[test]
fn traits_that_are_left_out_are_not_heard() {
    let (small, mut large) = (whole(), whole());
    large.message.size = Some(900_000);
    let same = |desk: &Desk| desk.standing(&small) == desk.standing(&large);
    assert!(!same(&Desk::without(&[])) && !same(&Desk::without(&[Part::Crosses])));
    let terms = |desk: &Desk| (desk.standing(&small).log_odds - desk.standing(&large).log_odds).abs();
    assert!(terms(&Desk::without(&[Part::MessageTraits, Part::Crosses])) < 1e-5);
}

#[test]
fn table_and_strangers_that_are_left_out_add_nothing() {
    let of = |parts: &[Part]| {
        let desk = Desk::without(parts);
        let identities = desk.identities(&whole());
        let features = desk.0.features(&identities, &desk.0.readings(&identities, NOW), NOW);
        let strangers =
            features.numbers[crate::features::STRANGER] + features.numbers[crate::features::UNKNOWN];
        (features.table().map(|(_, count)| count).sum::<f32>(), strangers)
    };
    let all = of(&[]);
    assert!(all.0 > 1.0 && all.1 != 0.0, "{all:?}");
    assert_eq!(of(&[Part::Table, Part::Strangers]), (0.0, 0.0));
}

#[test]
fn the_last_hours_the_records_and_the_place_are_not_heard() {
    let learned = |part: &[Part]| {
        let desk = Desk::without(part);
        desk.learn(&whole(), Outcome::FilteredHam, 900);
        desk.learn(&whole(), Outcome::FilteredSpam, 20);
        (0..400).for_each(|n| desk.0.model.calibration.learn(7.0, n % 2 == 0));
        desk
    };
    let all = learned(&[]).standing(&whole());
    assert!(
        all.good_above.is_some() && all.judged != all.probability && all.certainty > all.judged,
        "{all:?}"
    );
    assert_eq!(learned(&[Part::Place]).standing(&whole()).good_above, None);
    let plain = learned(&[Part::Records]).standing(&whole());
    assert_eq!(plain.judged.to_bits(), plain.probability.to_bits());
    let plain = learned(&[Part::Purity]).standing(&whole());
    assert_eq!(plain.judged.to_bits(), plain.certainty.to_bits());
    let desk = learned(&[Part::Fast]);
    let readings = desk.0.readings(&desk.identities(&whole()), NOW);
    assert!(readings.iter().flatten().all(|reading| reading.fast.evidence() == 0.0));
    assert!(readings.iter().flatten().any(|reading| reading.slow.evidence() > 100.0));
}

#[test]
fn what_is_not_learned_stays_as_it_ships() {
    let taught = |part: Part| {
        let desk = Desk::without(&[part]);
        desk.learn(&whole(), Outcome::FilteredSpam, 50);
        desk
    };
    let weights = |desk: &Desk| desk.0.model.to_start().numbers;
    let shipped = Start::shipped().bounded().numbers;
    assert_eq!(weights(&taught(Part::Learning)), shipped);
    assert_ne!(weights(&taught(Part::Place)), shipped);
    let evidence = |desk: &Desk| {
        let traits = desk.identities(&whole()).traits;
        let read = |place| desk.0.read_trait(place, desk.0.traits_left(NOW));
        traits.iter().filter_map(|value| value.index()).map(read).map(|(good, bad)| good + bad).sum::<f64>()
    };
    assert_eq!(evidence(&taught(Part::TraitEvidence)), 0.0);
    let (bounded, unbounded) = (evidence(&taught(Part::Place)), evidence(&taught(Part::Influence)));
    assert!(bounded > 0.0 && unbounded > 1.2 * bounded, "{bounded} {unbounded}");
    let flat = Desk::without(&[Part::Shipped]).0.model.to_start();
    assert_eq!(flat.numbers, Start::flat().numbers);
    assert!(!flat.fitting);
}
