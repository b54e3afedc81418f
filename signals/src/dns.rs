//! Questions to the DNS, and what can come of one.
//!
//! Whoever asks depends on [`Dns`] alone, so that tests can script it. The real one is a resolver that caches,
//! merges, bounds and gives up in time.

pub use hickory_resolver::proto::rr::Name;
use policy_core::facts::SessionId;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Why a question has no records for an answer. The four that the DNS gives are four different things: the
/// first two are answers, the others are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Failure {
    /// NXDOMAIN: there is no such name.
    #[error("no such name")]
    NoName,
    /// NOERROR without a record of the type asked for.
    #[error("no such record")]
    NoData,
    /// SERVFAIL, REFUSED, or an answer that cannot be read.
    #[error("the server failed")]
    ServerFailed,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// Not asked at all: the servers have not answered before, or too many questions wait.
    #[error("not asked: suspended after failures, or too many wait")]
    Suspended,
}

impl Failure {
    /// Whether the DNS has said that there is nothing: a void lookup in the sense of RFC 7208 section 4.6.4.
    pub const fn is_void(self) -> bool {
        matches!(self, Self::NoName | Self::NoData)
    }
}

/// The records of an answer; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// The records of the type asked for, at the end of any chain of aliases.
    pub records: Arc<[T]>,
    /// How long ago the answer came.
    pub age: Duration,
}

/// A mail exchanger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// The lower, the sooner it is tried.
    pub preference: u16,
    /// The host; the root when the domain takes no mail (RFC 7505).
    pub exchange: Name,
}

/// Whom a question is asked because of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Its session.
    pub session: SessionId,
    /// Something good is known of it.
    pub trusted: bool,
}

/// What a question came to.
pub type Answer<T> = Result<Found<T>, Failure>;

/// Whoever answers questions. Names are taken as absolute.
pub trait Dns: Clone + Send + Sync + 'static {
    /// The same, asked because of a client: it may have the names asked for chosen. Whoever shares nothing out need not
    /// tell clients apart.
    #[must_use]
    fn on_behalf_of(&self, client: Client) -> Self {
        let _ = client;
        self.clone()
    }
    /// Whether the IPv4 addresses of a name are kept or being asked for, so that asking sends nothing.
    fn knows_a(&self, name: &Name) -> bool {
        let _ = name;
        false
    }
    /// IPv4 addresses.
    fn a(&self, name: &Name) -> impl Future<Output = Answer<Ipv4Addr>> + Send;
    /// IPv6 addresses.
    fn aaaa(&self, name: &Name) -> impl Future<Output = Answer<Ipv6Addr>> + Send;
    /// Mail exchangers, the most preferred first.
    fn mx(&self, name: &Name) -> impl Future<Output = Answer<Mx>> + Send;
    /// The names that an address's reverse zone gives.
    fn ptr(&self, address: IpAddr) -> impl Future<Output = Answer<Name>> + Send;
    /// Texts, each with its character-strings joined; not necessarily UTF-8.
    fn txt(&self, name: &Name) -> impl Future<Output = Answer<Box<[u8]>>> + Send;
}
