//! The arguments of MAIL and RCPT: paths (RFC 5321 section 4.1.2) as mailboxes.
//!
//! The mail server passes a path as the client wrote it: in brackets or without, with a source route, with a
//! quoted local part. A mailbox is kept unquoted, so that one address has one form whichever front end saw
//! it. Text that is not UTF-8 (RFC 6531) or too long is no mailbox.

use policy_core::name::{Mailbox, Sender};
use std::ffi::{CStr, CString};

/// Longest argument looked at, in octets: a path may have 256 (RFC 5321 section 4.5.3.1.3); quoting doubles.
const MAX_ARGUMENT: usize = 1200;

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
    let text = path.to_str().ok().filter(|text| text.len() <= MAX_ARGUMENT)?.trim();
    let text = text.strip_prefix('<').map_or(text, |text| text.strip_suffix('>').unwrap_or(text));
    Some(unquoted(without_route(text)))
}

/// Leaves out a source route, `@a,@b:`, which says nothing about the mailbox (RFC 5321 section 4.1.1.3).
fn without_route(path: &str) -> &str {
    match path.split_once(':') {
        Some((route, mailbox)) if route.starts_with('@') => mailbox,
        _ => path,
    }
}

fn unquoted(text: &str) -> String {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        match c {
            '"' => {}
            '\\' => plain.extend(chars.next()),
            c => plain.push(c),
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
        assert_eq!(read(&format!("<{}@src.example>", "a".repeat(2000))), None);
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
