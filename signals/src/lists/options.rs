//! What a list is, and what its answers mean.

use compact_str::CompactString;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::time::Duration;
use thiserror::Error;

/// Zones that one mail may be looked up in.
pub const MAX_LISTS: usize = 20;
/// Entries of one table of codes.
const MAX_CODES: usize = 256;

/// What a list lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Addresses that speak against a client.
    Address,
    /// Domains that speak against a name.
    Domain,
    /// Addresses that speak for a client.
    Allow,
}

/// What of a client or a message is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The client's address.
    Client,
    /// The client's reverse name.
    ReverseName,
    /// The name that the client greets with.
    Helo,
    /// The domain of the envelope sender.
    Sender,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// Listed, with this weight; that of the list is a factor of it.
    Listed(f32),
    /// A policy listing: the address is one that is not meant to send mail directly. A trait, no crime.
    Policy,
    /// Known for good, with this weight; that of the list is a factor of it.
    Allowed(f32),
    /// No answer but a complaint: it says nothing of what was asked.
    Error,
}

/// Answers within `net` mean `meaning`. The most specific of several counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// Which answers.
    pub net: Ipv4Net,
    /// What they mean.
    pub meaning: Meaning,
    /// What the list calls it; empty if nothing.
    pub label: CompactString,
}

impl Code {
    /// Answers within `octets`/`length`.
    pub fn new(octets: [u8; 4], length: u8, meaning: Meaning, label: &str) -> Self {
        // A length beyond 32 is taken for a single address.
        let net =
            Ipv4Net::new(octets.into(), length.min(32)).unwrap_or(Ipv4Net::from(Ipv4Addr::from(octets)));
        Self { net: net.trunc(), meaning, label: label.into() }
    }
}

/// One list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListOptions {
    /// The zone, such as `zen.spamhaus.org`.
    pub zone: CompactString,
    /// What it is called wherever it is shown; the zone unless it is set. A zone may have a customer's key in it.
    pub name: CompactString,
    /// What it lists.
    pub kind: Kind,
    /// How much its answers weigh.
    pub weight: f32,
    /// What its answers mean. One that no entry covers means nothing.
    pub codes: Vec<Code>,
    /// Whether it lists IPv6 addresses.
    pub ipv6: bool,
    /// What is looked up in it.
    pub applies_to: Vec<Role>,
    /// For a list of domains, the one that is always listed and the one that never is (RFC 5782 section 5).
    pub test_domains: (CompactString, CompactString),
}

impl ListOptions {
    /// A list without codes, which so far says nothing.
    pub fn new(zone: &str, kind: Kind) -> Self {
        let applies_to = match kind {
            Kind::Address | Kind::Allow => vec![Role::Client],
            Kind::Domain => vec![Role::ReverseName, Role::Helo, Role::Sender],
        };
        Self {
            zone: zone.into(),
            name: zone.into(),
            kind,
            weight: 1.0,
            codes: Vec::new(),
            ipv6: false,
            applies_to,
            test_domains: ("test".into(), "invalid".into()),
        }
    }

    /// The same with these codes.
    pub fn with_codes(mut self, codes: impl IntoIterator<Item = Code>) -> Self {
        self.codes = codes.into_iter().collect();
        self
    }

    pub(super) fn check(&self) -> Result<(), ListError> {
        let name = || self.name.clone();
        let is_weight = |weight: f32| weight.is_finite() && weight >= 0.0;
        let of_code = |code: &Code| match code.meaning {
            Meaning::Listed(weight) | Meaning::Allowed(weight) => is_weight(weight),
            Meaning::Policy | Meaning::Error => true,
        };
        if !is_weight(self.weight) || !self.codes.iter().all(of_code) {
            return Err(ListError::Weight(name()));
        }
        if self.codes.is_empty() || self.codes.len() > MAX_CODES {
            return Err(ListError::Codes(name()));
        }
        let fits = |role: &Role| (*role == Role::Client) != (self.kind == Kind::Domain);
        if self.applies_to.is_empty() || !self.applies_to.iter().all(fits) {
            return Err(ListError::Roles(name()));
        }
        Ok(())
    }
}

/// How lists are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// How often the test points of a list that is in order are asked.
    pub every: Duration,
    /// How soon those of one that is not are asked again; from then on twice as long each time.
    pub first_wait: Duration,
    /// At most so long.
    pub longest_wait: Duration,
    /// When a list that does not answer is given up for a while.
    pub breaker: crate::resolver::BreakerOptions,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3600),
            first_wait: Duration::from_secs(10),
            longest_wait: Duration::from_secs(3600),
            // A small server does not ask often: eight questions may be minutes apart.
            breaker: crate::resolver::BreakerOptions {
                within: Duration::from_secs(600),
                ..crate::resolver::BreakerOptions::default()
            },
        }
    }
}

/// Why lists cannot be used as they are configured, each with the name of the list.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    /// No domain name, or one too long to put an address before it.
    #[error("list {0:?}: not the name of a zone")]
    Zone(CompactString),
    /// The zone or the name comes twice.
    #[error("list {0:?}: another list has its zone or its name")]
    Twice(CompactString),
    /// A weight is negative or no number.
    #[error("list {0:?}: a weight must be a number from 0")]
    Weight(CompactString),
    /// It has no codes, so that no answer means anything, or too many.
    #[error("list {0:?}: needs from 1 to {MAX_CODES} codes")]
    Codes(CompactString),
    /// Addresses are looked up in a list of domains, or domains in one of addresses.
    #[error("list {0:?}: does not list what it is to be asked for")]
    Roles(CompactString),
    /// A test domain is no name.
    #[error("list {0:?}: a test domain is no name")]
    TestDomain(CompactString),
    /// More than [`MAX_LISTS`].
    #[error("{0} lists are too many, the most is {MAX_LISTS}")]
    TooMany(usize),
    /// They must be started inside the runtime that watches them.
    #[error("not inside a tokio runtime")]
    NoRuntime,
}
