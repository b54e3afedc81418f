//! Identities: what can have a reputation, and the chains they lean on.
//!
//! A chain leads from the most specific key to ever wider ones, each of which says what to think of the one
//! before while that is new.
//!
//! A key never needs the name behind it again: addresses stand in it plainly, names as a keyed hash, so
//! that a stranger cannot aim collisions and a state file does not list whom one writes with. A claim has
//! keys of its own kind: a forger neither spends nor stains the verified domain.

use crate::facts::Facts;
use crate::name::{Mailbox, Sender};
use crate::names::{MAX_VERIFIED, Name, Names};
use crate::presentation::{ReverseName, TraitSet};
use crate::shape::pattern;
use arrayvec::ArrayVec;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::net::IpAddr;

/// Chains of one message: network, reverse name, its pattern, HELO, claim, signature, sender, and the
/// verified ones.
pub(crate) const MAX_CHAINS: usize = 7 + MAX_VERIFIED;
/// Keys of one chain: an IPv4 address, its /24, /16 and /8.
pub(crate) const MAX_LEVELS: usize = 4;

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
    /// The organisational domain of a HELO name.
    Helo = 4,
    /// A domain that SPF or DKIM verified, or its organisational domain.
    Verified = 5,
    /// A sender domain that nothing verified.
    Claimed = 6,
    /// A claimed sender domain seen from one prefix.
    SenderInPrefix = 7,
    /// A sender's mailbox: seen from one prefix, or of a verified domain.
    Mailbox = 8,
    /// The domain of a signature that nothing verified.
    Signed = 9,
    /// A reverse name by PTR alone, which anybody can write, or the domains around it.
    Unconfirmed = 10,
    /// The pattern of a reverse name.
    Pattern = 11,
    /// A network wider than a prefix: an IPv4 /16 or /8, an IPv6 /32, an operator's.
    Network = 12,
    /// A top-level domain of reverse names or of HELO names.
    TopLevel = 13,
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
            Self::Mailbox => "sender",
            Self::Signed => "signature's domain",
            Self::Unconfirmed => "unconfirmed reverse name",
            Self::Pattern => "pattern of the reverse name",
            Self::Network => "network",
            Self::TopLevel => "top-level domain",
            Self::Internal => "internal",
        }
    }
}

/// A key of the tables: 16 octets, the first of which is the [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64, u64);

impl Key {
    const fn tagged(kind: Kind, high: u64, low: u64) -> Self {
        Self((kind as u64) << 56 | high & 0x00ff_ffff_ffff_ffff, low)
    }

    /// The key's octets, for hashing it into another.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.0) << 64 | u128::from(self.1)).to_be_bytes()
    }

    /// The key of these octets.
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self((both >> 64) as u64, both as u64)
    }

    /// Whether it stands for an address or a network, and so means the same under any secret.
    pub(crate) const fn is_plain(&self) -> bool {
        const ADDRESS: u8 = Kind::Address as u8;
        const PREFIX: u8 = Kind::Prefix as u8;
        const NETWORK: u8 = Kind::Network as u8;
        matches!(self.kind(), ADDRESS | PREFIX | NETWORK)
    }

    /// The number of the [`Kind`] it was made with.
    pub(crate) const fn kind(&self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The same key in a table of lanes; lane 0 is the key itself.
    pub(crate) const fn in_lane(self, lane: u8) -> Self {
        Self(self.0 ^ (lane as u64) << 60, self.1)
    }

    /// The host that an address's key stands for: an IPv4 address, or an IPv6 /64.
    pub(crate) fn host(&self) -> Option<IpNet> {
        const ADDRESS: u8 = Kind::Address as u8;
        let address = match (self.kind(), self.0 & 0xff) {
            (ADDRESS, 4) => IpAddr::V4(u32::try_from(self.1).ok()?.into()),
            (ADDRESS, 6) => IpAddr::V6((u128::from(self.1) << 64).into()),
            _ => return None,
        };
        Some(networks_of(address)[0])
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

    /// The key of the prefix around an address: IPv4 /24, IPv6 /48.
    pub fn prefix(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::tagged(Kind::Prefix, 4, u64::from(v4.to_bits() >> 8)),
            IpAddr::V6(v6) => Self::tagged(Kind::Prefix, 6, (v6.to_bits() >> 80) as u64),
        }
    }

    /// The keys of the networks around a prefix: IPv4 /16 and /8, IPv6 /32.
    fn networks(address: IpAddr) -> ArrayVec<Self, 2> {
        match address.to_canonical() {
            IpAddr::V4(v4) => [16, 24].map(|shift| Self::network(4, shift, v4.to_bits() >> shift)).into(),
            IpAddr::V6(v6) => std::iter::once(Self::network(6, 96, (v6.to_bits() >> 96) as u32)).collect(),
        }
    }

    /// The key of an autonomous system. No family of addresses has the number 1.
    fn operator(number: u32) -> Self {
        Self::network(1, 0, number)
    }

    fn network(family: u64, shift: u64, bits: u32) -> Self {
        Self::tagged(Kind::Network, family << 8 | shift, u64::from(bits))
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

/// A recipient as a keyed hash: who holds it can tell whether it is the same, and not whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecipientHash(pub(crate) u64);

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
        self.sender_in(domain, Key::prefix(address))
    }

    /// The same, of the prefix that a key stands for.
    pub(crate) fn sender_in(&self, domain: &str, prefix: Key) -> Key {
        let Key(high, low) = prefix;
        self.hash(Kind::SenderInPrefix, &[domain.as_bytes(), &high.to_le_bytes(), &low.to_le_bytes()])
    }

    /// The key of a sender's mailbox: at a prefix, given by its key's octets, or `verified`.
    pub(crate) fn mailbox(&self, local_part: &str, domain: &str, place: &[u8]) -> Key {
        self.hash(Kind::Mailbox, &[local_part.as_bytes(), domain.as_bytes(), place])
    }

    /// A key that is not an identity, made of arbitrary parts.
    pub(crate) fn internal(&self, parts: &[&[u8]]) -> Key {
        self.hash(Kind::Internal, parts)
    }

    /// The key of a mailbox whose domain is verified.
    pub(crate) fn verified_mailbox(&self, mailbox: &Mailbox) -> Key {
        let domain = mailbox.domain.as_ref().map_or("", |domain| domain.as_str());
        self.mailbox(&mailbox.folded_local_part(), domain, b"verified")
    }

    /// A recipient, told from others and not known.
    pub(crate) fn recipient(&self, recipient: &Mailbox) -> RecipientHash {
        let domain = recipient.domain.as_ref().map_or("", |domain| domain.as_str());
        let local_part = recipient.folded_local_part();
        RecipientHash(self.digest(&[b"recipient", local_part.as_bytes(), domain.as_bytes()]))
    }

    /// 128 bits for a purpose, from which the secret cannot be told.
    pub(crate) fn derive(&self, purpose: &[u8], part: u8) -> [u8; 16] {
        let mut hasher = self.0;
        hasher.write(b"derived key");
        hasher.write_u8(part);
        hasher.write(purpose);
        let hash = hasher.finish128();
        (u128::from(hash.h1) << 64 | u128::from(hash.h2)).to_be_bytes()
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

/// A chain of identities: each leans on the next wider one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What the most specific key stands for.
    pub kind: Kind,
    /// Its keys, the most specific first; never empty.
    levels: ArrayVec<Key, MAX_LEVELS>,
    /// How many of the widest belong to another chain, which books on them.
    borrowed: usize,
}

impl Chain {
    fn new(kind: Kind, levels: impl IntoIterator<Item = Key>) -> Self {
        Self { kind, levels: levels.into_iter().take(MAX_LEVELS).collect(), borrowed: 0 }
    }

    /// A chain as it was, of keys that were written down; `None` when they make none.
    pub(crate) fn carried(kind: Kind, levels: &[Key], borrowed: usize) -> Option<Self> {
        let sane = (1..=MAX_LEVELS).contains(&levels.len()) && borrowed < levels.len();
        sane.then(|| Self { borrowed, ..Self::new(kind, levels.iter().copied()) })
    }

    /// How many of the widest keys belong to another chain.
    pub(crate) const fn borrowed(&self) -> usize {
        self.borrowed
    }

    /// Whether a verification stands behind any of its keys.
    fn is_verified(&self) -> bool {
        self.levels.iter().any(|key| key.kind() == Kind::Verified as u8)
    }

    /// The most specific key.
    pub fn specific(&self) -> Key {
        self.levels[0]
    }

    /// The widest key that still stands for somebody: a prefix or an organisational domain, or the specific
    /// key when there is none.
    pub fn general(&self) -> Key {
        self.levels[self.general_level()]
    }

    /// The place of [`Chain::general`] among the levels.
    pub(crate) fn general_level(&self) -> usize {
        let everybody = [Kind::Network as u8, Kind::TopLevel as u8];
        self.levels.iter().rposition(|key| !everybody.contains(&key.kind())).unwrap_or(0)
    }

    /// All keys, the most specific first.
    pub fn levels(&self) -> &[Key] {
        &self.levels
    }

    /// The keys that evidence is booked on.
    fn own(&self) -> &[Key] {
        &self.levels[..self.levels.len() - self.borrowed]
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
        let helo = Names::helo(facts);
        let names = Names::of(facts, helo.as_ref());
        let traits = TraitSet::of_names(facts, &names);
        let mut chains = ArrayVec::new();
        chains.push(network(facts));
        chains.extend(reverse_name(facts, &names, keyring));
        chains.extend(helo_of_its_own(&names).map(|helo| helo_chain(helo, keyring)));
        chains.extend(names.verified.iter().map(|&name| verified(name, keyring)));
        let sender = names.sender.map_or("", Name::widest);
        let verified_sender = names.verified.iter().any(|name| name.widest() == sender);
        if !sender.is_empty() && !verified_sender {
            chains.push(Chain::new(Kind::Claimed, [keyring.named(Kind::Claimed, sender)]));
        }
        chains.extend(signed(facts, &names, keyring));
        chains.extend(mailbox(facts, sender, verified_sender, keyring));
        let group = group(&chains, traits.reverse_name());
        Self { chains, traits, group, sender: keyring.digest(&[b"sender", sender.as_bytes()]) }
    }

    /// The key of the client's address.
    pub fn address(&self) -> Key {
        self.chains[0].specific()
    }

    /// The key of the prefix around the client's address.
    pub fn prefix(&self) -> Key {
        self.chains[0].general()
    }

    /// The verified domains' chains.
    pub fn verified(&self) -> impl Iterator<Item = &Chain> {
        self.chains.iter().filter(|chain| chain.kind == Kind::Verified)
    }

    /// Every key that evidence is booked on, each once.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.chains.iter().flat_map(Chain::own).copied()
    }

    /// The same, each with whether a verification stands behind it.
    pub(crate) fn keys_by_proof(&self) -> impl Iterator<Item = (Key, bool)> {
        let chains = self.chains.iter().map(|chain| (chain.own(), chain.is_verified()));
        chains.flat_map(|(keys, verified)| keys.iter().map(move |key| (*key, verified)))
    }
}

/// The address and the networks around it; the widest is the network's operator, where that is known.
fn network(facts: &Facts) -> Chain {
    let address = facts.client.address;
    let own = [Key::address(address), Key::prefix(address)].into_iter();
    let mut levels: ArrayVec<Key, MAX_LEVELS> = own.chain(Key::networks(address)).collect();
    if let Some(operator) = facts.findings.operator.as_ref().filter(|operator| operator.number != 0) {
        levels.truncate(MAX_LEVELS - 1);
        levels.push(Key::operator(operator.number));
    }
    Chain { kind: Kind::Address, levels, borrowed: 0 }
}

/// The reverse name's chain, and its pattern's: confirmed, or as a claim of its own.
fn reverse_name<'a>(facts: &'a Facts, names: &Names<'a>, keyring: &Keyring) -> ArrayVec<Chain, 2> {
    let unconfirmed = || facts.client.reverse_name.as_ref().map(|name| Name::new(name, &[]));
    let (kind, name) = match names.host {
        Some(host) => (Kind::ReverseName, Some(host)),
        None => (Kind::Unconfirmed, unconfirmed()),
    };
    let text = name.map_or("", |name| name.whole.as_str());
    let mut chains = ArrayVec::new();
    if let Some(name) = name {
        let whole = keyring.named(kind, text);
        chains.push(Chain::new(kind, std::iter::once(whole).chain(domains(kind, name, text, keyring))));
    }
    chains.push(Chain::new(Kind::Pattern, [keyring.named(Kind::Pattern, &pattern(text))]));
    chains
}

/// Keys of the organisational domain, unless it is `but`, and of the top-level domain.
fn domains(kind: Kind, name: Name<'_>, but: &str, keyring: &Keyring) -> impl Iterator<Item = Key> {
    let top = name.whole.as_str().rsplit('.').next().filter(|top| *top != name.widest());
    let organisational = Some(name.widest()).filter(|domain| *domain != but);
    let top = top.map(|top| keyring.hash(Kind::TopLevel, &[kind.word().as_bytes(), top.as_bytes()]));
    organisational.map(|domain| keyring.named(kind, domain)).into_iter().chain(top)
}

fn helo_chain(helo: Name<'_>, keyring: &Keyring) -> Chain {
    Chain::new(Kind::Helo, domains(Kind::Helo, helo, "", keyring))
}

/// The HELO name, unless it only repeats the reverse name or is an address (a trait says that).
fn helo_of_its_own<'a>(names: &Names<'a>) -> Option<Name<'a>> {
    let repeats = |helo: &Name<'_>| names.host.is_some_and(|host| host.whole == helo.whole);
    names.helo.filter(|helo| !helo.is_literal() && !repeats(helo))
}

fn verified(name: Name<'_>, keyring: &Keyring) -> Chain {
    let (whole, organisational) = (name.whole.as_str(), name.widest());
    let general = Some(organisational).filter(|domain| *domain != whole);
    let levels = std::iter::once(whole).chain(general);
    Chain::new(Kind::Verified, levels.map(|domain| keyring.named(Kind::Verified, domain)))
}

fn signed(facts: &Facts, names: &Names<'_>, keyring: &Keyring) -> Option<Chain> {
    let signed = Name::new(facts.message.signed.as_ref()?, &[names.sender]);
    let verified = names.verified.iter().any(|name| name.widest() == signed.widest());
    let chain = || Chain::new(Kind::Signed, [keyring.named(Kind::Signed, signed.widest())]);
    (!verified).then(chain)
}

/// The sender's mailbox. One of a verified domain is known from anywhere and leans on that domain; any other
/// only from the prefix it was seen from, and leans on its domain there, then anywhere.
fn mailbox(facts: &Facts, domain: &str, verified: bool, keyring: &Keyring) -> Option<Chain> {
    let prefix = Key::prefix(facts.client.address).to_bytes();
    let Some(Sender::Mailbox(mailbox)) = &facts.envelope.sender else {
        let null = || Chain::new(Kind::Mailbox, [keyring.hash(Kind::Mailbox, &[b"<>", &prefix])]);
        return facts.envelope.sender.as_ref().map(|_| null());
    };
    let whole = mailbox.domain.as_ref().map_or("", |domain| domain.as_str());
    let local_part = mailbox.folded_local_part();
    let place: &[u8] = if verified { b"verified" } else { &prefix };
    let own = keyring.mailbox(&local_part, whole, place);
    if verified {
        let levels = [own, keyring.named(Kind::Verified, domain)];
        return Some(Chain { borrowed: 1, ..Chain::new(Kind::Mailbox, levels) });
    }
    let in_prefix = keyring.sender_in_prefix(domain, facts.client.address);
    let claim = Some(domain).filter(|domain| !domain.is_empty());
    let claim = claim.map(|domain| keyring.named(Kind::Claimed, domain));
    let borrowed = usize::from(claim.is_some());
    Some(Chain { borrowed, ..Chain::new(Kind::Mailbox, [own, in_prefix].into_iter().chain(claim)) })
}

/// What a retry from a sister host is known by. A generic reverse name belongs to an access network or a
/// hosting company, whose customers are strangers to each other.
fn group(chains: &[Chain], reverse_name: ReverseName) -> Option<Key> {
    let widest = |kind| chains.iter().find(|chain| chain.kind == kind).map(Chain::general);
    let named = reverse_name == ReverseName::Named;
    widest(Kind::Verified).or_else(|| widest(Kind::ReverseName).filter(|_| named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{VerifiedBy, VerifiedDomain};
    use crate::fixtures::facts;
    use crate::name::DomainName;

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
    fn an_addresss_key_tells_the_host() {
        let host = |s: &str| Key::address(s.parse().unwrap()).host().map(|host| host.to_string());
        assert_eq!(host("192.0.2.1").as_deref(), Some("192.0.2.1/32"));
        assert_eq!(host("2001:db8:1:2::9").as_deref(), Some("2001:db8:1:2::/64"));
        assert_eq!(Key::prefix("192.0.2.1".parse().unwrap()).host(), None);
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
        let verified_key = verified.verified().next().unwrap().specific();
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
