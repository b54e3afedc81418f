//! Hosts and the mail that they send.

use super::mailer::Mailer;
use policy_core::facts::{Client, VerifiedBy, VerifiedDomain};
use policy_core::name::{DomainName, Sender};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

/// Whose mail it is; outcomes are counted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// The ordinary life of the server.
    Background,
    /// Honest strangers, who write once as part of that life.
    Newcomer,
    /// Whoever the test is about, honest mail of a compromised host included.
    Actor,
    /// Somebody honest who shares something with the actor.
    Neighbour,
}

/// An IPv4 address.
pub(crate) fn v4(bits: u32) -> IpAddr {
    Ipv4Addr::from_bits(bits).into()
}

/// An IPv6 address below 2001:db8::/32: the rest of the first 64 bits, and the last 64.
pub(crate) fn v6(network: u32, host: u64) -> IpAddr {
    let bits = 0x2001_0db8u128 << 96 | u128::from(network) << 64 | u128::from(host);
    Ipv6Addr::from_bits(bits).into()
}

/// A domain name.
pub(crate) fn domain(name: &str) -> DomainName {
    DomainName::new(name).unwrap()
}

/// A host without a reverse name that greets with one word, as bots do.
pub(crate) fn bare(address: IpAddr) -> Client {
    Client { helo: Some("user-pc".into()), tls: Some(false), ..Client::new(address) }
}

/// A customer of an access network.
pub(crate) fn generic(address: IpAddr, isp: &str) -> Client {
    let name = domain(&format!("dyn-{}.{isp}", address.to_string().replace(['.', ':'], "-")));
    Client { name: Some(name.clone()), reverse_name: Some(name), ..bare(address) }
}

/// A mail server set up as it should be.
pub(crate) fn proper(address: IpAddr, name: &str) -> Client {
    let host = domain(name);
    Client {
        helo: Some(name.into()),
        name: Some(host.clone()),
        reverse_name: Some(host),
        tls: Some(true),
        ..Client::new(address)
    }
}

/// One message with one recipient.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) party: Party,
    /// A number by which the test tells one host or tenant from another.
    pub(crate) tag: u32,
    pub(crate) spam: bool,
    /// The hosts that may send it: the first try comes from `host`, a retry from any.
    pub(crate) hosts: Rc<[Client]>,
    pub(crate) host: usize,
    pub(crate) mailer: Mailer,
    pub(crate) sender: Option<Sender>,
    /// The recipient, by number.
    pub(crate) recipient: u32,
    /// The domain that SPF passes, known from MAIL on.
    pub(crate) spf: Option<DomainName>,
    /// The domain of a DKIM signature that verifies, known at the end of the message.
    pub(crate) dkim: Option<DomainName>,
    pub(crate) size: u64,
    /// Complaints that its recipient files, an hour after it was let in.
    pub(crate) complaints: u32,
}

impl Mail {
    /// Good mail of an actor, from one host, claiming to come from `from` without proof.
    pub(crate) fn unverified(host: Client, from: &str) -> Self {
        Self {
            party: Party::Actor,
            tag: 0,
            spam: false,
            hosts: [host].into(),
            host: 0,
            mailer: Mailer::Postfix,
            sender: Sender::new(&format!("info@{from}")),
            recipient: 0,
            spf: None,
            dkim: None,
            size: 20_000,
            complaints: 0,
        }
    }

    /// The same, passed by SPF and signed.
    pub(crate) fn verified(host: Client, from: &str) -> Self {
        let name = domain(from);
        Self { spf: Some(name.clone()), dkim: Some(name), ..Self::unverified(host, from) }
    }

    pub(crate) fn of(self, party: Party) -> Self {
        Self { party, ..self }
    }

    pub(crate) fn spam(self) -> Self {
        Self { spam: true, ..self }
    }

    pub(crate) fn by(self, mailer: Mailer) -> Self {
        Self { mailer, ..self }
    }

    pub(crate) fn tagged(self, tag: u32) -> Self {
        Self { tag, ..self }
    }

    /// Written by this user of its sender's domain.
    pub(crate) fn written_by(mut self, user: u32) -> Self {
        if let Some(Sender::Mailbox(mailbox)) = &mut self.sender {
            mailbox.local_part = format!("user{user}").into();
        }
        self
    }

    pub(crate) fn to(self, recipient: u32) -> Self {
        Self { recipient, ..self }
    }

    /// What is verified of it: at RCPT by SPF, at the end of the message by DKIM too.
    pub(crate) fn verified_domains(&self, whole: bool) -> Vec<VerifiedDomain> {
        let by = |domain: &Option<DomainName>, by| domain.clone().map(|domain| VerifiedDomain { domain, by });
        let dkim = if whole { by(&self.dkim, VerifiedBy::Dkim) } else { None };
        by(&self.spf, VerifiedBy::Spf).into_iter().chain(dkim).collect()
    }
}
