//! The two doors: [`decide()`] and [`learn`], and [`report`] for what front ends see happen.
//!
//! The path from facts to verdict is `judge`: exemptions, overrides, gateways, standing, ladder, waits,
//! allowance.

mod debits;

use crate::allowance::{Debit, MAX_KEYS, Whose};
use crate::answer::Reply;
use crate::audit::{Change, What};
use crate::deferral::{Contact, Question, WaitFor};
use crate::engine::Report;
use crate::facts::{Facts, Stage};
use crate::feedback::{self, MessageId, News, Source};
use crate::identity::{Identities, networks_of};
use crate::ladder::Step;
use crate::ledger::Readings;
use crate::outcome::Outcome;
use crate::overrides::{Effect, Override, Subject};
use crate::policy::{Exemption, Mode, Policy};
use crate::quota::is_mixed;
use crate::session::{Decided, Session};
use crate::standing::{Standing, Word, word_alone};
use crate::state::{Appraisal, State};
use crate::time::Timestamp;
use crate::verdict::{self, Action, Reason, Scope, Verdict};
use arrayvec::ArrayVec;
use debits::{BYTES, MESSAGES, is_convicted};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use debits::{Payer, Purse, is_trusted};

/// When a client comes back that a gateway's domain refuses: nothing will have changed soon.
const GATEWAY_RETRY: Duration = Duration::from_secs(3600);

/// A verdict, and what to say of it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The verdict.
    pub verdict: Arc<Verdict>,
    /// The reply to write on the wire.
    pub reply: Reply,
    /// Whether this says something new: a repeated question, or one asked before anything is judged, has
    /// cost nothing and is not worth a line in the log.
    pub first: bool,
    /// The message that is let in with this, at its end, for feedback.
    pub subject: Option<feedback::Subject>,
}

/// May this mail come in now? One question of one front end, answered from what is remembered; both front
/// ends hear the same of the same session.
pub fn decide(policy: &Arc<Policy>, state: &State, facts: &Facts, now: Timestamp) -> Decision {
    if policy.mode == Mode::Off {
        return unjudged(state, Reason::Off);
    }
    let recipient = recipient_digest(state, facts);
    let learn = |settled| state.settle(settled, now);
    state.sessions.ask(&state.keyring, policy, facts, now, learn, |session| {
        // Mostly it is the one that is asked with; counting it once more would be a line that all threads write to.
        let own = (!Arc::ptr_eq(&session.policy, policy)).then(|| Arc::clone(&session.policy));
        let policy = own.as_ref().unwrap_or(policy);
        if policy.mode == Mode::Off {
            return unjudged(state, Reason::Off);
        }
        if facts.stage < policy.reply_from {
            // Whoever guesses recipients and finds none is never asked about again.
            if facts.stage == Stage::Mail {
                session.transaction.identify(&Arc::new(Identities::of(facts, &state.keyring)), facts.stage);
            }
            return unjudged(state, Reason::Early);
        }
        if let Some(verdict) = session.answered(facts, recipient) {
            // The verdict stands. Whom the message is from is known better at its end.
            if facts.stage == Stage::EndOfMessage {
                session.transaction.identify(&Arc::new(Identities::of(facts, &state.keyring)), facts.stage);
            }
            let reply = verdict.reply(policy, &facts.client);
            let subject = subject(session, facts, &verdict, &reply, now);
            return Decision { verdict, reply, first: false, subject };
        }
        let verdict = Arc::new(judge(policy, state, session, facts, now));
        let reply = verdict.reply(policy, &facts.client);
        let standing = session.standing_verdict(facts, &verdict);
        let verdict = session.note(facts, recipient, verdict, reply != Reply::Accept);
        let first = standing.is_none();
        let verdict = standing.unwrap_or(verdict);
        let subject = subject(session, facts, &verdict, &reply, now);
        Decision { verdict, reply, first, subject }
    })
}

/// The message that is let in with this reply, if it ends here and came from outside.
fn subject(
    session: &Session,
    facts: &Facts,
    verdict: &Verdict,
    reply: &Reply,
    now: Timestamp,
) -> Option<feedback::Subject> {
    let own = [Exemption::Authenticated, Exemption::OwnNetwork].map(Reason::Exempt);
    let let_in = facts.stage == Stage::EndOfMessage && *reply == Reply::Accept;
    if let_in && !own.contains(&verdict.reason) { session.subject(now) } else { None }
}

/// Books what became of mail on its identities, and teaches the model whether what it said was right.
pub fn learn(state: &State, appraisal: &Appraisal, outcome: Outcome, now: Timestamp) {
    state.learn(appraisal, outcome, now);
}

/// Takes in what somebody says of a message that was let in; see [`crate::feedback`].
pub fn hear(
    policy: &Policy,
    state: &State,
    subject: &feedback::Subject,
    news: News<'_>,
    now: Timestamp,
) -> feedback::Effect {
    state.hear(&policy.sources, subject, news, now)
}

/// Takes in what a front end saw happen.
pub fn report(state: &State, report: &Report, now: Timestamp) {
    let learn = |settled| state.settle(settled, now);
    let hear = |saying| state.hear_saying(saying, now);
    state.sessions.report(&state.keyring, report, now, learn, hear);
}

fn unjudged(state: &State, reason: Reason) -> Decision {
    let verdict = Arc::new(Verdict::accept(state.next_id(), reason));
    Decision { verdict, reply: Reply::Accept, first: false, subject: None }
}

/// From facts to verdict.
fn judge(policy: &Policy, state: &State, session: &mut Session, facts: &Facts, now: Timestamp) -> Verdict {
    let message = *session.transaction.message.get_or_insert_with(|| state.new_message(now));
    let case = Case::new(policy, state, facts, message, now);
    if let Some(exemption) = policy.exempt.exempt(facts) {
        return case.accept(Reason::Exempt(exemption));
    }
    match state.overrides.speaking(facts, now) {
        Some(said) if said.effect == Effect::Allow => {
            return case.accept(Reason::Exempt(Exemption::Override));
        }
        Some(said) => return case.block(session, &said),
        None => {}
    }
    if policy.gateways.refuse(facts.client.address, facts.envelope.recipient.as_ref()) {
        return case.defer(session, Reason::Gateway, Scope::Recipient, GATEWAY_RETRY);
    }
    if case.springs_trap(session) {
        return case.accept(Reason::Spamtrap);
    }
    let readings = state.ledger.readings(&case.identities, now);
    let standing = state.ledger.standing(&case.identities, &readings, now);
    if case.is_refused(session, &standing, &readings) {
        return Verdict { action: Action::Reject, ..case.accept(Reason::Refused) }.of(standing);
    }
    let (reason, waited) = match case.wait(session, &standing, &readings) {
        Ok(passed) => passed,
        Err((reason, left)) => {
            // The other customers of a shared host have no part in it.
            let scope = if case.is_from_pool() { Scope::Domain } else { Scope::Client };
            return case.defer(session, reason, scope, left).of(standing);
        }
    };
    match case.reserve(session, &standing, &readings) {
        Ok(()) => {
            session.transaction.past_waits |= facts.stage >= Stage::Rcpt;
            // Once is evidence of a real mailer; again and again is what it costs to send spam slowly.
            if matches!(reason, Reason::Returned(_)) && standing.word == Word::New {
                case.book(Outcome::RetriedAsAsked);
            }
            // The next message to the same recipient waits again.
            if waited == Some(WaitFor::Reputation) {
                case.state.deferrals.use_up(&state.keyring, &case.identities, case.envelope());
            }
            case.accept(reason).of(standing)
        }
        Err((reason, scope, retry_after)) => case.defer(session, reason, scope, retry_after).of(standing),
    }
}

/// One question on its way to a verdict.
pub(crate) struct Case<'a> {
    policy: &'a Policy,
    state: &'a State,
    facts: &'a Facts,
    pub(crate) identities: Arc<Identities>,
    message: MessageId,
    now: Timestamp,
}

impl<'a> Case<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        state: &'a State,
        facts: &'a Facts,
        message: MessageId,
        now: Timestamp,
    ) -> Self {
        let identities = Arc::new(Identities::of(facts, &state.keyring));
        Self { policy, state, facts, identities, message, now }
    }

    fn accept(&self, reason: Reason) -> Verdict {
        let identities = Some(Arc::clone(&self.identities));
        Verdict { identities, message: self.message, ..Verdict::accept(self.state.next_id(), reason) }
    }

    fn defer(&self, session: &Session, reason: Reason, scope: Scope, retry_after: Duration) -> Verdict {
        Verdict {
            action: Action::Defer,
            scope,
            code: verdict::code(self.policy.code, scope, session.has_accepted()),
            retry_after: Some(retry_after),
            ..self.accept(reason)
        }
    }

    /// What an operator has blocked is deferred for as long as that holds, or refused. A block of a host is about
    /// the client; one of a sender leaves the host's other mail alone.
    fn block(&self, session: &Session, said: &Override) -> Verdict {
        let scope = if matches!(said.subject, Subject::Network(_)) { Scope::Client } else { Scope::Domain };
        let retry_after = said.until.map(|until| until.since(self.now));
        let blocked = Verdict { scope, ..self.accept(Reason::Blocked) };
        match said.effect {
            Effect::Reject => Verdict { action: Action::Reject, ..blocked },
            _ => {
                let code = verdict::code(self.policy.code, scope, session.has_accepted());
                Verdict { action: Action::Defer, code, retry_after, ..blocked }
            }
        }
    }

    /// A spamtrap among the recipients is remembered once a transaction, but for a bounce: who writes to others in the trap's
    /// name has innocent servers send it there. Each trap is a reporter by itself: whoever has others sign it up for their
    /// letters is not to close them.
    fn springs_trap(&self, session: &mut Session) -> bool {
        let recipient = self.facts.envelope.recipient.as_ref().filter(|_| self.facts.stage == Stage::Rcpt);
        let trap = recipient.and_then(|recipient| self.policy.spamtraps.entry_of(recipient));
        let Some(trap) = trap else { return false };
        let is_charged = !self.identities.traits.is_from_nobody();
        if is_charged && !std::mem::replace(&mut session.transaction.trapped, true) {
            let Appraisal { identities, standing } =
                self.state.appraise_identities(Arc::clone(&self.identities), self.now);
            let decided = Some(Decided::of(&identities, &standing));
            let subject = feedback::Subject { message: self.message, let_in: self.now, identities, decided };
            let news = News { source: Source::Trap, reporter: &trap, spam: true, forgeable: false };
            self.state.hear(&self.policy.sources, &subject, news, self.now);
        }
        true
    }

    /// Sender's domain and recipient, by which a retry is known.
    fn envelope(&self) -> u64 {
        self.identities.sender ^ recipient_digest(self.state, self.facts)
    }

    /// Whether the sender has to wait first, or what it has waited for: a suspicious stranger once, a suspicious or Bad
    /// sender that is known with each message. A message that has been let in is past that.
    ///
    /// Mixed mail waits once as well: its mailer comes back with everything, so that each wait would stop nothing.
    fn wait(
        &self,
        session: &Session,
        standing: &Standing,
        readings: &Readings,
    ) -> Result<(Reason, Option<WaitFor>), (Reason, Duration)> {
        let waits = &self.policy.waits;
        let (why, wait, reason) = match standing.word {
            Word::Bad => (WaitFor::Reputation, waits.bad, Reason::Reputation),
            _ if !waits.is_suspicious(standing) => return Ok((Reason::Allowed, None)),
            Word::New => (WaitFor::FirstContact, waits.first_contact, Reason::FirstContact),
            _ => (WaitFor::Reputation, waits.first_contact, Reason::Reputation),
        };
        let why = if is_mixed(&readings[0][0]) && !is_convicted(&self.identities, readings) {
            WaitFor::FirstContact
        } else {
            why
        };
        if wait.is_zero() || session.transaction.past_waits || self.facts.stage < Stage::Rcpt {
            return Ok((Reason::Allowed, None));
        }
        let question = Question {
            identities: &self.identities,
            envelope: self.envelope(),
            why,
            wait,
            assume_return: self.policy.mode == Mode::Observe,
        };
        match self.state.deferrals.ask(&self.state.keyring, &question, self.now) {
            Contact::Known => Ok((Reason::Allowed, Some(why))),
            Contact::Returned { delay } => Ok((Reason::Returned(delay), Some(why))),
            Contact::Wait { left, storm } => {
                if storm {
                    self.book(Outcome::RetryStorm);
                }
                Err((reason, left))
            }
        }
    }

    /// Whether the address has stayed Bad, by its own record, for so long that it is refused. A message that has been
    /// let in is past that.
    fn is_refused(&self, session: &Session, standing: &Standing, readings: &Readings) -> bool {
        let Some(ladder) = &self.policy.ladder else { return false };
        let (address, now) = (self.identities.address(), self.now);
        if word_alone(&readings[0][0]) != Word::Bad || self.is_pool() {
            if self.state.rungs.leave(&address, now) {
                self.note(What::Release, None, "it is Bad no more");
            }
            return false;
        }
        if standing.word != Word::Bad || session.transaction.message_debited {
            return false;
        }
        let step = self.state.rungs.step(address, ladder, now);
        if let Step::Up(until) = step {
            let observed = self.policy.mode == Mode::Observe;
            let note = if observed { "observed only" } else { "it stayed Bad and kept coming" };
            self.note(What::Refuse, Some(until), note);
        }
        step != Step::Below
    }

    /// Notes what the ladder does in the audit trail.
    fn note(&self, what: What, until: Option<Timestamp>, note: &str) {
        let [host, _] = networks_of(self.facts.client.address);
        let (who, key) = ("ladder".to_owned(), Subject::Network(host).to_string());
        self.state.audit.note(Change { at: self.now, who, what, key, until, note: note.to_owned() });
    }

    /// Books how it came back, on the host alone: its network and its sender have no part in that.
    fn book(&self, outcome: Outcome) {
        self.state.ledger.add(self.identities.address(), outcome.weight(), self.now);
    }

    /// Debits what the question costs, from all keys or from none.
    fn reserve(
        &self,
        session: &mut Session,
        standing: &Standing,
        readings: &Readings,
    ) -> Result<(), (Reason, Scope, Duration)> {
        let cost = self.cost(session);
        let begins = cost.0[MESSAGES] > 0.0;
        let (payers, debits): (ArrayVec<Payer, MAX_KEYS>, ArrayVec<Debit, MAX_KEYS>) =
            self.debits(session, standing, readings, cost).into_iter().unzip();
        match self.state.meters.reserve(&debits, session.place.is_none(), self.now) {
            Ok(place) => {
                session.place = session.place.take().or(place);
                session.connection_debited = true;
                session.transaction.message_debited |= begins;
                session.transaction.domain_debited |=
                    payers.iter().any(|payer| matches!(payer, Payer::Domain | Payer::Signer));
                session.transaction.bytes_debited += cost.0[BYTES] as u64;
                let others = payers.iter().zip(&debits).filter(|(payer, _)| payer.whose() != Whose::Host);
                others.for_each(|(_, debit)| session.transaction.note_paid(debit.key, debit.cost));
                Ok(())
            }
            Err(refusal) => {
                let spike = self.policy.limits.is_spike(&readings[0][0]);
                let reason = verdict::limited(refusal, standing.word, spike);
                Err((reason, payers[refusal.index].scope(begins), refusal.retry_after))
            }
        }
    }

    /// Whether a verified domain sends from an address that many share: then its mail is its own affair.
    fn is_from_pool(&self) -> bool {
        self.identities.verified().next().is_some() && self.is_pool()
    }

    /// Whether the operator says that many send from the address.
    fn is_named_pool(&self) -> bool {
        self.policy.pools.contains(self.facts.client.address)
    }

    /// Whether many send from the address.
    fn is_pool(&self) -> bool {
        self.is_named_pool() || self.state.pools.contains(&self.identities.address(), self.now)
    }
}

impl Verdict {
    fn of(self, standing: Standing) -> Self {
        Self { standing: Some(standing), ..self }
    }
}

fn recipient_digest(state: &State, facts: &Facts) -> u64 {
    facts.envelope.recipient.as_ref().map_or(0, |recipient| state.keyring.recipient(recipient).0)
}
