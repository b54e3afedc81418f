//! The simulator: a receiving server with ordinary life, and whoever writes to it.
//!
//! Sources yield mail in order of time; a queue of events merges them with the retries of their mailers, the
//! labels of the content filter and the sweeps of the state. Every message passes the public doors as a
//! milter would have it: asked about at RCPT and at the end of the message, reported when received, labelled
//! a little later.
//!
//! Invariant: the same seed plays the same events in the same order, whatever the machine.
//! Known limits: a message has one recipient, and a session one message; sessions take no time.

pub(crate) mod arrivals;
pub(crate) mod background;
pub(crate) mod mail;
pub(crate) mod mailer;
pub(crate) mod outcome;

use mail::Mail;
use outcome::Fate;
use policy_core::answer::Reply;
use policy_core::engine::{Event, Report};
use policy_core::facts::{Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId};
use policy_core::feedback::{MessageId, News, Source, Subject};
use policy_core::findings::Findings;
use policy_core::name::Mailbox;
use policy_core::outcome::Outcome;
use policy_core::policy::{Mode, Policy};
use policy_core::time::Timestamp;
use policy_core::weights::Start;
use policy_core::{Appraisal, Decision, State, decide, hear, learn, report};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The moment at which adversaries begin; what comes before is history. A midnight.
pub(crate) const BEGIN: Timestamp = Timestamp::from_secs(20_000 * 86_400);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// How often the state is swept: nothing in it expires within a few hours.
const SWEEP: Duration = Duration::from_secs(3 * 3600);

/// Hours after [`BEGIN`].
pub(crate) fn hours(hours: u64) -> Timestamp {
    BEGIN.after(HOUR * hours as u32)
}

/// Days before [`BEGIN`].
pub(crate) fn days_before(days: u64) -> Timestamp {
    Timestamp::from_millis(BEGIN.as_millis() - days * 86_400_000)
}

/// The content filter: what it says of a message that was let in, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    pub(crate) delay: Duration,
    /// Share of spam that it calls spam.
    pub(crate) catches: f64,
    /// Share of good mail that it calls spam.
    pub(crate) miscalls: f64,
}

impl Default for Filter {
    fn default() -> Self {
        Self { delay: MINUTE, catches: 0.9, miscalls: 0.001 }
    }
}

/// A message under way.
struct Flight {
    mail: Mail,
    sent: Timestamp,
    tries: u32,
    /// Why it was first deferred.
    reason: Option<&'static str>,
}

enum What {
    /// A source's next message.
    Mail(usize, Box<Mail>),
    Retry(Box<Flight>),
    Learn(Appraisal, Outcome),
    /// A complaint of the one reporter that there is.
    Complain(Subject),
    Sweep,
}

struct Due {
    at: Timestamp,
    /// Breaks ties, so that the order is the same in every run.
    order: u64,
    what: What,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first, and that is to be the earliest.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

/// A receiving server and all that is sent to it.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) policy: Arc<Policy>,
    pub(crate) filter: Filter,
    pub(crate) now: Timestamp,
    pub(crate) fates: Vec<Fate>,
    rng: SmallRng,
    queue: BinaryHeap<Due>,
    sources: Vec<Box<dyn Iterator<Item = (Timestamp, Mail)>>>,
    order: u64,
    serial: u64,
}

/// What ships, without the part of the model that `TEMPFAIL_WITHOUT` names: it tells what that part is worth.
fn start() -> Start {
    let part = std::env::var("TEMPFAIL_WITHOUT").ok().filter(|word| !word.is_empty());
    let without = |word: String| word.parse().expect("TEMPFAIL_WITHOUT names a part of the model");
    part.map(without).map_or_else(Start::shipped, |part| Start::shipped().without(part))
}

impl World {
    /// An empty server of at most `bytes` of state, begun at `now`.
    pub(crate) fn new(seed: u64, bytes: usize, now: Timestamp) -> Self {
        let policy = Policy { mode: Mode::Enforce, ..Policy::default() };
        let mut world = Self {
            state: State::starting_from(start(), bytes, [seed as u8; 16], now),
            policy: Arc::new(policy),
            filter: Filter::default(),
            now,
            fates: Vec::new(),
            rng: SmallRng::seed_from_u64(seed),
            queue: BinaryHeap::new(),
            sources: Vec::new(),
            order: 0,
            serial: 0,
        };
        world.push(now.after(SWEEP), What::Sweep);
        world
    }

    /// Adds a source of mail.
    pub(crate) fn add(&mut self, source: impl Iterator<Item = (Timestamp, Mail)> + 'static) {
        self.sources.push(Box::new(source));
        self.draw(self.sources.len() - 1);
    }

    fn draw(&mut self, source: usize) {
        if let Some((at, mail)) = self.sources[source].next() {
            self.push(at, What::Mail(source, Box::new(mail)));
        }
    }

    fn push(&mut self, at: Timestamp, what: What) {
        self.order += 1;
        self.queue.push(Due { at, order: self.order, what });
    }

    /// Plays everything that is due before `until`.
    pub(crate) fn run(&mut self, until: Timestamp) {
        while self.queue.peek().is_some_and(|due| due.at < until) {
            let Some(Due { at, what, .. }) = self.queue.pop() else { break };
            self.now = at;
            self.play(what);
        }
        self.now = until;
    }

    fn play(&mut self, what: What) {
        match what {
            What::Mail(source, mail) => {
                self.draw(source);
                self.attempt(Flight { mail: *mail, sent: self.now, tries: 0, reason: None });
            }
            What::Retry(flight) => self.attempt(*flight),
            What::Learn(appraisal, outcome) => learn(&self.state, &appraisal, outcome, self.now),
            What::Complain(subject) => {
                let reporter = "reporter@recipient.example";
                let news = News { source: Source::Complaint, reporter, spam: true, forgeable: false };
                hear(&self.policy, &self.state, &subject, news, self.now);
            }
            What::Sweep => {
                self.state.sweep(self.state.segments(), self.now);
                self.push(self.now.after(SWEEP), What::Sweep);
            }
        }
    }

    /// One try to deliver a message, in a session of its own.
    fn attempt(&mut self, mut flight: Flight) {
        flight.tries += 1;
        if flight.tries > 1 && flight.mail.hosts.len() > 1 {
            flight.mail.host = self.rng.random_range(0..flight.mail.hosts.len());
        }
        let mut facts = self.facts(&flight.mail);
        let mut decision = self.ask(&facts);
        if decision.reply == Reply::Accept {
            self.to_the_end(&mut facts, &flight.mail);
            decision = self.ask(&facts);
        }
        let is_let_in = decision.reply == Reply::Accept;
        if is_let_in {
            let transaction = TransactionId(self.serial);
            self.tell(&facts, Event::MessageReceived { transaction, recipients: None, filter: None });
            self.label(&facts, &flight.mail, &decision);
        }
        self.tell(&facts, Event::SessionClosed);
        if is_let_in { self.note(&flight, true, false) } else { self.defer(flight, &decision) }
    }

    fn defer(&mut self, mut flight: Flight, decision: &Decision) {
        flight.reason.get_or_insert(decision.verdict.reason.code());
        let told = decision.verdict.retry_after.unwrap_or(MINUTE);
        match flight.mail.mailer.pause(flight.tries, self.now.since(flight.sent), told) {
            Some(pause) => self.push(self.now.after(pause), What::Retry(Box::new(flight))),
            None => self.note(&flight, false, true),
        }
    }

    fn note(&mut self, flight: &Flight, is_let_in: bool, lost: bool) {
        self.fates.push(Fate {
            party: flight.mail.party,
            tag: flight.mail.tag,
            spam: flight.mail.spam,
            sent: flight.sent,
            let_in: is_let_in.then_some(self.now),
            ended: self.now,
            deferrals: flight.tries - u32::from(is_let_in),
            reason: flight.reason,
            lost,
        });
    }

    /// Writes down what is still under way, so that every message has a fate.
    pub(crate) fn close(&mut self) {
        for due in std::mem::take(&mut self.queue).into_vec() {
            if let What::Retry(flight) = due.what {
                self.note(&flight, false, false);
            }
        }
    }

    /// What the content filter and the recipient will say of a message that was let in.
    fn label(&mut self, facts: &Facts, mail: &Mail, decision: &Decision) {
        // The verdict that stands is that of RCPT. When the signature names nobody new, so do its identities.
        let known = decision.verdict.appraisal().filter(|_| mail.dkim.is_none() || mail.dkim == mail.spf);
        let appraisal = known.unwrap_or_else(|| self.state.appraise(facts, self.now));
        let filter = self.filter;
        let called_spam = self.rng.random_bool(if mail.spam { filter.catches } else { filter.miscalls });
        let outcome = if called_spam { Outcome::FilteredSpam } else { Outcome::FilteredHam };
        // Each is about another message: the book would take twenty about one for one.
        let complaints = std::iter::repeat_n(decision.subject.as_ref(), mail.complaints as usize).flatten();
        for (n, subject) in complaints.enumerate() {
            let message = MessageId(subject.message.0.wrapping_add(n as u64));
            let mut subject = subject.clone();
            subject.message = message;
            self.push(self.now.after(HOUR), What::Complain(subject));
        }
        self.push(self.now.after(filter.delay), What::Learn(appraisal, outcome));
    }

    /// The facts of a message at RCPT.
    pub(crate) fn facts(&mut self, mail: &Mail) -> Facts {
        self.serial += 1;
        let client = mail.hosts[mail.host].clone();
        let port = (self.serial % 60_000 + 1024) as u16;
        let recipient = Mailbox::new(&format!("u{}@dest.example", mail.recipient));
        Facts {
            session: SessionId::Tcp(SocketAddr::new(client.address, port)),
            front_end: FrontEnd::Milter,
            stage: Stage::Rcpt,
            transaction: Some(TransactionId(self.serial)),
            client,
            envelope: Envelope { sender: mail.sender.clone(), recipient, accepted_recipients: None },
            message: Message {
                size: Some(mail.size),
                verified: mail.verified_domains(false),
                ..Message::default()
            },
            findings: Findings::default(),
        }
    }

    fn to_the_end(&self, facts: &mut Facts, mail: &Mail) {
        facts.stage = Stage::EndOfMessage;
        facts.envelope.recipient = None;
        facts.message.verified = mail.verified_domains(true);
        facts.message.signed.clone_from(&mail.dkim);
    }

    fn ask(&self, facts: &Facts) -> Decision {
        decide(&self.policy, &self.state, facts, self.now)
    }

    fn tell(&self, facts: &Facts, event: Event) {
        report(&self.state, &Report { session: facts.session, front_end: facts.front_end, event }, self.now);
    }

    /// Octets that the tables take.
    pub(crate) fn bytes(&self) -> usize {
        self.state.usage().bytes()
    }
}
