//! Traits: how a client presents itself. A trait is an identity with few values, whose reputation is
//! learned from this server's own mail; no trait alone decides anything.

use crate::facts::{Client, Facts, Stage};
use crate::name::{DomainName, Sender};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Words that access networks and hosting companies put into the names of their customers' addresses.
const ACCESS_WORDS: [&str; 24] = [
    "adsl",
    "broadband",
    "cable",
    "client",
    "cpe",
    "cust",
    "customer",
    "dhcp",
    "dial",
    "dialup",
    "dip",
    "dsl",
    "dyn",
    "dynamic",
    "ftth",
    "hsd",
    "mobile",
    "pool",
    "ppp",
    "pppoe",
    "res",
    "retail",
    "vdsl",
    "wireless",
];

/// Words that the names of mail servers begin with.
const MAIL_WORDS: [&str; 14] = [
    "bounce", "email", "imap", "mail", "mailer", "mailout", "mta", "mx", "news", "out", "outbound", "relay",
    "send", "smtp",
];

macro_rules! trait_values {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $value:ident => $words:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$vdoc])* $value,)+ }

        impl $name {
            /// Every value, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The value in words.
            pub const fn words(self) -> &'static str {
                match self { $(Self::$value => $words,)+ }
            }
        }
    };
}

trait_values! {
    /// The class of the reverse name.
    ReverseName {
        /// No PTR record.
        Absent => "no reverse name",
        /// A PTR record that does not resolve back.
        Unconfirmed => "a reverse name that does not resolve back",
        /// A confirmed name made of the address, or with an access network's words in it.
        Generic => "a generic reverse name",
        /// A confirmed name of its own.
        Named => "a confirmed reverse name",
    }
}

trait_values! {
    /// The class of the HELO name.
    HeloName {
        /// No HELO yet, or an empty one.
        Absent => "no HELO name",
        /// `[192.0.2.1]`, or a bare address.
        Literal => "an address for a HELO name",
        /// One label.
        BareWord => "a HELO name without a domain",
        /// A domain name that has nothing to do with the reverse name.
        Unrelated => "a HELO name unlike the reverse name",
        /// The same organisational domain as the reverse name.
        SameDomain => "a HELO name of the reverse name's domain",
        /// Equal to the confirmed reverse name.
        Equal => "a HELO name equal to the reverse name",
    }
}

trait_values! {
    /// How the sender's domain fits the rest.
    SenderFit {
        /// MAIL has not been seen, or could not be read.
        Unknown => "no readable sender",
        /// The null sender.
        Null => "the null sender",
        /// The sender's organisational domain is verified.
        Verified => "a verified sender domain",
        /// Some domain is verified, but not the sender's.
        VerifiedOther => "a sender domain other than the verified one",
        /// Not verified; the domain of the reverse name.
        OfReverseName => "a sender of the reverse name's domain",
        /// Not verified; the domain of the HELO name only.
        OfHelo => "a sender of the HELO name's domain",
        /// A domain unlike all others.
        Unrelated => "a sender domain unlike host and HELO",
    }
}

trait_values! {
    /// Whether the session is encrypted.
    Tls {
        /// The front end cannot tell.
        Unknown => "TLS unknown",
        /// No.
        Plain => "no TLS",
        /// Yes.
        Encrypted => "TLS",
    }
}

trait_values! {
    /// What the reverse name begins with.
    FirstLabel {
        /// Without a reverse name.
        Absent => "no first label",
        /// A word that mail servers are called by.
        MailLike => "a host name like a mail server's",
        /// Anything else.
        Other => "a host name unlike a mail server's",
    }
}

trait_values! {
    /// What a name looks like, as far as the name alone shows.
    Shape {
        /// There is none, or it is no domain name.
        Absent => "absent",
        /// Made of the client's address, or with an access network's words in it.
        Generic => "made of the address or of an access network's words",
        /// Its first label is a word that mail servers are called by.
        MailLike => "like a mail server's",
        /// Not more than an organisational domain.
        Bare => "an organisational domain by itself",
        /// Its first label has many digits or is very long.
        Random => "with a first label like chance made it",
        /// Anything else.
        Other => "unremarkable",
    }
}

trait_values! {
    /// The declared or measured size.
    Size {
        /// Not declared.
        Unknown => "size unknown",
        /// Below 1 KiB.
        Tiny => "less than 1 KiB",
        /// Below 2 KiB.
        Small => "1 to 2 KiB",
        /// Below 4 KiB.
        Medium => "2 to 4 KiB",
        /// Below 8 KiB.
        Sizable => "4 to 8 KiB",
        /// Below 16 KiB.
        Large => "8 to 16 KiB",
        /// Below 64 KiB.
        Larger => "16 to 64 KiB",
        /// More.
        Huge => "64 KiB or more",
    }
}

trait_values! {
    /// A signature's domain, which nobody need have verified.
    Signature {
        /// Before the end of the message.
        Unknown => "signature unknown",
        /// None.
        Absent => "no signature",
        /// Of the sender's organisational domain.
        OfSender => "a signature of the sender's domain",
        /// Of another domain.
        OfOther => "a signature of another domain than the sender's",
    }
}

trait_values! {
    /// How many recipients the message has so far.
    Crowd {
        /// Not known.
        Unknown => "recipients unknown",
        /// The first.
        One => "one recipient",
        /// Two to four.
        Few => "two to four recipients",
        /// Five or more.
        Many => "five recipients or more",
    }
}

trait_values! {
    /// How many labels a host's name has: the reverse name's, or without one the HELO name's.
    Labels {
        /// No name.
        None => "no host name",
        /// One.
        One => "a host name of one label",
        /// Two.
        Two => "a host name of two labels",
        /// Three.
        Three => "a host name of three labels",
        /// Four.
        Four => "a host name of four labels",
        /// Five or more.
        Many => "a host name of five labels or more",
    }
}

/// Places for top-level domains; two that share a place share its evidence.
const TOP_LEVELS: u16 = 128;

/// A top-level domain, folded into a few places; `0` stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopLevel(u8);

impl TopLevel {
    fn of(name: Option<&DomainName>) -> Self {
        let Some(label) = name.and_then(|name| name.as_str().rsplit_once('.')).map(|(_, label)| label) else {
            return Self(0);
        };
        if label.ends_with(']') || label.bytes().all(|b| b.is_ascii_digit()) {
            return Self(0);
        }
        // FNV-1a: a place that anybody can compute is no harm, since anybody can choose the name itself.
        let hash =
            label.bytes().fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
        Self((1 + hash % u32::from(TOP_LEVELS - 1)) as u8)
    }
}

/// The traits of one client and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraitSet {
    /// The reverse name's class.
    pub reverse_name: ReverseName,
    /// The HELO name's class.
    pub helo: HeloName,
    /// The sender's fit.
    pub sender: SenderFit,
    /// Encryption.
    pub tls: Tls,
    /// The reverse name's first label.
    pub first_label: FirstLabel,
    /// The HELO name's shape.
    pub helo_shape: Shape,
    /// The sender domain's shape.
    pub sender_shape: Shape,
    /// The message's size.
    pub size: Size,
    /// Its signature.
    pub signature: Signature,
    /// Its recipients.
    pub crowd: Crowd,
    /// Labels of the host's name.
    pub labels: Labels,
    /// Top-level domains of the reverse name, the HELO name and the sender.
    pub top_levels: [TopLevel; 3],
}

/// Whose top-level domain it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The reverse name's.
    ReverseName,
    /// The HELO name's.
    Helo,
    /// The sender's.
    Sender,
}

/// One trait with its value, as an entry of the trait table. Crosses of two classes are traits of their
/// own: a HELO name unlike the reverse name says less of a host that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trait {
    /// See [`ReverseName`].
    ReverseName(ReverseName),
    /// See [`HeloName`].
    Helo(HeloName),
    /// See [`SenderFit`].
    Sender(SenderFit),
    /// See [`Tls`].
    Tls(Tls),
    /// See [`FirstLabel`].
    FirstLabel(FirstLabel),
    /// The [`Shape`] of the HELO name.
    HeloShape(Shape),
    /// The [`Shape`] of the sender's domain.
    SenderShape(Shape),
    /// See [`Size`].
    Size(Size),
    /// See [`Signature`].
    Signature(Signature),
    /// See [`Crowd`].
    Crowd(Crowd),
    /// See [`Labels`].
    Labels(Labels),
    /// Reverse name and HELO name together.
    HostCross(ReverseName, HeloName),
    /// HELO name's shape and sender's fit together.
    SenderCross(Shape, SenderFit),
    /// See [`TopLevel`].
    TopLevel(Whose, TopLevel),
}

/// Where each trait's values begin in the trait table.
const STARTS: [usize; TraitSet::COUNT + 1] = {
    let sizes = [
        ReverseName::ALL.len(),
        HeloName::ALL.len(),
        SenderFit::ALL.len(),
        Tls::ALL.len(),
        FirstLabel::ALL.len(),
        Shape::ALL.len(),
        Shape::ALL.len(),
        Size::ALL.len(),
        Signature::ALL.len(),
        Crowd::ALL.len(),
        Labels::ALL.len(),
        ReverseName::ALL.len() * HeloName::ALL.len(),
        Shape::ALL.len() * SenderFit::ALL.len(),
        TOP_LEVELS as usize,
        TOP_LEVELS as usize,
        TOP_LEVELS as usize,
    ];
    let mut starts = [0; TraitSet::COUNT + 1];
    let mut i = 0;
    while i < TraitSet::COUNT {
        starts[i + 1] = starts[i] + sizes[i];
        i += 1;
    }
    starts
};

impl Trait {
    /// How many entries the trait table has.
    pub const COUNT: usize = STARTS[TraitSet::COUNT];

    /// Which of the traits it is, below [`TraitSet::COUNT`], and which of its values.
    pub const fn place(self) -> (usize, usize) {
        match self {
            Self::ReverseName(value) => (0, value as usize),
            Self::Helo(value) => (1, value as usize),
            Self::Sender(value) => (2, value as usize),
            Self::Tls(value) => (3, value as usize),
            Self::FirstLabel(value) => (4, value as usize),
            Self::HeloShape(value) => (5, value as usize),
            Self::SenderShape(value) => (6, value as usize),
            Self::Size(value) => (7, value as usize),
            Self::Signature(value) => (8, value as usize),
            Self::Crowd(value) => (9, value as usize),
            Self::Labels(value) => (10, value as usize),
            Self::HostCross(name, helo) => (11, name as usize * HeloName::ALL.len() + helo as usize),
            Self::SenderCross(helo, fit) => (12, helo as usize * SenderFit::ALL.len() + fit as usize),
            Self::TopLevel(whose, TopLevel(place)) => (13 + whose as usize, place as usize),
        }
    }

    /// The entry's place in the table, below [`Trait::COUNT`].
    pub const fn index(self) -> usize {
        let (which, value) = self.place();
        STARTS[which] + value
    }

    /// Where the values of one of the traits begin in the table; its end for [`TraitSet::COUNT`].
    pub const fn start_of(which: usize) -> usize {
        STARTS[which]
    }

    /// The trait in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ReverseName(value) => value.words(),
            Self::Helo(value) => value.words(),
            Self::Sender(value) => value.words(),
            Self::Tls(value) => value.words(),
            Self::FirstLabel(value) => value.words(),
            Self::HeloShape(Shape::Generic) => "a HELO name made of the address",
            Self::HeloShape(Shape::MailLike) => "a HELO name like a mail server's",
            Self::HeloShape(_) => "the HELO name's shape",
            Self::SenderShape(_) => "the sender domain's shape",
            Self::Size(_) => "the size",
            Self::Signature(value) => value.words(),
            Self::Crowd(value) => value.words(),
            Self::Labels(value) => value.words(),
            Self::HostCross(..) => "reverse name and HELO name together",
            Self::SenderCross(..) => "HELO name and sender together",
            Self::TopLevel(Whose::ReverseName, _) => "the reverse name's top-level domain",
            Self::TopLevel(Whose::Helo, _) => "the HELO name's top-level domain",
            Self::TopLevel(Whose::Sender, _) => "the sender's top-level domain",
        }
    }
}

impl TraitSet {
    /// How many traits a message has.
    pub const COUNT: usize = 16;

    /// The traits of `facts`.
    pub fn of(facts: &Facts) -> Self {
        let client = &facts.client;
        let helo = client.helo.as_ref().and_then(|helo| DomainName::new(helo));
        let sender = facts.envelope.sender.as_ref().and_then(|sender| sender.domain());
        let host = client.name.as_ref().or(client.reverse_name.as_ref());
        Self {
            reverse_name: reverse_name(client),
            helo: helo_name(client),
            sender: sender_fit(facts),
            tls: match client.tls {
                None => Tls::Unknown,
                Some(false) => Tls::Plain,
                Some(true) => Tls::Encrypted,
            },
            first_label: first_label(client),
            helo_shape: shape(helo.as_ref(), client.address),
            sender_shape: shape(sender, client.address),
            size: size(facts.message.size),
            signature: signature(facts),
            crowd: match facts.envelope.accepted_recipients {
                None => Crowd::Unknown,
                Some(0) => Crowd::One,
                Some(1..=3) => Crowd::Few,
                Some(_) => Crowd::Many,
            },
            labels: labels(host.or(helo.as_ref())),
            top_levels: [host, helo.as_ref(), sender].map(TopLevel::of),
        }
    }

    /// Its entries, in the order of [`Trait::place`].
    pub fn entries(&self) -> [Trait; Self::COUNT] {
        [
            Trait::ReverseName(self.reverse_name),
            Trait::Helo(self.helo),
            Trait::Sender(self.sender),
            Trait::Tls(self.tls),
            Trait::FirstLabel(self.first_label),
            Trait::HeloShape(self.helo_shape),
            Trait::SenderShape(self.sender_shape),
            Trait::Size(self.size),
            Trait::Signature(self.signature),
            Trait::Crowd(self.crowd),
            Trait::Labels(self.labels),
            Trait::HostCross(self.reverse_name, self.helo),
            Trait::SenderCross(self.helo_shape, self.sender),
            Trait::TopLevel(Whose::ReverseName, self.top_levels[0]),
            Trait::TopLevel(Whose::Helo, self.top_levels[1]),
            Trait::TopLevel(Whose::Sender, self.top_levels[2]),
        ]
    }
}

fn shape(name: Option<&DomainName>, address: IpAddr) -> Shape {
    let Some(name) = name.filter(|name| name.as_str().contains('.') && !name.as_str().starts_with('['))
    else {
        return Shape::Absent;
    };
    let first = name.as_str().split('.').next().unwrap_or_default();
    let digits = first.bytes().filter(u8::is_ascii_digit).count();
    if is_generic(name, address) {
        Shape::Generic
    } else if is_mail_like(name) {
        Shape::MailLike
    } else if digits >= 4 || first.len() >= 18 {
        Shape::Random
    } else if name.organisational() == Some(name.as_str()) {
        Shape::Bare
    } else {
        Shape::Other
    }
}

fn size(octets: Option<u64>) -> Size {
    let Some(octets) = octets else { return Size::Unknown };
    match octets >> 10 {
        0 => Size::Tiny,
        1 => Size::Small,
        2..=3 => Size::Medium,
        4..=7 => Size::Sizable,
        8..=15 => Size::Large,
        16..=63 => Size::Larger,
        _ => Size::Huge,
    }
}

fn signature(facts: &Facts) -> Signature {
    let Some(domain) = &facts.message.signed else {
        let over = facts.stage >= Stage::EndOfMessage;
        return if over { Signature::Absent } else { Signature::Unknown };
    };
    let sender = facts.envelope.sender.as_ref().and_then(|sender| sender.domain());
    let own = sender.is_some_and(|sender| sender == domain || same_organisation(sender, domain));
    if own { Signature::OfSender } else { Signature::OfOther }
}

fn labels(name: Option<&DomainName>) -> Labels {
    let Some(name) = name.filter(|name| !name.as_str().starts_with('[')) else { return Labels::None };
    match name.as_str().split('.').count() {
        1 => Labels::One,
        2 => Labels::Two,
        3 => Labels::Three,
        4 => Labels::Four,
        _ => Labels::Many,
    }
}

fn reverse_name(client: &Client) -> ReverseName {
    match (&client.name, &client.reverse_name) {
        (Some(name), _) if is_generic(name, client.address) => ReverseName::Generic,
        (Some(_), _) => ReverseName::Named,
        (None, Some(_)) => ReverseName::Unconfirmed,
        (None, None) => ReverseName::Absent,
    }
}

/// Whether a name is made of the address or speaks of an access network.
fn is_generic(name: &DomainName, address: IpAddr) -> bool {
    let host = match name.organisational() {
        Some(org) => name.as_str().strip_suffix(org).unwrap_or(name.as_str()),
        None => name.as_str(),
    };
    let tokens = || host.split(|c: char| !c.is_ascii_alphanumeric()).filter(|token| !token.is_empty());
    let words =
        tokens().any(|token| ACCESS_WORDS.contains(&token.trim_matches(|c: char| c.is_ascii_digit())));
    words || holds_address(host, address)
}

/// Whether three octets of an IPv4 address, all of it in hexadecimal, or two groups of an IPv6 address
/// stand in the name. Two octets alone do not count: large senders number their hosts that way.
fn holds_address(host: &str, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let mut numbers: Vec<u16> =
                host.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
            let octets = v4.octets().map(u16::from);
            let found = octets.iter().filter(|&octet| {
                let place = numbers.iter().position(|number| number == octet);
                place.map(|place| numbers.swap_remove(place)).is_some()
            });
            let hex = v4.octets().map(|octet| format!("{octet:02x}")).concat();
            found.count() >= 3 || host.contains(&hex)
        }
        IpAddr::V6(v6) => {
            let groups = v6.segments().map(|group| format!("{group:x}"));
            let long = groups.iter().filter(|group| group.len() >= 3 && host.contains(group.as_str()));
            long.count() >= 2
        }
    }
}

fn helo_name(client: &Client) -> HeloName {
    let Some(helo) = client.helo.as_ref().and_then(|helo| DomainName::new(helo)) else {
        return HeloName::Absent;
    };
    if helo.as_str().starts_with('[') || helo.as_str().parse::<IpAddr>().is_ok() {
        HeloName::Literal
    } else if !helo.as_str().contains('.') {
        HeloName::BareWord
    } else {
        match &client.name {
            Some(name) if *name == helo => HeloName::Equal,
            Some(name) if same_organisation(name, &helo) => HeloName::SameDomain,
            _ => HeloName::Unrelated,
        }
    }
}

fn same_organisation(a: &DomainName, b: &DomainName) -> bool {
    a.organisational().is_some_and(|org| b.organisational() == Some(org))
}

fn sender_fit(facts: &Facts) -> SenderFit {
    let domain = match &facts.envelope.sender {
        None => return SenderFit::Unknown,
        Some(Sender::Null) => return SenderFit::Null,
        Some(Sender::Mailbox(mailbox)) => mailbox.domain.as_ref(),
    };
    let Some(domain) = domain else { return SenderFit::Unrelated };
    let aligned = |other: &DomainName| other == domain || same_organisation(other, domain);
    let helo = facts.client.helo.as_ref().and_then(|helo| DomainName::new(helo));
    if facts.message.verified.iter().any(|verified| aligned(&verified.domain)) {
        SenderFit::Verified
    } else if !facts.message.verified.is_empty() {
        SenderFit::VerifiedOther
    } else if facts.client.name.as_ref().is_some_and(aligned) {
        SenderFit::OfReverseName
    } else if helo.as_ref().is_some_and(aligned) {
        SenderFit::OfHelo
    } else {
        SenderFit::Unrelated
    }
}

fn first_label(client: &Client) -> FirstLabel {
    match &client.name {
        None => FirstLabel::Absent,
        Some(name) if is_mail_like(name) => FirstLabel::MailLike,
        Some(_) => FirstLabel::Other,
    }
}

fn is_mail_like(name: &DomainName) -> bool {
    let label = name.as_str().split(['.', '-']).next().unwrap_or_default();
    MAIL_WORDS.contains(&label.trim_end_matches(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{VerifiedBy, VerifiedDomain};
    use crate::fixtures::facts;

    fn class(address: &str, name: &str) -> ReverseName {
        let mut facts = facts(address);
        facts.client.name = DomainName::new(name);
        TraitSet::of(&facts).reverse_name
    }

    #[test]
    fn generic_names_are_told_from_mail_servers() {
        for (address, name) in [
            ("192.0.2.17", "192-0-2-17.isp.example"),
            ("192.0.2.17", "host17.2.0.192.isp.example"),
            ("192.0.2.17", "c0000211.isp.example"),
            ("192.0.2.17", "dyn-55.isp.example"),
            ("192.0.2.17", "pool7.isp.example"),
            ("2001:db8:aa1:bb2::1", "2001-db8-aa1-bb2.isp.example"),
        ] {
            assert_eq!(class(address, name), ReverseName::Generic, "{name}");
        }
        for (address, name) in [
            ("209.85.208.50", "mail-ed1-f50.google.com"),
            ("54.240.8.50", "a8-50.smtp-out.amazonses.com"),
            ("161.38.204.231", "m204-231.eu.mailgun.net"),
            ("192.0.2.17", "mx1.corp.example"),
        ] {
            assert_eq!(class(address, name), ReverseName::Named, "{name}");
        }
    }

    #[test]
    fn every_trait_value_has_its_own_place() {
        let mut places: Vec<usize> = Vec::new();
        places.extend(ReverseName::ALL.iter().map(|&v| Trait::ReverseName(v).index()));
        places.extend(HeloName::ALL.iter().map(|&v| Trait::Helo(v).index()));
        places.extend(SenderFit::ALL.iter().map(|&v| Trait::Sender(v).index()));
        places.extend(Tls::ALL.iter().map(|&v| Trait::Tls(v).index()));
        places.extend(FirstLabel::ALL.iter().map(|&v| Trait::FirstLabel(v).index()));
        places.extend(Shape::ALL.iter().map(|&v| Trait::HeloShape(v).index()));
        places.extend(Shape::ALL.iter().map(|&v| Trait::SenderShape(v).index()));
        places.extend(Size::ALL.iter().map(|&v| Trait::Size(v).index()));
        places.extend(Signature::ALL.iter().map(|&v| Trait::Signature(v).index()));
        places.extend(Crowd::ALL.iter().map(|&v| Trait::Crowd(v).index()));
        places.extend(Labels::ALL.iter().map(|&v| Trait::Labels(v).index()));
        let helos = |name| HeloName::ALL.iter().map(move |&helo| Trait::HostCross(name, helo).index());
        places.extend(ReverseName::ALL.iter().flat_map(|&name| helos(name)));
        let fits = |shape| SenderFit::ALL.iter().map(move |&fit| Trait::SenderCross(shape, fit).index());
        places.extend(Shape::ALL.iter().flat_map(|&shape| fits(shape)));
        for whose in [Whose::ReverseName, Whose::Helo, Whose::Sender] {
            places.extend((0..TOP_LEVELS as u8).map(|n| Trait::TopLevel(whose, TopLevel(n)).index()));
        }
        assert_eq!(places, (0..Trait::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn helo_and_sender_are_compared_with_the_reverse_name() {
        let mut f = facts("192.0.2.1");
        f.client.name = DomainName::new("mail.corp.example");
        let mut helo = |helo: &str| {
            f.client.helo = Some(helo.into());
            TraitSet::of(&f).helo
        };
        assert_eq!(helo("Mail.Corp.Example"), HeloName::Equal);
        assert_eq!(helo("out.corp.example"), HeloName::SameDomain);
        assert_eq!(helo("other.example"), HeloName::Unrelated);
        assert_eq!(helo("[192.0.2.1]"), HeloName::Literal);
        assert_eq!(helo("192.0.2.1"), HeloName::Literal);
        assert_eq!(helo("pc"), HeloName::BareWord);
        let mut fit = |sender: &str| {
            f.envelope.sender = Sender::new(sender);
            TraitSet::of(&f).sender
        };
        assert_eq!(fit("a@corp.example"), SenderFit::OfReverseName);
        assert_eq!(fit("a@else.example"), SenderFit::Unrelated);
        assert_eq!(fit(""), SenderFit::Null);
        f.message.verified =
            vec![VerifiedDomain { domain: DomainName::new("else.example").unwrap(), by: VerifiedBy::Spf }];
        f.envelope.sender = Sender::new("a@news.else.example");
        assert_eq!(TraitSet::of(&f).sender, SenderFit::Verified);
    }
}
