//! One spammer with IPv6: a new address for each message, out of a /64, a /48 or a /32.

use crate::calm::{a_month, bystanders};
use crate::simulator::arrivals::Stream;
use crate::simulator::mail::{Mail, Party, bare, v6};
use crate::simulator::mailer::Mailer;
use crate::simulator::{BEGIN, hours};
use crate::table::{Bounds, seed};
use rand::Rng;

/// 600 messages an hour for six hours, a new domain each, which come back as told. `network` draws the bits
/// between the /32 and the /64. `most` messages may come in.
fn rotation(name: &'static str, network: fn(u32) -> u32, most: f64) {
    let seed = seed();
    let mut world = a_month(seed, 24);
    world.run(hours(8));
    let before = world.state.usage().tables[0].entries;
    world.add(Stream::even(seed + 1, 600.0, hours(8)..hours(14), move |rng, _| {
        let address = v6(network(rng.random()), rng.random());
        let mail = Mail::unverified(bare(address), &format!("rot{}.example", rng.random::<u32>()));
        mail.spam().by(Mailer::AsTold(3)).to(rng.random_range(0..50))
    }));
    world.run(hours(15));
    let grown = world.state.usage().tables[0].entries.saturating_sub(before);
    world.run(hours(24));
    world.close();
    let spam = world.outcome(Party::Actor, true, BEGIN);
    bystanders(Bounds::of(name, seed), &world)
        .told("spam sent", spam.sent as f64)
        .at_most("spam let in", spam.let_in as f64, most)
        // Three keys for each message that may come in, and the ordinary life of seven hours.
        .at_most("identities remembered", grown as f64, 3.0 * most + 2000.0)
        .conclude();
}

/// A /64 is one host: a stranger's allowance, five until labels convict, then two an hour.
#[test]
fn inside_a_64() {
    rotation("IPv6 rotation in a /64", |_| 0x0001_0001, 50.0);
}

/// A /48 is one site: four strangers' allowances, and no more than one host's rate after that.
#[test]
fn inside_a_48() {
    rotation("IPv6 rotation in a /48", |random| 0x0002_0000 | random & 0xffff, 180.0);
}

/// A /32 is one provider: a tenth at most.
#[test]
fn inside_a_32() {
    rotation("IPv6 rotation in a /32", |random| random, 360.0);
}
