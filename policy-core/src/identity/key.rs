//! Keys: what stands in the tables for an address, a network or a name.
//!
//! A key never needs the name behind it again: addresses stand in it plainly, names as a keyed hash, so
//! that a stranger cannot aim collisions and a state file does not list whom one writes with.

use crate::local_part::lasting;
use crate::name::Mailbox;
use crate::networks::canonical;
use arrayvec::ArrayVec;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;

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
        match canonical(address) {
            IpAddr::V4(v4) => Self::tagged(Kind::Address, 4, u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self::tagged(Kind::Address, 6, (v6.to_bits() >> 64) as u64),
        }
    }

    /// The key of the prefix around an address: IPv4 /24, IPv6 /48.
    pub fn prefix(address: IpAddr) -> Self {
        match canonical(address) {
            IpAddr::V4(v4) => Self::tagged(Kind::Prefix, 4, u64::from(v4.to_bits() >> 8)),
            IpAddr::V6(v6) => Self::tagged(Kind::Prefix, 6, (v6.to_bits() >> 80) as u64),
        }
    }

    /// The key of what is remembered of a network: an IPv4 /32, /24, /16 or /8, an IPv6 /48, /32, or /64 and longer.
    pub(crate) fn of_network(net: IpNet) -> Option<Self> {
        let networks = Self::networks(net.addr());
        match (net, net.prefix_len()) {
            (IpNet::V4(_), 32) | (IpNet::V6(_), 64..) => Some(Self::address(net.addr())),
            (IpNet::V4(_), 24) | (IpNet::V6(_), 48) => Some(Self::prefix(net.addr())),
            (IpNet::V4(_), 16) | (IpNet::V6(_), 32) => networks.first().copied(),
            (IpNet::V4(_), 8) => networks.get(1).copied(),
            _ => None,
        }
    }

    /// The keys of the networks around a prefix: IPv4 /16 and /8, IPv6 /32.
    pub(super) fn networks(address: IpAddr) -> ArrayVec<Self, 2> {
        match canonical(address) {
            IpAddr::V4(v4) => [16, 24].map(|shift| Self::network(4, shift, v4.to_bits() >> shift)).into(),
            IpAddr::V6(v6) => std::iter::once(Self::network(6, 96, (v6.to_bits() >> 96) as u32)).collect(),
        }
    }

    /// The key of an autonomous system. No family of addresses has the number 1.
    pub(super) fn operator(number: u32) -> Self {
        Self::network(1, 0, number)
    }

    fn network(family: u64, shift: u64, bits: u32) -> Self {
        Self::tagged(Kind::Network, family << 8 | shift, u64::from(bits))
    }
}

impl fmt::Display for Key {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.to_bytes()))
    }
}

/// The networks whose keys [`Key::address`] and [`Key::prefix`] are: for people to read.
pub fn networks_of(address: IpAddr) -> [IpNet; 2] {
    // The lengths are constants within each family's range, so `new_assert` cannot fail.
    match canonical(address) {
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

    pub(super) fn hash(&self, kind: Kind, parts: &[&[u8]]) -> Key {
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

    /// The key of a sender's mailbox, by what lasts of it: at a prefix, given by its key's octets, or `verified`.
    pub(crate) fn mailbox(&self, local_part: &str, domain: &str, place: &[u8]) -> Key {
        self.hash(Kind::Mailbox, &[lasting(local_part).as_bytes(), domain.as_bytes(), place])
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

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
