//! The two doors: [`decide()`] and [`learn`], and [`report`] for what front ends see happen.
//!
//! The path from facts to verdict is `judge`: exemptions, overrides, gateways, standing, ladder, waits,
//! allowance.

use crate::allowance::{Debit, MAX_KEYS, PerHour};
use crate::answer::Reply;
use crate::audit::{Change, What};
use crate::deferral::{Contact, Question, WaitFor};
use crate::engine::Report;
use crate::evidence::Reading;
use crate::facts::{Facts, Stage};
use crate::feedback::{self, MessageId, News, Source};
use crate::identity::{Chain, Identities, Key, Kind, networks_of};
use crate::ladder::Step;
use crate::ledger::{ChainReading, Readings};
use crate::outcome::Outcome;
use crate::overrides::{Effect, Override, Subject};
use crate::policy::{Exemption, Mode, Policy};
use crate::quota::{Lane, is_mixed, quota_word};
use crate::session::{Decided, Session};
use crate::standing::{Standing, Word, word_alone};
use crate::state::{Appraisal, State};
use crate::time::Timestamp;
use crate::verdict::{self, Action, Reason, Scope, Verdict};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::time::Duration;

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
                session.transaction.identities = Some(Arc::new(Identities::of(facts, &state.keyring)));
            }
            return unjudged(state, Reason::Early);
        }
        if let Some(verdict) = session.answered(facts, recipient) {
            // The verdict stands. Whom the message is from is known better at its end.
            if facts.stage == Stage::EndOfMessage {
                session.transaction.identities = Some(Arc::new(Identities::of(facts, &state.keyring)));
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
    let reason = match case.wait(session, &standing, &readings) {
        Ok(reason) => reason,
        Err((reason, left)) => {
            // The other customers of a shared host have no part in it.
            let scope = if case.is_from_pool() { Scope::Domain } else { Scope::Client };
            return case.defer(session, reason, scope, left).of(standing);
        }
    };
    match case.reserve(session, &standing, &readings) {
        Ok(()) => {
            // Once is evidence of a real mailer; again and again is what it costs to send spam slowly.
            if matches!(reason, Reason::Returned(_)) && standing.word == Word::New {
                case.book(Outcome::RetriedAsAsked);
            }
            case.accept(reason).of(standing)
        }
        Err((reason, scope, retry_after)) => case.defer(session, reason, scope, retry_after).of(standing),
    }
}

/// One question on its way to a verdict.
struct Case<'a> {
    policy: &'a Policy,
    state: &'a State,
    facts: &'a Facts,
    identities: Arc<Identities>,
    message: MessageId,
    now: Timestamp,
}

impl<'a> Case<'a> {
    fn new(
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

    /// A spamtrap among the recipients is remembered once a transaction.
    fn springs_trap(&self, session: &mut Session) -> bool {
        let recipient = self.facts.envelope.recipient.as_ref().filter(|_| self.facts.stage == Stage::Rcpt);
        let trap = recipient.is_some_and(|recipient| self.policy.spamtraps.contains(recipient));
        if trap && !std::mem::replace(&mut session.transaction.trapped, true) {
            let Appraisal { identities, standing } =
                self.state.appraise_identities(Arc::clone(&self.identities), self.now);
            let decided = Some(Decided::of(&identities, &standing));
            let subject = feedback::Subject { message: self.message, let_in: self.now, identities, decided };
            let news = News { source: Source::Trap, reporter: "", spam: true, forgeable: false };
            self.state.hear(&self.policy.sources, &subject, news, self.now);
        }
        trap
    }

    /// Whether the sender has to wait first: a suspicious stranger once, a suspicious or Bad sender that is
    /// known with each message. A message that has been let in is past that.
    ///
    /// Mixed mail waits once as well: its mailer comes back with everything, so that each wait would stop nothing.
    fn wait(
        &self,
        session: &Session,
        standing: &Standing,
        readings: &Readings,
    ) -> Result<Reason, (Reason, Duration)> {
        let waits = &self.policy.waits;
        let (why, wait, reason) = match standing.word {
            Word::Bad => (WaitFor::Reputation, waits.bad, Reason::Reputation),
            _ if !waits.is_suspicious(standing) => return Ok(Reason::Allowed),
            Word::New => (WaitFor::FirstContact, waits.first_contact, Reason::FirstContact),
            _ => (WaitFor::Reputation, waits.first_contact, Reason::Reputation),
        };
        let why = if is_mixed(&readings[0][0]) && !is_convicted(&self.identities, readings) {
            WaitFor::FirstContact
        } else {
            why
        };
        if wait.is_zero() || session.transaction.message_debited || self.facts.stage < Stage::Rcpt {
            return Ok(Reason::Allowed);
        }
        let question = Question {
            identities: &self.identities,
            envelope: self.identities.sender ^ recipient_digest(self.state, self.facts),
            why,
            wait,
            assume_return: self.policy.mode == Mode::Observe,
        };
        match self.state.deferrals.ask(&self.state.keyring, &question, self.now) {
            Contact::Known => Ok(Reason::Allowed),
            Contact::Returned { delay } => Ok(Reason::Returned(delay)),
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
        if standing.word != Word::Bad || word_alone(&readings[0][0]) != Word::Bad || self.is_pool() {
            if self.state.rungs.leave(&address, now) {
                self.note(What::Release, None, "it is Bad no more");
            }
            return false;
        }
        if session.transaction.message_debited {
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
                session.transaction.domain_debited |= payers.contains(&Payer::Domain);
                session.transaction.bytes_debited += cost.0[BYTES] as u64;
                Ok(())
            }
            Err(refusal) => {
                let spike = self.policy.limits.is_spike(&readings[0][0]);
                let reason = verdict::limited(refusal, standing.word, spike);
                Err((reason, payers[refusal.index].scope(begins), refusal.retry_after))
            }
        }
    }

    /// The keys that pay, each with its quota: the address; its prefix, and the network around an IPv6 prefix,
    /// of which one host may have thousands, while the client is a stranger or worse; the first verified domain. A
    /// mailbox that is trusted pays for itself where its host's mail is Low or Bad, and together with the others of
    /// its host as a stranger does.
    fn debits(
        &self,
        session: &Session,
        standing: &Standing,
        readings: &Readings,
        cost: PerHour,
    ) -> ArrayVec<(Payer, Debit), MAX_KEYS> {
        let limits = &self.policy.limits;
        let suspicious = self.policy.waits.is_suspicious(standing);
        let (trusted, convicted) = (self.trusted_mailbox(readings), is_convicted(&self.identities, readings));
        let debit = |payer, (key, reading): (Key, Reading), factor, cost| {
            // A good standing of this client does not open what its network or domain has closed.
            let word = match (payer, standing.word) {
                // All mailboxes together that were vouched for have what a stranger has.
                (Payer::Vouched, _) => Word::New,
                // A stranger that has waited because it looks like spam has shown no more than that it can.
                (Payer::Address, Word::New) if suspicious => Word::Low,
                (Payer::Address, word) => word,
                _ => standing.word_on(&reading),
            };
            // Bad neighbours, and who sends in the same name, must not use up what is left to such mail.
            let is_apart = match payer {
                Payer::Prefix | Payer::Network => standing.word == Word::New && !suspicious,
                Payer::Domain => trusted.is_some(),
                Payer::Address | Payer::Vouched | Payer::Mailbox => false,
            };
            let (lane, word) = match Lane::of(word) {
                Lane::Narrow if is_apart => (Lane::Apart, Word::Low),
                lane => (lane, word),
            };
            let word = quota_word(word, &reading, convicted);
            (payer, Debit { key: lane.key(key), quota: limits.quota(&reading, word, factor), cost })
        };
        let mut chains = self.identities.chains.iter().zip(readings);
        let mut debits = ArrayVec::new();
        let pool = self.is_from_pool();
        // The network's chain is always there, and the first.
        if let Some((network, reading)) = chains.next() {
            let is_narrow = Lane::of(standing.word) == Lane::Narrow;
            let vouched_for = trusted.filter(|_| is_narrow && !pool);
            let payer = if vouched_for.is_some() { Payer::Vouched } else { Payer::Address };
            // Its sessions alone are the host's own.
            let of_host = if pool { PerHour::default() } else { cost };
            debits.push(debit(payer, (network.specific(), reading[0]), 1.0, of_host));
            let is_alone = pool || vouched_for.is_some();
            debits.extend(vouched_for.map(|mailbox| debit(Payer::Mailbox, mailbox, 1.0, cost)));
            if !is_alone && !matches!(standing.word, Word::High | Word::Medium) {
                debits.push(debit(Payer::Prefix, widest(network, reading), limits.prefix_factor, cost));
                let around = network.levels().get(2).zip(reading.get(2)).filter(|_| self.is_ipv6());
                let factor = limits.prefix_factor * limits.prefix_factor;
                debits.extend(
                    around.map(|(&key, &reading)| debit(Payer::Network, (key, reading), factor, cost)),
                );
            }
        }
        let verified = chains.find(|(chain, _)| chain.kind == Kind::Verified);
        debits.extend(verified.map(|(chain, reading)| {
            let cost = self.domain_cost(session, cost);
            debit(Payer::Domain, widest(chain, reading), limits.domain_factor, cost)
        }));
        debits
    }

    /// The sender's mailbox, if something good is known of it since another day and it is not Bad by itself.
    ///
    /// One wrong label of a forwarder's correspondent would otherwise leave it to wait behind all the spam that comes
    /// from there, and never to be heard of again.
    fn trusted_mailbox(&self, readings: &Readings) -> Option<(Key, Reading)> {
        let (key, own) = mailbox(&self.identities, readings)?;
        let trusted = own.age_days >= 1 && own.slow.good >= VOUCHED_FOR && word_alone(&own) != Word::Bad;
        trusted.then_some((key, own))
    }

    /// Whether a verified domain sends from an address that many share: then its mail is its own affair.
    fn is_from_pool(&self) -> bool {
        self.identities.verified().next().is_some() && self.is_pool()
    }

    /// Whether many send from the address.
    fn is_pool(&self) -> bool {
        self.policy.pools.contains(self.facts.client.address)
            || self.state.pools.contains(&self.identities.address(), self.now)
    }

    fn is_ipv6(&self) -> bool {
        self.facts.client.address.to_canonical().is_ipv6()
    }

    /// What has not been debited yet of this session, transaction and recipient.
    fn cost(&self, session: &Session) -> PerHour {
        let facts = self.facts;
        let in_transaction = facts.stage >= Stage::Mail;
        let one = |is: bool| f64::from(u8::from(is));
        let size = facts.message.size.filter(|_| in_transaction).unwrap_or(0);
        PerHour([
            one(!session.connection_debited),
            one(in_transaction && !session.transaction.message_debited),
            one(facts.stage == Stage::Rcpt),
            size.saturating_sub(session.transaction.bytes_debited) as f64,
        ])
    }

    /// A domain that is verified only by the message itself owes all of it at once.
    fn domain_cost(&self, session: &Session, cost: PerHour) -> PerHour {
        let transaction = &session.transaction;
        if transaction.domain_debited || !transaction.message_debited {
            return cost;
        }
        let PerHour([connection, _, recipient, bytes]) = cost;
        let before = (f64::from(transaction.accepted), transaction.bytes_debited as f64);
        PerHour([connection, 1.0, recipient + before.0, bytes + before.1])
    }
}

/// The sender's mailbox, and what is known of it.
fn mailbox(identities: &Identities, readings: &Readings) -> Option<(Key, Reading)> {
    let mut chains = identities.chains.iter().zip(readings);
    let (chain, reading) = chains.find(|(chain, _)| chain.kind == Kind::Mailbox)?;
    Some((chain.specific(), reading[0]))
}

/// Whether what the sender's mailbox has sent itself makes it Low or Bad.
pub(crate) fn is_convicted(identities: &Identities, readings: &Readings) -> bool {
    mailbox(identities, readings).is_some_and(|(_, own)| Lane::of(word_alone(&own)) == Lane::Narrow)
}

/// A chain's general key, and what is known of it.
fn widest(chain: &Chain, reading: &ChainReading) -> (Key, Reading) {
    (chain.general(), reading[chain.general_level()])
}

/// Places of [`PerHour`].
const MESSAGES: usize = 1;
const BYTES: usize = 3;

/// Good weight that vouches for a mailbox: two messages that nobody has said anything against.
const VOUCHED_FOR: f32 = 0.5;

/// Whose quota a debit is.
#[derive(Clone, Copy, PartialEq)]
enum Payer {
    Address,
    /// The address, for its mailboxes that were vouched for.
    Vouched,
    Prefix,
    Network,
    Mailbox,
    Domain,
}

impl Payer {
    /// What a refusal is about. A limit that a transaction runs into halfway is about the recipient: those
    /// before it shall be delivered. A mailbox's or a domain's limit is not about the host that sends for many.
    fn scope(self, begins: bool) -> Scope {
        match self {
            Self::Mailbox | Self::Domain => Scope::Domain,
            _ if !begins => Scope::Recipient,
            Self::Address | Self::Vouched | Self::Prefix | Self::Network => Scope::Client,
        }
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
