//! Spam that is spread thin: over addresses, over domains, over weeks. Its hosts are set up as mail servers
//! should be, with names, SPF and signatures, so nothing but what they send tells them apart.

use crate::calm::{a_month, bystanders};
use crate::simulator::arrivals::Stream;
use crate::simulator::mail::{Mail, Party, proper, v4};
use crate::simulator::mailer::Mailer;
use crate::simulator::outcome::Outcome;
use crate::simulator::{BEGIN, days_before, hours};
use crate::table::{Bounds, seed};
use policy_core::time::Timestamp;
use rand::Rng;

/// Hours since [`BEGIN`], for names that change by the hour.
fn hour(at: Timestamp) -> u64 {
    at.since(BEGIN).as_secs() / 3600
}

/// A /24 of 255 spamming servers, three messages an hour each, a new domain each hour, and one honest
/// neighbour among them.
#[test]
fn snowshoe() {
    let seed = seed();
    const NET: u32 = 0x0a60_0000;
    let mut world = a_month(seed, 24);
    let neighbour = proper(v4(NET | 255), "mail.honest.example");
    let neighbour = Mail::verified(neighbour, "honest.example").of(Party::Neighbour);
    let write = move |_: &mut _, _| neighbour.clone();
    world.add(Stream::diurnal(seed + 1, 200.0, days_before(14)..hours(24), write));
    world.run(BEGIN);
    world.add(Stream::even(seed + 2, 765.0, BEGIN..hours(24), |rng, at| {
        let n = rng.random_range(0..255);
        let host = proper(v4(NET | n), &format!("mail{n}.shoe{}.example", n / 16));
        let mail = Mail::verified(host, &format!("fresh{n}-{}.example", hour(at))).spam();
        mail.by(Mailer::Every(1800, 6)).to(rng.random_range(0..50))
    }));
    world.run(hours(24));
    world.close();
    let spam = world.outcome(Party::Actor, true, BEGIN);
    let of_the_first_hour = world.fates.iter().filter(|f| f.is_of(Party::Actor, true) && f.sent < hours(1));
    let neighbour = world.outcome(Party::Neighbour, false, BEGIN);
    bystanders(Bounds::of("snowshoe", seed), &world)
        .told("spam sent", spam.sent as f64)
        // Five strangers' allowances for the whole /24, then next to nothing.
        .at_most("spam of the first hour let in", Outcome::of(of_the_first_hour).let_in as f64, 150.0)
        .at_most("spam let in, share", spam.share_let_in(), 0.1)
        .at_most("neighbour's mail deferred, share", neighbour.share_deferred(), 0.003)
        .at_most("neighbour's mail lost", neighbour.lost as f64, 0.0)
        .conclude();
}

/// 75,000 messages within an hour from 250 servers in as many networks, a domain each.
#[test]
fn hailstorm() {
    const HOSTS: u32 = 250;
    let seed = seed();
    let mut world = a_month(seed, 24);
    world.add(Stream::even(seed + 1, 75_000.0, hours(10)..hours(11), |rng, _| {
        let n = rng.random_range(0..HOSTS);
        let name = format!("hail{n}.example");
        let host = proper(v4(0x0a61_0019 | n << 8), &format!("mail.{name}"));
        Mail::verified(host, &name).spam().by(Mailer::Never).to(rng.random_range(0..50)).tagged(n)
    }));
    world.run(hours(24));
    world.close();
    let spam = world.outcome(Party::Actor, true, BEGIN);
    bystanders(Bounds::of("hailstorm", seed), &world)
        .told("spam sent", spam.sent as f64)
        // A stranger's allowance, and five messages until labels convict.
        .at_most("spam let in of each host", spam.let_in as f64 / f64::from(HOSTS), 35.0)
        .conclude();
}

/// One server, ten messages an hour, for thirty days: below any limit on volume.
#[test]
fn low_and_slow() {
    let seed = seed();
    let mut world = a_month(seed, 30 * 24);
    let mail = Mail::verified(proper(v4(0x0a62_0019), "mail.slow.example"), "slow.example");
    let mail = mail.spam().by(Mailer::Every(3600, 24));
    let write = move |rng: &mut rand::rngs::SmallRng, _| mail.clone().to(rng.random_range(0..50));
    world.add(Stream::even(seed + 1, 10.0, BEGIN..hours(30 * 24), write));
    world.run(hours(30 * 24));
    world.close();
    let spam = world.outcome(Party::Actor, true, hours(24));
    bystanders(Bounds::of("low and slow", seed), &world)
        .told("spam sent a day", spam.sent as f64 / 29.0)
        // One an hour, and two at once: never nothing, so that whoever mends is noticed.
        .at_most("spam let in a day, after the first", spam.let_in as f64 / 29.0, 24.5)
        .conclude();
}

/// One server that signs for a new domain each hour, 200 messages an hour for three days.
#[test]
fn a_new_domain_every_hour() {
    let seed = seed();
    let mut world = a_month(seed, 72);
    let host = proper(v4(0x0a63_0019), "mail.flux.example");
    world.add(Stream::even(seed + 1, 200.0, BEGIN..hours(72), move |rng, at| {
        let mail = Mail::verified(host.clone(), &format!("flux{}.example", hour(at)));
        mail.spam().by(Mailer::Every(1800, 4)).to(rng.random_range(0..50))
    }));
    world.run(hours(72));
    world.close();
    let spam = world.outcome(Party::Actor, true, BEGIN);
    bystanders(Bounds::of("new domain every hour", seed), &world)
        .told("spam sent an hour", spam.sent as f64 / 72.0)
        .at_most("spam let in an hour", spam.let_in as f64 / 72.0, 5.0)
        .conclude();
}

/// The same from a new address of one large host's /16 each hour, with a reverse name to match.
#[test]
fn a_new_domain_and_address_every_hour() {
    let seed = seed();
    let mut world = a_month(seed, 72);
    world.add(Stream::even(seed + 1, 200.0, BEGIN..hours(72), |rng, at| {
        let name = format!("flux{}.example", hour(at));
        let host = proper(v4(0x0a64_0019 | (hour(at) as u32) << 8), &format!("mail.{name}"));
        Mail::verified(host, &name).spam().by(Mailer::Every(1800, 4)).to(rng.random_range(0..50))
    }));
    world.run(hours(72));
    world.close();
    let spam = world.outcome(Party::Actor, true, BEGIN);
    bystanders(Bounds::of("new domain and address hourly", seed), &world)
        .told("spam sent an hour", spam.sent as f64 / 72.0)
        // The least that a new honest server needs.
        .at_most("spam let in an hour", spam.let_in as f64 / 72.0, 20.0)
        .conclude();
}
