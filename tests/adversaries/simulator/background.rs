//! The ordinary life of a mail server: two hundred known senders, and the spam that everybody gets.
//!
//! Company servers, newsletters from small pools, tenants of large shared pools, mailing lists and
//! forwarders, each with a volume and a mailer of its own; beside them honest newcomers that write once, and
//! bots that send one message and are gone. Addresses are private ones: senders live below 10.0.0.0/11,
//! newcomers in 10.32.0.0/11, bots from 10.128.0.0 on.

use super::mail::{Mail, Party, bare, domain, generic, proper, v4};
use super::mailer::{HONEST, Mailer};
use super::outcome::Outcome;
use super::{World, arrivals::Stream};
use policy_core::facts::Client;
use policy_core::time::Timestamp;
use rand::Rng;
use rand::rngs::SmallRng;
use std::ops::Range;
use std::rc::Rc;

/// Mailboxes of the server.
const MAILBOXES: u32 = 50;
const COMPANIES: u32 = 120;
const NEWSLETTERS: u32 = 30;
const POOLS: u32 = 6;
const TENANTS: u32 = 5;
const LISTS: u32 = 10;
const FORWARDERS: u32 = 10;
/// Newcomers a day.
const NEWCOMERS: f64 = 100.0;
/// Bots' messages an hour.
const BOTS: f64 = 20.0;

/// One known sender: messages a day, and what they look like.
#[derive(Clone)]
pub(crate) struct Correspondent {
    daily: f64,
    pub(crate) mails: Vec<Mail>,
}

/// Every known sender: the same whatever the seed, so that a test can name one.
pub(crate) fn correspondents() -> Vec<Correspondent> {
    let companies = (0..COMPANIES).map(company);
    let newsletters = (0..NEWSLETTERS).map(newsletter);
    let tenants = (0..POOLS).flat_map(|pool| (0..TENANTS).map(move |tenant| self::tenant(pool, tenant)));
    let lists = (0..LISTS).map(list);
    companies.chain(newsletters).chain(tenants).chain(lists).chain((0..FORWARDERS).map(forwarder)).collect()
}

/// A company's own server; one in ten does without SPF and DKIM.
pub(crate) fn company(n: u32) -> Correspondent {
    let name = format!("company{n}.example");
    let host = proper(v4(0x0a01_0019 | n << 8), &format!("mail.{name}"));
    let mail = if n % 10 == 9 { Mail::unverified(host, &name) } else { Mail::verified(host, &name) };
    Correspondent { daily: f64::from(1 + n * 7 % 12), mails: vec![known(mail, n)] }
}

fn newsletter(n: u32) -> Correspondent {
    let name = format!("news{n}.example");
    let host = |h| proper(v4(0x0a02_000a | n << 8 | h), &format!("out{h}.{name}"));
    let mail = Mail { hosts: (0..3).map(host).collect(), ..Mail::verified(host(0), &name) };
    Correspondent { daily: 12.0, mails: (0..3).map(|h| Mail { host: h, ..known(mail.clone(), n) }).collect() }
}

/// A domain that sends through a shared pool of sixteen hosts.
fn tenant(pool: u32, tenant: u32) -> Correspondent {
    let host = |h| proper(v4(0x0a03_0040 | pool << 8 | h), &format!("mail-{h}.pool{pool}.example"));
    let hosts: Rc<[Client]> = (0..16).map(host).collect();
    let mail = Mail::verified(host(0), &format!("tenant{tenant}-of-{pool}.example")).by(Mailer::Provider);
    let from = |h| Mail { hosts: Rc::clone(&hosts), host: h, party: Party::Background, ..mail.clone() };
    Correspondent { daily: 12.0, mails: (0..16).map(from).collect() }
}

/// A mailing list: SPF passes for the list, the signature is the list's too.
fn list(n: u32) -> Correspondent {
    let name = format!("lists{n}.example");
    let host = proper(v4(0x0a04_0019 | n << 8), &format!("lists.{name}"));
    Correspondent { daily: 20.0, mails: vec![known(Mail::verified(host, &name), n)] }
}

/// A forwarder: the senders' domains are claims, and half of the mail still carries a signature. One message
/// in ten is spam.
fn forwarder(n: u32) -> Correspondent {
    let host = proper(v4(0x0a05_0019 | n << 8), &format!("mail.alumni{n}.example"));
    let mails = (0..10).map(|origin| {
        let from = format!("origin{}.example", n * 3 + origin);
        let mail = known(Mail::unverified(host.clone(), &from), n);
        let signed = (origin % 2 == 0).then(|| domain(&from));
        Mail { dkim: signed, spam: origin == 9, ..mail }
    });
    Correspondent { daily: 10.0, mails: mails.collect() }
}

fn known(mail: Mail, n: u32) -> Mail {
    mail.of(Party::Background).by(HONEST[n as usize % HONEST.len()])
}

/// The first message of somebody honest. One in eight proves nothing by SPF or DKIM, and one in eight kept
/// the reverse name of the provider that its host is rented from.
pub(crate) fn newcomer(rng: &mut SmallRng, _: Timestamp) -> Mail {
    let n: u32 = rng.random();
    let (address, name) = (v4(0x0a20_0000 | n >> 11), format!("newcomer{n:x}.example"));
    let own = proper(address, &format!("mail.{name}"));
    let mail = match n % 8 {
        0 => Mail::unverified(own, &name),
        1 => Mail::verified(
            Client { helo: own.helo, tls: own.tls, ..generic(address, "cloud.example") },
            &name,
        ),
        _ => Mail::verified(own, &name),
    };
    known(mail, n >> 3).of(Party::Newcomer).to(rng.random_range(0..MAILBOXES))
}

/// One message of a bot: without a name or with an access network's, and never from the same place.
fn bot(rng: &mut SmallRng, _: Timestamp) -> Mail {
    let address = v4(0x0a80_0000 | rng.random_range(0..1 << 23));
    let host = if rng.random() { bare(address) } else { generic(address, "isp.example") };
    let mail = Mail::unverified(host, &format!("offer{}.example", rng.random_range(0..10_000)));
    mail.of(Party::Background).spam().by(Mailer::Never).to(rng.random_range(0..MAILBOXES))
}

impl World {
    /// Lets the ordinary life of the server go on for a while.
    pub(crate) fn live(&mut self, seed: u64, when: Range<Timestamp>) {
        for (n, correspondent) in (0u64..).zip(correspondents()) {
            let Correspondent { daily, mails } = correspondent;
            let write = move |rng: &mut SmallRng, _| {
                let recipient = rng.random_range(0..MAILBOXES);
                mails[rng.random_range(0..mails.len())].clone().to(recipient)
            };
            self.add(Stream::diurnal(seed ^ (n << 32), daily, when.clone(), write));
        }
        self.add(Stream::diurnal(seed ^ (1 << 61), NEWCOMERS, when.clone(), newcomer));
        self.add(Stream::even(seed ^ (1 << 62), BOTS, when, bot));
    }

    /// What became of the mail of a party that was sent from `from` on.
    pub(crate) fn outcome(&self, party: Party, spam: bool, from: Timestamp) -> Outcome {
        let outcome = Outcome::of(self.fates.iter().filter(|f| f.is_of(party, spam) && f.sent >= from));
        // Every bound holds for mail that nobody sent.
        assert!(outcome.sent > 0, "no mail of {party:?}");
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn two_hundred_known_senders_of_every_sort() {
        let all = correspondents();
        assert_eq!(all.len(), 200);
        let daily: f64 = all.iter().map(|correspondent| correspondent.daily).sum();
        assert!((1500.0..2500.0).contains(&daily), "{daily} messages a day");
        let mails = || all.iter().flat_map(|correspondent| &correspondent.mails);
        let domains: HashSet<_> = mails().filter_map(|mail| mail.spf.clone()).collect();
        assert_eq!(domains.len(), 200 - 12 - FORWARDERS as usize, "one in ten companies does without");
        let shared = mails().filter(|mail| mail.hosts.len() > 1).count();
        assert_eq!(shared as u32, NEWSLETTERS * 3 + POOLS * TENANTS * 16);
        assert!(mails().all(|mail| mail.party == Party::Background && mail.mailer != Mailer::Never));
    }
}
