//! A decision as it was made.

use crate::log::{mode, moment};
use crate::recent::Record;
use policy_core::answer::Reply;
use policy_core::verdict::{Reason, in_words};
use serde::{Deserialize, Serialize};

/// A decision as it was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DecisionTold {
    /// When.
    pub at: String,
    /// Its id, as in the reply and the log.
    pub id: String,
    /// `pass`, `defer` or `reject`.
    pub action: String,
    /// The verdict, when the answer was another.
    pub would: Option<String>,
    /// The stable code of the reason.
    pub reason: String,
    /// The reason in words.
    pub because: String,
    /// What was said to the client.
    pub reply: Option<String>,
    /// The mode in force.
    pub mode: String,
    /// The client.
    pub client_address: String,
    /// Its confirmed reverse name.
    pub client_name: Option<String>,
    /// MAIL FROM; `<>` for none.
    pub sender: Option<String>,
    /// The mail server's queue id.
    pub queue_id: Option<String>,
    /// The standing's word then.
    pub standing: Option<String>,
    /// The chance of spam then.
    pub probability: Option<f32>,
    /// Seconds after which the client might come back.
    pub retry_after: Option<u64>,
}

impl DecisionTold {
    pub(super) fn of(record: &Record) -> Self {
        let (facts, verdict) = (&record.facts, &record.verdict);
        let reply = match &record.reply {
            Reply::Accept => None,
            Reply::Defer(code, text) => Some(format!("{} 4.7.0 {text}", code.digits())),
            Reply::Reject(text) => Some(format!("550 5.7.1 {text}")),
        };
        Self {
            at: moment(record.at),
            id: verdict.id.to_string(),
            action: record.action().to_owned(),
            would: record.would().map(str::to_owned),
            reason: verdict.reason.code().to_owned(),
            because: because(&verdict.reason),
            reply,
            mode: mode(record.mode).to_owned(),
            client_address: facts.client.address.to_string(),
            client_name: facts.client.name.as_ref().map(ToString::to_string),
            sender: facts.envelope.sender.as_ref().map(ToString::to_string),
            queue_id: facts.message.queue_id.as_ref().map(ToString::to_string),
            standing: verdict.standing.as_ref().map(|standing| standing.word.to_string()),
            probability: verdict.standing.as_ref().map(|standing| standing.judged),
            retry_after: verdict.retry_after.map(|after| after.as_millis().div_ceil(1000) as u64),
        }
    }
}

/// A reason in plain words.
pub fn because(reason: &Reason) -> String {
    match reason {
        Reason::Returned(delay) => {
            return format!("it came back after {}, as it was asked to", in_words(*delay));
        }
        Reason::Early => "nothing is judged before the recipient is known",
        Reason::Off => "the mode is off: nothing is judged",
        Reason::Exempt(_) => "it is exempt: by the configuration, or because an operator allows it",
        Reason::Allowed => "within its allowance",
        Reason::Spamtrap => "nobody writes to this address honestly; let in, and held against it",
        Reason::FirstContact => "a stranger that looks like spam waits once",
        Reason::Reputation => "what is known of it is bad or looks like spam, so each of its messages waits",
        Reason::Gateway => "this recipient domain takes mail from its gateway alone",
        Reason::Blocked => "an operator has blocked it",
        Reason::Refused => "it stayed Bad and kept coming, so it is refused for some time",
        Reason::Spike(_) => "far more mail than on any day before",
        Reason::Limit(_) => "its allowance is used up, and fills again by the hour",
        Reason::Narrowed(_) => "its standing has narrowed its allowance, and that is used up",
        Reason::Failsafe => "no decision came in time, and mail comes before judgement",
    }
    .to_owned()
}
