//! The real [`Dns`]: asks the system's servers or named ones, keeps what they answer, and stops asking servers
//! that do not.
//!
//! Whatever a caller does, a question once asked runs to its end as a task of its own, so that an answer that
//! comes too late for one message is there for the next. Equal questions at the same time are one.
//!
//! Who asks so much that there are not turns enough waits behind those that ask less, by the networks of the clients
//! that questions are asked for.
//!
//! Invariants: nothing waits longer than the servers' patience (two rounds of all tries) for its turn and as long for
//! the answer; answers kept, questions that wait and sockets are bounded; a failure is never an answer, and what is not known is never
//! taken for nothing.
//!
//! Known limits: no validation of DNSSEC, no DNS cookies (hickory has none); a server's answer is believed as
//! far as its letter case, port and id can tell. One breaker for all servers: hickory chooses among them. One that
//! answers for the root from its cache, and for nothing else, is not given up: each message waits its time for it.

mod cache;
mod health;
mod options;
mod question;
mod special;
mod turns;
mod upstream;

pub use crate::breaker::BreakerOptions;
pub use health::Health;
pub use options::{ResolverError, ResolverOptions};
pub use special::is_private;
pub(crate) use special::is_unasked;
pub use upstream::system_servers;

use crate::breaker::Breaker;
use crate::dns::{Answer, Client, Dns, Failure, Found, Mx, Name};
use cache::{Cache, Entry, Known, Outcome};
use health::{Counters, count};
use question::{Question, Record};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use turns::{Asker, Turn, Turns};
use upstream::{Reply, Upstream};

/// The part of a try's time after which a stranger's question gives way to those of others that wait. A name that somebody
/// answers for seldom takes more than a fifth of a second, and one of a dead zone takes all the time there is.
const HURRY: u32 = 3;

/// The real resolver. Clones share everything.
#[derive(Clone, Debug)]
pub struct Resolver {
    inner: Arc<Inner>,
    asker: Asker,
}

#[derive(Debug)]
struct Inner {
    options: ResolverOptions,
    upstream: Upstream,
    cache: Cache,
    breaker: Breaker,
    counters: Counters,
    turns: Turns,
    /// What was answered last: a question that a healthy server answers, though it does not answer for the root.
    answered_last: Mutex<Option<Question>>,
    runtime: Handle,
}

impl Resolver {
    /// A resolver whose questions run in the current runtime.
    pub fn new(options: ResolverOptions) -> Result<Self, ResolverError> {
        let runtime = Handle::try_current().map_err(|_| ResolverError::NoRuntime)?;
        let inner = Inner {
            upstream: Upstream::new(&options)?,
            cache: Cache::new(options.cache),
            breaker: Breaker::new(options.breaker),
            counters: Counters::default(),
            turns: Turns::new(options.concurrent, options.waiting),
            answered_last: Mutex::new(None),
            runtime,
            options,
        };
        Ok(Self { inner: Arc::new(inner), asker: Asker::OURSELVES })
    }

    /// How it is doing.
    pub fn health(&self) -> Health {
        let inner = &self.inner;
        let (kept, under_way) = inner.cache.len();
        let suspended_for = inner.breaker.open_since().map(|since| since.elapsed());
        Health { suspended_for, kept, under_way, waiting: inner.turns.waiting(), ..inner.counters.read() }
    }

    async fn find<T: Record>(&self, name: &Name) -> Answer<T> {
        let entry = self.inner.find(Question::new(name, T::KIND), self.asker).await?;
        let records =
            T::of(entry.outcome.as_ref().map_err(|&failure| failure)?).ok_or(Failure::ServerFailed)?;
        Ok(Found { records: Arc::clone(records), age: entry.age(Instant::now()) })
    }
}

impl Inner {
    async fn find(self: &Arc<Self>, question: Question, asker: Asker) -> Result<Entry, Failure> {
        count(&self.counters.questions);
        if special::is_unasked(&question.name, self.options.private_zones) {
            count(&self.counters.private);
            return Err(Failure::NoName);
        }
        let known = match self.look_up(&question)? {
            Known::Nothing => {
                let turn = self.turns.turn(asker, self.upstream.patience()).await;
                self.begin(question, turn.ok_or_else(|| self.not_asked())?)?
            }
            known => known,
        };
        match known {
            Known::Kept(entry) => Ok(entry),
            // The sender goes without a word only if the task did not come to its end.
            Known::UnderWay(mut awaited) => match awaited.wait_for(Option::is_some).await {
                Ok(entry) => entry.clone().ok_or(Failure::ServerFailed),
                Err(_) => Err(Failure::ServerFailed),
            },
            Known::Nothing => Err(Failure::ServerFailed),
        }
    }

    fn not_asked(&self) -> Failure {
        count(&self.counters.not_asked);
        Failure::Suspended
    }

    /// What is known of a question.
    fn look_up(&self, question: &Question) -> Result<Known, Failure> {
        let now = Instant::now();
        if self.breaker.open_since().is_some() {
            return self.look_up_suspended(question, now).map(Known::Kept);
        }
        Ok(self.counted(self.cache.look_up(question, now)))
    }

    fn look_up_suspended(&self, question: &Question, now: Instant) -> Result<Entry, Failure> {
        // A failure that is kept says less than that nothing is asked at all.
        let is_answer = |entry: &Entry| entry.outcome.as_ref().err().is_none_or(|failure| failure.is_void());
        let kept = self.cache.peek(question, now).filter(is_answer).ok_or_else(|| self.not_asked())?;
        count(&self.counters.hits);
        Ok(kept)
    }

    fn counted(&self, known: Known) -> Known {
        match &known {
            Known::Kept(_) => count(&self.counters.hits),
            Known::UnderWay(_) => count(&self.counters.merged),
            Known::Nothing => {}
        }
        known
    }

    /// Has a question asked whose turn it is, unless another has come first or the servers were given up meanwhile.
    fn begin(self: &Arc<Self>, question: Question, turn: Turn) -> Result<Known, Failure> {
        let now = Instant::now();
        if self.breaker.open_since().is_some() {
            return self.look_up_suspended(&question, now).map(Known::Kept);
        }
        let (answer, awaited) = match self.cache.begin(&question, now) {
            Ok(begun) => begun,
            Err(known) => return Ok(self.counted(known)),
        };
        let asking = Asking { inner: Arc::clone(self), question: Some(question), answer, turn };
        self.runtime.spawn(asking.run());
        Ok(Known::UnderWay(awaited))
    }

    /// How long an answer is kept.
    fn lives(&self, reply: &Reply) -> Duration {
        let within = |(least, longest): (Duration, Duration)| match reply.ttl {
            Some(ttl) => Duration::from_secs(ttl.into()).min(longest).max(least),
            None => self.options.failure_ttl,
        };
        match reply.outcome {
            Ok(_) => within(self.options.ttl),
            Err(Failure::NoName | Failure::NoData) => within(self.options.negative_ttl),
            Err(Failure::ServerFailed | Failure::TimedOut) => self.options.failure_ttl,
            Err(Failure::Suspended) => Duration::ZERO,
        }
    }

    /// Tells the breaker and the counters what a question came to.
    fn note(self: &Arc<Self>, question: &Question, outcome: &Outcome) {
        match outcome {
            Ok(_) | Err(Failure::NoName | Failure::NoData) => {
                *self.answered_last.lock().unwrap_or_else(PoisonError::into_inner) = Some(question.clone());
                self.succeeded();
            }
            Err(failure @ (Failure::ServerFailed | Failure::TimedOut)) => {
                self.counters.failed(*failure);
                if self.breaker.is_doubted_by(Instant::now()) {
                    self.doubt(question, *failure);
                }
            }
            Err(Failure::Suspended) => {}
        }
    }

    fn succeeded(&self) {
        if let Some(open) = self.breaker.succeeded(Instant::now()) {
            let seconds = open.as_secs();
            tracing::info!(seconds, "the DNS answers again: lookups are resumed");
        }
    }

    /// The questions that failed may all have been of one sender's choosing: the servers are given up when they do
    /// not answer what he has no hand in either.
    fn doubt(self: &Arc<Self>, question: &Question, failure: Failure) {
        let answered_last = self.answered_last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let question = answered_last.unwrap_or_else(|| question.clone());
        self.runtime.spawn(probe(Arc::downgrade(self), question, failure));
    }

    /// Suspends lookups, if they are not; says when to probe next, unless an answer has come meanwhile.
    fn suspend(&self, failure: Failure) -> Option<Duration> {
        let Some(wait) = self.breaker.open(Instant::now()) else { return self.breaker.probe_failed() };
        count(&self.counters.suspensions);
        let failures = self.options.breaker.failures;
        tracing::warn!(failures, last = %failure, "the DNS does not answer: lookups are suspended");
        Some(wait)
    }

    /// Whether there is an answer for the root, which no sender of mail has a hand in, or to this question, since not
    /// every server answers for the root. Both at once, so that silence is waited for once.
    async fn is_alive(&self, question: &Question) -> bool {
        tokio::select! {
            true = self.upstream.answers_for_root() => true,
            true = async { self.upstream.ask(question).await.is_answer() } => true,
            else => false,
        }
    }
}

/// Asks at once, then ever more rarely, until there is an answer or nobody left to want one.
async fn probe(inner: Weak<Inner>, question: Question, failure: Failure) {
    let mut wait = Duration::ZERO;
    loop {
        sleep(wait).await;
        let Some(inner) = inner.upgrade() else { return };
        if inner.is_alive(&question).await {
            return inner.succeeded();
        }
        match inner.suspend(failure) {
            Some(longer) => wait = longer,
            None => return,
        }
    }
}

/// A question under way. However its task ends, it is under way no more.
struct Asking {
    inner: Arc<Inner>,
    /// Until it is answered.
    question: Option<Question>,
    answer: watch::Sender<Option<Entry>>,
    turn: Turn,
}

impl Asking {
    async fn run(mut self) {
        let Some(question) = &self.question else { return };
        count(&self.inner.counters.sent);
        // Who waits for it waits as long as the servers need, unless strangers stand in line.
        let reply = tokio::select! {
            reply = self.inner.upstream.ask(question) => reply,
            () = self.turn.wanted(self.inner.options.timeout / HURRY) => Reply::LATE,
        };
        self.inner.note(question, &reply.outcome);
        let lives = self.inner.lives(&reply);
        let entry = Entry { outcome: reply.outcome, fetched: Instant::now(), lives };
        if let Some(question) = self.question.take() {
            self.inner.cache.answered(question, entry.clone());
        }
        self.answer.send_replace(Some(entry));
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(question) = &self.question {
            self.inner.cache.abandoned(question);
        }
    }
}

impl Dns for Resolver {
    fn on_behalf_of(&self, client: Client) -> Self {
        Self { inner: Arc::clone(&self.inner), asker: Asker::of(client) }
    }

    fn knows_a(&self, name: &Name) -> bool {
        let question = Question::new(name, Ipv4Addr::KIND);
        !matches!(self.inner.cache.look_up(&question, Instant::now()), Known::Nothing)
    }

    async fn a(&self, name: &Name) -> Answer<Ipv4Addr> {
        self.find(name).await
    }

    async fn aaaa(&self, name: &Name) -> Answer<Ipv6Addr> {
        self.find(name).await
    }

    async fn mx(&self, name: &Name) -> Answer<Mx> {
        self.find(name).await
    }

    async fn ptr(&self, address: IpAddr) -> Answer<Name> {
        self.find(&Name::from(address.to_canonical())).await
    }

    async fn txt(&self, name: &Name) -> Answer<Box<[u8]>> {
        self.find(name).await
    }
}
