//! Forgetting: everything that is held of one subject leaves every table.
//!
//! Addresses and networks stand in keys plainly and are found all. Names are keyed hashes: of a domain the keys of
//! all its kinds are made again and looked for, with every prefix that is known where a key holds one. What lies
//! below a domain (its host names, its mailboxes), and what a network's hosts are called and who has sent from there,
//! can only be looked for where somebody remembers the name: hence [`Traces`], gathered from the latest decisions.
//!
//! Invariant: a key that was found is in no table afterwards, and its page is marked, so that the next flush takes
//! it off the disk. A session of it in progress is forgotten too, so that its end books nothing.
//!
//! Known limit: a mailbox or a host name below a forgotten domain that no recent decision names stays, as a hash
//! without a name, until it fades or `retention` ends it.

use crate::audit::{Change, What};
use crate::facts::Facts;
use crate::identity::{Identities, Key, Keyring, Kind};
use crate::name::{DomainName, Sender};
use crate::networks::canonical;
use crate::overrides::{Address, Subject};
use crate::quota::Lane;
use crate::state::State;
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use ipnet::IpNet;
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

/// Kinds that a domain's own name is a key of.
const NAMED: [Kind; 6] =
    [Kind::ReverseName, Kind::Helo, Kind::Verified, Kind::Claimed, Kind::Signed, Kind::Unconfirmed];

/// Names that are known to lie below a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    domains: BTreeSet<DomainName>,
    mailboxes: BTreeSet<Address>,
    /// Names of the hosts of a network.
    hosts: BTreeSet<DomainName>,
    /// Who has sent from which prefix of it.
    senders: BTreeSet<(Address, Key)>,
}

impl Traces {
    /// Takes note of the names in these facts that belong to the subject.
    pub fn note(&mut self, subject: &Subject, facts: &Facts) {
        let below = |name: &&DomainName| subject.covers(&Subject::Domain(DomainName::clone(name)));
        self.domains.extend(names(facts).filter(below).cloned());
        let sender = sender(facts).filter(|sender| subject.covers(&Subject::Mailbox(sender.clone())));
        self.mailboxes.extend(sender);
        if matches!(subject, Subject::Network(_)) && subject.concerns(facts) {
            let prefix = Key::prefix(facts.client.address);
            self.hosts.extend(facts.client.name.iter().chain(&facts.client.reverse_name).cloned());
            self.senders.extend(self::sender(facts).map(|sender| (sender, prefix)));
        }
    }
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Entries of all tables.
    pub entries: usize,
    /// Overrides.
    pub overrides: usize,
}

impl Subject {
    /// Whether all of another lies within this one.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Network(own), Self::Network(other)) => own.contains(other),
            (Self::Domain(own), Self::Domain(other)) => is_below(other, own),
            (Self::Domain(own), Self::Mailbox(other)) => is_below(&other.domain, own),
            (Self::Mailbox(own), Self::Mailbox(other)) => own == other,
            _ => false,
        }
    }

    /// Whether these facts are about the subject.
    pub fn concerns(&self, facts: &Facts) -> bool {
        match self {
            Self::Network(net) => net.contains(&canonical(facts.client.address)),
            Self::Domain(own) => names(facts).any(|name| is_below(name, own)) || helo_is_below(facts, own),
            Self::Mailbox(own) => sender(facts).is_some_and(|sender| sender == *own),
        }
    }
}

fn is_below(name: &DomainName, domain: &DomainName) -> bool {
    let rest = name.as_str().strip_suffix(domain.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn helo_is_below(facts: &Facts, domain: &DomainName) -> bool {
    let helo = facts.client.helo.as_ref().and_then(|helo| DomainName::new(helo));
    helo.is_some_and(|helo| is_below(&helo, domain))
}

/// The names in facts that stand for somebody; the HELO name is told apart, since it is no value of its own.
fn names(facts: &Facts) -> impl Iterator<Item = &DomainName> {
    let client = facts.client.name.iter().chain(&facts.client.reverse_name);
    let message = facts.message.verified.iter().map(|verified| &verified.domain).chain(&facts.message.signed);
    client.chain(message).chain(facts.envelope.sender.as_ref().and_then(Sender::domain))
}

fn sender(facts: &Facts) -> Option<Address> {
    let Some(Sender::Mailbox(mailbox)) = &facts.envelope.sender else { return None };
    Some(Address { local_part: mailbox.folded_local_part(), domain: mailbox.domain.clone()? })
}

/// The keys that are to go.
struct Gone {
    network: Option<IpNet>,
    keys: HashSet<Key>,
}

impl Gone {
    fn has(&self, key: &Key) -> bool {
        let key = key.without_lane();
        self.keys.contains(&key) || self.network.is_some_and(|net| is_within(key, net))
    }

    fn any(&self, identities: &Identities) -> bool {
        identities.chains.iter().any(|chain| chain.levels().iter().any(|key| self.has(key)))
    }
}

/// Whether a key stands for addresses within the network, or for the /64 that a single IPv6 address is known by.
fn is_within(key: Key, net: IpNet) -> bool {
    let Some(own) = key.addresses() else { return false };
    net.contains(&own) || key.kind() == Kind::Address as u8 && own.contains(&net)
}

impl State {
    /// Forgets everything held of a subject: evidence, allowances, deferrals, overrides, and who it was in the audit
    /// trail. Visits every table: for people, on a thread of its own.
    pub fn forget(&self, subject: &Subject, traces: &Traces, who: &str, now: Timestamp) -> Forgotten {
        let gone = self.gone(subject, traces);
        let overrides = self.overrides.remove(|said| subject.covers(&said.subject)).len();
        self.sessions.forget(|identities| gone.any(identities));
        let entries = remove(&self.ledger.records, |key, _| gone.has(key))
            + remove(&self.meters.table, |key, _| gone.has(key))
            + remove(&self.deferrals.entries, |_, deferral| gone.has(&deferral.source()))
            + remove(&self.messages.table, |_, message| message.about.iter().any(|key| gone.has(key)))
            + remove(&self.rungs.table, |key, _| gone.has(key))
            + self.pools.forget(|key| gone.has(key));
        let digest = self.digest_of(subject);
        self.audit.forget(&digest, |key| key.parse().is_ok_and(|other| subject.covers(&other)));
        let (who, note) = (who.to_owned(), String::new());
        self.audit.note(Change { at: now, who, what: What::Forget, key: digest, until: None, note });
        Forgotten { entries, overrides }
    }

    /// Takes the addresses of a network off the ladder.
    pub(crate) fn pardon(&self, net: IpNet) {
        remove(&self.rungs.table, |key, _| is_within(*key, net));
    }

    /// What stands in the audit trail for somebody who was forgotten.
    fn digest_of(&self, subject: &Subject) -> String {
        let digest = self.keyring.digest(&[b"forgotten", subject.to_string().as_bytes()]);
        format!("#{digest:016x}")
    }

    fn gone(&self, subject: &Subject, traces: &Traces) -> Gone {
        let ring = &self.keyring;
        let mut gone = Gone { network: None, keys: HashSet::new() };
        let mut mailboxes = traces.mailboxes.clone();
        match subject {
            Subject::Network(net) => {
                gone.network = Some(*net);
                let of_host = |name: &DomainName| {
                    [Kind::ReverseName, Kind::Unconfirmed].map(|kind| ring.named(kind, name.as_str()))
                };
                gone.keys.extend(traces.hosts.iter().flat_map(of_host));
                let from_there =
                    |(sender, prefix): &(Address, Key)| mailbox_key(ring, sender, &prefix.to_bytes());
                gone.keys.extend(traces.senders.iter().map(from_there));
            }
            Subject::Mailbox(address) => drop(mailboxes.insert(address.clone())),
            Subject::Domain(domain) => {
                let mut domains = traces.domains.clone();
                domains.insert(domain.clone());
                let prefixes = self.prefixes();
                for name in domains.iter().map(DomainName::as_str) {
                    gone.keys.extend(NAMED.map(|kind| ring.named(kind, name)));
                    gone.keys.extend(prefixes.iter().map(|prefix| ring.sender_in(name, *prefix)));
                }
            }
        }
        if !mailboxes.is_empty() && gone.network.is_none() {
            let prefixes = self.prefixes();
            mailboxes.iter().for_each(|address| gone.keys.extend(mailbox_keys(ring, address, &prefixes)));
        }
        gone
    }

    /// Every prefix that something is held of.
    fn prefixes(&self) -> Vec<Key> {
        let mut prefixes = Vec::new();
        self.ledger.records.for_each(|key, _| {
            if key.kind() == Kind::Prefix as u8 {
                prefixes.push(*key);
            }
        });
        prefixes
    }
}

fn mailbox_keys(ring: &Keyring, address: &Address, prefixes: &[Key]) -> Vec<Key> {
    let from = prefixes.iter().map(|prefix| mailbox_key(ring, address, &prefix.to_bytes()));
    from.chain([mailbox_key(ring, address, b"verified")]).collect()
}

fn mailbox_key(ring: &Keyring, Address { local_part, domain }: &Address, place: &[u8]) -> Key {
    ring.mailbox(local_part, domain.as_str(), place)
}

/// Takes entries out of a table, and returns how many.
fn remove<V: Worth>(table: &Table<V>, gone: impl Fn(&Key, &V) -> bool) -> usize {
    let mut count = 0;
    for segment in 0..table.segments() {
        table.sweep(segment, |key, value| {
            let stays = !gone(key, value);
            count += usize::from(!stays);
            stays
        });
    }
    count
}

impl Key {
    /// The key as it is outside of any lane.
    fn without_lane(self) -> Self {
        // Kinds are below 16 and lanes above.
        const _: () = assert!((Kind::Internal as u8) < 16 && (Lane::Signed as u8) < 16);
        let lane = self.kind() >> 4;
        self.in_lane(lane)
    }

    /// The network that an address's, a prefix's or a network's key stands for.
    fn addresses(self) -> Option<IpNet> {
        let bytes = self.to_bytes();
        let [.., a, b, c, d, e, f, g, h] = bytes;
        let low = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let v4 = |shift: u32, length| net(IpAddr::from(((low << shift) as u32).to_be_bytes()), length);
        let v6 = |shift: u32, length| net(IpAddr::from((u128::from(low) << shift).to_be_bytes()), length);
        const ADDRESS: u8 = Kind::Address as u8;
        const PREFIX: u8 = Kind::Prefix as u8;
        const NETWORK: u8 = Kind::Network as u8;
        match (self.kind(), bytes[6], bytes[7]) {
            (ADDRESS, _, 4) => v4(0, 32),
            (ADDRESS, _, 6) => v6(64, 64),
            (PREFIX, _, 4) => v4(8, 24),
            (PREFIX, _, 6) => v6(80, 48),
            (NETWORK, 4, shift @ (16 | 24)) => v4(shift.into(), 32 - shift),
            (NETWORK, 6, 96) => v6(96, 32),
            _ => None,
        }
    }
}

fn net(address: IpAddr, length: u8) -> Option<IpNet> {
    IpNet::new(address, length).ok()
}

#[cfg(test)]
mod tests;
