//! What became of mail, as weights of evidence. What is heard of one message from several sides goes through
//! [`crate::feedback`]; a recording with one label for each needs no more than this.

use crate::evidence::Weight;
use crate::feedback::Source;

/// What became of a message, or of a deferral.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// A message was let in, and so far nobody has said anything against it.
    Accepted {
        /// Recipients that the mail server accepted.
        recipients: u32,
        /// Recipients that it refused as unknown (5.1.x).
        unknown: u32,
    },
    /// Recipients of a message were unknown, whether it was let in to others or not. That is about its envelope.
    UnknownRecipients {
        /// Recipients that the mail server accepted.
        recipients: u32,
        /// Recipients that it refused as unknown (5.1.x).
        unknown: u32,
    },
    /// A content filter called a message of this sender good.
    FilteredHam,
    /// A content filter called it spam.
    FilteredSpam,
    /// A person or a trusted service called it good.
    ReportedHam,
    /// A person or a trusted service complained of it.
    ReportedSpam,
    /// It was sent to an address that nobody ever gave away.
    Spamtrap,
    /// It was deferred and came back as asked.
    RetriedAsAsked,
    /// It was deferred and came back far too often before its time.
    RetryStorm,
    /// It was deferred and never came back.
    NeverReturned,
}

impl Outcome {
    /// Whether it says that a message was spam. Acceptance does not, nor does what became of a deferral, which
    /// is this engine's own doing.
    pub fn label(self) -> Option<bool> {
        match self {
            Self::FilteredHam | Self::ReportedHam => Some(false),
            Self::FilteredSpam | Self::ReportedSpam | Self::Spamtrap => Some(true),
            Self::Accepted { .. }
            | Self::UnknownRecipients { .. }
            | Self::RetriedAsAsked
            | Self::RetryStorm
            | Self::NeverReturned => None,
        }
    }

    /// The weight of this outcome. One good message that a person vouched for weighs 1.
    ///
    /// Sources: acceptance alone says little (a filter sees more), so four accepted messages weigh one
    /// vouched for; a trap never errs, so it weighs five. A deferral is this engine's own doing: coming back
    /// and not coming back are weak evidence at best.
    pub fn weight(self) -> Weight {
        let good = |good| Weight { good, ..Weight::default() };
        let bad = |bad| Weight { bad, ..Weight::default() };
        match self {
            Self::Accepted { recipients: 0, .. } => Weight::default(),
            Self::Accepted { recipients, unknown } => Weight {
                presumed: ACCEPTED * (1.0 - share_unknown(recipients, unknown)),
                volume: (recipients as f32 / RECIPIENTS_OF_ONE).max(1.0),
                ..Weight::default()
            },
            Self::UnknownRecipients { recipients, unknown } => bad(share_unknown(recipients, unknown)),
            Self::FilteredHam | Self::ReportedHam => good(1.0),
            Self::FilteredSpam => convicted(Source::Filter.default_weight()),
            Self::ReportedSpam => convicted(Source::Person.default_weight()),
            Self::Spamtrap => convicted(Source::Trap.default_weight()),
            Self::RetriedAsAsked => good(0.1),
            Self::RetryStorm => bad(0.5),
            Self::NeverReturned => bad(0.25),
        }
    }
}

/// Good evidence that is presumed of a message which was let in, as long as nobody has said anything against it.
pub(crate) const ACCEPTED: f32 = 0.25;

/// Bad evidence of a message that was let in: it takes back what its acceptance was worth.
const fn convicted(bad: f32) -> Weight {
    Weight { presumed: -ACCEPTED, bad, good: 0.0, volume: 0.0 }
}

/// Recipients that a stranger may have for each of its messages: one to more has the volume of several, so that a list
/// earns what its next issue needs.
const RECIPIENTS_OF_ONE: f32 = 2.0;

/// Unknown recipients count as a ratio: a list of a thousand with three stale addresses is no crime.
fn share_unknown(recipients: u32, unknown: u32) -> f32 {
    let all = recipients.saturating_add(unknown).max(1);
    (f64::from(unknown) / f64::from(all)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowance::PerHour;
    use crate::quota::Limits;

    #[test]
    fn unknown_recipients_are_a_ratio() {
        let bad = |recipients, unknown| Outcome::UnknownRecipients { recipients, unknown }.weight().bad;
        assert_eq!([bad(997, 3), bad(0, 3), bad(0, 0)], [0.003, 1.0, 0.0]);
        let let_in = |recipients, unknown| Outcome::Accepted { recipients, unknown }.weight();
        assert!(let_in(997, 3).presumed > 0.24 && let_in(1, 9).presumed < 0.03);
        assert_eq!(let_in(0, 3), Weight::default());
    }

    #[test]
    fn a_message_to_many_has_the_volume_of_several_and_vouches_once() {
        let let_in = |recipients| Outcome::Accepted { recipients, unknown: 0 }.weight();
        assert_eq!([1, 2, 50].map(|n| let_in(n).volume), [1.0, 1.0, 25.0]);
        assert_eq!(let_in(50).presumed, let_in(1).presumed);
        let PerHour([_, messages, recipients, _]) = Limits::default().cold;
        assert_eq!(recipients / messages, f64::from(RECIPIENTS_OF_ONE));
    }
}
