//! One thread that asks: builds questions, times the answers, and closes sessions behind it.

use super::senders;
use super::server::{BEGIN, Server};
use super::traffic::Traffic;
use policy_core::Decision;
use policy_core::facts::{Facts, SessionId};
use policy_core::time::Timestamp;
use policy_core::verdict::Action;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Questions that are built before the clock starts. As many facts as fit a core's cache, where a front end
/// that has just read them would have them too.
const BATCH: u64 = 512;
/// Sessions that stay open behind a question, before the oldest is closed.
const OPEN: usize = 4096;
/// Ports that one desk gives out, so that two never speak of the same session.
const PORTS: u64 = 1 << 13;
/// Questions in one millisecond of the benchmark's own time.
const PER_MILLISECOND: u64 = 4;

/// What a desk asks about.
pub(crate) enum Asking {
    /// Known senders.
    Known(Traffic),
    /// A stranger, each time another.
    Strangers,
}

/// A question, and when it is asked.
pub(crate) type Question = (Facts, Timestamp);

/// One thread's place at the server.
pub(crate) struct Desk<'a> {
    server: &'a Server,
    asking: Asking,
    /// Its number; it decides which ports are its own.
    number: u64,
    asked: u64,
    open: VecDeque<SessionId>,
    /// Answers that let in, and answers that deferred.
    answers: [u64; 2],
}

impl<'a> Desk<'a> {
    pub(crate) fn new(server: &'a Server, asking: Asking, number: u64) -> Self {
        Self { server, asking, number, asked: 0, open: VecDeque::new(), answers: [0; 2] }
    }

    /// The moment of the next question.
    pub(crate) fn now(&self) -> Timestamp {
        BEGIN.after(Duration::from_millis(60_000 + self.asked / PER_MILLISECOND))
    }

    fn question(&mut self) -> Question {
        let now = self.now();
        self.asked += 1;
        let port = 1024 + self.number * PORTS + self.asked % PORTS;
        let transaction = self.number << 48 | self.asked;
        let facts = match &mut self.asking {
            Asking::Known(traffic) => senders::question(traffic.next(), port as u16, transaction),
            Asking::Strangers => senders::stranger(self.number << 24 | self.asked, port as u16, transaction),
        };
        (facts, now)
    }

    /// Builds the next questions.
    fn questions(&mut self, count: u64) -> Vec<Question> {
        (0..count).map(|_| self.question()).collect()
    }

    /// The time that `work` takes on `count` questions, one by one. `before` and `after` are not timed; what
    /// `work` returns is kept until the clock has stopped.
    pub(crate) fn time<R>(
        &mut self,
        count: u64,
        before: impl Fn(&Server, &Question),
        work: impl Fn(&Server, &Question) -> R,
        mut after: impl FnMut(&mut Self, R),
    ) -> Duration {
        let (mut spent, mut left) = (Duration::ZERO, count);
        while left > 0 {
            let questions = self.questions(left.min(BATCH));
            left -= questions.len() as u64;
            questions.iter().for_each(|question| before(self.server, question));
            let mut results = Vec::with_capacity(questions.len());
            let begun = Instant::now();
            results.extend(questions.iter().map(|question| work(self.server, question)));
            spent += begun.elapsed();
            results.into_iter().for_each(|result| after(self, result));
            self.leave(&questions);
        }
        spent
    }

    /// When `count` decisions began and ended, which were taken as soon as `gate` returned.
    pub(crate) fn round(&mut self, count: u64, gate: impl FnOnce()) -> (Instant, Instant) {
        let questions = self.questions(count);
        let mut decisions = Vec::with_capacity(questions.len());
        gate();
        let begun = Instant::now();
        decisions.extend(questions.iter().map(|(facts, now)| self.server.decide(facts, *now)));
        let ended = Instant::now();
        decisions.iter().for_each(|decision| self.count(decision));
        self.leave(&questions);
        (begun, ended)
    }

    /// The time that `count` decisions take.
    pub(crate) fn time_decisions(&mut self, count: u64) -> Duration {
        let decide = |server: &Server, (facts, now): &Question| server.decide(facts, *now);
        self.time(count, |_, _| (), decide, |desk, decision| desk.count(&decision))
    }

    /// Counts an answer; it has to be the first to its question.
    fn count(&mut self, decision: &Decision) {
        assert!(decision.first, "a question was taken for one asked before");
        self.answers[usize::from(decision.verdict.action == Action::Defer)] += 1;
    }

    /// Leaves sessions open, and closes the oldest ones instead.
    fn leave(&mut self, questions: &[Question]) {
        self.open.extend(questions.iter().map(|(facts, _)| facts.session));
        let now = self.now();
        let surplus = self.open.len().saturating_sub(OPEN);
        self.open.drain(..surplus).for_each(|session| self.server.close(session, now));
    }

    /// Stops the benchmark unless nearly all answers were `expected`: it would have measured another path.
    pub(crate) fn expect(&self, expected: Action) {
        let [accepted, deferred] = self.answers;
        let other = if expected == Action::Accept { deferred } else { accepted };
        assert!(other * 100 <= accepted + deferred, "{accepted} let in, {deferred} deferred");
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        let now = self.now();
        self.open.drain(..).for_each(|session| self.server.close(session, now));
    }
}
