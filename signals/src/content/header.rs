//! What the header of a message says.

use super::fields::{Field, Fields};
use super::parts::bounded;
use mail_parser::parsers::MessageStream;
use mail_parser::{Address, HeaderValue};
use policy_core::findings::{FromFit, Missing, Subject, Unsubscribe};
use policy_core::name::DomainName;

/// Addresses of a From field that are looked at.
const MAX_FROM: usize = 20;
/// Capitals that make a subject loud.
const MIN_CAPITALS: usize = 6;
/// Recipients of one copy that make a message bulk mail.
const BULK_RECIPIENTS: u32 = 20;

/// The header, read once.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) subject: Subject,
    pub(super) received: usize,
    /// The domains of From, and whether they are of several organisations.
    from: Vec<DomainName>,
    date: bool,
    message_id: bool,
    bulk: bool,
    unsubscribe: bool,
}

impl Header {
    pub(super) fn read(header: &[u8]) -> Self {
        let mut read = Self {
            subject: Subject::Absent,
            received: 0,
            from: Vec::new(),
            date: false,
            message_id: false,
            bulk: false,
            unsubscribe: false,
        };
        Fields::new(header).for_each(|field| read.field(field));
        read
    }

    fn field(&mut self, field: Field<'_>) {
        match field.name.trim_ascii_end().to_ascii_lowercase().as_slice() {
            b"subject" => self.subject = subject(field.value),
            b"received" => self.received += 1,
            b"from" if self.from.len() < MAX_FROM => {
                self.from.extend(addresses(field.value).iter().filter_map(|address| domain(address)));
            }
            b"date" => self.date = true,
            b"message-id" => self.message_id = true,
            b"list-unsubscribe" => self.unsubscribe = true,
            b"list-id" => self.bulk = true,
            b"precedence" => self.bulk |= is_bulk(field.value),
            _ => {}
        }
    }

    pub(super) fn missing(&self) -> Missing {
        match (self.date, self.message_id) {
            (true, true) => Missing::Nothing,
            (false, true) => Missing::Date,
            (true, false) => Missing::MessageId,
            (false, false) => Missing::Both,
        }
    }

    pub(super) fn unsubscribe(&self, recipients: u32) -> Unsubscribe {
        match (self.bulk || recipients >= BULK_RECIPIENTS, self.unsubscribe) {
            (false, _) => Unsubscribe::NotBulk,
            (true, true) => Unsubscribe::Offered,
            (true, false) => Unsubscribe::Missing,
        }
    }

    pub(super) fn fit(&self, sender: Option<&DomainName>) -> FromFit {
        let Some(first) = self.from.first() else { return FromFit::Absent };
        if self.from.iter().any(|other| organisation(other) != organisation(first)) {
            return FromFit::Several;
        }
        match sender {
            None => FromFit::NoSender,
            Some(sender) if organisation(sender) == organisation(first) => FromFit::Same,
            Some(_) => FromFit::Other,
        }
    }
}

fn organisation(domain: &DomainName) -> &str {
    domain.organisational().unwrap_or(domain.as_str())
}

fn domain(address: &str) -> Option<DomainName> {
    DomainName::new(address.rsplit_once('@')?.1)
}

fn is_bulk(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    ["bulk", "list", "junk"].iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

fn subject(value: &[u8]) -> Subject {
    let read = MessageStream::new(bounded(value)).parse_unstructured();
    let text = match &read {
        HeaderValue::Text(text) => text.trim(),
        _ => "",
    };
    let (capitals, small) = (text.chars().filter(|c| c.is_uppercase()), text.chars().any(char::is_lowercase));
    match () {
        () if text.is_empty() => Subject::Empty,
        () if !small && capitals.count() >= MIN_CAPITALS => Subject::AllCapitals,
        () => Subject::Plain,
    }
}

/// The addresses of a From field's beginning, in lower case; a bounded number of them.
pub(crate) fn addresses(value: &[u8]) -> Vec<String> {
    let HeaderValue::Address(read) = MessageStream::new(bounded(value)).parse_address() else {
        return Vec::new();
    };
    let lists: Vec<_> = match read {
        Address::List(list) => vec![list],
        Address::Group(groups) => groups.into_iter().map(|group| group.addresses).collect(),
    };
    let all = lists.into_iter().flatten().filter_map(|address| address.address);
    all.map(|address| address.to_lowercase()).take(MAX_FROM).collect()
}
