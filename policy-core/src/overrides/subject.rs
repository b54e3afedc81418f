//! Whom an override is about, as an operator writes it down.

use crate::name::{DomainName, Mailbox};
use crate::networks::{canonical, canonical_network};
use compact_str::CompactString;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use thiserror::Error;

/// Wider networks than these are whole continents; they need to be meant.
const WIDEST: (u8, u8) = (8, 19);
/// As much of what was written as an error repeats.
const SHOWN: usize = 80;

/// Whom an override is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Clients with an address in this network; one address is a network of its own.
    Network(IpNet),
    /// Mail of this domain and of what lies below it.
    Domain(DomainName),
    /// Mail of this sender.
    Mailbox(Address),
}

/// The address of a mailbox, the local part in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub(crate) local_part: CompactString,
    pub(crate) domain: DomainName,
}

/// Why a text names nobody that an override can be about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// It is none of these.
    #[error(
        "{0:?} is neither an address, a network, a domain nor a mailbox (192.0.2.1, 192.0.2.0/24, example.com, user@example.com)"
    )]
    Unknown(String),
    /// A network with bits behind its prefix length.
    #[error("{0:?} has bits set behind its prefix length: {1} or {2}?")]
    HostBits(String, IpNet, IpAddr),
    /// A network that holds a large part of all addresses.
    #[error(
        "{0} is a large part of all addresses; say --force (or \"force\": true) if that is what you mean"
    )]
    TooWide(IpNet),
    /// A domain that others register their domains under.
    #[error(
        "{0} is no domain of one organisation, others have theirs below it; say --force (or \"force\": true) if you mean all of them"
    )]
    Suffix(DomainName),
}

impl Subject {
    /// The same, unless it is so wide that it is hardly meant.
    ///
    /// # Errors
    ///
    /// [`SubjectError::TooWide`] and [`SubjectError::Suffix`].
    pub fn narrow(self) -> Result<Self, SubjectError> {
        match &self {
            Self::Network(net) if net.prefix_len() < widest(net) => Err(SubjectError::TooWide(*net)),
            Self::Domain(domain) if domain.organisational().is_none() => {
                Err(SubjectError::Suffix(domain.clone()))
            }
            _ => Ok(self),
        }
    }

    /// How specific it is: of two that match, the greater speaks. A sender is more than a host, since a host sends
    /// for many; a domain is more than a network, in which there are many; a longer name or prefix is more than a
    /// shorter one.
    pub(crate) fn rank(&self) -> (u8, usize) {
        match self {
            Self::Mailbox(_) => (3, 0),
            Self::Network(net) if net.prefix_len() == net.max_prefix_len() => (2, 0),
            Self::Domain(domain) => (1, domain.as_str().split('.').count()),
            Self::Network(net) => (0, net.prefix_len().into()),
        }
    }
}

const fn widest(net: &IpNet) -> u8 {
    match net {
        IpNet::V4(_) => WIDEST.0,
        IpNet::V6(_) => WIDEST.1,
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let text = text.trim();
        let unknown = || SubjectError::Unknown(text.chars().take(SHOWN).collect());
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Network(canonical(address).into()));
        }
        if bare.contains('/') {
            return network(bare).ok_or_else(unknown)?.map(Self::Network);
        }
        if text.contains('@') {
            return mailbox(text).map(Self::Mailbox).ok_or_else(unknown);
        }
        DomainName::proper(text).map(Self::Domain).ok_or_else(unknown)
    }
}

fn network(text: &str) -> Option<Result<IpNet, SubjectError>> {
    let net: IpNet = text.parse().ok()?;
    if net != net.trunc() {
        return Some(Err(SubjectError::HostBits(text.to_owned(), net.trunc(), net.addr())));
    }
    Some(Ok(canonical_network(net)))
}

fn mailbox(text: &str) -> Option<Address> {
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    let mailbox = Mailbox::new(text)?;
    let printable = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let domain = DomainName::proper(mailbox.domain.as_ref()?.as_str())?;
    let local_part = mailbox.folded_local_part();
    (printable && !local_part.is_empty()).then_some(Address { local_part, domain })
}

impl fmt::Display for Subject {
    /// As [`Subject::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Network(net) => net.fmt(f),
            Self::Domain(domain) => domain.fmt(f),
            Self::Mailbox(Address { local_part, domain }) => write!(f, "{local_part}@{domain}"),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<String, SubjectError> {
        text.parse::<Subject>().and_then(Subject::narrow).map(|subject| subject.to_string())
    }

    #[test]
    fn what_an_operator_may_write() {
        for (text, read_as) in [
            ("192.0.2.7", "192.0.2.7"),
            ("[192.0.2.7]", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("64:ff9b::c000:200/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.7/128", "192.0.2.7"),
            (" Mail.Example.COM. ", "mail.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("<News+1@Example.com>", "news+1@example.com"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(read_as), "{text}");
        }
    }

    #[test]
    fn nonsense_is_told() {
        for text in
            ["", " ", "192.0.2", "192.0.2.300", "1.2.3.4/33", "a b.example", "@example.com", "a@", "-/-"]
        {
            assert!(matches!(read(text), Err(SubjectError::Unknown(_))), "{text}: {:?}", read(text));
        }
        let told = |text: &str| read(text).unwrap_err().to_string();
        assert!(told("192.0.2.7/24").contains("192.0.2.0/24 or 192.0.2.7?"));
        assert!(told("64:ff9b::/96").contains("--force"), "all of IPv4");
        assert!(told("0.0.0.0/0").contains("--force") && told("::/0").contains("--force"));
        assert!(told("com").contains("--force") && told("co.uk").contains("co.uk is no domain"));
        assert_eq!("com".parse::<Subject>().unwrap().to_string(), "com", "with force");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_reads_again(text in "\\PC{0,80}|[a-z0-9.@/:-]{0,40}") {
            if let Ok(subject) = text.parse::<Subject>() {
                prop_assert_eq!(subject.to_string().parse::<Subject>(), Ok(subject));
            }
        }
    }
}
