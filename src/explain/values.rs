//! What an explanation is made of, one value for each part of it.

use crate::log::moment;
use policy_core::allowance::Dimension;
use policy_core::evidence::Reading;
use policy_core::feedback::Heard;
use policy_core::findings::Note;
use policy_core::identity::Kind;
use policy_core::overrides::Override;
use policy_core::policy::Waits;
use policy_core::standing::{Contribution, Standing};
use policy_core::time::Timestamp;
use policy_core::{Allotment, Explanation, KeyExplanation, Ranked};
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

/// What decides whether a message would have to wait.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Suspected {
    /// Whether it would, unless it has come back before.
    pub suspicious: bool,
    /// The chance of spam that counts: against the most certain spam of this server, or as far as it is believed.
    pub certainty: f32,
    /// From which on it is suspicious.
    pub at_least: f32,
    /// The share of this server's good mail that looked at least as bad; `None` while too little is known.
    pub good_above: Option<f32>,
    /// Up to which it is suspicious, if it is most likely spam.
    pub good_share: f32,
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

/// A limit that its messages are under.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Limit {
    /// Whose: of the `host`, of the `network` around it, of the `domain` or of the sender's `mailbox`.
    pub whose: String,
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
    /// It allows what nothing shows this client or message to be, so it does not hold for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproven: bool,
}

impl From<Override> for OverrideTold {
    fn from(said: Override) -> Self {
        let Override { subject, effect, since, until, note } = said;
        let until = until.map(moment);
        Self { key: subject.to_string(), effect, since: moment(since), until, note, unproven: false }
    }
}

impl Suspected {
    pub(super) fn of(standing: &Standing, waits: &Waits) -> Self {
        Self {
            suspicious: waits.is_suspicious(standing),
            certainty: standing.certainty,
            at_least: waits.suspicious,
            good_above: standing.good_above,
            good_share: waits.good_share,
        }
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
        Self::new(key.kind, key.name.clone(), &key.reading)
    }

    pub(super) fn of_host(host: &Ranked) -> Self {
        Self::new(Kind::Address, host.network.to_string(), &host.reading)
    }

    fn new(kind: Kind, name: String, reading: &Reading) -> Self {
        Self {
            kind: kind.word().to_owned(),
            name,
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

/// The limits that messages are under: those by the hour of each that pays, and that of the host's sessions.
pub(super) fn limits(explanation: &Explanation) -> Vec<Limit> {
    let now = explanation.now;
    explanation.allotments.iter().flat_map(|allotment| of_allotment(allotment, now)).collect()
}

pub(super) fn of_allotment(allotment: &Allotment, now: Timestamp) -> impl Iterator<Item = Limit> {
    let Allotment { whose, quota, used, sessions } = *allotment;
    let limit = move |dimension: Dimension, at_once, by_the_hour, left, back| Limit {
        whose: whose.word().to_owned(),
        unit: dimension.unit().to_owned(),
        at_once,
        by_the_hour,
        left,
        back,
    };
    let hourly = used.into_iter().flat_map(|used| Dimension::HOURLY.into_iter().zip(used.0).enumerate());
    let hourly = hourly.map(move |(n, (dimension, used))| {
        let (at_once, rate) = (quota.burst.0[n], quota.rate.0[n]);
        // Who has turned from Low to Bad may have used more than it may now.
        let left = (at_once - used).max(0.0);
        let missing = used + 1.0 - at_once;
        let back = (missing > 0.0 && rate > 0.0)
            .then(|| Duration::from_secs_f64((missing / rate * 3600.0).min(1e9)));
        limit(dimension, at_once, Some(rate), left, back.map(|wait| moment(now.after(wait))))
    });
    let sessions = sessions.map(move |open| {
        let left = f64::from(quota.sessions.saturating_sub(open));
        limit(Dimension::Sessions, f64::from(quota.sessions), None, left, None)
    });
    hourly.chain(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::only_address;
    use policy_core::State;
    use policy_core::allowance::{PerHour, Quota};
    use policy_core::policy::Policy;

    #[test]
    fn of_a_limit_that_has_shrunk_nothing_is_left_until_that_has_drained() {
        let now = Timestamp::from_secs(1_700_000_000);
        let state = State::new(1 << 20, [1; 16], now);
        let facts = only_address([192, 0, 2, 7].into());
        let mut explanation = state.explain(&Policy::default(), &facts, now);
        let quota = |burst, rate| Quota { burst: PerHour([burst; 4]), rate: PerHour([rate; 4]), sessions: 2 };
        let host = &mut explanation.allotments[0];
        (host.used, host.quota) = (Some(PerHour([4.0; 4])), quota(5.0, 5.0));
        assert_eq!(limits(&explanation)[1].back, None);
        explanation.allotments[0].quota = quota(2.0, 1.0);
        let messages = &limits(&explanation)[1];
        let back = moment(now.after(Duration::from_secs(3 * 3600)));
        assert_eq!((messages.left, messages.back.as_deref()), (0.0, Some(back.as_str())));
    }
}
