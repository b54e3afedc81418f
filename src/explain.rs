//! What is held of somebody, why, until when, and what would change it: for people, and as JSON for programs.
//!
//! One explanation for the command line, the admin interface and the demonstration; its text is made here alone.
//!
//! Names in it come from clients, so the text shows whatever is not printable ASCII escaped.

mod decision;
mod text;

pub use decision::{DecisionTold, because};

use crate::engine::Engine;
use crate::log::{mode, moment};
use crate::recent::Record;
use policy_core::allowance::Dimension;
use policy_core::answer::DecisionId;
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage};
use policy_core::feedback::Heard;
use policy_core::findings::{Findings, Note};
use policy_core::identity::networks_of;
use policy_core::name::{DomainName, Mailbox};
use policy_core::overrides::{Override, Subject};
use policy_core::policy::Mode;
use policy_core::standing::{Contribution, Standing, Word};
use policy_core::time::Timestamp;
use policy_core::{Explanation, KeyExplanation, Prospect};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Decisions that are shown, the latest ones.
const LAST: usize = 10;

/// Whom or what somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A client.
    Address(IpAddr),
    /// A domain, and one mailbox of it when there is one.
    Domain(DomainName, Option<Mailbox>),
    /// A decision, by its id or by a mail server's queue id.
    Decision(String),
}

impl About {
    /// What this text is about; `None` when it is nothing that anything could be known of.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        // Nothing is held of a network that somebody names, and no domain has one's name.
        if text.contains('/') {
            return None;
        }
        if text.contains('@') {
            let mailbox = Mailbox::new(text)?;
            let domain = mailbox.domain.clone()?;
            return Some(Self::Domain(domain, Some(mailbox)));
        }
        let id =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if id {
            return Some(Self::Decision(text.to_owned()));
        }
        DomainName::new(text).map(|domain| Self::Domain(domain, None))
    }
}

/// An explanation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Explained {
    /// Whom or what it is about.
    pub about: String,
    /// Whether anything is held of it.
    pub known: bool,
    /// The moment of the explanation.
    pub at: String,
    /// `off`, `observe` or `enforce`.
    pub mode: String,
    /// The decision that was asked about, as it was made.
    pub decision: Option<DecisionTold>,
    /// How the client stands now; `None` for a domain, which has none without a client.
    pub standing: Option<StandingTold>,
    /// All terms of the standing, strongest first: they add up to its log-odds.
    pub contributions: Vec<Term>,
    /// What was looked up with the latest question.
    pub found: Vec<Found>,
    /// What is remembered of each identity.
    pub remembered: Vec<Remembered>,
    /// The limits of the address.
    pub limits: Vec<Limit>,
    /// When retries of what was deferred may pass.
    pub pending: Vec<String>,
    /// What people and filters have said of its messages, by source.
    pub heard: Vec<HeardTold>,
    /// Until when the ladder refuses it, if it does; see `[ladder]`.
    pub refused_until: Option<String>,
    /// What an operator has said about it, and is in force.
    pub overrides: Vec<OverrideTold>,
    /// What would change it, in words.
    pub changes: Vec<String>,
    /// The latest decisions, newest first.
    pub last: Vec<DecisionTold>,
}

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

impl Explained {
    /// Explains; `None` when a decision is asked about that is not among the latest ones.
    pub fn of(engine: &Engine, about: &About) -> Option<Self> {
        match about {
            About::Address(address) => Some(Self::of_address(engine, *address)),
            About::Domain(domain, mailbox) => Some(Self::of_domain(engine, domain, mailbox.as_ref())),
            About::Decision(text) => {
                let asked = |record: &Record| {
                    let is_queued = record.facts.message.queue_id.as_deref() == Some(text.as_str());
                    is_queued || DecisionId::parse(text) == Some(record.verdict.id)
                };
                match engine.newest().find(|record| asked(record)) {
                    Some(record) => Some(Self::of_decision(engine, text, &record)),
                    // A name without a dot may be a host's.
                    None => DomainName::new(text)
                        .map(|domain| Self::of_domain(engine, &domain, None))
                        .filter(|explained| explained.known),
                }
            }
        }
    }

    /// How the client of a decision stands now, with the decision as it was made.
    pub fn of_decision(engine: &Engine, about: &str, record: &Record) -> Self {
        let address = record.facts.client.address;
        let decision = Some(DecisionTold::of(record));
        let last = last(engine, |other| other.facts.client.address == address);
        Self { decision, known: true, ..Self::of_facts(engine, about.to_owned(), &record.facts, last) }
    }

    fn of_address(engine: &Engine, address: IpAddr) -> Self {
        let last = last(engine, |record| record.facts.client.address == address);
        let latest = last.first().map(|record| Arc::clone(&record.facts));
        let facts = latest.unwrap_or_else(|| Arc::new(only_address(address)));
        Self::of_facts(engine, address.to_string(), &facts, last)
    }

    fn of_facts(engine: &Engine, about: String, facts: &Facts, last: Vec<Arc<Record>>) -> Self {
        let (policy, now) = (engine.policy(), engine.clock().now());
        let explanation = engine.state().explain(&policy, facts, now);
        let speaking = engine.state().overrides().speaking(facts, now);
        let remembered: Vec<Remembered> = explanation.identities.iter().map(Remembered::of).collect();
        let limits = limits(&explanation);
        let own = explanation.identities.first().is_some_and(|own| !own.is_empty());
        Self {
            known: own || !last.is_empty() || speaking.is_some(),
            changes: changes(
                &about,
                facts.client.address,
                &explanation,
                &limits,
                speaking.as_ref(),
                policy.mode,
            ),
            standing: Some(StandingTold::of(&explanation.standing)),
            contributions: explanation.contributions.iter().map(Term::of).collect(),
            found: explanation.found.iter().map(Found::of).collect(),
            pending: explanation.pending.iter().copied().map(moment).collect(),
            heard: explanation.heard.iter().map(HeardTold::of).collect(),
            refused_until: engine
                .state()
                .on_ladder(facts.client.address, now)
                .and_then(|place| place.refused_until)
                .map(moment),
            overrides: speaking.map(OverrideTold::from).into_iter().collect(),
            last: last.iter().map(|record| DecisionTold::of(record)).collect(),
            remembered,
            limits,
            ..Self::nothing(about, policy.mode, now)
        }
    }

    fn of_domain(engine: &Engine, domain: &DomainName, mailbox: Option<&Mailbox>) -> Self {
        let (policy, now) = (engine.policy(), engine.clock().now());
        let last = last(engine, |record| concerns(&record.facts, domain, mailbox));
        let remembered: Vec<Remembered> =
            engine.state().records_of(domain, mailbox, now).iter().map(Remembered::of).collect();
        let all = engine.state().overrides().list().into_iter().filter(|said| said.holds(now));
        let said: Vec<Override> = all.filter(|said| is_about(&said.subject, domain, mailbox)).collect();
        let about = mailbox.map_or_else(|| domain.to_string(), ToString::to_string);
        let mut changes: Vec<String> = said.iter().map(ends).collect();
        if said.is_empty() {
            changes
                .push(format!("\"tempfail allow {about}\" lets in what SPF or DKIM shows to be from there"));
        }
        Self {
            known: !last.is_empty() || !remembered.is_empty() || !said.is_empty(),
            overrides: said.into_iter().map(OverrideTold::from).collect(),
            last: last.iter().map(|record| DecisionTold::of(record)).collect(),
            remembered,
            changes,
            ..Self::nothing(about, policy.mode, now)
        }
    }

    fn nothing(about: String, in_force: Mode, now: Timestamp) -> Self {
        Self {
            about,
            known: false,
            at: moment(now),
            mode: mode(in_force).to_owned(),
            decision: None,
            standing: None,
            contributions: Vec::new(),
            found: Vec::new(),
            remembered: Vec::new(),
            limits: Vec::new(),
            pending: Vec::new(),
            heard: Vec::new(),
            refused_until: None,
            overrides: Vec::new(),
            changes: Vec::new(),
            last: Vec::new(),
        }
    }
}

fn last(engine: &Engine, wanted: impl Fn(&Record) -> bool) -> Vec<Arc<Record>> {
    engine.newest().filter(|record| wanted(record)).take(LAST).collect()
}

/// A client of which nothing else is known.
fn only_address(address: IpAddr) -> Facts {
    Facts {
        session: SessionId::Connection(FrontEnd::Policy, 0),
        front_end: FrontEnd::Policy,
        stage: Stage::Connect,
        transaction: None,
        client: Client::new(address),
        envelope: Envelope::default(),
        message: Message::default(),
        findings: Findings::default(),
    }
}

/// Whether a domain, or what lies below it, stands anywhere in these facts; or a mailbox as the sender.
fn concerns(facts: &Facts, domain: &DomainName, mailbox: Option<&Mailbox>) -> bool {
    let sender = facts.envelope.sender.as_ref();
    if let Some(mailbox) = mailbox {
        let wanted = mailbox.to_string().to_lowercase();
        return sender.is_some_and(|sender| sender.to_string().to_lowercase() == wanted);
    }
    let helo = facts.client.helo.as_deref().and_then(DomainName::new);
    let names = [facts.client.name.as_ref(), facts.client.reverse_name.as_ref(), helo.as_ref()];
    let names =
        names.into_iter().chain([sender.and_then(|sender| sender.domain()), facts.message.signed.as_ref()]);
    let verified = facts.message.verified.iter().map(|verified| &verified.domain);
    names.flatten().chain(verified).any(|name| name.and_parents().any(|name| name == *domain))
}

/// Whether an override speaks of a domain or of what it lies below, or of this mailbox.
fn is_about(subject: &Subject, domain: &DomainName, mailbox: Option<&Mailbox>) -> bool {
    let of_domain = domain.and_parents().any(|name| *subject == Subject::Domain(name));
    let of_mailbox = mailbox.and_then(|mailbox| mailbox.to_string().parse().ok());
    of_domain || of_mailbox.is_some_and(|mailbox: Subject| *subject == mailbox)
}

fn ends(said: &Override) -> String {
    let by_itself =
        said.until.map_or_else(String::new, |until| format!(", at {} it ends by itself", moment(until)));
    format!("\"tempfail overrides --remove {}\" ends the {}{by_itself}", said.subject, said.effect.word())
}

impl StandingTold {
    fn of(standing: &Standing) -> Self {
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
    fn of(term: &Contribution) -> Self {
        let Contribution { source, estimate, evidence, log_odds } = *term;
        Self { source: source.to_string(), log_odds, alone: estimate, evidence }
    }
}

impl Found {
    fn of(note: &Note) -> Self {
        Self {
            signal: note.signal.to_owned(),
            value: note.value.to_string(),
            source: note.source.to_string(),
            age: note.age.map(|age| age.as_secs()),
        }
    }
}

impl HeardTold {
    fn of(heard: &Heard) -> Self {
        let Heard { source, spam, ham, last } = *heard;
        Self { source: source.name().to_owned(), spam, ham, last: moment(last) }
    }
}

impl Remembered {
    fn of(key: &KeyExplanation) -> Self {
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

fn limits(explanation: &Explanation) -> Vec<Limit> {
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

/// What would change how a client stands, or let its mail in.
fn changes(
    about: &str,
    address: IpAddr,
    explanation: &Explanation,
    limits: &[Limit],
    speaking: Option<&Override>,
    mode: Mode,
) -> Vec<String> {
    let mut changes: Vec<String> = explanation.prospects.iter().map(prospect).collect();
    for limit in limits.iter().filter(|limit| limit.left < 1.0) {
        changes.push(match &limit.back {
            Some(back) => format!("the limit of {} is used up: there is one again at {back}", limit.unit),
            None => format!("as many {} as may be: one that ends makes room", limit.unit),
        });
    }
    changes.extend(explanation.pending.first().map(|&at| match at.since(explanation.now) {
        left if left.is_zero() => "a retry of what was deferred passes now".to_owned(),
        _ => format!("a retry of what was deferred passes from {} on", moment(at)),
    }));
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

#[cfg(test)]
mod tests {
    use super::*;
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
        explanation.outstanding = (PerHour([4.0; 4]), 0);
        explanation.quota = quota(5.0, 5.0);
        assert_eq!(limits(&explanation)[1].back, None);
        explanation.quota = quota(2.0, 1.0);
        let messages = &limits(&explanation)[1];
        let back = moment(now.after(Duration::from_secs(3 * 3600)));
        assert_eq!((messages.left, messages.back.as_deref()), (0.0, Some(back.as_str())));
    }

    #[test]
    fn a_network_is_nothing_to_explain() {
        for text in ["192.0.2.0/24", "2001:db8::/32", "", "a b"] {
            assert_eq!(About::parse(text), None, "{text}");
        }
        assert!(matches!(About::parse("mail.example.com"), Some(About::Domain(_, None))));
    }
}
