//! The arguments of MAIL and RCPT: paths (RFC 5321 section 4.1.2) as mailboxes.
//!
//! The mail server passes a path as the client wrote it: in brackets or without, with a source route, with a
//! quoted local part. A mailbox is kept unquoted, so that one address has one form whichever front end saw
//! it. Octets that are not UTF-8 (RFC 6531) read as U+FFFD; only text longer than any SMTP line is no mailbox.

use policy_core::name::{Mailbox, Sender};
use std::ffi::{CStr, CString};

/// Longest argument looked at, in octets. A path may have 256 (RFC 5321 section 4.5.3.1.3), but mail servers take
/// what fits on a line, 2,048 octets by default, and deliver it; a client must not become unreadable by it.
const MAX_ARGUMENT: usize = 8 * 1024;

/// The reverse-path of MAIL.
pub(crate) fn sender(arguments: &[CString]) -> Option<Sender> {
    Sender::new(&mailbox_text(arguments.first()?)?)
}

/// The forward-path of RCPT.
pub(crate) fn recipient(arguments: &[CString]) -> Option<Mailbox> {
    Mailbox::new(&mailbox_text(arguments.first()?)?)
}

/// The size declared with SIZE= (RFC 1870), in octets. Zero is what some clients write for "not known".
pub(crate) fn declared_size(arguments: &[CString]) -> Option<u64> {
    arguments
        .iter()
        .skip(1)
        .find_map(|argument| {
            let (keyword, value) = argument.to_str().ok()?.split_once('=')?;
            keyword.eq_ignore_ascii_case("SIZE").then(|| value.parse().ok()).flatten()
        })
        .filter(|&size| size != 0)
}

fn mailbox_text(path: &CStr) -> Option<String> {
    let text = (path.count_bytes() <= MAX_ARGUMENT).then(|| path.to_string_lossy())?;
    Some(plain(&text))
}

/// The address in a path, without what a mail server reads over: quotes, comments (RFC 5322 section 3.2.2),
/// spaces, a name before the brackets, and a source route, `@a,@b:`, which says nothing about the mailbox (RFC
/// 5321 section 4.1.1.3). A comment must not hide a recipient's domain from us and not from the mail server.
fn plain(path: &str) -> String {
    let mut chars = path.chars();
    let mut plain = String::with_capacity(path.len());
    let (mut quoted, mut comments, mut route) = (false, 0usize, false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next().filter(|_| comments == 0)),
            '"' if comments == 0 => quoted = !quoted,
            _ if quoted => plain.push(c),
            '(' => comments += 1,
            ')' => comments = comments.saturating_sub(1),
            _ if comments > 0 || c.is_ascii_whitespace() => {}
            '>' => break,
            '<' => (plain, route) = (String::new(), false),
            ':' if route => (plain, route) = (String::new(), false),
            _ => {
                route |= c == '@' && plain.is_empty();
                plain.push(c);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arguments(words: &[&str]) -> Vec<CString> {
        words.iter().map(|word| CString::new(*word).unwrap()).collect()
    }

    #[test]
    fn paths_are_read_as_clients_write_them() {
        let read = |path| recipient(&arguments(&[path])).map(|mailbox| mailbox.to_string());
        assert_eq!(read("<good@Dest.Example>").as_deref(), Some("good@dest.example"));
        assert_eq!(read("good@dest.example").as_deref(), Some("good@dest.example"));
        assert_eq!(read("<@a.example,@b.example:good@dest.example>").as_deref(), Some("good@dest.example"));
        assert_eq!(read(r#"<"a b=c"@src.example>"#).as_deref(), Some("a b=c@src.example"));
        assert_eq!(read(r#"<"a\"b"@src.example>"#).as_deref(), Some("a\"b@src.example"));
        assert_eq!(read(r"<a\ b@src.example>").as_deref(), Some("a b@src.example"));
        assert_eq!(read("<postmaster>").as_deref(), Some("postmaster"));
        assert_eq!(read("<d\u{e9}j\u{e0}@src.example>").as_deref(), Some("d\u{e9}j\u{e0}@src.example"));
        assert_eq!(read("<>"), None);
        for odd in [
            "<good@(c)dest.example>",
            "<good(a(b)c)@dest.example(d)>",
            "< good @ dest.example >",
            r#"<"Good" Name <@a.example:good@dest.example>>"#,
            "<good@dest.example> (c)",
        ] {
            assert_eq!(read(odd).as_deref(), Some("good@dest.example"), "{odd}");
        }
        assert_eq!(read(r#"<"a(b) <c"@src.example>"#).as_deref(), Some("a(b) <c@src.example"));
        let endless = format!("<{}@src.example>", "a".repeat(9000));
        assert_eq!(read(&endless), None);
        let tagged = format!("<good+{}@src.example>", "a".repeat(2000));
        assert!(read(&tagged).is_some_and(|mailbox| mailbox.ends_with("@src.example")));
        let octets = CString::new(b"<good+\xff@src.example>".to_vec()).unwrap();
        let read = recipient(&[octets]).map(|mailbox| mailbox.to_string());
        assert_eq!(read.as_deref(), Some("good+\u{fffd}@src.example"));
    }

    #[test]
    fn the_null_sender_is_a_sender() {
        assert_eq!(sender(&arguments(&["<>"])), Some(Sender::Null));
        assert_eq!(sender(&arguments(&[""])), Some(Sender::Null));
        assert_eq!(sender(&[]), None);
    }

    #[test]
    fn the_declared_size_is_a_number_above_zero() {
        let size = |words: &[&str]| declared_size(&arguments(words));
        assert_eq!(size(&["<a@src.example>", "BODY=8BITMIME", "size=100"]), Some(100));
        assert_eq!(size(&["<a@src.example>"]), None);
        assert_eq!(size(&["SIZE=100"]), None);
        assert_eq!(size(&["<a@src.example>", "SIZE=0"]), None);
        assert_eq!(size(&["<a@src.example>", "SIZE=-1"]), None);
        assert_eq!(size(&["<a@src.example>", "SIZE=99999999999999999999999"]), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(words in prop::collection::vec("[^\0]{0,40}", 0..4), raw: Vec<u8>) {
            let mut arguments: Vec<_> = words.into_iter().map(|word| CString::new(word).unwrap()).collect();
            arguments.extend(CString::new(raw).ok());
            let _ = (sender(&arguments), recipient(&arguments), declared_size(&arguments));
        }

        #[test]
        fn a_plain_mailbox_keeps_its_form(local in "[a-z0-9.+=_-]{1,64}", domain in "[a-z0-9-]{1,20}\\.example") {
            let text = format!("{local}@{domain}");
            let read = recipient(&arguments(&[&format!("<{text}>")])).unwrap();
            prop_assert_eq!(read.to_string(), text);
        }
    }
}
