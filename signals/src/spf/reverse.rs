//! The client's validated names: what the mechanism `ptr` and the macro `p` go by (RFC 7208 sections 5.5, 7.3).
//!
//! Both look at the same answer, which is fetched once a check. A name is confirmed by its own addresses only
//! when it is needed, and at most once. No DNS failure here is an error: the name then counts as not validated.

use super::evaluate::{Evaluation, MAX_NAMES, present};
use super::macros::DomainSpec;
use super::name::Domain;
use super::record::Prefixes;
use super::result::SpfCause;
use crate::dns::{Dns, Name};
use compact_str::CompactString;

/// The first ten names of the client's reverse zone.
#[derive(Debug)]
pub(super) struct Reverse {
    names: Vec<Candidate>,
    /// The DNS has said that there is none.
    is_void: bool,
}

#[derive(Debug)]
struct Candidate {
    name: Name,
    /// Whether the client is among its addresses, once it was asked.
    validated: Option<bool>,
}

impl<D: Dns> Evaluation<'_, D> {
    /// Section 5.5: whether a validated name is the target name or below it.
    pub(super) async fn ptr(&mut self, spec: Option<&DomainSpec>, domain: &Domain) -> Result<bool, SpfCause> {
        self.count_lookup()?;
        let Some(target) = self.target(spec, domain).await? else { return Ok(false) };
        let mut reverse = self.take_reverse().await;
        let matches = self.first_validated(&mut reverse, |name| target.name.zone_of(name)).await.is_some();
        let is_void = reverse.is_void;
        self.reverse = Some(reverse);
        if is_void { self.count_void_lookup() } else { Ok(matches) }
    }

    /// The macro `p`: the domain itself if validated, else a name below it, else any, else `unknown`. Its
    /// question for PTR records counts like a term's.
    pub(super) async fn validated_name(&mut self, domain: &Domain) -> Result<CompactString, SpfCause> {
        if self.reverse.is_none() {
            self.count_lookup()?;
        }
        let mut reverse = self.take_reverse().await;
        let mut found = self.first_validated(&mut reverse, |name| domain.name == *name).await;
        if found.is_none() {
            found = self.first_validated(&mut reverse, |name| domain.name.zone_of(name)).await;
        }
        if found.is_none() {
            found = self.first_validated(&mut reverse, |_| true).await;
        }
        self.reverse = Some(reverse);
        Ok(found.and_then(|name| plain_text(&name)).unwrap_or_else(|| "unknown".into()))
    }

    async fn take_reverse(&mut self) -> Reverse {
        if let Some(reverse) = self.reverse.take() {
            return reverse;
        }
        let answer = present(self.dns.ptr(self.client).await);
        let candidate = |name: &Name| Candidate { name: name.clone(), validated: None };
        let names = answer.iter().flatten().flat_map(|found| found.records.iter());
        Reverse { names: names.take(MAX_NAMES).map(candidate).collect(), is_void: matches!(answer, Ok(None)) }
    }

    async fn first_validated(&self, reverse: &mut Reverse, wanted: impl Fn(&Name) -> bool) -> Option<Name> {
        for candidate in reverse.names.iter_mut().filter(|candidate| wanted(&candidate.name)) {
            let validated = match candidate.validated {
                Some(validated) => validated,
                None => self.has_address(&candidate.name, Prefixes::HOST).await == Ok(Some(true)),
            };
            candidate.validated = Some(validated);
            if validated {
                return Some(candidate.name.clone());
            }
        }
        None
    }
}

/// The name as text, if no dot or foreign octet inside a label stands in the way.
fn plain_text(name: &Name) -> Option<CompactString> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let labels = name.iter().map(|label| std::str::from_utf8(label).ok().filter(|l| l.bytes().all(is_plain)));
    let labels: Option<Vec<&str>> = labels.collect();
    Some(labels?.join(".").into())
}
