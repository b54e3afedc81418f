//! What one Received field says (RFC 5321 section 4.4), read by position.
//!
//! A field repeats words of the client's: its HELO, the recipient, the name on its certificate. Any of them may look
//! like another part of the field. So nothing is searched for: each part is read where mail servers put it, and a
//! field that has something else there is not understood.
//!
//! ```text
//! Postfix   from HELO (NAME [ADDRESS]) (using TLS) by HOST (Postfix) with ESMTPS id ID for <RECIPIENT>; DATE
//! Sendmail  from HELO (USER@NAME [ADDRESS] (may be forged)) by HOST (VERSION) with ESMTP id ID (TLS) for RECIPIENT; DATE
//! Exim      from NAME ([ADDRESS] helo=HELO) by HOST with esmtps (TLS) (VERSION) (envelope-from <SENDER>) id ID; DATE
//!           from [ADDRESS] (helo=HELO) by HOST ...
//! Exchange  from HELO (ADDRESS) by HOST (ADDRESS) with Microsoft SMTP Server (TLS) id ID; DATE
//! local     by HOST (Postfix, from userid 0) id ID; DATE
//!           (from USER@localhost) by HOST (VERSION) id ID; DATE
//!           from NAME ([unix socket]) by HOST with LMTP id ID; DATE
//! ```
//!
//! HELO has no blanks: Postfix writes `?` for them and for all that would end a word, the others refuse it.

use std::net::IpAddr;

/// A step of a message's way, as the field says that was written for it.
#[derive(Debug, PartialEq)]
pub(super) enum Hop<'a> {
    /// Delivery, or a message of somebody on that host: it has no client.
    Local,
    /// From one host to another.
    Remote(Remote<'a>),
}

/// A step between hosts.
#[derive(Debug, PartialEq)]
pub(super) struct Remote<'a> {
    pub(super) address: IpAddr,
    pub(super) helo: &'a str,
    /// The address's name, if the server has found one.
    pub(super) name: Option<&'a str>,
    /// The server says that the name does not lead back to the address.
    pub(super) forged: bool,
    /// The server's own name.
    pub(super) by: &'a str,
    pub(super) protocol: Option<&'a str>,
    pub(super) id: Option<&'a str>,
    pub(super) date: Option<&'a str>,
}

impl<'a> Hop<'a> {
    /// Reads a field's value; `None` if it is not understood.
    pub(super) fn read(value: &'a str) -> Option<Self> {
        let mut rest = Rest(value.trim_ascii());
        if !rest.keyword("from") {
            return (rest.0.starts_with('(') || rest.keyword("by")).then_some(Self::Local);
        }
        let word = rest.up_to(|c| c.is_ascii_whitespace());
        let peer = rest.comment();
        while rest.comment().is_some() {}
        if !rest.keyword("by") {
            return None;
        }
        let by = rest.word();
        let date = rest.date();
        rest.plain_comments();
        let protocol = rest.after("with");
        rest.plain_comments();
        // Of what a program on the same host hands in, no server writes an address that would have to be read.
        if protocol.is_some_and(is_local) || (peer.is_none() && word.eq_ignore_ascii_case("localhost")) {
            return Some(Self::Local);
        }
        let remote = Remote { by, protocol, id: rest.after("id"), date, ..Remote::of(word, peer)? };
        Some(Self::Remote(remote))
    }
}

impl<'a> Remote<'a> {
    /// The client, from the word behind `from` and the comment behind that.
    fn of(word: &'a str, comment: Option<&'a str>) -> Option<Self> {
        let mut items = comment.unwrap_or_default().split_ascii_whitespace();
        let (first, second) = (items.next().unwrap_or_default(), items.next().unwrap_or_default());
        // A name from the DNS has no equals sign, so this is Exim's, of an address without a name.
        let nameless =
            comment.is_none() || ["helo=", "port=", "ident="].iter().any(|key| first.starts_with(key));
        let (address, name) = match () {
            () if nameless => (literal(word)?, None),
            () if first.starts_with('[') => (literal(first)?, None),
            () if second.is_empty() => (first.parse().ok()?, None),
            () => (literal(second)?, Some(first.rsplit('@').next().unwrap_or(first))),
        };
        let helo =
            comment.unwrap_or_default().split_ascii_whitespace().find_map(|item| item.strip_prefix("helo="));
        Some(Self {
            address,
            helo: helo.unwrap_or(word),
            name: name.or(helo.filter(|_| !nameless).map(|_| word)),
            forged: comment.is_some_and(|comment| comment.ends_with("(may be forged)")),
            by: "",
            protocol: None,
            id: None,
            date: None,
        })
    }
}

/// An address in brackets, before whatever else there is.
fn literal(text: &str) -> Option<IpAddr> {
    let (address, _) = text.strip_prefix('[')?.split_once(']')?;
    let tagged = address.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    address[if tagged { 5 } else { 0 }..].parse().ok()
}

/// Delivery to a store, or Exim's for what was handed in on the same host.
fn is_local(protocol: &str) -> bool {
    ["LMTP", "local"].iter().any(|local| {
        protocol.get(..local.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(local))
    })
}

/// What is left of a field, from the next word on.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// A word, up to a blank, a comment or the date.
    fn word(&mut self) -> &'a str {
        self.up_to(|c| c.is_ascii_whitespace() || matches!(c, '(' | ';'))
    }

    fn up_to(&mut self, is_end: impl Fn(char) -> bool) -> &'a str {
        self.take(self.0.find(is_end).unwrap_or(self.0.len()))
    }

    /// Takes the next word, if it is this.
    fn keyword(&mut self, keyword: &str) -> bool {
        let mut ahead = Rest(self.0);
        let found = ahead.word().eq_ignore_ascii_case(keyword);
        if found {
            *self = ahead;
        }
        found
    }

    /// The word behind a keyword, if that is next.
    fn after(&mut self, keyword: &str) -> Option<&'a str> {
        self.keyword(keyword).then(|| self.word()).filter(|word| !word.is_empty())
    }

    /// The text of a comment (RFC 5322 section 3.2.2), if one is next.
    fn comment(&mut self) -> Option<&'a str> {
        let mut scan = Scan::default();
        let end = self.0.char_indices().find(|&(_, c)| !scan.is_inside(c));
        let (end, _) = end.filter(|_| self.0.starts_with('('))?;
        Some(&self.take(end + 1)[1..end])
    }

    /// Passes over comments. What follows one with quotes is left alone: Exim repeats MAIL FROM in one, whose quoted
    /// parenthesis ends it.
    fn plain_comments(&mut self) {
        while let Some(comment) = self.comment() {
            if comment.contains(['"', '\\']) {
                self.0 = "";
            }
        }
    }

    /// What stands behind the last semicolon that is neither quoted nor commented. None if a quoted string or a comment
    /// does not end: the last would be another.
    fn date(&self) -> Option<&'a str> {
        let mut scan = Scan::default();
        let mut date = None;
        for (at, c) in self.0.char_indices() {
            if !scan.is_inside(c) && c == ';' {
                date = Some(&self.0[at + 1..]);
            }
        }
        date.filter(|_| scan == Scan::default()).map(str::trim_ascii)
    }

    fn take(&mut self, octets: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(octets);
        self.0 = rest.trim_ascii_start();
        taken
    }
}

/// Whether one is in a comment or a quoted string.
#[derive(Debug, Default, PartialEq)]
struct Scan {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Scan {
    /// Goes on by one character; whether the next one is still inside.
    fn is_inside(&mut self, c: char) -> bool {
        match c {
            _ if self.escaped => self.escaped = false,
            '\\' => self.escaped = self.quoted || self.depth > 0,
            '"' if self.depth == 0 => self.quoted = !self.quoted,
            '(' if !self.quoted => self.depth += 1,
            ')' if !self.quoted => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.quoted || self.depth > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn remote(value: &str) -> Remote<'_> {
        match Hop::read(value) {
            Some(Hop::Remote(remote)) => remote,
            other => panic!("{value}: {other:?}"),
        }
    }

    fn client(value: &str) -> (String, &str, Option<&str>, bool) {
        let remote = remote(value);
        (remote.address.to_string(), remote.helo, remote.name, remote.forged)
    }

    fn end(value: &str) -> (&str, Option<&str>, Option<&str>, Option<&str>) {
        let remote = remote(value);
        (remote.by, remote.protocol, remote.id, remote.date)
    }

    #[test]
    fn the_client_is_read_as_each_mail_server_writes_it() {
        for (from, expected) in [
            (
                "pc.local (dyn.isp.example [203.0.113.9])",
                ("203.0.113.9", "pc.local", Some("dyn.isp.example"), false),
            ),
            ("pc.local (unknown [IPv6:2001:db8::25])", ("2001:db8::25", "pc.local", Some("unknown"), false)),
            (
                "[198.51.100.77] (unknown [203.0.113.9])",
                ("203.0.113.9", "[198.51.100.77]", Some("unknown"), false),
            ),
            ("pc.local ([203.0.113.9])", ("203.0.113.9", "pc.local", None, false)),
            (
                "pc.local (dyn.isp.example [203.0.113.9] (may be forged))",
                ("203.0.113.9", "pc.local", Some("dyn.isp.example"), true),
            ),
            (
                "pc.local (IDENT:joe@dyn.isp.example [203.0.113.9])",
                ("203.0.113.9", "pc.local", Some("dyn.isp.example"), false),
            ),
            (
                "dyn.isp.example ([203.0.113.9]:25025 helo=pc.local)",
                ("203.0.113.9", "pc.local", Some("dyn.isp.example"), false),
            ),
            (
                "[203.0.113.9] (port=25025 helo=[198.51.100.77])",
                ("203.0.113.9", "[198.51.100.77]", None, false),
            ),
            ("[203.0.113.9] (helo=pc.local)", ("203.0.113.9", "pc.local", None, false)),
            ("[203.0.113.9]", ("203.0.113.9", "[203.0.113.9]", None, false)),
            ("mx.dest.example (10.1.2.3)", ("10.1.2.3", "mx.dest.example", None, false)),
        ] {
            let value = format!(" from {from}\r\n\tby mx.dest.example with ESMTP; x");
            assert_eq!(client(&value), (expected.0.to_owned(), expected.1, expected.2, expected.3), "{from}");
        }
    }

    #[test]
    fn the_rest_is_read_by_its_place() {
        let by = "mx.dest.example";
        for (rest, expected) in [
            (
                "(using TLSv1.3 with cipher X (256/256 bits)\r\n\t key-exchange X25519)\r\n\t(Client CN \"by x with LMTP id 1; (2)\", Issuer \"y\" (not verified))\r\n\tby mx.dest.example (Postfix) with ESMTPS id 4Rq\r\n\tfor <\"a+ with LMTP id 9; (1 Jan\"@dest.example>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)",
                (by, Some("ESMTPS"), Some("4Rq"), Some("Tue, 14 Nov 2023 22:13:20 +0000 (UTC)")),
            ),
            (
                "by mx.dest.example (8.17.1/8.17.1) with ESMTPS id 3AE\r\n\t(version=TLSv1.3 cipher=X bits=256 verify=NO)\r\n\tfor <a@dest.example>; Tue, 14 Nov 2023 22:13:20 GMT",
                (by, Some("ESMTPS"), Some("3AE"), Some("Tue, 14 Nov 2023 22:13:20 GMT")),
            ),
            (
                "by mx.dest.example with esmtps (TLS1.3) tls X\r\n\t(Exim 4.96)\r\n\t(envelope-from <a@src.example>)\r\n\tid 1r2-3; Tue",
                (by, Some("esmtps"), None, Some("Tue")),
            ),
            (
                "by mx.dest.example with esmtps  (TLS1.2:X:256)\r\n\t(Exim 4.92)\r\n\t(envelope-from <a@src.example>)\r\n\tid 1r2-3; Tue",
                (by, Some("esmtps"), Some("1r2-3"), Some("Tue")),
            ),
            ("by mx.dest.example; Tue", (by, None, None, Some("Tue"))),
            ("by mx.dest.example", (by, None, None, None)),
        ] {
            assert_eq!(end(&format!("from a (b [192.0.2.1])\r\n\t{rest}")), expected, "{rest}");
        }
    }

    #[test]
    fn a_senders_words_in_a_comment_are_not_taken_for_the_servers() {
        let exim = |sender: &str| {
            format!(
                "from a ([192.0.2.1]) by mx.dest.example with esmtp (Exim 4.92) (envelope-from <{sender}>) id 1r2; Tue"
            )
        };
        assert_eq!(
            end(&exim("\"x) id 9; Wed, 1 Jan (\"@src.example")),
            ("mx.dest.example", Some("esmtp"), None, Some("Tue"))
        );
        assert_eq!(end(&exim("\"x); Wed, 1 Jan ((\"@src.example")).3, None);
    }

    #[test]
    fn what_has_no_client_is_local() {
        for value in [
            "by mx.dest.example (Postfix, from userid 0)\r\n\tid 4Rp; Tue",
            "(from root@localhost)\r\n\tby mx.dest.example (8.17.1/8.17.1/Submit) id 3AE; Tue",
            "from mx.dest.example\r\n\tby store.dest.example with LMTP\r\n\tid x\r\n\t(envelope-from <a@src.example>)\r\n\tfor <b@dest.example>; Tue",
            "from mx.dest.example ([192.0.2.1])\r\n\tby store.dest.example with LMTPS id x; Tue",
            "from mx.dest.example ([unix socket]) by store.dest.example (Cyrus v3) with LMTPA; Tue",
            "from mx.dest.example (LHLO store) (10.1.2.3) by store.dest.example with LMTP; Tue",
            "from root by mx.dest.example with local (Exim 4.96) (envelope-from <root@dest.example>) id 1r2; Tue",
            "from localhost by mx.dest.example with SpamAssassin (version 4.0.0); Tue",
        ] {
            assert_eq!(Hop::read(value), Some(Hop::Local), "{value}");
        }
    }

    #[test]
    fn what_is_not_understood_is_nothing() {
        for value in [
            "",
            "from",
            "from x (unknown [203.0.113.5])",
            "from x (unknown [203.0.113.5]) via TCP",
            "from x (unknown [203.0.113.5] by mx.dest.example with LMTP; Tue",
            "from x by mx.dest.example with ESMTP; Tue",
            "from x y (unknown [203.0.113.5]) by mx.dest.example with ESMTP; Tue",
            "from x (HELO y) (203.0.113.5) by mx.dest.example with SMTP; Tue",
            "from x (unknown [203.0.113.500]) by mx.dest.example with ESMTP; Tue",
            "with LMTP; Tue",
        ] {
            assert_eq!(Hop::read(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_helo_no_recipient_and_no_certificate_changes_what_postfix_wrote(
            // As Postfix neuters it, and as it quotes.
            helo in "[a-z,/=:.\\[\\]+'\u{e9}-]{1,20}|[a-z]{0,3}[,/=](by|via|id|with|for|from)",
            recipient in "[a-z ;()<>,@:]{0,20}( with LMTP |; 1 Jan 2020 00:00:00 | id 7 )?[a-z(;]{0,3}",
            certificate in "[a-z ;\",/=]{0,20}( by | with LMTP )?",
        ) {
            let value = format!("from {helo} (unknown [203.0.113.5])\r\n\t(Client CN \"{certificate}\", Issuer \"x\")\r\n\tby mx.dest.example (Postfix) with ESMTPS id 4Rq\r\n\tfor <\"{recipient}\"@dest.example>; Tue");
            let remote = remote(&value);
            prop_assert_eq!((remote.address, remote.helo), (IpAddr::from([203, 0, 113, 5]), helo.as_str()));
            prop_assert_eq!((remote.protocol, remote.id, remote.date), (Some("ESMTPS"), Some("4Rq"), Some("Tue")));
        }

        #[test]
        fn any_text_is_read(value in "\\PC{0,200}", shaped in "[a-c;=./()\"\\\\ \\[\\]@\n\u{e9}]{0,100}") {
            let _ = Hop::read(&value);
            let _ = Hop::read(&format!("from {shaped}"));
            let _ = Hop::read(&format!("from a (b [192.0.2.1]) by c {shaped}"));
        }
    }
}
