//! What is held of a client, why, until when, and what would change it: for whoever shows it to people.

use crate::allowance::{PerHour, Quota, Whose};
use crate::decide::{Case, Payer, Purse};
use crate::evidence::Reading;
use crate::facts::Facts;
use crate::feedback::{Heard, MessageId};
use crate::findings::Note;
use crate::identity::{Identities, Key, Kind, networks_of};
use crate::ledger::Readings;
use crate::name::{DomainName, Mailbox};
use crate::names::Name;
use crate::policy::Policy;
use crate::quota::{Lane, quota_word};
use crate::standing::{Contribution, Standing, Word, word_alone};
use crate::state::State;
use crate::time::Timestamp;
use ipnet::IpNet;
use std::net::IpAddr;

/// What is held of one identity.
#[derive(Clone, Debug)]
pub struct KeyExplanation {
    /// What kind of identity.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What is remembered of it.
    pub reading: Reading,
}

impl KeyExplanation {
    /// Whether nothing is remembered of it.
    pub fn is_empty(&self) -> bool {
        self.reading == Reading::NOTHING
    }
}

/// What would make another word of a standing, if nothing else changed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prospect {
    /// So many messages, each of weight 1.
    pub messages: u16,
    /// Good ones, or bad ones.
    pub good: bool,
    /// The word then.
    pub word: Word,
}

/// Prospects that lie further off than this are none.
const FAR: u16 = 100;

/// A quota that a message is paid from.
#[derive(Clone, Copy, Debug)]
pub struct Allotment {
    /// Whose it is.
    pub whose: Whose,
    /// How much that is.
    pub quota: Quota,
    /// What of it is used up, by the hour; `None` where many share the address, which pays for its sessions alone.
    pub used: Option<PerHour>,
    /// Sessions open now, of the host.
    pub sessions: Option<u32>,
}

/// Everything that a decision on these facts would rest on.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The standing.
    pub standing: Standing,
    /// All terms that made it, strongest first: they add up to its log-odds.
    pub contributions: Vec<Contribution>,
    /// What is remembered of each identity, specific ones first.
    pub identities: Vec<KeyExplanation>,
    /// What was heard about messages of the address and of its organisation, from each source.
    pub heard: Vec<Heard>,
    /// What was looked up, in words.
    pub found: Vec<Note>,
    /// What a message would be paid from; the host's is the first.
    pub allotments: Vec<Allotment>,
    /// When pending deferrals of the address may pass.
    pub pending: Vec<Timestamp>,
    /// What would make another word of the standing: good messages, and bad ones.
    pub prospects: Vec<Prospect>,
    /// The moment of the explanation.
    pub now: Timestamp,
}

impl State {
    /// Explains how a client with these facts stands now. Changes nothing.
    pub fn explain(&self, policy: &Policy, facts: &Facts, now: Timestamp) -> Explanation {
        // The question is of no message.
        let case = Case::new(policy, self, facts, MessageId(0), now);
        let identities = &*case.identities;
        let readings = self.ledger.readings(identities, now);
        let standing = self.ledger.standing(identities, &readings, now);
        let address = identities.address();
        let allotment = |purse| self.allotment(purse, now);
        Explanation {
            allotments: case.purses(&standing, &readings).into_iter().map(allotment).collect(),
            identities: self.named(facts, identities, now),
            contributions: self.ledger.all_contributions(identities, &readings, now),
            pending: self.deferrals.pending_of(address, now),
            heard: self.messages.heard_of(&[address, identities.group.unwrap_or(address)]),
            prospects: [true, false]
                .into_iter()
                .filter_map(|good| self.prospect(identities, &readings, standing.word, good, now))
                .collect(),
            found: facts.findings.notes.clone(),
            standing,
            now,
        }
    }

    fn allotment(&self, Purse { payer, key, quota }: Purse, now: Timestamp) -> Allotment {
        let (used, sessions) = self.meters.outstanding(&key, &quota.rate, now);
        let whose = payer.whose();
        Allotment {
            whose,
            quota,
            used: (payer != Payer::Shared).then_some(used),
            sessions: (whose == Whose::Host).then_some(sessions),
        }
    }

    /// The first number of messages that makes another word, by trying one after another.
    fn prospect(
        &self,
        identities: &Identities,
        readings: &Readings,
        word: Word,
        good: bool,
        now: Timestamp,
    ) -> Option<Prospect> {
        let mut then = readings.clone();
        let mut prospects = (1..=FAR).map(|messages| {
            for reading in then.iter_mut().flatten() {
                for tally in [&mut reading.slow, &mut reading.fast] {
                    *(if good { &mut tally.good } else { &mut tally.bad }) += 1.0;
                }
            }
            let word = self.ledger.standing(identities, &then, now).word;
            Prospect { messages, good, word }
        });
        prospects.find(|prospect| prospect.word != word)
    }

    /// What is remembered of a domain: as itself and as its organisational domain, verified, claimed, and in the
    /// names that hosts go by; and of one mailbox when it is of a verified domain. Only what there is.
    pub fn records_of(
        &self,
        domain: &DomainName,
        mailbox: Option<&Mailbox>,
        now: Timestamp,
    ) -> Vec<KeyExplanation> {
        const KINDS: [Kind; 6] =
            [Kind::Verified, Kind::Claimed, Kind::ReverseName, Kind::Unconfirmed, Kind::Helo, Kind::Signed];
        let whole = domain.as_str();
        let organisational = domain.organisational().filter(|name| *name != whole);
        let names: Vec<&str> = std::iter::once(whole).chain(organisational).collect();
        let of = |kind: Kind, name: &str, key: Key| KeyExplanation {
            kind,
            name: name.to_owned(),
            reading: self.ledger.read(&key, now),
        };
        let mailbox = mailbox
            .map(|mailbox| of(Kind::Mailbox, &mailbox.to_string(), self.keyring.verified_mailbox(mailbox)));
        let named = KINDS.into_iter().flat_map(|kind| names.iter().map(move |name| (kind, *name)));
        let named = named.map(|(kind, name)| of(kind, name, self.keyring.named(kind, name)));
        mailbox.into_iter().chain(named).filter(|key| !key.is_empty()).collect()
    }

    /// What all hosts that a domain has authorised may send together, and what of it is used up; `None` where nothing of it
    /// is known.
    pub fn allotment_of(&self, policy: &Policy, domain: &DomainName, now: Timestamp) -> Option<Allotment> {
        let key = self.keyring.named(Kind::Verified, Name::new(domain, &[]).widest());
        let reading = self.ledger.read(&key, now);
        // Its own record tells how it stands, where no message does.
        let word = word_alone(&reading);
        let quota =
            policy.limits.quota(&reading, quota_word(word, &reading, false), policy.limits.domain_factor);
        let (used, _) = self.meters.outstanding(&Lane::of(word).key(key), &quota.rate, now);
        let is_known = reading != Reading::NOTHING || used.0.iter().any(|used| *used > 0.0);
        is_known.then_some(Allotment { whose: Whose::Domain, quota, used: Some(used), sessions: None })
    }

    /// When retries of a domain's pending deferrals may pass, soonest first.
    pub fn pending_of(&self, domain: &DomainName, now: Timestamp) -> Vec<Timestamp> {
        let widest = Name::new(domain, &[]).widest();
        let mut pending: Vec<Timestamp> = [Kind::Verified, Kind::ReverseName]
            .into_iter()
            .flat_map(|kind| self.deferrals.pending_of(self.keyring.named(kind, widest), now))
            .collect();
        pending.sort_unstable();
        pending.dedup();
        pending
    }

    /// What is remembered of a network, if anything is.
    pub fn record_of(&self, network: IpNet, now: Timestamp) -> Option<KeyExplanation> {
        let key = Key::of_network(network)?;
        let kind = [Kind::Address, Kind::Prefix, Kind::Network]
            .into_iter()
            .find(|&kind| kind as u8 == key.kind())?;
        let held = KeyExplanation { kind, name: network.to_string(), reading: self.ledger.read(&key, now) };
        Some(held).filter(|held| !held.is_empty())
    }

    /// What is remembered of an address.
    pub fn reading_of(&self, address: IpAddr, now: Timestamp) -> Reading {
        self.ledger.read(&Key::address(address), now)
    }

    /// The addresses that come first in some order, of all or of those in a network. Visits the whole table, holding
    /// each lock for some microseconds.
    pub fn ranking(&self, within: Option<IpNet>, order: Order, most: usize, now: Timestamp) -> Vec<Ranked> {
        let mut ranking = Ranking { order, most, rows: Vec::new() };
        let is_within = |host: &IpNet| within.is_none_or(|net| net.contains(host));
        self.ledger.records.for_each(|key, record| {
            if let Some(network) = key.host().filter(is_within) {
                ranking.offer(Ranked { network, reading: record.read(now) });
            }
        });
        ranking.into_rows()
    }

    fn named(&self, facts: &Facts, identities: &Identities, now: Timestamp) -> Vec<KeyExplanation> {
        let [host, prefix] = networks_of(facts.client.address);
        let reading = |key: &Key| self.ledger.read(key, now);
        let mut named = vec![
            KeyExplanation {
                kind: Kind::Address,
                name: host.to_string(),
                reading: reading(&identities.address()),
            },
            KeyExplanation {
                kind: Kind::Prefix,
                name: prefix.to_string(),
                reading: reading(&identities.prefix()),
            },
        ];
        let sender = facts.envelope.sender.as_ref().and_then(|s| s.domain()).map(ToString::to_string);
        for chain in identities.chains.iter().skip(1) {
            let name = match chain.kind {
                Kind::ReverseName => facts.client.name.as_ref().map(ToString::to_string),
                Kind::Unconfirmed | Kind::Pattern => reverse_name(facts),
                Kind::Signed => facts.message.signed.as_ref().map(ToString::to_string),
                Kind::Mailbox => facts.envelope.sender.as_ref().map(ToString::to_string),
                Kind::Helo => facts.client.helo.as_ref().map(ToString::to_string),
                Kind::Verified => self.verified_name(facts, chain.specific()),
                _ => sender.clone(),
            };
            let name = name.unwrap_or_default();
            named.push(KeyExplanation { kind: chain.kind, name, reading: reading(&chain.specific()) });
        }
        named
    }

    fn verified_name(&self, facts: &Facts, key: Key) -> Option<String> {
        let name = |v: &crate::facts::VerifiedDomain| v.domain.to_string();
        let mut names = facts.message.verified.iter().map(name);
        names.find(|name| self.keyring.named(Kind::Verified, name) == key)
    }
}

fn reverse_name(facts: &Facts) -> Option<String> {
    let name = facts.client.name.as_ref().or(facts.client.reverse_name.as_ref());
    name.map(ToString::to_string)
}

/// What addresses are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Messages let in today (UTC).
    Volume,
    /// The weight of bad evidence of the last weeks.
    Bad,
    /// The weight of all evidence of the last weeks.
    Evidence,
}

/// An address and what is remembered of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// An IPv4 address, or an IPv6 /64.
    pub network: IpNet,
    /// What is remembered of it.
    pub reading: Reading,
}

/// The first of all that were offered. Holds at most twice what is wanted.
struct Ranking {
    order: Order,
    most: usize,
    rows: Vec<Ranked>,
}

impl Ranking {
    fn offer(&mut self, row: Ranked) {
        if self.order.of(&row) > 0.0 {
            self.rows.push(row);
        }
        if self.rows.len() >= 2 * self.most.max(1) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let order = self.order;
        self.rows.sort_unstable_by(|a, b| {
            order.of(b).total_cmp(&order.of(a)).then_with(|| a.network.cmp(&b.network))
        });
        self.rows.truncate(self.most);
    }

    fn into_rows(mut self) -> Vec<Ranked> {
        self.cut();
        self.rows
    }
}

impl Order {
    fn of(self, row: &Ranked) -> f32 {
        match self {
            Self::Volume => row.reading.today,
            Self::Bad => row.reading.slow.bad,
            Self::Evidence => row.reading.slow.evidence(),
        }
    }
}
