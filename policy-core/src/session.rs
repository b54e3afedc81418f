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
//! ten minutes, twice SMTP's own time-out for a command, is closed; one that a milter sees, after four hours.

mod transaction;

pub(crate) use transaction::{Account, Decided, Saying, Settled};
use transaction::{MAX_ANSWERS, Transaction, slot};

use crate::allowance::SessionSlot;
use crate::engine::{Event, FilterVerdict, Refusal, Report};
use crate::facts::{Facts, FrontEnd, SessionId, Stage};
use crate::feedback::Subject;
use crate::identity::{Identities, Key, Keyring};
use crate::networks::canonical;
use crate::policy::Policy;
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use crate::verdict::{Action, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A session is closed when nothing has been heard of it for this long (RFC 5321 section 4.5.3.2.7: five
/// minutes between commands; ten for the end of data).
const IDLE: Duration = Duration::from_secs(600);
/// The same where a milter would tell of its end: nothing is asked while a message's octets come.
const LONGEST_MESSAGE: Duration = Duration::from_secs(4 * 3600);
/// A session that Postfix's policy client alone sees is not taken for the same after this long: it may be
/// several in a row from one port, and must not keep a policy, or a connection paid once, for ever.
const LONGEST: Duration = Duration::from_secs(3600);
/// Postfix's policy client that has not asked about DATA for this long does so no more: its configuration has changed.
const SEES_DATA: Duration = Duration::from_secs(86_400);
/// Octets to reckon for one session with the answers it holds.
const SESSION_BYTES: usize = 2048;

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

    /// Whether the message may be taken to have arrived: not after the mail server was told to hang up.
    fn presumed_received(&self, sees_data: bool) -> bool {
        !self.hung_up && self.transaction.presumed_received(sees_data)
    }

    /// Whether nobody judges the message after this front end: Postfix asks its milters last.
    const fn is_last(&self, front_end: FrontEnd) -> bool {
        matches!(front_end, FrontEnd::Milter) || self.transaction.tokens[slot(FrontEnd::Milter)].is_none()
    }

    /// How long it may be quiet: a milter tells when it ends, however long the octets of a message take.
    const fn may_be_quiet(&self) -> Duration {
        if self.front_ends[slot(FrontEnd::Milter)] { LONGEST_MESSAGE } else { IDLE }
    }

    /// Enters a question: begins the transaction that it names. Returns what the one before amounts to.
    fn enter(&mut self, facts: &Facts, sees_data: bool, now: Timestamp) -> Settled {
        self.last_seen = now;
        self.front_ends[slot(facts.front_end)] = true;
        let Some(token) = facts.transaction else { return Settled::default() };
        let settled = if self.transaction.is(facts.front_end, token) {
            Settled::default()
        } else {
            let received = self.presumed_received(sees_data);
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
            if !enforced {
                transaction.let_in(&verdict);
            }
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
        if !spam && self.transaction.is_free() {
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
    /// When Postfix's policy client has asked about DATA or later last, in milliseconds; 0 is never.
    saw_data: AtomicU64,
}

impl Sessions {
    /// An empty table of at most about `bytes`, answers included.
    pub(crate) fn new(bytes: usize) -> Self {
        let table = Table::with_bytes(bytes / SESSION_BYTES * size_of::<(Key, Session)>());
        Self { table, saw_data: AtomicU64::new(0) }
    }

    /// Whether Postfix's policy client asks about DATA, as it has within a day: then it does so of each message.
    fn sees_data(&self, now: Timestamp) -> bool {
        let saw = self.saw_data.load(Ordering::Relaxed);
        saw > 0 && now.since(Timestamp::from_millis(saw)) < SEES_DATA
    }

    fn key(keyring: &Keyring, id: &SessionId) -> Key {
        match id {
            SessionId::Tcp(client) => {
                let ip = match canonical(client.ip()) {
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
            self.saw_data.store(now.as_millis().max(1), Ordering::Relaxed);
        }
        let sees_data = self.sees_data(now);
        self.table.update(
            key,
            now,
            || Session::new(policy, now),
            |session| {
                if session.is_over(facts, now) {
                    let received = session.presumed_received(sees_data);
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
            return self.close(&key, front_end, now, learn);
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
                    if session.transaction.is(front_end, *transaction) && session.is_last(front_end) {
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
    fn close(&self, key: &Key, front_end: FrontEnd, now: Timestamp, mut learn: impl FnMut(Settled)) {
        let over =
            |session: &Session| front_end == FrontEnd::Milter || !session.front_ends[slot(FrontEnd::Milter)];
        if let Some(mut session) = self.table.remove_if(key, over) {
            let received = session.presumed_received(self.sees_data(now));
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
        let sees_data = self.sees_data(now);
        self.table.sweep(segment, |_, session| {
            let quiet = now.since(session.last_seen) >= session.may_be_quiet();
            if quiet {
                let received = session.presumed_received(sees_data);
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
