//! Macro strings (RFC 7208 section 7): reading them, and putting in what they stand for.
//!
//! Invariant: an expansion is no longer than one value beyond what a domain name can hold, however many macros
//! a record strings together: it is built from its right end, which is the end that is kept.

use super::name::{Domain, MAX_NAME, is_top_label};
use compact_str::CompactString;
use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;

/// What the macros stand for in one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) client: IpAddr,
    pub(super) helo: &'a str,
    pub(super) local_part: &'a str,
    pub(super) sender_domain: &'a str,
    /// The domain whose record it is.
    pub(super) domain: &'a str,
    /// The client's validated name (section 7.3), if [`DomainSpec::asks_validated_name`].
    pub(super) validated_name: &'a str,
}

/// A `domain-spec` that is free of syntax errors.
#[derive(Clone, Debug)]
pub(super) struct DomainSpec(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Literal(CompactString),
    Macro(Macro),
}

#[derive(Clone, Debug)]
struct Macro {
    letter: Letter,
    /// An upper-case letter: the value is percent-encoded.
    encode: bool,
    /// How many parts are kept, from the right.
    keep: usize,
    reverse: bool,
    delimiters: CompactString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    Sender,
    LocalPart,
    SenderDomain,
    Domain,
    Address,
    ValidatedName,
    AddressFamily,
    Helo,
}

impl Letter {
    fn new(letter: u8) -> Option<Self> {
        Some(match letter.to_ascii_lowercase() {
            b's' => Self::Sender,
            b'l' => Self::LocalPart,
            b'o' => Self::SenderDomain,
            b'd' => Self::Domain,
            b'i' => Self::Address,
            b'p' => Self::ValidatedName,
            b'v' => Self::AddressFamily,
            b'h' => Self::Helo,
            // Section 7.2 allows the others in explanations only.
            _ => return None,
        })
    }
}

impl DomainSpec {
    /// `None` for a syntax error, or when `text` does not end as a `domain-end` must.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut ends_well = false;
        for piece in Pieces(text) {
            let piece = piece?;
            ends_well = piece.is_domain_end();
            parts.push(piece.into_part()?);
        }
        ends_well.then_some(Self(parts))
    }

    /// Whether it holds the macro `p`, whose value takes questions to the DNS.
    pub(super) fn asks_validated_name(&self) -> bool {
        let is_p = |part: &Part| matches!(part, Part::Macro(m) if m.letter == Letter::ValidatedName);
        self.0.iter().any(is_p)
    }

    /// The target name; `None` when there can be no such name.
    pub(super) fn expand(&self, values: &Values<'_>) -> Option<Domain> {
        let mut tail: Vec<Cow<'_, str>> = Vec::new();
        let mut octets = 0;
        for part in self.0.iter().rev() {
            // Longer than a name with its final dot: what stands further left would be cut off again.
            if octets > MAX_NAME + 1 {
                break;
            }
            let value = part.expand(values);
            octets += value.len();
            tail.push(value);
        }
        tail.reverse();
        Domain::expanded(&tail.concat())
    }
}

/// Whether `text` is a macro string, of any letters: the value of a modifier that we do not know (section 6).
pub(super) fn is_macro_string(text: &str) -> bool {
    let is_letter = |letter: u8| b"slodiphcrtv".contains(&letter.to_ascii_lowercase());
    Pieces(text).all(|piece| match piece {
        Some(Piece::Macro { letter, .. }) => is_letter(letter),
        Some(_) => true,
        None => false,
    })
}

impl Part {
    fn expand<'a>(&'a self, values: &Values<'a>) -> Cow<'a, str> {
        match self {
            Self::Literal(text) => Cow::Borrowed(text.as_str()),
            Self::Macro(m) => Cow::Owned(m.transform(&values.of(m.letter))),
        }
    }
}

impl Macro {
    /// Split, turned round, cut to its last parts, joined with dots (section 7.3).
    fn transform(&self, value: &str) -> String {
        let mut parts: Vec<&str> = value.split(|c| self.delimiters.contains(c)).collect();
        if self.reverse {
            parts.reverse();
        }
        let kept = parts.split_off(parts.len().saturating_sub(self.keep)).join(".");
        if self.encode { percent_encoded(&kept) } else { kept }
    }
}

impl<'a> Values<'a> {
    fn of(&self, letter: Letter) -> Cow<'a, str> {
        match letter {
            Letter::Sender => Cow::Owned(format!("{}@{}", self.local_part, self.sender_domain)),
            Letter::LocalPart => self.local_part.into(),
            Letter::SenderDomain => self.sender_domain.into(),
            Letter::Domain => self.domain.into(),
            Letter::Address => dotted(self.client).into(),
            Letter::ValidatedName => self.validated_name.into(),
            Letter::AddressFamily if self.client.is_ipv4() => "in-addr".into(),
            Letter::AddressFamily => "ip6".into(),
            Letter::Helo => self.helo.into(),
        }
    }
}

/// The macro `i`: a dotted quad, or the nibbles of an IPv6 address with a dot between each two.
fn dotted(address: IpAddr) -> String {
    let IpAddr::V6(address) = address else { return address.to_string() };
    let nibbles = address.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
    let digits: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
    digits.join(".")
}

/// All but the unreserved characters of RFC 3986 section 2.3 as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{octet:02X}");
        }
    }
    encoded
}

/// A piece of a macro string as written.
#[derive(Clone, Copy, Debug)]
enum Piece<'a> {
    Literal(&'a str),
    Escape(&'static str),
    Macro { letter: u8, keep: usize, reverse: bool, delimiters: &'a str },
}

impl Piece<'_> {
    /// `domain-end` of section 7.1: a macro, or `"." toplabel [ "." ]`.
    fn is_domain_end(self) -> bool {
        let Self::Literal(text) = self else { return true };
        let text = text.strip_suffix('.').unwrap_or(text);
        text.rsplit_once('.').is_some_and(|(_, top)| is_top_label(top))
    }

    fn into_part(self) -> Option<Part> {
        Some(match self {
            Self::Literal(text) => Part::Literal(text.into()),
            Self::Escape(text) => Part::Literal(text.into()),
            Self::Macro { letter, keep, reverse, delimiters } => Part::Macro(Macro {
                letter: Letter::new(letter)?,
                encode: letter.is_ascii_uppercase(),
                keep,
                reverse,
                delimiters: if delimiters.is_empty() { ".".into() } else { delimiters.into() },
            }),
        })
    }
}

/// The pieces of a text from the left, up to the first syntax error, which is a `None` among them.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Option<Piece<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (piece, rest) = piece(self.0).unzip();
        self.0 = rest.unwrap_or_default();
        Some(piece)
    }
}

fn piece(text: &str) -> Option<(Piece<'_>, &str)> {
    let Some(rest) = text.strip_prefix('%') else {
        let (literal, rest) = text.split_at(text.find('%').unwrap_or(text.len()));
        return literal.bytes().all(|b| b.is_ascii_graphic()).then_some((Piece::Literal(literal), rest));
    };
    let (kind, rest) = rest.split_at_checked(1)?;
    match kind {
        "%" => Some((Piece::Escape("%"), rest)),
        "_" => Some((Piece::Escape(" "), rest)),
        "-" => Some((Piece::Escape("%20"), rest)),
        "{" => rest.split_once('}').and_then(|(body, rest)| Some((macro_piece(body)?, rest))),
        _ => None,
    }
}

/// `macro-letter transformers *delimiter`, between its braces.
fn macro_piece(body: &str) -> Option<Piece<'_>> {
    let (letter, rest) = body.split_at_checked(1)?;
    let (digits, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    let without_r = rest.strip_prefix(['r', 'R']);
    let delimiters = without_r.unwrap_or(rest);
    delimiters.bytes().all(|b| b".-+,/_=".contains(&b)).then_some(())?;
    let letter = *letter.as_bytes().first()?;
    Some(Piece::Macro { letter, keep: kept_parts(digits)?, reverse: without_r.is_some(), delimiters })
}

/// How many parts to keep: all of them without a number, and a number must not be zero (section 7.3).
fn kept_parts(digits: &str) -> Option<usize> {
    if digits.bytes().any(|b| b != b'0') {
        // More than fits is more than any value has parts.
        return Some(digits.parse().unwrap_or(usize::MAX));
    }
    digits.is_empty().then_some(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any macro string, any values: a name within bounds or none.
        #[test]
        fn expansions_are_names_or_nothing(
            spec in "(%\\{[slodiphvSLODIPHV][0-9]{0,3}r?[-+/._,=]{0,3}\\}|%%|%_|%-|[!-~]{1,5}|\\.){1,40}(\\.test|%\\{d\\})",
            text in "[!-~é.@-]{0,300}",
            client in any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        ) {
            let values = Values {
                client, helo: &text, local_part: &text, sender_domain: "a.test", domain: "b.test", validated_name: "c.test",
            };
            if let Some(domain) = DomainSpec::parse(&spec).and_then(|spec| spec.expand(&values)) {
                prop_assert!(domain.text.len() <= MAX_NAME && domain.text.contains('.'));
                prop_assert!(domain.name.iter().all(|label| (1..=63).contains(&label.len())));
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,60}|[%{}slodiphcrtv0-9.+-]{0,60}") {
            let _ = DomainSpec::parse(&text);
            let _ = is_macro_string(&text);
        }
    }
}
