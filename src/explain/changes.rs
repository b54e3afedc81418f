//! What would change how somebody stands, or let its mail in: in words, with the command for it.

use super::Limit;
use crate::log::moment;
use policy_core::allowance::Whose;
use policy_core::identity::{Kind, networks_of};
use policy_core::overrides::Override;
use policy_core::policy::Mode;
use policy_core::standing::Word;
use policy_core::time::Timestamp;
use policy_core::{Explanation, Prospect};
use std::net::IpAddr;

/// What would change how a client stands, or let its mail in.
pub(super) fn of_client(
    about: &str,
    address: IpAddr,
    explanation: &Explanation,
    limits: &[Limit],
    speaking: Option<&Override>,
    mode: Mode,
) -> Vec<String> {
    let mut changes: Vec<String> = explanation.prospects.iter().map(prospect).collect();
    changes.extend(of_limits(limits));
    changes.extend(explanation.pending.first().map(|&at| of_pending(at, explanation.now)));
    if limits.iter().any(|limit| limit.left < 1.0 && limit.whose == Whose::Domain.word()) {
        let verified = explanation.identities.iter().find(|identity| identity.kind == Kind::Verified);
        changes.extend(verified.map(|domain| {
            format!("\"tempfail allow {}\" lets in what all hosts of that domain send", domain.name)
        }));
    }
    match speaking {
        Some(said) => changes.push(ends(said)),
        None => {
            let key = if about.parse::<IpAddr>().is_ok() { about.to_owned() } else { networks_key(address) };
            changes.push(format!("\"tempfail allow {key}\" lets it in now, whatever its standing"));
        }
    }
    if mode == Mode::Observe {
        changes.push("the mode is observe: nothing of this is answered, only logged".to_owned());
    }
    changes
}

/// What is used up, and until when.
pub(super) fn of_limits(limits: &[Limit]) -> impl Iterator<Item = String> {
    limits.iter().filter(|limit| limit.left < 1.0).map(|limit| match &limit.back {
        Some(back) => {
            format!("the {}'s limit of {} is used up: there is one again at {back}", limit.whose, limit.unit)
        }
        None => format!("as many {} as may be: one that ends makes room", limit.unit),
    })
}

/// When a retry passes.
pub(super) fn of_pending(at: Timestamp, now: Timestamp) -> String {
    match at.since(now) {
        left if left.is_zero() => "a retry of what was deferred passes now".to_owned(),
        _ => format!("a retry of what was deferred passes from {} on", moment(at)),
    }
}

fn networks_key(address: IpAddr) -> String {
    let [host, _] = networks_of(address);
    if address.is_ipv4() { address.to_string() } else { host.to_string() }
}

fn prospect(prospect: &Prospect) -> String {
    let Prospect { messages, good, word } = *prospect;
    let what = if messages == 1 { "message" } else { "messages" };
    let makes = if messages == 1 { "makes" } else { "make" };
    let word = if word == Word::New { "New again" } else { word.as_str() };
    match good {
        true => format!(
            "{messages} {what} that a person or filter calls good (or {} let in without complaint) {makes} it {word}",
            4 * messages
        ),
        false => format!("{messages} {what} that a filter calls spam {makes} it {word}"),
    }
}

/// What ends an override.
pub(super) fn ends(said: &Override) -> String {
    let by_itself =
        said.until.map_or_else(String::new, |until| format!(", at {} it ends by itself", moment(until)));
    format!("\"tempfail overrides --remove {}\" ends the {}{by_itself}", said.subject, said.effect.word())
}
