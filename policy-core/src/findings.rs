//! What has been looked up or computed about a client and a message.
//!
//! Every field begins as *unknown*: nothing asked, no answer in time, or nothing to ask about. What is unknown
//! says nothing: neither for nor against. What is known is a trait, which this server's own mail weighs.
//!
//! [`Note`]s are for people: they change nothing.

use crate::trait_values::trait_values;
use compact_str::CompactString;
use std::time::Duration;

trait_values! {
    /// What DNS lists (RFC 5782) say of the client's address and of the names it gives.
    Listing {
        /// Not asked, or no list has answered.
        Unknown => "DNS lists unknown",
        /// Every list that answered has no entry.
        NotListed => "on no DNS list",
        /// An address that its own network says should send no mail directly. No crime.
        Policy => "on a policy list",
        /// Listed, by what the operator gives little weight.
        Light => "on a DNS list of little weight",
        /// Listed.
        Listed => "on a DNS list",
        /// Listed by several, or by one of great weight.
        Heavy => "on DNS lists of great weight",
        /// On an allow list, and on no other.
        Allowed => "on an allow list",
    }
}

trait_values! {
    /// Whether the HELO name resolves to the client's address.
    HeloAddress {
        /// Not asked, or no answer.
        Unknown => "HELO name's address unknown",
        /// It does.
        Same => "a HELO name that resolves to the client",
        /// To another.
        Other => "a HELO name that resolves to another address",
        /// It does not resolve at all.
        Nowhere => "a HELO name that does not resolve",
        /// An address literal of another address than the client's.
        WrongLiteral => "a HELO name that is another host's address",
        /// This server's own name.
        Ours => "our own name for a HELO name",
    }
}

trait_values! {
    /// The result of SPF (RFC 7208 section 2.6) for MAIL FROM, or for HELO when there is no sender.
    Spf {
        /// Not checked.
        Unknown => "SPF unknown",
        /// No record.
        None => "no SPF record",
        /// The domain says nothing of this client.
        Neutral => "SPF neutral",
        /// The domain permits this client.
        Pass => "SPF pass",
        /// The domain does not permit this client.
        Fail => "SPF fail",
        /// It says so weakly.
        SoftFail => "SPF softfail",
        /// The record cannot be understood.
        PermError => "an SPF record in error",
    }
}

trait_values! {
    /// What verifying DKIM signatures (RFC 6376) came to.
    Dkim {
        /// Not checked, or a key could not be had.
        Unknown => "DKIM unknown",
        /// No signature.
        None => "no DKIM signature",
        /// One verified.
        Pass => "a DKIM signature that verifies",
        /// None of them did.
        Fail => "a DKIM signature that does not verify",
    }
}

trait_values! {
    /// What DMARC (RFC 9989) came to.
    Dmarc {
        /// Not checked, or the DNS failed.
        Unknown => "DMARC unknown",
        /// The author's domain has no policy.
        None => "no DMARC policy",
        /// Aligned and passed.
        Pass => "DMARC pass",
        /// Failed, and the policy asks for nothing.
        Fail => "DMARC fail, policy none",
        /// Failed, and the policy is quarantine.
        Quarantine => "DMARC fail, policy quarantine",
        /// Failed, and the policy is reject.
        Reject => "DMARC fail, policy reject",
    }
}

trait_values! {
    /// The subject.
    Subject {
        /// The message has not been read.
        Unknown => "subject unknown",
        /// No such field.
        Absent => "no subject",
        /// An empty one.
        Empty => "an empty subject",
        /// Capitals only.
        Capitals => "a subject in capitals",
        /// Anything else.
        Plain => "an unremarkable subject",
    }
}

trait_values! {
    /// Links in the part of the body that was read.
    Links {
        /// The message has not been read.
        Unknown => "links unknown",
        /// None.
        None => "no links",
        /// One.
        One => "one link",
        /// Two to nine.
        Few => "a few links",
        /// Ten or more.
        Many => "many links",
    }
}

trait_values! {
    /// Attachments.
    Attachments {
        /// The message has not been read.
        Unknown => "attachments unknown",
        /// None.
        None => "no attachment",
        /// Some, and none that looks like a program.
        Some => "an attachment",
        /// One that is named like a program.
        Program => "an attachment named like a program",
    }
}

trait_values! {
    /// Text against markup.
    Markup {
        /// The message has not been read.
        Unknown => "markup unknown",
        /// No text at all.
        NoText => "no text",
        /// Plain text only.
        TextOnly => "plain text only",
        /// Plain text and markup, or markup with much text.
        Balanced => "text and markup",
        /// Markup without a plain part.
        MarkupOnly => "markup without plain text",
        /// Markup with hardly any text in it.
        HardlyText => "markup with hardly any text",
    }
}

trait_values! {
    /// Header fields that a message of its sort should have.
    Fields {
        /// The message has not been read.
        Unknown => "header fields unknown",
        /// All there.
        Whole => "all usual header fields",
        /// Bulk mail without List-Unsubscribe.
        NoUnsubscribe => "bulk mail without List-Unsubscribe",
        /// No Message-ID.
        NoMessageId => "no Message-ID",
        /// No Date.
        NoDate => "no Date",
        /// Neither.
        Neither => "neither Date nor Message-ID",
    }
}

trait_values! {
    /// The author's domain against the envelope's.
    FromFit {
        /// The message has not been read.
        Unknown => "author unknown",
        /// No From, or none that can be read.
        Absent => "no readable author",
        /// Several authors.
        Several => "several authors",
        /// Of the envelope sender's organisational domain, or the envelope sender is null.
        Same => "an author of the sender's domain",
        /// Of another.
        Other => "an author of another domain than the sender's",
    }
}

trait_values! {
    /// Received fields that the message came with.
    Hops {
        /// The message has not been read.
        Unknown => "hops unknown",
        /// None: it was made by the client itself.
        None => "no hop before the client",
        /// One or two.
        Few => "one or two hops",
        /// Three to six.
        Some => "three to six hops",
        /// More.
        Many => "many hops",
    }
}

/// Who runs the client's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The autonomous system's number; 0 when unknown.
    pub number: u32,
    /// Its country, two capital letters of ISO 3166-1.
    pub country: Option<[u8; 2]>,
}

impl Operator {
    /// The country as one of [`Operator::COUNTRIES`] values; 0 is none.
    pub(crate) fn country_value(&self) -> usize {
        let letter = |b: u8| b.is_ascii_uppercase().then(|| usize::from(b - b'A'));
        let value = self.country.and_then(|[first, second]| Some((letter(first)?, letter(second)?)));
        // Countries that share a value share its evidence.
        value.map_or(0, |(first, second)| 1 + (first * 26 + second) % (Self::COUNTRIES - 1))
    }

    /// Values of the country's trait.
    pub(crate) const COUNTRIES: usize = 252;
}

/// Something found, in words: for logs and explanations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which signal: `spf`, `list`, `ptr`.
    pub signal: &'static str,
    /// What it says.
    pub value: CompactString,
    /// Where it came from: a zone, a record, the mail server, the message.
    pub source: CompactString,
    /// How old the answer was.
    pub age: Duration,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The reverse name was looked up, and the DNS did not answer: without one, nothing is known of it.
    pub reverse_name_failed: bool,
    /// DNS lists.
    pub listing: Listing,
    /// The HELO name's address.
    pub helo: HeloAddress,
    /// SPF.
    pub spf: Spf,
    /// DKIM.
    pub dkim: Dkim,
    /// DMARC.
    pub dmarc: Dmarc,
    /// Who runs the client's network; `None` when unknown.
    pub operator: Option<Operator>,
    /// The message.
    pub content: Content,
    /// The same in words, and what else is worth telling. Bounded by whoever finds.
    pub notes: Vec<Note>,
}

/// What a message looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The subject.
    pub subject: Subject,
    /// Links.
    pub links: Links,
    /// Attachments.
    pub attachments: Attachments,
    /// Text against markup.
    pub markup: Markup,
    /// Header fields.
    pub fields: Fields,
    /// The author against the envelope.
    pub from: FromFit,
    /// Hops.
    pub hops: Hops,
}
