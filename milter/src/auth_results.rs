//! Authentication-Results (RFC 8601): what an upstream check of ours found out about a message.
//!
//! Anybody can write such a field into a message, so three things must come together before one counts. Its
//! authserv-id is one that the operator has named; naming it states that fields with this id are removed from
//! arriving mail, which section 5 asks of every server and which OpenDKIM, OpenDMARC and rspamd do. It stands
//! at the top, above everything the message came with, where those programs insert it (the caller sees to
//! that). And an SPF result must be about this session: its domain is the envelope sender's or HELO's.
//! What such a program repeats of the sender's words may change what its field means ([`crate::plain`]).
//!
//! From a field that counts only `pass` is taken: `dkim` with `header.d` or `header.i`, `spf` with
//! `smtp.mailfrom` or `smtp.helo`. What cannot be parsed is passed over, result by result.

use policy_core::facts::{VerifiedBy, VerifiedDomain};
use policy_core::name::DomainName;

/// Most results read from one field, and most properties of one result.
const MAX_ITEMS: usize = 32;

/// One field, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthenticationResults {
    /// Who checked.
    pub(crate) authserv_id: Option<DomainName>,
    results: Vec<MethodResult>,
}

/// `method=result`, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MethodResult {
    method: String,
    result: String,
    properties: Vec<(String, String)>,
}

impl AuthenticationResults {
    /// Parses the field's value (section 2.2).
    pub(crate) fn parse(value: &str) -> Self {
        let mut cursor = Cursor { rest: value };
        let authserv_id = cursor.value().and_then(|id| DomainName::new(&id));
        let mut results = Vec::new();
        while results.len() < MAX_ITEMS && cursor.skip_to_next_result() {
            results.extend(cursor.method_result());
        }
        Self { authserv_id, results }
    }

    /// The domains that passed. `session` are the names that SPF may have been checked for.
    pub(crate) fn verified(&self, session: &[DomainName]) -> Vec<VerifiedDomain> {
        let passed = self.results.iter().filter(|result| result.result == "pass");
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

impl Cursor<'_> {
    /// `method[/version]=result [reason=…] [ptype.property=value]…`
    fn method_result(&mut self) -> Option<MethodResult> {
        let method = self.keyword()?;
        if self.eat('/') {
            self.keyword()?;
        }
        let result = self.eat('=').then(|| self.keyword())??;
        let mut properties = Vec::new();
        while properties.len() < MAX_ITEMS
            && let Some(property) = self.property()
        {
            properties.extend(property);
        }
        Some(MethodResult { method, result, properties })
    }

    /// `ptype.property=value`; `Some(None)` for a reason, which is for people.
    fn property(&mut self) -> Option<Option<(String, String)>> {
        let mut name = self.keyword()?;
        let has_property = self.eat('.');
        if has_property {
            name = format!("{name}.{}", self.keyword()?);
        }
        let value = self.eat('=').then(|| self.value())??;
        Some(has_property.then_some((name, value)))
    }

    /// Letters, digits, `-` and `_`, in lower case.
    fn keyword(&mut self) -> Option<String> {
        self.skip_cfws();
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        let word = self.advance(end.unwrap_or(self.rest.len()));
        (!word.is_empty()).then(|| word.to_ascii_lowercase())
    }

    /// A token, a quoted string, or a mailbox whose local part is one.
    fn value(&mut self) -> Option<String> {
        self.skip_cfws();
        let mut value = String::new();
        loop {
            let end = self.rest.find(|c: char| c.is_whitespace() || ";(\"".contains(c));
            value.push_str(self.advance(end.unwrap_or(self.rest.len())));
            if !self.rest.starts_with('"') {
                break;
            }
            self.quoted(Some(&mut value));
        }
        (!value.is_empty()).then_some(value)
    }

    /// A quoted string (RFC 5322 section 3.2.4), up to its closing quote or the end.
    fn quoted(&mut self, mut into: Option<&mut String>) {
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            let c = match c {
                '"' => {
                    self.advance(at + 1);
                    return;
                }
                '\\' => chars.next().map_or(c, |(_, escaped)| escaped),
                c => c,
            };
            into.as_deref_mut().into_iter().for_each(|text| text.push(c));
        }
        self.rest = "";
    }

    /// Moves behind the next `;` that is neither quoted nor commented.
    fn skip_to_next_result(&mut self) -> bool {
        while !self.rest.is_empty() {
            let end = self.rest.find([';', '"', '(']).unwrap_or(self.rest.len());
            self.advance(end);
            match self.rest.chars().next() {
                Some('"') => self.quoted(None),
                Some('(') => self.comment(),
                next => {
                    self.advance(next.map_or(0, char::len_utf8));
                    return next.is_some();
                }
            }
        }
        false
    }

    /// Comments and folding white space (RFC 5322 section 3.2.2).
    fn skip_cfws(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('(') {
                return;
            }
            self.comment();
        }
    }

    /// A comment, which may hold others, up to its end or the field's.
    fn comment(&mut self) {
        let mut depth = 0usize;
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '(' => depth += 1,
                ')' if depth == 1 => {
                    self.advance(at + 1);
                    return;
                }
                ')' => depth -= 1,
                '\\' => drop(chars.next()),
                _ => {}
            }
        }
        self.rest = "";
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.skip_cfws();
        let found = self.rest.starts_with(wanted);
        if found {
            self.advance(wanted.len_utf8());
        }
        found
    }

    fn advance(&mut self, octets: usize) -> &str {
        let (passed, rest) = self.rest.split_at(octets);
        self.rest = rest;
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn verified(value: &str) -> Vec<String> {
        let session = ["src.example", "client.example"].map(|name| DomainName::new(name).unwrap());
        let found = AuthenticationResults::parse(value).verified(&session);
        found.into_iter().map(|found| format!("{:?} {}", found.by, found.domain)).collect()
    }

    #[test]
    fn fields_of_common_programs_are_read() {
        let opendkim = "mx.dest.example;\n\tdkim=pass (2048-bit key; unprotected) header.d=Src.Example \
            header.i=@src.example header.a=rsa-sha256 header.s=s1 header.b=AbC/d+1=;\n\tdkim-atps=neutral";
        assert_eq!(verified(opendkim), ["Dkim src.example"]);
        let rspamd = "mx.dest.example;\n\tdkim=pass header.d=src.example header.s=s1 header.b=xyz;\n\t\
            spf=pass (mx.dest.example: domain of \"a@src.example\" designates 192.0.2.7 as permitted sender) \
            smtp.mailfrom=a@src.example;\n\tdmarc=pass (policy=none) header.from=src.example";
        assert_eq!(verified(rspamd), ["Dkim src.example", "Spf src.example"]);
        assert_eq!(verified("mx.dest.example; spf=pass smtp.mailfrom=src.example"), ["Spf src.example"]);
        assert_eq!(verified("mx.dest.example; spf=pass smtp.helo=client.example"), ["Spf client.example"]);
        assert_eq!(verified("mx.dest.example; dkim=pass header.i=@list.example"), ["Dkim list.example"]);
    }

    #[test]
    fn the_grammar_of_rfc_8601_is_understood() {
        // Appendix B, with the comments and white space that section 2.2 allows.
        let value = "  (a (nested) \\) comment) mx.dest.example (x) 1 ; (c) SPF / 1 = (d) Pass (e) reason = \
            \"so; it (is)\" smtp . mailfrom = \"a b=\\\"c\"@src.example (f) ; dkim = fail header.d=bad.example";
        assert_eq!(verified(value), ["Spf src.example"]);
        let results = AuthenticationResults::parse(value);
        assert_eq!(results.authserv_id, DomainName::new("mx.dest.example"));
        assert_eq!(AuthenticationResults::parse("mx.dest.example; none").results, []);
        assert_eq!(AuthenticationResults::parse("").authserv_id, None);
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
            "mx.dest.example (; dkim=pass header.d=src.example",
            "mx.dest.example; x=\"; dkim=pass header.d=src.example",
            "mx.dest.example; dkim=pass header.d=\"a b\"",
        ] {
            assert_eq!(verified(value), Vec::<String>::new(), "{value}");
        }
    }

    #[test]
    fn one_bad_result_does_not_spoil_the_next() {
        let value =
            "mx.dest.example; ???; dkim; dkim=; =pass; dkim=pass header.d; dkim=pass header.d=src.example";
        assert_eq!(verified(value), ["Dkim src.example"]);
    }

    #[test]
    fn results_and_properties_are_bounded() {
        let many = format!("mx.dest.example{}", "; dkim=pass header.d=src.example".repeat(1000));
        assert_eq!(verified(&many).len(), MAX_ITEMS);
        let long = format!("mx.dest.example; dkim=pass{}", " a.b=c".repeat(1000));
        assert_eq!(AuthenticationResults::parse(&long).results[0].properties.len(), MAX_ITEMS);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed(value in "\\PC{0,200}", shaped in "[a-c;=./()\"\\\\ @\n\u{e9}]{0,200}") {
            verified(&value);
            verified(&shaped);
            verified(&format!("mx.dest.example; spf=pass {shaped}"));
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
