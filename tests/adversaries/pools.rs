//! Hosts that send for many: one bad tenant must not cost the others anything, nor what a host forwards
//! the mail beside it.

use crate::calm::{a_month, bystanders};
use crate::simulator::arrivals::Stream;
use crate::simulator::mail::{Mail, Party, domain, proper, v4};
use crate::simulator::mailer::Mailer;
use crate::simulator::outcome::Outcome;
use crate::simulator::{BEGIN, HOUR, days_before, hours};
use crate::table::{Bounds, seed};
use policy_core::facts::Client;
use rand::Rng;
use std::rc::Rc;

/// A pool of twenty hosts with 500 tenants, four messages a day each. One of them, clean for two weeks,
/// sends 500 spam messages an hour for twelve hours.
#[test]
fn one_bad_tenant_of_500() {
    let seed = seed();
    let host = |h: u32| proper(v4(0x0a66_0040 | h), &format!("mail-{h}.bigpool.example"));
    let hosts: Rc<[Client]> = (0..20).map(host).collect();
    let pool = move |tenant: u32, host: usize| {
        let mail = Mail::verified(hosts[host].clone(), &format!("customer{tenant}.example"));
        Mail { hosts: Rc::clone(&hosts), host, ..mail.by(Mailer::Provider).tagged(tenant) }
    };
    let mut world = a_month(seed, 48);
    let (all, bad) = (pool.clone(), pool);
    world.add(Stream::diurnal(seed + 1, 2000.0, days_before(14)..hours(48), move |rng, _| {
        all(rng.random_range(0..500), rng.random_range(0..20))
            .of(Party::Neighbour)
            .to(rng.random_range(0..50))
    }));
    world.run(BEGIN);
    world.add(Stream::even(seed + 2, 500.0, hours(8)..hours(20), move |rng, _| {
        bad(0, rng.random_range(0..20)).spam().to(rng.random_range(0..50))
    }));
    world.run(hours(48));
    world.close();
    let others = || world.fates.iter().filter(|f| f.is_of(Party::Neighbour, false) && f.tag != 0);
    let others = Outcome::of(others().filter(|f| f.sent >= BEGIN));
    let spam = world.outcome(Party::Actor, true, BEGIN);
    bystanders(Bounds::of("one bad tenant of 500", seed), &world)
        .told("spam sent", spam.sent as f64)
        .at_most("spam let in, share", spam.share_let_in(), 0.05)
        .told("other tenants' mail", others.sent as f64)
        .at_most("other tenants' mail deferred, share", others.share_deferred(), 0.001)
        .at_most("other tenants' mail lost", others.lost as f64, 0.0)
        .conclude();
}

/// A university's forwarder, fifty messages an hour, 60 % of them spam. The senders it names are claims; four
/// fifths of the good mail still carries its signature, and one good message in ten is somebody's first.
#[test]
fn a_forwarder_that_relays_60_percent_spam() {
    let seed = seed();
    let mut world = a_month(seed, 7 * 24);
    let host = proper(v4(0x0a67_0019), "forward.university.example");
    world.add(Stream::even(seed + 1, 50.0, days_before(14)..hours(7 * 24), move |rng, _| {
        let to = rng.random_range(0..50);
        if rng.random_bool(0.6) {
            let from = format!("junk{}.example", rng.random::<u32>());
            return Mail::unverified(host.clone(), &from).spam().to(to);
        }
        let stranger = rng.random_bool(0.1);
        let number = if stranger { rng.random() } else { rng.random_range(0..200) };
        let from = format!("correspondent{number}.example");
        let signed = rng.random_bool(0.8).then(|| domain(&from));
        Mail { dkim: signed, ..Mail::unverified(host.clone(), &from).to(to).tagged(stranger.into()) }
    }));
    world.run(hours(7 * 24));
    world.close();
    let good = || world.fates.iter().filter(|fate| fate.is_of(Party::Actor, false));
    // Before it is known for a forwarder of spam and good mail, it looks like a spammer.
    let first_days = Outcome::of(good().filter(|fate| fate.sent < days_before(12)));
    let strangers = Outcome::of(good().filter(|fate| fate.sent >= BEGIN && fate.tag == 1));
    let (ham, spam) = (world.outcome(Party::Actor, false, BEGIN), world.outcome(Party::Actor, true, BEGIN));
    bystanders(Bounds::of("forwarder of 60 % spam", seed), &world)
        .told("its good mail deferred in the first two days, share", first_days.share_deferred())
        .at_most(
            "its good mail's delay in the first two days, p90 in s",
            first_days.delay(0.9),
            4.0 * HOUR.as_secs_f64(),
        )
        .told("its good mail deferred, share", ham.share_deferred())
        .at_most("its good mail's delay, p99 in s", ham.delay(0.99), 300.0)
        .at_most(
            "delay of good mail from its users' new correspondents, p99 in s",
            strangers.delay(0.99),
            300.0,
        )
        .at_most("its good mail ever lost", Outcome::of(good()).lost as f64, 0.0)
        .told("its spam let in, share", spam.share_let_in())
        .conclude();
}
