//! Domain names as SPF reads them: text whose dots part labels, without any escape (RFC 7208 section 4.8).

use crate::dns::Name;
use compact_str::CompactString;

/// The longest name as text, without the root's dot (section 7.3).
pub(super) const MAX_NAME: usize = 253;

/// A name that can be asked for: at least two labels of 1 to 63 octets, of which the last could be a top-level
/// domain's. Anything else, such as an address literal or a bare word, can have no record and is not asked for.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    /// As written, without a final dot: the value of the macro `d`.
    pub(super) text: CompactString,
    pub(super) name: Name,
}

impl Domain {
    /// Section 4.3: `None` for a malformed name and for one of a single label.
    pub(super) fn new(text: &str) -> Option<Self> {
        let (_, top) = text.rsplit_once('.')?;
        if text.len() > MAX_NAME || !is_top_label(top) {
            return None;
        }
        let name = Name::from_labels(text.split('.').map(str::as_bytes)).ok()?;
        Some(Self { text: CompactString::new(text), name })
    }

    /// What a domain-spec expanded to; labels are cut off its left until it is short enough (section 7.3).
    pub(super) fn expanded(text: &str) -> Option<Self> {
        let mut rest = text.strip_suffix('.').unwrap_or(text);
        while rest.len() > MAX_NAME {
            rest = rest.split_once('.')?.1;
        }
        Self::new(rest)
    }
}

/// `toplabel` of section 7.1: letters, digits and inner hyphens, and not digits alone.
pub(super) fn is_top_label(label: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    label.bytes().all(allowed)
        && label.bytes().any(|b| !b.is_ascii_digit())
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_dns_can_hold_is_a_domain() {
        for good in ["a.example", "_spf.a-b.xn--p1ai", "a b/c:d.example", "1.c2"] {
            assert!(Domain::new(good).is_some(), "{good}");
        }
        let long_label = format!("{}.example", "a".repeat(64));
        for bad in [
            "",
            ".",
            "example",
            ".example",
            "a..example",
            "a.example.",
            "[192.0.2.1]",
            "192.0.2.1",
            &long_label,
        ] {
            assert!(Domain::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn long_expansions_lose_labels_on_the_left() {
        let long = format!("{}example.org", "x123456789.".repeat(30));
        let domain = Domain::expanded(&long).unwrap();
        assert_eq!(domain.text.len(), 22 * 11 + 11);
        assert!(long.ends_with(domain.text.as_str()));
        assert_eq!(Domain::expanded("a.example.").unwrap().text, "a.example");
        assert!(Domain::expanded(&"x".repeat(300)).is_none());
    }
}
