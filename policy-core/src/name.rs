//! Names out of the envelope and the DNS, in one canonical form so that they can be keys.

use compact_str::CompactString;
use std::fmt;

/// Longest domain name kept, in octets (RFC 1035 section 2.3.4).
const MAX_DOMAIN: usize = 255;
/// Longest label of a domain name, in octets (the same section).
const MAX_LABEL: usize = 63;
/// Longest local part kept, in octets. RFC 5321 section 4.5.3.1.1 allows 64; VERP and SRS senders
/// exceed it in practice, so the bound is the path limit of section 4.5.3.1.3.
const MAX_LOCAL_PART: usize = 256;

/// A domain name in lower case, as A-labels, without the trailing dot.
///
/// Not every value resolves: HELO names and claims are kept as the client wrote them, within RFC 1035's
/// length and free of control characters and spaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(CompactString);

impl DomainName {
    /// Canonical form of `text`; `None` when nothing, too much, or something unprintable is left of it.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > MAX_DOMAIN {
            return None;
        }
        if text.is_ascii() {
            if !text.bytes().all(|b| b.is_ascii_graphic()) {
                return None;
            }
            let mut name = CompactString::new(text);
            name.make_ascii_lowercase();
            return Some(Self(name));
        }
        let ascii = idna::domain_to_ascii(text).ok()?;
        (!ascii.is_empty() && ascii.len() <= MAX_DOMAIN).then(|| Self(CompactString::new(ascii)))
    }

    /// The same of a name that a host or a domain can have: [`DomainName::new`] takes whatever a client may claim.
    pub fn proper(text: &str) -> Option<Self> {
        let name = Self::new(text)?;
        let label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let top_is_a_number =
            name.0.rsplit('.').next().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()));
        (name.0.split('.').all(label) && !top_is_a_number).then_some(name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name itself and every name that it lies below, the longest first.
    pub fn and_parents(&self) -> impl Iterator<Item = Self> {
        let mut next = Some(self.0.as_str());
        std::iter::from_fn(move || {
            let name = next?;
            next = name.split_once('.').map(|(_, parent)| parent).filter(|parent| !parent.is_empty());
            Some(Self(CompactString::new(name)))
        })
    }

    /// The organisational domain by the public suffix list, or `None` for a bare suffix, a single label or
    /// an address literal.
    pub fn organisational(&self) -> Option<&str> {
        if self.0.starts_with('[') || !self.0.contains('.') {
            return None;
        }
        // psl answers for any text; a name it does not know falls under the list's default rule "*".
        psl::domain_str(&self.0)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_str(), f)
    }
}

/// A mailbox as the envelope names it (RFC 5321 section 4.1.2), unquoted: `local-part@domain`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mailbox {
    /// The local part as written; its case is kept.
    pub local_part: CompactString,
    /// The domain; `None` for a bare local part such as `postmaster`.
    pub domain: Option<DomainName>,
}

impl Mailbox {
    /// Reads `local@domain`, split at the last `@`, without angle brackets. Without any `@`, `domain!local` and
    /// `local%domain` name a domain as well, which Postfix and Sendmail deliver to by default. `None` when the text is empty. A
    /// domain that is no name at all leaves a bare local part. A local part that is too long is cut, and a
    /// control character in it becomes `?`: a mail server may well deliver to either, so a client that
    /// writes one must not become nobody's.
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let (local_part, domain) = parts(text);
        let domain = domain.and_then(DomainName::new);
        let local_part = &local_part[..local_part.floor_char_boundary(MAX_LOCAL_PART)];
        let printable = |c: char| if c.is_control() { '?' } else { c };
        Some(Self { local_part: local_part.chars().map(printable).collect(), domain })
    }

    /// The local part in lower case, as every mail server of today compares it.
    pub(crate) fn folded_local_part(&self) -> CompactString {
        if !self.local_part.is_ascii() {
            return self.local_part.to_lowercase();
        }
        let mut folded = self.local_part.clone();
        folded.make_ascii_lowercase();
        folded
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.local_part)?;
        match &self.domain {
            Some(domain) => write!(f, "@{domain}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

fn parts(text: &str) -> (&str, Option<&str>) {
    let local_first = |(local_part, domain)| (local_part, Some(domain));
    (text.rsplit_once('@').map(local_first))
        .or_else(|| text.split_once('!').map(|(domain, local_part)| (local_part, Some(domain))))
        .or_else(|| text.rsplit_once('%').map(local_first))
        .unwrap_or((text, None))
}

/// The reverse-path of MAIL FROM.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sender {
    /// `<>`: a bounce or another notice (RFC 5321 section 4.5.5).
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

impl Sender {
    /// Reads the reverse-path without its brackets; empty text is the null sender, unreadable text `None`.
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() { Some(Self::Null) } else { Mailbox::new(text).map(Self::Mailbox) }
    }

    /// The domain that the sender claims, if any.
    pub fn domain(&self) -> Option<&DomainName> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => mailbox.domain.as_ref(),
        }
    }
}

impl fmt::Display for Sender {
    /// As Postfix logs it: without brackets, empty for the null sender.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_are_canonical() {
        assert_eq!(DomainName::new("Mail.Example.CO.UK.").unwrap().as_str(), "mail.example.co.uk");
        assert_eq!(DomainName::new("bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
        assert_eq!(DomainName::new(""), None);
        assert_eq!(DomainName::new("."), None);
        assert_eq!(DomainName::new("a b"), None);
        assert_eq!(DomainName::new(&"a".repeat(256)), None);
    }

    #[test]
    fn organisational_domains_follow_the_public_suffix_list() {
        let org = |s: &str| DomainName::new(s).unwrap().organisational().map(str::to_owned);
        assert_eq!(org("mail.Example.CO.UK").as_deref(), Some("example.co.uk"));
        assert_eq!(org("example.com").as_deref(), Some("example.com"));
        assert_eq!(org("com"), None);
        assert_eq!(org("[192.0.2.1]"), None);
        assert_eq!(org("localhost"), None);
    }

    #[test]
    fn mailboxes_split_at_the_last_at() {
        let m = Mailbox::new("a@b@Dest.Example").unwrap();
        assert_eq!((m.local_part.as_str(), m.domain.unwrap().as_str()), ("a@b", "dest.example"));
        assert_eq!(Mailbox::new("postmaster").unwrap().domain, None);
        assert_eq!(Mailbox::new("a b=c@src.example").unwrap().to_string(), "a b=c@src.example");
        assert_eq!(Mailbox::new("a\n@src.example").unwrap().to_string(), "a?@src.example");
        for old in ["Dest.example!a", "a%dest.example"] {
            assert_eq!(Mailbox::new(old).unwrap().to_string(), "a@dest.example");
        }
        let long = Mailbox::new(&format!("a+{}@src.example", "é".repeat(300))).unwrap();
        assert!(long.local_part.len() <= 256 && long.domain.is_some());
        assert_eq!(Sender::new(""), Some(Sender::Null));
    }
}
