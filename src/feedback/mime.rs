//! The parts of a report (RFC 2046), as far as one of them may hold a message.
//!
//! Invariant: time and memory grow with the octets alone: no more than [`MAX_DEPTH`] levels are entered and no more
//! than [`MAX_PARTS`] parts kept. mail-parser reads headers and single values, never the structure: its tree follows
//! messages inside messages to any depth, so that dropping it overflows the stack, and of an encoded message it
//! keeps a whole copy for each message that lies in it.
//!
//! Known limit: every text is taken for UTF-8; what a mark consists of is ASCII.

use mail_parser::HeaderValue;
use mail_parser::decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode};
use mail_parser::parsers::MessageStream;

/// Multiparts and messages inside one another that are entered.
const MAX_DEPTH: usize = 8;
/// Parts that are kept.
const MAX_PARTS: usize = 256;
/// Octets of a field's value that are looked at.
const MAX_VALUE: usize = 4 << 10;

/// A part, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What says that this is a report, and what kind of one (RFC 5965 section 3).
    Feedback(String),
    /// A message, or its header alone.
    Message(String),
    /// Any other.
    Text(String),
}

/// The parts of a message that are not made of parts themselves, and the messages in it, in order.
pub(super) fn parts(message: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    enter(message, 0, &mut parts);
    parts
}

fn enter(entity: &str, depth: usize, parts: &mut Vec<Part>) {
    if parts.len() >= MAX_PARTS {
        return;
    }
    let (header, body) = split(entity);
    let kind = field(header, "content-type").map(|value| Kind::read(&value)).unwrap_or_default();
    if let Some(boundary) = &kind.boundary
        && depth < MAX_DEPTH
    {
        between(body, boundary).for_each(|part| enter(part, depth + 1, parts));
        return;
    }
    let text = decoded(header, body);
    match kind.name.as_str() {
        "message/feedback-report" => parts.push(Part::Feedback(text)),
        "text/rfc822-headers" => parts.push(Part::Message(text)),
        "message/rfc822" | "message/global" => {
            parts.push(Part::Message(text.clone()));
            if depth < MAX_DEPTH {
                enter(&text, depth + 1, parts);
            }
        }
        _ => parts.push(Part::Text(text)),
    }
}

/// Header and body; what has no empty line is all header.
fn split(entity: &str) -> (&str, &str) {
    let mut at = 0;
    for line in entity.split_inclusive('\n') {
        let next = at + line.len();
        if line.trim_end_matches(['\r', '\n']).is_empty() {
            return (&entity[..at], &entity[next..]);
        }
        at = next;
    }
    (entity, "")
}

/// The value of the first field of this name, unfolded.
fn field(header: &str, name: &str) -> Option<String> {
    let mut lines = header.lines();
    let begin = lines.find_map(|line| {
        let (own, value) = line.split_once(':')?;
        own.trim_end().eq_ignore_ascii_case(name).then_some(value)
    })?;
    let mut value = begin.to_owned();
    for line in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        if value.len() >= MAX_VALUE {
            break;
        }
        value.push_str(line);
    }
    value.truncate(value.floor_char_boundary(MAX_VALUE));
    Some(value)
}

/// What a Content-Type says.
#[derive(Debug, Default)]
struct Kind {
    /// In lower case, as in `text/plain`.
    name: String,
    /// Of a multipart.
    boundary: Option<String>,
}

impl Kind {
    fn read(value: &str) -> Self {
        // The parser stops at the end of a line.
        let line = format!("{value}\n");
        let HeaderValue::ContentType(read) = MessageStream::new(line.as_bytes()).parse_content_type() else {
            return Self::default();
        };
        let name = format!("{}/{}", read.ctype(), read.subtype().unwrap_or_default()).to_ascii_lowercase();
        let boundary = read.attribute("boundary").filter(|boundary| !boundary.is_empty());
        let boundary = boundary.filter(|_| name.starts_with("multipart/")).map(str::to_owned);
        Self { name, boundary }
    }
}

/// What lies between the lines of a boundary (RFC 2046 section 5.1.1). Where the last line is lost, to the end.
fn between<'b>(body: &'b str, boundary: &str) -> impl Iterator<Item = &'b str> {
    let (mut places, mut from, mut at) = (Vec::new(), None, 0);
    for line in body.split_inclusive('\n') {
        let next = at + line.len();
        let rest = line.strip_prefix("--").and_then(|line| line.strip_prefix(boundary)).map(str::trim);
        if let Some(rest @ ("" | "--")) = rest {
            places.extend(from.map(|from| (from, at)));
            from = rest.is_empty().then_some(next);
        }
        at = next;
        if places.len() >= MAX_PARTS {
            from = None;
            break;
        }
    }
    places.extend(from.map(|from| (from, body.len())));
    places.into_iter().map(|(from, to)| &body[from..to])
}

/// A body without its encoding (RFC 2045 section 6). One that cannot be decoded is left as it is.
fn decoded(header: &str, body: &str) -> String {
    let encoding = field(header, "content-transfer-encoding").unwrap_or_default();
    let octets = match encoding.trim().to_ascii_lowercase().as_str() {
        "base64" => base64_decode(body.as_bytes()),
        "quoted-printable" => quoted_printable_decode(body.as_bytes()),
        _ => None,
    };
    octets.map_or_else(|| body.to_owned(), |octets| String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn multipart(parts: &[&str]) -> String {
        let parts: String = parts.iter().map(|part| format!("--b\r\n{part}\r\n")).collect();
        format!(
            "Content-Type: multipart/report;\r\n\tboundary=\"b\"\r\n\r\npreamble\r\n{parts}--b--\r\nepilogue\r\n"
        )
    }

    #[test]
    fn each_part_is_known_for_what_it_is() {
        let report = multipart(&[
            "\r\nhello",
            "content-type: Message/Feedback-Report\r\n\r\nFeedback-Type: abuse",
            "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==",
            "Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz=3D",
        ]);
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(
            parts(&report),
            [
                text("hello\r\n"),
                Part::Feedback("Feedback-Type: abuse\r\n".to_owned()),
                Part::Message("Subject: x".to_owned()),
                Part::Message("Subject: y\r\n\r\nz=3D\r\n".to_owned()),
                text("z=3D\r\n"),
            ]
        );
        let cut = &report[..report.find("z=3D").unwrap()];
        assert_eq!(parts(cut)[3], Part::Message("Subject: y\r\n\r\n".to_owned()), "cut off in its last part");
        assert_eq!(parts("no header at all"), [text("")]);
        assert_eq!(parts("Content-Type: multipart/x\r\n\r\nno boundary"), [text("no boundary")]);
    }

    #[test]
    fn messages_inside_messages_are_followed_so_far_and_no_further() {
        let nested = "Content-Type: message/rfc822\n\n".repeat(100_000);
        assert_eq!(parts(&nested).len(), MAX_DEPTH + 1);
        let siblings = multipart(&vec!["Content-Type: message/rfc822\r\n\r\nx: y\r\n\r\nz"; 10_000]);
        let encoded = data_encoding::BASE64_MIME.encode(siblings.as_bytes());
        let encoded = format!("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{encoded}");
        assert!(parts(&encoded).len() <= MAX_PARTS + 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(Content-Type: |multipart/x; boundary=b|message/rfc822|\n|\r\n|--b|--|[ -~é]){0,80}") {
            prop_assert!(parts(&text).len() <= MAX_PARTS + MAX_DEPTH);
        }
    }
}
