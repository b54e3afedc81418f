//! ARC (RFC 8617): a chain of custody that forwarders seal.
//!
//! A chain counts for something only when the operator trusts its newest sealer. Any other is not verified: whoever
//! writes one names fifty domains whose servers would be asked for keys, all at once.

use super::keys::{Answers, Wanted};
use super::message::{Message, is_sound};
use super::result::Arc;
use super::{Verifier, at_once};
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::verify::VerifySignature;
use mail_auth::{DkimResult, Parameters};
use policy_core::name::DomainName;
use std::collections::BTreeSet;

/// RFC 8617 section 5.1.
const MAX_SETS: usize = 50;
/// Keys of one chain that are asked for. One sealer's key serves for all of its seals, so that this is more
/// forwarders than mail passes through; who forges a trusted seal on top of his own chain has no more asked than this.
const MAX_KEYS: usize = 10;

/// How a chain looks before its keys are known.
pub(super) enum Chain {
    None,
    Broken,
    /// It may be intact, and is not worth its keys: it was sealed last by this domain, which nobody here trusts, or it
    /// wants too many of them.
    Unverified(DomainName),
    /// It may be intact, by the keys under these names.
    Plausible(BTreeSet<String>),
}

impl Chain {
    /// What the chain is, and whether it is worth asking for its keys.
    pub(super) fn of(message: &Message<'_>, trusted: &[DomainName]) -> Self {
        let parsed = &message.parsed;
        let sets = [parsed.as_headers.len(), parsed.ams_headers.len(), parsed.aar_headers.len()];
        if sets == [0; 3] && !parsed.has_arc_errors {
            return Self::None;
        }
        let Some(sealer) = plausible(message, sets) else { return Self::Broken };
        let keys = keys(message);
        if is_trusted(&sealer, trusted) && keys.len() <= MAX_KEYS {
            Self::Plausible(keys)
        } else {
            Self::Unverified(sealer)
        }
    }

    /// What is to be asked.
    pub(super) fn questions(&self) -> impl Iterator<Item = (String, Wanted)> {
        let keys = if let Self::Plausible(keys) = self { Some(keys) } else { None };
        keys.into_iter().flatten().map(|key| (key.clone(), Wanted::Key))
    }
}

/// The newest sealer of a chain that only its keys can tell from an intact one.
fn plausible(message: &Message<'_>, sets: [usize; 3]) -> Option<DomainName> {
    let parsed = &message.parsed;
    let newest = &parsed.ams_headers.last()?.header;
    let complete = sets.iter().all(|sets| *sets == newest.i as usize && *sets <= MAX_SETS);
    let modern = parsed.as_headers.iter().all(|seal| seal.header.a != Algorithm::RsaSha1);
    let sound = modern && is_sound(newest, parsed.headers.len()) && message.has_body(newest.cb, &newest.bh);
    let sealer = DomainName::new(&parsed.as_headers.last()?.header.d)?;
    (complete && sound && !parsed.has_arc_errors).then_some(sealer)
}

/// The names of the keys: the newest message signature's, and every seal's.
fn keys(message: &Message<'_>) -> BTreeSet<String> {
    let seals = message.parsed.as_headers.iter().map(|seal| seal.header.domain_key());
    let newest = message.parsed.ams_headers.last().map(|signature| signature.header.domain_key());
    seals.chain(newest).map(|key| key.to_lowercase()).collect()
}

/// The chain's result.
pub(super) fn verify(engine: &Verifier, message: &Message<'_>, chain: Chain, answers: &Answers) -> Arc {
    match chain {
        Chain::None => return Arc::None,
        Chain::Broken => return Arc::Fail,
        Chain::Unverified(sealer) => return Arc::Unverified(sealer),
        Chain::Plausible(_) => {}
    }
    let verified = at_once(|| async {
        let parameters = Parameters::new(&message.parsed).with_txt_cache(answers);
        let output = engine.verify_arc(parameters).await;
        let sealers = output.sets().iter().rev().map(|set| DomainName::new(&set.seal.header.d));
        (output.result().clone(), sealers.collect::<Option<Vec<_>>>())
    });
    match verified {
        Some((DkimResult::Pass, Some(sealers))) => Arc::Pass(sealers),
        Some((DkimResult::TempError(_), _)) => Arc::TempError,
        Some((DkimResult::None, _)) => Arc::None,
        _ => Arc::Fail,
    }
}

/// The newest sealer of an intact chain, when it or a domain above it is trusted.
pub(super) fn trusted(arc: &Arc, trusted: &[DomainName]) -> Option<DomainName> {
    let Arc::Pass(sealers) = arc else { return None };
    sealers.first().filter(|newest| is_trusted(newest, trusted)).cloned()
}

fn is_trusted(sealer: &DomainName, trusted: &[DomainName]) -> bool {
    sealer.and_parents().any(|name| trusted.contains(&name))
}
