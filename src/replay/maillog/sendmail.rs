//! Sendmail's lines. One tells nearly all of a message: sender, size, recipients and relay.

use super::event::{Event, Peer, plain};

/// Whether a program is a Sendmail that takes mail in.
pub(super) fn is_sendmail(program: &str) -> bool {
    matches!(program, "sendmail" | "sm-mta")
}

/// What a line tells.
pub(super) fn read(text: &str) -> Option<Event<'_>> {
    if text.starts_with("AUTH=server, ") || text.contains(": AUTH=server, ") {
        return Some(Event::Authenticated);
    }
    let (queue, rest) = text.split_once(": ")?;
    if queue.contains(' ') {
        return None;
    }
    if rest.starts_with("from=") {
        return queued(queue, rest);
    }
    if let Some((recipient, _)) = rest.split_once("... User unknown") {
        return Some(Event::Unknown { queue, recipient: bare(recipient) });
    }
    let recipient = rest.strip_prefix("to=").and_then(|rest| rest.split(',').next())?;
    Some(Event::Recipient { queue, recipient: bare(recipient) })
}

/// `from=<SENDER>, size=1, class=0, nrcpts=1, msgid=<...>, proto=ESMTP, daemon=MTA, relay=NAME [ADDRESS]`
fn queued<'a>(queue: &'a str, text: &'a str) -> Option<Event<'a>> {
    let (sender, behind) = sender(text.strip_prefix("from=")?)?;
    Some(Event::Queued {
        queue,
        sender,
        size: plain(behind, ", size=").and_then(|size| size.parse().ok()),
        recipients: plain(behind, ", nrcpts=")?.parse().ok()?,
        client: behind.rsplit_once(", relay=").and_then(|(_, relay)| relay_of(relay)),
    })
}

/// The sender, and what stands behind him; `None` when he does not end.
fn sender(text: &str) -> Option<(&str, &str)> {
    let (text, close) = text.strip_prefix('<').map_or((text, b','), |text| (text, b'>'));
    Some(text.split_at(end_of(text, close)?))
}

/// Where `close` stands, outside of quotes and comments: inside of them a sender may write whatever he likes, brackets
/// and the fields that follow among it.
fn end_of(text: &str, close: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut comments) = (false, false, 0usize);
    for (at, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' if comments == 0 => quoted = !quoted,
            _ if quoted => {}
            b'(' => comments += 1,
            b')' => comments = comments.saturating_sub(1),
            _ if b == close && comments == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// `NAME [ADDRESS]`, `[ADDRESS]`, `USER@NAME [ADDRESS]`, `NAME [ADDRESS] (may be forged)`.
fn relay_of(text: &str) -> Option<Peer> {
    let (name, rest) = text.split_once('[')?;
    let (address, behind) = rest.split_once(']')?;
    let name = name.trim().rsplit('@').next().unwrap_or("");
    Peer::new(address, name, !behind.contains("may be forged"))
}

fn bare(address: &str) -> &str {
    address.trim_start_matches('<').trim_end_matches('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_tells_of_a_message() {
        let text = "2ALMdB: from=<a@src.example>, size=321, class=0, nrcpts=2, msgid=<1@src.example>, proto=ESMTP, \
                    daemon=MTA, relay=mail.src.example [192.0.2.7]";
        let Some(Event::Queued { sender, size, recipients, client: Some(client), .. }) = read(text) else {
            panic!()
        };
        assert_eq!((sender, size, recipients), ("a@src.example", Some(321), 2));
        assert!(client.confirmed && client.name.is_some());
        let relay = |text| relay_of(text).map(|peer| (peer.name.is_some(), peer.confirmed));
        assert_eq!(relay("[192.0.2.7]"), Some((false, true)));
        assert_eq!(relay("a.example [192.0.2.7] (may be forged)"), Some((true, false)));
        assert_eq!(relay("[IPv6:2001:db8::7]"), Some((false, true)));
        assert_eq!(relay("root@localhost"), None);
    }

    #[test]
    fn a_sender_cannot_write_the_fields_that_follow() {
        let behind = "size=321, class=0, nrcpts=1, msgid=<1@src.example>, relay=a.example [192.0.2.7]";
        for sender in [
            r#"<"a, nrcpts=900, size=1"@src.example>"#,
            r#"<"a>, nrcpts=900, size=1"@src.example>"#,
            r#"<"a\">, nrcpts=900, size=1"@src.example>"#,
            r#"<a\>, nrcpts=900@src.example>"#,
            r#"<a(b>, nrcpts=900, size=1)@src.example>"#,
            r#""a, nrcpts=900, size=1"@src.example"#,
            "<>",
            "root",
        ] {
            let text = format!("2ALMdB: from={sender}, {behind}");
            let Some(Event::Queued { sender: read, size, recipients, .. }) = read(&text) else {
                panic!("{sender}")
            };
            let bare = sender.strip_prefix('<').and_then(|sender| sender.strip_suffix('>'));
            assert_eq!((read, size, recipients), (bare.unwrap_or(sender), Some(321), 1));
        }
        assert_eq!(read(&format!("2ALMdB: from=<\"a, {behind}")), None);
    }

    #[test]
    fn recipients_and_logins_are_told() {
        let to = "2ALMdB: to=<b@dest.example>, delay=00:00:01, stat=Sent";
        assert_eq!(read(to), Some(Event::Recipient { queue: "2ALMdB", recipient: "b@dest.example" }));
        let unknown = "2ALMdB: <x@dest.example>... User unknown";
        assert_eq!(read(unknown), Some(Event::Unknown { queue: "2ALMdB", recipient: "x@dest.example" }));
        assert_eq!(read("AUTH=server, relay=a [192.0.2.7], authid=joe"), Some(Event::Authenticated));
    }
}
