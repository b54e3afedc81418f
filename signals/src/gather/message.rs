//! What the message itself shows, at its end.

use super::inquiry::{Progress, verify};
use super::{Options, notes};
use crate::authentication::{self, Authentication, Authenticator, EnvelopeView, Outcome};
use crate::content::{Addressed, traits};
use crate::dns::Dns;
use crate::spf::SpfResult;
use policy_core::facts::{Facts, VerifiedBy};
use policy_core::findings::{Dkim, Dmarc};
use policy_core::message::Raw;
use policy_core::name::{DomainName, Sender};
use tokio::time::{Instant, timeout_at};

/// Looks at the text, and verifies signatures unless an upstream check has done so.
pub(super) async fn tell<D: Dns>(
    authenticator: &Authenticator<D>,
    options: &Options,
    raw: &Raw,
    progress: &Progress,
    facts: &mut Facts,
    deadline: Instant,
) {
    let addressed = Addressed {
        sender: facts.envelope.sender.as_ref().and_then(Sender::domain),
        recipients: facts.envelope.accepted_recipients.unwrap_or(0),
    };
    facts.findings.content = traits(raw, addressed);
    if facts.message.verified.iter().any(|verified| verified.by == VerifiedBy::Dkim) {
        facts.findings.dkim = Dkim::Pass;
        facts.findings.notes.push(notes::left_alone("dkim", "verified upstream"));
        return;
    }
    if !raw.whole() {
        facts.findings.notes.push(notes::left_alone("dkim", "unknown: the message is too large to be kept"));
        return;
    }
    let envelope = EnvelopeView {
        helo: facts.client.helo.as_deref().and_then(DomainName::new),
        mail_from: addressed.sender.cloned(),
        spf: spf(progress),
    };
    let verified = authenticator.verify(raw.octets(), &envelope, &options.trusted_sealers);
    match timeout_at(deadline, verified).await {
        Ok(found) => write(&found, facts),
        Err(_) => facts.findings.notes.push(notes::left_alone("dkim", "unknown: no answer in time")),
    }
}

fn write(found: &Authentication, facts: &mut Facts) {
    facts.findings.dkim = dkim(found);
    facts.findings.dmarc = dmarc(found.dmarc);
    facts.message.signed = found.dkim.first().map(|signature| signature.domain.clone());
    // Whom a relayed message is charged to comes first: the author's own signature, then the forwarder's seal.
    verify(facts, &found.forwarded_for, VerifiedBy::Dkim);
    verify(facts, found.signers(), VerifiedBy::Dkim);
    verify(facts, &found.trusted_forwarder, VerifiedBy::Dkim);
    facts.findings.notes.extend(notes::of_authentication(found));
}

fn dkim(found: &Authentication) -> Dkim {
    let any = |result: Outcome| found.dkim.iter().any(|signature| signature.result == result);
    match () {
        () if any(Outcome::Pass) => Dkim::Pass,
        () if any(Outcome::TempError) => Dkim::Unknown,
        () if found.dkim.is_empty() => Dkim::None,
        () => Dkim::Fail,
    }
}

const fn dmarc(found: authentication::Dmarc) -> Dmarc {
    use authentication::{Dmarc as Found, Policy};
    match found {
        Found::None => Dmarc::None,
        Found::Pass => Dmarc::Pass,
        Found::Fail(Policy::None) => Dmarc::Fail,
        Found::Fail(Policy::Quarantine) => Dmarc::Quarantine,
        Found::Fail(Policy::Reject) => Dmarc::Reject,
        Found::TempError | Found::PermError => Dmarc::Unknown,
    }
}

fn spf(progress: &Progress) -> authentication::Spf {
    use authentication::Spf;
    match progress.spf.as_ref().map(|outcome| outcome.result) {
        Some(SpfResult::Pass) => Spf::Pass,
        Some(SpfResult::Fail) => Spf::Fail,
        Some(SpfResult::SoftFail) => Spf::SoftFail,
        Some(SpfResult::Neutral) => Spf::Neutral,
        Some(SpfResult::PermError) => Spf::PermError,
        Some(SpfResult::TempError) | None => Spf::TempError,
        Some(SpfResult::None) => Spf::None,
    }
}
