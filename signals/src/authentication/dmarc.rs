//! DMARC (RFC 9989), by its tree walk, with SPF's result given.

use super::keys::{Answers, Existing, Wanted};
use super::message::{Candidate, Message};
use super::result::{Dmarc, EnvelopeView, Outcome, Policy, Signature, Spf};
use super::{Verifier, at_once};
use crate::dns::{Dns, Failure, Name};
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::dmarc::{Dmarc as Record, Policy as Asked};
use mail_auth::{DkimOutput, DmarcResult, DnsError, Error, Parameters, SpfOutput, SpfResult};
use policy_core::name::DomainName;
use tokio::time::{Instant, timeout_at};

/// The names of a tree walk from `domain` up (RFC 9989 section 4.10): itself, then from seven labels on each
/// one above.
pub(super) fn walk(domain: &str) -> Vec<&str> {
    let names = std::iter::successors(Some(domain), |name| Some(name.split_once('.')?.1));
    let names = names.filter(|name| !name.is_empty());
    let labels = |name: &str| name.split('.').count();
    names.filter(|name| *name == domain || labels(name) <= 7).collect()
}

/// The questions of a tree walk; a name of one label has no record that counts.
pub(super) fn questions(domain: &str) -> impl Iterator<Item = (String, Wanted)> {
    let names = if domain.contains('.') { walk(domain) } else { Vec::new() };
    names.into_iter().map(|name| (format!("_dmarc.{name}."), Wanted::Dmarc))
}

/// The domains whose organisation decides about alignment: those below the highest record that From's walk has
/// found. Others cannot be aligned, and are not asked about.
pub(super) fn kin<'a>(
    answers: &Answers,
    from: &DomainName,
    domains: impl Iterator<Item = &'a str>,
) -> Vec<&'a str> {
    let names = walk(from.as_str());
    let Some(highest) = names.iter().rev().find(|name| answers.dmarc(name).is_some()) else {
        return Vec::new();
    };
    let below = |domain: &&str| {
        domain.strip_suffix(highest).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    domains.filter(below).collect()
}

/// The result for a message, after DKIM.
pub(super) fn verify(
    engine: &Verifier,
    message: &Message<'_>,
    dkim: &[Signature],
    envelope: &EnvelopeView,
    answers: &Answers,
) -> (Dmarc, Option<Record>) {
    let spf_domain = envelope.spf_domain();
    let spf = SpfOutput::new(spf_domain.to_owned()).with_result(spf_result(envelope.spf));
    let dkim: Vec<_> = message.candidates.iter().zip(dkim).filter_map(|(c, s)| output(c, s)).collect();
    let output = at_once(|| async {
        let parameters = DmarcParameters::new(&message.parsed, &dkim, spf_domain, &spf);
        let parameters = Parameters::new(parameters).with_txt_cache(answers).with_ipv4_cache(&Existing);
        engine.verify_dmarc(parameters).await
    });
    let Some(output) = output else { return (Dmarc::PermError, None) };
    let result = match output.result() {
        DmarcResult::Pass => Dmarc::Pass,
        DmarcResult::Fail(_) => Dmarc::Fail(policy(output.policy())),
        DmarcResult::TempError(_) => Dmarc::TempError,
        DmarcResult::PermError(_) => Dmarc::PermError,
        DmarcResult::None => Dmarc::None,
    };
    (result, output.dmarc_record().cloned())
}

/// The policy for a From domain that does not exist, when its organisation has another one for it (`np=`).
pub(super) async fn of_missing_name(
    dns: &impl Dns,
    answers: &Answers,
    from: &DomainName,
    (result, record): (Dmarc, Option<Record>),
    deadline: Instant,
) -> Dmarc {
    let (Dmarc::Fail(_), Some(record)) = (result, record) else { return result };
    if record.np == record.sp || answers.dmarc(from.as_str()).is_some() {
        return result;
    }
    let Ok(mut name) = Name::from_ascii(from.as_str()) else { return result };
    name.set_fqdn(true);
    match timeout_at(deadline, dns.a(&name)).await {
        Ok(Err(Failure::NoName)) => Dmarc::Fail(tested(policy(record.np), record.t)),
        _ => result,
    }
}

/// `t=y` asks for one step less (RFC 9989 section 4.7).
const fn tested(policy: Policy, testing: bool) -> Policy {
    match policy {
        Policy::Reject if testing => Policy::Quarantine,
        Policy::Quarantine if testing => Policy::None,
        policy => policy,
    }
}

const fn policy(asked: Asked) -> Policy {
    match asked {
        Asked::None | Asked::Unspecified => Policy::None,
        Asked::Quarantine => Policy::Quarantine,
        Asked::Reject => Policy::Reject,
    }
}

const fn spf_result(spf: Spf) -> SpfResult {
    match spf {
        Spf::None => SpfResult::None,
        Spf::Pass => SpfResult::Pass,
        Spf::Fail => SpfResult::Fail,
        Spf::SoftFail => SpfResult::SoftFail,
        Spf::Neutral => SpfResult::Neutral,
        Spf::TempError => SpfResult::TempError,
        Spf::PermError => SpfResult::PermError,
    }
}

/// A result as mail-auth puts it; those that neither pass nor might are nothing to DMARC.
fn output<'m>(candidate: &'m Candidate<'_>, report: &Signature) -> Option<DkimOutput<'m>> {
    let output = match report.result {
        Outcome::Pass => DkimOutput::pass(),
        Outcome::TempError => DkimOutput::temp_err(Error::Dns(DnsError::Resolver(String::new()))),
        _ => return None,
    };
    Some(output.with_signature(&candidate.signature))
}
