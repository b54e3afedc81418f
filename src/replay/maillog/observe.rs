//! Plays a log's messages to the engine in observe mode, question by question as the policy service asks.

use super::assemble::Letter;
use crate::replay::engine::Engine;
use compact_str::format_compact;
use policy_core::engine::{Event, Refusal, Report};
use policy_core::facts::{Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId};
use policy_core::findings::Findings;
use policy_core::name::Mailbox;
use policy_core::policy::{Mode, Policy};
use policy_core::standing::Word;
use policy_core::time::Timestamp;
use policy_core::verdict::{Action, Verdict};
use policy_core::{decide, report};
use std::sync::Arc;
use std::time::Duration;

/// Questions asked of one message: a log may say any number of recipients.
const MOST_QUESTIONS: u32 = 1000;

/// A message that would have been deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deferral {
    /// The reason's code.
    pub(super) reason: &'static str,
    /// The standing in a word.
    pub(super) word: Option<Word>,
    /// How long it would have been told to stay away.
    pub(super) retry_after: Duration,
}

/// An engine that watches a log.
pub(super) struct Observer {
    policy: Arc<Policy>,
    engine: Engine,
    serial: u64,
}

impl Observer {
    /// One with an empty state. A policy that judges nothing is played as if it observed.
    pub(super) fn new(policy: &Policy, bytes: usize, now: Timestamp) -> Self {
        let policy = Arc::new(Policy { mode: Mode::Observe, ..policy.clone() });
        Self { policy, engine: Engine::new(bytes, now), serial: 0 }
    }

    /// Asks about each recipient, tells what became of it, and gives the first deferral.
    pub(super) fn judge(&mut self, letter: &Letter) -> Option<Deferral> {
        self.engine.sweep(letter.time);
        self.serial += 1;
        let questions = letter.accepted.clamp(1, MOST_QUESTIONS);
        let mut deferral = None;
        for n in 0..questions {
            let decision = decide(&self.policy, &self.engine.state, &self.facts(letter, n), letter.time);
            deferral = deferral.or_else(|| deferral_of(&decision.verdict));
        }
        self.tell(letter, became(letter, TransactionId(self.serial)));
        self.tell(letter, Event::SessionClosed);
        deferral
    }

    fn session(&self) -> SessionId {
        SessionId::Connection(FrontEnd::Policy, self.serial)
    }

    fn facts(&self, letter: &Letter, n: u32) -> Facts {
        let named = letter.recipients.get(n as usize).cloned();
        let recipient = named.unwrap_or_else(|| format_compact!("recipient{n}@recipient.invalid"));
        Facts {
            session: self.session(),
            front_end: FrontEnd::Policy,
            stage: Stage::Rcpt,
            transaction: Some(TransactionId(self.serial)),
            client: letter.client.clone(),
            envelope: Envelope {
                sender: letter.sender.clone(),
                recipient: Mailbox::new(&recipient),
                accepted_recipients: Some(n),
            },
            message: Message { size: letter.size, ..Message::default() },
            findings: Findings::default(),
        }
    }

    fn tell(&self, letter: &Letter, event: Event) {
        let news = Report { session: self.session(), front_end: FrontEnd::Policy, event };
        report(&self.engine.state, &news, letter.time);
    }
}

fn deferral_of(verdict: &Verdict) -> Option<Deferral> {
    (verdict.action != Action::Accept).then(|| Deferral {
        reason: verdict.reason.code(),
        word: verdict.standing.as_ref().map(|standing| standing.word),
        retry_after: verdict.retry_after.unwrap_or_default(),
    })
}

fn became(letter: &Letter, transaction: TransactionId) -> Event {
    match letter.accepted {
        0 => Event::RecipientRefused { transaction, refusal: Refusal::UnknownRecipient },
        recipients => Event::MessageReceived { transaction, recipients: Some(recipients), filter: None },
    }
}
