//! Traits: how a client presents itself. A trait is an identity with few values, whose reputation is
//! learned from this server's own mail; no trait alone decides anything.
//!
//! A trait is an [`Aspect`] with one of its values. Crosses of two aspects are aspects of their own: a HELO
//! name unlike the reverse name says less of a host that has none.

mod values;

pub use values::{FirstLabel, HeloName, ReverseName, SenderFit, Shape, Signature, Tls};

use crate::facts::{Facts, Stage};
use crate::findings::{
    Attachments, Dkim, Dmarc, Findings, FromFit, HeloAddress, Hops, Links, Listing, Missing, Operator, Spf,
    Subject, TextToMarkup, Unsubscribe,
};
use crate::name::{DomainName, Sender};
use crate::names::{Name, Names};
use crate::shape::{first_label, is_generic, is_mail_like, leading_digits};
use std::fmt;
use std::net::IpAddr;

/// Places for top-level domains; two that share a place share its evidence.
const TOP_LEVELS: usize = 128;
/// Values of the size: unknown, then half powers of two from 256 octets to 256 KiB.
const SIZES: usize = 22;

macro_rules! aspects {
    ($($(#[$doc:meta])* $name:ident: $values:expr,)+) => {
        /// One way to look at a client and its message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Aspect { $($(#[$doc])* $name,)+ }

        impl Aspect {
            /// Every aspect.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
            const VALUES: &'static [usize] = &[$($values,)+];
        }
    };
}

aspects! {
    /// See [`ReverseName`].
    ReverseName: ReverseName::ALL.len(),
    /// See [`HeloName`].
    Helo: HeloName::ALL.len(),
    /// See [`SenderFit`].
    Sender: SenderFit::ALL.len(),
    /// See [`FirstLabel`].
    FirstLabel: FirstLabel::ALL.len(),
    /// The [`Shape`] of the HELO name.
    HeloShape: Shape::ALL.len(),
    /// The [`Shape`] of the sender's domain.
    SenderShape: Shape::ALL.len(),
    /// The declared or measured size.
    Size: SIZES,
    /// See [`Signature`].
    Signature: Signature::ALL.len(),
    /// Labels of the host's name: the reverse name's, or without one the HELO name's.
    HostLabels: 7,
    /// The reverse name's top-level domain.
    HostTop: TOP_LEVELS,
    /// The sender's top-level domain.
    SenderTop: TOP_LEVELS,
    /// Labels of the HELO name.
    HeloLabels: 6,
    /// Digits in the HELO name's first label.
    HeloDigits: 7,
    /// The HELO name's top-level domain.
    HeloTop: TOP_LEVELS,
    /// See [`Tls`].
    Tls: Tls::ALL.len(),
    /// Recipients so far: unknown, one, a few, many, a crowd.
    Crowd: 5,
    /// Digits in the sender's organisational domain.
    SenderDigits: 5,
    /// Length of the sender's organisational domain, by three characters.
    SenderLength: 8,
    /// Reverse name and HELO name together.
    HostCross: ReverseName::ALL.len() * HeloName::ALL.len(),
    /// The HELO name's shape and the sender's fit together.
    SenderCross: Shape::ALL.len() * SenderFit::ALL.len(),
    /// Size and signature together.
    SizeCross: SIZES * Signature::ALL.len(),
    /// The reverse name's first label and the HELO name's shape together.
    LabelCross: FirstLabel::ALL.len() * Shape::ALL.len(),
    /// See [`Listing`].
    Listing: Listing::ALL.len(),
    /// See [`HeloAddress`].
    HeloAddress: HeloAddress::ALL.len(),
    /// See [`Spf`].
    Spf: Spf::ALL.len(),
    /// See [`Dkim`].
    Dkim: Dkim::ALL.len(),
    /// See [`Dmarc`].
    Dmarc: Dmarc::ALL.len(),
    /// The country of the network's operator.
    Country: Operator::COUNTRIES,
    /// See [`Subject`].
    Subject: Subject::ALL.len(),
    /// See [`Links`].
    Links: Links::ALL.len(),
    /// See [`Attachments`].
    Attachments: Attachments::ALL.len(),
    /// See [`TextToMarkup`].
    TextToMarkup: TextToMarkup::ALL.len(),
    /// See [`Missing`].
    Missing: Missing::ALL.len(),
    /// See [`Unsubscribe`].
    Unsubscribe: Unsubscribe::ALL.len(),
    /// See [`FromFit`].
    FromFit: FromFit::ALL.len(),
    /// See [`Hops`].
    Hops: Hops::ALL.len(),
}

/// The value of an aspect that every client shows, where the DNS has not said.
const UNKNOWN: u8 = u8::MAX;
/// Aspects of the reverse name.
const OF_REVERSE_NAME: [Aspect; 6] = [
    Aspect::ReverseName,
    Aspect::FirstLabel,
    Aspect::HostLabels,
    Aspect::HostTop,
    Aspect::HostCross,
    Aspect::LabelCross,
];

/// Aspects that every client shows by itself: the first ones. The others have to be looked up, or read from the
/// message's text; their first value is *unknown*, and says nothing.
pub(crate) const SHOWN: usize = Aspect::Listing as usize;
/// Entries of the trait table that belong to them.
pub(crate) const SHOWN_VALUES: usize = STARTS[SHOWN];

/// Where each aspect's values begin in the trait table.
const STARTS: [usize; TraitSet::COUNT + 1] = {
    let mut starts = [0; TraitSet::COUNT + 1];
    let mut aspect = 0;
    while aspect < TraitSet::COUNT {
        starts[aspect + 1] = starts[aspect] + Aspect::VALUES[aspect];
        aspect += 1;
    }
    starts
};

/// One aspect with its value, as an entry of the trait table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trait {
    /// The aspect.
    pub aspect: Aspect,
    /// Which of its values.
    pub value: u8,
}

impl Trait {
    /// How many entries the trait table has.
    pub const COUNT: usize = STARTS[TraitSet::COUNT];

    /// The entry's place in the table, below [`Trait::COUNT`]; `None` when it is unknown.
    pub const fn index(self) -> Option<usize> {
        if self.is_unknown() { None } else { Some(STARTS[self.aspect as usize] + self.value as usize) }
    }

    /// Whether it says nothing, since it is not known.
    pub const fn is_unknown(self) -> bool {
        self.value == UNKNOWN || self.aspect as usize >= SHOWN && self.value == 0
    }
}

impl fmt::Display for Trait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value == UNKNOWN {
            return f.write_str("reverse name unknown");
        }
        let n = usize::from(self.value);
        let pair = |first: &str, second: &str| format!("{first} and {second}");
        let top = if n == 0 { "no top-level domain" } else { "a top-level domain" };
        match self.aspect {
            Aspect::ReverseName => f.write_str(ReverseName::ALL[n].words()),
            Aspect::Helo => f.write_str(HeloName::ALL[n].words()),
            Aspect::Sender => f.write_str(SenderFit::ALL[n].words()),
            Aspect::FirstLabel => f.write_str(FirstLabel::ALL[n].words()),
            Aspect::HeloShape => write!(f, "HELO: {}", Shape::ALL[n].words()),
            Aspect::SenderShape => write!(f, "sender domain: {}", Shape::ALL[n].words()),
            Aspect::Signature => f.write_str(Signature::ALL[n].words()),
            Aspect::Tls => f.write_str(Tls::ALL[n].words()),
            Aspect::Size => f.write_str(&size_words(n)),
            Aspect::HostLabels => write!(f, "{n} labels in the host's name"),
            Aspect::HeloLabels => write!(f, "{n} labels in the HELO name"),
            Aspect::HeloDigits => write!(f, "{n} digits in the HELO name's first label"),
            Aspect::HostTop => write!(f, "{top} of the reverse name"),
            Aspect::SenderTop => write!(f, "{top} of the sender"),
            Aspect::HeloTop => write!(f, "{top} of the HELO name"),
            Aspect::Crowd => f.write_str(CROWDS[n]),
            Aspect::SenderDigits => write!(f, "{n} digits in the sender's domain"),
            Aspect::SenderLength => write!(f, "a sender's domain of about {} characters", 3 * n + 1),
            Aspect::HostCross => {
                let (reverse, helo) = (n / HeloName::ALL.len(), n % HeloName::ALL.len());
                f.write_str(&pair(ReverseName::ALL[reverse].words(), HeloName::ALL[helo].words()))
            }
            Aspect::SenderCross => {
                let (shape, fit) = (n / SenderFit::ALL.len(), n % SenderFit::ALL.len());
                write!(f, "HELO: {}", pair(Shape::ALL[shape].words(), SenderFit::ALL[fit].words()))
            }
            Aspect::SizeCross => {
                let (size, signature) = (n / Signature::ALL.len(), n % Signature::ALL.len());
                f.write_str(&pair(&size_words(size), Signature::ALL[signature].words()))
            }
            Aspect::LabelCross => {
                let (label, shape) = (n / Shape::ALL.len(), n % Shape::ALL.len());
                let helo = Shape::ALL[shape].words();
                f.write_str(&pair(FirstLabel::ALL[label].words(), &format!("HELO: {helo}")))
            }
            Aspect::Listing => f.write_str(Listing::ALL[n].words()),
            Aspect::HeloAddress => f.write_str(HeloAddress::ALL[n].words()),
            Aspect::Spf => f.write_str(Spf::ALL[n].words()),
            Aspect::Dkim => f.write_str(Dkim::ALL[n].words()),
            Aspect::Dmarc => f.write_str(Dmarc::ALL[n].words()),
            Aspect::Country => f.write_str(if n == 0 { "no country" } else { "the network's country" }),
            Aspect::Subject => f.write_str(Subject::ALL[n].words()),
            Aspect::Links => f.write_str(Links::ALL[n].words()),
            Aspect::Attachments => f.write_str(Attachments::ALL[n].words()),
            Aspect::TextToMarkup => f.write_str(TextToMarkup::ALL[n].words()),
            Aspect::Missing => f.write_str(Missing::ALL[n].words()),
            Aspect::Unsubscribe => f.write_str(Unsubscribe::ALL[n].words()),
            Aspect::FromFit => f.write_str(FromFit::ALL[n].words()),
            Aspect::Hops => f.write_str(Hops::ALL[n].words()),
        }
    }
}

const CROWDS: [&str; 5] = [
    "recipients unknown",
    "one recipient",
    "two to four recipients",
    "five to twenty recipients",
    "more than twenty recipients",
];

fn size_words(value: usize) -> String {
    match value {
        0 => "size unknown".into(),
        _ => format!("about {:.1} KiB", 0.25 * ((value - 1) as f32 / 2.0).exp2()),
    }
}

/// The traits of one client and message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraitSet([u8; TraitSet::COUNT]);

impl Default for TraitSet {
    /// The first value of each.
    fn default() -> Self {
        Self([0; Self::COUNT])
    }
}

impl fmt::Debug for TraitSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|value| value.to_string())).finish()
    }
}

impl TraitSet {
    /// How many traits there are: one for each aspect.
    pub const COUNT: usize = Aspect::VALUES.len();

    /// The traits of `facts`.
    pub fn of(facts: &Facts) -> Self {
        Self::of_names(facts, &Names::of(facts, Names::helo(facts).as_ref()))
    }

    /// The same, from names that have been looked up.
    pub(crate) fn of_names(facts: &Facts, names: &Names<'_>) -> Self {
        let address = facts.client.address;
        let host = facts.client.name.as_ref().or(facts.client.reverse_name.as_ref());
        let (reverse, helo) = (reverse_name(facts, names.host), helo_name(names));
        let (fit, label) = (sender_fit(facts, names), host_label(host));
        let (helo_shape, size) = (shape(names.helo, address), size(facts.message.size));
        let signature = signature(facts, names);
        let helo_text = names.helo.map_or("", |helo| helo.whole.as_str());
        let sender = names.sender.map_or("", Name::widest);
        let mut set = Self([0; Self::COUNT]);
        let mut put = |aspect: Aspect, value: usize| set.0[aspect as usize] = value as u8;
        put(Aspect::ReverseName, reverse as usize);
        put(Aspect::Helo, helo as usize);
        put(Aspect::Sender, fit as usize);
        put(Aspect::FirstLabel, label as usize);
        put(Aspect::HeloShape, helo_shape as usize);
        put(Aspect::SenderShape, shape(names.sender, address) as usize);
        put(Aspect::Size, size);
        put(Aspect::Signature, signature as usize);
        put(Aspect::HostLabels, labels(host.map_or(helo_text, DomainName::as_str)).min(6));
        put(Aspect::HostTop, top_level(host.map_or("", DomainName::as_str)));
        put(Aspect::SenderTop, top_level(sender));
        put(Aspect::HeloLabels, labels(helo_text).min(5));
        put(Aspect::HeloDigits, leading_digits(helo_text).min(6));
        put(Aspect::HeloTop, top_level(helo_text));
        put(Aspect::Tls, facts.client.tls.map_or(Tls::Unknown as usize, |tls| 1 + usize::from(tls)));
        put(Aspect::Crowd, crowd(facts));
        put(Aspect::SenderDigits, sender.bytes().filter(u8::is_ascii_digit).count().min(4));
        put(Aspect::SenderLength, (first_label(sender).len() / 3).min(7));
        put(Aspect::HostCross, reverse as usize * HeloName::ALL.len() + helo as usize);
        put(Aspect::SenderCross, helo_shape as usize * SenderFit::ALL.len() + fit as usize);
        put(Aspect::SizeCross, size * Signature::ALL.len() + signature as usize);
        put(Aspect::LabelCross, label as usize * Shape::ALL.len() + helo_shape as usize);
        found(&facts.findings, &mut put);
        if facts.findings.reverse_name_failed && host.is_none() {
            OF_REVERSE_NAME.into_iter().for_each(|aspect| put(aspect, UNKNOWN.into()));
        }
        set
    }

    /// The trait of one aspect.
    pub const fn get(&self, aspect: Aspect) -> Trait {
        Trait { aspect, value: self.0[aspect as usize] }
    }

    /// The values, one for each aspect.
    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The traits of these values; `None` unless each is one that its aspect has.
    pub(crate) fn from_bytes(values: &[u8]) -> Option<Self> {
        let set = Self(values.try_into().ok()?);
        let sane = |(&value, &most): (&u8, &usize)| value == UNKNOWN || usize::from(value) < most;
        set.0.iter().zip(Aspect::VALUES).all(sane).then_some(set)
    }

    /// The reverse name's class.
    pub fn reverse_name(&self) -> ReverseName {
        let value = usize::from(self.0[Aspect::ReverseName as usize]);
        ReverseName::ALL.get(value).copied().unwrap_or_default()
    }

    /// Whether its envelope sender is the null one, as a bounce's is.
    pub(crate) fn is_from_nobody(&self) -> bool {
        self.0[Aspect::Sender as usize] == SenderFit::Null as u8
    }

    /// The `n`th of its entries, below [`TraitSet::COUNT`].
    pub(crate) fn nth(&self, n: usize) -> Trait {
        Trait { aspect: Aspect::ALL[n], value: self.0[n] }
    }

    /// Its entries.
    pub fn iter(&self) -> impl Iterator<Item = Trait> {
        Aspect::ALL.iter().map(|&aspect| self.get(aspect))
    }
}

fn found(findings: &Findings, put: &mut impl FnMut(Aspect, usize)) {
    put(Aspect::Listing, findings.listing as usize);
    put(Aspect::HeloAddress, findings.helo as usize);
    put(Aspect::Spf, findings.spf as usize);
    put(Aspect::Dkim, findings.dkim as usize);
    put(Aspect::Dmarc, findings.dmarc as usize);
    put(Aspect::Country, findings.operator.as_ref().map_or(0, Operator::country_value));
    let content = &findings.content;
    put(Aspect::Subject, content.subject as usize);
    put(Aspect::Links, content.links as usize);
    put(Aspect::Attachments, content.attachments as usize);
    put(Aspect::TextToMarkup, content.text_to_markup as usize);
    put(Aspect::Missing, content.missing as usize);
    put(Aspect::Unsubscribe, content.unsubscribe as usize);
    put(Aspect::FromFit, content.from_fit as usize);
    put(Aspect::Hops, content.hops as usize);
}

fn reverse_name(facts: &Facts, host: Option<Name<'_>>) -> ReverseName {
    match (host, &facts.client.reverse_name) {
        (Some(host), _) if is_generic(host, facts.client.address) => ReverseName::Generic,
        (Some(_), _) => ReverseName::Named,
        (None, Some(_)) => ReverseName::Unconfirmed,
        (None, None) => ReverseName::Absent,
    }
}

fn helo_name(names: &Names<'_>) -> HeloName {
    let Some(helo) = names.helo else { return HeloName::Absent };
    if helo.is_literal() {
        HeloName::Literal
    } else if !helo.whole.as_str().contains('.') {
        HeloName::BareWord
    } else {
        match names.host {
            Some(host) if host.whole == helo.whole => HeloName::Equal,
            Some(host) if host.same_organisation(helo) => HeloName::SameDomain,
            _ => HeloName::Unrelated,
        }
    }
}

fn sender_fit(facts: &Facts, names: &Names<'_>) -> SenderFit {
    let Some(sender) = names.sender else {
        return match &facts.envelope.sender {
            None => SenderFit::Unknown,
            Some(Sender::Null) => SenderFit::Null,
            Some(Sender::Mailbox(_)) => SenderFit::Unrelated,
        };
    };
    let aligned = |other: Name<'_>| other.aligned(sender);
    if names.verified.iter().copied().any(aligned) || further(facts, names).any(aligned) {
        SenderFit::Verified
    } else if !facts.message.verified.is_empty() {
        SenderFit::VerifiedOther
    } else if names.host.is_some_and(aligned) {
        SenderFit::OfReverseName
    } else if names.helo.is_some_and(aligned) {
        SenderFit::OfHelo
    } else {
        SenderFit::Unrelated
    }
}

/// Verified domains beyond those that are identities: any of them can be the sender's.
fn further<'a>(facts: &'a Facts, names: &Names<'_>) -> impl Iterator<Item = Name<'a>> {
    let all =
        if facts.message.verified.len() > names.verified.len() { &facts.message.verified[..] } else { &[] };
    all.iter().map(|verified| Name::new(&verified.domain, &[]))
}

fn host_label(host: Option<&DomainName>) -> FirstLabel {
    match host {
        None => FirstLabel::Absent,
        Some(name) if is_mail_like(name.as_str()) => FirstLabel::MailLike,
        Some(_) => FirstLabel::Other,
    }
}

fn shape(name: Option<Name<'_>>, address: IpAddr) -> Shape {
    let Some(name) = name.filter(|name| !name.is_literal()) else { return Shape::Absent };
    let text = name.whole.as_str();
    match () {
        () if !text.contains('.') => Shape::Absent,
        () if is_generic(name, address) => Shape::Generic,
        () if is_mail_like(text) => Shape::MailLike,
        () if name.widest() == text => Shape::Bare,
        () if leading_digits(text) >= 4 || first_label(text).len() >= 16 => Shape::Random,
        () => Shape::Other,
    }
}

fn size(octets: Option<u64>) -> usize {
    // 256 octets are the first value, and each further one is half a power of two more.
    octets.map_or(0, |octets| ((2.0 * (octets.max(256) as f32).log2()) as usize - 15).min(SIZES - 1))
}

fn signature(facts: &Facts, names: &Names<'_>) -> Signature {
    let Some(signed) = &facts.message.signed else {
        return if facts.stage < Stage::EndOfMessage { Signature::Unknown } else { Signature::Absent };
    };
    let signed = Name::new(signed, &[names.sender]);
    if names.sender.is_some_and(|sender| sender.widest() == signed.widest()) {
        Signature::OfSender
    } else {
        Signature::OfOther
    }
}

/// Recipients accepted so far, and before the end of the message the one that is asked about.
fn crowd(facts: &Facts) -> usize {
    let asked = u32::from(facts.stage == Stage::Rcpt);
    match facts.envelope.accepted_recipients.map(|n| n.saturating_add(asked)) {
        None | Some(0) => 0,
        Some(1) => 1,
        Some(2..=4) => 2,
        Some(5..=20) => 3,
        Some(_) => 4,
    }
}

fn labels(name: &str) -> usize {
    if name.is_empty() { 0 } else { name.split('.').count() }
}

/// The place of a name's top-level domain; 0 when it has none.
fn top_level(name: &str) -> usize {
    let Some((_, label)) = name.rsplit_once('.') else { return 0 };
    if label.ends_with(']') || label.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    // FNV-1a: a place that anybody can compute is no harm, since anybody can choose the name itself.
    let fold = |hash: u32, b: u8| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193);
    1 + label.bytes().fold(0x811c_9dc5, fold) as usize % (TOP_LEVELS - 1)
}

#[cfg(test)]
mod tests;
