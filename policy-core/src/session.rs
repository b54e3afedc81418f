//! SMTP sessions and their transactions, as both front ends see them together.
//!
//! The same TCP session may be asked about by Postfix's policy client and by its milter client. It is known
//! by the client's address and port, so whatever one of them has been told is repeated to the other, and
//! nothing is debited twice. A transaction has a token from each front end: a front end that has not named
//! the current transaction yet joins it, a new token begins a new one.
//!
//! Bounds: the table holds a fixed number of sessions, oldest out first; a transaction remembers the
//! answers of its first 128 recipients. Beyond these a recipient seen by both front ends is debited twice.
//!
//! Postfix's policy protocol never says that a session is over. A session that nobody has asked about for
//! ten minutes, twice SMTP's own time-out for a command, is closed.

use crate::allowance::SessionSlot;
use crate::engine::{Event, FilterVerdict, Refusal, Report};
use crate::facts::{Facts, FrontEnd, SessionId, Stage, TransactionId};
use crate::features::Heard;
use crate::feedback::{MessageId, Subject};
use crate::identity::{Identities, Key, Keyring};
use crate::outcome::Outcome;
use crate::policy::{Exemption, Policy};
use crate::standing::{Standing, Word};
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use crate::verdict::{Action, Reason, Verdict};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Recipients of a transaction whose answers are remembered.
const MAX_ANSWERS: usize = 128;
/// A session is closed when nothing has been heard of it for this long (RFC 5321 section 4.5.3.2.7: five
/// minutes between commands; ten for the end of data).
const IDLE: Duration = Duration::from_secs(600);
/// A session that Postfix's policy client alone sees is not taken for the same after this long: it may be
/// several in a row from one port, and must not keep a policy, or a connection paid once, for ever.
const LONGEST: Duration = Duration::from_secs(3600);
/// Octets to reckon for one session with the answers it holds.
const SESSION_BYTES: usize = 2048;

/// One mail transaction.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// The tokens that the front ends gave it, by [`slot`].
    tokens: [Option<TransactionId>; 2],
    /// Answers by recipient digest.
    answers: Vec<(u64, Arc<Verdict>)>,
    /// The latest verdict that let a recipient in.
    pub(crate) accepting: Option<Arc<Verdict>>,
    /// Whom it is booked on.
    identities: Option<Arc<Identities>>,
    /// The same before the message itself was seen.
    of_envelope: Option<Arc<Identities>>,
    /// What the first decision rested on.
    decided: Option<Decided>,
    /// The message's name, once anything is decided of it.
    pub(crate) message: Option<MessageId>,
    /// Whether the message itself has been debited.
    pub(crate) message_debited: bool,
    /// Octets debited so far.
    pub(crate) bytes_debited: u64,
    /// Whether a verified domain has been debited for it.
    pub(crate) domain_debited: bool,
    /// A spamtrap was among the recipients.
    pub(crate) trapped: bool,
    /// DATA or the end of the message has been asked about.
    reached_data: bool,
    /// Recipients that were let in, whether by the verdict or by observe mode.
    pub(crate) accepted: u32,
    /// Recipients that the mail server refused after us.
    refused: u32,
    /// Of these, the unknown ones.
    unknown: u32,
    /// Whether its outcome has been booked.
    settled: bool,
    /// Whether a filter's verdict has been booked.
    filtered: bool,
}

/// One SMTP session.
pub(crate) struct Session {
    /// A session keeps the policy that it began with.
    pub(crate) policy: Arc<Policy>,
    began: Timestamp,
    last_seen: Timestamp,
    front_ends: [bool; 2],
    /// Whether the connection has been debited.
    pub(crate) connection_debited: bool,
    /// Its place among the address's sessions.
    pub(crate) place: Option<SessionSlot>,
    /// The mail server has been told to hang up.
    hung_up: bool,
    pub(crate) transaction: Transaction,
}

impl Worth for Session {
    /// A session does not outlive the process that holds its connection.
    const MARKED: bool = false;

    fn worth(&self, now: Timestamp) -> f32 {
        -now.since(self.last_seen).as_secs_f32()
    }
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

/// What a finished transaction amounts to: a message that was let in, unknown recipients, both or nothing.
pub(crate) type Settled = ArrayVec<Account, 2>;

const fn slot(front_end: FrontEnd) -> usize {
    match front_end {
        FrontEnd::Policy => 0,
        FrontEnd::Milter => 1,
    }
}

impl Transaction {
    /// Whether this transaction is the one that a front end means by `token`.
    fn is(&self, front_end: FrontEnd, token: TransactionId) -> bool {
        self.tokens[slot(front_end)].is_none_or(|known| known == token)
    }

    /// Whether a verdict that let a recipient in holds for the whole message. A message for a spamtrap alone is
    /// let in to its end, whatever the trap has just made of its sender's standing. A postmaster among other
    /// recipients exempts nobody but himself.
    fn is_settled_by(&self, verdict: &Verdict) -> bool {
        let settles = match verdict.reason {
            // What an operator says holds at once, and may have changed.
            Reason::Exempt(exemption) => exemption != Exemption::Override,
            reason => reason == Reason::Spamtrap,
        };
        settles && !self.message_debited
    }

    /// Whether it goes to exempt recipients alone. Such mail pays nothing, so it must not earn anything
    /// either: whoever writes to postmaster all day would be well known in the evening.
    fn is_for_exempt_recipients(&self) -> bool {
        let exempt = |verdict: &Verdict| verdict.reason == Reason::Exempt(Exemption::Recipient);
        !self.message_debited && self.accepted > 0 && self.answers.iter().all(|(_, verdict)| exempt(verdict))
    }

    /// The verdict to give and remember for a recipient. Where the client hears of none, those alike share the
    /// first one, id and all, so that what a session takes does not grow with its recipients.
    fn shared(&self, verdict: &Arc<Verdict>, enforced: bool) -> Arc<Verdict> {
        let alike = |known: &&Arc<Verdict>| known.reason.code() == verdict.reason.code();
        let known = self.answers.iter().map(|(_, known)| known).find(alike).filter(|_| !enforced);
        Arc::clone(known.unwrap_or(verdict))
    }

    fn answered(&self, recipient: u64) -> Option<&Arc<Verdict>> {
        self.answers.iter().find(|(known, _)| *known == recipient).map(|(_, verdict)| verdict)
    }

    /// What it amounts to, once. Without a message nothing was let in, but refused recipients still count.
    fn settle(&mut self, received: bool, recipients: Option<u32>) -> Settled {
        let mut settled = Settled::new();
        if std::mem::replace(&mut self.settled, true) {
            return settled;
        }
        let let_in = recipients.unwrap_or(self.accepted.saturating_sub(self.refused));
        let recipients = if received && !self.is_for_exempt_recipients() { let_in } else { 0 };
        // Bounces of what others sent in our users' names, and callouts about such, come from innocent servers.
        let innocent = |identities: &Arc<Identities>| identities.traits.is_from_nobody();
        let unknown = if self.identities.as_ref().is_some_and(innocent) { 0 } else { self.unknown };
        if let Some(identities) = self.identities.clone().filter(|_| recipients > 0) {
            let outcome = Outcome::Accepted { recipients, unknown };
            settled.push(Account { identities, decided: self.decided.clone(), outcome });
        }
        // A signature says nothing of the envelope: anybody can send a signed message again, to whomever he likes.
        if let Some(identities) = self.of_envelope.clone().filter(|_| unknown > 0) {
            let outcome = Outcome::UnknownRecipients { recipients, unknown };
            settled.push(Account { identities, decided: None, outcome });
        }
        settled
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
    fn presumed_received(&self, sees_data: bool) -> bool {
        let watched = self.tokens[slot(FrontEnd::Milter)].is_some();
        !watched && self.accepted > 0 && (self.reached_data || !sees_data)
    }
}

impl Session {
    fn new(policy: &Arc<Policy>, now: Timestamp) -> Self {
        Self {
            policy: Arc::clone(policy),
            began: now,
            last_seen: now,
            front_ends: [false; 2],
            connection_debited: false,
            place: None,
            hung_up: false,
            transaction: Transaction::default(),
        }
    }

    /// Whether a question belongs to a session that came after this one from the same port: this one was
    /// hung up, or began long ago where nobody sees sessions end, and its front end speaks of something new.
    fn is_over(&self, facts: &Facts, now: Timestamp) -> bool {
        let known = self.transaction.tokens[slot(facts.front_end)];
        let old = !self.front_ends[slot(FrontEnd::Milter)] && now.since(self.began) >= LONGEST;
        (self.hung_up || old) && self.front_ends[slot(facts.front_end)] && known != facts.transaction
    }

    /// Enters a question: begins the transaction that it names. Returns what the one before amounts to.
    fn enter(&mut self, facts: &Facts, sees_data: bool, now: Timestamp) -> Settled {
        self.last_seen = now;
        self.front_ends[slot(facts.front_end)] = true;
        let Some(token) = facts.transaction else { return Settled::new() };
        let settled = if self.transaction.is(facts.front_end, token) {
            Settled::new()
        } else {
            let received = self.transaction.presumed_received(sees_data);
            std::mem::take(&mut self.transaction).settle(received, None)
        };
        self.transaction.tokens[slot(facts.front_end)] = Some(token);
        self.transaction.reached_data |= facts.stage >= Stage::Data;
        settled
    }

    /// The answer that was given before, if this question was asked before.
    pub(crate) fn answered(&self, facts: &Facts, recipient: u64) -> Option<Arc<Verdict>> {
        let transaction = &self.transaction;
        let last = || transaction.answers.last().map(|(_, verdict)| verdict);
        match facts.stage {
            Stage::Connect | Stage::Helo | Stage::Mail => None,
            Stage::Rcpt => transaction.answered(recipient).cloned(),
            Stage::Data => transaction.accepting.as_ref().or_else(last).cloned(),
            // The whole message is judged anew, unless an exemption, a trap or a deferral has settled it.
            Stage::EndOfMessage => match &transaction.accepting {
                Some(verdict) if transaction.is_settled_by(verdict) => Some(Arc::clone(verdict)),
                Some(_) => None,
                None => last().cloned(),
            },
        }
    }

    /// Whether some recipient of the transaction has been let in.
    pub(crate) fn has_accepted(&self) -> bool {
        self.transaction.accepted > 0
    }

    /// The verdict that stands after a new one: the end of a message that was let in says nothing new.
    pub(crate) fn standing_verdict(&self, facts: &Facts, verdict: &Verdict) -> Option<Arc<Verdict>> {
        let repeats = facts.stage == Stage::EndOfMessage && verdict.action == Action::Accept;
        self.transaction.accepting.clone().filter(|_| repeats)
    }

    /// Notes an answer, and returns the one to give; `enforced` when the mail server is told of a deferral.
    pub(crate) fn note(
        &mut self,
        facts: &Facts,
        recipient: u64,
        verdict: Arc<Verdict>,
        enforced: bool,
    ) -> Arc<Verdict> {
        let closes = verdict.action == Action::Defer && verdict.code == crate::answer::DeferCode::Closing;
        self.hung_up |= enforced && closes;
        let transaction = &mut self.transaction;
        if let Some(identities) = &verdict.identities {
            transaction.identify(identities, facts.stage);
            let decided = verdict.standing.as_ref().map(|standing| Decided::of(identities, standing));
            transaction.decided = transaction.decided.take().or(decided);
        }
        let at_rcpt = facts.stage == Stage::Rcpt;
        let verdict = if at_rcpt { transaction.shared(&verdict, enforced) } else { verdict };
        if verdict.action == Action::Accept {
            transaction.accepting = Some(Arc::clone(&verdict));
        }
        if at_rcpt {
            transaction.accepted += u32::from(!enforced);
            if transaction.answers.len() < MAX_ANSWERS {
                transaction.answers.push((recipient, Arc::clone(&verdict)));
            }
        }
        verdict
    }

    fn refused(&mut self, refusal: Refusal) {
        // With both front ends, the policy side has counted this recipient as let in.
        let counted = self.front_ends[slot(FrontEnd::Policy)];
        match refusal {
            Refusal::Temporary => {}
            Refusal::Permanent => self.transaction.refused += u32::from(counted),
            Refusal::UnknownRecipient => {
                self.transaction.refused += u32::from(counted);
                self.transaction.unknown += 1;
            }
        }
    }

    /// What a content filter has said of the message, heard once.
    fn filtered(&mut self, filter: Option<&FilterVerdict>, now: Timestamp) -> Option<Saying> {
        let &FilterVerdict { spam, forgeable, .. } = filter?;
        if std::mem::replace(&mut self.transaction.filtered, true) {
            return None;
        }
        if !spam && self.transaction.is_for_exempt_recipients() {
            return None;
        }
        let (policy, subject) = (Arc::clone(&self.policy), self.subject(now)?);
        Some(Saying { policy, subject, spam, forgeable })
    }

    /// The message of the transaction, for feedback; `None` while nothing is decided of it.
    pub(crate) fn subject(&self, now: Timestamp) -> Option<Subject> {
        let Transaction { identities, decided, message, .. } = &self.transaction;
        let (message, identities) = ((*message)?, identities.clone()?);
        Some(Subject { message, let_in: now, identities, decided: decided.clone() })
    }
}

/// All sessions in progress.
pub(crate) struct Sessions {
    table: Table<Session>,
    /// Whether Postfix's policy client has ever asked about DATA or later: then it always does.
    sees_data: AtomicBool,
}

impl Sessions {
    /// An empty table of at most about `bytes`, answers included.
    pub(crate) fn new(bytes: usize) -> Self {
        let table = Table::with_bytes(bytes / SESSION_BYTES * size_of::<(Key, Session)>());
        Self { table, sees_data: AtomicBool::new(false) }
    }

    fn key(keyring: &Keyring, id: &SessionId) -> Key {
        match id {
            SessionId::Tcp(client) => {
                let ip = match client.ip().to_canonical() {
                    std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                    std::net::IpAddr::V6(v6) => v6,
                };
                keyring.internal(&[b"tcp", &ip.octets(), &client.port().to_be_bytes()])
            }
            SessionId::Connection(front_end, n) => {
                keyring.internal(&[b"connection", &[slot(*front_end) as u8], &n.to_be_bytes()])
            }
        }
    }

    /// Enters a question and answers it within the session, which nobody else can enter meanwhile. `learn`
    /// hears of what the transaction before amounts to.
    pub(crate) fn ask<R>(
        &self,
        keyring: &Keyring,
        policy: &Arc<Policy>,
        facts: &Facts,
        now: Timestamp,
        mut learn: impl FnMut(Settled),
        answer: impl FnOnce(&mut Session) -> R,
    ) -> R {
        let key = Self::key(keyring, &facts.session);
        if facts.front_end == FrontEnd::Policy && facts.stage >= Stage::Data {
            self.sees_data.store(true, Ordering::Relaxed);
        }
        let sees_data = self.sees_data.load(Ordering::Relaxed);
        self.table.update(
            key,
            now,
            || Session::new(policy, now),
            |session| {
                if session.is_over(facts, now) {
                    let received = !session.hung_up && session.transaction.presumed_received(sees_data);
                    learn(session.transaction.settle(received, None));
                    *session = Session::new(policy, now);
                }
                learn(session.enter(facts, sees_data, now));
                answer(session)
            },
        )
    }

    /// Takes news of a session in.
    pub(crate) fn report(
        &self,
        keyring: &Keyring,
        report: &Report,
        now: Timestamp,
        mut learn: impl FnMut(Settled),
        hear: impl FnOnce(Saying),
    ) {
        let &Report { session: ref id, front_end, ref event } = report;
        let key = Self::key(keyring, id);
        if matches!(event, Event::SessionClosed) {
            return self.close(&key, front_end, learn);
        }
        self.table.change(&key, |session| {
            session.last_seen = now;
            match event {
                Event::SessionClosed => {}
                Event::RecipientRefused { transaction, refusal } => {
                    if session.transaction.is(front_end, *transaction) {
                        session.refused(*refusal);
                    }
                }
                Event::TransactionAborted { transaction } => {
                    if session.transaction.is(front_end, *transaction) {
                        learn(session.transaction.settle(false, None));
                    }
                }
                Event::MessageReceived { transaction, recipients, filter, .. } => {
                    if session.transaction.is(front_end, *transaction) {
                        learn(session.transaction.settle(true, *recipients));
                        if let Some(saying) = session.filtered(filter.as_ref(), now) {
                            hear(saying);
                        }
                    }
                }
            }
        });
    }

    /// A milter sees the end of the session itself. Postfix's policy client does not: what it leaves behind
    /// counts only when no milter watches.
    fn close(&self, key: &Key, front_end: FrontEnd, mut learn: impl FnMut(Settled)) {
        let over =
            |session: &Session| front_end == FrontEnd::Milter || !session.front_ends[slot(FrontEnd::Milter)];
        if let Some(mut session) = self.table.remove_if(key, over) {
            let received = session.transaction.presumed_received(self.sees_data.load(Ordering::Relaxed));
            learn(session.transaction.settle(received, None));
        }
    }

    /// Drops the sessions whose identities `gone` names; nothing of theirs is booked.
    pub(crate) fn forget(&self, gone: impl Fn(&Identities) -> bool) {
        let is_gone =
            |session: &Session| session.transaction.identities.as_ref().is_some_and(|held| gone(held));
        (0..self.table.segments())
            .for_each(|segment| self.table.sweep(segment, |_, session| !is_gone(session)));
    }

    /// How many segments a sweeper visits.
    pub(crate) fn segments(&self) -> usize {
        self.table.segments()
    }

    /// Closes sessions of one segment that have gone quiet.
    pub(crate) fn sweep(&self, segment: usize, now: Timestamp, mut learn: impl FnMut(Settled)) {
        let sees_data = self.sees_data.load(Ordering::Relaxed);
        self.table.sweep(segment, |_, session| {
            let quiet = now.since(session.last_seen) >= IDLE;
            if quiet {
                let received = session.transaction.presumed_received(sees_data);
                learn(session.transaction.settle(received, None));
            }
            !quiet
        });
    }

    /// Sessions held, the most that can be held, and octets taken, answers reckoned.
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        (self.table.len(), self.table.capacity(), self.table.len() * SESSION_BYTES)
    }
}
