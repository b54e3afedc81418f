//! One line of a mail log, taken apart: `stamp host tag[process]: text`, behind a priority such as `<22>` where a
//! daemon writes lines as it got them (RFC 3164 section 4.1.1).

use super::stamp::Stamp;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) stamp: Stamp,
    /// The host that wrote it.
    pub(super) host: &'a str,
    /// The program: the last part of `postfix/submission/smtpd`.
    pub(super) program: &'a str,
    /// The process, empty where it was not written.
    pub(super) process: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Entry<'a> {
    /// Takes a line apart; `None` when it does not begin with a stamp. A line without a tag has no program.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let (stamp, rest) = Stamp::read(without_priority(line))?;
        let (host, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let (tag, text) = rest.split_once(": ").filter(|(tag, _)| !tag.contains(' ')).unwrap_or(("", rest));
        let (name, process) = tag.split_once('[').unwrap_or((tag, ""));
        let program = name.rsplit('/').next().unwrap_or(name);
        Some(Self { stamp, host, program, process: process.trim_end_matches(']'), text })
    }
}

fn without_priority(line: &str) -> &str {
    let number = |(number, _): &(&str, &str)| {
        (1..=3).contains(&number.len()) && number.bytes().all(|octet| octet.is_ascii_digit())
    };
    line.strip_prefix('<').and_then(|rest| rest.split_once('>')).filter(number).map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let entry = |line| Entry::read(line).map(|e| (e.host, e.program, e.process, e.text));
        assert_eq!(
            entry("Nov 21 23:39:11 mx postfix/submission/smtpd[17]: connect from a[192.0.2.1]"),
            Some(("mx", "smtpd", "17", "connect from a[192.0.2.1]"))
        );
        assert_eq!(entry("Nov 21 23:39:11 mx sm-mta[4]: x: y"), Some(("mx", "sm-mta", "4", "x: y")));
        assert_eq!(entry("Nov 21 23:39:11 mx -- MARK --"), Some(("mx", "", "", "-- MARK --")));
        assert_eq!(
            entry("Nov 21 23:39:11 mx last message: twice"),
            Some(("mx", "", "", "last message: twice"))
        );
        assert_eq!(entry("<22>Nov 21 23:39:11 mx sm-mta[4]: x"), Some(("mx", "sm-mta", "4", "x")));
        assert_eq!(entry("<2222>Nov 21 23:39:11 mx sm-mta[4]: x"), None);
        assert_eq!(entry("<>Nov 21 23:39:11 mx sm-mta[4]: x"), None);
        assert_eq!(entry("connect from a[192.0.2.1]"), None);
    }
}
