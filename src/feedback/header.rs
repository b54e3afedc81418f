//! A message's header, as far as feedback needs it: marks, what they are tied to, Received and Return-Path.
//!
//! It is parsed by mail-parser, which takes whatever it is given. Of values it only looks for the end: what it makes of
//! subjects and types can cost the square of their length, and senders write them.
//! Bounds: 500 fields.

use super::received::MAX_HOPS;
use crate::mark::{self, MARK};
use mail_parser::{HeaderName, Message, MessageParser};
use policy_core::feedback::Anchor;

const MAX_FIELDS: usize = 500;

/// The fields of a header that say where a message came from.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// The marks, the uppermost first.
    pub(super) marks: Vec<String>,
    pub(super) anchor: Anchor,
    /// What mail servers wrote, the last of them first.
    pub(super) received: Vec<String>,
    /// The envelope sender, as delivery wrote it, without brackets.
    pub(super) return_path: Option<String>,
}

impl Header {
    /// The header at the beginning of a text. The line that mbox files and pipes put first is no field.
    pub(super) fn read(text: &str) -> Self {
        let text = match text.strip_prefix("From ") {
            Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
            None => text,
        };
        let mut header = Self::default();
        if let Some(message) = parser().parse_headers(text) {
            message.headers().iter().take(MAX_FIELDS).for_each(|field| header.take(&message, field));
        }
        header
    }

    fn take(&mut self, message: &Message<'_>, field: &mail_parser::Header<'_>) {
        let place = field.offset_start as usize..field.offset_end as usize;
        let raw = message.raw_message.get(place).unwrap_or_default();
        self.anchor.field(field.name.as_str().as_bytes(), raw);
        let text = || String::from_utf8_lossy(raw).trim().to_owned();
        match &field.name {
            HeaderName::Received if self.received.len() < MAX_HOPS => self.received.push(text()),
            HeaderName::ReturnPath if self.return_path.is_none() => {
                self.return_path = Some(text().trim_matches(['<', '>']).to_owned());
            }
            HeaderName::Other(name) if name.eq_ignore_ascii_case(MARK) && self.marks.len() < mark::MOST => {
                self.marks.push(text());
            }
            _ => {}
        }
    }
}

/// One that is told of no header by its name would parse them all.
fn parser() -> MessageParser {
    MessageParser::new().default_header_ignore().ignore_header(HeaderName::Received)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::HeaderValue;

    /// Made of 100,000 octets each, these cost minutes where they are parsed.
    #[test]
    fn nothing_is_made_of_what_a_sender_may_write_at_length() {
        let text = "Received: from a.example (a.example [192.0.2.1]) by mx.dest.example; \
            Tue, 14 Nov 2023 22:13:20 +0000\r\nSubject: =?utf-8?q?a?= =?utf-8?q?b?=\r\n\
            Content-Type: multipart/mixed; a*0=b; a*1=c\r\nTo: a (b) <c@d.example>\r\n\r\n";
        let message = parser().parse_headers(text).unwrap();
        let is_ignored = |field: &mail_parser::Header<'_>| matches!(field.value, HeaderValue::Empty);
        assert_eq!(message.headers().iter().filter(|field| is_ignored(field)).count(), 4);
    }
}
