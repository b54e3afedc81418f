//! No adversary at all: the life that the others disturb, and the simulator itself.

use crate::simulator::mail::{Mail, Party, bare, domain, proper, v4};
use crate::simulator::mailer::Mailer;
use crate::simulator::{BEGIN, Filter, MINUTE, World, days_before, hours};
use crate::table::{Bounds, seed};
use policy_core::facts::Client;
use policy_core::identity::Kind;
use policy_core::policy::{Policy, Waits};
use std::sync::Arc;
use std::time::Duration;

/// Enough for everybody; see the flood for what happens when it is not.
pub(crate) const STATE: usize = 32 << 20;

/// A server after a month of ordinary life, which goes on until `hours` after [`BEGIN`].
pub(crate) fn a_month(seed: u64, until: u64) -> World {
    let mut world = World::new(seed, STATE, days_before(30));
    world.live(seed, days_before(30)..hours(until));
    world.run(BEGIN);
    world
}

/// The bounds that hold for everybody else while an adversary is at it.
pub(crate) fn bystanders(bounds: Bounds, world: &World) -> Bounds {
    let new = world.outcome(Party::Newcomer, false, BEGIN);
    known_senders(bounds, world)
        .at_most("newcomers' mail deferred, share", new.share_deferred(), 0.05)
        .at_most("newcomers' delay, p99 in s", new.delay(0.99), 1200.0)
}

/// Those for whoever has written before, and that nobody's mail is lost.
pub(crate) fn known_senders(bounds: Bounds, world: &World) -> Bounds {
    let known = world.outcome(Party::Background, false, BEGIN);
    let new = world.outcome(Party::Newcomer, false, BEGIN);
    bounds.at_most("known senders' mail deferred, share", known.share_deferred(), 0.003).at_most(
        "mail of known senders and newcomers lost",
        (known.lost + new.lost) as f64,
        0.0,
    )
}

#[test]
fn an_ordinary_week() {
    let seed = seed();
    let mut world = a_month(seed, 7 * 24);
    world.run(hours(7 * 24));
    world.close();
    let first_month = world.outcome(Party::Background, false, days_before(30));
    let spam = world.outcome(Party::Background, true, BEGIN);
    bystanders(Bounds::of("calm", seed), &world)
        .at_most("mail deferred since day one, share", first_month.share_deferred(), 0.01)
        .at_most("mail lost since day one", first_month.lost as f64, 0.0)
        .told("bots' spam let in, share", spam.share_let_in())
        .conclude();
}

#[test]
fn a_label_reaches_the_ledger_after_its_delay() {
    let mut world = World::new(1, STATE, BEGIN);
    world.filter = Filter { delay: 10 * MINUTE, catches: 1.0, miscalls: 0.0 };
    let mail = Mail::verified(proper(v4(0x0a60_0001), "mail.src.example"), "src.example").spam();
    let facts = world.facts(&mail);
    let mails: Vec<_> =
        (0..20).map(|n| (BEGIN.after(Duration::from_secs(n)), mail.clone().to(n as u32))).collect();
    world.add(mails.into_iter());
    let chance = |world: &World| world.state.appraise(&facts, world.now).standing.probability;
    world.run(BEGIN.after(9 * MINUTE));
    assert_eq!((world.fates.len(), world.outcome(Party::Actor, true, BEGIN).let_in), (20, 20));
    let before = chance(&world);
    world.run(BEGIN.after(11 * MINUTE));
    assert!(before < 0.5 && chance(&world) > 0.5, "{before}, then {}", chance(&world));
}

#[test]
fn a_label_reaches_a_domain_that_only_signed() {
    let mut world = World::new(1, STATE, BEGIN);
    let forwarder = proper(v4(0x0a60_0001), "mail.alumni.example");
    let mail = Mail { dkim: Some(domain("origin.example")), ..Mail::unverified(forwarder, "origin.example") };
    world.add([(BEGIN, mail.clone())].into_iter());
    world.run(hours(1));
    let mut facts = world.facts(&mail);
    facts.message.verified = mail.verified_domains(true);
    let explanation = world.state.explain(&world.policy, &facts, world.now);
    let verified = explanation.identities.iter().find(|identity| identity.kind == Kind::Verified);
    assert!(verified.is_some_and(|domain| domain.reading.slow.good > 1.0), "{verified:?}");
}

#[test]
fn a_deferred_message_comes_back_on_its_mailers_schedule() {
    let mut world = World::new(1, STATE, BEGIN);
    // A host that greets with a name which is not its own has to wait; how sure a new server is of that is not
    // what this is about.
    let waits = Waits { suspicious: 0.8, ..Waits::default() };
    world.policy = Arc::new(Policy { waits, ..Policy::clone(&world.policy) });
    let host = |n: u32| Client { helo: Some("pc.local".into()), ..bare(v4(0x0a60_0000 | n << 8)) };
    let mail = |n: u32, mailer| Mail::unverified(host(n), "src.example").by(mailer);
    let mails = [(BEGIN, mail(1, Mailer::Postfix)), (BEGIN, mail(2, Mailer::Never))];
    world.add(mails.into_iter());
    world.run(hours(1));
    let [bot, postfix] = world.fates[..] else { unreachable!("two messages have two fates") };
    assert!(bot.lost && bot.let_in.is_none(), "{bot:?}");
    assert_eq!((postfix.deferrals, postfix.reason), (1, Some("first-contact")));
    assert_eq!(postfix.let_in, Some(BEGIN.after(5 * MINUTE)));
}

#[test]
fn the_same_seed_plays_the_same_day() {
    let play = |seed| {
        let mut world = World::new(seed, STATE, BEGIN);
        world.live(seed, BEGIN..hours(24));
        world.run(hours(24));
        world.close();
        let fates = world.fates.iter().map(|f| (f.sent, f.let_in, f.deferrals));
        fates.collect::<Vec<_>>()
    };
    assert_eq!(play(3), play(3));
    assert_ne!(play(3), play(4));
}
