//! The line of a decision.
//!
//! It begins as greylisting programs write theirs, so what reads those logs reads this one: `action=`,
//! `reason=`, `client_name=`, `client_address=`, `sender=`, `recipient=`. `action` is what was answered;
//! where the verdict was another, because the mode is observe, `would` has it. Durations are whole seconds.
//!
//! | key | value |
//! | --- | --- |
//! | `would` | `defer` or `reject`, when that was the verdict and not the answer |
//! | `mode` | `observe` or `enforce` |
//! | `id` | the decision's id, as in the SMTP reply |
//! | `standing`, `p` | the word, and the chance of spam from 0 to 1 that it rests on |
//! | `spf`, `dkim`, `dmarc` | results, where they are known |
//! | `verified` | domains that SPF or DKIM verified |
//! | `lists` | DNS lists that have the client or a name of its |
//! | `code` | 421, 451 or 550 |
//! | `limit`, `of`, `whose` | the limit that was reached, its dimension, and whose it is |
//! | `retry_after` | when the client may come back |
//! | `delay` | how long a client was away that came back |
//! | `helo`, `queue_id`, `size`, `authenticated` | as the mail server gave them |
//! | `protocol` | `policy` or `milter` |
//! | `stage` | `connect`, `helo`, `mail`, `rcpt`, `data` or `end-of-message` |

use super::line::{Line, Value};
use crate::recent::Record;
use policy_core::answer::Reply;
use policy_core::facts::{Facts, FrontEnd, Stage};
use policy_core::findings::{Dkim, Dmarc, Spf};
use policy_core::name::Sender;
use policy_core::policy::Mode;
use policy_core::verdict::{Reason, Verdict};
use std::time::Duration;
use tracing::Level;

/// The line of a decision.
pub(crate) fn decision(record: &Record, level: Level) -> Line<'_> {
    let mut line = Line::decision(record.at, level);
    let (facts, verdict) = (&*record.facts, &*record.verdict);
    line.push("action", word(record.action()));
    line.push("reason", word(verdict.reason.code()));
    asked(&mut line, facts);
    line.push_some("would", record.would().map(word));
    line.push("mode", word(mode(record.mode)));
    line.push("id", Value::Text(verdict.id.to_string().into()));
    found(&mut line, facts, verdict);
    answered(&mut line, record);
    told(&mut line, facts);
    line
}

/// Who wants to send what to whom.
fn asked<'r>(line: &mut Line<'r>, facts: &'r Facts) {
    let name = facts.client.name.as_ref().map_or("unknown", |name| name.as_str());
    line.push("client_name", word(name));
    line.push("client_address", Value::Text(facts.client.address.to_string().into()));
    line.push_some("sender", facts.envelope.sender.as_ref().map(sender));
    let recipient = facts.envelope.recipient.as_ref();
    line.push_some("recipient", recipient.map(|mailbox| Value::Text(mailbox.to_string().into())));
}

fn sender(sender: &Sender) -> Value<'static> {
    match sender {
        Sender::Null => word("<>"),
        Sender::Mailbox(mailbox) => Value::Text(mailbox.to_string().into()),
    }
}

/// What was looked up, where that has an answer.
fn looked_up(line: &mut Line<'_>, facts: &Facts) {
    let findings = &facts.findings;
    line.push_some("spf", spf(findings.spf).map(word));
    line.push_some("dkim", dkim(findings.dkim).map(word));
    line.push_some("dmarc", dmarc(findings.dmarc).map(word));
    let verified: Vec<&str> = facts.message.verified.iter().map(|v| v.domain.as_str()).collect();
    line.push_some("verified", some_of(&verified).map(|names| Value::Text(names.into())));
    let listings = findings.notes.iter().filter(|note| note.signal == "list" && note.age.is_some());
    let lists: Vec<&str> = listings.map(|note| note.source.as_str()).collect();
    line.push_some("lists", some_of(&lists).map(|names| Value::Text(names.into())));
}

/// Names in one value, each once; `None` without any.
fn some_of(names: &[&str]) -> Option<String> {
    let mut once: Vec<&str> = Vec::new();
    names.iter().for_each(|name| {
        if !once.contains(name) {
            once.push(name)
        }
    });
    (!once.is_empty()).then(|| once.join(","))
}

const fn spf(spf: Spf) -> Option<&'static str> {
    match spf {
        Spf::Unknown => None,
        Spf::None => Some("none"),
        Spf::Neutral => Some("neutral"),
        Spf::Pass => Some("pass"),
        Spf::Fail => Some("fail"),
        Spf::SoftFail => Some("softfail"),
        Spf::PermError => Some("permerror"),
    }
}

const fn dkim(dkim: Dkim) -> Option<&'static str> {
    match dkim {
        Dkim::Unknown => None,
        Dkim::None => Some("none"),
        Dkim::Pass => Some("pass"),
        Dkim::Fail => Some("fail"),
    }
}

const fn dmarc(dmarc: Dmarc) -> Option<&'static str> {
    match dmarc {
        Dmarc::Unknown => None,
        Dmarc::None => Some("none"),
        Dmarc::Pass => Some("pass"),
        Dmarc::Fail | Dmarc::Quarantine | Dmarc::Reject => Some("fail"),
    }
}

fn found(line: &mut Line<'_>, facts: &Facts, verdict: &Verdict) {
    if let Some(standing) = &verdict.standing {
        line.push("standing", word(standing.word.as_str()));
        line.push("p", Value::Number(f64::from(standing.judged)));
    }
    looked_up(line, facts);
    if let Some(refusal) = verdict.reason.refusal() {
        line.push("limit", Value::Number(refusal.limit));
        line.push("of", word(refusal.dimension.unit()));
        line.push("whose", word(refusal.whose.word()));
    }
    line.push_some("retry_after", verdict.retry_after.map(seconds));
    if let Reason::Returned(delay) = verdict.reason {
        line.push("delay", seconds(delay));
    }
}

fn answered(line: &mut Line<'_>, record: &Record) {
    match &record.reply {
        Reply::Accept => {}
        Reply::Defer(code, _) => line.push("code", word(code.digits())),
        Reply::Reject(_) => line.push("code", word("550")),
    }
}

/// What else the mail server said.
fn told<'r>(line: &mut Line<'r>, facts: &'r Facts) {
    line.push_some("helo", facts.client.helo.as_ref().map(|helo| word(helo)));
    line.push_some("authenticated", facts.client.authenticated.as_ref().map(|login| word(login)));
    line.push_some("queue_id", facts.message.queue_id.as_ref().map(|id| word(id)));
    let size = facts.message.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX));
    line.push_some("size", size.map(Value::Integer));
    line.push("protocol", word(protocol(facts.front_end)));
    line.push("stage", word(stage(facts.stage)));
}

fn word(word: &str) -> Value<'_> {
    Value::Text(word.into())
}

/// Rounded up, so that a client that waits as long is not early.
fn seconds(duration: Duration) -> Value<'static> {
    Value::Integer(i64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i64::MAX))
}

/// A front end's name in log and metrics.
pub(crate) const fn protocol(front_end: FrontEnd) -> &'static str {
    match front_end {
        FrontEnd::Policy => "policy",
        FrontEnd::Milter => "milter",
    }
}

/// A mode's name, as in the configuration.
pub(crate) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "off",
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "connect",
        Stage::Helo => "helo",
        Stage::Mail => "mail",
        Stage::Rcpt => "rcpt",
        Stage::Data => "data",
        Stage::EndOfMessage => "end-of-message",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Stamp};
    use super::*;
    use policy_core::answer::{DecisionId, DeferCode, ReplyText};
    use policy_core::facts::{Client, Envelope, Message, SessionId};
    use policy_core::findings::Findings;
    use policy_core::name::{DomainName, Mailbox};
    use policy_core::time::Timestamp;
    use policy_core::verdict::Action;
    use std::sync::Arc;

    fn record(reason: Reason, action: Action, mode: Mode) -> Record {
        let mut client = Client::new("192.0.2.7".parse().unwrap());
        client.name = DomainName::new("mail.src.example");
        client.helo = Some("a b".into());
        let facts = Facts {
            session: SessionId::Tcp("192.0.2.7:4321".parse().unwrap()),
            front_end: FrontEnd::Policy,
            stage: Stage::Rcpt,
            transaction: None,
            client,
            envelope: Envelope {
                sender: Sender::new("a@src.example"),
                recipient: Mailbox::new("b@dest.example"),
                accepted_recipients: None,
            },
            message: Message { queue_id: Some("4ABC".into()), size: Some(1234), ..Message::default() },
            findings: Findings::default(),
        };
        let retry_after = (action == Action::Defer).then_some(Duration::from_millis(289_001));
        let verdict = Verdict { action, retry_after, ..Verdict::accept(DecisionId::new(7), reason) };
        let reply = match (mode, action) {
            (Mode::Enforce, Action::Defer) => Reply::Defer(DeferCode::Closing, ReplyText::new("later")),
            _ => Reply::Accept,
        };
        let at = Timestamp::from_secs(0);
        Record {
            at,
            facts: Arc::new(facts),
            verdict: Arc::new(verdict),
            reply,
            mode,
            subject: None,
            recipient: None,
        }
    }

    #[test]
    fn observing_says_what_enforcing_would_do() {
        let record = record(Reason::FirstContact, Action::Defer, Mode::Observe);
        assert_eq!(
            decision(&record, Level::INFO).text(Stamp::Priority),
            "<6>action=pass, reason=first-contact, client_name=mail.src.example, client_address=192.0.2.7, \
             sender=a@src.example, recipient=b@dest.example, would=defer, mode=observe, id=00000007, \
             retry_after=290, helo=\"a b\", queue_id=4ABC, size=1234, protocol=policy, stage=rcpt"
        );
    }

    #[test]
    fn enforcing_says_the_code_and_nothing_of_what_would_be() {
        let record = record(Reason::FirstContact, Action::Defer, Mode::Enforce);
        let line = decision(&record, Level::INFO).text(Stamp::Priority);
        assert!(line.starts_with("<6>action=defer, reason=first-contact, "), "{line}");
        assert!(line.contains(", mode=enforce, ") && line.contains(", code=421, "), "{line}");
        assert!(!line.contains("would="), "{line}");
    }

    #[test]
    fn what_came_back_has_its_delay_in_json_too() {
        let record = record(Reason::Returned(Duration::from_secs(305)), Action::Accept, Mode::Enforce);
        let line = Format::Json.render(&decision(&record, Level::INFO), Stamp::Time);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((json["delay"].as_i64(), json["reason"].as_str()), (Some(305), Some("returned")));
        assert_eq!(json["would"], serde_json::Value::Null);
    }

    #[test]
    fn the_document_has_what_each_reason_asks_for() {
        const DOCUMENT: &str = include_str!("../../docs/log.md");
        let (_, reasons) = DOCUMENT.split_once("| code | action |").unwrap();
        let rows = reasons.lines().skip(2).take_while(|line| line.starts_with('|'));
        let mut told: Vec<(&str, String)> = Vec::new();
        for row in rows {
            let mut columns = row.split('|').skip(1);
            let (codes, actions) = (columns.next().unwrap(), columns.next().unwrap().trim());
            told.extend(codes.split('`').skip(1).step_by(2).map(|code| (code, actions.to_owned())));
        }
        let words = |actions: &[Action]| actions.iter().map(|a| a.word()).collect::<Vec<_>>().join(" or ");
        let mut all: Vec<(&str, String)> =
            policy_core::verdict::OUTCOMES.iter().map(|(code, actions)| (*code, words(actions))).collect();
        told.sort_unstable();
        all.sort_unstable();
        assert_eq!(told, all);
    }

    #[test]
    fn the_document_has_every_key_and_every_reason() {
        const DOCUMENT: &str = include_str!("../../docs/log.md");
        let own = include_str!("decision.rs").split("#[cfg(test)]").next().unwrap();
        let pushed = own.split("line.push").skip(1).filter_map(|call| call.split('"').nth(1));
        let codes = include_str!("../../policy-core/src/verdict.rs");
        let (_, codes) = codes.split_once("pub const fn code(").unwrap();
        let codes = codes.split("/// The limit behind it").next().unwrap().split('"').skip(1).step_by(2);
        let all: Vec<&str> = pushed.chain(codes).collect();
        assert!(all.len() > 40 && all.contains(&"retry_after") && all.contains(&"exempt-domain"), "{all:?}");
        let missing: Vec<&str> =
            all.into_iter().filter(|word| !DOCUMENT.contains(&format!("`{word}`"))).collect();
        assert_eq!(missing, [""; 0]);
    }
}
