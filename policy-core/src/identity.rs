//! Identities: what can have a reputation, and the chains they lean on.
//!
//! A key never needs the name behind it again: addresses stand in it plainly, names as a keyed hash, so
//! that a stranger cannot aim collisions and a state file does not list whom one writes with. A claim has
//! keys of its own kind: a forger neither spends nor stains the verified domain.

use crate::facts::{Facts, VerifiedBy};
use crate::name::DomainName;
use crate::presentation::{ReverseName, TraitSet};
use arrayvec::ArrayVec;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::net::IpAddr;

/// Most verified domains of one message that are looked at.
const MAX_VERIFIED: usize = 3;
/// Chains of one message: address, network, reverse name, HELO, claim, sender in prefix, signature, and the
/// verified ones.
pub(crate) const MAX_CHAINS: usize = 7 + MAX_VERIFIED;

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// An IPv4 address, or an IPv6 /64: what one host can choose from.
    Address = 1,
    /// An IPv4 /24 or an IPv6 /48.
    Prefix = 2,
    /// A forward-confirmed reverse name, or the organisational domain of one.
    ReverseName = 3,
    /// A HELO name.
    Helo = 4,
    /// A domain that SPF or DKIM verified, or its organisational domain.
    Verified = 5,
    /// A sender domain that nothing verified.
    Claimed = 6,
    /// A claimed sender domain seen from one prefix.
    SenderInPrefix = 7,
    /// An IPv4 /16 or an IPv6 /32: what one network operator has.
    Network = 8,
    /// The organisational domain of a signature that nothing verified.
    Signed = 9,
    /// Entries that are not identities: SMTP sessions and deferrals.
    Internal = 15,
}

impl Kind {
    /// The word for it in logs and explanations.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Prefix => "prefix",
            Self::ReverseName => "reverse name",
            Self::Helo => "HELO name",
            Self::Verified => "verified domain",
            Self::Claimed => "claimed sender domain",
            Self::SenderInPrefix => "sender domain from this prefix",
            Self::Network => "network",
            Self::Signed => "signature's domain",
            Self::Internal => "internal",
        }
    }
}

/// A key of the tables: 16 octets, the first of which is the [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(u64, u64);

impl Key {
    const fn tagged(kind: Kind, high: u64, low: u64) -> Self {
        Self((kind as u64) << 56 | high & 0x00ff_ffff_ffff_ffff, low)
    }

    /// The key's octets, for hashing it into another.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.0) << 64 | u128::from(self.1)).to_be_bytes()
    }

    /// The number of the [`Kind`] it was made with.
    pub(crate) const fn kind(&self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The same key in a table of lanes; lane 0 is the key itself.
    pub(crate) const fn in_lane(self, lane: u8) -> Self {
        Self(self.0 ^ (lane as u64) << 60, self.1)
    }

    /// One of `count` stripes, a power of two.
    pub(crate) const fn stripe(&self, count: usize) -> usize {
        // Fibonacci hashing: addresses differ in their low bits, names everywhere.
        let mixed = (self.0 ^ self.1.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as usize & (count - 1)
    }

    /// The key of an address: an IPv4 address by itself, an IPv6 address by its /64.
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::tagged(Kind::Address, 4, u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self::tagged(Kind::Address, 6, (v6.to_bits() >> 64) as u64),
        }
    }

    /// The key of the network around an address: IPv4 /16, IPv6 /32.
    pub fn network(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::tagged(Kind::Network, 4, u64::from(v4.to_bits() >> 16)),
            IpAddr::V6(v6) => Self::tagged(Kind::Network, 6, (v6.to_bits() >> 96) as u64),
        }
    }

    /// The key of the prefix around an address: IPv4 /24, IPv6 /48.
    pub fn prefix(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::tagged(Kind::Prefix, 4, u64::from(v4.to_bits() >> 8)),
            IpAddr::V6(v6) => Self::tagged(Kind::Prefix, 6, (v6.to_bits() >> 80) as u64),
        }
    }
}

/// The networks whose keys [`Key::address`] and [`Key::prefix`] are: for people to read.
pub fn networks_of(address: IpAddr) -> [IpNet; 2] {
    // The lengths are constants within each family's range, so `new_assert` cannot fail.
    match address.to_canonical() {
        IpAddr::V4(v4) => [32, 24].map(|len| IpNet::V4(Ipv4Net::new_assert(v4, len).trunc())),
        IpAddr::V6(v6) => [64, 48].map(|len| IpNet::V6(Ipv6Net::new_assert(v6, len).trunc())),
    }
}

/// Turns names into keys, with a secret that stays with the state.
#[derive(Clone)]
pub struct Keyring(SipHasher13);

impl Keyring {
    /// A keyring of a 16-octet secret. State written under one secret is read under the same.
    pub fn new(secret: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&secret))
    }

    fn hash(&self, kind: Kind, parts: &[&[u8]]) -> Key {
        let mut hasher = self.0;
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        let hash = hasher.finish128();
        Key::tagged(kind, hash.h1, hash.h2)
    }

    /// The key of a name of some kind.
    pub fn named(&self, kind: Kind, name: &str) -> Key {
        self.hash(kind, &[name.as_bytes()])
    }

    /// The key of a sender domain seen from the prefix of `address`.
    pub fn sender_in_prefix(&self, domain: &str, address: IpAddr) -> Key {
        let Key(high, low) = Key::prefix(address);
        self.hash(Kind::SenderInPrefix, &[domain.as_bytes(), &high.to_le_bytes(), &low.to_le_bytes()])
    }

    /// A key that is not an identity, made of arbitrary parts.
    pub(crate) fn internal(&self, parts: &[&[u8]]) -> Key {
        self.hash(Kind::Internal, parts)
    }

    /// 64 bits made of arbitrary parts: envelopes in the deferral book, recipients of a transaction.
    pub(crate) fn digest(&self, parts: &[&[u8]]) -> u64 {
        self.hash(Kind::Internal, parts).1
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring(secret)")
    }
}

/// A chain of identities: the specific one leans on the general one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What the specific key stands for.
    pub kind: Kind,
    /// Address, host name, or domain.
    pub specific: Key,
    /// Prefix or organisational domain; `None` when there is none, or it is the same.
    pub general: Option<Key>,
}

impl Chain {
    /// Its keys, the most specific first.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        std::iter::once(self.specific).chain(self.general)
    }
}

/// Every identity and trait of one client and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities {
    /// The chains; the network's is always the first.
    pub chains: ArrayVec<Chain, MAX_CHAINS>,
    /// How the client presents itself.
    pub traits: TraitSet,
    /// The domain that a retry from another address is known by: verified, or of a named reverse name.
    pub group: Option<Key>,
    /// The organisational domain that the sender address claims, verified or not, as a digest.
    pub sender: u64,
}

impl Identities {
    /// The identities of `facts`.
    pub fn of(facts: &Facts, keyring: &Keyring) -> Self {
        let traits = TraitSet::of(facts);
        let mut chains = ArrayVec::new();
        let address = facts.client.address;
        chains.push(Chain {
            kind: Kind::Address,
            specific: Key::address(address),
            general: Some(Key::prefix(address)),
        });
        chains.push(Chain { kind: Kind::Network, specific: Key::network(address), general: None });
        chains.extend(facts.client.name.as_ref().map(|name| names(keyring, Kind::ReverseName, name)));
        chains.extend(helo(facts).map(|helo| names(keyring, Kind::Helo, &helo)));
        verified(facts).for_each(|domain| chains.push(names(keyring, Kind::Verified, domain)));
        claims(facts, keyring, &mut chains);
        chains.extend(signed(facts, keyring));
        let group = group(&chains, traits.reverse_name);
        let sender = facts.envelope.sender.as_ref().and_then(|sender| sender.domain());
        let sender = sender.map_or("", organisational_or_whole);
        Self { chains, traits, group, sender: keyring.digest(&[b"sender", sender.as_bytes()]) }
    }

    /// The key of the client's address.
    pub fn address(&self) -> Key {
        self.chains[0].specific
    }

    /// The key of the prefix around the client's address.
    pub fn prefix(&self) -> Key {
        self.chains[0].general.unwrap_or(self.chains[0].specific)
    }

    /// The verified domains' chains.
    pub fn verified(&self) -> impl Iterator<Item = &Chain> {
        self.chains.iter().filter(|chain| chain.kind == Kind::Verified)
    }

    /// Every key, of every chain.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.chains.iter().flat_map(Chain::keys)
    }
}

fn organisational_or_whole(name: &DomainName) -> &str {
    name.organisational().unwrap_or(name.as_str())
}

fn names(keyring: &Keyring, kind: Kind, name: &DomainName) -> Chain {
    let general = name.organisational().filter(|&org| org != name.as_str());
    Chain {
        kind,
        specific: keyring.named(kind, name.as_str()),
        general: general.map(|org| keyring.named(kind, org)),
    }
}

/// The HELO name, unless it only repeats the reverse name or is an address literal (a trait says that).
fn helo(facts: &Facts) -> Option<DomainName> {
    let helo = DomainName::new(facts.client.helo.as_ref()?)?;
    (!helo.as_str().starts_with('[') && Some(&helo) != facts.client.name.as_ref()).then_some(helo)
}

/// The verified domains, DKIM's first (it survives forwarding), each once.
fn verified(facts: &Facts) -> impl Iterator<Item = &DomainName> {
    let of = |by| facts.message.verified.iter().filter(move |v| v.by == by).map(|v| &v.domain);
    let mut seen: ArrayVec<&DomainName, MAX_VERIFIED> = ArrayVec::new();
    for domain in of(VerifiedBy::Dkim).chain(of(VerifiedBy::Spf)) {
        if !seen.contains(&domain) && seen.try_push(domain).is_err() {
            break;
        }
    }
    seen.into_iter()
}

/// The sender's domain as a claim, alone and within this prefix, unless it is verified.
fn claims(facts: &Facts, keyring: &Keyring, chains: &mut ArrayVec<Chain, MAX_CHAINS>) {
    let Some(domain) = facts.envelope.sender.as_ref().and_then(|sender| sender.domain()) else { return };
    let sender = organisational_or_whole(domain);
    if verified(facts).any(|v| organisational_or_whole(v) == sender) {
        return;
    }
    let alone = |kind, specific| Chain { kind, specific, general: None };
    chains.push(alone(Kind::Claimed, keyring.named(Kind::Claimed, sender)));
    let pair = keyring.sender_in_prefix(sender, facts.client.address);
    chains.push(alone(Kind::SenderInPrefix, pair));
}

/// The signature's domain as a claim, unless it is verified.
fn signed(facts: &Facts, keyring: &Keyring) -> Option<Chain> {
    let domain = organisational_or_whole(facts.message.signed.as_ref()?);
    let verified = verified(facts).any(|v| organisational_or_whole(v) == domain);
    let specific = keyring.named(Kind::Signed, domain);
    (!verified).then_some(Chain { kind: Kind::Signed, specific, general: None })
}

/// What a retry from a sister host is known by. A generic reverse name belongs to an access network or a
/// hosting company, whose customers are strangers to each other.
fn group(chains: &[Chain], reverse_name: ReverseName) -> Option<Key> {
    let widest = |kind| chains.iter().find(|c| c.kind == kind).map(|c| c.general.unwrap_or(c.specific));
    let named = reverse_name == ReverseName::Named;
    widest(Kind::Verified).or_else(|| widest(Kind::ReverseName).filter(|_| named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{VerifiedBy, VerifiedDomain};
    use crate::fixtures::facts;
    use crate::name::Sender;

    fn ring() -> Keyring {
        Keyring::new(*b"0123456789abcdef")
    }

    #[test]
    fn addresses_are_keyed_by_what_one_host_can_choose() {
        let key = |s: &str| Key::address(s.parse().unwrap());
        let prefix = |s: &str| Key::prefix(s.parse().unwrap());
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.254"));
        assert_eq!(prefix("2001:db8:1:2::1"), prefix("2001:db8:1:ffff::1"));
        assert_ne!(prefix("2001:db8:1::1"), prefix("2001:db8:2::1"));
    }

    #[test]
    fn a_claim_never_shares_a_key_with_the_verified_domain() {
        let mut facts = facts("192.0.2.1");
        facts.envelope.sender = Sender::new("a@bank.example");
        let claimed = Identities::of(&facts, &ring());
        facts.message.verified =
            vec![VerifiedDomain { domain: DomainName::new("bank.example").unwrap(), by: VerifiedBy::Spf }];
        let verified = Identities::of(&facts, &ring());
        assert!(claimed.verified().next().is_none());
        let verified_key = verified.verified().next().unwrap().specific;
        assert!(claimed.keys().all(|key| key != verified_key));
        assert!(!verified.chains.iter().any(|c| c.kind == Kind::Claimed));
        assert_eq!(verified.group, Some(verified_key));
    }

    #[test]
    fn a_generic_reverse_name_is_no_group() {
        let mut facts = facts("192.0.2.1");
        facts.client.name = DomainName::new("host-192-0-2-1.isp.example");
        facts.client.reverse_name = facts.client.name.clone();
        assert_eq!(Identities::of(&facts, &ring()).group, None);
        facts.client.name = DomainName::new("mail.corp.example");
        facts.client.reverse_name = facts.client.name.clone();
        assert!(Identities::of(&facts, &ring()).group.is_some());
    }

    #[test]
    fn many_verified_domains_are_bounded() {
        let mut facts = facts("192.0.2.1");
        facts.message.verified = (0..50)
            .map(|n| VerifiedDomain {
                domain: DomainName::new(&format!("d{n}.example")).unwrap(),
                by: VerifiedBy::Dkim,
            })
            .collect();
        assert_eq!(Identities::of(&facts, &ring()).verified().count(), MAX_VERIFIED);
    }
}
