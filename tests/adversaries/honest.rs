//! Honest newcomers, whom a careless guard takes for adversaries.

use crate::calm::{a_month, bystanders};
use crate::simulator::arrivals::Stream;
use crate::simulator::mail::{Mail, Party, generic, proper, v4};
use crate::simulator::mailer::HONEST;
use crate::simulator::outcome::Fate;
use crate::simulator::{BEGIN, MINUTE, World, hours};
use crate::table::{Bounds, seed};
use policy_core::facts::Client;
use rand::Rng;

/// A new server whose `n`-th day sees `daily(n)` messages, between hours `from` and `to` of each day.
fn ramp(name: &'static str, days: u64, (from, to): (u64, u64), daily: impl Fn(u64) -> f64) {
    let seed = seed();
    let mut world = a_month(seed, days * 24);
    for day in 0..days {
        let mail = Mail::verified(proper(v4(0x0a6b_0019), "o1.newcomer.example"), "newcomer.example");
        let write = move |rng: &mut rand::rngs::SmallRng, _| mail.clone().to(rng.random_range(0..50));
        let when = hours(day * 24 + from)..hours(day * 24 + to);
        world.add(Stream::even(seed + day, daily(day) / (to - from) as f64, when, write));
    }
    world.run(hours(days * 24));
    world.close();
    conclude(name, &world, seed);
}

fn conclude(name: &'static str, world: &World, seed: u64) {
    let sent = world.outcome(Party::Actor, false, BEGIN);
    let first = world.fates.iter().filter(|f| f.party == Party::Actor).map(|f| f.sent).min();
    // Mail of its first ten minutes may have to wait for the first contact.
    let later =
        |f: &&Fate| f.party == Party::Actor && first.is_some_and(|at| f.sent >= at.after(10 * MINUTE));
    let deferred = world.fates.iter().filter(later).filter(|f| f.was_deferred()).count();
    bystanders(Bounds::of(name, seed), world)
        .told("messages sent", sent.sent as f64)
        .at_most("deferred after its first contact", deferred as f64, 0.0)
        .at_most("longest delay, in s", sent.delay(1.0), 300.0)
        .at_most("lost", sent.lost as f64, 0.0)
        .conclude();
}

/// SendGrid's schedule for a new address: 20 an hour on day 0, each day 1.4 times more.
#[test]
fn warm_up_on_sendgrids_ramp() {
    ramp("warm-up, SendGrid's ramp", 12, (0, 24), |day| 24.0 * 20.0 * 1.4f64.powi(day as i32));
}

/// Amazon SES warms an address up to 50,000 messages a day by day 45; here 200 on day 0, in business hours.
#[test]
fn warm_up_on_amazons_ramp() {
    ramp("warm-up, Amazon SES's ramp", 46, (8, 20), |day| 200.0 * 250f64.powf(day as f64 / 45.0));
}

/// A thousand services that are new here; each writes once, at ordinary volume. `host` makes one's server.
fn login_codes(name: &'static str, host: fn(u32, &str) -> Client) {
    let seed = seed();
    let mut world = a_month(seed, 48);
    let mut service = 0;
    world.add(Stream::even(seed + 1, 25.0, BEGIN..hours(40), move |rng, _| {
        service += 1;
        let name = format!("service{service}.example");
        let mailer = HONEST[rng.random_range(0..HONEST.len())];
        let mail = Mail::verified(host(service, &name), &name).by(mailer);
        Mail { size: 9_000, ..mail.to(rng.random_range(0..50)) }
    }));
    world.run(hours(48));
    world.close();
    let codes = world.outcome(Party::Actor, false, BEGIN);
    bystanders(Bounds::of(name, seed), &world)
        .told("messages sent", codes.sent as f64)
        .at_most("deferred", codes.deferred as f64, 0.0)
        .conclude();
}

/// From servers set up as they should be.
#[test]
fn login_codes_from_first_seen_senders() {
    login_codes("login codes", |n, name| proper(v4(0x0a6c_0019 | n << 8), &format!("mta-{}.{name}", n % 7)));
}

/// From rented hosts that kept the reverse name of their provider: verified all the same.
#[test]
fn login_codes_from_rented_hosts() {
    login_codes("login codes, rented hosts", |n, name| {
        let host = generic(v4(0x0a70_0019 | n << 8), "cloud.example");
        Client { helo: Some(format!("app.{name}").into()), tls: Some(true), ..host }
    });
}
