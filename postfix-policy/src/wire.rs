//! The wire format of policy delegation: `name=value` lines and an empty line; `action=...` back.
//!
//! Pure functions over bytes. The outcome depends on the bytes alone, never on how they were cut into reads,
//! and what is kept never exceeds [`Bounds`].
//!
//! A request that breaks the format is [`Malformed`] as a whole. Values are the exception: with
//! `smtputf8_enable = no` Postfix hands on whatever octets a client wrote, so a value may be no UTF-8. If that
//! counted as malformed, a client could choose to be judged by `default_action` instead of by us. Such octets
//! read as U+FFFD.
//!
//! Known limit: `ccert_subject` and `ccert_issuer`, the only encoded attributes, are not among those read.

use memchr::{memchr, memchr_iter, memrchr};
use policy_core::answer::Reply;
use std::borrow::Cow;
use std::fmt;
use thiserror::Error;

/// How much one request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets in a line, without its LF.
    pub line: usize,
    /// Octets in a request, with every LF and the empty line.
    pub request: usize,
    /// Lines in a request, without the empty line.
    pub attributes: usize,
}

/// An attribute that is read. The others are skipped, as Postfix asks of every server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Attribute {
    /// `request`, always `smtpd_access_policy`.
    Request,
    /// `protocol_state`.
    ProtocolState,
    /// `client_address`.
    ClientAddress,
    /// `client_port`, since Postfix 3.0.
    ClientPort,
    /// `client_name`, forward-confirmed.
    ClientName,
    /// `reverse_client_name`, not confirmed.
    ReverseClientName,
    /// `helo_name`.
    HeloName,
    /// `sender`.
    Sender,
    /// `recipient`.
    Recipient,
    /// `recipient_count`.
    RecipientCount,
    /// `queue_id`.
    QueueId,
    /// `instance`.
    Instance,
    /// `size`.
    Size,
    /// `sasl_username`, absent when Postfix was built without SASL.
    SaslUsername,
    /// `encryption_protocol`, absent when Postfix was built without TLS.
    EncryptionProtocol,
}

impl Attribute {
    const COUNT: usize = Self::EncryptionProtocol as usize + 1;

    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"request" => Self::Request,
            b"protocol_state" => Self::ProtocolState,
            b"client_address" => Self::ClientAddress,
            b"client_port" => Self::ClientPort,
            b"client_name" => Self::ClientName,
            b"reverse_client_name" => Self::ReverseClientName,
            b"helo_name" => Self::HeloName,
            b"sender" => Self::Sender,
            b"recipient" => Self::Recipient,
            b"recipient_count" => Self::RecipientCount,
            b"queue_id" => Self::QueueId,
            b"instance" => Self::Instance,
            b"size" => Self::Size,
            b"sasl_username" => Self::SaslUsername,
            b"encryption_protocol" => Self::EncryptionProtocol,
            _ => return None,
        })
    }
}

/// What breaks the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// A line exceeds [`Bounds::line`].
    #[error("line longer than {0} octets")]
    LineTooLong(usize),
    /// The request exceeds [`Bounds::request`].
    #[error("request longer than {0} octets")]
    RequestTooLong(usize),
    /// The request exceeds [`Bounds::attributes`].
    #[error("more than {0} attributes")]
    TooManyAttributes(usize),
    /// A line without `=`.
    #[error("no '=' in the line")]
    NoEqualsSign,
    /// Before `=` stands nothing, or something that is not ASCII.
    #[error("no attribute name in ASCII before '='")]
    BadName,
    /// NUL.
    #[error("NUL")]
    Nul,
    /// `request` is not `smtpd_access_policy`.
    #[error("not a request of type smtpd_access_policy")]
    OtherRequest,
    /// The request ended without `request=smtpd_access_policy`.
    #[error("no attribute 'request'")]
    NoRequest,
}

/// A request that cannot be read, and where it breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{fault}, in line {line} at octet {offset}: \"{text}\"")]
pub struct Malformed {
    /// What is wrong.
    pub fault: Fault,
    /// The line, from 1.
    pub line: usize,
    /// Octets of the request before the line, or before the octet that is NUL, or should have been LF.
    pub offset: usize,
    /// The attribute's name, or how the line starts; escaped, short, and never a value.
    pub text: String,
}

/// Longest piece of a line that a [`Malformed`] quotes, in octets before escaping.
const QUOTED: usize = 32;

impl Malformed {
    fn new(fault: Fault, line: usize, offset: usize, bytes: &[u8]) -> Self {
        let name = bytes.split(|&b| b == b'=').next().unwrap_or_default();
        let text = name.iter().take(QUOTED).copied().collect::<Vec<u8>>().escape_ascii().to_string();
        Self { fault, line, offset, text }
    }
}

/// Where a value stands in the request's bytes. Small, because a request has many and they are copied.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// How far a request has been read.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Whole lines read.
    lines: usize,
    /// Where the line that is not whole yet begins.
    line_start: usize,
    /// Up to where that line holds no LF.
    scanned: usize,
    values: [Option<Span>; Attribute::COUNT],
}

/// Reads one request after another, each from bytes that may still be arriving.
pub struct Parser {
    bounds: Bounds,
    progress: Progress,
}

impl Parser {
    /// A parser at the start of a request.
    pub fn new(bounds: Bounds) -> Self {
        let bounds = Bounds { request: bounds.request.min(u32::MAX as usize), ..bounds };
        Self { bounds, progress: Progress::default() }
    }

    /// Reads on. `bytes` is everything from the start of the request on, so each call repeats the bytes of the
    /// one before and adds to them; what follows the request is left alone.
    ///
    /// `None`: not whole yet. After `Some` the next call begins the next request. After an error the parser
    /// is of no further use.
    pub fn parse<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Request<'a>>, Malformed> {
        while let Some(end) = self.line_end(bytes)? {
            let line = &bytes[self.progress.line_start..end];
            if line.is_empty() {
                return self.finish(&bytes[..=end]).map(Some);
            }
            self.attribute(line)?;
            self.progress.lines += 1;
            self.progress.line_start = end + 1;
            self.progress.scanned = end + 1;
        }
        Ok(None)
    }

    /// Where the current line's LF stands, if it has come.
    fn line_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let Progress { lines, line_start, scanned, .. } = self.progress;
        let end = memchr(b'\n', &bytes[scanned..]).map(|i| scanned + i);
        self.progress.scanned = bytes.len();
        let (fault, last) = self.limit();
        // Whether the LF has come or not, a limit is broken at the same octet and in the same words.
        if end.unwrap_or(bytes.len()) > last {
            let at = last.max(line_start);
            return Err(Malformed::new(fault, lines + 1, at, &bytes[line_start..at]));
        }
        Ok(end)
    }

    /// The last place where the current line's LF may stand, and what is wrong when it stands further on.
    fn limit(&self) -> (Fault, usize) {
        let line_last = self.progress.line_start.saturating_add(self.bounds.line);
        let request_last = self.bounds.request.saturating_sub(1);
        if line_last <= request_last {
            (Fault::LineTooLong(self.bounds.line), line_last)
        } else {
            (Fault::RequestTooLong(self.bounds.request), request_last)
        }
    }

    fn attribute(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let progress = &mut self.progress;
        let malformed = |fault| Malformed::new(fault, progress.lines + 1, progress.line_start, line);
        if progress.lines >= self.bounds.attributes {
            return Err(malformed(Fault::TooManyAttributes(self.bounds.attributes)));
        }
        let equals = memchr(b'=', line).ok_or_else(|| malformed(Fault::NoEqualsSign))?;
        let (name, value) = (&line[..equals], &line[equals + 1..]);
        let Some(attribute) = Attribute::named(name) else {
            let is_name = !name.is_empty() && name.is_ascii();
            return if is_name { Ok(()) } else { Err(malformed(Fault::BadName)) };
        };
        if attribute == Attribute::Request && value != b"smtpd_access_policy" {
            return Err(malformed(Fault::OtherRequest));
        }
        let end = progress.line_start + line.len();
        // Postfix never repeats a name; of repeats the first counts, as in its own reading of replies.
        // Nothing is cut off: the parser's bounds keep every place within 32 bits.
        progress.values[attribute as usize]
            .get_or_insert(Span { start: (end - value.len()) as u32, end: end as u32 });
        Ok(())
    }

    fn finish<'a>(&mut self, bytes: &'a [u8]) -> Result<Request<'a>, Malformed> {
        let Progress { lines, line_start, values, .. } = std::mem::take(&mut self.progress);
        if values[Attribute::Request as usize].is_none() {
            return Err(Malformed::new(Fault::NoRequest, lines + 1, line_start, b""));
        }
        // Looked for once, over all lines: that is several times faster than line by line.
        if let Some(nul) = memchr(0, bytes) {
            let line_start = memrchr(b'\n', &bytes[..nul]).map_or(0, |lf| lf + 1);
            let line = memchr_iter(b'\n', &bytes[..nul]).count() + 1;
            return Err(Malformed::new(Fault::Nul, line, nul, &bytes[line_start..nul]));
        }
        Ok(Request { bytes, text: str::from_utf8(bytes).ok(), values })
    }
}

/// One whole request.
#[derive(Clone)]
pub struct Request<'a> {
    bytes: &'a [u8],
    /// The same, when all of it is UTF-8, as it nearly always is.
    text: Option<&'a str>,
    values: [Option<Span>; Attribute::COUNT],
}

impl<'a> Request<'a> {
    /// Octets it takes on the wire, with the empty line.
    pub fn wire_len(&self) -> usize {
        self.bytes.len()
    }

    /// The attribute's value; `None` when it was not sent. Octets that are no UTF-8 read as U+FFFD.
    pub fn get(&self, attribute: Attribute) -> Option<Cow<'a, str>> {
        let span = self.values[attribute as usize]?;
        let range = span.start as usize..span.end as usize;
        // A value stands between '=' and LF, so it begins and ends at whole characters.
        Some(match self.text {
            Some(text) => Cow::Borrowed(&text[range]),
            None => String::from_utf8_lossy(&self.bytes[range]),
        })
    }

    /// The attribute's value; `None` when it was not sent, or sent empty.
    pub fn filled(&self, attribute: Attribute) -> Option<Cow<'a, str>> {
        self.get(attribute).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.bytes.escape_ascii())
    }
}

/// Appends the reply as it goes on the wire.
///
/// A refusal is always code, enhanced code and text: Postfix takes a code without text for a permit, an unknown
/// word for a configuration error, and old versions print stray memory after an enhanced code without text.
/// `DUNNO` rather than `OK`, which would skip the checks that the operator listed after ours.
pub fn encode(reply: &Reply, out: &mut Vec<u8>) {
    let (code, text) = match reply {
        Reply::Accept => return out.extend_from_slice(b"action=DUNNO\n\n"),
        Reply::Defer(code, text) => (code.digits(), text),
        Reply::Reject(text) => ("550", text),
    };
    let enhanced = reply.enhanced_code().unwrap_or_default();
    for part in ["action=", code, " ", enhanced, " ", text.as_str(), "\n\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
