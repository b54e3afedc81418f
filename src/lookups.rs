//! What looks up for the engine: a resolver, DNS lists, and tables of operators, as the configuration has them.

use crate::config;
use policy_core::facts::Facts;
use signals::gather::{Signals, StartError};
use signals::lists::ListHealth;
use signals::operators::Operators;
use signals::resolver::{Health, Resolver, ResolverError};
use std::fmt;
use std::net::IpAddr;
use thiserror::Error;
use tracing::error;

/// Why nothing can be looked up.
#[derive(Debug, Error)]
pub enum LookupsError {
    /// There is no resolver.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// A list cannot be used, or signatures cannot be verified.
    #[error(transparent)]
    Gather(#[from] StartError),
}

/// What looks up. Clones are the same.
#[derive(Clone)]
pub struct Lookups {
    signals: Signals<Resolver>,
    /// What it was made of, to see whether a reload changes it.
    config: config::Lookups,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Lookups {
    /// To be called on the runtime that it will look up on. Reads the tables of operators; without one that can
    /// be used everything else is looked up all the same, and the log says so.
    ///
    /// # Errors
    ///
    /// Something of the configuration cannot be used.
    pub fn start(config: config::Lookups) -> Result<Self, LookupsError> {
        let operators = match &config.operators[..] {
            [] => None,
            files => Operators::open(files)
                .inspect_err(|error| error!(%error, "no network's operator is known"))
                .ok(),
        };
        let resolver = Resolver::new(config.resolver.clone())?;
        let signals = Signals::start(resolver, operators, config.gather.clone())?;
        Ok(Self { signals, config })
    }

    /// Whom questions come first for, where there are too many; see [`Signals::trust`].
    pub fn trust(&self, trusts: impl Fn(IpAddr) -> bool + Send + Sync + 'static) {
        self.signals.trust(trusts);
    }

    /// What it was made of.
    pub fn config(&self) -> &config::Lookups {
        &self.config
    }

    /// Begins to look up what a later question will want to know.
    pub fn begin(&self, facts: &Facts) {
        self.signals.begin(facts);
    }

    /// Writes into the facts what can be known in time.
    pub async fn gather(&self, facts: &mut Facts) {
        self.signals.gather(facts).await;
    }

    /// Waits until every list has been tried for the first time.
    pub async fn tested(&self) {
        self.signals.tested().await;
    }

    /// How the resolver is doing.
    pub fn health(&self) -> Health {
        self.signals.dns().health()
    }

    /// How each list is doing.
    pub fn lists(&self) -> Vec<ListHealth> {
        self.signals.lists()
    }
}
