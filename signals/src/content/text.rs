//! How many links and how much to read there is in a text. One pass, no allocation.

use memchr::{memchr, memchr_iter, memmem};

/// What a text holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Web addresses, or in markup anchors.
    pub(super) links: usize,
    /// Octets to read: neither space nor markup nor part of an address.
    pub(super) visible: usize,
}

impl Measure {
    pub(super) fn add(&mut self, other: Self) {
        self.links += other.links;
        self.visible += other.visible;
    }
}

/// Plain text.
pub(super) fn plain(mut text: &[u8]) -> Measure {
    let mut measure = Measure::default();
    while let Some(at) = memmem::find(text, b"://") {
        let (before, address) = text.split_at(at);
        let scheme = before.iter().rev().take_while(|b| b.is_ascii_alphabetic()).count();
        let (before, scheme) = before.split_at(before.len() - scheme);
        measure.links +=
            usize::from(scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https"));
        measure.visible += visible(before);
        let end = address.iter().position(|b| ends_address(*b)).unwrap_or(address.len());
        text = address.get(end..).unwrap_or_default();
    }
    measure.visible += visible(text);
    measure
}

const fn ends_address(b: u8) -> bool {
    b.is_ascii_whitespace() || matches!(b, b'<' | b'>' | b'"' | b'\'')
}

fn visible(text: &[u8]) -> usize {
    text.iter().filter(|b| !b.is_ascii_whitespace()).count()
}

/// HTML, as far as tags can be told from text without parsing it.
pub(super) fn markup(mut text: &[u8]) -> Measure {
    let mut measure = Measure::default();
    while let Some(open) = memchr(b'<', text) {
        let (shown, tag) = text.split_at(open);
        measure.visible += visible(shown);
        measure.links += usize::from(is_tag(tag, b"<a"));
        let end = match () {
            () if tag.starts_with(b"<!--") => after(tag, b"-->"),
            () if is_tag(tag, b"<style") => before(tag, b"</style"),
            () if is_tag(tag, b"<script") => before(tag, b"</script"),
            () => after(tag, b">"),
        };
        text = tag.get(end..).unwrap_or_default();
    }
    measure.visible += visible(text);
    measure
}

fn is_tag(text: &[u8], name: &[u8]) -> bool {
    let begins = text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    begins && text.get(name.len()).is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'))
}

/// How much of the text there is before the first tag of this name, in capitals or not. The `<` are sought, each of
/// which costs no more than a name's length: a search for every spelling would not be one pass.
fn before(text: &[u8], name: &[u8]) -> usize {
    let at_tag = |at: &usize| text.get(*at..).is_some_and(|tag| is_tag(tag, name));
    memchr_iter(b'<', text).find(at_tag).unwrap_or(text.len())
}

/// How much there is up to the end of the first `mark`.
fn after(text: &[u8], mark: &[u8]) -> usize {
    memmem::find(text, mark).map_or(text.len(), |at| at + mark.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_in_plain_text_are_links() {
        let of = |text: &str| plain(text.as_bytes());
        assert_eq!(of("two words"), Measure { links: 0, visible: 8 });
        assert_eq!(of("see HTTPS://a.example/x?y and <http://b.example>"), Measure { links: 2, visible: 8 });
        assert_eq!(of("ftp://a.example"), Measure::default());
        assert_eq!(of("://"), Measure::default());
    }

    #[test]
    fn markup_is_told_from_text() {
        let of = |text: &str| markup(text.as_bytes());
        assert_eq!(of("<p>two <b>words</b>"), Measure { links: 0, visible: 8 });
        assert_eq!(
            of("<style>p { color: red }</style><!-- > no --><A HREF=x>go</A>"),
            Measure { links: 1, visible: 2 }
        );
        assert_eq!(of("<abbr>x</abbr><a"), Measure { links: 1, visible: 1 });
    }

    #[test]
    fn a_style_ends_however_its_end_is_written() {
        let of = |text: &str| markup(text.as_bytes());
        for end in ["</style>", "</STYLE>", "</Style >", "</sTYLE\n>"] {
            let text = format!("<style>p < q </styles> {end}shown <A HREF=x>");
            assert_eq!(of(&text), Measure { links: 1, visible: 5 }, "{end}");
        }
        assert_eq!(of("<SCRIPT>if (a</style>b)</Script>shown"), Measure { links: 0, visible: 5 });
        assert_eq!(of("<style>hidden"), Measure::default());
    }

    proptest! {
        #[test]
        fn no_text_holds_more_than_it_has(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            for measure in [plain(&text), markup(&text)] {
                prop_assert!(measure.visible + measure.links <= text.len());
            }
        }
    }
}
