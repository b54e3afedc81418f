//! The section of feedback: whether messages are marked, and how much each source may say.

use super::admin::AdminService;
use super::reader::{Fault, Faults, Section, Value};
use super::values;
use policy_core::feedback::{Source, SourceRule};
use policy_core::policy::Policy;

/// The most that a source can weigh: spam of it counts as much as a spamtrap does twice.
const HEAVIEST: f64 = 10.0;
const MOST: u32 = 60_000;

/// Reads the section.
pub(super) fn section(mut section: Section<'_>, policy: &mut Policy, admin: &mut AdminService) {
    section.set("header", &mut policy.mark, values::boolean);
    section.set("users", &mut admin.feedback_users, users);
    let mut sources = section.section("sources");
    for source in Source::ALL {
        rule(sources.section(source.name()), policy.sources.rule_mut(source));
    }
    sources.finish();
    section.finish();
}

/// Users of this system, by name.
fn users(value: Value<'_>) -> Result<Vec<u32>, Faults> {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for name in value.elements("an array of users' names")? {
        match user(name) {
            Ok(user) => found.push(user),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(Faults(faults)) }
}

fn user(value: Value<'_>) -> Result<u32, Fault> {
    let name = value.text("the name of a user")?;
    match nix::unistd::User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(value.unexpected("the name of a user of this system")),
        Err(error) => Err(value.fault(format!("user {name:?} cannot be looked up: {}", error.desc()))),
    }
}

fn rule(mut section: Section<'_>, rule: &mut SourceRule) {
    let mut weight = f64::from(rule.weight);
    section.set("weight", &mut weight, |value| values::number(value, 0.0..=HEAVIEST));
    rule.weight = weight as f32;
    let SourceRule { per_sender, per_reporter, per_day, .. } = rule;
    for (key, cap) in [("per_sender", per_sender), ("per_reporter", per_reporter), ("per_day", per_day)] {
        // At most 60,000, which fits.
        section.set(key, cap, |value| values::whole(value, ..=MOST).map(|cap| cap as u16));
    }
    section.finish();
}
