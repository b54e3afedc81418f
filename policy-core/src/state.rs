//! The state: everything that is remembered. It outlives any policy, and all of it is bounded.

use crate::allowance::Meters;
use crate::answer::DecisionId;
use crate::audit::Audit;
use crate::decide::is_trusted;
use crate::deferral::Deferrals;
use crate::facts::Facts;
use crate::feedback::book::{Heard, Messages};
use crate::feedback::{MessageId, News};
use crate::identity::{Identities, Key, Keyring, RecipientHash};
use crate::ladder::{Place, Rungs};
use crate::ledger::Ledger;
use crate::model::ModelHealth;
use crate::name::Mailbox;
use crate::outcome::Outcome;
use crate::overrides::Overrides;
use crate::pools::Pools;
use crate::reporters::Reporters;
use crate::session::{Account, Decided, Saying, Sessions, Settled};
use crate::standing::Standing;
use crate::time::Timestamp;
use crate::weights::Start;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How a memory cap is shared out, in percent.
const LEDGER_PERCENT: usize = 63;
const MESSAGES_PERCENT: usize = 4;
const LADDER_PERCENT: usize = 1;
const REPORTERS_PERCENT: usize = 1;
const POOLS_PERCENT: usize = 1;
const METERS_PERCENT: usize = 10;
const DEFERRALS_PERCENT: usize = 10;
const SESSIONS_PERCENT: usize = 10;

/// How full one table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryShare {
    /// What it holds, in words.
    pub table: &'static str,
    /// Entries held.
    pub entries: usize,
    /// The most that it holds.
    pub capacity: usize,
    /// Octets taken.
    pub bytes: usize,
}

/// How full the state is, table by table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The tables.
    pub tables: [MemoryShare; 8],
}

impl Usage {
    /// Octets taken by all tables.
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// What is thought of a client and message, and of which identities.
#[derive(Clone, Debug)]
pub struct Appraisal {
    /// Whom [`crate::learn`] shall book the outcome on.
    pub identities: Arc<Identities>,
    /// What is thought of them.
    pub standing: Standing,
}

/// Reputation, allowances, deferrals and sessions in progress.
pub struct State {
    pub(crate) keyring: Keyring,
    pub(crate) ledger: Ledger,
    pub(crate) meters: Arc<Meters>,
    pub(crate) deferrals: Deferrals,
    pub(crate) sessions: Sessions,
    pub(crate) reporters: Reporters,
    pub(crate) messages: Messages,
    pub(crate) pools: Pools,
    pub(crate) rungs: Rungs,
    pub(crate) overrides: Overrides,
    pub(crate) audit: Audit,
    /// How long anything is kept without news, in seconds.
    retention: AtomicU64,
    decisions: AtomicU64,
    messages_met: AtomicU64,
    swept: AtomicUsize,
}

impl State {
    /// An empty state of at most `bytes`, begun at `now`. `secret` keys the names in it: 16 octets that
    /// nobody outside can guess.
    pub fn new(bytes: usize, secret: [u8; 16], now: Timestamp) -> Self {
        Self::starting_from(Start::shipped(), bytes, secret, now)
    }

    /// The same with another start of the model than what ships with the program: for fitting one.
    pub fn starting_from(start: Start, bytes: usize, secret: [u8; 16], now: Timestamp) -> Self {
        let share = |percent: usize| bytes / 100 * percent;
        let keyring = Keyring::new(secret);
        // Ids differ after a restart too: they begin at a place that the moment decides.
        let first = keyring.digest(&[b"decisions", &now.as_millis().to_be_bytes()]);
        let mut ledger = Ledger::new(share(LEDGER_PERCENT), start, now);
        let mut meters = Meters::new(share(METERS_PERCENT));
        let mut deferrals = Deferrals::new(share(DEFERRALS_PERCENT));
        let mut reporters = Reporters::new(share(REPORTERS_PERCENT));
        let mut messages = Messages::new(share(MESSAGES_PERCENT));
        let mut rungs = Rungs::new(share(LADDER_PERCENT));
        let layout = |table: &[u8]| keyring.digest(&[b"layout", table]);
        ledger.records.seed(layout(b"identities"));
        meters.table.seed(layout(b"allowances"));
        deferrals.entries.seed(layout(b"deferrals"));
        reporters.table.seed(layout(b"reporters"));
        messages.table.seed(layout(b"messages"));
        rungs.table.seed(layout(b"ladder"));
        Self {
            keyring,
            ledger,
            meters: Arc::new(meters),
            deferrals,
            sessions: Sessions::new(share(SESSIONS_PERCENT)),
            reporters,
            messages,
            pools: Pools::new(share(POOLS_PERCENT)),
            rungs,
            overrides: Overrides::default(),
            audit: Audit::default(),
            retention: AtomicU64::new(u64::MAX),
            decisions: AtomicU64::new(first),
            messages_met: AtomicU64::new(first),
            swept: AtomicUsize::new(0),
        }
    }

    /// What the model's weights have come to, as a start for another.
    pub fn model_start(&self) -> Start {
        self.ledger.model.to_start()
    }

    /// A key for a purpose of its own, made of the state's secret, which cannot be told from it.
    pub fn subkey(&self, purpose: &[u8]) -> [u8; 32] {
        let mut key = [0; 32];
        let parts = key.chunks_exact_mut(16).zip(0..);
        parts.for_each(|(half, part)| half.copy_from_slice(&self.keyring.derive(purpose, part)));
        key
    }

    /// How the model fares against the weights that it began with.
    pub fn model_health(&self) -> ModelHealth {
        self.ledger.model.health()
    }

    /// Whether spam is all that is reported here: then the model learns nothing, and who looks like spam is doubted.
    pub fn hears_of_spam_alone(&self) -> bool {
        self.ledger.hears_of_spam_alone()
    }

    /// The id of the next decision. A step coprime to 2^40 visits every id once before any again, and two
    /// that follow each other look nothing alike.
    pub fn next_id(&self) -> DecisionId {
        const STEP: u64 = 0x9e_3779_b97f;
        DecisionId::new(self.decisions.fetch_add(STEP, Ordering::Relaxed))
    }

    /// A recipient as it may be held for longer than its mail.
    pub fn recipient_hash(&self, recipient: &Mailbox) -> RecipientHash {
        self.keyring.recipient(recipient)
    }

    /// What is thought of a client and message, without a decision: nothing is debited, booked or learned.
    pub fn appraise(&self, facts: &Facts, now: Timestamp) -> Appraisal {
        self.appraise_identities(Arc::new(Identities::of(facts, &self.keyring)), now)
    }

    pub(crate) fn appraise_identities(&self, identities: Arc<Identities>, now: Timestamp) -> Appraisal {
        let readings = self.ledger.readings(&identities, now);
        let standing = self.ledger.standing(&identities, &readings, now);
        Appraisal { identities, standing }
    }

    /// The number of a message that is met for the first time.
    pub(crate) fn new_message(&self, now: Timestamp) -> MessageId {
        let number = self.messages_met.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        MessageId(self.keyring.digest(&[b"message met", &number, &now.as_millis().to_be_bytes()]))
    }

    /// Books what a transaction amounts to.
    pub(crate) fn settle(&self, settled: Settled, at: Timestamp) {
        settled.given_back.iter().for_each(|(key, paid)| self.meters.give_back(key, paid));
        settled.accounts.into_iter().for_each(|account| self.book(account, at));
    }

    /// Takes in what a filter has said of a message.
    pub(crate) fn hear_saying(&self, saying: Saying, at: Timestamp) {
        let Saying { policy, subject, spam, forgeable } = saying;
        let news = News { source: crate::feedback::Source::Filter, reporter: "", spam, forgeable };
        self.hear(&policy.sources, &subject, news, at);
    }

    /// Books an outcome, and teaches the model whether it was right.
    fn book(&self, account: Account, at: Timestamp) {
        let Account { identities, decided, outcome } = account;
        let thought_well = decided.as_ref().is_some_and(|decided| decided.well);
        if let (Some(spam), Some(Decided { identities, said, heard, .. })) = (outcome.label(), decided) {
            self.ledger.teach(&identities, (said, &heard), spam, at);
        }
        self.ledger.learn(&identities, outcome, at);
        let came_in_well = || {
            thought_well
                && matches!(outcome, Outcome::Accepted { .. })
                && self.is_trusted_domain(&identities, at)
        };
        if outcome.label() == Some(false) || came_in_well() {
            self.pools.note(&identities, at);
        }
    }

    /// Whether something good is known of an address since another day, and it is not Bad by itself.
    pub fn trusts(&self, address: IpAddr, now: Timestamp) -> bool {
        is_trusted(&self.ledger.read(&Key::address(address), now))
    }

    /// Whether the verified domain of a message is known for good by itself: the good standing may be its host's alone.
    fn is_trusted_domain(&self, identities: &Identities, at: Timestamp) -> bool {
        identities.verified().next().is_some_and(|chain| is_trusted(&self.ledger.read(&chain.general(), at)))
    }

    pub(crate) fn learn(&self, appraisal: &Appraisal, outcome: Outcome, at: Timestamp) {
        let identities = Arc::clone(&appraisal.identities);
        let decided = Some(Decided::of(&identities, &appraisal.standing));
        self.book(Account { identities, decided, outcome }, at);
    }

    /// What was heard about messages of these senders, by address, reverse name's or verified domain, from each
    /// source. Looks through all messages that something was heard of.
    pub fn heard_of(&self, keys: &[Key]) -> Vec<Heard> {
        self.messages.heard_of(keys)
    }

    /// From now on nothing is kept for longer than this without news, whatever it weighs.
    pub fn retain_for(&self, kept: Duration) {
        self.retention.store(kept.as_secs(), Ordering::Relaxed);
    }

    fn retention(&self) -> Duration {
        Duration::from_secs(self.retention.load(Ordering::Relaxed))
    }

    /// Segments that a sweep of everything visits.
    pub fn segments(&self) -> usize {
        self.ledger.segments()
            + self.meters.segments()
            + self.deferrals.segments()
            + self.sessions.segments()
            + self.reporters.segments()
            + self.messages.segments()
            + self.pools.segments()
            + self.rungs.segments()
    }

    /// Sweeps the next `segments` segments: drops what has faded or expired, closes sessions that went
    /// quiet. One owner calls this again and again; each segment's locks are held for some microseconds.
    pub fn sweep(&self, segments: usize, now: Timestamp) {
        let all = self.segments();
        self.overrides.expire(now);
        self.audit.expire(self.retention(), now);
        for _ in 0..segments.min(all) {
            self.sweep_one(self.swept.fetch_add(1, Ordering::Relaxed) % all, now);
        }
    }

    fn sweep_one(&self, segment: usize, now: Timestamp) {
        let (sessions, meters) = (self.sessions.segments(), self.meters.segments());
        let deferrals = self.deferrals.segments();
        if segment < sessions {
            self.sessions.sweep(segment, now, |settled| self.settle(settled, now));
        } else if segment < sessions + meters {
            self.meters.sweep(segment - sessions, now);
        } else if segment < sessions + meters + deferrals {
            // Who was let in since then may have come back from another address, or found that he need not wait.
            let learn = |key, weight, since| {
                if !self.ledger.has_let_in_since(&key, since) {
                    self.ledger.add(key, weight, now);
                }
            };
            let segment = segment - sessions - meters;
            self.deferrals.sweep(&self.keyring, segment, self.retention(), now, learn);
        } else if segment < sessions + meters + deferrals + self.ledger.segments() {
            let days = self.retention().as_secs() / 86_400;
            self.ledger.sweep(segment - sessions - meters - deferrals, days, now);
        } else {
            let segment = segment - sessions - meters - deferrals - self.ledger.segments();
            self.sweep_small(segment, now);
        }
    }

    /// The same of the smaller tables.
    fn sweep_small(&self, segment: usize, now: Timestamp) {
        let kept = self.retention();
        let Some(segment) = segment.checked_sub(self.reporters.segments()) else {
            return self.reporters.sweep(segment, now);
        };
        let Some(segment) = segment.checked_sub(self.messages.segments()) else {
            return self.messages.sweep(segment, kept, now);
        };
        let Some(segment) = segment.checked_sub(self.pools.segments()) else {
            return self.pools.sweep(segment, now);
        };
        self.rungs.sweep(segment, kept, now);
    }

    /// Where an address stands on the ladder, if it does.
    pub fn on_ladder(&self, address: IpAddr, now: Timestamp) -> Option<Place> {
        self.rungs.place(&Key::address(address), now)
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        let share = |table, (entries, capacity, bytes)| MemoryShare { table, entries, capacity, bytes };
        Usage {
            tables: [
                share("identities", self.ledger.usage()),
                share("allowances", self.meters.usage()),
                share("deferrals", self.deferrals.usage()),
                share("sessions", self.sessions.usage()),
                share("reporters", self.reporters.usage()),
                share("messages", self.messages.usage()),
                share("pools", self.pools.usage()),
                share("ladder", self.rungs.usage()),
            ],
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("usage", &self.usage()).finish_non_exhaustive()
    }
}
