//! `tempfail learn` and `tempfail feedback`: a message or a report on standard input, for the running daemon.
//!
//! Made to be run by a mail server or an IMAP server, with the statuses that those understand: 75 has Postfix keep
//! a report and try again, and any other than 0 has it return the report to the sender that it claims. Anybody can
//! mail the address for reports in anybody's name, so a report of no use ends with 0 unless `--strict` asks for more.

use super::output::{EX_DATAERR, EX_TEMPFAIL, complain, show};
use super::remote::Daemon;
use crate::admin::client::ClientError;
use crate::feedback::{About, LONGEST_MESSAGE, LONGEST_REPORT, LONGEST_REQUEST, Label, Request, Told};
use clap::Args;
use hyper::StatusCode;
use policy_core::feedback::Source;
use std::fmt;
use std::io::{self, Read};
use std::process::ExitCode;

/// Octets of a request that are for all but its text.
const BESIDE_TEXT: usize = 16 << 10;
/// Octets that are read and thrown away after the text. Mail is shorter; a pipe that has no end must not hold this for ever.
const THROWN_AWAY: u64 = 64 << 20;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("word").required(true)))]
pub(super) struct LearnArgs {
    /// The message is spam.
    #[arg(long, group = "word")]
    spam: bool,
    /// The message is good.
    #[arg(long, group = "word")]
    ham: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct FeedbackArgs {
    /// End with 65 when the report is of no use, and with 1 or 77 when the daemon cannot be asked. For a shell: in a mail
    /// alias this returns spam to whom it names as its sender.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    common: Common,
}

/// How a command ends that could not do what it was run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// With a status that says why.
    Telling,
    /// So that a mail server returns nothing: what is of no use is dropped, what can be mended is kept.
    Keeping,
}

impl Manner {
    /// The status for input of no use.
    const fn useless(self) -> u8 {
        match self {
            Self::Telling => EX_DATAERR,
            Self::Keeping => 0,
        }
    }

    /// The status of what a mail server can do something about.
    fn status(self, error: &ClientError) -> Option<u8> {
        let any = match self {
            Self::Telling => None,
            Self::Keeping => Some(EX_TEMPFAIL),
        };
        match error {
            ClientError::Unreachable(_) | ClientError::Broken(_) => Some(EX_TEMPFAIL),
            ClientError::Refused { status, .. } => match *status {
                StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
                    Some(self.useless())
                }
                status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                    Some(EX_TEMPFAIL)
                }
                _ => any,
            },
            ClientError::Forbidden(_) | ClientError::NoToken { .. } => any,
        }
    }
}

#[derive(Debug, Args)]
struct Common {
    /// Who says so. What one reporter says in a day is bounded. Without it, the user that this runs as; of a report,
    /// who sent it.
    #[arg(long, value_name = "NAME")]
    reporter: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
}

/// Learns of the message on standard input.
pub(super) fn learn(args: &LearnArgs) -> ExitCode {
    let label = if args.spam { Label::Spam } else { Label::Ham };
    let reporter = args.common.reporter.clone().or_else(user);
    let request = |text| Request {
        source: Source::Person,
        reporter,
        verdict: Some(label),
        about: About::Message(text),
    };
    say(&args.common, Manner::Telling, LONGEST_MESSAGE, request)
}

/// Takes in the report on standard input.
pub(super) fn feedback(args: &FeedbackArgs) -> ExitCode {
    let reporter = args.common.reporter.clone();
    let request =
        |text| Request { source: Source::Complaint, reporter, verdict: None, about: About::Report(text) };
    let manner = if args.strict { Manner::Telling } else { Manner::Keeping };
    say(&args.common, manner, LONGEST_REPORT, request)
}

fn say(args: &Common, manner: Manner, most: usize, request: impl FnOnce(String) -> Request) -> ExitCode {
    let text = match read(io::stdin().lock(), most) {
        Ok(text) if !text.trim().is_empty() => text,
        Ok(_) => {
            complain(&"nothing on standard input; a message belongs there");
            return ExitCode::from(manner.useless());
        }
        Err(error) => {
            complain(&format!("standard input cannot be read: {error}"));
            return ExitCode::from(EX_TEMPFAIL);
        }
    };
    let request = request(text);
    // It is mended sooner or later, and a report that comes back is lost.
    args.daemon.talk_or(EX_TEMPFAIL, async |client| {
        match client.post::<Told>("/v1/feedback", request).await {
            Ok(told) => Ok(show(&told, args.json)),
            Err(error) => match manner.status(&error) {
                Some(status) => {
                    complain(&error);
                    Ok(ExitCode::from(status))
                }
                None => Err(error),
            },
        }
    })
}

/// The text, up to a bound. The rest is read and thrown away, up to another: who writes a message must not find the pipe
/// broken.
fn read(mut input: impl Read, most: usize) -> io::Result<String> {
    let mut octets = Vec::new();
    input.by_ref().take(most as u64).read_to_end(&mut octets)?;
    io::copy(&mut input.take(THROWN_AWAY), &mut io::sink())?;
    let mut text = String::from_utf8_lossy(&octets).into_owned();
    text.truncate(fitting(&text));
    Ok(text)
}

/// How much of a text fits into a request, where JSON takes six octets for a control character. One that does not fit
/// would be refused each time that the mail server comes with it again.
fn fitting(text: &str) -> usize {
    let mut left = LONGEST_REQUEST - BESIDE_TEXT;
    let end = text.char_indices().find_map(|(at, c)| {
        let octets = match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            c if c < ' ' => 6,
            c => c.len_utf8(),
        };
        let rest = left.checked_sub(octets);
        left = rest.unwrap_or_default();
        rest.is_none().then_some(at)
    });
    end.unwrap_or(text.len())
}

fn user() -> Option<String> {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name)
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Label::Spam => "spam",
            Label::Ham => "ham",
        };
        write!(f, "{verdict}: {}", self.effect.words())?;
        match (&self.client, &self.id) {
            (Some(client), Some(id)) => writeln!(f, " (from {client}, decision {id})"),
            (Some(client), None) => writeln!(f, " (from {client})"),
            (None, Some(id)) => writeln!(f, " (decision {id})"),
            (None, None) => writeln!(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_makes_too_long_is_cut() {
        for filler in ["\0", "\u{fffd}", "\"", "\n", "é", "a\u{1f}"] {
            let text = filler.repeat(LONGEST_REPORT);
            let written = serde_json::to_string(&text[..fitting(&text)]).unwrap();
            assert!(written.len() <= LONGEST_REQUEST - BESIDE_TEXT + 2, "{filler:?}: {}", written.len());
            let spare = LONGEST_REQUEST - BESIDE_TEXT - written.len().min(LONGEST_REQUEST - BESIDE_TEXT);
            assert!(spare < 8 || fitting(&text) == text.len(), "{filler:?}: no more is cut than need be");
        }
        assert_eq!(fitting("From: a\n\nx"), 10);
    }

    #[test]
    fn what_is_too_long_is_cut_and_read_to_its_end() {
        let mut input: &[u8] = b"From: a\n\nx\xff and more";
        assert_eq!(read(&mut input, 11).unwrap(), "From: a\n\nx\u{fffd}");
        assert!(input.is_empty());
    }

    /// As /dev/zero, but it counts, and fails before a test would never end.
    struct Endless(u64);

    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            into.fill(b'x');
            self.0 += into.len() as u64;
            if self.0 > 4 * THROWN_AWAY { Err(io::Error::other("read on and on")) } else { Ok(into.len()) }
        }
    }

    #[test]
    fn what_has_no_end_is_not_read_for_ever() {
        let mut input = Endless(0);
        assert_eq!(read(&mut input, 11).unwrap(), "x".repeat(11));
        assert!(input.0 >= THROWN_AWAY, "{} octets", input.0);
    }
}
