//! Postfix's lines: smtpd, cleanup, qmgr, and the agents that deliver.
//!
//! Known limit: smtpd logs HELO only with what it refuses, so most messages have none here.

use super::event::{Event, Peer, Refused, bracketed, plain};
use policy_core::engine::Refusal;

/// What a line of one of Postfix's programs tells.
pub(super) fn read<'a>(program: &str, text: &'a str) -> Option<Event<'a>> {
    match program {
        "smtpd" => smtpd(text),
        "cleanup" => refused(text),
        "qmgr" | "nqmgr" | "oqmgr" => queue_manager(text),
        "smtp" | "lmtp" | "local" | "virtual" | "pipe" | "discard" | "error" | "relay" => delivery(text),
        _ => None,
    }
}

fn smtpd(text: &str) -> Option<Event<'_>> {
    if let Some(client) = text.strip_prefix("connect from ") {
        return peer(client).map(Event::Connected);
    }
    if text.starts_with("disconnect from ") {
        return Some(Event::Disconnected);
    }
    if let Some(warning) = text.strip_prefix("warning: hostname ") {
        let (name, rest) = warning.split_once(" does not resolve to address ")?;
        let address = rest.split([' ', ';']).next()?;
        return Some(Event::Unconfirmed { address: address.trim_end_matches(':'), name });
    }
    if text.contains(" TLS connection established from ") {
        return Some(Event::Encrypted);
    }
    accepted(text).or_else(|| refused(text))
}

/// `QUEUE: client=NAME[ADDRESS], sasl_method=..., sasl_username=...`
fn accepted(text: &str) -> Option<Event<'_>> {
    let (queue, rest) = queue(text)?;
    let rest = rest.strip_prefix("client=")?;
    let authenticated = rest.contains(", sasl_username=");
    Some(Event::Accepted { queue, client: peer(rest)?, authenticated })
}

/// `NOQUEUE: reject: RCPT from NAME[ADDRESS]: 550 5.1.1 <TO>: ...; from=<> to=<> proto=ESMTP helo=<>`; after a
/// first recipient it begins with the queue's id, and a milter's refusal says `milter-reject`.
fn refused(text: &str) -> Option<Event<'_>> {
    let (_, rest) = text.split_once(": ")?;
    let (what, rest) = rest.split_once(": ").filter(|(what, _)| what.ends_with("reject"))?;
    let (command, rest) = rest.split_once(" from ")?;
    let (client, reply) = rest.split_once(": ")?;
    // The reply quotes what the client said, so its end is looked for from behind.
    let end = reply.rfind("; from=<").or_else(|| reply.rfind("; proto="));
    let envelope = end.map_or("", |end| &reply[end..]);
    Some(Event::Refused(Refused {
        client: peer(client)?,
        helo: bracketed(envelope, " helo="),
        sender: bracketed(envelope, " from="),
        recipient: bracketed(envelope, " to="),
        unknown: what == "reject" && command == "RCPT" && is_unknown(reply),
    }))
}

/// Whether a reply to RCPT, `550 5.1.1 <TO>: ...`, is about the recipient.
fn is_unknown(reply: &str) -> bool {
    reply.split(' ').nth(1).and_then(Refusal::of_code) == Some(Refusal::UnknownRecipient)
}

/// `QUEUE: from=<SENDER>, size=1234, nrcpt=1 (queue active)`, again with each delivery that was put off.
fn queue_manager(text: &str) -> Option<Event<'_>> {
    let (queue, rest) = queue(text)?;
    if rest == "removed" {
        return Some(Event::Removed { queue });
    }
    // The sender is whatever the client wrote, perhaps with brackets of his own; behind it there are none.
    let (sender, behind) = rest.strip_prefix("from=<")?.rsplit_once('>')?;
    let recipients = plain(behind, "nrcpt=")?.parse().ok()?;
    let size = plain(behind, "size=").and_then(|size| size.parse().ok());
    Some(Event::Queued { queue, sender, size, recipients, client: None })
}

/// `QUEUE: to=<RECIPIENT>, orig_to=<AS GIVEN>, relay=...`
fn delivery(text: &str) -> Option<Event<'_>> {
    let (queue, rest) = queue(text)?;
    let recipient = bracketed(rest, "to=").filter(|_| rest.starts_with("to=<"))?;
    let behind = rest.get("to=<>".len() + recipient.len()..)?;
    let given = behind.strip_prefix(", ").filter(|rest| rest.starts_with("orig_to=<"));
    Some(Event::Recipient {
        queue,
        recipient: given.and_then(|rest| bracketed(rest, "orig_to=")).unwrap_or(recipient),
    })
}

/// The queue's id at a line's beginning, and what follows.
fn queue(text: &str) -> Option<(&str, &str)> {
    let is_id = |id: &str| id.len() >= 5 && id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    text.split_once(": ").filter(|(id, _)| is_id(id) && *id != "NOQUEUE" && *id != "warning")
}

/// `NAME[ADDRESS]`, perhaps with `:PORT` behind.
fn peer(text: &str) -> Option<Peer> {
    let (name, rest) = text.split_once('[')?;
    let (address, _) = rest.split_once(']')?;
    Peer::new(address, name, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer_of(name: &str) -> Peer {
        peer(name).unwrap()
    }

    #[test]
    fn smtpd_tells_of_clients_and_messages() {
        let read = |text| read("smtpd", text);
        let client = peer_of("mail.src.example[192.0.2.7]");
        assert_eq!(read("connect from mail.src.example[192.0.2.7]"), Some(Event::Connected(client.clone())));
        assert_eq!(peer_of("unknown[2001:db8::1]:4711").name, None);
        assert_eq!(read("connect from unknown[unknown]"), None);
        let accepted =
            |authenticated| Event::Accepted { queue: "4ABC12", client: client.clone(), authenticated };
        assert_eq!(read("4ABC12: client=mail.src.example[192.0.2.7]"), Some(accepted(false)));
        let login = "4ABC12: client=mail.src.example[192.0.2.7], sasl_method=PLAIN, sasl_username=joe";
        assert_eq!(read(login), Some(accepted(true)));
        assert_eq!(
            read(
                "warning: hostname a.example does not resolve to address 192.0.2.7: Name or service not known"
            ),
            Some(Event::Unconfirmed { address: "192.0.2.7", name: "a.example" })
        );
        assert_eq!(read("warning: 192.0.2.7: hostname a.example verification failed"), None);
    }

    #[test]
    fn a_refusal_names_the_envelope() {
        let text = "NOQUEUE: reject: RCPT from a.example[192.0.2.7]: 550 5.1.1 <x; y@dest.example>: Recipient \
                    address rejected: User unknown; from=<s@src.example> to=<x; y@dest.example> proto=ESMTP \
                    helo=<a.example>";
        let Some(Event::Refused(refused)) = read("smtpd", text) else { panic!() };
        assert!(refused.unknown);
        assert_eq!((refused.helo, refused.recipient), (Some("a.example"), Some("x; y@dest.example")));
        let later = "4ABC12: reject: RCPT from a.example[192.0.2.7]: 450 4.2.0 <z@dest.example>: Recipient \
                     address rejected: Greylisted; from=<s@src.example> to=<z@dest.example> proto=SMTP helo=<h>";
        let Some(Event::Refused(refused)) = read("smtpd", later) else { panic!() };
        assert_eq!((refused.unknown, refused.sender), (false, Some("s@src.example")));
        assert_eq!(refused.recipient, Some("z@dest.example"));
    }

    #[test]
    fn only_a_recipient_can_be_unknown() {
        let unknown = |command: &str, code: &str| {
            let text = format!(
                "NOQUEUE: reject: {command} from a.example[192.0.2.7]: {code} <x@src.example>: rejected; \
                 from=<x@src.example> to=<b@dest.example> proto=ESMTP helo=<h>"
            );
            matches!(read("smtpd", &text), Some(Event::Refused(Refused { unknown: true, .. })))
        };
        assert!(unknown("RCPT", "550 5.1.1") && unknown("RCPT", "556 5.1.10"));
        for of_the_sender in ["550 5.1.0", "550 5.1.7", "550 5.1.8"] {
            assert!(!unknown("RCPT", of_the_sender), "{of_the_sender}");
        }
        for command in ["MAIL", "DATA", "EHLO", "END-OF-MESSAGE"] {
            assert!(!unknown(command, "550 5.1.1"), "{command}");
        }
        assert!(!unknown("RCPT", "554 5.7.1") && !unknown("RCPT", "450 4.1.1") && !unknown("RCPT", "550"));
    }

    #[test]
    fn the_queue_tells_of_sender_size_and_recipients() {
        let text = "4ABC12: from=<a,b@src.example>, size=1234, nrcpt=2 (queue active)";
        let queued = Event::Queued {
            queue: "4ABC12",
            sender: "a,b@src.example",
            size: Some(1234),
            recipients: 2,
            client: None,
        };
        assert_eq!(read("qmgr", text), Some(queued));
        let odd = "4ABC12: from=<\"a>, size=9, nrcpt=900\"@src.example>, size=1234, nrcpt=2 (queue active)";
        let Some(Event::Queued { sender, size, recipients, .. }) = read("qmgr", odd) else { panic!() };
        assert_eq!((size, recipients), (Some(1234), 2));
        assert_eq!(sender, "\"a>, size=9, nrcpt=900\"@src.example");
        assert_eq!(read("qmgr", "4ABC12: removed"), Some(Event::Removed { queue: "4ABC12" }));
        let recipient = |recipient| Some(Event::Recipient { queue: "4ABC12", recipient });
        assert_eq!(
            read("virtual", "4ABC12: to=<b@dest.example>, relay=virtual, delay=1"),
            recipient("b@dest.example")
        );
        let alias = "4ABC12: to=<b@dest.example>, orig_to=<all@dest.example>, relay=local";
        assert_eq!(read("local", alias), recipient("all@dest.example"));
    }
}
