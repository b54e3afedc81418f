//! The parts of a MIME message (RFC 2046 section 5.1), in one pass over its lines.
//!
//! Invariant: the work grows with the octets alone. Each line is compared with the boundaries of the parts
//! that are open, [`MAX_DEPTH`] at most, and what lies deeper is one part that is not looked into; so are
//! messages inside the message. mail-parser reads single values, never the structure: it looks for each
//! boundary up to the end of the message, which a thousand headers without their boundary turn into seconds.

use super::fields::Fields;
use mail_parser::parsers::MessageStream;
use mail_parser::{Attribute, ContentType, HeaderValue};

/// Multiparts inside one another that are followed.
pub(super) const MAX_DEPTH: usize = 8;
/// Parts that are looked at.
pub(super) const MAX_PARTS: usize = 100;
/// A value's octets that are looked at: a subject, an address, a type with its name. It bounds what a parser
/// makes of a value whose cost does not grow with its length alone.
pub(super) const MAX_VALUE: usize = 4 << 10;
/// The longest boundary that is looked for; RFC 2046 section 5.1.1 allows 70 characters.
const MAX_BOUNDARY: usize = 200;

/// What a part is, as far as traits care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Markup,
    Attachment,
    Executable,
    Other,
}

/// How a part is encoded (RFC 2045 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Verbatim,
    QuotedPrintable,
    Base64,
}

/// A part that is not made of parts.
#[derive(Clone, Debug)]
pub(super) struct Part<'m> {
    pub(super) kind: Kind,
    pub(super) encoding: Encoding,
    pub(super) body: &'m [u8],
}

/// What a header says of the part below it.
enum Content {
    Multipart(Vec<u8>),
    Leaf(Kind, Encoding),
}

/// The parts of the message with this header and body, in order.
pub(super) fn parts<'m>(header: &'m [u8], body: &'m [u8]) -> Vec<Part<'m>> {
    let mut walk = Walk { body, boundaries: Vec::new(), place: Place::Between, parts: Vec::new() };
    walk.enter(content(header), 0);
    let mut at = 0;
    while walk.parts.len() < MAX_PARTS && at < body.len() {
        let rest = body.get(at..).unwrap_or_default();
        let next = memchr::memchr(b'\n', rest).map_or(body.len(), |end| at + end + 1);
        walk.line(at, body.get(at..next).unwrap_or_default(), next);
        at = next;
    }
    walk.leave(body.len());
    walk.parts
}

/// Where in a multipart the walk is.
enum Place {
    /// Before, after or between the parts that count.
    Between,
    /// In a part's header, which begins there.
    Header(usize),
    /// In a part's body, which begins there.
    Body(Kind, Encoding, usize),
}

struct Walk<'m> {
    body: &'m [u8],
    boundaries: Vec<Vec<u8>>,
    place: Place,
    parts: Vec<Part<'m>>,
}

impl Walk<'_> {
    fn line(&mut self, at: usize, line: &[u8], next: usize) {
        if let Some(after) = line.strip_prefix(b"--")
            && let Some((level, last)) = self.boundary(after)
        {
            self.leave(at);
            self.boundaries.truncate(if last { level } else { level + 1 });
            self.place = if last { Place::Between } else { Place::Header(next) };
            return;
        }
        if let Place::Header(from) = self.place
            && line.trim_ascii().is_empty()
        {
            let header = self.body.get(from..at).unwrap_or_default();
            self.enter(content(header), next);
        }
    }

    /// Which open multipart the line belongs to, the innermost first, and whether it ends it.
    fn boundary(&self, after: &[u8]) -> Option<(usize, bool)> {
        let found = |boundary: &Vec<u8>| {
            let rest = after.strip_prefix(boundary.as_slice())?.trim_ascii();
            (rest.is_empty() || rest == b"--").then_some(rest == b"--")
        };
        (self.boundaries.iter().enumerate().rev())
            .find_map(|(level, boundary)| found(boundary).map(|last| (level, last)))
    }

    fn enter(&mut self, content: Content, at: usize) {
        self.place = match content {
            Content::Multipart(boundary) if self.boundaries.len() < MAX_DEPTH => {
                self.boundaries.push(boundary);
                Place::Between
            }
            Content::Multipart(_) => Place::Body(Kind::Other, Encoding::Verbatim, at),
            Content::Leaf(kind, encoding) => Place::Body(kind, encoding, at),
        };
    }

    fn leave(&mut self, at: usize) {
        if let Place::Body(kind, encoding, from) = std::mem::replace(&mut self.place, Place::Between) {
            let body = self.body.get(from..at).unwrap_or_default();
            self.parts.push(Part { kind, encoding, body });
        }
    }
}

/// A value's beginning, as far as it is looked at.
pub(super) fn bounded(value: &[u8]) -> &[u8] {
    value.get(..MAX_VALUE).unwrap_or(value)
}

/// The value of Content-Type or Content-Disposition.
fn structured(value: &[u8]) -> Option<ContentType<'_>> {
    match MessageStream::new(bounded(value)).parse_content_type() {
        HeaderValue::ContentType(read) => Some(read),
        _ => None,
    }
}

fn content(header: &[u8]) -> Content {
    // The first of each name; a header full of them would cost in vain.
    let first = |name| Fields::new(header).find(|field| field.is(name)).map(|field| field.value);
    let kind = first("Content-Type").and_then(structured);
    let disposition = first("Content-Disposition").and_then(structured);
    let encoding = first("Content-Transfer-Encoding").map_or(Encoding::Verbatim, named_encoding);
    if let Some(kind) = &kind
        && kind.c_type.eq_ignore_ascii_case("multipart")
        && let Some(boundary) = kind.attribute("boundary").map(|b| b.trim_end().as_bytes())
        && (1..=MAX_BOUNDARY).contains(&boundary.len())
    {
        return Content::Multipart(boundary.to_vec());
    }
    Content::Leaf(leaf(kind.as_ref(), disposition.as_ref()), encoding)
}

fn named_encoding(value: &[u8]) -> Encoding {
    match value.trim_ascii() {
        name if name.eq_ignore_ascii_case(b"base64") => Encoding::Base64,
        name if name.eq_ignore_ascii_case(b"quoted-printable") => Encoding::QuotedPrintable,
        _ => Encoding::Verbatim,
    }
}

fn leaf(kind: Option<&ContentType<'_>>, disposition: Option<&ContentType<'_>>) -> Kind {
    let main = kind.map_or("text", |kind| kind.ctype());
    let sub = kind.map_or("plain", |kind| kind.subtype().unwrap_or_default());
    let is = |text: &str, name: &str| text.eq_ignore_ascii_case(name);
    let named = attributes(kind).chain(attributes(disposition));
    let mut names = named.filter(|a| is(&a.name, "name") || is(&a.name, "filename")).peekable();
    let attached = disposition.is_some_and(|d| is(d.ctype(), "attachment")) || names.peek().is_some();
    let signature = ["pgp-signature", "pkcs7-signature", "x-pkcs7-signature"].iter().any(|s| is(sub, s));
    if names.any(|name| runs(&name.value)) || RUN_TYPES.iter().any(|t| is(sub, t)) {
        return Kind::Executable;
    }
    match () {
        () if signature => Kind::Other,
        () if attached => Kind::Attachment,
        () if is(main, "text") && is(sub, "html") => Kind::Markup,
        () if is(main, "text") && is(sub, "plain") => Kind::Plain,
        () if ["application", "audio", "video", "message"].iter().any(|m| is(main, m)) => Kind::Attachment,
        () => Kind::Other,
    }
}

fn attributes<'c>(content: Option<&'c ContentType<'_>>) -> impl Iterator<Item = &'c Attribute<'c>> {
    content.and_then(|content| content.attributes()).unwrap_or_default().iter()
}

/// Names of files that Windows, macOS, Android or an office program runs when they are opened, or that carry
/// such a file past a filter.
const RUN_NAMES: [&str; 36] = [
    "apk",
    "appx",
    "bat",
    "chm",
    "cmd",
    "com",
    "cpl",
    "dll",
    "dmg",
    "docm",
    "exe",
    "hta",
    "img",
    "iso",
    "jar",
    "js",
    "jse",
    "lnk",
    "msc",
    "msi",
    "one",
    "pif",
    "pptm",
    "ps1",
    "reg",
    "scf",
    "scr",
    "settingcontent-ms",
    "svg",
    "url",
    "vbe",
    "vbs",
    "vhd",
    "wsf",
    "wsh",
    "xlsm",
];
const RUN_TYPES: [&str; 6] =
    ["java-archive", "javascript", "x-dosexec", "x-msdos-program", "x-msdownload", "x-ms-shortcut"];

fn runs(name: &str) -> bool {
    // Windows drops dots and spaces from the end of a name.
    let name = name.trim_end_matches(['.', ' ']);
    name.rsplit_once('.').is_some_and(|(_, end)| RUN_NAMES.iter().any(|run| end.eq_ignore_ascii_case(run)))
}
