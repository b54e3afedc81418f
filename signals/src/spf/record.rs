//! Reading a record (RFC 7208 section 4.5 and 4.6, grammar in section 12).
//!
//! Invariant: a [`Record`] is free of syntax errors as a whole; an error anywhere in it is one before its first
//! directive is looked at (section 4.6).

use super::macros::{DomainSpec, is_macro_string};
use super::result::{SpfCause, SpfResult, Trouble, quotable};
use compact_str::CompactString;
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest record that is read, in octets. Section 3.4 wants records to fit a UDP answer of 512; this is as much
/// as common resolvers take in one.
pub const MAX_RECORD: usize = 4096;
/// Most terms of a record. The shortest network there is, ` ip4:1.1.1.1`, fits [`MAX_RECORD`] 341 times; terms
/// for the DNS are limited to ten by section 4.6.4.
pub const MAX_TERMS: usize = 350;

const VERSION: &[u8] = b"v=spf1";

/// A record without syntax errors.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) directives: Vec<Directive>,
    pub(super) redirect: Option<Redirect>,
    has_explanation: bool,
}

/// The modifier of section 6.1.
#[derive(Clone, Debug)]
pub(super) struct Redirect {
    pub(super) target: DomainSpec,
    pub(super) text: CompactString,
}

/// A mechanism, and the result that a match gives.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub(super) result: SpfResult,
    pub(super) mechanism: Mechanism,
    /// As written, for people.
    pub(super) text: CompactString,
}

/// The mechanisms of section 5. Without a domain-spec the record's own domain is meant.
#[derive(Clone, Debug)]
pub(super) enum Mechanism {
    All,
    Include(DomainSpec),
    A(Option<DomainSpec>, Prefixes),
    Mx(Option<DomainSpec>, Prefixes),
    Ptr(Option<DomainSpec>),
    Ip4(Ipv4Net),
    Ip6(Ipv6Net),
    Exists(DomainSpec),
}

/// `dual-cidr-length`: how many bits of an address count, for either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefixes {
    v4: u8,
    v6: u8,
}

impl Prefixes {
    /// The address alone.
    pub(super) const HOST: Self = Self { v4: 32, v6: 128 };

    /// Whether `client` and the IPv4 address are in one network.
    pub(super) fn match_v4(self, client: IpAddr, address: Ipv4Addr) -> bool {
        let network = Ipv4Net::new(address, self.v4);
        matches!((client, network), (IpAddr::V4(client), Ok(network)) if network.contains(&client))
    }

    /// Whether `client` and the IPv6 address are in one network.
    pub(super) fn match_v6(self, client: IpAddr, address: Ipv6Addr) -> bool {
        let network = Ipv6Net::new(address, self.v6);
        matches!((client, network), (IpAddr::V6(client), Ok(network)) if network.contains(&client))
    }
}

/// Whether a TXT record is an SPF record: it begins with the version, and a space or nothing follows.
pub(super) fn is_spf(text: &[u8]) -> bool {
    text.split_at_checked(VERSION.len()).is_some_and(|(version, rest)| {
        version.eq_ignore_ascii_case(VERSION) && matches!(rest.first(), None | Some(b' '))
    })
}

impl Record {
    /// Reads a text that [`is_spf`].
    pub(super) fn parse(text: &[u8]) -> Result<Self, Trouble> {
        if text.len() > MAX_RECORD {
            return Err(SpfCause::RecordTooLong.into());
        }
        let text = text.get(VERSION.len()..).unwrap_or_default();
        let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii()).ok_or(SpfCause::NotAscii)?;
        let mut record = Self::default();
        for (count, term) in text.split(' ').filter(|term| !term.is_empty()).enumerate() {
            if count == MAX_TERMS {
                return Err(SpfCause::TooManyTerms.into());
            }
            record.add(term).map_err(|cause| Trouble::from(cause).at(term))?;
        }
        Ok(record)
    }

    fn add(&mut self, term: &str) -> Result<(), SpfCause> {
        match term.split_once('=').filter(|(name, _)| is_modifier_name(name)) {
            Some((name, value)) => self.add_modifier(term, name, value),
            None => {
                self.directives.push(Directive::parse(term)?);
                Ok(())
            }
        }
    }

    fn add_modifier(&mut self, term: &str, name: &str, value: &str) -> Result<(), SpfCause> {
        if name.eq_ignore_ascii_case("redirect") {
            let redirect = Redirect { target: domain_spec(value)?, text: quotable(term) };
            unrepeated(self.redirect.replace(redirect).is_some())
        } else if name.eq_ignore_ascii_case("exp") {
            domain_spec(value)?;
            unrepeated(std::mem::replace(&mut self.has_explanation, true))
        } else {
            is_macro_string(value).then_some(()).ok_or(SpfCause::BadDomainSpec)
        }
    }
}

fn unrepeated(seen: bool) -> Result<(), SpfCause> {
    if seen { Err(SpfCause::RepeatedModifier) } else { Ok(()) }
}

/// `name` of section 4.6.1.
fn is_modifier_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

impl Directive {
    fn parse(term: &str) -> Result<Self, SpfCause> {
        let (result, mechanism) = match term.split_at_checked(1) {
            Some(("+", rest)) => (SpfResult::Pass, rest),
            Some(("-", rest)) => (SpfResult::Fail, rest),
            Some(("~", rest)) => (SpfResult::SoftFail, rest),
            Some(("?", rest)) => (SpfResult::Neutral, rest),
            _ => (SpfResult::Pass, term),
        };
        Ok(Self { result, mechanism: Mechanism::parse(mechanism)?, text: quotable(term) })
    }
}

impl Mechanism {
    fn parse(text: &str) -> Result<Self, SpfCause> {
        let (name, argument) = text.split_at(text.find([':', '/']).unwrap_or(text.len()));
        Ok(match name.to_ascii_lowercase().as_str() {
            "all" if argument.is_empty() => Self::All,
            "all" => return Err(SpfCause::BadArgument),
            "include" => Self::Include(domain_spec(required(argument)?)?),
            "exists" => Self::Exists(domain_spec(required(argument)?)?),
            "ptr" => Self::Ptr(optional_domain_spec(argument)?),
            "a" => {
                let (argument, prefixes) = split_prefixes(argument)?;
                Self::A(optional_domain_spec(argument)?, prefixes)
            }
            "mx" => {
                let (argument, prefixes) = split_prefixes(argument)?;
                Self::Mx(optional_domain_spec(argument)?, prefixes)
            }
            "ip4" => Self::Ip4(ip4(required(argument)?)?),
            "ip6" => Self::Ip6(ip6(required(argument)?)?),
            _ => return Err(SpfCause::UnknownMechanism),
        })
    }
}

fn required(argument: &str) -> Result<&str, SpfCause> {
    argument.strip_prefix(':').ok_or(SpfCause::BadArgument)
}

fn domain_spec(text: &str) -> Result<DomainSpec, SpfCause> {
    DomainSpec::parse(text).ok_or(SpfCause::BadDomainSpec)
}

fn optional_domain_spec(argument: &str) -> Result<Option<DomainSpec>, SpfCause> {
    if argument.is_empty() { Ok(None) } else { domain_spec(required(argument)?).map(Some) }
}

/// Cuts a `dual-cidr-length` off the end. A domain-spec may hold slashes, but none with digits alone after it:
/// its last label is not numeric.
fn split_prefixes(argument: &str) -> Result<(&str, Prefixes), SpfCause> {
    let (rest, v6) = match cut_number(argument, "//") {
        Some((rest, v6)) => (rest, prefix(v6, 128)?),
        None => (argument, Prefixes::HOST.v6),
    };
    let (rest, v4) = match cut_number(rest, "/") {
        Some((rest, v4)) => (rest, prefix(v4, 32)?),
        None => (rest, Prefixes::HOST.v4),
    };
    Ok((rest, Prefixes { v4, v6 }))
}

/// What stands before and after the slashes, if only digits come after.
fn cut_number<'t>(text: &'t str, slashes: &str) -> Option<(&'t str, &'t str)> {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    text.rsplit_once(slashes).filter(|(_, digits)| is_number(digits))
}

fn prefix(digits: &str, max: u8) -> Result<u8, SpfCause> {
    let canonical = digits == "0" || digits.starts_with(|c: char| matches!(c, '1'..='9'));
    let length = digits.parse().ok().filter(|length| canonical && *length <= max);
    length.ok_or(SpfCause::BadPrefix)
}

fn ip4(text: &str) -> Result<Ipv4Net, SpfCause> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let address: Ipv4Addr = address.parse().map_err(|_| SpfCause::BadAddress)?;
    Ipv4Net::new(address, prefix(length, 32)?).map_err(|_| SpfCause::BadPrefix)
}

fn ip6(text: &str) -> Result<Ipv6Net, SpfCause> {
    let (address, length) = text.split_once('/').unwrap_or((text, "128"));
    let address: Ipv6Addr = address.parse().map_err(|_| SpfCause::BadAddress)?;
    Ipv6Net::new(address, prefix(length, 128)?).map_err(|_| SpfCause::BadPrefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cause(terms: &str) -> Option<SpfCause> {
        Record::parse(format!("v=spf1 {terms}").as_bytes()).err().map(|trouble| trouble.cause)
    }

    #[test]
    fn versions_are_exact() {
        for good in ["v=spf1", "v=spf1 ", "V=SPF1 -all"] {
            assert!(is_spf(good.as_bytes()), "{good}");
        }
        for bad in ["", "v=spf", "v=spf10", "v=spf1\t-all", " v=spf1", "v=spf1-all", "spf2.0/mfrom"] {
            assert!(!is_spf(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn errors_name_the_term() {
        let trouble = Record::parse(b"v=spf1 mx ip4:192.0.2.1/33\x01 -all").unwrap_err();
        assert_eq!(
            (trouble.cause, trouble.term.as_deref()),
            (SpfCause::BadPrefix, Some("ip4:192.0.2.1/33?"))
        );
    }

    #[test]
    fn records_are_bounded() {
        assert_eq!(cause(&"a ".repeat(MAX_TERMS)), None);
        assert_eq!(cause(&"a ".repeat(MAX_TERMS + 1)), Some(SpfCause::TooManyTerms));
        assert_eq!(cause(&" ".repeat(MAX_RECORD)), Some(SpfCause::RecordTooLong));
    }

    #[test]
    fn prefixes_are_cut_off_the_end_alone() {
        let split = |text| split_prefixes(text).map(|(rest, p)| (rest, p.v4, p.v6));
        assert_eq!(split(":a.example/24//64"), Ok((":a.example", 24, 64)));
        assert_eq!(split("//0"), Ok(("", 32, 0)));
        assert_eq!(split("/0"), Ok(("", 0, 128)));
        assert_eq!(split(":a/24.example"), Ok((":a/24.example", 32, 128)));
        for bad in ["/33", "/032", "//129", "/24//00", "/99999999999999999999"] {
            assert_eq!(split(bad), Err(SpfCause::BadPrefix), "{bad}");
        }
    }

    #[test]
    fn no_prefix_length_overflows_a_shift() {
        let (v4, v6) = ("192.0.2.1".parse::<IpAddr>().unwrap(), "2001:db8::1".parse::<IpAddr>().unwrap());
        let (other_v4, other_v6) = (Ipv4Addr::new(203, 0, 113, 9), Ipv6Addr::LOCALHOST);
        for bits in 0..=128u8 {
            let prefixes = Prefixes { v4: bits.min(32), v6: bits };
            assert_eq!(prefixes.match_v4(v4, other_v4), bits <= 4);
            assert_eq!(prefixes.match_v6(v6, other_v6), bits <= 2);
            assert!(!prefixes.match_v4(v6, other_v4) && !prefixes.match_v6(v4, other_v6));
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_without_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = is_spf(&text);
            let _ = Record::parse(&text);
            let _ = Record::parse(&[b"v=spf1 ", text.as_slice()].concat());
        }

        #[test]
        fn any_likely_text_parses_without_panic(
            text in "([-+~?]?(a|mx|ptr|ip4|ip6|include|exists|redirect|exp|all|x)[:=/]?(%\\{[a-zA-Z]{0,2}[0-9]{0,30}r?[-+/._,=]{0,3}\\}?|%.|[0-9]{1,4}|[:/.]|\\.example|é){0,6} ){0,8}",
        ) {
            let _ = Record::parse(format!("v=spf1 {text}").as_bytes());
        }
    }
}
