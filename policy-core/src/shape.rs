//! What a name looks like: made of an address, like a mail server's, or as if chance had made it.

use crate::names::Name;
use arrayvec::{ArrayString, ArrayVec};
use std::net::IpAddr;

/// Words that access networks and hosting companies put into the names of their customers' addresses; sorted.
const ACCESS_WORDS: [&str; 24] = [
    "adsl",
    "broadband",
    "cable",
    "client",
    "cpe",
    "cust",
    "customer",
    "dhcp",
    "dial",
    "dialup",
    "dip",
    "dsl",
    "dyn",
    "dynamic",
    "ftth",
    "hsd",
    "mobile",
    "pool",
    "ppp",
    "pppoe",
    "res",
    "retail",
    "vdsl",
    "wireless",
];

/// Words that the names of mail servers begin with; sorted.
const MAIL_WORDS: [&str; 14] = [
    "bounce", "email", "imap", "mail", "mailer", "mailout", "mta", "mx", "news", "out", "outbound", "relay",
    "send", "smtp",
];

/// Whether a name is made of the address or speaks of an access network.
pub(crate) fn is_generic(name: Name<'_>, address: IpAddr) -> bool {
    let whole = name.whole.as_str();
    let host = name.organisational.and_then(|org| whole.strip_suffix(org)).unwrap_or(whole);
    let tokens = || host.split(|c: char| !c.is_ascii_alphanumeric()).filter(|token| !token.is_empty());
    let words =
        tokens().any(|token| is_one_of(&ACCESS_WORDS, token.trim_matches(|c: char| c.is_ascii_digit())));
    words || holds_address(host, address)
}

fn is_one_of(sorted: &[&str], word: &str) -> bool {
    sorted.binary_search(&word).is_ok()
}

/// Whether three octets of an IPv4 address, all of it in hexadecimal, or two groups of an IPv6 address
/// stand in the name. Two octets alone do not count: large senders number their hosts that way.
fn holds_address(host: &str, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let mut octets = v4.octets().map(|octet| Some(u16::from(octet)));
            let numbers = host.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
            // Each number takes an octet's place, so that one octet twice in the name counts once.
            let found = numbers.filter(|number| {
                let place = octets.iter().position(|octet| *octet == Some(*number));
                place.map(|place| octets[place].take()).is_some()
            });
            found.count() >= 3 || holds(host, &hexadecimal(v4.to_bits(), 8))
        }
        IpAddr::V6(v6) => {
            let groups = v6.segments().map(|group| hexadecimal(group.into(), 1));
            groups.iter().filter(|group| group.len() >= 3 && holds(host, group)).count() >= 2
        }
    }
}

fn holds(host: &str, part: &[u8]) -> bool {
    host.as_bytes().windows(part.len()).any(|window| window == part)
}

/// A number in lower-case hexadecimal digits, at least so many.
fn hexadecimal(number: u32, least: u32) -> ArrayVec<u8, 8> {
    let digits = least.max((u32::BITS - number.leading_zeros()).div_ceil(4));
    let digit = |place: u32| b"0123456789abcdef"[(number >> (4 * place) & 15) as usize];
    (0..digits).rev().map(digit).collect()
}

/// Whether a host is called by a word that mail servers are called by.
pub(crate) fn is_mail_like(name: &str) -> bool {
    let label = name.split(['.', '-']).next().unwrap_or_default();
    is_one_of(&MAIL_WORDS, label.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Digits of the first label.
pub(crate) fn leading_digits(name: &str) -> usize {
    first_label(name).bytes().filter(u8::is_ascii_digit).count()
}

/// The first label.
pub(crate) fn first_label(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

/// The longest pattern kept.
const MAX_PATTERN: usize = 48;

/// The pattern of a name: runs of letters become `a`, runs of digits `9`. Hosts of one network or one kind
/// of malware are often named by one pattern.
pub(crate) fn pattern(name: &str) -> ArrayString<MAX_PATTERN> {
    let mut pattern = ArrayString::new();
    let mut last = ' ';
    for c in name.chars() {
        let class = match c {
            '0'..='9' => '9',
            'a'..='z' | 'A'..='Z' => 'a',
            other => other,
        };
        if (class == '.' || class != last) && pattern.try_push(class).is_err() {
            break;
        }
        last = class;
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted() {
        assert!(ACCESS_WORDS.is_sorted() && MAIL_WORDS.is_sorted());
    }

    #[test]
    fn a_pattern_tells_letters_from_digits() {
        assert_eq!(&*pattern("dsl-12.34.isp.example"), "a-9.9.a.a");
        assert_eq!(&*pattern(""), "");
        assert_eq!(pattern(&"a1".repeat(200)).len(), MAX_PATTERN);
    }
}
