//! Macros as facts about the client.
//!
//! The client is taken from `{client_addr}` and its neighbours at HELO and at MAIL, not from the connect
//! event. `{client_name}` counts only with `{client_resolve}` OK: Postfix writes a name there only when it is
//! forward-confirmed, but Sendmail also writes one that is not. A macro that is empty, too long or not UTF-8
//! is as good as absent.

use compact_str::CompactString;
use policy_core::engine::Refusal;
use policy_core::facts::Client;
use policy_core::name::DomainName;
use std::ffi::CStr;
use std::net::IpAddr;
use std::num::NonZeroU16;

/// Longest macro value looked at, in octets.
const MAX_VALUE: usize = 1024;
/// Longest HELO name and login name kept, in octets.
const MAX_NAME: usize = 255;
/// Longest queue id kept, in octets.
const MAX_QUEUE_ID: usize = 64;

/// Where macro values come from.
pub(crate) trait Macros {
    /// The value of the macro `name`, as the mail server sent it last.
    fn value(&self, name: &CStr) -> Option<&CStr>;

    /// The value as text, when there is any.
    fn text(&self, name: &CStr) -> Option<&str> {
        let text = self.value(name)?.to_str().ok()?.trim();
        (!text.is_empty() && text.len() <= MAX_VALUE).then_some(text)
    }
}

impl Macros for indymilter::Macros {
    fn value(&self, name: &CStr) -> Option<&CStr> {
        self.get(name)
    }
}

/// The client, and what else the mail server tells of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) port: Option<NonZeroU16>,
    /// It has no name because the DNS did not answer the mail server.
    pub(crate) name_failed: bool,
}

/// The client as the macros show it; `None` when they name no address: local submission, or a mail server
/// that does not send the macros asked for.
pub(crate) fn peer(macros: &impl Macros) -> Option<Peer> {
    let mut client = Client::new(address(macros.text(c"{client_addr}")?)?);
    let resolve = macros.text(c"{client_resolve}");
    if resolve == Some("OK") {
        client.name = macros.text(c"{client_name}").and_then(host_name);
    }
    client.reverse_name = macros.text(c"{client_ptr}").and_then(host_name);
    client.tls = Some(macros.text(c"{tls_version}").is_some());
    let port = macros.text(c"{client_port}").and_then(|port| port.parse().ok());
    let name_failed = resolve == Some("TEMP") && client.reverse_name.is_none();
    Some(Peer { client, port, name_failed })
}

/// The SASL login name, when the client has authenticated.
pub(crate) fn login(macros: &impl Macros) -> Option<CompactString> {
    macros.text(c"{auth_type}")?;
    macros.text(c"{auth_authen}").map(|name| printable(name, MAX_NAME))
}

/// The mail server's queue id, when there is one already.
pub(crate) fn queue_id(macros: &impl Macros) -> Option<CompactString> {
    macros.text(c"i").map(|id| printable(id, MAX_QUEUE_ID))
}

/// The name given with HELO or EHLO.
pub(crate) fn helo_name(name: &CStr) -> CompactString {
    printable(&String::from_utf8_lossy(name.to_bytes()), MAX_NAME)
}

/// Why the mail server refused the recipient at hand; `None` when it did not. Both mail servers put the
/// enhanced status code (RFC 3463) into `{rcpt_host}` and the text into `{rcpt_addr}`.
pub(crate) fn refusal(macros: &impl Macros) -> Option<Refusal> {
    if macros.text(c"{rcpt_mailer}") != Some("error") {
        return None;
    }
    let host = macros.text(c"{rcpt_host}").and_then(classify);
    let text = || macros.text(c"{rcpt_addr}").and_then(classify_text);
    Some(host.or_else(text).unwrap_or(Refusal::Permanent))
}

/// Reads a reply's text, `550 5.1.1 User unknown`; the enhanced code says more than the other.
fn classify_text(text: &str) -> Option<Refusal> {
    let mut words = text.split(' ');
    let code = words.next();
    words.next().and_then(classify).or_else(|| code.and_then(classify))
}

/// Reads a code, or one of the words that Sendmail's error mailer knows.
fn classify(word: &str) -> Option<Refusal> {
    match word {
        "nouser" | "nohost" => Some(Refusal::UnknownRecipient),
        "tempfail" => Some(Refusal::Temporary),
        code => Refusal::of_code(code),
    }
}

/// Both mail servers write an IPv6 address as `IPv6:2001:db8::7`.
fn address(text: &str) -> Option<IpAddr> {
    let tagged = text.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    text[if tagged { 5 } else { 0 }..].parse().ok()
}

/// A host name, unless the text only says that there is none: Postfix writes `unknown`, Sendmail `[address]`.
fn host_name(text: &str) -> Option<DomainName> {
    (text != "unknown" && !text.starts_with('[')).then(|| DomainName::new(text)).flatten()
}

/// At most `most` octets of `text`, with `?` for control characters.
fn printable(text: &str, most: usize) -> CompactString {
    let mut kept = CompactString::default();
    for c in text.chars() {
        if kept.len() + c.len_utf8() > most {
            break;
        }
        kept.push(if c.is_control() { '?' } else { c });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::ffi::CString;

    impl Macros for HashMap<CString, CString> {
        fn value(&self, name: &CStr) -> Option<&CStr> {
            self.get(name).map(CString::as_c_str)
        }
    }

    fn macros(pairs: &[(&str, &str)]) -> HashMap<CString, CString> {
        let c = |text: &str| CString::new(text).unwrap();
        pairs.iter().map(|(name, value)| (c(name), c(value))).collect()
    }

    #[test]
    fn postfix_names_the_client() {
        let peer = peer(&macros(&[
            ("{client_addr}", "192.0.2.7"),
            ("{client_port}", "4321"),
            ("{client_name}", "mail.Src.example"),
            ("{client_ptr}", "mail.src.example"),
            ("{client_resolve}", "OK"),
            ("{tls_version}", "TLSv1.3"),
        ]))
        .unwrap();
        assert_eq!(peer.client.address, "192.0.2.7".parse::<IpAddr>().unwrap());
        assert_eq!(peer.client.name.unwrap().as_str(), "mail.src.example");
        assert_eq!(peer.client.tls, Some(true));
        assert_eq!(peer.port, NonZeroU16::new(4321));
    }

    #[test]
    fn a_name_that_is_not_confirmed_is_only_a_reverse_name() {
        for resolve in ["FORGED", "FAIL", "TEMP", ""] {
            let peer = peer(&macros(&[
                ("{client_addr}", "192.0.2.7"),
                ("{client_name}", "mail.src.example"),
                ("{client_ptr}", "mail.src.example"),
                ("{client_resolve}", resolve),
            ]))
            .unwrap();
            assert_eq!(peer.client.name, None, "{resolve}");
            assert_eq!(peer.client.reverse_name, DomainName::new("mail.src.example"));
        }
    }

    #[test]
    fn only_a_dns_that_did_not_answer_excuses_the_lack_of_a_name() {
        let failed = |resolve, name| {
            let given =
                [("{client_addr}", "192.0.2.7"), ("{client_ptr}", name), ("{client_resolve}", resolve)];
            peer(&macros(&given)).unwrap().name_failed
        };
        assert!(failed("TEMP", "unknown") && failed("TEMP", "[192.0.2.7]") && failed("TEMP", ""));
        assert!(!failed("TEMP", "mail.src.example"), "only its address did not answer");
        assert!(!failed("FAIL", "unknown") && !failed("OK", "unknown") && !failed("", "unknown"));
    }

    #[test]
    fn no_name_is_no_name() {
        for none in ["unknown", "[192.0.2.7]", ""] {
            let peer = peer(&macros(&[
                ("{client_addr}", "192.0.2.7"),
                ("{client_name}", none),
                ("{client_ptr}", none),
                ("{client_resolve}", "OK"),
                ("{client_port}", "0"),
            ]))
            .unwrap();
            assert_eq!((peer.client.name, peer.client.reverse_name, peer.port), (None, None, None));
        }
    }

    #[test]
    fn addresses_of_both_families() {
        let read =
            |text| peer(&macros(&[("{client_addr}", text)])).map(|peer| peer.client.address.to_string());
        assert_eq!(read("IPv6:2001:db8::7").as_deref(), Some("2001:db8::7"));
        assert_eq!(read("ipv6:::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(read("2001:db8::7").as_deref(), Some("2001:db8::7"));
        assert_eq!(read("unknown"), None);
        assert_eq!(read("\u{e9}\u{e9}\u{e9}"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_login_needs_a_mechanism() {
        assert_eq!(
            login(&macros(&[("{auth_type}", "PLAIN"), ("{auth_authen}", "ann")])).as_deref(),
            Some("ann")
        );
        assert_eq!(login(&macros(&[("{auth_authen}", "ann")])), None);
        assert_eq!(login(&macros(&[("{auth_type}", "PLAIN"), ("{auth_authen}", "")])), None);
    }

    #[test]
    fn refusals_are_told_apart() {
        let read = |host, text| {
            refusal(&macros(&[("{rcpt_mailer}", "error"), ("{rcpt_host}", host), ("{rcpt_addr}", text)]))
        };
        assert_eq!(read("5.1.1", "User unknown"), Some(Refusal::UnknownRecipient));
        for of_the_sender in ["5.1.0", "5.1.7", "5.1.8"] {
            assert_eq!(read(of_the_sender, "Sender address rejected"), Some(Refusal::Permanent));
        }
        assert_eq!(read("5.1.10", "Domain service does not accept mail"), Some(Refusal::UnknownRecipient));
        assert_eq!(read("5.7.1", "Relay access denied"), Some(Refusal::Permanent));
        assert_eq!(read("4.7.0", "Try again later"), Some(Refusal::Temporary));
        assert_eq!(read("nouser", "550 5.1.1 User unknown"), Some(Refusal::UnknownRecipient));
        assert_eq!(read("", "550 5.1.1 User unknown"), Some(Refusal::UnknownRecipient));
        assert_eq!(read("", "451 later"), Some(Refusal::Temporary));
        assert_eq!(read("", "451 4.7.1 more than 500 messages"), Some(Refusal::Temporary));
        assert_eq!(read("mail.dest.example", "no"), Some(Refusal::Permanent));
        assert_eq!(refusal(&macros(&[("{rcpt_mailer}", "smtp"), ("{rcpt_host}", "5.1.1")])), None);
        assert_eq!(refusal(&macros(&[])), None);
    }

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(helo_name(c"client.example"), "client.example");
        assert_eq!(helo_name(c"a\x01b\xffc"), "a?b\u{fffd}c");
        assert_eq!(helo_name(&CString::new("\u{e9}".repeat(300)).unwrap()).len(), 254);
    }

    proptest! {
        #[test]
        fn any_macros_are_read(value in "[^\0]{0,80}", raw in prop::collection::vec(1u8.., 0..300)) {
            for value in [CString::new(value).unwrap(), CString::new(raw).unwrap()] {
                let names = ["{client_addr}", "{client_port}", "{client_name}", "{client_ptr}", "{client_resolve}",
                    "{auth_type}", "{auth_authen}", "{rcpt_host}", "{rcpt_addr}", "i"];
                let mut all: HashMap<_, _> = names.iter().map(|n| (CString::new(*n).unwrap(), value.clone())).collect();
                all.insert(c"{rcpt_mailer}".to_owned(), c"error".to_owned());
                let _ = (peer(&all), login(&all));
                prop_assert!(refusal(&all).is_some());
                prop_assert!(queue_id(&all).is_none_or(|id| id.len() <= MAX_QUEUE_ID));
                prop_assert!(helo_name(&value).len() <= MAX_NAME);
            }
        }
    }
}
