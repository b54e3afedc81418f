//! Everything that can be known of a client and its message, gathered side by side within one deadline.
//!
//! The path of a question: facts → [`Signals::gather`] → what is asked for this session and sender is looked up
//! once, as a task of its own → until the deadline its progress is waited for → what has come is written into
//! the facts → at the end of the message, signatures and text.
//!
//! Invariants: nobody waits longer than [`Options::within`]; what has not come by then is *unknown*, and is
//! there for the next question, since the task goes on without whoever began it. What stayed unknown to the
//! end is asked again by the next question, of the resolver's cache first of all. What the mail server or an
//! upstream check has said already is not asked again.
//!
//! Known limits: what a session has heard it keeps until it ends, however short the time to live of an answer.
//! The hashing of a message comes on top of the time for questions.

mod aged;
mod desk;
mod inquiry;
mod message;
mod notes;

pub use inquiry::{Progress, Since};

use crate::authentication::{Authenticator, SetupError};
use crate::dns::{Client, Dns};
use crate::lists::{ListError, ListHealth, ListOptions, Lists, WatchOptions};
use crate::operators::Operators;
use desk::Desk;
use inquiry::Inquiry;
use policy_core::facts::{Facts, Stage};
use policy_core::name::DomainName;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// What is gathered, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How long a question may wait for all of it together.
    pub within: Duration,
    /// DNS lists. Default: none, since most ask for registration.
    pub lists: Vec<ListOptions>,
    /// How lists are watched.
    pub watch: WatchOptions,
    /// This mail server's own names: a stranger that greets with one is lying.
    pub own_names: Vec<DomainName>,
    /// Forwarders whose ARC seals are trusted (RFC 8617 section 7.2).
    pub trusted_sealers: Vec<DomainName>,
    /// Signatures that are verified of one message.
    pub signatures: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(2),
            lists: Vec::new(),
            watch: WatchOptions::default(),
            own_names: Vec::new(),
            trusted_sealers: Vec::new(),
            signatures: crate::authentication::Options::default().signatures,
        }
    }
}

/// Why nothing can be gathered.
#[derive(Debug, Error)]
pub enum StartError {
    /// A list cannot be used as it is configured.
    #[error(transparent)]
    List(#[from] ListError),
    /// Signatures cannot be verified.
    #[error(transparent)]
    Authenticator(#[from] SetupError),
}

/// Gathers. Clones share everything.
#[derive(Clone)]
pub struct Signals<D>(Arc<Inner<D>>);

struct Inner<D> {
    dns: D,
    lists: Lists<D>,
    authenticator: Authenticator<D>,
    operators: Option<Operators>,
    desk: Desk,
    options: Options,
    trusts: OnceLock<Trusts>,
}

/// Whether something good is known of an address.
type Trusts = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

impl<D: Dns> Signals<D> {
    /// Begins to watch the lists. To be called inside a runtime.
    ///
    /// # Errors
    ///
    /// A list cannot be used, or signatures cannot be verified at all.
    pub fn start(dns: D, operators: Option<Operators>, options: Options) -> Result<Self, StartError> {
        let lists = Lists::start(dns.clone(), options.lists.clone(), options.watch)?;
        let limits =
            crate::authentication::Options { signatures: options.signatures, budget: options.within };
        let authenticator = Authenticator::new(dns.clone(), limits)?;
        let (desk, trusts) = (Desk::new(), OnceLock::new());
        Ok(Self(Arc::new(Inner { dns, lists, authenticator, operators, desk, options, trusts })))
    }

    /// From now on those clients of which `trusts` says that something good is known come before others where the DNS is
    /// asked too much. To be called once; whatever comes later is not heard.
    pub fn trust(&self, trusts: impl Fn(IpAddr) -> bool + Send + Sync + 'static) {
        drop(self.0.trusts.set(Box::new(trusts)));
    }

    fn client(&self, facts: &Facts) -> Client {
        let address = facts.client.address;
        let trusted = self.0.trusts.get().is_some_and(|trusts| trusts(address));
        Client { address, session: facts.session, trusted }
    }

    /// Whoever is asked.
    pub fn dns(&self) -> &D {
        &self.0.dns
    }

    /// How each list is doing.
    pub fn lists(&self) -> Vec<ListHealth> {
        self.0.lists.health()
    }

    /// Waits until every list's test points have been asked for once.
    pub async fn tested(&self) {
        self.0.lists.tested().await;
    }

    /// Begins to look up what a later question will want to know, and waits for nothing.
    pub fn begin(&self, facts: &Facts) {
        drop(self.progress(facts));
    }

    /// Writes into the facts what can be known by the deadline. At the end of the message its octets are taken
    /// out of the facts and looked at.
    pub async fn gather(&self, facts: &mut Facts) {
        let deadline = Instant::now() + self.0.options.within;
        self.operator(facts);
        let progress = self.progress(facts);
        let raw = facts.message.raw.take().filter(|_| facts.stage == Stage::EndOfMessage);
        let seen = match raw {
            Some(raw) => {
                let authenticator = self.0.authenticator.on_behalf_of(self.client(facts));
                let options = &self.0.options;
                Some(message::look(&authenticator, options, &raw, progress.clone(), facts, deadline).await)
            }
            None => None,
        };
        inquiry::heard(progress, deadline).await.tell(facts, &self.0.options);
        if let Some(seen) = seen {
            message::tell(seen, facts);
        }
    }

    /// What is known of this session and sender so far; what is not is on its way.
    fn progress(&self, facts: &Facts) -> desk::Watched {
        let inquiry = Inquiry::of(facts, &self.0.options, self.client(facts).trusted);
        let (dns, lists, within) = (&self.0.dns, &self.0.lists, self.0.options.within);
        self.0.desk.find(inquiry, |inquiry, progress| {
            tokio::spawn(inquiry.run(dns.clone(), lists.clone(), within, progress));
        })
    }

    fn operator(&self, facts: &mut Facts) {
        let Some(operators) = &self.0.operators else { return };
        facts.findings.operator = operators.of(facts.client.address);
        facts.findings.notes.extend(notes::of_operator(&facts.findings));
    }
}
