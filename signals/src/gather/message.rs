//! What the message itself shows, at its end.

use super::desk::Watched;
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
use tokio::time::{Instant, timeout};

/// What a message was seen to be, before it is known of its client what there is to know.
pub(super) enum Seen {
    /// An upstream check has verified a signature.
    Upstream,
    /// It is too large to be kept, so that no signature can be verified.
    InPart,
    /// Its signatures have been looked at.
    Verified(Authentication),
}

/// Reads the text's traits into the facts, and verifies signatures unless an upstream check has done so.
pub(super) async fn look<D: Dns>(
    authenticator: &Authenticator<D>,
    options: &Options,
    raw: &Raw,
    mut progress: Watched,
    facts: &mut Facts,
    deadline: Instant,
) -> Seen {
    let sender = facts.envelope.sender.as_ref().and_then(Sender::domain);
    let recipients = facts.envelope.accepted_recipients.unwrap_or(0);
    // A field that there was no room for is not one that the sender has left out.
    if !raw.has_gaps() {
        facts.findings.content = traits(raw, Addressed { sender, recipients });
    }
    if facts.message.verified.iter().any(|verified| verified.by == VerifiedBy::Dkim) {
        return Seen::Upstream;
    }
    if !raw.whole() {
        return Seen::InPart;
    }
    // DMARC and the rule for forwarders want SPF, which has been asked since MAIL; half of the time is left for
    // the keys if it hangs. An error says that it will not come.
    let patience = deadline.saturating_duration_since(Instant::now()) / 2;
    let _ = timeout(patience, progress.wait_for(|progress| progress.done || progress.spf.is_some())).await;
    let spf = spf(&progress.borrow());
    let helo = facts.client.helo.as_deref().and_then(DomainName::new);
    let envelope = EnvelopeView { helo, mail_from: sender.cloned(), spf };
    let sealers = &options.trusted_sealers;
    Seen::Verified(authenticator.verify_by(deadline, raw.octets(), &envelope, sealers).await)
}

/// Writes into the facts what a message's signatures came to.
pub(super) fn tell(seen: Seen, facts: &mut Facts) {
    let left_alone = |why| notes::left_alone("dkim", why);
    match seen {
        Seen::Upstream => {
            facts.findings.dkim = Dkim::Pass;
            facts.findings.notes.push(left_alone("verified upstream"));
        }
        Seen::InPart => {
            facts.findings.notes.push(left_alone("unknown: the message is too large to be kept"));
        }
        Seen::Verified(found) => write(&found, facts),
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
