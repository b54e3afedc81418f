//! The verdict: what was decided, why, and when to come back.

use crate::allowance::{Dimension, Refusal};
use crate::answer::{DecisionId, DeferCode, Reply, ReplyText};
use crate::facts::Client;
use crate::feedback::MessageId;
use crate::identity::Identities;
use crate::policy::{CodeChoice, Exemption, Mode, Policy};
use crate::standing::{Standing, Word};
use crate::state::Appraisal;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a verdict asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Let it in.
    Accept,
    /// Tell it to come back.
    Defer,
    /// Refuse it for good.
    Reject,
}

impl Action {
    /// The word in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accept => "pass",
            Self::Defer => "defer",
            Self::Reject => "reject",
        }
    }
}

/// Every code of a [`Reason`], with all that a verdict may ask for which has it.
pub const OUTCOMES: [(&str, &[Action]); 23] = [
    ("early", &[Action::Accept]),
    ("off", &[Action::Accept]),
    ("exempt-authenticated", &[Action::Accept]),
    ("exempt-own-network", &[Action::Accept]),
    ("exempt-client", &[Action::Accept]),
    ("exempt-recipient", &[Action::Accept]),
    ("exempt-domain", &[Action::Accept]),
    ("exempt-override", &[Action::Accept]),
    ("allowed", &[Action::Accept]),
    ("returned", &[Action::Accept]),
    ("spamtrap", &[Action::Accept]),
    ("failsafe", &[Action::Accept]),
    ("first-contact", &[Action::Defer]),
    ("reputation", &[Action::Defer]),
    ("rate-connections", &[Action::Defer]),
    ("rate-messages", &[Action::Defer]),
    ("rate-recipients", &[Action::Defer]),
    ("rate-bytes", &[Action::Defer]),
    ("concurrency", &[Action::Defer]),
    ("spike", &[Action::Defer]),
    ("gateway", &[Action::Defer]),
    ("blocked", &[Action::Defer, Action::Reject]),
    ("refused", &[Action::Reject]),
];

/// Why. The codes are stable: log, SMTP reply, metrics and documents use them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// The stage comes before the first one that is judged.
    Early,
    /// The mode is off.
    Off,
    /// An exemption.
    Exempt(Exemption),
    /// Within its allowance.
    Allowed,
    /// Deferred before, and back in time after this delay.
    Returned(Duration),
    /// The recipient is a spamtrap: let in and remembered.
    Spamtrap,
    /// A stranger that has to wait once.
    FirstContact,
    /// A standing so bad that each message waits.
    Reputation,
    /// A limit, for a client of unremarkable standing.
    Limit(Refusal),
    /// A limit that a poor standing has narrowed.
    Narrowed(Refusal),
    /// A limit, and the sender is far above its own baseline.
    Spike(Refusal),
    /// The recipient's domain takes mail from its gateways alone.
    Gateway,
    /// An operator has blocked the client or the sender.
    Blocked,
    /// The address has stayed Bad for so long that the ladder refuses it.
    Refused,
    /// The engine could not decide in time, or failed.
    Failsafe,
}

impl Reason {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Off => "off",
            Self::Exempt(Exemption::Authenticated) => "exempt-authenticated",
            Self::Exempt(Exemption::OwnNetwork) => "exempt-own-network",
            Self::Exempt(Exemption::Client) => "exempt-client",
            Self::Exempt(Exemption::Recipient) => "exempt-recipient",
            Self::Exempt(Exemption::Domain) => "exempt-domain",
            Self::Exempt(Exemption::Override) => "exempt-override",
            Self::Allowed => "allowed",
            Self::Returned(_) => "returned",
            Self::Spamtrap => "spamtrap",
            Self::FirstContact => "first-contact",
            Self::Reputation => "reputation",
            Self::Limit(refusal) | Self::Narrowed(refusal) => match refusal.dimension {
                Dimension::Connections => "rate-connections",
                Dimension::Messages => "rate-messages",
                Dimension::Recipients => "rate-recipients",
                Dimension::Bytes => "rate-bytes",
                Dimension::Sessions => "concurrency",
            },
            Self::Spike(_) => "spike",
            Self::Gateway => "gateway",
            Self::Blocked => "blocked",
            Self::Refused => "refused",
            Self::Failsafe => "failsafe",
        }
    }

    /// The limit behind it, if one is.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Limit(refusal) | Self::Narrowed(refusal) | Self::Spike(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// One sentence for the client's postmaster; empty for acceptance.
    fn sentence(&self, address: IpAddr) -> String {
        let limited =
            |refusal: &Refusal| format!("limit of {} {} reached", refusal.limit, refusal.dimension.unit());
        match self {
            Self::FirstContact => {
                format!("[{address}] This host is new to us; its first message has to wait a little")
            }
            Self::Reputation => format!(
                "[{address}] This message is suspicious due to the very low reputation of the sending host"
            ),
            Self::Limit(refusal) => {
                format!("[{address}] Too much mail from this {}: {}", refusal.whose.word(), limited(refusal))
            }
            Self::Narrowed(refusal) => {
                let (whose, limited) = (refusal.whose.word(), limited(refusal));
                format!("[{address}] Mail from this {whose} is limited for its low reputation: {limited}")
            }
            Self::Spike(refusal) => {
                format!(
                    "[{address}] Unusual rate of mail from this {}: {}",
                    refusal.whose.word(),
                    limited(refusal)
                )
            }
            // Gmail's own words for this case; senders' tools know them.
            Self::Gateway => format!("[{address}] IP not in whitelist for RCPT domain, closing connection"),
            Self::Refused => {
                format!(
                    "[{address}] Mail from this host is refused, its reputation has been very low for long"
                )
            }
            Self::Blocked => format!("[{address}] Mail from this host or sender is blocked here"),
            _ => String::new(),
        }
    }
}

/// What a verdict is about, which decides whether the session has to end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The client.
    Client,
    /// One recipient.
    Recipient,
    /// One domain or mailbox of a host that sends for many.
    Domain,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Its id.
    pub id: DecisionId,
    /// What it asks for.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// What it is about.
    pub scope: Scope,
    /// The code that a deferral has.
    pub code: DeferCode,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// The standing, when it was asked for.
    pub standing: Option<Standing>,
    /// Whose standing it was; what becomes of the message is booked on them.
    pub identities: Option<Arc<Identities>>,
    /// The message that it is about, for feedback; zero when nobody looked at it.
    pub message: MessageId,
}

impl Verdict {
    /// A verdict that lets in without a look at the ledger.
    pub fn accept(id: DecisionId, reason: Reason) -> Self {
        Self {
            id,
            action: Action::Accept,
            reason,
            scope: Scope::Client,
            code: DeferCode::Closing,
            retry_after: None,
            standing: None,
            identities: None,
            message: MessageId::default(),
        }
    }

    /// What was thought of whom, for [`crate::learn`]; `None` when nobody looked at the standing.
    pub fn appraisal(&self) -> Option<Appraisal> {
        let (standing, identities) = (self.standing.clone()?, self.identities.clone()?);
        Some(Appraisal { identities, standing })
    }

    /// The word of the standing, `-` when it was not asked for.
    pub fn word(&self) -> &'static str {
        self.standing.as_ref().map_or("-", |standing| standing.word.as_str())
    }

    /// The reply to write on the wire: the one place where observing differs from enforcing.
    pub fn reply(&self, policy: &Policy, client: &Client) -> Reply {
        match (policy.mode, self.action) {
            (Mode::Off | Mode::Observe, _) | (_, Action::Accept) => Reply::Accept,
            (Mode::Enforce, Action::Defer) => Reply::Defer(self.code, self.text(policy, client)),
            (Mode::Enforce, Action::Reject) => Reply::Reject(self.text(policy, client)),
        }
    }

    /// The text of a deferral or refusal: why, when to come back, the reason code and the id.
    pub fn text(&self, policy: &Policy, client: &Client) -> ReplyText {
        let mut text = self.reason.sentence(client.address);
        // Writing to a String cannot fail.
        if let Some(after) = self.retry_after {
            let _ = write!(text, "; come back in {}", in_words(after));
        }
        let _ = write!(text, " ({} {})", self.reason.code(), self.id);
        if let Some(help) = &policy.help {
            let _ = write!(text, " {help}");
        }
        ReplyText::new(&text)
    }
}

/// A time as people say it, rounded up.
pub fn in_words(duration: Duration) -> String {
    let plural = |n: u64, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    match duration.as_millis().div_ceil(1000) as u64 {
        secs @ 0..=119 => plural(secs, "second"),
        secs @ 120..=7199 => plural(secs.div_ceil(60), "minute"),
        secs @ 7200..=172_799 => plural(secs.div_ceil(3600), "hour"),
        secs => plural(secs.div_ceil(86_400), "day"),
    }
}

/// 421 ends the session, and with it what it has accepted; see [`CodeChoice`].
pub(crate) fn code(choice: CodeChoice, scope: Scope, has_accepted: bool) -> DeferCode {
    match choice {
        CodeChoice::Always(code) => code,
        CodeChoice::ByScope if scope != Scope::Client && has_accepted => DeferCode::Local,
        CodeChoice::ByScope => DeferCode::Closing,
    }
}

/// The reason for a limit that was reached.
pub(crate) fn limited(refusal: Refusal, word: Word, spike: bool) -> Reason {
    match word {
        Word::Low | Word::Bad => Reason::Narrowed(refusal),
        _ if spike => Reason::Spike(refusal),
        _ => Reason::Limit(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_speaks_gmails_words() {
        let verdict = Verdict {
            action: Action::Defer,
            retry_after: Some(Duration::from_secs(3600)),
            ..Verdict::accept(DecisionId::new(7), Reason::Gateway)
        };
        let client = Client::new("192.0.2.7".parse().unwrap());
        let enforce = Policy { mode: Mode::Enforce, ..Policy::default() };
        let Reply::Defer(DeferCode::Closing, text) = verdict.reply(&enforce, &client) else { panic!() };
        assert_eq!(
            text.as_str(),
            "[192.0.2.7] IP not in whitelist for RCPT domain, closing connection; come back in 60 minutes (gateway 00000007)"
        );
        assert_eq!(verdict.reply(&Policy::default(), &client), Reply::Accept);
    }

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(in_words(Duration::from_millis(1)), "1 second");
        assert_eq!(in_words(Duration::from_secs(290)), "5 minutes");
        assert_eq!(in_words(Duration::from_secs(7201)), "3 hours");
        assert_eq!(in_words(Duration::from_secs(30 * 86_400 - 1)), "30 days");
    }

    #[test]
    fn only_a_verdict_on_a_part_of_a_session_in_use_is_451() {
        let code = |scope, accepted| super::code(CodeChoice::ByScope, scope, accepted);
        assert_eq!(code(Scope::Client, true), DeferCode::Closing);
        assert_eq!(code(Scope::Recipient, false), DeferCode::Closing);
        assert_eq!(code(Scope::Recipient, true), DeferCode::Local);
        assert_eq!(code(Scope::Domain, true), DeferCode::Local);
        let pinned = CodeChoice::Always(DeferCode::Closing);
        assert_eq!(super::code(pinned, Scope::Recipient, true), DeferCode::Closing);
    }
}
