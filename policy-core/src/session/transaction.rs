//! One mail transaction within a session, as both front ends see it, and what it amounts to when it is over.

use crate::allowance::{MAX_KEYS, PerHour};
use crate::facts::{FrontEnd, Stage, TransactionId};
use crate::features::Heard;
use crate::feedback::{MessageId, Subject};
use crate::identity::{Identities, Key};
use crate::outcome::Outcome;
use crate::policy::{Exemption, Policy};
use crate::standing::{Standing, Word};
use crate::verdict::{Reason, Verdict};
use arrayvec::ArrayVec;
use std::sync::Arc;

/// Recipients of a transaction whose answers are remembered.
pub(super) const MAX_ANSWERS: usize = 128;

/// Unknown recipients that one message from the null sender may have and its server be innocent.
const OF_A_BOUNCE: u32 = 2;

/// One mail transaction.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// The tokens that the front ends gave it, by [`slot`].
    pub(super) tokens: [Option<TransactionId>; 2],
    /// Answers by recipient digest.
    pub(super) answers: Vec<(u64, Arc<Verdict>)>,
    /// The latest verdict that let a recipient in.
    pub(crate) accepting: Option<Arc<Verdict>>,
    /// Whom it is booked on.
    pub(super) identities: Option<Arc<Identities>>,
    /// The same before the message itself was seen.
    pub(super) of_envelope: Option<Arc<Identities>>,
    /// What the first decision rested on.
    pub(super) decided: Option<Decided>,
    /// The message's name, once anything is decided of it.
    pub(crate) message: Option<MessageId>,
    /// Whether it has passed the waits for some recipient.
    pub(crate) past_waits: bool,
    /// Whether the message itself has been debited.
    pub(crate) message_debited: bool,
    /// Octets debited so far.
    pub(crate) bytes_debited: u64,
    /// Whether a verified domain has been debited for it.
    pub(crate) domain_debited: bool,
    /// What others than the host have paid for it: its network and its domain.
    paid: Paid,
    /// A spamtrap was among the recipients.
    pub(crate) trapped: bool,
    /// DATA or the end of the message has been asked about.
    pub(super) reached_data: bool,
    /// Recipients that were let in, whether by the verdict or by observe mode.
    pub(crate) accepted: u32,
    /// Of these, those that every message may go to.
    free: u32,
    /// Recipients that the mail server refused after us.
    pub(super) refused: u32,
    /// Of these, the unknown ones.
    pub(super) unknown: u32,
    /// Whether its outcome has been booked.
    pub(super) settled: bool,
    /// Whether a filter's verdict has been booked.
    pub(super) filtered: bool,
}

/// Something that a transaction amounts to.
#[derive(Debug)]
pub(crate) struct Account {
    /// Whom it is booked on.
    pub(crate) identities: Arc<Identities>,
    /// What the first decision rested on; `None` when nothing is to be learned of that.
    pub(crate) decided: Option<Decided>,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What a decision rested on.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    /// As they were then: more may be known when the message has arrived.
    pub(crate) identities: Arc<Identities>,
    /// What the model said, as log-odds.
    pub(crate) said: f32,
    /// What it had heard of the chains.
    pub(crate) heard: Heard,
    /// Whether the standing was High or Medium.
    pub(crate) well: bool,
}

impl Decided {
    pub(crate) fn of(identities: &Arc<Identities>, standing: &Standing) -> Self {
        let well = matches!(standing.word, Word::High | Word::Medium);
        Self { identities: Arc::clone(identities), said: standing.log_odds, heard: standing.heard, well }
    }
}

/// What a content filter has said of a message.
#[derive(Debug)]
pub(crate) struct Saying {
    /// The session's policy, which says how much a filter may say.
    pub(crate) policy: Arc<Policy>,
    pub(crate) subject: Subject,
    pub(crate) spam: bool,
    pub(crate) forgeable: bool,
}

/// What a finished transaction amounts to.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// A message that was let in, unknown recipients, both or nothing.
    pub(crate) accounts: ArrayVec<Account, 2>,
    /// What those get back who have paid beside the host for a message that never came.
    pub(crate) given_back: Paid,
}

/// What keys have paid.
pub(crate) type Paid = ArrayVec<(Key, PerHour), MAX_KEYS>;

pub(super) const fn slot(front_end: FrontEnd) -> usize {
    match front_end {
        FrontEnd::Policy => 0,
        FrontEnd::Milter => 1,
    }
}

impl Transaction {
    /// Whether this transaction is the one that a front end means by `token`.
    pub(super) fn is(&self, front_end: FrontEnd, token: TransactionId) -> bool {
        self.tokens[slot(front_end)].is_none_or(|known| known == token)
    }

    /// Whether a verdict that let a recipient in holds for the whole message. A message for a spamtrap alone is
    /// let in to its end, whatever the trap has just made of its sender's standing. A postmaster among other
    /// recipients exempts nobody but himself.
    pub(super) fn is_settled_by(&self, verdict: &Verdict) -> bool {
        let settles = match verdict.reason {
            // What an operator says holds at once, and may have changed.
            Reason::Exempt(exemption) => exemption != Exemption::Override,
            reason => reason == Reason::Spamtrap,
        };
        settles && !self.message_debited
    }

    /// Notes a recipient that is let in.
    pub(super) fn let_in(&mut self, verdict: &Verdict) {
        let free = matches!(verdict.reason, Reason::Exempt(Exemption::Recipient) | Reason::Spamtrap);
        self.accepted += 1;
        self.free += u32::from(free);
    }

    /// Whether it goes to exempt recipients and spamtraps alone. Such mail pays nothing, so it must not earn anything
    /// either: whoever writes to postmaster all day would be well known in the evening.
    pub(super) fn is_free(&self) -> bool {
        !self.message_debited && self.accepted > 0 && self.accepted == self.free
    }

    /// The verdict to give and remember for a recipient. Where the client hears of none, those alike share the
    /// first one, id and all, so that what a session takes does not grow with its recipients.
    pub(super) fn shared(&self, verdict: &Arc<Verdict>, enforced: bool) -> Arc<Verdict> {
        let alike = |known: &&Arc<Verdict>| known.reason.code() == verdict.reason.code();
        let known = self.answers.iter().map(|(_, known)| known).find(alike).filter(|_| !enforced);
        Arc::clone(known.unwrap_or(verdict))
    }

    pub(super) fn answered(&self, recipient: u64) -> Option<&Arc<Verdict>> {
        self.answers.iter().find(|(known, _)| *known == recipient).map(|(_, verdict)| verdict)
    }

    /// What it amounts to, once. Without a message nothing was let in, but refused recipients still count.
    pub(super) fn settle(&mut self, received: bool, recipients: Option<u32>) -> Settled {
        let mut settled = Settled::default();
        if std::mem::replace(&mut self.settled, true) {
            return settled;
        }
        let accounts = &mut settled.accounts;
        let let_in = recipients.unwrap_or(self.accepted.saturating_sub(self.refused));
        let recipients = if received && !self.is_free() { let_in } else { 0 };
        // Bounces of what others sent in our users' names, and callouts about such, come from innocent servers. These ask
        // for a recipient or two, who looks for addresses asks for many.
        let innocent =
            |identities: &Arc<Identities>| identities.traits.is_from_nobody() && self.unknown <= OF_A_BOUNCE;
        let unknown = if self.identities.as_ref().is_some_and(innocent) { 0 } else { self.unknown };
        if let Some(identities) = self.identities.clone().filter(|_| recipients > 0) {
            let outcome = Outcome::Accepted { recipients, unknown };
            accounts.push(Account { identities, decided: self.decided.clone(), outcome });
        }
        // A signature says nothing of the envelope: anybody can send a signed message again, to whomever he likes.
        if let Some(identities) = self.of_envelope.clone().filter(|_| unknown > 0) {
            let outcome = Outcome::UnknownRecipients { recipients, unknown };
            accounts.push(Account { identities, decided: None, outcome });
        }
        // Whoever begins and never ends would else use up what strangers around him, or in his name, share.
        if recipients == 0 {
            settled.given_back = std::mem::take(&mut self.paid);
        }
        settled
    }

    /// Notes what another than the host has paid.
    pub(crate) fn note_paid(&mut self, key: Key, cost: PerHour) {
        match self.paid.iter_mut().find(|(known, _)| *known == key) {
            Some((_, paid)) => *paid = paid.and(cost),
            // More keys than one question debits come together only where its standing changes halfway.
            None => drop(self.paid.try_push((key, cost))),
        }
    }

    /// Notes whom it is from, as far as is known at a stage.
    pub(crate) fn identify(&mut self, identities: &Arc<Identities>, stage: Stage) {
        self.identities = Some(Arc::clone(identities));
        if stage < Stage::EndOfMessage {
            self.of_envelope = Some(Arc::clone(identities));
        }
    }

    /// Whether the message may be taken to have arrived, when its end was never seen. A milter always sees
    /// it. Postfix's policy client that asks about DATA somewhere has asked about this one or it never came
    /// so far; one that asks about recipients only leaves no better guess.
    pub(super) fn presumed_received(&self, sees_data: bool) -> bool {
        let watched = self.tokens[slot(FrontEnd::Milter)].is_some();
        !watched && self.accepted > 0 && (self.reached_data || !sees_data)
    }
}
