//! Where a message came from, by the Received field that this site's border server wrote (RFC 5321 section
//! 4.4), when there is no mark.
//!
//! Read from the top, where the last mail server wrote: lines of local delivery and of own networks are passed
//! over; the first whose client is an outside address was written by the border server, since nobody outside can
//! write above it. What stands below is the sender's and is never looked at. So a line that is not understood
//! ([`super::hop`]) ends the search: it may be the border server's.
//!
//! Known limits: a message from outside that was handed on by an own server whose network is not listed in
//! `own_networks` is taken for that server's. Nothing that was looked up is known any more, so only claims are
//! booked on, and the model is taught nothing.

use super::header::Header;
use super::hop::{Hop, Remote};
use mail_parser::DateTime;
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage};
use policy_core::findings::Findings;
use policy_core::name::{DomainName, Sender};
use policy_core::networks::Networks;
use policy_core::networks::canonical;
use policy_core::time::Timestamp;
use std::net::IpAddr;

/// Lines that are looked at, at the most.
pub(super) const MAX_HOPS: usize = 20;

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
    pub(super) fn of(header: &Header, own_networks: &Networks) -> Option<Self> {
        for value in &header.received {
            let Hop::Remote(remote) = Hop::read(value)? else { continue };
            let address = canonical(remote.address);
            if !address.is_loopback() && !own_networks.contains(address) {
                return Some(Self::read(&remote, address, header));
            }
        }
        None
    }

    fn read(remote: &Remote<'_>, address: IpAddr, header: &Header) -> Self {
        let mut client = Client::new(address);
        let name = remote.name.filter(|name| !name.eq_ignore_ascii_case("unknown"));
        client.reverse_name = name.and_then(DomainName::new);
        client.name = client.reverse_name.clone().filter(|_| !remote.forged);
        client.helo = Some(remote.helo.into());
        client.tls = remote.protocol.and_then(is_encrypted);
        let seconds = |date: DateTime| u64::try_from(date.to_timestamp()).ok();
        let at = remote.date.and_then(DateTime::parse_rfc822).and_then(seconds);
        Self {
            client,
            sender: header.return_path.as_deref().and_then(Sender::new),
            by: remote.by.to_owned(),
            queue_id: remote.id.map(str::to_owned),
            at: at.map(Timestamp::from_secs),
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

/// By the protocol (RFC 3848, RFC 6531); unknown with one that is not of SMTP.
fn is_encrypted(protocol: &str) -> Option<bool> {
    let protocol = protocol.to_ascii_uppercase();
    let (_, modifiers) = protocol.split_once("SMTP")?;
    Some(modifiers.starts_with('S'))
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
    fn a_line_that_is_not_understood_is_not_passed_over() {
        let forged = POSTFIX.replace("198.51.100.1", "198.51.100.77");
        let cut = POSTFIX.replace("(mail.corp.example [", "(mail.corp.example ");
        assert_eq!(border(&format!("{cut}{forged}\r\n")), None);
    }

    #[test]
    fn no_word_of_the_clients_makes_the_senders_line_the_border_servers() {
        let forged = "Received: from mail.victim.example (mail.victim.example [198.51.100.77]) by mx.dest.example (Postfix) with ESMTPS id X; Tue, 14 Nov 2023 22:13:20 +0000\r\n";
        let check = |line: &str| {
            let border = border(&format!("{line}{forged}\r\n")).unwrap();
            assert_eq!(border.client.address, IpAddr::from([198, 51, 100, 1]), "{line}");
            assert_eq!(border.queue_id.as_deref(), Some("4Rq1Zk0nLTz1x"), "{line}");
            assert_eq!(border.at, Some(Timestamp::from_secs(1_700_000_000)), "{line}");
        };
        for helo in ["x,by", "x,via", "x,id", "x/with", "x=for", "[198.51.100.77]"] {
            check(&POSTFIX.replace("from mail.corp.example", &format!("from {helo}")));
        }
        for recipient in ["\"good+ with LMTP x\"", "\"good+; 1 Jan 2020 00:00:00 \"", "\"\\\"; (\""] {
            check(&POSTFIX.replace("<good@", &format!("<{recipient}@")));
        }
    }

    #[test]
    fn without_an_outside_line_there_is_none() {
        assert_eq!(border("Subject: x\r\n\r\n"), None);
        assert_eq!(border(""), None);
        assert_eq!(border(&POSTFIX.replace("198.51.100.1", "127.0.0.1")), None);
    }
}
