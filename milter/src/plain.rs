//! What a client says of itself, when it is too plain to change the meaning of a field that repeats it.
//!
//! An upstream check writes into Authentication-Results whom it has checked, and not every program escapes what
//! it writes: rspamd has MAIL FROM or HELO in a comment as they were given, OpenDKIM has `i=` of a signature
//! with its quoting undone. `"x) ; dkim=pass header.d=bank.example; y=("@src.example` ends such a comment and goes
//! on with a result of the sender's own. In the field itself nobody can tell it from the check's, so it is
//! looked for where it comes from: MAIL FROM, HELO, the signatures and From. Where one of these is not plain
//! the check is not believed, which costs no more than to verify the message here.
//!
//! Known limits: what a domain publishes, such as the explanation of an SPF record (RFC 7208 section 6.2), is not
//! seen here; a program that repeats it must escape it. An address of From is plain only by itself: a list of
//! several, or a display name with an `@`, is verified here.

use std::ffi::CStr;

/// HELO: a name or an address literal.
pub(crate) fn is_plain_helo(name: &CStr) -> bool {
    name.to_bytes().iter().all(|&b| is_of_name(b) || matches!(b, b'[' | b']' | b':'))
}

/// The reverse-path: in brackets or not, with a local part that needs no quotes. Nothing else of it is plain, even
/// what [`crate::address`] reads over: an upstream check may well not.
pub(crate) fn is_plain_path(path: &CStr) -> bool {
    let path = path.to_bytes();
    let inner = path.strip_prefix(b"<").and_then(|path| path.strip_suffix(b">"));
    inner.unwrap_or(path).iter().all(|&b| is_atext(b) || matches!(b, b'.' | b'@'))
}

/// A header field, when it is one that upstream checks repeat a part of.
pub(crate) fn is_plain_field(name: &str, value: &[u8]) -> bool {
    let signatures = ["DKIM-Signature", "ARC-Seal", "ARC-Message-Signature"];
    if signatures.iter().any(|signature| name.eq_ignore_ascii_case(signature)) {
        return value.split(|&b| b == b';').all(is_plain_tag);
    }
    !name.eq_ignore_ascii_case("From") || value.split(|&b| b == b'@').skip(1).all(is_plain_domain)
}

/// A tag of a signature (RFC 6376 section 3.2). `i=` has its own way of quoting, by an equals sign.
fn is_plain_tag(tag: &[u8]) -> bool {
    let Some(equals) = tag.iter().position(|&b| b == b'=') else { return true };
    let (name, value) = (tag[..equals].trim_ascii(), tag[equals + 1..].trim_ascii());
    match name {
        b"a" | b"d" | b"s" => value.iter().all(|&b| is_of_name(b)),
        b"i" => value.iter().all(|&b| b != b'=' && (is_atext(b) || matches!(b, b'.' | b'@'))),
        b"b" => value.iter().all(|&b| is_base64(b) || b.is_ascii_whitespace()),
        _ => true,
    }
}

/// What follows an `@`, up to a bracket or all of it.
fn is_plain_domain(tail: &[u8]) -> bool {
    let domain = tail.split(|&b| b == b'>').next().unwrap_or(tail).trim_ascii_end();
    !domain.is_empty() && domain.iter().all(|&b| is_of_name(b))
}

const fn is_of_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')
}

const fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')
}

/// RFC 5322 section 3.2.3.
fn is_atext(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    fn c(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    #[test]
    fn what_everybody_says_is_plain() {
        for helo in ["", "mail.src.example", "a_b", "[192.0.2.7]", "[IPv6:2001:db8::7]"] {
            assert!(is_plain_helo(&c(helo)), "{helo}");
        }
        for path in ["<>", "", "<a@src.example>", "a@src.example", "<SRS0=x+y=s=src.example=a-b@fwd.example>"]
        {
            assert!(is_plain_path(&c(path)), "{path}");
        }
        let signature = " v=1; a=rsa-sha256; c=relaxed/relaxed; d=src.example; s=s1._x;\r\n\ti=a+b@src.example; \
             h=from:to; z=Subject:=20(x); bh=AbC/+=;\r\n\tb=AbC\r\n\t /+d==";
        for name in ["DKIM-Signature", "ARC-Message-Signature", "arc-seal"] {
            assert!(is_plain_field(name, signature.as_bytes()), "{name}");
        }
        for from in ["a@src.example", "\"Doe (John); x\" <a@src.example> (x)", "nobody", "<a@src.example >"] {
            assert!(is_plain_field("From", from.as_bytes()), "{from}");
        }
        assert!(is_plain_field("Subject", b"); dkim=pass (\"\\ a@b ("));
    }

    #[test]
    fn what_could_write_results_is_not() {
        for helo in ["a);dkim=pass", "a b", "a\"", "a\\", "\u{e9}", &format!("{}(", "a".repeat(2000))] {
            assert!(!is_plain_helo(&c(helo)), "{helo}");
        }
        for path in [
            "<\"x) ; dkim=pass header.d=bank.example; y=(\"@src.example>",
            "<a(; dkim=pass)b@src.example>",
            "<a\\;b@src.example>",
            "<a b@src.example>",
            "<@a.example,@b.example:a@src.example>",
            "<a@src.example> (",
            "Name <a@src.example>",
            "<\u{2003}@src.example>",
        ] {
            assert!(!is_plain_path(&c(path)), "{path}");
        }
        for tag in [
            "i=x=3B=20dkim=3Dpass@src.example",
            "i=\"x y\"@src.example",
            "d=bank.example header.x=.src.example",
            "s=a)",
            "d=\u{e9}.example",
            "b=a(",
            "a=rsa (",
        ] {
            assert!(!is_plain_field("DKIM-Signature", format!("v=1;\r\n {tag}; t=1").as_bytes()), "{tag}");
        }
        for from in [
            "<a@src.example;dkim=pass header.d=bank.example>",
            "a@src.example (;dkim=pass header.d=bank.example)",
            "<a@ src.example;dkim=pass>",
            "\"a@b;\" <a@src.example>",
            "<a@>",
        ] {
            assert!(!is_plain_field("From", from.as_bytes()), "{from}");
        }
    }
}
