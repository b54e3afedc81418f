//! Feedback: what is heard of a message after it was let in, from whom, and how much that may say.
//!
//! ```text
//! subject: which message, whom it is booked on, what the decision rested on
//!   -> weight of the source       0 silences it
//!   -> the book of messages       heard of this kind already: nothing; a later word corrects an earlier one
//!   -> caps                       of one reporter about one sender, about all, and of the source in all
//!   -> the ledger                 what was booked is taken back at its time, what is heard is booked now
//!   -> the model                  is taught the label when it is a new one
//! ```
//!
//! Invariant: whatever is heard of a message and however often, each kind of source counts once for it, and
//! what is booked is what a message would have that only the last words were said of.
//!
//! Precedence: what a person says corrects a filter and a complaint; a filter corrects a filter. A trap is a
//! fact and not a judgement: nothing corrects it.
//!
//! Known limits: the model is taught the new label and cannot be untaught the old one. A message that the
//! book has lost under pressure may be heard of again; the caps bound what that is worth.

mod anchor;
pub(crate) mod book;
mod carried;

pub use anchor::Anchor;
pub use book::Heard;
pub use carried::Carried;

use crate::facts::Facts;
use crate::identity::{Identities, Key};
use crate::session::Decided;
use crate::state::State;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The name of the header field by which feedback finds whom a message is booked on.
pub const MARK: &str = "X-Tempfail";

/// Feedback about an older message is not heard: its evidence has faded, and the book has forgotten it.
pub const OLDEST: Duration = Duration::from_secs(60 * 86_400);

/// A message, by a number that no other has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub u64);

/// Where feedback comes from. Each kind counts once for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The verdict of a content filter.
    Filter,
    /// A spamtrap was among the recipients.
    Trap,
    /// A complaint report (RFC 5965).
    Complaint,
    /// Another program that knows better.
    Api,
    /// Somebody who has read the message.
    Person,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 5] = [Self::Filter, Self::Trap, Self::Complaint, Self::Api, Self::Person];

    /// Its name in configuration, interface and explanations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Trap => "trap",
            Self::Complaint => "complaint",
            Self::Api => "api",
            Self::Person => "person",
        }
    }

    /// The source of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }

    /// What its word of spam weighs unless configured: a filter's as much as a good message, a person's twice
    /// that. A trap never errs.
    pub const fn default_weight(self) -> f32 {
        match self {
            Self::Filter | Self::Api => 1.0,
            Self::Complaint | Self::Person => 2.0,
            Self::Trap => 5.0,
        }
    }

    /// Whether its word takes the place of what this other has said.
    const fn corrects(self, other: Self) -> bool {
        !matches!(other, Self::Trap) && self.rank() >= other.rank()
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Filter => 0,
            Self::Complaint => 1,
            Self::Api => 2,
            Self::Person => 3,
            Self::Trap => 4,
        }
    }
}

/// How much a source may say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceRule {
    /// Messages' worth of bad evidence that its word of spam is; its word of ham is as much good evidence, and
    /// at most that of one message. Nothing is heard of a source that weighs nothing.
    pub weight: f32,
    /// Words of one reporter in a day (UTC) about one sender that count; 0 is no cap.
    pub per_sender: u16,
    /// Words of one reporter in a day that count; 0 is no cap.
    pub per_reporter: u16,
    /// Words of the source in a day that count; 0 is no cap.
    pub per_day: u16,
}

/// The rules of all sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources([SourceRule; Source::ALL.len()]);

impl Default for Sources {
    /// People and other servers are capped: one who complains of everything, or of one sender again and again,
    /// must not close it to all others. A trap says one word a day of a sender: anybody can sign it up for a shop's
    /// letters. This server's own filter is not capped.
    fn default() -> Self {
        Self(Source::ALL.map(|source| {
            let (per_sender, per_reporter, per_day) = match source {
                Source::Filter => (0, 0, 0),
                Source::Trap => (1, 0, 0),
                Source::Complaint => (1, 20, 500),
                Source::Api => (0, 1000, 5000),
                Source::Person => (1, 100, 2000),
            };
            SourceRule { weight: source.default_weight(), per_sender, per_reporter, per_day }
        }))
    }
}

impl Sources {
    /// The rule of a source.
    pub const fn rule(&self, source: Source) -> &SourceRule {
        &self.0[source as usize]
    }

    /// The same, to be changed.
    pub const fn rule_mut(&mut self, source: Source) -> &mut SourceRule {
        &mut self.0[source as usize]
    }
}

/// A message that feedback is about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Which.
    pub message: MessageId,
    /// When it was let in.
    pub let_in: Timestamp,
    /// Whom it is booked on.
    pub identities: Arc<Identities>,
    /// What the decision rested on; without it the model is taught nothing.
    pub(crate) decided: Option<Decided>,
}

impl Subject {
    /// The message of a decision that is still remembered, which was made at this moment.
    pub fn of_verdict(verdict: &Verdict, let_in: Timestamp) -> Option<Self> {
        let identities = Arc::clone(verdict.identities.as_ref()?);
        let decided = verdict.standing.as_ref().map(|standing| Decided::of(&identities, standing));
        Some(Self { message: verdict.message, let_in, identities, decided })
    }

    /// Who has sent it, in one key: its organisation, or its address.
    pub fn sender(&self) -> Key {
        self.identities.group.unwrap_or(self.identities.address())
    }
}

/// What is heard of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct News<'a> {
    /// From where.
    pub source: Source,
    /// From whom; the caps are for each by itself.
    pub reporter: &'a str,
    /// Whether it is called spam.
    pub spam: bool,
    /// Whether the sender could have written this itself: verified domains are then not charged, and the model
    /// is taught nothing.
    pub forgeable: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It counts.
    Counted,
    /// It counts in place of what was said before.
    Corrected,
    /// The same was heard before.
    Known,
    /// Somebody who knows better has said otherwise.
    Overruled,
    /// This reporter has said enough about this sender today.
    CapSender,
    /// This reporter has said enough today.
    CapReporter,
    /// Enough has been heard from this source today.
    CapDay,
    /// The source weighs nothing.
    Silenced,
    /// The message came in too long ago.
    TooOld,
}

impl Effect {
    /// Whether anything was booked.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Counted | Self::Corrected)
    }

    /// In words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Corrected => "counted, in place of what was said before",
            Self::Known => "known already",
            Self::Overruled => "not counted: somebody who knows better has said otherwise",
            Self::CapSender => "not counted: this reporter has said enough about this sender today",
            Self::CapReporter => "not counted: this reporter has said enough today",
            Self::CapDay => "not counted: enough has been heard from this source today",
            Self::Silenced => "not counted: the source has no weight",
            Self::TooOld => "not counted: the message came in too long ago",
        }
    }
}

impl State {
    /// A message of which only these facts are known, under a name that the mail server gave it. The model is
    /// taught nothing by it: what the decision rested on is not known.
    pub fn subject(&self, facts: &Facts, name: &[&str], let_in: Timestamp) -> Subject {
        let parts: Vec<&[u8]> = [b"named message".as_slice()]
            .into_iter()
            .chain(name.iter().map(|part| part.as_bytes()))
            .collect();
        let identities = Arc::new(Identities::of(facts, &self.keyring));
        let message = MessageId(self.keyring.digest(&parts));
        Subject { message, let_in, identities, decided: None }
    }

    /// Takes in what is heard of a message.
    pub(crate) fn hear(&self, rules: &Sources, subject: &Subject, news: News<'_>, now: Timestamp) -> Effect {
        let rule = rules.rule(news.source);
        if rule.weight <= 0.0 {
            return Effect::Silenced;
        }
        if now.since(subject.let_in) > OLDEST {
            return Effect::TooOld;
        }
        let admit =
            |corrects| self.reporters.hear(&self.keyring, rule, &news, subject.sender(), corrects, now);
        let change = match self.messages.hear(&self.keyring, rule, subject, &news, now, admit) {
            Ok(change) => change,
            Err(effect) => return effect,
        };
        if let (true, Some(decided)) = (change.teaches, &subject.decided) {
            let said = (decided.said, &decided.heard);
            self.ledger.teach(&decided.identities, said, news.spam, now);
        }
        for (key, verified) in subject.identities.keys_by_proof() {
            change.steps(verified).for_each(|(weight, at)| self.ledger.add(key, weight, at));
        }
        if !news.spam && !news.forgeable {
            self.pools.note(&subject.identities, now);
        }
        if change.corrects { Effect::Corrected } else { Effect::Counted }
    }
}

#[cfg(test)]
mod tests;
