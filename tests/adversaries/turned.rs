//! A good server of a year that turns: one of its accounts is stolen, and nine in ten of its messages are
//! spam for half a day. Its own mail goes on.

use crate::calm::{STATE, bystanders};
use crate::simulator::arrivals::Stream;
use crate::simulator::mail::{Mail, Party, proper, v4};
use crate::simulator::mailer::Mailer;
use crate::simulator::outcome::{Fate, Outcome, clamp, recovery};
use crate::simulator::{BEGIN, DAY, HOUR, World, days_before, hours};
use crate::table::{Bounds, seed};
use rand::Rng;

/// Good messages a day, as many as sixteen in a busy hour.
const DAILY: f64 = 200.0;

/// Mailboxes that write from the server, by number; one of them is stolen.
const USERS: u32 = 20;
const STOLEN: u32 = 3;

/// Plays the year, then spam from eight in the morning to eight in the evening at `hourly`.
fn year_and_turn(seed: u64, hourly: f64) -> World {
    let mut world = World::new(seed, STATE, days_before(365));
    world.live(seed, days_before(30)..hours(72));
    let good = Mail::verified(proper(v4(0x0a65_0019), "mail.turned.example"), "turned.example");
    // Whoever mends the server empties its queue: spam is retried for an hour only.
    let spam = good.clone().written_by(STOLEN).spam().by(Mailer::Every(900, 4));
    world.add(Stream::diurnal(seed + 1, DAILY, days_before(365)..hours(72), move |rng, _| {
        let user = rng.random_range(0..USERS);
        good.clone().written_by(user).tagged(user).to(rng.random_range(0..50))
    }));
    world.add(Stream::even(seed + 2, hourly, hours(8)..hours(20), move |rng, _| {
        spam.clone().to(rng.random_range(0..50))
    }));
    world.run(hours(72));
    world.close();
    world
}

fn fates(world: &World, spam: bool) -> Vec<Fate> {
    world.fates.iter().filter(|fate| fate.is_of(Party::Actor, spam) && fate.sent >= BEGIN).copied().collect()
}

/// Clamped within so many minutes, and no more than this share of the spam let in, whenever.
fn judge(name: &'static str, hourly: f64, minutes: f64, share: f64) {
    let seed = seed();
    let world = year_and_turn(seed, hourly);
    let (ham, spam) = (fates(&world, false), fates(&world, true));
    let clamp = clamp(&spam, hours(8));
    let seconds = clamp.map_or(f64::INFINITY, |clamp| clamp.after.as_secs_f64());
    let leaked = clamp.map_or(f64::INFINITY, |clamp| clamp.leaked as f64);
    let during = ham.iter().filter(|fate| fate.sent >= hours(8) && fate.sent < hours(21));
    let (of_the_stolen, others): (Vec<_>, Vec<_>) = during.partition(|fate| fate.tag == STOLEN);
    let [of_the_stolen, others] = [of_the_stolen, others].map(|fates| Outcome::of(fates.into_iter()));
    let before = world.outcome(Party::Actor, false, days_before(365));
    let back = recovery(&ham, hours(21));
    bystanders(Bounds::of(name, seed), &world)
        .told("spam sent", spam.len() as f64)
        .at_most("seconds until clamped", seconds, minutes * 60.0)
        .at_most("spam let in until clamped", leaked, 60.0)
        .at_most("spam let in at all, share", Outcome::of(spam.iter()).share_let_in(), share)
        .at_most("other mailboxes' mail deferred meanwhile, share", others.share_deferred(), 0.01)
        // Four hours: when mail servers begin to warn their users of a delay.
        .at_most("other mailboxes' delay meanwhile, p99 in s", others.delay(0.99), 4.0 * HOUR.as_secs_f64())
        // Whoever owns it has to share its one message an hour with the thief.
        .at_most(
            "stolen mailbox's good mail, longest delay in s",
            of_the_stolen.delay(1.0),
            DAY.as_secs_f64(),
        )
        .at_most("its good mail lost", before.lost as f64, 0.0)
        .at_most("recovered after the last bad event, in s", back.as_secs_f64(), DAY.as_secs_f64())
        .conclude();
}

/// Fast: ten spam messages to one of its own, and clamped within ten minutes.
#[test]
fn a_good_server_turns_to_spam() {
    judge("good server of a year turns", 150.0, 10.0, 0.1);
}

/// A message a minute, no more than on an ordinary morning: nothing but labels tells, within half an hour.
#[test]
fn a_good_server_turns_to_spam_quietly() {
    judge("good server turns, quietly", 60.0, 30.0, 0.2);
}

#[test]
fn the_year_before_is_good() {
    let seed = seed();
    let mut world = World::new(seed, STATE, days_before(60));
    world.live(seed, days_before(30)..BEGIN);
    let good = Mail::verified(proper(v4(0x0a65_0019), "mail.turned.example"), "turned.example");
    world.add(Stream::diurnal(seed + 1, DAILY, days_before(60)..BEGIN, move |_, _| good.clone()));
    world.run(BEGIN);
    world.close();
    let sent = world.outcome(Party::Actor, false, days_before(59));
    Bounds::of("good server", seed)
        .at_most("its mail deferred, share", sent.share_deferred(), 0.001)
        .at_most("its mail lost", sent.lost as f64, 0.0)
        .conclude();
}
