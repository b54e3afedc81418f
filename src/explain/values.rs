//! What an explanation is made of, one value for each part of it.

use crate::log::moment;
use policy_core::allowance::Dimension;
use policy_core::feedback::Heard;
use policy_core::findings::Note;
use policy_core::overrides::Override;
use policy_core::standing::{Contribution, Standing};
use policy_core::{Explanation, KeyExplanation};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A standing.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StandingTold {
    /// High, Medium, Low, Bad or New.
    pub word: String,
    /// The chance that the next message is spam, which the word rests on: what it looks like, and its own record.
    pub probability: f32,
    /// The chance by what it looks like alone: the terms add up to it.
    pub looks: f32,
    /// Its optimistic end.
    pub lower: f32,
    /// Its pessimistic end.
    pub upper: f32,
    /// Messages' worth of evidence behind it.
    pub evidence: f32,
    /// The same as log-odds, which the terms add up to.
    pub log_odds: f32,
}

/// One term of the standing.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Term {
    /// Where it comes from, in words.
    pub source: String,
    /// What it adds to the log-odds; above zero speaks against the client.
    pub log_odds: f32,
    /// The chance of spam by this source alone.
    pub alone: f32,
    /// Messages' worth of evidence behind it.
    pub evidence: f32,
}

/// Something that was looked up.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Found {
    /// Which signal.
    pub signal: String,
    /// What it says.
    pub value: String,
    /// Who says so.
    pub source: String,
    /// How old the answer was, in seconds.
    pub age: Option<u64>,
}

/// What is remembered of one identity.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Remembered {
    /// What kind of identity.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Good weight of the last weeks.
    pub good: f32,
    /// Bad weight of the last weeks.
    pub bad: f32,
    /// The same of the last hours.
    pub good_lately: f32,
    /// The same of the last hours.
    pub bad_lately: f32,
    /// Messages today (UTC); one to more than two recipients counts as one for every two.
    pub today: f32,
    /// Messages on the busiest day before, faded.
    pub busiest: f32,
    /// Days since it was first seen.
    pub age_days: u16,
}

/// A limit of the address.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Limit {
    /// What is limited, with its unit.
    pub unit: String,
    /// Units that may come at once.
    pub at_once: f64,
    /// Units that come back each hour; `None` for what is not by the hour.
    pub by_the_hour: Option<f64>,
    /// Units left now.
    pub left: f64,
    /// When there is one again, if there is none now.
    pub back: Option<String>,
}

/// What was said of its messages by one source.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HeardTold {
    /// From where.
    pub source: String,
    /// Messages called spam.
    pub spam: u32,
    /// Messages called good.
    pub ham: u32,
    /// The latest word.
    pub last: String,
}

/// What an operator has said.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct OverrideTold {
    /// Whom it is about.
    pub key: String,
    /// `allow`, `block` or `reject`.
    pub effect: policy_core::overrides::Effect,
    /// When that was said.
    pub since: String,
    /// When it ends by itself; never when `None`.
    pub until: Option<String>,
    /// Why, in the operator's words.
    pub note: String,
}

impl From<Override> for OverrideTold {
    fn from(said: Override) -> Self {
        let Override { subject, effect, since, until, note } = said;
        Self { key: subject.to_string(), effect, since: moment(since), until: until.map(moment), note }
    }
}

impl StandingTold {
    pub(super) fn of(standing: &Standing) -> Self {
        Self {
            word: standing.word.to_string(),
            probability: standing.judged,
            looks: standing.probability,
            lower: standing.lower,
            upper: standing.upper,
            evidence: standing.evidence,
            log_odds: standing.log_odds,
        }
    }
}

impl Term {
    pub(super) fn of(term: &Contribution) -> Self {
        let Contribution { source, estimate, evidence, log_odds } = *term;
        Self { source: source.to_string(), log_odds, alone: estimate, evidence }
    }
}

impl Found {
    pub(super) fn of(note: &Note) -> Self {
        Self {
            signal: note.signal.to_owned(),
            value: note.value.to_string(),
            source: note.source.to_string(),
            age: note.age.map(|age| age.as_secs()),
        }
    }
}

impl HeardTold {
    pub(super) fn of(heard: &Heard) -> Self {
        let Heard { source, spam, ham, last } = *heard;
        Self { source: source.name().to_owned(), spam, ham, last: moment(last) }
    }
}

impl Remembered {
    pub(super) fn of(key: &KeyExplanation) -> Self {
        let reading = &key.reading;
        Self {
            kind: key.kind.word().to_owned(),
            name: key.name.clone(),
            good: reading.slow.good,
            bad: reading.slow.bad,
            good_lately: reading.fast.good,
            bad_lately: reading.fast.bad,
            today: reading.today,
            busiest: reading.busiest,
            age_days: reading.age_days,
        }
    }
}

/// The limits of the address: by the hour, and of sessions.
pub(super) fn limits(explanation: &Explanation) -> Vec<Limit> {
    let (quota, (used, sessions)) = (&explanation.quota, &explanation.outstanding);
    let hourly = Dimension::HOURLY.into_iter().enumerate().map(|(n, dimension)| {
        let (at_once, rate) = (quota.burst.0[n], quota.rate.0[n]);
        // Who has turned from Low to Bad may have used more than it may now.
        let left = (at_once - used.0[n]).max(0.0);
        let missing = used.0[n] + 1.0 - at_once;
        let back = (missing > 0.0 && rate > 0.0)
            .then(|| Duration::from_secs_f64((missing / rate * 3600.0).min(1e9)));
        let back = back.map(|wait| moment(explanation.now.after(wait)));
        Limit { unit: dimension.unit().to_owned(), at_once, by_the_hour: Some(rate), left, back }
    });
    let left = f64::from(quota.sessions.saturating_sub(*sessions));
    let unit = Dimension::Sessions.unit().to_owned();
    let sessions = Limit { unit, at_once: f64::from(quota.sessions), by_the_hour: None, left, back: None };
    hourly.chain([sessions]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::only_address;
    use policy_core::State;
    use policy_core::allowance::{PerHour, Quota};
    use policy_core::policy::Policy;
    use policy_core::time::Timestamp;

    #[test]
    fn of_a_limit_that_has_shrunk_nothing_is_left_until_that_has_drained() {
        let now = Timestamp::from_secs(1_700_000_000);
        let state = State::new(1 << 20, [1; 16], now);
        let facts = only_address([192, 0, 2, 7].into());
        let mut explanation = state.explain(&Policy::default(), &facts, now);
        let quota = |burst, rate| Quota { burst: PerHour([burst; 4]), rate: PerHour([rate; 4]), sessions: 2 };
        explanation.outstanding = (PerHour([4.0; 4]), 0);
        explanation.quota = quota(5.0, 5.0);
        assert_eq!(limits(&explanation)[1].back, None);
        explanation.quota = quota(2.0, 1.0);
        let messages = &limits(&explanation)[1];
        let back = moment(now.after(Duration::from_secs(3 * 3600)));
        assert_eq!((messages.left, messages.back.as_deref()), (0.0, Some(back.as_str())));
    }
}
