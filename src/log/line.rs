//! One line of the log: how values are written so that they can be read back.
//!
//! In text, a value stands as it is when it is made of printable ASCII characters other than `"`, `\` and
//! `,`. Any other is quoted: `\"` and `\\` for these two, `\u{...}` for whatever is not printable ASCII. So a
//! value never holds the separator of decisions, comma and space, outside quotes. Values longer than 500
//! characters are cut and end in `...`.

use super::Stamp;
use policy_core::time::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};
use tracing::Level;

/// Longest value, in characters. An address of a mailbox has at most 512 octets; a HELO name can be longer.
const MOST: usize = 500;

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// Text from anywhere.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(i64),
    /// A number, written with at most three decimals.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

/// A line.
#[derive(Clone, Debug)]
pub(crate) struct Line<'a> {
    at: Timestamp,
    level: Level,
    message: Option<String>,
    fields: Vec<(&'static str, Value<'a>)>,
    separator: &'static str,
}

impl<'a> Line<'a> {
    /// A line about an event.
    pub(crate) fn event(at: Timestamp, level: Level) -> Self {
        Self { at, level, message: None, fields: Vec::new(), separator: " " }
    }

    /// A line about a decision, without a message; its fields are apart by comma and space, as the programs
    /// that read greylisting logs expect.
    pub(crate) fn decision(at: Timestamp, level: Level) -> Self {
        Self { separator: ", ", fields: Vec::with_capacity(20), ..Self::event(at, level) }
    }

    /// Adds a field. The field `message` becomes the line's message.
    pub(crate) fn push(&mut self, name: &'static str, value: Value<'a>) {
        match (name, value) {
            ("message", Value::Text(text)) => self.message = Some(text.into_owned()),
            (name, value) => self.fields.push((name, value)),
        }
    }

    /// Adds a field if there is a value.
    pub(crate) fn push_some(&mut self, name: &'static str, value: Option<Value<'a>>) {
        if let Some(value) = value {
            self.push(name, value);
        }
    }

    /// The line as text. Writing to a `String` cannot fail.
    pub(crate) fn text(&self, stamp: Stamp) -> String {
        let mut out = String::with_capacity(400);
        let _ = match stamp {
            Stamp::Time => write!(out, "{} {} ", self.time(), self.level_word()),
            Stamp::Priority => write!(out, "<{}>", self.priority()),
        };
        let start = out.len();
        if let Some(message) = &self.message {
            printable(message, &mut out);
        }
        for (name, value) in &self.fields {
            if out.len() > start {
                out.push_str(self.separator);
            }
            let _ = write!(out, "{name}=");
            value.text(&mut out);
        }
        out
    }

    /// The line as a JSON object.
    pub(crate) fn json(&self) -> String {
        // Maps with text keys and finite numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn time(&self) -> impl std::fmt::Display {
        humantime::format_rfc3339_millis(system_time(self.at))
    }

    fn level_word(&self) -> &'static str {
        match self.level {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        }
    }

    /// The priority of syslog (RFC 5424 section 6.2.1).
    fn priority(&self) -> u8 {
        match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        }
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &self.time().to_string())?;
        map.serialize_entry("level", self.level_word())?;
        if let Some(message) = &self.message {
            map.serialize_entry("message", message)?;
        }
        for (name, value) in &self.fields {
            match value {
                Value::Text(text) => map.serialize_entry(name, &cut(text))?,
                Value::Integer(number) => map.serialize_entry(name, number)?,
                Value::Number(number) => map.serialize_entry(name, &rounded(*number))?,
                Value::Flag(is) => map.serialize_entry(name, is)?,
            }
        }
        map.end()
    }
}

impl Value<'_> {
    fn text(&self, out: &mut String) {
        let _ = match self {
            Self::Text(text) => return quote(&cut(text), out),
            Self::Integer(number) => write!(out, "{number}"),
            Self::Number(number) => write!(out, "{}", rounded(*number)),
            Self::Flag(is) => write!(out, "{is}"),
        };
    }
}

/// humantime writes years up to 9999, and a manual clock may show any.
fn system_time(at: Timestamp) -> SystemTime {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at.as_millis()));
    at.unwrap_or(latest).min(latest)
}

/// A moment as programs and people read it (RFC 3339), to the second.
pub(crate) fn moment(at: Timestamp) -> String {
    humantime::format_rfc3339_seconds(system_time(at)).to_string()
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn quote(text: &str, out: &mut String) {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b',');
    if text.bytes().all(plain) {
        return out.push_str(text);
    }
    out.push('"');
    escape(text, out);
    out.push('"');
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.extend(c.escape_unicode()),
        }
    }
}

/// A message stands as it is, but for what could end the line or is not ASCII.
fn printable(message: &str, out: &mut String) {
    for c in message.chars() {
        match c {
            ' '..='~' => out.push(c),
            _ => out.extend(c.escape_unicode()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 5] = ["sender", "recipient", "client_name", "helo", "queue_id"];

    fn line(values: &[String]) -> Line<'_> {
        let mut line = Line::decision(Timestamp::from_secs(1_700_000_000), Level::INFO);
        for (name, value) in NAMES.into_iter().zip(values) {
            line.push(name, Value::Text(value.as_str().into()));
        }
        line
    }

    /// Reads a decision line's fields back, as its format says.
    fn read(text: &str) -> Vec<(String, String)> {
        let (mut fields, mut rest) = (Vec::new(), text);
        while let Some((name, value)) = rest.split_once('=') {
            let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
                unquote(quoted)
            } else {
                let end = value.find(", ").unwrap_or(value.len());
                (value[..end].to_owned(), &value[end..])
            };
            fields.push((name.to_owned(), value));
            rest = after.strip_prefix(", ").unwrap_or(after);
        }
        assert_eq!(rest, "");
        fields
    }

    fn unquote(quoted: &str) -> (String, &str) {
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return (value, &quoted[at + 1..]),
                '\\' => match chars.next().unwrap() {
                    (_, 'u') => {
                        let hex: String = chars.by_ref().map(|(_, c)| c).take_while(|c| *c != '}').collect();
                        let code = u32::from_str_radix(hex.strip_prefix('{').unwrap(), 16).unwrap();
                        value.push(char::from_u32(code).unwrap());
                    }
                    (_, c) => value.push(c),
                },
                c => value.push(c),
            }
        }
        panic!("no closing quote in {quoted:?}");
    }

    proptest! {
        #[test]
        fn whatever_the_peer_sends_is_one_line_that_reads_back(values in proptest::collection::vec(any::<String>(), 5)) {
            let text = line(&values).text(Stamp::Time);
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{:?}", text);
            let fields = text.strip_prefix("2023-11-14T22:13:20.000Z info ").unwrap();
            let expected: Vec<(String, String)> =
                NAMES.iter().map(|name| (*name).to_owned()).zip(values.iter().cloned()).collect();
            prop_assert_eq!(read(fields), expected);
        }

        #[test]
        fn json_lines_read_back(values in proptest::collection::vec(any::<String>(), 5)) {
            let json = line(&values).json();
            prop_assert_eq!(json.lines().count(), 1);
            let object: serde_json::Value = serde_json::from_str(&json).unwrap();
            for (name, value) in NAMES.iter().zip(&values) {
                prop_assert_eq!(object[name].as_str(), Some(value.as_str()));
            }
        }
    }

    #[test]
    fn an_event_begins_with_its_message() {
        let mut line = Line::event(Timestamp::from_millis(1), Level::WARN);
        line.push("address", Value::Text("127.0.0.1:1".into()));
        line.push("message", Value::Text("listening\n".into()));
        line.push("p", Value::Number(0.123_45));
        line.push("left", Value::Integer(-3));
        assert_eq!(line.text(Stamp::Priority), "<4>listening\\u{a} address=127.0.0.1:1 p=0.123 left=-3");
        assert_eq!(
            line.json(),
            r#"{"time":"1970-01-01T00:00:00.001Z","level":"warn","message":"listening\n","address":"127.0.0.1:1","p":0.123,"left":-3}"#
        );
    }

    #[test]
    fn a_long_value_is_cut_and_no_time_is_too_late() {
        let mut line = Line::event(Timestamp::from_millis(u64::MAX), Level::INFO);
        line.push("helo", Value::Text("ü".repeat(2000).into()));
        let text = line.text(Stamp::Time);
        assert!(text.starts_with("9999-12-31T23:59:59"), "{text}");
        assert_eq!(text.matches("\\u{fc}").count(), MOST);
        assert!(text.ends_with("...\""));
    }
}
