//! The verdict of a content filter, as it stands in a header field.
//!
//! A filter that is an earlier milter changes the message at its own end of message; both Postfix and Sendmail
//! show the changed header to the milters listed after it. This milter must therefore be listed last.
//!
//! Whose word is it? A field in the header may have come with the message, and where it stands proves
//! nothing: a sender can write one at the top, and one at the bottom. Only the operator knows whether copies
//! that came with the message are removed (rspamd and the SpamAssassin milters do so for the mail they scan;
//! Postfix's `header_checks` can do so for all mail). So each field says which:
//!
//! * [`Forgeries::Removed`]: the field is the filter's own. Spam and ham both count.
//! * [`Forgeries::Possible`], the default: ham earns nothing. Spam counts, since a sender that wants the
//!   verdict can have it from any filter for a spammy text; but it is kept away from signed domains, which a
//!   replayed signature would blame for a field that their signature does not cover.
//!
//! Among several fields the filter's own come first, then spam before ham: a forged "No" beside a true
//! "Yes" is of no use.
//!
//! Known limit: a filter that did not look at a message (too large, timed out) removed nothing from it either.

use compact_str::CompactString;
use policy_core::engine::FilterVerdict;

/// The score from which rspamd's shipped configuration marks a message as spam.
const RSPAMD_ADD_HEADER: f32 = 6.0;

/// A header field in which a content filter writes its verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterHeader {
    /// The field's name; case does not matter.
    pub name: CompactString,
    /// How its value is read.
    pub reading: Reading,
    /// Whether a field of this name may have come with the message.
    pub forgeries: Forgeries,
}

/// How a verdict is read from a field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// By its first word: `Yes`, `True`, `Spam`, `Junk`, or `No`, `False`, `Ham`, `Innocent`. Another word is
    /// no verdict. A score is taken from `score=` or `hits=`.
    YesNo,
    /// The field alone says spam, unless its first word says no or it is empty.
    Flag,
    /// By its score: the number after `score=`, `hits=` or `[`, or else at the start.
    Score {
        /// The score from which a message is spam.
        threshold: f32,
    },
}

/// Whether a field may have been written by the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forgeries {
    /// Nobody is known to remove copies that came with the message.
    Possible,
    /// The filter or the mail server removes copies that came with the message.
    Removed,
}

impl FilterHeader {
    /// The fields of rspamd and of SpamAssassin's milters, with forgeries held possible.
    pub fn defaults() -> Vec<Self> {
        [
            ("X-Spam-Status", Reading::YesNo),
            ("X-Spam-Flag", Reading::YesNo),
            ("X-Spam", Reading::YesNo),
            // Its word is about rejection only, so the score decides: `default: False [7.10 / 15.00]`.
            ("X-Spamd-Result", Reading::Score { threshold: RSPAMD_ADD_HEADER }),
        ]
        .map(|(name, reading)| Self { name: name.into(), reading, forgeries: Forgeries::Possible })
        .into()
    }

    /// What the field's value says; `None` when it says nothing that counts.
    pub(crate) fn read(&self, value: &str) -> Option<Finding> {
        let (spam, score) = match self.reading {
            Reading::YesNo => (says_yes(value)?, labelled_score(value)),
            Reading::Flag => {
                (!value.trim().is_empty() && says_yes(value) != Some(false), labelled_score(value))
            }
            Reading::Score { threshold } => {
                let score = labelled_score(value).or_else(|| bare_score(value))?;
                (score >= threshold, Some(score))
            }
        };
        if !spam && (self.forgeries == Forgeries::Possible || self.reading == Reading::Flag) {
            return None;
        }
        let verdict = FilterVerdict {
            header: self.name.clone(),
            spam,
            score,
            forgeable: self.forgeries == Forgeries::Possible,
        };
        Some(Finding { verdict, forgeries: self.forgeries })
    }
}

/// A verdict, and whether it may be forged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) verdict: FilterVerdict,
    pub(crate) forgeries: Forgeries,
}

impl Finding {
    /// Whether this one counts rather than `other`.
    pub(crate) fn outweighs(&self, other: &Self) -> bool {
        let weight =
            |finding: &Self| (finding.forgeries, finding.verdict.spam, finding.verdict.score.is_some());
        weight(self) > weight(other)
    }
}

fn says_yes(value: &str) -> Option<bool> {
    let word = value.trim_start();
    let end = word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len());
    let is = |words: [&str; 4]| words.iter().any(|w| word[..end].eq_ignore_ascii_case(w));
    if is(["yes", "true", "spam", "junk"]) {
        return Some(true);
    }
    is(["no", "false", "ham", "innocent"]).then_some(false)
}

fn labelled_score(value: &str) -> Option<f32> {
    ["score=", "hits="].iter().find_map(|label| number(&value[value.find(label)? + label.len()..]))
}

fn bare_score(value: &str) -> Option<f32> {
    value.split_once('[').and_then(|(_, rest)| number(rest)).or_else(|| number(value))
}

/// The decimal number at the start of `text`.
fn number(text: &str) -> Option<f32> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
    text[..end].parse().ok().filter(|score: &f32| score.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(reading: Reading, forgeries: Forgeries) -> FilterHeader {
        FilterHeader { name: "X-Spam-Status".into(), reading, forgeries }
    }

    fn read(reading: Reading, value: &str) -> Option<(bool, Option<f32>)> {
        let finding = header(reading, Forgeries::Removed).read(value)?;
        Some((finding.verdict.spam, finding.verdict.score))
    }

    #[test]
    fn spamassassin_and_rspamd_are_read() {
        let yes_no = |value| read(Reading::YesNo, value);
        assert_eq!(yes_no("Yes, score=7.1 required=5.0 tests=A,B"), Some((true, Some(7.1))));
        assert_eq!(yes_no("No, hits=-4.3 tagged_above=-999.0 required=5.0"), Some((false, Some(-4.3))));
        assert_eq!(yes_no("YES"), Some((true, None)));
        assert_eq!(yes_no(" no"), Some((false, None)));
        assert_eq!(yes_no("Noticeable"), None);
        assert_eq!(yes_no(""), None);
        let result = |value| read(Reading::Score { threshold: 6.0 }, value);
        assert_eq!(result("default: False [7.10 / 15.00];\n A(7.10)[]"), Some((true, Some(7.1))));
        assert_eq!(result("default: False [-1.20 / 15.00]"), Some((false, Some(-1.2))));
        assert_eq!(result("6.0"), Some((true, Some(6.0))));
        assert_eq!(result("none"), None);
        assert_eq!(result(&"9".repeat(60)), None);
    }

    #[test]
    fn a_flag_says_spam_or_nothing() {
        assert_eq!(read(Reading::Flag, "Junk"), Some((true, None)));
        assert_eq!(read(Reading::Flag, "1"), Some((true, None)));
        assert_eq!(read(Reading::Flag, "no"), None);
        assert_eq!(read(Reading::Flag, " "), None);
    }

    #[test]
    fn ham_that_may_be_forged_earns_nothing() {
        let open = header(Reading::YesNo, Forgeries::Possible);
        assert_eq!(open.read("No, score=-9"), None);
        assert!(open.read("Yes, score=9").unwrap().verdict.spam);
    }

    #[test]
    fn the_filters_own_word_comes_first_then_spam() {
        let finding = |value, forgeries| header(Reading::YesNo, forgeries).read(value).unwrap();
        let own_ham = finding("No", Forgeries::Removed);
        let own_spam = finding("Yes", Forgeries::Removed);
        let scored = finding("Yes, score=9", Forgeries::Removed);
        let open_spam = finding("Yes, score=9", Forgeries::Possible);
        assert!(own_spam.outweighs(&own_ham) && !own_ham.outweighs(&own_spam));
        assert!(own_ham.outweighs(&open_spam));
        assert!(scored.outweighs(&own_spam) && !scored.outweighs(&scored.clone()));
    }

    proptest! {
        #[test]
        fn any_value_is_read(value in "\\PC{0,80}", threshold: f32) {
            for reading in [Reading::YesNo, Reading::Flag, Reading::Score { threshold }] {
                if let Some((_, score)) = read(reading, &value) {
                    prop_assert!(score.is_none_or(f32::is_finite));
                }
            }
        }

        #[test]
        fn printed_scores_are_read_back(tenths in -9999i32..9999) {
            let score = tenths as f32 / 10.0;
            let spam = score >= 5.0;
            let value = format!("{}, score={score:.1} required=5.0", if spam { "Yes" } else { "No" });
            prop_assert_eq!(read(Reading::YesNo, &value), Some((spam, Some(score))));
            prop_assert_eq!(read(Reading::Score { threshold: 5.0 }, &value), Some((spam, Some(score))));
        }
    }
}
