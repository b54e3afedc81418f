//! What is known of an SMTP session, and of the mail transaction in it.
//!
//! Two lifetimes. A [`Session`] lasts as long as the milter connection. A [`Transaction`] lasts from MAIL to
//! the one event that ends it; since it is taken out of the session there, it ends exactly once, however
//! many aborts the mail server sends.
//!
//! | event | before | after | report |
//! | --- | --- | --- | --- |
//! | HELO, abort | a transaction, if any | none | aborted |
//! | MAIL | a transaction, if any | a new one | aborted, for the one before |
//! | MAIL, refused by us | a transaction | none | aborted |
//! | RCPT | a transaction | the same | - |
//! | RCPT, refused by the mail server | a transaction | the same | recipient refused |
//! | end of message | a transaction | none | received, or aborted when refused by us |
//! | close | a transaction, if any | none | aborted, then session closed |
//!
//! Postfix sends an abort after end of message and two when the client leaves; Sendmail sends none after end
//! of message. Without a client's address there is no transaction and no report.

use crate::inspect::Inspection;
use crate::options::Options;
use crate::plain::is_plain_helo;
use crate::translate::{Peer, helo_name};
use compact_str::CompactString;
use policy_core::engine::{Event, Refusal, Report};
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId};
use policy_core::feedback::Anchor;
use policy_core::findings::Findings;
use policy_core::message::Collector;
use policy_core::name::{DomainName, Mailbox, Sender};
use std::ffi::CStr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One SMTP session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    known: Option<Known>,
    helo: Option<CompactString>,
    /// Whether the HELO name is more than [`crate::plain`].
    odd_helo: bool,
    transaction: Option<Transaction>,
}

/// The session's name and its client, once the address is known.
#[derive(Debug)]
struct Known {
    id: SessionId,
    client: Client,
    name_failed: bool,
}

/// MAIL as the client gave it.
#[derive(Debug)]
pub(crate) struct MailFrom {
    pub(crate) sender: Option<Sender>,
    /// Whether it is [`crate::plain`], as it was written.
    pub(crate) plain: bool,
    pub(crate) declared_size: Option<u64>,
    pub(crate) login: Option<CompactString>,
}

/// One mail transaction.
#[derive(Debug)]
struct Transaction {
    id: TransactionId,
    sender: Option<Sender>,
    declared_size: Option<u64>,
    measured: u64,
    accepted: u32,
    last_accepted: Option<Mailbox>,
    /// The names that SPF may have been checked for.
    spf_names: Vec<DomainName>,
    inspection: Inspection,
    /// What a mark in the message would be tied to.
    anchor: Anchor,
    /// The message, as far as it is kept for those who verify signatures in it.
    collector: Option<Collector>,
}

impl Session {
    /// HELO or EHLO. Again after STARTTLS, when the client has become another.
    pub(crate) fn helo(&mut self, name: &CStr, peer: Option<Peer>) -> Option<Facts> {
        self.helo = Some(helo_name(name));
        self.odd_helo = !is_plain_helo(name);
        self.meet(peer);
        self.facts(Stage::Helo)
    }

    /// MAIL. The transaction before it must have been ended.
    pub(crate) fn mail(&mut self, mail: MailFrom, peer: Option<Peer>) -> Option<Facts> {
        self.meet(peer);
        let known = self.known.as_mut()?;
        known.client.authenticated = mail.login;
        let helo = self.helo.as_deref().and_then(DomainName::new);
        let domain = mail.sender.as_ref().and_then(Sender::domain).cloned();
        self.transaction = Some(Transaction {
            id: TransactionId(next(&TRANSACTIONS)),
            sender: mail.sender,
            declared_size: mail.declared_size,
            measured: 0,
            accepted: 0,
            last_accepted: None,
            spf_names: domain.into_iter().chain(helo).collect(),
            inspection: Inspection::new(mail.plain && !self.odd_helo),
            anchor: Anchor::default(),
            collector: None,
        });
        self.facts(Stage::Mail)
    }

    /// RCPT, for a recipient that the mail server would take.
    pub(crate) fn rcpt(&self, recipient: Option<Mailbox>, queue_id: Option<CompactString>) -> Option<Facts> {
        self.transaction.as_ref()?;
        let mut facts = self.facts(Stage::Rcpt)?;
        facts.envelope.recipient = recipient;
        facts.message.queue_id = queue_id;
        Some(facts)
    }

    /// The recipient just asked about was not refused.
    pub(crate) fn recipient_accepted(&mut self, recipient: Option<Mailbox>) {
        if let Some(transaction) = &mut self.transaction {
            transaction.last_accepted = recipient;
            transaction.accepted = transaction.accepted.saturating_add(1);
        }
    }

    /// The mail server refused a recipient by itself.
    pub(crate) fn recipient_refused(&self, refusal: Refusal) -> Option<Report> {
        let transaction = self.transaction.as_ref()?.id;
        self.report(Event::RecipientRefused { transaction, refusal })
    }

    /// The next header field. `leading_space` says whether the value has the white space after the colon.
    pub(crate) fn field(&mut self, options: &Options, name: &CStr, value: &CStr, leading_space: bool) {
        if let Some(transaction) = &mut self.transaction {
            // The colon and the end of the line are not part of the event.
            let space = usize::from(!leading_space);
            transaction.measure(name.count_bytes() + value.count_bytes() + 3 + space);
            transaction.inspection.field(options, &transaction.spf_names, name, value);
            transaction.anchor.field(name.to_bytes(), value.to_bytes());
            let collector = transaction.collector(options);
            collector.header(name.to_bytes(), value.to_bytes(), leading_space);
        }
    }

    /// The next piece of the body.
    pub(crate) fn body(&mut self, options: &Options, chunk: &[u8]) {
        if let Some(transaction) = &mut self.transaction {
            transaction.measure(chunk.len());
            transaction.collector(options).body(chunk);
        }
    }

    /// The whole message has arrived.
    pub(crate) fn end_of_message(&mut self, queue_id: Option<CompactString>) -> Option<Facts> {
        let transaction = self.transaction.as_mut()?;
        transaction.measure(2); // the empty line between header and body
        let size = Some(transaction.measured);
        let verified = transaction.inspection.verified().to_vec();
        let raw = transaction.collector.take().map(|collector| Arc::new(collector.finish()));
        let anchor = Some(Arc::new(std::mem::take(&mut transaction.anchor)));
        let recipient = transaction.last_accepted.clone().filter(|_| transaction.accepted == 1);
        let mut facts = self.facts(Stage::EndOfMessage)?;
        facts.envelope.recipient = recipient;
        facts.message = Message { size, verified, queue_id, anchor, raw, signed: None };
        Some(facts)
    }

    /// The message was not refused by us: the transaction ends well.
    pub(crate) fn received(&mut self) -> Option<Report> {
        let transaction = self.transaction.take()?;
        self.report(Event::MessageReceived {
            transaction: transaction.id,
            recipients: Some(transaction.accepted),
            filter: transaction.inspection.verdict(),
        })
    }

    /// The transaction, if one is open, ends without a message.
    pub(crate) fn abort(&mut self) -> Option<Report> {
        let transaction = self.transaction.take()?.id;
        self.report(Event::TransactionAborted { transaction })
    }

    /// The session ends; what comes after is another one.
    pub(crate) fn close(&mut self) -> impl Iterator<Item = Report> + use<> {
        let aborted = self.abort();
        let closed = self.report(Event::SessionClosed);
        *self = Self::default();
        aborted.into_iter().chain(closed)
    }

    fn meet(&mut self, peer: Option<Peer>) {
        let Some(Peer { mut client, port, name_failed }) = peer else { return };
        client.helo.clone_from(&self.helo);
        // A session keeps its first name: policy delegation may have used it already.
        let id = self.known.as_ref().map(|known| known.id).unwrap_or_else(|| match port {
            Some(port) => SessionId::Tcp(SocketAddr::new(client.address, port.get())),
            None => SessionId::Connection(FrontEnd::Milter, next(&SESSIONS)),
        });
        self.known = Some(Known { id, client, name_failed });
    }

    fn facts(&self, stage: Stage) -> Option<Facts> {
        let Known { id, client, name_failed } = self.known.as_ref()?;
        let transaction = self.transaction.as_ref();
        Some(Facts {
            session: *id,
            front_end: FrontEnd::Milter,
            stage,
            transaction: transaction.map(|transaction| transaction.id),
            client: client.clone(),
            envelope: transaction.map(Transaction::envelope).unwrap_or_default(),
            message: Message {
                size: transaction.and_then(|transaction| transaction.declared_size),
                ..Message::default()
            },
            findings: Findings { reverse_name_failed: *name_failed, ..Findings::default() },
        })
    }

    fn report(&self, event: Event) -> Option<Report> {
        let session = self.known.as_ref()?.id;
        Some(Report { session, front_end: FrontEnd::Milter, event })
    }
}

impl Transaction {
    fn collector(&mut self, options: &Options) -> &mut Collector {
        self.collector.get_or_insert_with(|| Collector::new(&options.message_memory, options.message_max))
    }

    fn measure(&mut self, octets: usize) {
        self.measured = self.measured.saturating_add(octets as u64);
    }

    fn envelope(&self) -> Envelope {
        Envelope { sender: self.sender.clone(), recipient: None, accepted_recipients: Some(self.accepted) }
    }
}

static SESSIONS: AtomicU64 = AtomicU64::new(0);
static TRANSACTIONS: AtomicU64 = AtomicU64::new(0);

/// A number that this process has not used before.
fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests;
