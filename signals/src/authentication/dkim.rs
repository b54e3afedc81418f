//! DKIM (RFC 6376).

use super::keys::{Answers, Wanted};
use super::message::{Candidate, Message};
use super::result::{Cause, Outcome, Signature};
use super::{Verifier, at_once};
use mail_auth::common::crypto::CryptoError;
use mail_auth::common::verify::VerifySignature;
use mail_auth::dkim::DkimError;
use mail_auth::{DkimResult, DnsError, Error, Parameters};

/// The keys of the signatures that only need theirs: another body fails without.
pub(super) fn keys(message: &Message<'_>) -> Vec<(String, Wanted)> {
    let signatures = message.parsed.dkim_headers.iter().map(|header| &header.header);
    let signatures = signatures.filter(|signature| message.has_body(signature.cb, &signature.bh));
    signatures.map(|signature| (signature.domain_key(), Wanted::Key)).collect()
}

/// What mail-auth says of the signatures without a verdict, one by one; nothing when it gave up.
fn results(engine: &Verifier, message: &Message<'_>, answers: &Answers) -> Vec<(Outcome, Option<Cause>)> {
    let results = at_once(|| async {
        let parameters = Parameters::new(&message.parsed).with_txt_cache(answers);
        let outputs = engine.verify_dkim(parameters).await;
        outputs.iter().map(|output| outcome(output.result())).collect()
    });
    results.unwrap_or_default()
}

/// All signatures that are looked at with their results, in the order of [`Message::candidates`].
pub(super) fn verify(engine: &Verifier, message: &Message<'_>, answers: &Answers) -> Vec<Signature> {
    let mut results = results(engine, message, answers).into_iter();
    let mut result = |candidate: &Candidate<'_>| match candidate.verdict {
        Some((outcome, cause)) => (outcome, Some(cause)),
        None => match results.next() {
            Some((Outcome::Pass, _) | (Outcome::Fail, Some(Cause::Mismatch)))
                if answers.is_weak(&candidate.signature.domain_key()) =>
            {
                (Outcome::Policy, Some(Cause::WeakKey))
            }
            Some(result) => result,
            None => (Outcome::Neutral, Some(Cause::Engine)),
        },
    };
    message.candidates.iter().map(|candidate| candidate.report(result(candidate))).collect()
}

/// A result in the words of RFC 8601 section 2.7.1, and its cause.
fn outcome(result: &DkimResult) -> (Outcome, Option<Cause>) {
    let (outcome, cause) = match result {
        DkimResult::Pass => return (Outcome::Pass, None),
        DkimResult::None => return (Outcome::None, None),
        DkimResult::TempError(_) => (Outcome::TempError, Cause::Dns),
        DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch)) => (Outcome::Fail, Cause::Body),
        DkimResult::Neutral(Error::Dkim(DkimError::SignatureExpired)) => (Outcome::PermError, Cause::Expired),
        DkimResult::Neutral(_) => (Outcome::Neutral, Cause::Engine),
        DkimResult::Fail(Error::Dkim(DkimError::FailedAuidMatch)) => (Outcome::PermError, Cause::Identity),
        DkimResult::Fail(Error::Crypto(CryptoError::IncompatibleAlgorithms)) => {
            (Outcome::PermError, Cause::Algorithm)
        }
        DkimResult::Fail(_) => (Outcome::Fail, Cause::Mismatch),
        DkimResult::PermError(Error::Dns(DnsError::RecordNotFound(_))) => (Outcome::PermError, Cause::NoKey),
        DkimResult::PermError(Error::Dkim(DkimError::RevokedPublicKey)) => {
            (Outcome::PermError, Cause::Revoked)
        }
        DkimResult::PermError(_) => (Outcome::PermError, Cause::KeySyntax),
    };
    (outcome, Some(cause))
}
