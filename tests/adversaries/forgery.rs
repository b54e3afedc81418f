//! Harm by pretending: mail in another's name, and complaints that are not true.

use crate::calm::{a_month, bystanders};
use crate::simulator::arrivals::Stream;
use crate::simulator::mail::{Mail, Party, bare, generic, proper, v4};
use crate::simulator::mailer::Mailer;
use crate::simulator::{BEGIN, World, days_before, hours};
use crate::table::{Bounds, seed};
use policy_core::identity::Kind;
use rand::Rng;

/// The forged domain's own mail: from its own server, verified.
fn genuine() -> Mail {
    Mail::verified(proper(v4(0x0a69_0019), "mail.bank.example"), "bank.example").of(Party::Neighbour)
}

/// Bad evidence on the verified domain of a message.
fn charged(world: &mut World, mail: &Mail) -> f64 {
    let facts = world.facts(mail);
    let explanation = world.state.explain(&world.policy, &facts, world.now);
    let verified = explanation.identities.iter().filter(|identity| identity.kind == Kind::Verified);
    verified.map(|identity| f64::from(identity.reading.slow.bad)).sum()
}

/// 2,000 bots write in the name of a bank, 2,000 messages an hour for six hours.
#[test]
fn forged_senders() {
    let seed = seed();
    let mut world = a_month(seed, 48);
    // A filter that never errs about good mail: whatever is charged then comes from the forgers.
    world.filter.miscalls = 0.0;
    world.add(Stream::diurnal(seed + 1, 50.0, BEGIN..hours(48), |_, _| genuine()));
    world.add(Stream::even(seed + 2, 2000.0, hours(8)..hours(14), |rng, _| {
        let n = rng.random_range(0..2000u32);
        let address = v4(0x0ac0_0000 | n.wrapping_mul(0x9e37_79b1) >> 10);
        let host = if n.is_multiple_of(2) { bare(address) } else { generic(address, "isp.example") };
        let mail = Mail::unverified(host, "bank.example").spam();
        mail.by(Mailer::AsTold(4)).to(rng.random_range(0..50))
    }));
    world.run(hours(48));
    let charged = charged(&mut world, &genuine());
    world.close();
    let (spam, bank) =
        (world.outcome(Party::Actor, true, BEGIN), world.outcome(Party::Neighbour, false, hours(8)));
    bystanders(Bounds::of("forged senders", seed), &world)
        .told("forgeries sent", spam.sent as f64)
        // 2,000 bots of three messages each that come back as told: what is bounded is what they do to others.
        .told("forgeries let in, share", spam.share_let_in())
        .at_most("bad evidence on the verified domain", charged, 0.0)
        .at_most("the domain's own mail deferred", bank.deferred as f64, 0.0)
        .conclude();
}

/// One recipient complains of every message of a good shop, twenty times each.
#[test]
fn false_complaints_by_one_reporter() {
    let seed = seed();
    let mut world = a_month(seed, 72);
    world.add(Stream::diurnal(seed + 1, 200.0, days_before(30)..hours(72), |rng, at| {
        let recipient = rng.random_range(0..20);
        let complaints = if recipient == 7 && at >= BEGIN { 20 } else { 0 };
        let shop = Mail::verified(proper(v4(0x0a6a_0019), "mail.shop.example"), "shop.example");
        Mail { complaints, ..shop.to(recipient) }
    }));
    world.run(hours(72));
    world.close();
    let complaints: usize = 20 * world.outcome(Party::Actor, false, BEGIN).let_in / 20;
    let shop = world.outcome(Party::Actor, false, BEGIN);
    bystanders(Bounds::of("false complaints", seed), &world)
        .told("complaints, about", complaints as f64)
        .at_most("the shop's mail deferred, share", shop.share_deferred(), 0.003)
        .at_most("the shop's mail lost", shop.lost as f64, 0.0)
        .conclude();
}
