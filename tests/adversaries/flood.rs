//! A flood of keys: whoever makes up names and addresses by the million must not push out what is known.

use crate::calm::{bystanders, known_senders};
use crate::simulator::arrivals::Stream;
use crate::simulator::background::{correspondents, newcomer};
use crate::simulator::mail::{Mail, Party, bare, proper, v4};
use crate::simulator::mailer::Mailer;
use crate::simulator::{BEGIN, MINUTE, World, days_before, hours};
use crate::table::{Bounds, seed};
use policy_core::standing::Word;
use policy_core::time::Timestamp;
use rand::Rng;
use rand::rngs::SmallRng;
use std::time::Duration;

/// What a server has that nobody has configured.
const DEFAULT: usize = 256 << 20;
/// So little that the flood overflows each table of it.
const LITTLE: usize = 8 << 20;
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// Whether each known sender stands well, and on how much evidence.
fn standings(world: &mut World) -> Vec<(bool, f32)> {
    let mails = correspondents().into_iter().map(|correspondent| correspondent.mails[0].clone());
    let all = mails.map(|mail| {
        let facts = world.facts(&mail);
        let standing = world.state.appraise(&facts, world.now).standing;
        (matches!(standing.word, Word::High | Word::Medium), standing.evidence)
    });
    all.collect()
}

/// A message from nobody seen before: an address, a HELO name and a sender of its own, and for every other
/// one a reverse name and a verified domain too. About four keys each.
fn made_up(rng: &mut SmallRng) -> Mail {
    let n: u32 = rng.random();
    let address = v4(0xf000_0000 | n >> 4);
    let from = format!("x{n:x}.example");
    let mail = if n.is_multiple_of(2) {
        Mail::verified(proper(address, &format!("mail.h{n:x}.example")), &from)
    } else {
        let mut host = bare(address);
        host.helo = Some(format!("h{n:x}").into());
        Mail::unverified(host, &from)
    };
    mail.spam().by(Mailer::Never).to(rng.random_range(0..50))
}

/// A server after a month of ordinary life, with so much memory.
fn a_month_with(seed: u64, memory: usize) -> World {
    let mut world = World::new(seed, memory, days_before(30));
    world.live(seed, days_before(30)..hours(34));
    world.run(hours(10));
    world
}

/// From ten o'clock until half past.
fn flood(seed: u64) -> impl Iterator<Item = (Timestamp, Mail)> {
    Stream::even(seed + 1, 500_000.0, hours(10)..hours(10).after(HALF_AN_HOUR), |rng, _| made_up(rng))
}

#[test]
fn a_million_keys_in_half_an_hour() {
    let seed = seed();
    let mut world = a_month_with(seed, DEFAULT);
    world.add(flood(seed));
    // More than come by themselves, so that their share is no chance.
    world.add(Stream::even(seed + 2, 400.0, hours(10)..hours(10).after(HALF_AN_HOUR), newcomer));
    world.run(hours(34));
    world.close();
    let flood = world.outcome(Party::Actor, true, BEGIN);
    bystanders(Bounds::of("flood of keys", seed), &world)
        .told("messages sent, of four keys each", flood.sent as f64)
        .at_most("flood let in, share", flood.share_let_in(), 0.1)
        .conclude();
}

#[test]
fn a_million_keys_in_little_memory() {
    let seed = seed();
    let mut world = a_month_with(seed, LITTLE);
    let before = standings(&mut world);
    world.add(flood(seed));
    let (mut most, mut fullest) = (0, 0.0f64);
    for minute in 1..=30 {
        world.run(hours(10).after(MINUTE * minute));
        most = most.max(world.bytes());
        let identities = world.state.usage().tables[0];
        fullest = fullest.max(identities.entries as f64 / identities.capacity as f64);
    }
    let after = standings(&mut world);
    let fell = |((well, evidence), (still, left)): (&(bool, f32), &(bool, f32))| {
        *well && !*still || *left < evidence / 2.0
    };
    let fallen = before.iter().zip(&after).filter(|&(before, after)| fell((before, after))).count();
    world.run(hours(34));
    world.close();
    let new = world.outcome(Party::Newcomer, false, BEGIN);
    known_senders(Bounds::of("flood of keys, little memory", seed), &world)
        .told("known senders that stood well before", before.iter().filter(|(well, _)| *well).count() as f64)
        // An eighth of a full segment leaves at once.
        .at_least("fullest table of identities, share", fullest, 0.875)
        .at_most("known senders that fell, or are half forgotten", fallen as f64, 0.0)
        .at_most("most memory taken, share of the cap", most as f64 / LITTLE as f64, 1.0)
        // A wait may be forgotten before it is over, as long as the flood goes on; then a retry comes.
        .at_most("newcomers' delay, p99 in s", new.delay(0.99), 3600.0)
        .conclude();
}
