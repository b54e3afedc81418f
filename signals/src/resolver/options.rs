//! How a resolver is set up.

use crate::breaker::BreakerOptions;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;

/// How a resolver is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverOptions {
    /// Servers to ask, over UDP and TCP; with none, those of the system's `resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// How long one try may take.
    pub timeout: Duration,
    /// Tries after the first.
    pub retries: u8,
    /// Questions sent at the same time. A UDP socket each; with many more than 256 answers get lost.
    pub concurrent: usize,
    /// Questions that wait for their turn. What comes on top is not asked.
    pub waiting: usize,
    /// Answers kept, of 1 kB on average at most.
    pub cache: usize,
    /// The least and the longest time that an answer with records is kept, whatever its time to live.
    pub ttl: (Duration, Duration),
    /// The same for an answer that there is nothing.
    pub negative_ttl: (Duration, Duration),
    /// How long a failure is kept, and an answer that there is nothing which says nothing of its time.
    pub failure_ttl: Duration,
    /// When the servers as a whole are given up, and how often they are tried then.
    pub breaker: BreakerOptions,
    /// Whether the servers know the names of the private network: `internal`, `local`, `home.arpa`, the
    /// reverse names of private addresses. Otherwise they are never asked for such.
    pub private_zones: bool,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            servers: Vec::new(),
            timeout: seconds(1),
            retries: 1,
            concurrent: 128,
            waiting: 8192,
            cache: 65_536,
            // One mail asks for the same several times within seconds.
            ttl: (seconds(5), seconds(86_400)),
            // RFC 2308 section 5: one to three hours.
            negative_ttl: (seconds(5), seconds(3600)),
            failure_ttl: seconds(30),
            breaker: BreakerOptions::default(),
            private_zones: false,
        }
    }
}

impl ResolverOptions {
    /// With servers that the operator names, who may well know the names of the private network.
    pub fn named(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let servers: Vec<SocketAddr> = servers.into_iter().collect();
        Self { private_zones: !servers.is_empty(), servers, ..Self::default() }
    }
}

/// Why there is no resolver.
#[derive(Debug, Error)]
pub enum ResolverError {
    /// `resolv.conf` cannot be read, names no server or cannot be used.
    #[error("the resolver's configuration: {0}")]
    Configuration(String),
    /// The TLS library does not start, though it is not used.
    #[error("the TLS library: {0}")]
    Tls(#[from] rustls::Error),
    /// It must be made inside the runtime that its questions will run in.
    #[error("not inside a tokio runtime")]
    NoRuntime,
}
