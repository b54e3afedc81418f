//! Reputation farming: good mail for a while, in order to be trusted with a burst of spam.

use crate::calm::{a_month, bystanders};
use crate::simulator::arrivals::Stream;
use crate::simulator::mail::{Mail, Party, proper, v4};
use crate::simulator::mailer::Mailer;
use crate::simulator::{BEGIN, DAY, MINUTE, hours};
use crate::table::{Bounds, seed};
use rand::Rng;

/// Servers that farm, each in a network of its own.
const HOSTS: u32 = 50;

fn farmer(n: u32) -> Mail {
    let name = format!("farm{n}.example");
    Mail::verified(proper(v4(0x0a68_0019 | n << 8), &format!("mail.{name}")), &name).by(Mailer::Never)
}

/// Twenty-five clean messages each within two days, then 300 of spam within an hour.
#[test]
fn twenty_five_clean_then_a_burst() {
    let seed = seed();
    let mut world = a_month(seed, 72);
    for n in 0..HOSTS {
        let clean = move |k| (BEGIN.after(DAY * 2 * k / 25).after(MINUTE * n), farmer(n).to(k));
        world.add((0..25).map(clean));
    }
    world.add(Stream::even(seed + 1, f64::from(HOSTS) * 300.0, hours(50)..hours(51), |rng, _| {
        farmer(rng.random_range(0..HOSTS)).spam().to(rng.random_range(0..50))
    }));
    world.run(hours(72));
    world.close();
    let spam = world.outcome(Party::Actor, true, BEGIN);
    let clean = world.outcome(Party::Actor, false, BEGIN);
    bystanders(Bounds::of("farming", seed), &world)
        .told("clean mail let in of each host", clean.let_in as f64 / f64::from(HOSTS))
        .told("spam sent by each host", spam.sent as f64 / f64::from(HOSTS))
        // What a stranger would have got, and five messages until labels convict: farming earns nothing.
        .at_most("spam let in of each host", spam.let_in as f64 / f64::from(HOSTS), 35.0)
        .conclude();
}

/// One server, 200 mailboxes of which each writes three clean messages within two days, then 600 messages of spam an
/// hour from all of them, for six hours.
#[test]
fn many_clean_mailboxes_then_a_burst() {
    const MAILBOXES: u32 = 200;
    let seed = seed();
    let mut world = a_month(seed, 72);
    let write = |n: u32| farmer(0).written_by(n).to(n % 50);
    let apart = DAY * 2 / (3 * MAILBOXES);
    world.add((0..3 * MAILBOXES).map(move |k| (BEGIN.after(apart * k), write(k % MAILBOXES))));
    world.add(Stream::even(seed + 1, 600.0, hours(50)..hours(56), move |rng, _| {
        write(rng.random_range(0..MAILBOXES)).spam()
    }));
    world.run(hours(72));
    world.close();
    let spam = world.outcome(Party::Actor, true, BEGIN);
    bystanders(Bounds::of("farming by mailboxes", seed), &world)
        .told("spam sent", spam.sent as f64)
        // A stranger's sixty an hour, and sixty at once.
        .at_most("spam let in", spam.let_in as f64, 420.0)
        .conclude();
}
