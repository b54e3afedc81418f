//! What was found, in words and as traits.
//!
//! Bounded: a client cannot make more notes than there are lists, targets and signatures to look at.

use super::Options;
use super::inquiry::Progress;
use crate::authentication::{self, Authentication, Outcome};
use crate::lists::{Findings as Listed, Meaning, Target};
use crate::reverse::{HeloCheck, Reverse};
use crate::spf::SpfOutcome;
use compact_str::{CompactString, format_compact};
use policy_core::findings::{Findings, Listing, Note};
use std::time::Duration;
use tokio::time::Instant;

/// Most listings that are told one by one.
const MAX_LISTINGS: usize = 12;
/// Weights of listings, added up, from which on they count as listed at all and as listed heavily.
const LISTED: f32 = 0.75;
const HEAVY: f32 = 1.75;

fn note(signal: &'static str, value: impl Into<CompactString>, source: impl Into<CompactString>) -> Note {
    Note { signal, value: value.into(), source: source.into(), age: None }
}

/// What the listings of a client amount to. One that speaks for it counts only where none speaks against it,
/// and only of what is the client's own: anybody can give a good name for HELO or sender.
pub(super) fn listing(findings: &Listed) -> Listing {
    let mut weight = 0.0;
    let (mut policy, mut allowed) = (false, false);
    for listing in &findings.listings {
        match listing.meaning {
            Meaning::Listed(more) => weight += more,
            Meaning::Policy => policy = true,
            Meaning::Allowed(more) => {
                let own = matches!(listing.target, Target::Client(_) | Target::ReverseName(_));
                allowed |= own && more > 0.0;
            }
            Meaning::Error => {}
        }
    }
    match () {
        () if weight >= HEAVY => Listing::Heavy,
        () if weight >= LISTED => Listing::Listed,
        () if weight > 0.0 => Listing::Light,
        () if policy => Listing::Policy,
        () if allowed => Listing::Allowed,
        () if findings.clear > 0 || !findings.listings.is_empty() => Listing::NotListed,
        () => Listing::Unknown,
    }
}

pub(super) fn of_operator(findings: &Findings) -> Option<Note> {
    let operator = findings.operator.as_ref()?;
    let country = operator.country.map(|letters| letters.map(char::from).iter().collect::<String>());
    let value = format_compact!("AS{} {}", operator.number, country.unwrap_or_default());
    Some(note("operator", value.trim_end(), "table of operators"))
}

/// The notes of what the DNS has said.
pub(super) fn of_progress(progress: &Progress, options: &Options) -> Vec<Note> {
    let mut notes = Vec::new();
    let (since, now) = (progress.since, Instant::now());
    let aged = |note: Note, since: Option<Instant>| Note {
        age: since.map(|since| now.saturating_duration_since(since)),
        ..note
    };
    notes.extend(progress.reverse.as_ref().map(|reverse| aged(of_reverse(reverse), since.reverse)));
    notes.extend(progress.helo.filter(|_| !progress.ours).map(|helo| aged(of_helo(helo), since.helo)));
    notes.extend(progress.ours.then(|| note("helo", "this server's own name", "configuration")));
    notes.extend(progress.spf.as_ref().map(|outcome| aged(of_spf(outcome), since.spf)));
    match &progress.lists {
        Some(found) => notes.extend(of_lists(found)),
        None if options.lists.is_empty() => {}
        None => notes.push(note("list", "unknown: no answer in time", "DNS lists")),
    }
    if !progress.done {
        notes.push(note("lookups", "some had no answer in time", "DNS"));
    }
    notes
}

fn of_reverse(reverse: &Reverse) -> Note {
    let value = match reverse {
        Reverse::Confirmed(name) => format_compact!("{name}, confirmed"),
        Reverse::Unconfirmed(name) => format_compact!("{name}, which does not resolve back"),
        Reverse::Absent => "none".into(),
        Reverse::Unknown(failure) => format_compact!("unknown: {failure}"),
    };
    note("ptr", value, "DNS")
}

fn of_helo(helo: HeloCheck) -> Note {
    let value: CompactString = match helo {
        HeloCheck::ResolvesToClient => "resolves to the client".into(),
        HeloCheck::ResolvesElsewhere => "resolves to another address".into(),
        HeloCheck::DoesNotResolve => "does not resolve".into(),
        HeloCheck::Literal { matches: true } => "the client's address".into(),
        HeloCheck::Literal { matches: false } => "another host's address".into(),
        HeloCheck::NotAName => "no host name".into(),
        HeloCheck::Unknown(failure) => format_compact!("unknown: {failure}"),
    };
    note("helo", value, "DNS")
}

fn of_spf(outcome: &SpfOutcome) -> Note {
    let domain = outcome.domain.as_ref().map_or("", |domain| domain.as_str());
    let mut value = format_compact!("{} {domain}", outcome.result);
    if let Some(mechanism) = &outcome.mechanism {
        value.push_str(&format_compact!(" by {mechanism}"));
    }
    if let Some(cause) = &outcome.cause {
        value.push_str(&format_compact!(": {cause}"));
    }
    note("spf", value.trim_end(), format_compact!("DNS, {} lookups", outcome.lookups))
}

fn of_lists(found: &Listed) -> Vec<Note> {
    let listed = found.listings.iter().take(MAX_LISTINGS).map(|listing| {
        let labels = listing.labels.join(" ");
        let meaning: CompactString = match listing.meaning {
            Meaning::Listed(weight) => format_compact!("listed {labels} (weight {weight:.1})"),
            Meaning::Policy => format_compact!("policy {labels}"),
            Meaning::Allowed(weight) => format_compact!("allowed {labels} (weight {weight:.1})"),
            Meaning::Error => "error".into(),
        };
        let value = format_compact!("{}: {meaning}", target(&listing.target));
        Note { age: Some(listing.age), ..note("list", value, listing.list.clone()) }
    });
    let unknown = found.unknown.iter().take(MAX_LISTINGS).map(|unknown| {
        note("list", format_compact!("{}: unknown", target(&unknown.target)), unknown.list.clone())
    });
    listed.chain(unknown).collect()
}

fn target(target: &Target) -> CompactString {
    match target {
        Target::Client(address) => format_compact!("{address}"),
        Target::ReverseName(name) | Target::Helo(name) | Target::Sender(name) => name.as_str().into(),
    }
}

/// The notes of a message's signatures and policy.
pub(super) fn of_authentication(found: &Authentication) -> Vec<Note> {
    let signature = |signature: &authentication::Signature| {
        let cause = signature.cause.map_or("", |cause| cause.words());
        let join = if cause.is_empty() { "" } else { ": " };
        let value = format_compact!("{} {}{join}{cause}", outcome(signature.result), signature.domain);
        note("dkim", value, format_compact!("selector {}", signature.selector))
    };
    let mut notes: Vec<Note> = found.dkim.iter().map(signature).collect();
    if let Some(from) = &found.from_domain {
        notes.push(note("dmarc", format_compact!("{} {from}", dmarc(found.dmarc)), "DNS"));
    }
    match &found.arc {
        authentication::Arc::None => {}
        authentication::Arc::Pass(sealers) => {
            let newest = sealers.first().map_or("", |sealer| sealer.as_str());
            notes.push(note("arc", format_compact!("pass {newest}"), "message"));
        }
        authentication::Arc::Unverified(newest) => {
            notes.push(note("arc", format_compact!("not verified {newest}"), "message"));
        }
        authentication::Arc::Fail => notes.push(note("arc", "fail", "message")),
        authentication::Arc::TempError => notes.push(note("arc", "temperror", "message")),
    }
    if let Some(forwarder) = &found.trusted_forwarder {
        notes.push(note("arc", format_compact!("trusted forwarder {forwarder}"), "configuration"));
    }
    notes
}

/// The result in Authentication-Results (RFC 8601 section 2.7.1).
const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::None => "none",
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Neutral => "neutral",
        Outcome::Policy => "policy",
        Outcome::TempError => "temperror",
        Outcome::PermError => "permerror",
    }
}

const fn dmarc(dmarc: authentication::Dmarc) -> &'static str {
    use authentication::{Dmarc, Policy};
    match dmarc {
        Dmarc::None => "none",
        Dmarc::Pass => "pass",
        Dmarc::Fail(Policy::None) => "fail (policy none)",
        Dmarc::Fail(Policy::Quarantine) => "fail (policy quarantine)",
        Dmarc::Fail(Policy::Reject) => "fail (policy reject)",
        Dmarc::TempError => "temperror",
        Dmarc::PermError => "permerror",
    }
}

/// The note of a signal that was left alone, and why.
pub(super) fn left_alone(signal: &'static str, why: &'static str) -> Note {
    Note { signal, value: why.into(), source: "message".into(), age: None::<Duration> }
}
