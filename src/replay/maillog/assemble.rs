//! Makes messages of a log's lines: what several programs wrote of one message, brought together.
//!
//! A session is known by its process, a message by its queue id, each with the host's name. Messages from
//! loopback, from authenticated clients, and from nowhere (made on the host) are counted and left out: they
//! are never judged. A message that never came into the queue is left out too.
//!
//! Bounds: 20,000 sessions and 100,000 messages in parts; the oldest goes first, complete or not. Of a
//! message's recipients eight are kept by name.

use super::bounded::Bounded;
use super::entry::Entry;
use super::event::{Event, Peer, Refused};
use super::reader::Unreadable;
use super::{postfix, sendmail};
use compact_str::{CompactString, format_compact};
use policy_core::facts::Client;
use policy_core::name::Sender;
use policy_core::time::Timestamp;
use std::time::Duration;

const SESSIONS: usize = 20_000;
const MESSAGES: usize = 100_000;
const NAMED_RECIPIENTS: usize = 8;
/// Sendmail does not log a session's end; after this long a process is another one of the same number.
const LOGIN: Duration = Duration::from_secs(3600);

/// A message that was accepted, or a recipient that was refused as unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// When its first recipient was accepted or refused.
    pub time: Timestamp,
    /// The client.
    pub client: Client,
    /// The envelope's sender.
    pub sender: Option<Sender>,
    /// Recipients that are known by name.
    pub recipients: Vec<CompactString>,
    /// Recipients that were accepted; none of a refused one.
    pub accepted: u32,
    /// Octets.
    pub size: Option<u64>,
}

/// What was seen in a log, and left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// Lines.
    pub lines: u64,
    /// Lines that cannot be read.
    pub unreadable_lines: u64,
    /// The first of them.
    pub first_unreadable: Option<Unreadable>,
    /// Last lines that were torn.
    pub torn_lines: u64,
    /// Compressed files that were cut off.
    pub cut_files: u64,
    /// Messages of authenticated clients.
    pub authenticated: u64,
    /// Messages from loopback.
    pub local: u64,
    /// Messages of which too little was logged, or that never came into the queue.
    pub unfinished: u64,
    /// Recipients that the mail server refused as unknown.
    pub unknown_recipients: u64,
    /// What it refused for other reasons.
    pub refused: u64,
}

#[derive(Debug)]
struct Session {
    client: Client,
    authenticated: Option<Timestamp>,
}

/// A message in parts.
#[derive(Debug, Default)]
struct Half {
    time: Timestamp,
    client: Option<Client>,
    sender: Option<Sender>,
    recipients: Vec<CompactString>,
    accepted: Option<u32>,
    size: Option<u64>,
    unknown: Vec<CompactString>,
}

/// Brings lines together.
#[derive(Debug)]
pub(super) struct Assembler {
    sessions: Bounded<CompactString, Session>,
    halves: Bounded<CompactString, Half>,
    /// What smtpd said of a name before it said who has connected.
    unconfirmed: Bounded<CompactString, Client>,
    letters: Vec<Letter>,
    pub(super) seen: Seen,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self {
            sessions: Bounded::new(SESSIONS),
            halves: Bounded::new(MESSAGES),
            unconfirmed: Bounded::new(SESSIONS),
            letters: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Takes in a line.
    pub(super) fn take(&mut self, entry: &Entry<'_>, now: Timestamp) {
        let event = if sendmail::is_sendmail(entry.program) {
            sendmail::read(entry.text)
        } else {
            postfix::read(entry.program, entry.text)
        };
        let Some(event) = event else { return };
        let process = format_compact!("{}/{}", entry.host, entry.process);
        let id = |queue: &str| format_compact!("{}/{queue}", entry.host);
        match event {
            Event::Unconfirmed { address, name } => self.unconfirmed(process, address, name),
            Event::Connected(peer) => self.connected(process, &peer),
            Event::Disconnected => drop(self.sessions.take(&process)),
            Event::Encrypted => self.session(&process, |session| session.client.tls = Some(true)),
            Event::Authenticated => self.authenticated(process, now),
            Event::Refused(refused) => self.refused(&process, &refused, now),
            Event::Accepted { queue, client, authenticated } => {
                self.accepted(id(queue), &process, &client, authenticated, now);
            }
            Event::Queued { queue, sender, size, recipients, client } => {
                if let Some(peer) = client {
                    self.begun_by(id(queue), &process, &peer, now);
                }
                self.queued(&id(queue), sender, size, recipients);
            }
            Event::Unknown { queue, recipient } => self.unknown(id(queue), recipient, now),
            Event::Recipient { queue, recipient } => self.recipient(&id(queue), recipient),
            Event::Removed { queue } => {
                let half = self.halves.take(&id(queue));
                self.finish(half);
            }
        }
    }

    /// Everything, in order of time.
    pub(super) fn finish_all(mut self) -> (Vec<Letter>, Seen) {
        let left: Vec<Half> = self.halves.drain().collect();
        left.into_iter().for_each(|half| self.finish(Some(half)));
        self.letters.sort_by_key(|letter| letter.time);
        (self.letters, self.seen)
    }

    fn unconfirmed(&mut self, process: CompactString, address: &str, name: &str) {
        if let Some(peer) = Peer::new(address, name, false) {
            self.unconfirmed.put(process, peer.client());
        }
    }

    fn connected(&mut self, process: CompactString, peer: &Peer) {
        let said = self.unconfirmed.take(&process);
        let mut client = peer.client();
        if client.reverse_name.is_none() {
            let same = said.filter(|said| said.address == client.address);
            client.reverse_name = same.and_then(|said| said.reverse_name);
        }
        self.sessions.put(process, Session { client, authenticated: None });
    }

    fn session(&mut self, process: &CompactString, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(process) {
            change(session);
        }
    }

    /// Sendmail says so before it says who it is.
    fn authenticated(&mut self, process: CompactString, now: Timestamp) {
        let client = Client::new(std::net::Ipv4Addr::UNSPECIFIED.into());
        self.sessions.put(process, Session { client, authenticated: Some(now) });
    }

    /// What a session knows of its client beyond what a line says.
    fn client(&mut self, process: &CompactString, peer: &Peer) -> Client {
        let client = peer.client();
        match self.sessions.get_mut(process) {
            Some(session) if session.client.address == client.address => session.client.clone(),
            _ => client,
        }
    }

    fn refused(&mut self, process: &CompactString, refused: &Refused<'_>, now: Timestamp) {
        let helo = refused.helo.filter(|helo| !helo.is_empty()).map(CompactString::from);
        self.session(process, |session| session.client.helo = helo.clone().or(session.client.helo.take()));
        if !refused.unknown {
            self.seen.refused += 1;
            return;
        }
        let client = Client { helo, ..self.client(process, &refused.client) };
        let sender = refused.sender.and_then(Sender::new);
        let recipient = refused.recipient.unwrap_or_default();
        self.refused_recipient(client, sender, recipient.into(), now);
    }

    fn refused_recipient(
        &mut self,
        client: Client,
        sender: Option<Sender>,
        recipient: CompactString,
        time: Timestamp,
    ) {
        self.seen.unknown_recipients += 1;
        if !client.address.is_loopback() {
            let recipients = vec![recipient];
            self.letters.push(Letter { time, client, sender, recipients, accepted: 0, size: None });
        }
    }

    fn accepted(
        &mut self,
        id: CompactString,
        process: &CompactString,
        peer: &Peer,
        authenticated: bool,
        now: Timestamp,
    ) {
        if authenticated {
            self.seen.authenticated += 1;
        } else {
            self.begun_by(id, process, peer, now);
        }
    }

    /// A message has begun; one with the same id before it is over.
    fn begun_by(&mut self, id: CompactString, process: &CompactString, peer: &Peer, now: Timestamp) {
        let since = self.sessions.get_mut(process).and_then(|session| session.authenticated);
        let authenticated = since.is_some_and(|since| now.since(since) <= LOGIN);
        if authenticated || peer.address.is_loopback() {
            let count = if authenticated { &mut self.seen.authenticated } else { &mut self.seen.local };
            *count += 1;
            return;
        }
        let client = self.client(process, peer);
        let mut begun = Half { time: now, client: Some(client), ..Half::default() };
        match self.halves.take(&id) {
            Some(before) if before.client.is_none() => begun.unknown = before.unknown,
            before => self.finish(before),
        }
        self.put(id, begun);
    }

    fn put(&mut self, id: CompactString, half: Half) {
        for gone in self.halves.put(id, half) {
            self.finish(gone);
        }
    }

    /// Deliveries that were put off queue a message again; the first time tells how it came.
    fn queued(&mut self, id: &CompactString, sender: &str, size: Option<u64>, recipients: u32) {
        let Some(half) = self.halves.get_mut(id).filter(|half| half.accepted.is_none()) else { return };
        half.sender = Sender::new(sender);
        half.size = size;
        half.accepted = Some(recipients);
    }

    fn unknown(&mut self, id: CompactString, recipient: &str, now: Timestamp) {
        if self.halves.get_mut(&id).is_none() {
            self.put(id.clone(), Half { time: now, ..Half::default() });
        }
        if let Some(half) = self.halves.get_mut(&id).filter(|half| half.unknown.len() < NAMED_RECIPIENTS) {
            half.unknown.push(recipient.into());
        }
    }

    fn recipient(&mut self, id: &CompactString, recipient: &str) {
        let Some(half) = self.halves.get_mut(id) else { return };
        if half.recipients.len() < NAMED_RECIPIENTS && half.recipients.iter().all(|known| known != recipient)
        {
            half.recipients.push(recipient.into());
        }
    }

    fn finish(&mut self, half: Option<Half>) {
        let Some(half) = half else { return };
        let (Some(client), Some(accepted)) = (half.client, half.accepted) else {
            self.seen.unfinished += 1;
            return;
        };
        for recipient in half.unknown {
            self.refused_recipient(client.clone(), half.sender.clone(), recipient, half.time);
        }
        if accepted > 0 {
            let Half { time, sender, recipients, size, .. } = half;
            self.letters.push(Letter { time, client, sender, recipients, accepted, size });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of these lines, each a minute after the one before.
    fn assembled(lines: &[&str]) -> (Vec<Letter>, Seen) {
        let mut assembler = Assembler::new();
        for (minute, line) in lines.iter().enumerate() {
            let line = format!("Nov 21 10:00:00 mx {line}");
            let now = Timestamp::from_secs(1_700_000_000 + 60 * minute as u64);
            assembler.take(&Entry::read(&line).unwrap(), now);
        }
        assembler.finish_all()
    }

    #[test]
    fn what_a_session_said_before_holds_for_its_messages() {
        let (letters, _) = assembled(&[
            "postfix/smtpd[7]: connect from unknown[192.0.2.7]",
            "postfix/smtpd[7]: Anonymous TLS connection established from unknown[192.0.2.7]: TLSv1.3",
            "postfix/smtpd[7]: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 <a@b.example>: Relay access \
             denied; from=<s@src.example> to=<a@b.example> proto=ESMTP helo=<pc7>",
            "postfix/smtpd[7]: 4ABC12: client=unknown[192.0.2.7]",
            "postfix/qmgr[9]: 4ABC12: from=<s@src.example>, size=10, nrcpt=1 (queue active)",
            "postfix/qmgr[9]: 4ABC12: from=<s@src.example>, size=10, nrcpt=1 (queue active)",
            "postfix/smtpd[7]: disconnect from unknown[192.0.2.7]",
            "postfix/smtpd[7]: 4ABC13: client=unknown[192.0.2.7]",
            "postfix/qmgr[9]: 4ABC13: from=<>, size=10, nrcpt=1 (queue active)",
        ]);
        let client = |place: usize| (letters[place].client.helo.as_deref(), letters[place].client.tls);
        assert_eq!((letters.len(), client(0), client(1)), (2, (Some("pc7"), Some(true)), (None, None)));
        assert_eq!(
            (letters[0].time, letters[1].sender.clone()),
            (Timestamp::from_secs(1_700_000_180), Some(Sender::Null))
        );
    }

    #[test]
    fn a_queue_id_that_is_used_again_is_another_message() {
        let message = [
            "postfix/smtpd[7]: 4ABC12: client=a.example[192.0.2.7]",
            "postfix/qmgr[9]: 4ABC12: from=<s@src.example>, size=10, nrcpt=1 (queue active)",
        ];
        let (letters, seen) = assembled(&[message, message].concat());
        assert_eq!((letters.len(), seen.unfinished), (2, 0));
    }

    #[test]
    fn a_login_ends_with_its_session() {
        let login = "sm-mta[7]: AUTH=server, relay=a.example [192.0.2.7], authid=joe, mech=PLAIN, bits=0";
        let message =
            "sm-mta[7]: 5AL1: from=<s@src.example>, size=1, class=0, nrcpts=1, relay=a.example [192.0.2.7]";
        let mut lines = vec![login, message];
        lines.resize(70, "-- MARK --");
        lines.push(message);
        let (letters, seen) = assembled(&lines);
        assert_eq!((letters.len(), seen.authenticated), (1, 1));
    }
}
