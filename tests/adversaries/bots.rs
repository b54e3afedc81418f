//! Bots: customers of access networks that send for somebody else.

use crate::calm::{a_month, bystanders};
use crate::simulator::arrivals::Stream;
use crate::simulator::mail::{Mail, Party, bare, generic, v4};
use crate::simulator::mailer::Mailer;
use crate::simulator::{BEGIN, hours};
use crate::table::{Bounds, seed};
use policy_core::facts::Client;
use rand::Rng;

/// Bot `n` of some thousand, anywhere; every other one has a reverse name from its provider.
fn bot(n: u32) -> Client {
    // Multiplied by an odd number, so that neighbours do not share a network.
    let address = v4(0x0a80_0000 | n.wrapping_mul(0x9e37_79b1) >> 9);
    if n.is_multiple_of(2) { bare(address) } else { generic(address, "isp.example") }
}

/// 200 bots, twenty messages an hour each for twelve hours, which believe every reply and come back when
/// told.
#[test]
fn bots_that_retry_as_told() {
    let seed = seed();
    let mut world = a_month(seed, 24);
    world.add(Stream::even(seed + 1, 4000.0, BEGIN..hours(12), |rng, _| {
        let mail = Mail::unverified(bot(rng.random_range(0..200)), "winner.example").spam();
        mail.by(Mailer::AsTold(6)).to(rng.random_range(0..50))
    }));
    world.run(hours(24));
    world.close();
    let spam = world.outcome(Party::Actor, true, BEGIN);
    bystanders(Bounds::of("bots that retry as told", seed), &world)
        .told("spam sent", spam.sent as f64)
        // Of a bot's 240: five until labels convict, then two an hour, and what its last retries bring.
        .at_most("spam let in, share", spam.share_let_in(), 0.13)
        .conclude();
}

/// 75,000 messages within an hour from 7,500 bots that do not retry.
#[test]
fn hailstorm_of_bots() {
    let seed = seed();
    let mut world = a_month(seed, 24);
    world.add(Stream::even(seed + 1, 75_000.0, hours(10)..hours(11), |rng, _| {
        let from = format!("prize{}.example", rng.random_range(0..300));
        let mail = Mail::unverified(bot(rng.random_range(0..7500)), &from).spam();
        mail.by(Mailer::Never).to(rng.random_range(0..50))
    }));
    world.run(hours(24));
    world.close();
    let spam = world.outcome(Party::Actor, true, BEGIN);
    bystanders(Bounds::of("hailstorm of bots", seed), &world)
        .told("spam sent", spam.sent as f64)
        // The first label, if it is wrong, opens the door for the minute until the next ones come.
        .at_most("spam let in, share", spam.share_let_in(), 0.02)
        .conclude();
}
