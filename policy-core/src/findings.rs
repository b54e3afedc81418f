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
        /// No Subject field.
        Absent => "no subject",
        /// Nothing in it that can be read.
        Empty => "an empty subject",
        /// Six letters or more, and every one that has a case is a capital.
        AllCapitals => "a subject in capitals",
        /// Anything else.
        Plain => "an unremarkable subject",
    }
}

trait_values! {
    /// Links in the texts of the message's first part.
    Links {
        /// The message has not been read.
        Unknown => "links unknown",
        /// None.
        None => "no link",
        /// One.
        One => "one link",
        /// Two to five.
        Few => "two to five links",
        /// Six or more.
        Many => "more than five links",
    }
}

trait_values! {
    /// Attachments that begin in the message's first part.
    Attachments {
        /// The message has not been read.
        Unknown => "attachments unknown",
        /// None.
        None => "no attachment",
        /// One.
        One => "one attachment",
        /// Two or more.
        Several => "several attachments",
        /// At least one that a mail reader's system may run when it is opened, by name or type.
        Executable => "an attachment that can be run",
    }
}

trait_values! {
    /// What the message's text is made of.
    TextToMarkup {
        /// The message has not been read.
        Unknown => "text unknown",
        /// No text to read.
        NoBody => "no text",
        /// Plain text alone.
        TextOnly => "plain text alone",
        /// Markup with plain text beside it.
        Balanced => "markup with plain text beside it",
        /// Markup alone.
        MarkupOnly => "markup alone",
        /// Hardly a word beside the links.
        MostlyLinks => "hardly a word beside the links",
    }
}

trait_values! {
    /// The two fields that RFC 5322 section 3.6 and every mail program's habit put into a message.
    Missing {
        /// The message has not been read.
        Unknown => "header fields unknown",
        /// Neither is missing.
        Nothing => "a date and a message id",
        /// No Date, which must be there.
        Date => "no date",
        /// No Message-ID, which should be there.
        MessageId => "no message id",
        /// Neither is there.
        Both => "neither date nor message id",
    }
}

trait_values! {
    /// Whether bulk mail can be unsubscribed from (RFC 2369, RFC 8058).
    Unsubscribe {
        /// The message has not been read.
        Unknown => "bulk or not unknown",
        /// Not bulk mail, as far as it says.
        NotBulk => "not bulk mail",
        /// Bulk mail with List-Unsubscribe.
        Offered => "bulk mail with an unsubscribe link",
        /// Bulk mail without.
        Missing => "bulk mail without an unsubscribe link",
    }
}

trait_values! {
    /// The From field against the envelope sender, by organisational domain.
    FromFit {
        /// The message has not been read.
        Unknown => "author unknown",
        /// No From, or no address in it.
        Absent => "no readable From",
        /// Addresses of several domains.
        Several => "a From of several domains",
        /// The envelope sender is null, or has no domain.
        NoSender => "a From without an envelope sender's domain",
        /// The same domain.
        Same => "a From of the envelope sender's domain",
        /// Another domain.
        Other => "a From of another domain than the envelope sender's",
    }
}

trait_values! {
    /// Received fields above the message's own.
    Hops {
        /// The message has not been read.
        Unknown => "hops unknown",
        /// None: handed over by its writer.
        None => "no hop before",
        /// One.
        One => "one hop before",
        /// Two or three.
        Few => "two or three hops before",
        /// Four to eight.
        Several => "four to eight hops before",
        /// Nine or more.
        Many => "more than eight hops before",
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
    /// How old the answer was, where it was looked up.
    pub age: Option<Duration>,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The reverse name was looked up, by the mail server or here, and the DNS did not answer: without one, nothing is
    /// known of it.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Content {
    /// The subject.
    pub subject: Subject,
    /// Links.
    pub links: Links,
    /// Attachments.
    pub attachments: Attachments,
    /// What the text is made of.
    pub text_to_markup: TextToMarkup,
    /// Fields that are missing.
    pub missing: Missing,
    /// Whether bulk mail can be unsubscribed from.
    pub unsubscribe: Unsubscribe,
    /// How the From field fits the envelope.
    pub from_fit: FromFit,
    /// Hops before this one.
    pub hops: Hops,
}
