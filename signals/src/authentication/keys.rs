//! The DNS of a verification: everything is fetched through [`Dns`] beforehand, side by side, and handed to
//! mail-auth as a cache that has an answer to every question.
//!
//! Invariant: a name that was not fetched is a temporary error and never a question, so that verification can
//! neither reach the network nor wait.

use crate::dns::{Answer, Dns, Failure, Name};
use hickory_resolver::proto::op::ResponseCode;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dmarc::Dmarc;
use mail_auth::{DnsError, DnssecStatus, Error, RecordSet, ResolverCache, Txt};
use policy_core::name::DomainName;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Records of one name that are looked at.
const MAX_RECORDS: usize = 10;
/// RFC 8301 section 3.2.
const MIN_KEY_BITS: usize = 1024;

/// What is asked of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A key of DKIM or ARC.
    Key,
    /// A DMARC record.
    Dmarc,
}

/// The answers, by name in lower case with the final dot, as mail-auth asks for them.
#[derive(Default)]
pub(super) struct Answers(HashMap<Box<str>, Txt>);

impl Answers {
    /// Asks for the names that have not been asked for yet, all at once, and takes what is there by the
    /// `deadline`. Questions that are still open go on by themselves, for the cache.
    pub(super) async fn fetch(
        &mut self,
        dns: &impl Dns,
        wanted: impl IntoIterator<Item = (String, Wanted)>,
        deadline: Instant,
    ) {
        let mut open = JoinSet::new();
        for (key, kind) in wanted {
            let key = key.to_lowercase().into_boxed_str();
            if self.0.contains_key(&key) {
                continue;
            }
            let Some(name) = name(&key) else {
                self.0.insert(key, Txt::Error(Error::ParseError));
                continue;
            };
            self.0.insert(key.clone(), unanswered());
            let dns = dns.clone();
            open.spawn(async move { (key, kind, dns.txt(&name).await) });
        }
        while let Ok(Some(answered)) = timeout_at(deadline, open.join_next()).await {
            if let Ok((key, kind, answer)) = answered {
                self.0.insert(key, read(kind, answer));
            }
        }
        open.detach_all();
    }

    /// The DMARC record at a domain, when there is one that can be read.
    pub(super) fn dmarc(&self, domain: &str) -> Option<&Dmarc> {
        match self.0.get(format!("_dmarc.{domain}.").as_str()) {
            Some(Txt::Dmarc(record)) => Some(record),
            _ => None,
        }
    }

    /// Whether the key at this name is too short to prove anything.
    pub(super) fn is_weak(&self, key: &str) -> bool {
        matches!(self.0.get(key), Some(Txt::DomainKey(key)) if key.p.public_key_bits() < MIN_KEY_BITS)
    }
}

fn name(key: &str) -> Option<Name> {
    let mut name = Name::from_ascii(DomainName::new(key)?.as_str()).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn unanswered() -> Txt {
    Txt::Error(Error::Dns(DnsError::Resolver("no answer".into())))
}

fn read(kind: Wanted, answer: Answer<Box<[u8]>>) -> Txt {
    let records = match answer {
        Ok(found) => found.records,
        Err(Failure::NoName) => return not_found(ResponseCode::NXDomain),
        Err(Failure::NoData) => return not_found(ResponseCode::NoError),
        Err(Failure::ServerFailed | Failure::TimedOut | Failure::Suspended) => return unanswered(),
    };
    let records = records.iter().take(MAX_RECORDS);
    match kind {
        Wanted::Key => key(records.map(|record| DomainKey::parse(record))),
        Wanted::Dmarc => dmarc(records.map(|record| Dmarc::parse(record))),
    }
}

fn not_found(code: ResponseCode) -> Txt {
    Txt::Error(Error::Dns(DnsError::RecordNotFound(code)))
}

/// The first key that can be read; RFC 6376 section 3.6.2.2 leaves the choice to the verifier.
fn key(records: impl Iterator<Item = mail_auth::Result<DomainKey>>) -> Txt {
    let mut result = Err(Error::Dns(DnsError::InvalidRecordType));
    for record in records {
        if result.is_err() {
            result = record;
        }
    }
    result.into()
}

/// The one DMARC record; two are as good as none (RFC 9989 section 4.10).
fn dmarc(records: impl Iterator<Item = mail_auth::Result<Dmarc>>) -> Txt {
    let other =
        |record: &mail_auth::Result<Dmarc>| !matches!(record, Err(Error::Dns(DnsError::InvalidRecordType)));
    let mut records = records.filter(other);
    match (records.next(), records.next()) {
        (Some(record), None) => record.into(),
        _ => Txt::Error(Error::Dns(DnsError::InvalidRecordType)),
    }
}

impl ResolverCache<Box<str>, Txt> for Answers {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Some(self.0.get(name).cloned().unwrap_or_else(unanswered))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: std::time::Instant) {}
}

/// Says of every name that it exists: whether the From domain does is asked before ([`super::dmarc`]).
pub(super) struct Existing;

impl ResolverCache<Box<str>, RecordSet<Ipv4Addr>> for Existing {
    fn get<Q>(&self, _: &Q) -> Option<RecordSet<Ipv4Addr>>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Some(RecordSet { rrset: [].into(), dnssec_status: DnssecStatus::Indeterminate })
    }

    fn remove<Q>(&self, _: &Q) -> Option<RecordSet<Ipv4Addr>>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: RecordSet<Ipv4Addr>, _: std::time::Instant) {}
}
