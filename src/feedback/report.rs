//! A complaint report (RFC 5965), read for the header of the message that it includes.
//!
//! Reports come damaged: forwarded as text, the boundary lost, parts in base64 inside others, cut off. So what a
//! report may include is looked for in four ways, the proper one first, and each finding is a candidate: the first
//! that has a mark of ours that holds is the message. Nothing else in a report counts, so a wrong candidate costs
//! a look and no more.
//!
//! Bounds: 64 candidates, and those of the parts.

use super::mime::{self, Part};
use super::{Label, Refused};
use data_encoding::BASE64_MIME_PERMISSIVE;
use mail_auth::report::{Feedback, FeedbackType};

const MAX_CANDIDATES: usize = 64;
/// A line of base64 that is long enough not to be a word.
const BASE64_LINE: usize = 40;

/// A report.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// What it says.
    pub(super) verdict: Label,
    /// Texts that may begin with the header of the message.
    pub(super) candidates: Vec<String>,
}

/// Reads a report.
///
/// # Errors
///
/// It is about something else than spam.
pub(super) fn read(text: &str) -> Result<Report, Refused> {
    let parts = mime::parts(text);
    let feedback = parts.iter().find_map(|part| match part {
        Part::Feedback(report) => Feedback::parse_arf(report.as_bytes()).map(|report| report.feedback_type()),
        _ => None,
    });
    let verdict = verdict(feedback.or_else(|| pasted_type(text)))?;
    let mut candidates = Vec::new();
    candidates.extend(parts.iter().filter_map(|part| match part {
        Part::Message(message) => Some(message.clone()),
        _ => None,
    }));
    for part in &parts {
        if let Part::Text(text) = part {
            blocks(text, &mut candidates);
        }
    }
    blocks(text, &mut candidates);
    candidates.truncate(MAX_CANDIDATES);
    Ok(Report { verdict, candidates })
}

/// RFC 5965 section 3.5 and RFC 6430. A report without a type, or of one that nobody knows, is a complaint (RFC 6650
/// section 4); one about a failed check is not.
const fn verdict(feedback: Option<FeedbackType>) -> Result<Label, Refused> {
    match feedback {
        Some(FeedbackType::AuthFailure) => Err(Refused::NoComplaint),
        Some(FeedbackType::NotSpam) => Ok(Label::Ham),
        _ => Ok(Label::Spam),
    }
}

/// The type of a report whose parts have run together.
fn pasted_type(text: &str) -> Option<FeedbackType> {
    let value = text.lines().find_map(|line| {
        let (name, value) = line.trim_start_matches(['>', ' ']).split_once(':')?;
        name.eq_ignore_ascii_case("Feedback-Type").then(|| value.trim().to_ascii_lowercase())
    })?;
    Some(match value.as_str() {
        "not-spam" => FeedbackType::NotSpam,
        "auth-failure" => FeedbackType::AuthFailure,
        _ => FeedbackType::Abuse,
    })
}

/// Paragraphs of a text that have fields of a header, and what such lie in base64 in it.
fn blocks(text: &str, candidates: &mut Vec<String>) {
    plain_blocks(text, candidates);
    for paragraph in text.split("\n\n").flat_map(|block| block.split("\r\n\r\n")) {
        let lines = || paragraph.lines().map(str::trim).filter(|line| is_base64(line));
        if lines().next().is_some_and(|line| line.len() >= BASE64_LINE) {
            let joined: String = lines().collect();
            // Cut off in the middle it still has its beginning.
            let whole = &joined[..joined.len() / 4 * 4];
            if let Ok(octets) = BASE64_MIME_PERMISSIVE.decode(whole.as_bytes()) {
                plain_blocks(&String::from_utf8_lossy(&octets), candidates);
            }
        }
    }
}

fn plain_blocks(text: &str, candidates: &mut Vec<String>) {
    let text = text.replace("\r\n", "\n");
    for paragraph in text.split("\n\n").filter(|paragraph| has_fields(paragraph)) {
        if candidates.len() >= MAX_CANDIDATES {
            return;
        }
        candidates.push(unquoted(paragraph));
    }
}

fn has_fields(paragraph: &str) -> bool {
    let mark = format!("{}:", crate::mark::MARK).to_ascii_lowercase();
    let is = |line: &str| line.trim_start_matches(['>', ' ']).to_ascii_lowercase().starts_with(&mark);
    paragraph.lines().any(is)
}

/// Without the signs of a forward, and without what stands before the fields.
fn unquoted(paragraph: &str) -> String {
    let quoted = paragraph.lines().any(|line| line.starts_with('>'));
    let line = |line: &str| match line.strip_prefix("> ").or(line.strip_prefix('>')) {
        Some(rest) if quoted => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    paragraph.lines().skip_while(|line| !line.contains(':')).map(line).collect()
}

fn is_base64(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_type_says_what_is_said() {
        let with = |kind: &str| {
            read(&format!("From: Abuse <Fbl@isp.example>\r\n\r\nFeedback-Type: {kind}\r\n\r\nx"))
                .map(|r| r.verdict)
        };
        assert_eq!(with("abuse"), Ok(Label::Spam));
        assert_eq!(with("fraud"), Ok(Label::Spam));
        assert_eq!(with("not-spam"), Ok(Label::Ham));
        assert_eq!(with("auth-failure"), Err(Refused::NoComplaint));
        assert_eq!(with("never-heard-of"), Ok(Label::Spam));
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_bounded(text in "(X-Tempfail: a|\n|\r\n|--b|[ -~]|Feedback-Type: abuse|Content-Type: multipart/report; boundary=b){0,200}") {
            if let Ok(report) = read(&text) {
                prop_assert!(report.candidates.len() <= MAX_CANDIDATES);
            }
        }
    }
}
