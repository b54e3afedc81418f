//! Evaluating records (RFC 7208 sections 4 to 6).
//!
//! An `include` is a call within a call, a `redirect` a turn of a loop. Either costs one of ten lookups, so
//! neither runs deeper or longer than that.

use super::SpfQuery;
use super::macros::{DomainSpec, Values};
use super::name::Domain;
use super::record::{Directive, Mechanism, Prefixes, Record, Redirect, is_spf};
use super::result::{SpfCause, SpfOutcome, SpfResult, Trouble};
use super::reverse::Reverse;
use crate::dns::{Answer, Dns, Found, Name};
use compact_str::CompactString;
use policy_core::name::DomainName;
use policy_core::networks::canonical;
use std::net::IpAddr;
use std::pin::Pin;

/// Terms that need the DNS, void lookups, and names of one MX or PTR answer (section 4.6.4).
const MAX_LOOKUPS: u8 = 10;
const MAX_VOID_LOOKUPS: u8 = 2;
pub(super) const MAX_NAMES: usize = 10;
/// Octets of the HELO name that macros see.
const MAX_HELO: usize = 255;

/// One check: what is asked, and what has been spent on it.
pub(super) struct Evaluation<'a, D> {
    pub(super) dns: &'a D,
    pub(super) client: IpAddr,
    helo: &'a str,
    local_part: &'a str,
    identity: Option<&'a DomainName>,
    lookups: u8,
    void_lookups: u8,
    pub(super) reverse: Option<Reverse>,
}

/// The result of one domain's record, and the directive that gave it.
struct Ending {
    result: SpfResult,
    mechanism: Option<CompactString>,
}

impl From<SpfResult> for Ending {
    fn from(result: SpfResult) -> Self {
        Self { result, mechanism: None }
    }
}

/// The records of an answer; `None` when the DNS has said that there are none, and an error (section 5) only
/// when it has said nothing.
pub(super) fn present<T>(answer: Answer<T>) -> Result<Option<Found<T>>, SpfCause> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.is_void() => Ok(None),
        Err(failure) => Err(SpfCause::Dns(failure)),
    }
}

impl<'a, D: Dns> Evaluation<'a, D> {
    pub(super) fn new(dns: &'a D, query: &SpfQuery<'a>) -> Self {
        Self {
            dns,
            client: canonical(query.client),
            // No name is longer; a macro may split it hundreds of times.
            helo: query.helo.get(..query.helo.floor_char_boundary(MAX_HELO)).unwrap_or_default(),
            local_part: if query.local_part.is_empty() { "postmaster" } else { query.local_part },
            identity: query.domain,
            lookups: 0,
            void_lookups: 0,
            reverse: None,
        }
    }

    pub(super) async fn run(mut self) -> SpfOutcome {
        let ending = match self.identity.and_then(|name| Domain::new(name.as_str())) {
            Some(domain) => self.check(domain).await,
            None => Ok(SpfResult::None.into()),
        };
        let (ending, cause) = match ending {
            Ok(ending) => (ending, None),
            Err(Trouble { cause, term }) => (Ending { result: cause.result(), mechanism: term }, Some(cause)),
        };
        SpfOutcome {
            result: ending.result,
            domain: self.identity.cloned(),
            mechanism: ending.mechanism,
            lookups: self.lookups,
            void_lookups: self.void_lookups,
            cause,
        }
    }

    /// `check_host()` of a well-formed domain.
    async fn check(&mut self, mut domain: Domain) -> Result<Ending, Trouble> {
        let Some(mut record) = self.record(&domain).await? else { return Ok(SpfResult::None.into()) };
        loop {
            if let Some(directive) = self.first_match(&record, &domain).await? {
                let mechanism = Some(directive.text.clone());
                return Ok(Ending { result: directive.result, mechanism });
            }
            // Section 4.7.
            let Some(redirect) = &record.redirect else { return Ok(SpfResult::Neutral.into()) };
            let next = self.redirected(redirect, &domain).await;
            (domain, record) = next.map_err(|trouble| trouble.at(&redirect.text))?;
        }
    }

    /// The call of `check()` from within itself, on the heap since its size has no bound at compile time.
    fn included(
        &mut self,
        domain: Domain,
    ) -> Pin<Box<dyn Future<Output = Result<Ending, Trouble>> + Send + '_>> {
        Box::pin(self.check(domain))
    }

    /// The domain's one record (sections 4.4 and 4.5).
    async fn record(&self, domain: &Domain) -> Result<Option<Record>, Trouble> {
        let Some(found) = present(self.dns.txt(&domain.name).await)? else { return Ok(None) };
        let mut records = found.records.iter().filter(|text| is_spf(text));
        match (records.next(), records.next()) {
            (None, _) => Ok(None),
            (Some(record), None) => Record::parse(record).map(Some),
            (Some(_), Some(_)) => Err(SpfCause::SeveralRecords.into()),
        }
    }

    async fn first_match<'r>(
        &mut self,
        record: &'r Record,
        domain: &Domain,
    ) -> Result<Option<&'r Directive>, Trouble> {
        for directive in &record.directives {
            let matches = self.matches(&directive.mechanism, domain).await;
            if matches.map_err(|trouble| trouble.at(&directive.text))? {
                return Ok(Some(directive));
            }
        }
        Ok(None)
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &Domain) -> Result<bool, Trouble> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network) => {
                Ok(matches!(self.client, IpAddr::V4(client) if network.contains(&client)))
            }
            Mechanism::Ip6(network) => {
                Ok(matches!(self.client, IpAddr::V6(client) if network.contains(&client)))
            }
            Mechanism::Include(spec) => self.include(spec, domain).await,
            Mechanism::A(spec, prefixes) => Ok(self.a(spec.as_ref(), *prefixes, domain).await?),
            Mechanism::Mx(spec, prefixes) => Ok(self.mx(spec.as_ref(), *prefixes, domain).await?),
            Mechanism::Ptr(spec) => Ok(self.ptr(spec.as_ref(), domain).await?),
            Mechanism::Exists(spec) => Ok(self.exists(spec, domain).await?),
        }
    }

    /// Section 5.2.
    async fn include(&mut self, spec: &DomainSpec, domain: &Domain) -> Result<bool, Trouble> {
        self.count_lookup()?;
        let target = self.expand(spec, domain).await?.ok_or(SpfCause::NoRecord)?;
        match self.included(target).await?.result {
            SpfResult::Pass => Ok(true),
            SpfResult::None => Err(SpfCause::NoRecord.into()),
            _ => Ok(false),
        }
    }

    /// Section 6.1.
    async fn redirected(
        &mut self,
        redirect: &Redirect,
        domain: &Domain,
    ) -> Result<(Domain, Record), Trouble> {
        self.count_lookup()?;
        let target = self.expand(&redirect.target, domain).await?.ok_or(SpfCause::NoRecord)?;
        let record = self.record(&target).await?.ok_or(SpfCause::NoRecord)?;
        Ok((target, record))
    }

    /// Section 5.3.
    async fn a(
        &mut self,
        spec: Option<&DomainSpec>,
        prefixes: Prefixes,
        domain: &Domain,
    ) -> Result<bool, SpfCause> {
        self.count_lookup()?;
        let Some(target) = self.target(spec, domain).await? else { return Ok(false) };
        match self.has_address(&target.name, prefixes).await? {
            Some(matches) => Ok(matches),
            None => self.count_void_lookup(),
        }
    }

    /// Section 5.4. More than ten exchangers are an error only when none of the first ten matches, for only then
    /// would an eleventh have to be asked for.
    async fn mx(
        &mut self,
        spec: Option<&DomainSpec>,
        prefixes: Prefixes,
        domain: &Domain,
    ) -> Result<bool, SpfCause> {
        self.count_lookup()?;
        let Some(target) = self.target(spec, domain).await? else { return Ok(false) };
        let Some(found) = present(self.dns.mx(&target.name).await)? else { return self.count_void_lookup() };
        let mut has_addresses = false;
        // A root exchanger says that there is none (RFC 7505).
        for mx in found.records.iter().take(MAX_NAMES).filter(|mx| !mx.exchange.is_root()) {
            match self.has_address(&mx.exchange, prefixes).await? {
                Some(true) => return Ok(true),
                Some(false) => has_addresses = true,
                None => {}
            }
        }
        match found.records.len() {
            0..=MAX_NAMES if has_addresses => Ok(false),
            0..=MAX_NAMES => self.count_void_lookup(),
            _ => Err(SpfCause::MxLimit),
        }
    }

    /// Section 5.7: of IPv4 addresses alone, whatever the client's family.
    async fn exists(&mut self, spec: &DomainSpec, domain: &Domain) -> Result<bool, SpfCause> {
        self.count_lookup()?;
        let Some(target) = self.expand(spec, domain).await? else { return Ok(false) };
        match present(self.dns.a(&target.name).await)? {
            Some(_) => Ok(true),
            None => self.count_void_lookup(),
        }
    }

    /// Whether one of the name's addresses matches the client; `None` when it has none of the client's family.
    pub(super) async fn has_address(
        &self,
        name: &Name,
        prefixes: Prefixes,
    ) -> Result<Option<bool>, SpfCause> {
        let client = self.client;
        Ok(if client.is_ipv4() {
            present(self.dns.a(name).await)?
                .map(|found| found.records.iter().any(|address| prefixes.match_v4(client, *address)))
        } else {
            present(self.dns.aaaa(name).await)?
                .map(|found| found.records.iter().any(|address| prefixes.match_v6(client, *address)))
        })
    }

    /// The target name of a mechanism (section 4.8).
    pub(super) async fn target(
        &mut self,
        spec: Option<&DomainSpec>,
        domain: &Domain,
    ) -> Result<Option<Domain>, SpfCause> {
        match spec {
            Some(spec) => self.expand(spec, domain).await,
            None => Ok(Some(domain.clone())),
        }
    }

    /// What the domain-spec stands for. `None` when that can be no name; it is then not asked for, as it is
    /// known that it does not exist.
    async fn expand(&mut self, spec: &DomainSpec, domain: &Domain) -> Result<Option<Domain>, SpfCause> {
        let validated_name = match spec.asks_validated_name() {
            true => self.validated_name(domain).await?,
            false => CompactString::default(),
        };
        Ok(spec.expand(&Values {
            client: self.client,
            helo: self.helo,
            local_part: self.local_part,
            sender_domain: self.identity.map_or("", DomainName::as_str),
            domain: &domain.text,
            validated_name: &validated_name,
        }))
    }

    pub(super) fn count_lookup(&mut self) -> Result<(), SpfCause> {
        if self.lookups == MAX_LOOKUPS {
            return Err(SpfCause::LookupLimit);
        }
        self.lookups += 1;
        Ok(())
    }

    /// Counts a term for which the DNS had nothing, so that it does not match. It is terms that section 4.6.4
    /// counts: an `mx` of which no host has an IPv6 address is one void lookup, and none if a single host has.
    pub(super) fn count_void_lookup(&mut self) -> Result<bool, SpfCause> {
        self.void_lookups += 1;
        if self.void_lookups > MAX_VOID_LOOKUPS { Err(SpfCause::VoidLookupLimit) } else { Ok(false) }
    }
}
