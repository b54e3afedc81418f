//! Traits: how a client presents itself. A trait is an identity with few values, whose reputation is
//! learned from this server's own mail; no trait alone decides anything.

use crate::facts::{Client, Facts};
use crate::name::Sender;
use crate::names::{Name, Names};
use arrayvec::ArrayVec;
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
}

/// One trait with its value, as an entry of the trait table.
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
}

impl Trait {
    /// How many entries the trait table has.
    pub const COUNT: usize = ReverseName::ALL.len()
        + HeloName::ALL.len()
        + SenderFit::ALL.len()
        + Tls::ALL.len()
        + FirstLabel::ALL.len();

    /// The entry's place in the table, below [`Trait::COUNT`].
    pub const fn index(self) -> usize {
        const HELO: usize = ReverseName::ALL.len();
        const SENDER: usize = HELO + HeloName::ALL.len();
        const TLS: usize = SENDER + SenderFit::ALL.len();
        const FIRST_LABEL: usize = TLS + Tls::ALL.len();
        match self {
            Self::ReverseName(value) => value as usize,
            Self::Helo(value) => HELO + value as usize,
            Self::Sender(value) => SENDER + value as usize,
            Self::Tls(value) => TLS + value as usize,
            Self::FirstLabel(value) => FIRST_LABEL + value as usize,
        }
    }

    /// The trait in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ReverseName(value) => value.words(),
            Self::Helo(value) => value.words(),
            Self::Sender(value) => value.words(),
            Self::Tls(value) => value.words(),
            Self::FirstLabel(value) => value.words(),
        }
    }
}

impl TraitSet {
    /// The traits of `facts`.
    pub fn of(facts: &Facts) -> Self {
        Self::of_names(facts, &Names::of(facts, Names::helo(facts).as_ref()))
    }

    /// The same, from names that have been looked up.
    pub(crate) fn of_names(facts: &Facts, names: &Names<'_>) -> Self {
        Self {
            reverse_name: reverse_name(&facts.client, names.host),
            helo: helo_name(names),
            sender: sender_fit(facts, names),
            tls: match facts.client.tls {
                None => Tls::Unknown,
                Some(false) => Tls::Plain,
                Some(true) => Tls::Encrypted,
            },
            first_label: first_label(&facts.client),
        }
    }

    /// Its entries.
    pub fn iter(&self) -> impl Iterator<Item = Trait> {
        [
            Trait::ReverseName(self.reverse_name),
            Trait::Helo(self.helo),
            Trait::Sender(self.sender),
            Trait::Tls(self.tls),
            Trait::FirstLabel(self.first_label),
        ]
        .into_iter()
    }
}

fn reverse_name(client: &Client, host: Option<Name<'_>>) -> ReverseName {
    match (host, &client.reverse_name) {
        (Some(host), _) if is_generic(host, client.address) => ReverseName::Generic,
        (Some(_), _) => ReverseName::Named,
        (None, Some(_)) => ReverseName::Unconfirmed,
        (None, None) => ReverseName::Absent,
    }
}

/// Whether a name is made of the address or speaks of an access network.
fn is_generic(name: Name<'_>, address: IpAddr) -> bool {
    let whole = name.whole.as_str();
    let host = name.organisational.and_then(|org| whole.strip_suffix(org)).unwrap_or(whole);
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
            let mut octets = v4.octets().map(|octet| Some(u16::from(octet)));
            let numbers = host.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
            // Each number takes an octet's place, so that one octet twice in the name counts once.
            let found = numbers.filter(|number| {
                let place = octets.iter().position(|octet| *octet == Some(*number));
                place.map(|place| octets[place].take()).is_some()
            });
            found.count() >= 3 || holds(host, &hexadecimal(v4.to_bits(), 8))
        }
        IpAddr::V6(v6) => {
            let groups = v6.segments().map(|group| hexadecimal(group.into(), 1));
            groups.iter().filter(|group| group.len() >= 3 && holds(host, group)).count() >= 2
        }
    }
}

fn holds(host: &str, part: &[u8]) -> bool {
    host.as_bytes().windows(part.len()).any(|window| window == part)
}

/// A number in lower-case hexadecimal digits, at least so many.
fn hexadecimal(number: u32, least: u32) -> ArrayVec<u8, 8> {
    let digits = least.max((u32::BITS - number.leading_zeros()).div_ceil(4));
    let digit = |place: u32| b"0123456789abcdef"[(number >> (4 * place) & 15) as usize];
    (0..digits).rev().map(digit).collect()
}

fn helo_name(names: &Names<'_>) -> HeloName {
    let Some(helo) = names.helo else { return HeloName::Absent };
    let text = helo.whole.as_str();
    if text.starts_with('[') || text.parse::<IpAddr>().is_ok() {
        HeloName::Literal
    } else if !text.contains('.') {
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

fn first_label(client: &Client) -> FirstLabel {
    let Some(name) = &client.name else { return FirstLabel::Absent };
    let label = name.as_str().split(['.', '-']).next().unwrap_or_default();
    let word = label.trim_end_matches(|c: char| c.is_ascii_digit());
    if MAIL_WORDS.contains(&word) { FirstLabel::MailLike } else { FirstLabel::Other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{VerifiedBy, VerifiedDomain};
    use crate::fixtures::facts;
    use crate::name::DomainName;

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
