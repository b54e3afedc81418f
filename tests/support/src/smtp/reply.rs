//! One SMTP reply (RFC 5321 section 4.2), with its enhanced status code (RFC 3463) if it has one.

use std::fmt;

/// A server's whole reply to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The enhanced status code of the first line, such as `4.7.0`.
    pub enhanced: Option<String>,
    /// What follows the three digits and their separator, a line each, enhanced status codes included.
    pub lines: Vec<String>,
}

impl Reply {
    /// Reads the lines of one reply, without their line ends.
    pub(super) fn parse(lines: &[String]) -> Option<Self> {
        let split: Option<Vec<(u16, &str)>> = lines.iter().map(|line| split(line)).collect();
        let split = split?;
        let &(code, first) = split.first()?;
        let same = split.iter().all(|&(other, _)| other == code);
        let lines = split.iter().map(|&(_, text)| text.to_owned()).collect();
        same.then(|| Self { code, enhanced: enhanced(code, first).map(str::to_owned), lines })
    }

    /// Whether another line of the same reply follows `line`.
    pub(super) fn continues_after(line: &str) -> bool {
        line.as_bytes().get(3) == Some(&b'-')
    }

    /// Whether the server said yes: 2xx, or 3xx to DATA.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// All text, lines joined by a space.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text())
    }
}

fn split(line: &str) -> Option<(u16, &str)> {
    let digits = line.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let rest = line.get(3..)?;
    let text = if rest.is_empty() { rest } else { rest.strip_prefix([' ', '-'])? };
    Some((digits.parse().ok()?, text))
}

/// The enhanced status code at the start of `text`; its class is that of the reply code.
fn enhanced(code: u16, text: &str) -> Option<&str> {
    let word = text.split(' ').next()?;
    let parts: Vec<&str> = word.split('.').collect();
    let numeric = |part: &&str| matches!(part.len(), 1..=3) && part.bytes().all(|b| b.is_ascii_digit());
    let is_code = parts.len() == 3 && parts.iter().all(numeric) && parts[0] == (code / 100).to_string();
    is_code.then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Option<Reply> {
        Reply::parse(&lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_deferral_over_two_lines_is_one_reply() {
        let reply = parse(&["421-4.7.0 Try again later", "421 4.7.0 see the manual"]).unwrap();
        assert_eq!((reply.code, reply.enhanced.as_deref()), (421, Some("4.7.0")));
        assert_eq!(reply.lines, ["4.7.0 Try again later", "4.7.0 see the manual"]);
        assert!(!reply.is_positive());
        assert_eq!(reply.to_string(), "421 4.7.0 Try again later 4.7.0 see the manual");
    }

    #[test]
    fn an_enhanced_code_has_the_class_of_the_reply() {
        assert_eq!(parse(&["250 2.1.0 Ok"]).unwrap().enhanced.as_deref(), Some("2.1.0"));
        for line in ["250 4.7.0 wrong class", "220 1.2.3.4 an address", "250 2.x.0 no", "250"] {
            assert_eq!(parse(&[line]).unwrap().enhanced, None, "{line}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for lines in [&["25 x"][..], &["250x"], &["2\u{e9}0 x"], &["250-a", "251 b"], &[], &[""]] {
            assert_eq!(parse(lines), None, "{lines:?}");
        }
    }
}
