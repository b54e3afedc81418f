//! What a front end gets back: a reply to write on the wire, and the id under which it is logged.

use std::fmt;

/// Longest reply text in octets. Postfix adds its own words before it, and log lines are cut at about 1,000.
const MAX_TEXT: usize = 400;

/// The short id of one decision: eight characters, the same in the SMTP reply, the log and `explain`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecisionId(u64);

impl DecisionId {
    const ALPHABET: &'static [u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    /// The id made of the low 40 bits of `bits`.
    pub const fn new(bits: u64) -> Self {
        Self(bits & 0xff_ffff_ffff)
    }

    /// Reads an id as it was printed; case does not matter, and I, L and O read as 1, 1 and 0.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 8 {
            return None;
        }
        text.bytes()
            .try_fold(0u64, |bits, b| {
                let b = match b.to_ascii_uppercase() {
                    b'I' | b'L' => b'1',
                    b'O' => b'0',
                    b => b,
                };
                let digit = Self::ALPHABET.iter().position(|&a| a == b)?;
                Some(bits << 5 | digit as u64)
            })
            .map(Self)
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for shift in (0..8).rev() {
            let digit = (self.0 >> (shift * 5)) & 31;
            fmt::Write::write_char(f, char::from(Self::ALPHABET[digit as usize]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reply text that is safe on any wire: printable ASCII on one line, not empty, at most 400 octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyText(String);

impl ReplyText {
    /// Makes `text` safe: other characters become `?`, what is too long is cut.
    pub fn new(text: &str) -> Self {
        let text: String = text
            .chars()
            .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
            .take(MAX_TEXT)
            .collect();
        // Postfix reads a bare code as "permit" and old versions print stray memory after an empty text.
        let text = text.trim();
        Self(if text.is_empty() { "Try again later".to_owned() } else { text.to_owned() })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The code of a deferral (RFC 5321 section 4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeferCode {
    /// 421: Postfix and Sendmail send it and close the connection.
    Closing,
    /// 451: this recipient, or this message, only.
    Local,
}

impl DeferCode {
    /// The three digits.
    pub const fn digits(self) -> &'static str {
        match self {
            Self::Closing => "421",
            Self::Local => "451",
        }
    }
}

impl fmt::Display for DeferCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits())
    }
}

/// What to write on the wire. Observe and enforce are settled already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Say nothing against it: `DUNNO`, or Continue.
    Accept,
    /// `421 4.7.0 text` or `451 4.7.0 text`.
    Defer(DeferCode, ReplyText),
    /// `550 5.7.1 text`.
    Reject(ReplyText),
}

impl Reply {
    /// The enhanced status code (RFC 3463) that goes with the reply.
    pub const fn enhanced_code(&self) -> Option<&'static str> {
        match self {
            Self::Accept => None,
            Self::Defer(..) => Some("4.7.0"),
            Self::Reject(_) => Some("5.7.1"),
        }
    }
}

/// A reply and the id of the decision behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The decision's id.
    pub id: DecisionId,
    /// What to say.
    pub reply: Reply,
    /// The value of the field [`crate::feedback::MARK`] that a message which is let in shall carry, folded with
    /// LF and a tab.
    pub mark: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse() {
        for bits in [0, 1, 31, 32, 0xff_ffff_ffff, 0x12_3456_789a] {
            let id = DecisionId::new(bits);
            assert_eq!(id.to_string().len(), 8);
            assert_eq!(DecisionId::parse(&id.to_string().to_lowercase()), Some(id));
        }
        assert_eq!(DecisionId::parse("short"), None);
        assert_eq!(DecisionId::parse("UUUUUUUU"), None);
    }

    #[test]
    fn reply_text_is_one_printable_line() {
        assert_eq!(ReplyText::new("a\r\n250 ok é").as_str(), "a??250 ok ?");
        assert_eq!(ReplyText::new(" \n").as_str(), "?");
        assert_eq!(ReplyText::new("").as_str(), "Try again later");
        assert_eq!(ReplyText::new(&"x".repeat(1000)).as_str().len(), 400);
    }
}
