//! The policy: what the operator wants, as one value that is replaced whole.

use crate::answer::DeferCode;
use crate::facts::{Client, Facts, Stage};
use crate::feedback::Sources;
use crate::ladder::Ladder;
use crate::name::{DomainName, Mailbox};
use crate::networks::Networks;
use crate::quota::Limits;
use crate::standing::Standing;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

/// What is done with a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is judged and everything accepted.
    Off,
    /// Everything is judged, logged and accepted.
    #[default]
    Observe,
    /// The verdict is the reply.
    Enforce,
}

/// Which code a deferral has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CodeChoice {
    /// 421 for a verdict on the client; 451 for one on a recipient or domain in a session that has accepted
    /// recipients, which a 421 would lose.
    #[default]
    ByScope,
    /// Always this one.
    Always(DeferCode),
}

/// Recipients, by address, by domain, or by local part in any domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// `local-part@domain`, in lower case.
    pub addresses: HashSet<CompactString>,
    /// Whole domains.
    pub domains: HashSet<DomainName>,
    /// Local parts, in lower case, in any domain or none.
    pub local_parts: HashSet<CompactString>,
}

impl Recipients {
    /// Whether a recipient is among them.
    pub fn contains(&self, recipient: &Mailbox) -> bool {
        self.entry_of(recipient).is_some()
    }

    /// What a recipient is among them by: the local part, the domain or both. Local parts compare without case here, as
    /// every mail server of today delivers them.
    pub(crate) fn entry_of(&self, recipient: &Mailbox) -> Option<CompactString> {
        if self.is_empty() {
            return None;
        }
        let local_part = recipient.folded_local_part();
        if self.local_parts.contains(&local_part) {
            return Some(local_part);
        }
        let domain = recipient.domain.as_ref()?;
        if self.domains.contains(domain) {
            return Some(domain.as_str().into());
        }
        let whole = || CompactString::from(format!("{local_part}@{domain}"));
        (!self.addresses.is_empty()).then(whole).filter(|whole| self.addresses.contains(whole))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.domains.is_empty() && self.local_parts.is_empty()
    }
}

/// Whose mail is never deferred. An exemption beats everything but nothing is learned less for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemptions {
    /// Clients that have authenticated.
    pub authenticated: bool,
    /// One's own networks.
    pub own_networks: Networks,
    /// Listed clients by network.
    pub clients: Networks,
    /// Listed clients by forward-confirmed reverse name: this name, or any below it.
    pub client_names: HashSet<DomainName>,
    /// Listed recipients.
    pub recipients: Recipients,
    /// Domains, when SPF or DKIM has verified them for the message; their subdomains too.
    pub domains: HashSet<DomainName>,
}

impl Default for Exemptions {
    /// Authenticated users, loopback, and postmaster and abuse (RFC 5321 section 4.5.1, RFC 2142).
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect();
        Self {
            authenticated: true,
            own_networks: loopback,
            clients: Networks::default(),
            client_names: HashSet::new(),
            recipients: Recipients {
                local_parts: ["postmaster", "abuse"].map(CompactString::const_new).into(),
                ..Recipients::default()
            },
            domains: HashSet::new(),
        }
    }
}

/// What exempted a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exemption {
    /// The client has authenticated.
    Authenticated,
    /// It comes from one's own network.
    OwnNetwork,
    /// The client is listed.
    Client,
    /// The recipient is listed.
    Recipient,
    /// A verified domain is listed.
    Domain,
    /// An operator has allowed it at run time.
    Override,
}

impl Exemptions {
    /// Why these facts are exempt, if they are.
    pub fn exempt(&self, facts: &Facts) -> Option<Exemption> {
        let client = &facts.client;
        if self.authenticated && client.authenticated.is_some() {
            Some(Exemption::Authenticated)
        } else if self.own_networks.contains(client.address) {
            Some(Exemption::OwnNetwork)
        } else if self.lists(client) {
            Some(Exemption::Client)
        } else if facts.envelope.recipient.as_ref().is_some_and(|r| self.recipients.contains(r)) {
            Some(Exemption::Recipient)
        } else if facts.message.verified.iter().any(|v| within(&self.domains, &v.domain)) {
            Some(Exemption::Domain)
        } else {
            None
        }
    }

    fn lists(&self, client: &Client) -> bool {
        self.clients.contains(client.address)
            || client.name.as_ref().is_some_and(|name| within(&self.client_names, name))
    }
}

/// Whether a name, or one that it lies below, is in the set.
fn within(set: &HashSet<DomainName>, name: &DomainName) -> bool {
    !set.is_empty() && name.and_parents().any(|name| set.contains(&name))
}

/// Recipient domains that only some networks may deliver to: a filtering service, or a bank's own relays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways(HashMap<DomainName, Networks>);

impl FromIterator<(DomainName, Networks)> for Gateways {
    fn from_iter<I: IntoIterator<Item = (DomainName, Networks)>>(gateways: I) -> Self {
        Self(gateways.into_iter().collect())
    }
}

impl Gateways {
    /// Whether this client may not deliver to this recipient's domain. A recipient without a domain, which
    /// nobody but postmaster may be (RFC 5321 section 2.3.5), gets one from the mail server, and that may be
    /// any of these.
    pub fn refuse(&self, client: IpAddr, recipient: Option<&Mailbox>) -> bool {
        let Some(recipient) = recipient else { return false };
        let outside = |networks: &Networks| !networks.contains(client);
        match &recipient.domain {
            Some(domain) => self.0.get(domain).is_some_and(outside),
            None => recipient.folded_local_part() != "postmaster" && self.0.values().any(outside),
        }
    }
}

/// How long senders wait before they are let in at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waits {
    /// A suspicious sender: a stranger once, one that is known with each message. At most five minutes, so that
    /// every published retry schedule meets it at its second or third try; zero turns it off.
    pub first_contact: Duration,
    /// A sender of standing Bad, with each message.
    pub bad: Duration,
    /// The share of this server's own good mail that may wait: what looks worse than all the rest is suspicious.
    pub good_share: f32,
    /// The chance of spam above which mail is suspicious whatever else this server has seen.
    pub suspicious: f32,
}

/// The least chance of spam that can be suspicious, however good this server's other mail looks.
const LEAST_SUSPICIOUS: f32 = 0.8;

impl Default for Waits {
    /// Three minutes: the longest wait that costs mail of ten measured webmail providers no more than their first
    /// retry does, five minutes at the median and six at the worst (Pagani et al., DSN 2016).
    fn default() -> Self {
        Self {
            first_contact: Duration::from_secs(180),
            bad: Duration::from_secs(180),
            good_share: 0.003,
            suspicious: 0.96,
        }
    }
}

impl Waits {
    /// Whether mail of this standing looks so much like spam, and so little like this server's good mail, that
    /// it has to wait.
    pub fn is_suspicious(&self, standing: &Standing) -> bool {
        let unlike_good_mail = standing.good_above.is_some_and(|share| share <= self.good_share);
        standing.certainty >= self.suspicious || unlike_good_mail && standing.judged >= LEAST_SUSPICIOUS
    }
}

/// What the operator wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What is done with verdicts.
    pub mode: Mode,
    /// The first stage at which anything but acceptance is answered. Before RCPT neither the recipient nor,
    /// at HELO, the authentication is known, so exemptions by them cannot hold there.
    pub reply_from: Stage,
    /// Codes of deferrals.
    pub code: CodeChoice,
    /// Who is never deferred.
    pub exempt: Exemptions,
    /// Recipient domains with networks of their own.
    pub gateways: Gateways,
    /// Networks that many organisations send from: mail of a verified domain from there is its domain's alone.
    pub pools: Networks,
    /// Recipients that nobody writes to honestly.
    pub spamtraps: Recipients,
    /// Waits.
    pub waits: Waits,
    /// When an address that stays Bad is refused; never when `None`.
    pub ladder: Option<Ladder>,
    /// Limits.
    pub limits: Limits,
    /// Whether messages that are let in are marked, so that feedback finds whom they are booked on.
    pub mark: bool,
    /// How much feedback may say, by where it comes from.
    pub sources: Sources,
    /// A contact or page that is added to each deferral, for people.
    pub help: Option<CompactString>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            reply_from: Stage::Rcpt,
            code: CodeChoice::default(),
            exempt: Exemptions::default(),
            gateways: Gateways::default(),
            pools: Networks::default(),
            spamtraps: Recipients::default(),
            waits: Waits::default(),
            ladder: None,
            limits: Limits::default(),
            mark: true,
            sources: Sources::default(),
            help: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{VerifiedBy, VerifiedDomain};
    use crate::fixtures::facts;
    use crate::name::Sender;

    fn domain(name: &str) -> DomainName {
        DomainName::new(name).unwrap()
    }

    #[test]
    fn each_exemption_holds_and_a_forged_sender_gains_nothing() {
        let clients = ["198.51.100.0/24".parse().unwrap()].into_iter().collect();
        let mut exempt = Exemptions { clients, ..Exemptions::default() };
        exempt.client_names.insert(domain("partner.example"));
        exempt.domains.insert(domain("bank.example"));
        let plain = facts("192.0.2.1");
        assert_eq!(exempt.exempt(&plain), None);
        assert_eq!(exempt.exempt(&facts("127.3.2.1")), Some(Exemption::OwnNetwork));
        assert_eq!(exempt.exempt(&facts("198.51.100.9")), Some(Exemption::Client));
        let mut f = plain.clone();
        f.client.authenticated = Some("joe".into());
        assert_eq!(exempt.exempt(&f), Some(Exemption::Authenticated));
        f = plain.clone();
        f.client.name = Some(domain("mx.partner.example"));
        assert_eq!(exempt.exempt(&f), Some(Exemption::Client));
        f.client.reverse_name = f.client.name.take();
        assert_eq!(exempt.exempt(&f), None, "an unconfirmed name exempts nobody");
        f = plain.clone();
        f.envelope.recipient = Mailbox::new("PostMaster@dest.example");
        assert_eq!(exempt.exempt(&f), Some(Exemption::Recipient));
        f = plain.clone();
        f.envelope.sender = Sender::new("a@bank.example");
        assert_eq!(exempt.exempt(&f), None);
        f.message.verified =
            vec![VerifiedDomain { domain: domain("mail.bank.example"), by: VerifiedBy::Dkim }];
        assert_eq!(exempt.exempt(&f), Some(Exemption::Domain));
        f.message.verified[0].domain = domain("notbank.example");
        assert_eq!(exempt.exempt(&f), None);
    }

    #[test]
    fn gateways_hold_for_their_domain_only() {
        let gateways: Gateways =
            [(domain("bank.example"), ["192.0.2.0/24".parse().unwrap()].into_iter().collect())]
                .into_iter()
                .collect();
        let refuse =
            |client: &str, rcpt: &str| gateways.refuse(client.parse().unwrap(), Mailbox::new(rcpt).as_ref());
        assert!(refuse("198.51.100.1", "a@Bank.Example"));
        assert!(!refuse("192.0.2.7", "a@bank.example"));
        assert!(!refuse("198.51.100.1", "a@dest.example"));
        assert!(!refuse("198.51.100.1", "postmaster"));
        assert!(refuse("198.51.100.1", "a"), "the mail server may make it a@bank.example");
        assert!(!refuse("192.0.2.7", "a"));
    }

    #[test]
    fn recipients_match_by_address_domain_and_local_part() {
        let recipients = Recipients {
            addresses: ["trap@dest.example".into()].into(),
            domains: [domain("traps.example")].into(),
            local_parts: ["honey".into()].into(),
        };
        let has = |text: &str| recipients.contains(&Mailbox::new(text).unwrap());
        assert!(
            has("Trap@Dest.example") && has("any@traps.example") && has("honey@x.example") && has("honey")
        );
        assert!(!has("trap@other.example") && !has("good@dest.example"));
    }
}
