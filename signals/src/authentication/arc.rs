//! ARC (RFC 8617): a chain of custody that forwarders seal.

use super::keys::{Answers, Wanted};
use super::message::{Message, is_sound};
use super::result::Arc;
use super::{Verifier, at_once};
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::verify::VerifySignature;
use mail_auth::{DkimResult, Parameters};
use policy_core::name::DomainName;

/// RFC 8617 section 5.1.
const MAX_SETS: usize = 50;

/// How a chain looks before its keys are known.
pub(super) enum Chain {
    None,
    Broken,
    Plausible,
}

/// Whether the chain is worth asking for its keys.
pub(super) fn chain(message: &Message<'_>) -> Chain {
    let parsed = &message.parsed;
    let sets = [parsed.as_headers.len(), parsed.ams_headers.len(), parsed.aar_headers.len()];
    if sets == [0; 3] && !parsed.has_arc_errors {
        return Chain::None;
    }
    let Some(newest) = parsed.ams_headers.last().map(|header| &header.header) else { return Chain::Broken };
    let complete = sets.iter().all(|sets| *sets == newest.i as usize && *sets <= MAX_SETS);
    let modern = parsed.as_headers.iter().all(|seal| seal.header.a != Algorithm::RsaSha1);
    let sound = modern && is_sound(newest, parsed.headers.len()) && message.has_body(newest.cb, &newest.bh);
    if complete && sound && !parsed.has_arc_errors { Chain::Plausible } else { Chain::Broken }
}

/// The keys of a plausible chain: the newest message signature's, and every seal's.
pub(super) fn keys(message: &Message<'_>) -> Vec<(String, Wanted)> {
    if !matches!(chain(message), Chain::Plausible) {
        return Vec::new();
    }
    let seals = message.parsed.as_headers.iter().map(|seal| seal.header.domain_key());
    let newest = message.parsed.ams_headers.last().map(|signature| signature.header.domain_key());
    seals.chain(newest).map(|key| (key, Wanted::Key)).collect()
}

/// The chain's result.
pub(super) fn verify(engine: &Verifier, message: &Message<'_>, answers: &Answers) -> Arc {
    match chain(message) {
        Chain::None => return Arc::None,
        Chain::Broken => return Arc::Fail,
        Chain::Plausible => {}
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
    let newest = sealers.first()?;
    newest.and_parents().any(|name| trusted.contains(&name)).then(|| newest.clone())
}
