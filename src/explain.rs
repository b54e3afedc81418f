//! What is held of somebody, why, until when, and what would change it: for people, and as JSON for programs.
//!
//! One explanation for the command line, the admin interface and the demonstration; its text is made here alone.
//!
//! Names in it come from clients, so the text shows whatever is not printable ASCII escaped.

mod changes;
mod decision;
mod text;
mod values;

pub use decision::{DecisionTold, because};
pub use values::{Found, HeardTold, Limit, OverrideTold, Remembered, StandingTold, Suspected, Term};

use crate::engine::Engine;
use crate::log::{mode, moment};
use crate::recent::Record;
use ipnet::IpNet;
use policy_core::Order;
use policy_core::answer::DecisionId;
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage};
use policy_core::findings::Findings;
use policy_core::name::{DomainName, Mailbox};
use policy_core::networks::{canonical, canonical_network};
use policy_core::overrides::{Override, Subject};
use policy_core::policy::Mode;
use policy_core::time::Timestamp;
use policy_core::verdict::Action;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// Decisions that are shown, the latest ones.
const LAST: usize = 10;
/// Hosts of a network that are shown, those that most is known of.
const HOSTS: usize = 20;

/// Whom or what somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A client.
    Address(IpAddr),
    /// All clients of a network.
    Network(IpNet),
    /// A domain, and one mailbox of it when there is one.
    Domain(DomainName, Option<Mailbox>),
    /// A decision, by its id or by a mail server's queue id.
    Decision(String),
}

impl About {
    /// What this text is about; `None` when it is nothing that anything could be known of.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
        // As logs and replies write a client: with its name before it, and as an address literal (RFC 5321 section 4.1.3).
        let literal = text.split_once('[').and_then(|(_, text)| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = literal.trim_start_matches("IPv6:").parse::<IpAddr>() {
            return Some(Self::Address(canonical(address)));
        }
        if text.contains('/') {
            return text
                .parse::<IpNet>()
                .ok()
                .map(|network| Self::Network(canonical_network(network.trunc())));
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
        DomainName::proper(text).map(|domain| Self::Domain(domain, None))
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
    /// Whether its next message would have to wait; `None` where `standing` is.
    pub suspicion: Option<Suspected>,
    /// All terms of the standing, strongest first: they add up to its log-odds.
    pub contributions: Vec<Term>,
    /// What was looked up with the latest question.
    pub found: Vec<Found>,
    /// What is remembered of each identity.
    pub remembered: Vec<Remembered>,
    /// The limits that its messages are under.
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

impl Explained {
    /// Explains; `None` when a decision is asked about that is not among the latest ones.
    pub fn of(engine: &Engine, about: &About) -> Option<Self> {
        match about {
            About::Address(address) => Some(Self::of_address(engine, *address)),
            About::Network(network) => Some(Self::of_network(engine, *network)),
            About::Domain(domain, mailbox) => Some(Self::of_domain(engine, domain, mailbox.as_ref())),
            About::Decision(text) => {
                let asked = |record: &Record| {
                    let is_queued = record.facts.message.queue_id.as_deref() == Some(text.as_str());
                    is_queued || DecisionId::parse(text) == Some(record.verdict.id)
                };
                // Of a message's recipients that one is asked about which was not let in.
                let is_kept_out = |record: &Record| asked(record) && record.verdict.action != Action::Accept;
                let found = engine.newest().find(|record| is_kept_out(record));
                match found.or_else(|| engine.newest().find(|record| asked(record))) {
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
        let overrides = engine.state().overrides();
        let (speaking, unproven) = (overrides.speaking(facts, now), overrides.unproven(facts, now));
        let unproven = unproven.into_iter().map(|said| OverrideTold { unproven: true, ..said.into() });
        let remembered: Vec<Remembered> = explanation.identities.iter().map(Remembered::of).collect();
        let limits = values::limits(&explanation);
        let own = explanation.identities.first().is_some_and(|own| !own.is_empty());
        Self {
            known: own || !last.is_empty() || speaking.is_some(),
            changes: changes::of_client(
                &about,
                facts.client.address,
                &explanation,
                &limits,
                speaking.as_ref(),
                policy.mode,
            ),
            standing: Some(StandingTold::of(&explanation.standing)),
            suspicion: Some(Suspected::of(&explanation.standing, &policy.waits)),
            contributions: explanation.contributions.iter().map(Term::of).collect(),
            found: explanation.found.iter().map(Found::of).collect(),
            pending: explanation.pending.iter().copied().map(moment).collect(),
            heard: explanation.heard.iter().map(HeardTold::of).collect(),
            refused_until: engine
                .state()
                .on_ladder(facts.client.address, now)
                .and_then(|place| place.refused_until)
                .map(moment),
            overrides: speaking.map(OverrideTold::from).into_iter().chain(unproven).collect(),
            last: last.iter().map(|record| DecisionTold::of(record)).collect(),
            remembered,
            limits,
            ..Self::nothing(about, policy.mode, now)
        }
    }

    /// What is held of a network, and of the hosts in it that most is known of.
    fn of_network(engine: &Engine, network: IpNet) -> Self {
        let (policy, state, now) = (engine.policy(), engine.state(), engine.clock().now());
        let last = last(engine, |record| network.contains(&record.facts.client.address));
        let own = state.record_of(network, now);
        let hosts = state.ranking(Some(network), Order::Evidence, HOSTS, now);
        let hosts = hosts.iter().filter(|host| host.network != network).map(Remembered::of_host);
        let remembered: Vec<Remembered> = own.iter().map(Remembered::of).chain(hosts).collect();
        let is_about = |said: &Override| match said.subject {
            Subject::Network(other) => other.contains(&network) || network.contains(&other),
            _ => false,
        };
        let said = state.overrides().list().into_iter().filter(|said| said.holds(now) && is_about(said));
        let said: Vec<Override> = said.collect();
        let mut changes: Vec<String> = said.iter().map(changes::ends).collect();
        if said.is_empty() {
            changes.push(format!("\"tempfail allow {network}\" lets in what comes from there"));
        }
        Self {
            known: !last.is_empty() || !remembered.is_empty() || !said.is_empty(),
            overrides: said.into_iter().map(OverrideTold::from).collect(),
            last: last.iter().map(|record| DecisionTold::of(record)).collect(),
            remembered,
            changes,
            ..Self::nothing(network.to_string(), policy.mode, now)
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
        let allotment = engine.state().allotment_of(&policy, domain, now);
        let limits: Vec<Limit> = allotment.iter().flat_map(|all| values::of_allotment(all, now)).collect();
        let pending = engine.state().pending_of(domain, now);
        let mut changes: Vec<String> = changes::of_limits(&limits).collect();
        changes.extend(pending.first().map(|&at| changes::of_pending(at, now)));
        changes.extend(said.iter().map(changes::ends));
        if said.is_empty() {
            changes
                .push(format!("\"tempfail allow {about}\" lets in what SPF or DKIM shows to be from there"));
        }
        Self {
            known: !last.is_empty() || !remembered.is_empty() || !said.is_empty(),
            overrides: said.into_iter().map(OverrideTold::from).collect(),
            last: last.iter().map(|record| DecisionTold::of(record)).collect(),
            pending: pending.into_iter().map(moment).collect(),
            remembered,
            limits,
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
            suspicion: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_text_is_about() {
        for text in
            ["192.0.2.0/33", "2001:db8::/x", "/", "mail.example.com/24", "", "a b", "..", "mail[1.2.3", "[]"]
        {
            assert_eq!(About::parse(text), None, "{text}");
        }
        let network = |text: &str| Some(About::Network(text.parse().unwrap()));
        assert_eq!(About::parse("192.0.2.7/24"), network("192.0.2.0/24"));
        assert_eq!(About::parse("2001:db8::/32"), network("2001:db8::/32"));
        let address = |text: &str| Some(About::Address(text.parse().unwrap()));
        for text in ["192.0.2.7", "[192.0.2.7]", "mail.example.com[192.0.2.7]", "::ffff:192.0.2.7"] {
            assert_eq!(About::parse(text), address("192.0.2.7"), "{text}");
        }
        assert_eq!(About::parse("[IPv6:2001:db8::7]"), address("2001:db8::7"));
        assert_eq!(About::parse("<a@example.com>"), About::parse("a@example.com"));
        assert!(matches!(About::parse("mail.example.com"), Some(About::Domain(_, None))));
    }
}
