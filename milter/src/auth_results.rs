//! Authentication-Results (RFC 8601): what an upstream check of ours found out about a message.
//!
//! Anybody can write such a field into a message, so three things must come together before one counts. Its
//! authserv-id is one that the operator has named; naming it states that fields with this id are removed from
//! arriving mail, which section 5 asks of every server and which OpenDKIM, OpenDMARC and rspamd do. It stands
//! at the top, above everything the message came with, where those programs insert it (the caller sees to
//! that). And an SPF result must be about this session: its domain is the envelope sender's or HELO's.
//! What such a program repeats of the sender's words may change what its field means ([`crate::plain`]).
//!
//! Who removes a field has to read it first, and leaves what he cannot read: OpenDKIM and OpenDMARC compare the id as it
//! is written, know four kinds of properties, in lower case, and stumble over a value that ends in an equals sign, or over
//! a comment in the middle of a property. So less is read here than section 2.2 allows, and nothing that they might
//! have left:
//!
//! ```text
//! field    = authserv-id ";" result *(";" result)
//! result   = method "=" keyword [reason="text"] *property      with blanks and comments between these, not within
//! property = ("smtp" / "header" / "body" / "policy") "." keyword "=" (value / DQUOTE value DQUOTE)
//! ```
//!
//! A field of a trusted id that is written in any other way is no proof of anything, which costs no more than to verify
//! the message here. From one that counts only `pass` is taken: `dkim` with `header.d` or `header.i`, `spf` with
//! `smtp.mailfrom` or `smtp.helo`.

use policy_core::facts::{VerifiedBy, VerifiedDomain};
use policy_core::name::DomainName;

/// Most results in a field, and most properties of one result: as many as OpenDKIM has room for.
const MAX_ITEMS: usize = 16;
/// Longest field, in octets, and most places where a token of it may end. OpenDKIM gives up beyond 4,096 octets, with
/// one for each token's end, and beyond 512 tokens; there are at most two to such a place.
const MAX_OCTETS: usize = 3_000;
const MAX_ENDS: usize = 250;

/// What a field is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// By somebody we know nothing of.
    Foreign,
    /// Under a trusted id, or what reads like one, but not as an upstream check writes it.
    Doubtful,
    /// By an upstream check.
    Trusted(AuthenticationResults),
}

/// A field's results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthenticationResults(Vec<MethodResult>);

/// `method=result`, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MethodResult {
    method: String,
    result: String,
    properties: Vec<(String, String)>,
}

impl Field {
    /// Reads a field's value.
    pub(crate) fn read(value: &str, trusted: &[DomainName]) -> Self {
        let (id, results) = value.split_once(';').unwrap_or((value, ""));
        let id = id.trim_ascii();
        if trusted.iter().any(|trusted| trusted.as_str().eq_ignore_ascii_case(id)) {
            return AuthenticationResults::parse(value, results).map_or(Self::Doubtful, Self::Trusted);
        }
        let alike = id.split_whitespace().next().and_then(|word| DomainName::new(word.trim_matches('"')));
        if alike.is_some_and(|id| trusted.contains(&id)) { Self::Doubtful } else { Self::Foreign }
    }
}

impl AuthenticationResults {
    fn parse(value: &str, results: &str) -> Option<Self> {
        let ends = value.bytes().filter(|&b| b.is_ascii_whitespace() || b";=.(".contains(&b)).count();
        let is_text = |b: u8| b.is_ascii_graphic() || b.is_ascii_whitespace();
        if value.len() > MAX_OCTETS || ends > MAX_ENDS || !value.bytes().all(is_text) {
            return None;
        }
        if results.trim_ascii() == "none" {
            return Some(Self(Vec::new()));
        }
        let mut cursor = Cursor { rest: results };
        let mut found = Vec::new();
        while found.len() < MAX_ITEMS {
            found.push(cursor.method_result()?);
            if cursor.rest.is_empty() {
                return Some(Self(found));
            }
            cursor.eat(';').then_some(())?;
        }
        None
    }

    /// The domains that passed. `session` are the names that SPF may have been checked for.
    pub(crate) fn verified(&self, session: &[DomainName]) -> Vec<VerifiedDomain> {
        let passed = self.0.iter().filter(|result| result.result == "pass");
        passed.filter_map(|result| result.verified(session)).collect()
    }
}

impl MethodResult {
    fn verified(&self, session: &[DomainName]) -> Option<VerifiedDomain> {
        let (by, domain) = match self.method.as_str() {
            "dkim" => (VerifiedBy::Dkim, self.domain("header.d").or_else(|| self.domain("header.i"))?),
            "spf" => {
                let domain = self.domain("smtp.mailfrom").or_else(|| self.domain("smtp.helo"))?;
                (VerifiedBy::Spf, session.contains(&domain).then_some(domain)?)
            }
            _ => return None,
        };
        Some(VerifiedDomain { domain, by })
    }

    /// The domain of a property, whose value is a domain or a mailbox.
    fn domain(&self, property: &str) -> Option<DomainName> {
        let (_, value) = self.properties.iter().find(|(name, _)| name == property)?;
        let domain = value.rsplit_once('@').map_or(value.as_str(), |(_, domain)| domain);
        DomainName::new(domain.trim_matches(['<', '>']))
    }
}

/// A place in the field's value.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// One result, with the blanks and comments around it.
    fn method_result(&mut self) -> Option<MethodResult> {
        self.skip_cfws();
        let method = self.keyword()?.to_ascii_lowercase();
        let result = self.eat('=').then(|| self.keyword())??.to_ascii_lowercase();
        self.separator()?;
        if let Some(rest) = self.rest.strip_prefix("reason=\"") {
            self.rest = rest;
            self.reason()?;
        }
        let mut properties = Vec::new();
        while !self.rest.is_empty() && !self.rest.starts_with(';') {
            properties.push(self.property().filter(|_| properties.len() < MAX_ITEMS)?);
        }
        Some(MethodResult { method, result, properties })
    }

    /// `ptype.property=value`.
    fn property(&mut self) -> Option<(String, String)> {
        let kind = self.keyword().filter(|kind| ["smtp", "header", "body", "policy"].contains(kind))?;
        let name = self.eat('.').then(|| self.keyword())??.to_ascii_lowercase();
        let value = self.eat('=').then(|| self.value())??;
        self.separator()?;
        Some((format!("{kind}.{name}"), value.to_owned()))
    }

    /// Letters, digits, `-` and `_`.
    fn keyword(&mut self) -> Option<&'a str> {
        self.up_to(|c| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
    }

    /// Words with a full stop or an equals sign between two of them, or one quoted word: OpenDKIM quotes what it tells of
    /// a signature where that is no word by itself.
    fn value(&mut self) -> Option<&'a str> {
        let is_end = |c: char| c.is_ascii_whitespace() || ";()\"\\".contains(c);
        if self.eat('"') {
            return self.up_to(is_end).filter(|_| self.eat('"'));
        }
        let value = self.up_to(is_end)?;
        value.split(['.', '=']).all(|word| !word.is_empty()).then_some(value)
    }

    /// The rest of a reason. A bracket at its beginning would make it a comment to some.
    fn reason(&mut self) -> Option<()> {
        let text = self.up_to(|c| matches!(c, '"' | '\\'))?;
        (text.starts_with(|c: char| c.is_ascii_alphanumeric()) && self.eat('"')).then_some(())?;
        self.separator()
    }

    /// What ends a word: a blank, with all blanks and comments that follow, a semicolon, or the end.
    fn separator(&mut self) -> Option<()> {
        let ends = self.rest.starts_with(|c: char| c.is_ascii_whitespace() || c == ';');
        (ends || self.rest.is_empty()).then(|| self.skip_cfws())
    }

    /// Blanks and comments (RFC 5322 section 3.2.2). A comment that is not simple is left where it is.
    fn skip_cfws(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            match self.after_comment() {
                Some(rest) => self.rest = rest,
                None => return,
            }
        }
    }

    /// What follows the comment that is next, if it has its end and no backslash.
    fn after_comment(&self) -> Option<&'a str> {
        let mut depth = 0usize;
        for (at, c) in self.rest.char_indices() {
            match c {
                '(' => depth += 1,
                ')' if depth == 1 => return self.rest.get(at + 1..),
                ')' => depth = depth.checked_sub(1)?,
                '\\' => return None,
                _ if depth == 0 => return None,
                _ => {}
            }
        }
        None
    }

    /// What comes before such a character, unless it is nothing.
    fn up_to(&mut self, is_end: impl Fn(char) -> bool) -> Option<&'a str> {
        let (word, rest) = self.rest.split_at(self.rest.find(is_end).unwrap_or(self.rest.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> Field {
        Field::read(value, &[DomainName::new("mx.dest.example").unwrap()])
    }

    fn verified(value: &str) -> Vec<String> {
        let session = ["src.example", "client.example"].map(|name| DomainName::new(name).unwrap());
        let Field::Trusted(results) = read(value) else { panic!("{value}: {:?}", read(value)) };
        let found = results.verified(&session);
        found.into_iter().map(|found| format!("{:?} {}", found.by, found.domain)).collect()
    }

    #[test]
    fn fields_of_common_programs_are_read() {
        let opendkim = " mx.dest.example;\n\tdkim=pass (2048-bit key; unprotected) header.d=Src.Example \
            header.i=@src.example header.a=rsa-sha256 header.s=s1 header.b=AbC/d+1e;\n\tdkim-atps=neutral";
        assert_eq!(verified(opendkim), ["Dkim src.example"]);
        let quoted = opendkim.replace("header.b=AbC/d+1e", "header.b=\"AbC/d+1=\"");
        assert_eq!(verified(&quoted), ["Dkim src.example"]);
        let failed = "mx.dest.example;\n\tdkim=fail reason=\"signature verification failed\" (1024-bit key) \
            header.d=src.example header.i=@src.example";
        assert_eq!(verified(failed), Vec::<String>::new());
        let opendmarc = "mx.dest.example; dmarc=pass (p=none dis=none) header.from=src.example";
        assert_eq!(verified(opendmarc), Vec::<String>::new());
        let rspamd = "mx.dest.example;\n\tdkim=pass header.d=src.example header.s=s1 header.b=xyz;\n\t\
            spf=pass (mx.dest.example: domain of \"a@src.example\" designates 192.0.2.7 as permitted sender) \
            smtp.mailfrom=a@src.example;\n\tdmarc=pass (policy=none) header.from=src.example";
        assert_eq!(verified(rspamd), ["Dkim src.example", "Spf src.example"]);
        assert_eq!(verified("mx.dest.example; spf=pass smtp.mailfrom=src.example"), ["Spf src.example"]);
        assert_eq!(verified("MX.dest.example; spf=pass smtp.helo=client.example"), ["Spf client.example"]);
        assert_eq!(verified("mx.dest.example; dkim=pass header.i=@list.example"), ["Dkim list.example"]);
        assert_eq!(verified("mx.dest.example; none"), Vec::<String>::new());
    }

    #[test]
    fn an_id_that_is_only_alike_is_doubtful() {
        for id in [
            "mx.dest.example.",
            "\"mx.dest.example\"",
            "mx.dest.example 1",
            "mx.dest.example (x)",
            "\u{ff4d}x.dest.example",
            "mx\u{3002}dest.example",
            "mx.dest.example\u{a0}x",
        ] {
            assert_eq!(read(&format!("{id}; dkim=pass header.d=src.example")), Field::Doubtful, "{id}");
        }
        for id in ["mx.else.example", "(mx.dest.example)", "mx.dest.example/job", ""] {
            assert_eq!(read(&format!("{id}; dkim=pass header.d=src.example")), Field::Foreign, "{id}");
        }
    }

    #[test]
    fn only_pass_and_only_this_session_count() {
        for value in [
            "mx.dest.example; dkim=fail header.d=src.example",
            "mx.dest.example; dkim=pass",
            "mx.dest.example; dkim=pass header.from=src.example",
            "mx.dest.example; spf=softfail smtp.mailfrom=a@src.example",
            "mx.dest.example; spf=pass smtp.mailfrom=a@other.example",
            "mx.dest.example; dmarc=pass header.from=src.example",
        ] {
            assert_eq!(verified(value), Vec::<String>::new(), "{value}");
        }
    }

    /// Whether OpenDKIM's parser gives up on each of these was read in its source.
    #[test]
    fn what_those_who_remove_fields_might_not_read_is_doubtful() {
        let good = "dkim=pass header.d=src.example";
        assert_eq!(verified(&format!("mx.dest.example; {good}")), ["Dkim src.example"]);
        for odd in [
            "???",
            "dkim",
            "dkim=",
            "=pass",
            "",
            "none",
            "dkim=pass header.d",
            "dkim=pass header.d=",
            "dkim=pass x.y=z",
            "dkim=pass HEADER.x=y",
            "dkim=pass header(c).x=y",
            "dkim=pass header . x = y",
            "dkim / 1 = pass",
            "dkim=pass header.b=ab=",
            "dkim=pass header.b==ab",
            "dkim=pass header.b=a..b",
            "dkim=pass header.b=\"a b\"",
            "dkim=pass header.b=\"a\"b",
            "dkim=pass header.b=\"\"",
            "dkim=pass header.b=\"a",
            "dkim=pass reason=\"(x\" header.x=y",
            "dkim=pass reason=\"x\" reason=\"x\"",
            "dkim=pass header.x=y reason=\"x\"",
            "dkim=pass (",
            "dkim=pass (\\)",
            "dkim=pass ) header.x=y",
            "dkim=pass header.x=\u{e9}",
            "dkim=pass header.x=\u{1}",
        ] {
            for results in [format!("{odd}; {good}"), format!("{good}; {odd}")] {
                assert_eq!(read(&format!("mx.dest.example; {results}")), Field::Doubtful, "{results}");
            }
        }
    }

    #[test]
    fn fields_are_bounded() {
        let field = |one: &str, times| read(&format!("mx.dest.example; dkim=pass{}", one.repeat(times)));
        for (one, most) in [("; a=b", MAX_ITEMS - 1), (" body.a=c", MAX_ITEMS)] {
            assert!(matches!(field(one, most), Field::Trusted(_)), "{one}");
            assert_eq!(field(one, most + 1), Field::Doubtful, "{one}");
        }
        assert_eq!(field(&format!(" ({})", "x".repeat(MAX_OCTETS)), 1), Field::Doubtful);
        assert_eq!(field(" (x)", MAX_ENDS), Field::Doubtful);
    }

    proptest! {
        #[test]
        fn any_text_is_read(value in "\\PC{0,200}", shaped in "[a-c;=./()\"\\\\ @\n\u{e9}]{0,200}") {
            read(&value);
            read(&format!("mx.dest.example;{value}"));
            read(&format!("mx.dest.example; spf=pass {shaped}"));
        }

        #[test]
        fn a_passed_signature_is_found_among_others(
            domain in "[a-z]{1,10}\\.example", before in "[a-z]{1,8}=[a-z]{1,8}", comment in "[a-z ;=]{0,20}"
        ) {
            let value = format!("mx.dest.example; {before}; dkim=pass ({comment}) header.d={domain}");
            let expected = format!("Dkim {domain}");
            prop_assert!(verified(&value).contains(&expected));
        }
    }
}
