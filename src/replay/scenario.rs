//! Mail as it is today, made up: what the recordings that weights are fitted on are too old to show.
//!
//! Senders of the sorts that a small server hears from, each with the habits of its sort: verified domains,
//! TLS, shared pools, strangers that are honest, bots, and spammers who set their hosts up well. Shares and
//! habits are from what receivers and the makers of lists publish, in round numbers; chance comes from a seed.
//! No real name or address is in it.

use super::trace::Row;
use policy_core::facts::{Client, VerifiedBy, VerifiedDomain};
use policy_core::name::{DomainName, Sender};
use policy_core::time::Timestamp;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Days that it lasts.
const DAYS: u64 = 60;
/// Messages of a day.
const A_DAY: u64 = 70;
const SEED: u64 = 7;

/// A sort of sender.
#[derive(Clone, Copy)]
enum Sort {
    /// A mailbox at a large provider, honest or not.
    Mailbox { spam: bool },
    /// A bulk mailer's host, for one of its customers.
    Bulk { spam: bool },
    /// A server of somebody's own, with all that is asked of one.
    Own,
    /// A server whose owner never heard of SPF.
    Old,
    /// A server with something wrong: no reverse name of its own, or a HELO name unlike it.
    Faulty,
    /// A computer that was broken into, on an access line.
    Bot,
    /// A host rented to send spam, set up well, with a fresh domain.
    Rented,
    /// A good server of which one mailbox was stolen.
    Stolen,
}

/// How often each sort writes, of 1,000 messages.
const SORTS: [(Sort, u32); 10] = [
    (Sort::Mailbox { spam: false }, 170),
    (Sort::Bulk { spam: false }, 120),
    (Sort::Own, 140),
    (Sort::Old, 70),
    (Sort::Faulty, 20),
    (Sort::Bot, 250),
    (Sort::Rented, 130),
    (Sort::Mailbox { spam: true }, 40),
    (Sort::Bulk { spam: true }, 30),
    (Sort::Stolen, 30),
];

/// What computers at home are called.
const BARE_WORDS: [&str; 8] = ["localhost", "pc", "user", "win10", "home", "laptop", "server", "mypc"];

/// The messages, in order of time, from `begin` on.
pub(super) fn rows(begin: Timestamp) -> Vec<Row> {
    let mut chance = SmallRng::seed_from_u64(SEED);
    let step = Duration::from_secs(86_400) / A_DAY as u32;
    (0..DAYS * A_DAY).map(|n| row(n, begin.after(step * n as u32), &mut chance)).collect()
}

fn row(seq: u64, time: Timestamp, chance: &mut SmallRng) -> Row {
    let sort = any_sort(chance);
    let day = seq / A_DAY;
    let mut row = match sort {
        Sort::Mailbox { spam } => mailbox(spam, chance),
        Sort::Bulk { spam } => bulk(spam, chance),
        Sort::Own => own(some(chance, 400), chance),
        Sort::Old => old(chance),
        Sort::Faulty => faulty(chance),
        Sort::Bot => bot(chance),
        Sort::Rented => rented(day, chance),
        Sort::Stolen => Row { spam: true, ..own(some(chance, 400), chance) },
    };
    row.seq = seq;
    row.time = time;
    row
}

fn any_sort(chance: &mut SmallRng) -> Sort {
    let mut left = chance.random_range(0..SORTS.iter().map(|(_, share)| share).sum());
    let chosen = SORTS.iter().find(|(_, share)| {
        let here = left < *share;
        left = left.saturating_sub(*share);
        here
    });
    chosen.map_or(Sort::Own, |(sort, _)| *sort)
}

/// One of so many, the first ones far more often: few senders write most of the mail.
fn some(chance: &mut SmallRng, of: u32) -> u32 {
    let share: f64 = chance.random();
    (f64::from(of) * share * share * share) as u32
}

/// A host of one network: 24 bits of a network, from 10.0.0.0/8 on.
fn address(network: u32, host: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 | (network << 8 | host & 0xff) & 0x00ff_ffff)
}

fn name(text: &str) -> Option<DomainName> {
    DomainName::new(text)
}

/// A message from a host called `host`, by a sender, verified as the domains say.
fn message(address: Ipv4Addr, host: &str, sender: &str, spf: Option<&str>, dkim: Option<&str>) -> Row {
    let mut client = Client::new(address.into());
    client.name = name(host);
    client.reverse_name = client.name.clone();
    client.helo = Some(host.into());
    client.tls = Some(true);
    let verified = |domain: Option<&str>, by| {
        let domain = domain.and_then(name)?;
        Some(VerifiedDomain { domain, by })
    };
    let verified = [verified(dkim, VerifiedBy::Dkim), verified(spf, VerifiedBy::Spf)];
    Row {
        seq: 0,
        time: Timestamp::default(),
        client,
        sender: Sender::new(sender),
        recipient: None,
        recipients: 1,
        size: None,
        signed: dkim.and_then(name),
        verified: verified.into_iter().flatten().collect(),
        spam: false,
    }
}

fn size(chance: &mut SmallRng, kib: f64) -> Option<u64> {
    Some((1024.0 * kib * (0.3 + 3.0 * chance.random::<f64>().powi(3))) as u64)
}

fn mailbox(spam: bool, chance: &mut SmallRng) -> Row {
    let provider = chance.random_range(0..6u32);
    let domain = format!("webmail{provider}.example");
    let host = chance.random_range(0..200u32);
    let user = if spam { 5000 + chance.random_range(0..3000) } else { some(chance, 900) };
    let address = address(0x100 + provider * 8 + host % 4, host);
    let helo = format!("mail-{host}.out.{domain}");
    let sender = format!("user{user}@{domain}");
    let mut row = message(address, &helo, &sender, Some(&domain), Some(&domain));
    (row.spam, row.size) = (spam, size(chance, 9.0));
    row
}

fn bulk(spam: bool, chance: &mut SmallRng) -> Row {
    let mailer = chance.random_range(0..8u32);
    let customer = if spam { 1000 + chance.random_range(0..60) } else { some(chance, 150) };
    let (service, brand) = (format!("bulk{mailer}.example"), format!("brand{customer}.example"));
    let host = chance.random_range(0..60u32);
    let address = address(0x200 + mailer, host);
    let helo = format!("o{host}.{service}");
    let bounce = format!("bounce-{}@{service}", chance.random_range(0..100_000u32));
    let mut row = message(address, &helo, &bounce, Some(&service), Some(&brand));
    (row.spam, row.size) = (spam, size(chance, 40.0));
    row
}

fn own(n: u32, chance: &mut SmallRng) -> Row {
    let domain = format!("firm{n}.example");
    let helo = format!("mail.{domain}");
    let sender = format!("person{}@{domain}", some(chance, 12));
    let signature = (!n.is_multiple_of(4)).then_some(&*domain);
    let mut row = message(address(0x1000 + n, 20), &helo, &sender, Some(&domain), signature);
    row.size = size(chance, 12.0);
    row
}

fn old(chance: &mut SmallRng) -> Row {
    let n = some(chance, 150);
    let domain = format!("club{n}.example");
    let helo = if n.is_multiple_of(3) { format!("smtp.{domain}") } else { domain.clone() };
    let sender = format!("person{}@{domain}", some(chance, 6));
    let mut row = message(address(0x2000 + n, 30), &helo, &sender, None, None);
    row.client.tls = Some(n % 5 != 4);
    row.size = size(chance, 8.0);
    row
}

fn faulty(chance: &mut SmallRng) -> Row {
    let n = some(chance, 60);
    let domain = format!("shop{n}.example");
    let spf = n.is_multiple_of(2).then_some(&*domain);
    let mut row =
        message(address(0x3000 + n, 40), &format!("mail.{domain}"), &format!("info@{domain}"), spf, None);
    match n % 3 {
        0 => (row.client.name, row.client.reverse_name) = (None, None),
        1 => {
            row.client.name = name(&format!("static-{}-40.line{}.example", n, n % 5));
            row.client.reverse_name = row.client.name.clone();
        }
        _ => row.client.helo = Some("localhost.localdomain".into()),
    }
    row.size = size(chance, 8.0);
    row
}

fn bot(chance: &mut SmallRng) -> Row {
    let address = Ipv4Addr::from(0x6400_0000 + chance.random_range(0..1u32 << 22));
    let [_, b, c, d] = address.octets();
    let forged = match chance.random_range(0..3) {
        0 => {
            format!("user{}@webmail{}.example", chance.random_range(0..9999u32), chance.random_range(0..6u32))
        }
        1 => format!("x{}@brand{}.example", chance.random_range(0..9999u32), chance.random_range(0..150u32)),
        _ => format!("info@{:x}.example", chance.random_range(0..1u32 << 28)),
    };
    let isp = chance.random_range(0..40u32);
    let mut row = message(address, &format!("{b}-{c}-{d}.dyn.isp{isp}.example"), &forged, None, None);
    if chance.random_bool(0.5) {
        (row.client.name, row.client.reverse_name) = (None, None);
    }
    row.client.helo = Some(match chance.random_range(0..5) {
        0 => format!("[{address}]").into(),
        1 => format!("DESKTOP-{:x}", chance.random_range(0..1u32 << 28)).into(),
        2 => BARE_WORDS[chance.random_range(0..BARE_WORDS.len())].into(),
        3 => forged.rsplit('@').next().unwrap_or_default().into(),
        _ => format!("{b}-{c}-{d}.dyn.isp{isp}.example").into(),
    });
    row.client.tls = Some(chance.random_bool(0.2));
    (row.spam, row.size) = (true, size(chance, 3.0));
    row
}

/// Three campaigns at a time, each in a network of its own for four days, with a fresh domain each day.
fn rented(day: u64, chance: &mut SmallRng) -> Row {
    let campaign = (day / 4 * 3) as u32 + chance.random_range(0..3u32);
    let host = chance.random_range(0..40u32);
    let domain = format!("{:x}-offer{}.example", campaign.wrapping_mul(2_654_435_761), day % 100);
    let helo = format!("s{host}.{domain}");
    let sender = format!("news@{domain}");
    let mut row = message(address(0x8000 + campaign, host), &helo, &sender, Some(&domain), Some(&domain));
    (row.spam, row.size) = (true, size(chance, 15.0));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_again_in_order_and_of_every_sort() {
        let begin = Timestamp::from_secs(1_700_000_000);
        let rows = rows(begin);
        assert_eq!(rows.len() as u64, DAYS * A_DAY);
        assert!(rows.is_sorted_by_key(|row| row.time));
        let again = super::rows(begin);
        assert!(rows.iter().zip(&again).all(|(a, b)| a.client == b.client && a.sender == b.sender));
        let spam = rows.iter().filter(|row| row.spam).count() as f64 / rows.len() as f64;
        assert!((0.4..0.6).contains(&spam), "{spam}");
        let share =
            |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count() as f64 / rows.len() as f64;
        assert!(share(|row| row.verified.is_empty()) > 0.25 && share(|row| !row.verified.is_empty()) > 0.5);
        assert!(share(|row| row.client.name.is_none()) > 0.1);
    }
}
