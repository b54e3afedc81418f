//! The anchor: what ties a mark to the message that it was made for.
//!
//! It is made of the fields that identify a message and that no mail server on the way to the mailbox changes:
//! Message-ID, Date, and the address in From, the first of each. Fields that were missing when the mark was
//! made do not count, since a mail server may add them afterwards.
//!
//! Bounds: 998 octets of each field.

use compact_str::CompactString;

/// A line's length (RFC 5322 section 2.1.1); what is longer is cut, the same way each time.
const MAX_VALUE: usize = 998;
const NAMES: [&str; 3] = ["Message-ID", "Date", "From"];
const FROM: usize = 2;

/// The fields of a message that its mark is tied to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchor([Option<CompactString>; NAMES.len()]);

impl Anchor {
    /// Takes the next field of the header, from the top, if it is one of them.
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        let Some(place) = NAMES.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes())) else {
            return;
        };
        let unfolded = || unfolded(value);
        self.0[place].get_or_insert_with(|| if place == FROM { address(&unfolded()) } else { unfolded() });
    }

    /// Which fields there are, a bit for each.
    pub fn present(&self) -> u8 {
        self.0.iter().rev().fold(0, |bits, field| bits << 1 | u8::from(field.is_some()))
    }

    /// The text of the fields of these bits; `None` when one of them is missing.
    pub fn text(&self, bits: u8) -> Option<String> {
        let mut text = String::new();
        for (place, field) in self.0.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1) {
            text.push_str(NAMES[place]);
            text.push(':');
            text.push_str(field.as_ref()?);
            text.push('\n');
        }
        Some(text)
    }
}

/// A value without its folding: white space is one space, and none at the ends.
fn unfolded(value: &[u8]) -> CompactString {
    let value = String::from_utf8_lossy(&value[..value.len().min(MAX_VALUE)]);
    let mut text = CompactString::default();
    for word in value.split_ascii_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// The address alone: mail servers write the rest of From anew.
fn address(value: &str) -> CompactString {
    let inside = value.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inside, _)| inside);
    inside.unwrap_or(value).trim().to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(fields: &[(&str, &str)]) -> Anchor {
        let mut anchor = Anchor::default();
        fields.iter().for_each(|(name, value)| anchor.field(name.as_bytes(), value.as_bytes()));
        anchor
    }

    #[test]
    fn folding_and_the_display_name_do_not_matter() {
        let one = anchor(&[("Message-ID", " <1@src.example>"), ("From", " Anna <Anna@Src.example>\r\n")]);
        let other =
            anchor(&[("from", "\"A, B\"\r\n\t<anna@src.example>"), ("message-id", "<1@src.example>")]);
        assert_eq!(one, other);
        assert_eq!(one.present(), 0b101);
        assert_eq!(one.text(0b101), other.text(0b101));
    }

    #[test]
    fn what_was_missing_may_come_and_what_was_there_may_not_go() {
        let marked = anchor(&[("Date", "Mon"), ("From", "a@src.example")]);
        let later =
            anchor(&[("Message-ID", "<added@dest.example>"), ("Date", "Mon"), ("From", "a@src.example")]);
        assert_eq!(marked.text(marked.present()), later.text(marked.present()));
        assert_ne!(marked.text(marked.present()), later.text(later.present()));
        assert_eq!(anchor(&[("Date", "Mon")]).text(marked.present()), None);
    }

    #[test]
    fn the_first_of_each_counts() {
        assert_eq!(anchor(&[("From", "a@x"), ("From", "b@x")]), anchor(&[("From", "a@x")]));
        assert_eq!(anchor(&[("Subject", "x"), ("Sender", "x")]).present(), 0);
    }
}
