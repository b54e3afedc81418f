//! DKIM, DMARC and ARC of a whole message, by mail-auth, at the end of a message.
//!
//! mail-auth's rules and cryptography, our own DNS. Its verification is asynchronous because it asks a resolver
//! of its own; here everything that it can ask for is fetched through [`Dns`] beforehand, side by side and by
//! a deadline, and given to it as a cache that answers *every* question, with a temporary error where nothing
//! was fetched. It never comes to ask its resolver, which has no servers, and it completes when it is polled
//! once. That is less code, and fewer rules of RFC 6376, 8617 and 9989 written anew, than calling its
//! cryptography alone, and as certain not to wait.
//!
//! Two rounds of questions at most, and one more for `np=`: the keys of DKIM and ARC with the tree walk of the
//! From domain, then the walks of the domains that may be aligned with it. A name that does not exist or has
//! no record is a permanent error, a failure or a time-out a temporary one.
//!
//! Invariants: at most [`Options::signatures`] signatures, those of From's organisation first; 50 ARC sets, of which
//! ten keys are asked for, and none when the newest sealer is not trusted; work in proportion to the message.
//! A signature that does not cover From, covers only a part of the body, is made with SHA-1, has expired, or
//! whose key is too short, does not pass. Whatever the message is, there is an [`Authentication`].
//!
//! Known limits: `x=` is compared with the system's clock inside mail-auth. A key's `t=y` (testing) is
//! ignored, as a signature that verifies proves its domain all the same, and so are its `h=` and `s=`. A
//! signature that cannot be read, or is longer than 16 KiB, is as none. Large messages are hashed where they
//! are, a core's time of about 3 ms for each MiB, with the runtime's other tasks moved aside where it has more
//! than one thread.

mod arc;
mod dkim;
mod dmarc;
mod keys;
mod message;
mod result;

pub use result::{Arc, Authentication, Cause, Dmarc, EnvelopeView, Outcome, Policy, Signature, Spf};

use crate::dns::{Client, Dns};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolverConfig;
use keys::Answers;
use mail_auth::MessageAuthenticator as Verifier;
use message::Message;
use policy_core::name::DomainName;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc as Shared;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

/// A message of so many octets is hashed aside of the runtime's other tasks.
const LARGE: usize = 128 << 10;

/// How far verification goes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Signatures that are verified. A message of a mailing list by way of a provider carries four.
    pub signatures: usize,
    /// Time for all questions together; whoever calls waits no longer, apart from the hashing.
    pub budget: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { signatures: 5, budget: Duration::from_secs(2) }
    }
}

/// mail-auth cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot set up the verification of signatures: {0}")]
pub struct SetupError(String);

/// Verifies messages.
#[derive(Clone)]
pub struct Authenticator<D> {
    dns: D,
    engine: Shared<Verifier>,
    options: Options,
}

impl<D: Dns> Authenticator<D> {
    /// One that asks `dns`.
    ///
    /// # Errors
    /// When mail-auth's unused resolver cannot be built.
    pub fn new(dns: D, options: Options) -> Result<Self, SetupError> {
        Ok(Self { dns, engine: Shared::new(Verifier(no_resolver()?)), options })
    }

    /// The same, asking because of a client.
    #[must_use]
    pub fn on_behalf_of(&self, client: Client) -> Self {
        Self { dns: self.dns.on_behalf_of(client), ..self.clone() }
    }

    /// What DKIM, DMARC and ARC say of the whole message `raw`. A sealer is trusted when it, or a domain above
    /// it, is among `trusted_sealers`.
    pub async fn verify(
        &self,
        raw: &[u8],
        envelope: &EnvelopeView,
        trusted_sealers: &[DomainName],
    ) -> Authentication {
        self.verify_by(Instant::now() + self.options.budget, raw, envelope, trusted_sealers).await
    }

    /// The same by a deadline of the caller's: what the DNS has not said by then is a temporary error, and all
    /// else is told.
    pub async fn verify_by(
        &self,
        deadline: Instant,
        raw: &[u8],
        envelope: &EnvelopeView,
        trusted_sealers: &[DomainName],
    ) -> Authentication {
        let read = aside(raw.len(), || caught(|| Message::read(raw, self.options.signatures)));
        let Some(message) = read.flatten() else {
            return Authentication { dmarc: Dmarc::PermError, ..Authentication::default() };
        };
        let from = message.from_domain.as_ref();
        let walk = from.into_iter().flat_map(|from| dmarc::questions(from.as_str()));
        let chain = arc::Chain::of(&message, trusted_sealers);
        let wanted: Vec<_> = dkim::keys(&message).into_iter().chain(chain.questions()).chain(walk).collect();
        let mut answers = Answers::default();
        answers.fetch(&self.dns, wanted, deadline).await;
        let dkim = dkim::verify(&self.engine, &message, &answers);
        let arc = arc::verify(&self.engine, &message, chain, &answers);
        let dmarc = self.dmarc(&message, &dkim, envelope, &mut answers, deadline).await;
        Authentication {
            forwarded_for: forwarded_for(envelope.spf, &dkim),
            trusted_forwarder: arc::trusted(&arc, trusted_sealers),
            from_domain: message.from_domain,
            dkim,
            dmarc,
            arc,
        }
    }

    async fn dmarc(
        &self,
        message: &Message<'_>,
        dkim: &[Signature],
        envelope: &EnvelopeView,
        answers: &mut Answers,
        deadline: Instant,
    ) -> Dmarc {
        let Some(from) = &message.from_domain else { return Dmarc::None };
        let counts = |s: &&Signature| matches!(s.result, Outcome::Pass | Outcome::TempError);
        let signers = dkim.iter().filter(counts).map(|s| s.domain.as_str());
        let spf = matches!(envelope.spf, Spf::Pass | Spf::TempError).then(|| envelope.spf_domain());
        let kin = dmarc::kin(answers, from, signers.chain(spf));
        let wanted: Vec<_> = kin.into_iter().flat_map(dmarc::questions).collect();
        answers.fetch(&self.dns, wanted, deadline).await;
        let result = dmarc::verify(&self.engine, message, dkim, envelope, answers);
        dmarc::of_missing_name(&self.dns, answers, from, result, deadline).await
    }
}

/// A resolver without servers, for mail-auth to hold. It has no certificates either: mail-auth's features turn
/// on TLS in the shared resolver, which would otherwise load those of the system, or fail without any.
fn no_resolver() -> Result<TokioResolver, SetupError> {
    let error = |error: &dyn std::fmt::Display| SetupError(error.to_string());
    let provider = rustls::crypto::ring::default_provider();
    let tls = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|e| error(&e))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    TokioResolver::builder_with_config(config, Default::default())
        .with_tls_config(tls)
        .build()
        .map_err(|e| error(&e))
}

/// The result of verification that does not wait; `None` when it would, or when it panics.
fn at_once<F: Future>(verify: impl FnOnce() -> F) -> Option<F::Output> {
    caught(|| match pin!(verify()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
    .flatten()
}

/// A last line against a defect in the parsers and the cryptography of others: what a message of some stranger
/// sets off must not end the connection's task, which may hold other messages. The values that are caught
/// belong to this one message and are dropped.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Does work that takes long for its size, with this thread's other tasks handed to another where there is one.
fn aside<T>(octets: usize, work: impl FnOnce() -> T) -> T {
    let several = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    if octets >= LARGE && several { tokio::task::block_in_place(work) } else { work() }
}

/// The forwarder rule: who answers for a message whose last hop SPF does not know.
fn forwarded_for(spf: Spf, dkim: &[Signature]) -> Option<DomainName> {
    let failed = matches!(spf, Spf::Fail | Spf::SoftFail);
    let signer = dkim.iter().find(|signature| signature.result == Outcome::Pass)?;
    failed.then(|| signer.domain.clone())
}

#[cfg(test)]
mod tests;
