//! An engine that answers from a script and writes down, a line each, what it is asked and told.

use policy_core::answer::{Answer, DecisionId, Reply};
use policy_core::engine::{Engine, Event, FilterVerdict, Refusal, Report};
use policy_core::facts::{Facts, SessionId, TransactionId, VerifiedBy, VerifiedDomain};
use policy_core::name::{Mailbox, Sender};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// The engine. An empty script accepts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    state: Arc<Mutex<State>>,
    written: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Reply>,
    lines: VecDeque<String>,
    transactions: Vec<TransactionId>,
}

impl Recorder {
    /// The next question is answered so.
    pub(crate) fn answer(&self, reply: Reply) {
        self.state.lock().unwrap().script.push_back(reply);
    }

    /// The next line, waiting for it.
    pub(crate) async fn line(&self) -> String {
        super::soon(async {
            loop {
                let written = self.written.notified();
                if let Some(line) = self.state.lock().unwrap().lines.pop_front() {
                    return line;
                }
                written.await;
            }
        })
        .await
    }

    /// The lines written and not yet read.
    pub(crate) fn rest(&self) -> Vec<String> {
        self.state.lock().unwrap().lines.drain(..).collect()
    }

    fn write(&self, line: impl FnOnce(&mut State) -> String) {
        let mut state = self.state.lock().unwrap();
        let line = line(&mut state);
        state.lines.push_back(line);
        drop(state);
        self.written.notify_one();
    }
}

impl Engine for Recorder {
    async fn decide(&self, facts: Facts) -> Answer {
        self.write(|state| format!("asked {}", state.facts(&facts)));
        let reply = self.state.lock().unwrap().script.pop_front().unwrap_or(Reply::Accept);
        Answer { id: DecisionId::new(1), reply, mark: None }
    }

    fn report(&self, report: Report) {
        self.write(|state| format!("told {} {}", session(report.session), state.event(&report.event)));
    }
}

impl State {
    /// Transactions are numbered from one, in the order in which they are first seen.
    fn number(&mut self, id: TransactionId) -> usize {
        let known = self.transactions.iter().position(|&known| known == id);
        known.unwrap_or_else(|| {
            self.transactions.push(id);
            self.transactions.len() - 1
        }) + 1
    }

    fn facts(&mut self, facts: &Facts) -> String {
        let mut line = format!("{:?} {}", facts.stage, session(facts.session));
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(line, " {name}={value}");
            }
        };
        let client = &facts.client;
        let on_connection = matches!(facts.session, SessionId::Connection(..));
        add("address", on_connection.then(|| client.address.to_string()));
        add("name", client.name.as_ref().map(ToString::to_string));
        add("ptr", client.reverse_name.as_ref().map(ToString::to_string));
        add("helo", client.helo.as_ref().map(ToString::to_string));
        add("tls", client.tls.map(|tls| if tls { "yes" } else { "no" }.to_owned()));
        add("login", client.authenticated.as_ref().map(ToString::to_string));
        add("transaction", facts.transaction.map(|id| self.number(id).to_string()));
        add("from", facts.envelope.sender.as_ref().map(path));
        add("to", facts.envelope.recipient.as_ref().map(Mailbox::to_string).map(|to| format!("<{to}>")));
        add("accepted", facts.envelope.accepted_recipients.map(|count| count.to_string()));
        add("size", facts.message.size.map(|size| size.to_string()));
        add("verified", verified(&facts.message.verified));
        add("queue", facts.message.queue_id.as_ref().map(ToString::to_string));
        line
    }

    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::RecipientRefused { transaction, refusal } => {
                format!("refused transaction={} {}", self.number(*transaction), cause(*refusal))
            }
            Event::MessageReceived { transaction, recipients, filter } => {
                let number = self.number(*transaction);
                let recipients = recipients.unwrap();
                let mut line = format!("received transaction={number} recipients={recipients}");
                filter.iter().for_each(|filter| line += &verdict(filter));
                line
            }
            Event::TransactionAborted { transaction } => {
                format!("aborted transaction={}", self.number(*transaction))
            }
            Event::SessionClosed => "closed".to_owned(),
        }
    }
}

fn session(id: SessionId) -> String {
    match id {
        SessionId::Tcp(client) => client.to_string(),
        SessionId::Connection(front_end, _) => format!("{front_end:?}-connection"),
    }
}

fn path(sender: &Sender) -> String {
    format!("<{sender}>")
}

fn cause(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::UnknownRecipient => "unknown",
        Refusal::Permanent => "permanent",
        Refusal::Temporary => "temporary",
    }
}

fn verified(domains: &[VerifiedDomain]) -> Option<String> {
    let by = |by| if by == VerifiedBy::Spf { "spf" } else { "dkim" };
    let domains: Vec<_> = domains.iter().map(|d| format!("{}:{}", by(d.by), d.domain)).collect();
    (!domains.is_empty()).then(|| domains.join(","))
}

fn verdict(filter: &FilterVerdict) -> String {
    let word = if filter.spam { "spam" } else { "ham" };
    let score = filter.score.map(|score| format!("({score})")).unwrap_or_default();
    let forgeable = if filter.forgeable { " forgeable" } else { "" };
    format!(" filter={}:{word}{score}{forgeable}", filter.header)
}
