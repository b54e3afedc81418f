//! Where a message came from, by the Received field that this site's border server wrote (RFC 5321 section
//! 4.4), when there is no mark.
//!
//! Read from the top, where the last mail server wrote: lines of local delivery and of own networks are passed
//! over; the first whose client is an outside address was written by the border server, since nobody outside can
//! write above it. What stands below is the sender's and is never looked at.
//!
//! Postfix writes `from HELO (NAME [ADDRESS]) by HOST (Postfix) with ESMTPS id QUEUE-ID`, with `unknown` for a name
//! that does not lead back to the address; Sendmail writes the same, with `(may be forged)` after such a name.
//!
//! Known limits: a message from outside that was handed on by an own server whose network is not listed in
//! `own_networks` is taken for that server's. Nothing that was looked up is known any more, so only claims are
//! booked on, and the model is taught nothing.

use super::header::Header;
use mail_parser::{Host, Protocol, Received};
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage};
use policy_core::findings::Findings;
use policy_core::name::{DomainName, Sender};
use policy_core::networks::Networks;
use policy_core::networks::canonical;
use policy_core::time::Timestamp;
use std::net::IpAddr;

/// Lines that are passed over at the most.
const MAX_HOPS: usize = 20;

/// What the border server's line says.
#[derive(Debug, PartialEq)]
pub(super) struct Border {
    pub(super) client: Client,
    pub(super) sender: Option<Sender>,
    /// The server's own name.
    pub(super) by: String,
    pub(super) queue_id: Option<String>,
    /// When it came in, if that can be read.
    pub(super) at: Option<Timestamp>,
}

impl Border {
    /// The border server's line of a header.
    pub(super) fn of(header: &Header<'_>, own_networks: &Networks) -> Option<Self> {
        let outside = |(received, forged): &(Received<'_>, bool)| {
            let address = canonical(address(received)?);
            let own = address.is_loopback() || own_networks.contains(address);
            (!own).then(|| Self::read(received, *forged, address, header))
        };
        header.received.iter().take(MAX_HOPS).find_map(outside)
    }

    fn read(received: &Received<'_>, forged: bool, address: IpAddr, header: &Header<'_>) -> Self {
        let mut client = Client::new(address);
        let name = received.from_iprev.as_deref().filter(|name| !name.eq_ignore_ascii_case("unknown"));
        client.reverse_name = name.filter(|name| !name.starts_with('[')).and_then(DomainName::new);
        client.name = client.reverse_name.clone().filter(|_| !forged);
        let helo = received.helo.as_ref().or(received.from.as_ref()).map(host);
        client.helo = helo.map(Into::into);
        client.tls = received.with.map(is_encrypted);
        Self {
            client,
            sender: header.return_path.as_deref().and_then(Sender::new),
            by: received.by.as_ref().map(host).unwrap_or_default(),
            queue_id: received.id.as_deref().map(str::to_owned),
            at: received
                .date
                .as_ref()
                .and_then(|date| u64::try_from(date.to_timestamp()).ok())
                .map(Timestamp::from_secs),
        }
    }

    /// The facts that can still be known.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            session: SessionId::Connection(FrontEnd::Policy, 0),
            front_end: FrontEnd::Policy,
            stage: Stage::EndOfMessage,
            transaction: None,
            client: self.client.clone(),
            envelope: Envelope { sender: self.sender.clone(), ..Envelope::default() },
            message: Message::default(),
            findings: Findings::default(),
        }
    }
}

/// The client's address; a line of local delivery has none.
fn address(received: &Received<'_>) -> Option<IpAddr> {
    let local = received.with.is_some_and(|with| matches!(with, Protocol::LMTP | Protocol::Local));
    received.from_ip.filter(|_| !local).or(match received.from {
        Some(Host::IpAddr(address)) if !local => Some(address),
        _ => None,
    })
}

fn host(host: &Host<'_>) -> String {
    match host {
        Host::Name(name) => name.to_string(),
        Host::IpAddr(address) => format!("[{address}]"),
    }
}

const fn is_encrypted(with: Protocol) -> bool {
    matches!(with, Protocol::ESMTPS | Protocol::ESMTPSA | Protocol::UTF8SMTPS | Protocol::UTF8SMTPSA)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Networks {
        ["127.0.0.0/8", "10.0.0.0/8"].iter().filter_map(|net| net.parse().ok()).collect()
    }

    fn border(text: &str) -> Option<Border> {
        Border::of(&Header::read(text), &own())
    }

    const POSTFIX: &str = "Received: from mail.corp.example (mail.corp.example [198.51.100.1])\r\n\tby mx.dest.example (Postfix) with ESMTPS id 4Rq1Zk0nLTz1x\r\n\tfor <good@dest.example>; Tue, 14 Nov 2023 22:13:20 +0000 (UTC)\r\n";

    #[test]
    fn postfixs_line_is_read() {
        let border =
            border(&format!("Return-Path: <news@corp.example>\r\n{POSTFIX}Subject: x\r\n\r\n")).unwrap();
        assert_eq!(border.client.address, IpAddr::from([198, 51, 100, 1]));
        assert_eq!(border.client.name, DomainName::new("mail.corp.example"));
        assert_eq!(border.client.helo.as_deref(), Some("mail.corp.example"));
        assert_eq!((border.client.tls, border.sender), (Some(true), Sender::new("news@corp.example")));
        assert_eq!(
            (border.by.as_str(), border.queue_id.as_deref()),
            ("mx.dest.example", Some("4Rq1Zk0nLTz1x"))
        );
        assert_eq!(border.at, Some(Timestamp::from_secs(1_700_000_000)));
    }

    #[test]
    fn an_unknown_name_is_none_and_a_forged_one_is_not_confirmed() {
        let unknown = POSTFIX.replace("(mail.corp.example [", "(unknown [").replace("ESMTPS", "ESMTP");
        let unknown = border(&unknown).unwrap();
        assert_eq!((unknown.client.reverse_name, unknown.client.tls), (None, Some(false)));
        let sendmail = "Received: from pc.local (dyn.isp.example [203.0.113.9] (may be forged))\r\n\tby mx.dest.example (8.17.1.9/8.17.1.9) with ESMTP id 3AEMDKab012345\r\n\tfor <good@dest.example>; Tue, 14 Nov 2023 22:13:20 GMT\r\n";
        let sendmail = border(sendmail).unwrap();
        assert_eq!(sendmail.client.address, IpAddr::from([203, 0, 113, 9]));
        assert_eq!(sendmail.client.helo.as_deref(), Some("pc.local"));
        assert_eq!(sendmail.client.reverse_name, DomainName::new("dyn.isp.example"));
        assert_eq!((sendmail.client.name, sendmail.queue_id.as_deref()), (None, Some("3AEMDKab012345")));
    }

    #[test]
    fn ipv6_is_read() {
        let line = POSTFIX.replace("198.51.100.1", "IPv6:2001:db8::25");
        assert_eq!(border(&line).unwrap().client.address, "2001:db8::25".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn own_lines_are_passed_over_and_the_senders_are_never_reached() {
        let local = "Received: from mx.dest.example ([127.0.0.1])\r\n\tby store.dest.example with LMTP id abc; Tue, 14 Nov 2023 22:13:22 +0000\r\nReceived: from filter (filter.dest.example [10.1.2.3])\r\n\tby mx.dest.example (Postfix) with ESMTP id 4Rq; Tue, 14 Nov 2023 22:13:21 +0000\r\nReceived: by mx.dest.example (Postfix, from userid 0)\r\n\tid 4Rp; Tue, 14 Nov 2023 22:13:21 +0000\r\n";
        let forged = "Received: from bank.example (bank.example [192.0.2.66]) by elsewhere.example (Postfix) with ESMTP id X; Tue, 14 Nov 2023 22:13:20 +0000\r\n";
        let border = border(&format!("{local}{POSTFIX}{forged}\r\n")).unwrap();
        assert_eq!(border.client.address, IpAddr::from([198, 51, 100, 1]));
    }

    #[test]
    fn without_an_outside_line_there_is_none() {
        assert_eq!(border("Subject: x\r\n\r\n"), None);
        assert_eq!(border(""), None);
        assert_eq!(border(&POSTFIX.replace("198.51.100.1", "127.0.0.1")), None);
    }
}
