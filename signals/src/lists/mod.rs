//! DNS lists (RFC 5782): of addresses and of domains, for and against.
//!
//! Everything that is to be looked up for a client is asked side by side within one deadline. A list is asked
//! only while its test points are in order and it answers; otherwise it costs nothing and says nothing,
//! which is *unknown*.
//!
//! Invariants: what cannot be read as a listing is none; a list learns of no private address and no private
//! name; at most [`MAX_LISTS`] lists, [`MAX_TARGETS`] things looked up in each, one question per pair.
//!
//! Known limit: domains are looked up as their organisational domains, so a listing of one host below an
//! innocent domain is not found, unless the public suffix list has its parent.

mod codes;
mod gate;
mod names;
mod options;
pub mod presets;

pub use gate::{Fault, Standing};
pub use options::{Code, Kind, ListError, ListOptions, MAX_LISTS, Meaning, Role, WatchOptions};

use crate::dns::{Answer, Client, Dns, Failure, Name};
use crate::together::together;
use codes::Nothing;
use compact_str::{CompactString, format_compact};
use gate::{Admission, Gate};
use policy_core::name::DomainName;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Targets of one look-up; more are left alone.
pub const MAX_TARGETS: usize = 8;

/// Something to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The client's address.
    Client(IpAddr),
    /// The client's reverse name.
    ReverseName(DomainName),
    /// The name that the client greets with.
    Helo(DomainName),
    /// The domain of the envelope sender.
    Sender(DomainName),
}

impl Target {
    /// What it is of the client or the message.
    pub fn role(&self) -> Role {
        match self {
            Self::Client(_) => Role::Client,
            Self::ReverseName(_) => Role::ReverseName,
            Self::Helo(_) => Role::Helo,
            Self::Sender(_) => Role::Sender,
        }
    }
}

/// What a list says of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// The list's name.
    pub list: CompactString,
    /// Of what it says so.
    pub target: Target,
    /// What it says: listed, a policy listing, or allowed; with the weight of the weightiest code.
    pub meaning: Meaning,
    /// The codes that say so.
    pub codes: Vec<Ipv4Addr>,
    /// What the list calls them.
    pub labels: Vec<CompactString>,
    /// How long ago it said so.
    pub age: Duration,
}

/// Why a list says nothing of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The DNS does not answer.
    Dns(Failure),
    /// The list is not asked.
    NotAsked(Standing),
    /// It answers with an address that is no listing.
    Meaningless(Ipv4Addr),
}

/// A list that says nothing of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The list's name.
    pub list: CompactString,
    /// Of what it says nothing.
    pub target: Target,
    /// Why.
    pub why: Why,
}

/// What a look-up came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// What lists say.
    pub listings: Vec<Listing>,
    /// Of what nothing is known.
    pub unknown: Vec<Unknown>,
    /// How many questions were answered that there is no listing.
    pub clear: usize,
}

/// A list, or the part of it that lists IPv6 addresses, and how it is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListHealth {
    /// Its name, with `, IPv6` behind it for that part.
    pub list: CompactString,
    /// Whether it is asked.
    pub standing: Standing,
    /// Questions asked.
    pub asked: u64,
    /// Of those, not answered.
    pub failed: u64,
}

/// Whether lists can be used as they are configured.
///
/// # Errors
///
/// What is wrong with the first that cannot.
pub fn validate(options: &[ListOptions]) -> Result<(), ListError> {
    made(options.to_vec(), WatchOptions::default()).map(drop)
}

fn made(options: Vec<ListOptions>, watch: WatchOptions) -> Result<Vec<Arc<List>>, ListError> {
    if options.len() > MAX_LISTS {
        return Err(ListError::TooMany(options.len()));
    }
    let mut lists: Vec<Arc<List>> = Vec::with_capacity(options.len());
    for options in options {
        let list = List::new(options, watch)?;
        let twice = |other: &Arc<List>| other.zone == list.zone || other.options.name == list.options.name;
        if lists.iter().any(twice) {
            return Err(ListError::Twice(list.options.name));
        }
        lists.push(Arc::new(list));
    }
    Ok(lists)
}

/// The lists in use. Clones share everything; with the last of them the watching ends.
#[derive(Clone, Debug)]
pub struct Lists<D> {
    dns: D,
    lists: Arc<[Arc<List>]>,
    _watching: Arc<JoinSet<()>>,
}

#[derive(Debug)]
struct List {
    options: ListOptions,
    zone: Name,
    gate: Gate,
    gate_v6: Option<Gate>,
}

impl<D: Dns> Lists<D> {
    /// Lists as configured, whose test points are asked at once. To be called inside a runtime.
    pub fn start(dns: D, options: Vec<ListOptions>, watch: WatchOptions) -> Result<Self, ListError> {
        let lists = made(options, watch)?;
        let runtime = Handle::try_current().map_err(|_| ListError::NoRuntime)?;
        let mut watching = JoinSet::new();
        for list in &lists {
            let (list, dns) = (Arc::clone(list), dns.clone());
            let watch = async move { together(list.gates().map(|gate| gate.watch(&dns))).await };
            watching.spawn_on(async move { drop(watch.await) }, &runtime);
        }
        Ok(Self { dns, lists: lists.into(), _watching: Arc::new(watching) })
    }

    /// The same lists, asked because of a client.
    #[must_use]
    pub fn on_behalf_of(&self, client: Client) -> Self {
        Self { dns: self.dns.on_behalf_of(client), ..self.clone() }
    }

    /// Waits until the test points of every list have been asked for once.
    pub async fn tested(&self) {
        together(self.lists.iter().flat_map(|list| list.gates()).map(Gate::tested)).await;
    }

    /// How each list is doing.
    pub fn health(&self) -> Vec<ListHealth> {
        let health = |gate: &Gate| {
            let (asked, failed) = gate.counts();
            ListHealth { list: gate.label().clone(), standing: gate.standing(), asked, failed }
        };
        self.lists.iter().flat_map(|list| list.gates()).map(health).collect()
    }

    /// Looks every target up in every list that applies to it, side by side. What has not been answered within
    /// `patience` is unknown.
    pub async fn look_up(&self, targets: &[Target], patience: Duration) -> Findings {
        let mut asked = Vec::new();
        for target in targets.iter().take(MAX_TARGETS) {
            for list in self.lists.iter() {
                if let Some((gate, name)) = list.question(target) {
                    asked.push(self.ask(list, gate, name, target, patience));
                }
            }
        }
        let mut findings = Findings::default();
        for found in together(asked).await {
            findings.add(found);
        }
        findings
    }

    async fn ask(
        &self,
        list: &Arc<List>,
        gate: &Gate,
        name: Name,
        target: &Target,
        patience: Duration,
    ) -> Result<Vec<Listing>, Unknown> {
        let unknown = |why| Unknown { list: list.options.name.clone(), target: target.clone(), why };
        let news = !self.dns.knows_a(&name);
        match gate.admit(news, Instant::now()) {
            Admission::Ask => {}
            Admission::Refuse(standing) => return Err(unknown(Why::NotAsked(standing))),
            Admission::Try => {
                self.try_it(list, target.clone(), name, patience);
                return Err(unknown(Why::NotAsked(Standing::Silent)));
            }
        }
        let answer = asked_once(&self.dns, &name, patience).await;
        // What is kept, or asked for by another, is noted with that question.
        if news {
            gate.note(&answer, false, Instant::now());
        }
        match answer {
            Ok(found) => match codes::read(&list.options, &found.records) {
                Ok(said) => Ok(list.listings(said, target, found.age)),
                Err(
                    Nothing::Refused(address)
                    | Nothing::Error(address)
                    | Nothing::Foreign(address)
                    | Nothing::Unread(address),
                ) => Err(unknown(Why::Meaningless(address))),
            },
            Err(failure) if failure.is_void() => Ok(Vec::new()),
            Err(failure) => Err(unknown(Why::Dns(failure))),
        }
    }

    /// Asks a silent list a question that nobody waits for.
    fn try_it(&self, list: &Arc<List>, target: Target, name: Name, patience: Duration) {
        let (dns, list) = (self.dns.clone(), Arc::clone(list));
        tokio::spawn(async move {
            if let Some((gate, _)) = list.question(&target) {
                gate.note(&asked_once(&dns, &name, patience).await, true, Instant::now());
            }
        });
    }
}

async fn asked_once<D: Dns>(dns: &D, name: &Name, patience: Duration) -> Answer<Ipv4Addr> {
    timeout(patience, dns.a(name)).await.unwrap_or(Err(Failure::TimedOut))
}

impl Findings {
    fn add(&mut self, found: Result<Vec<Listing>, Unknown>) {
        match found {
            Ok(listings) if listings.is_empty() => self.clear += 1,
            Ok(listings) => self.listings.extend(listings),
            Err(unknown) => self.unknown.push(unknown),
        }
    }
}

impl List {
    fn new(options: ListOptions, watch: WatchOptions) -> Result<Self, ListError> {
        options.check()?;
        let no_zone = || ListError::Zone(options.name.clone());
        let zone = names::zone_name(&options.zone).ok_or_else(no_zone)?;
        let gate = |label, (listed, unlisted)| Gate::new(label, listed, unlisted, watch);
        let points = match options.kind {
            Kind::Domain => domain_points(&options, &zone)?,
            Kind::Address | Kind::Allow => address_points(&zone).ok_or_else(no_zone)?,
        };
        let gate_v6 = if options.ipv6 && options.kind != Kind::Domain {
            let label = format_compact!("{}, IPv6", options.name);
            Some(gate(label, mapped_points(&zone).ok_or_else(no_zone)?))
        } else {
            None
        };
        Ok(Self { gate: gate(options.name.clone(), points), gate_v6, zone, options })
    }

    fn gates(&self) -> impl Iterator<Item = &Gate> {
        std::iter::once(&self.gate).chain(&self.gate_v6)
    }

    /// What to ask for a target and through which gate, if the list applies to it and may learn of it.
    fn question(&self, target: &Target) -> Option<(&Gate, Name)> {
        if !self.options.applies_to.contains(&target.role()) {
            return None;
        }
        match target {
            Target::Client(address) => {
                let gate = match address.to_canonical() {
                    IpAddr::V4(_) => &self.gate,
                    IpAddr::V6(_) => self.gate_v6.as_ref()?,
                };
                let name = names::of_address(*address, &self.zone).filter(|_| names::is_askable(*address))?;
                Some((gate, name))
            }
            Target::ReverseName(name) | Target::Helo(name) | Target::Sender(name) => {
                Some((&self.gate, names::of_domain(name, &self.zone)?))
            }
        }
    }

    fn listings(&self, said: Vec<codes::Said>, target: &Target, age: Duration) -> Vec<Listing> {
        let listing = |said: codes::Said| Listing {
            list: self.options.name.clone(),
            target: target.clone(),
            meaning: said.meaning,
            codes: said.codes,
            labels: said.labels,
            age,
        };
        said.into_iter().map(listing).collect()
    }
}

/// 127.0.0.2 is always listed, 127.0.0.1 never.
fn address_points(zone: &Name) -> Option<(Name, Name)> {
    let of = |last| names::of_address(Ipv4Addr::new(127, 0, 0, last).into(), zone);
    Some((of(2)?, of(1)?))
}

/// The same of a list of IPv6 addresses, as ::ffff:7f00:2 and ::ffff:7f00:1.
fn mapped_points(zone: &Name) -> Option<(Name, Name)> {
    let of = |last| names::of_nibbles(Ipv4Addr::new(127, 0, 0, last).to_ipv6_mapped().octets(), zone);
    Some((of(2)?, of(1)?))
}

fn domain_points(options: &ListOptions, zone: &Name) -> Result<(Name, Name), ListError> {
    let of =
        |domain: &str| names::before(domain, zone).ok_or_else(|| ListError::TestDomain(options.name.clone()));
    Ok((of(&options.test_domains.0)?, of(&options.test_domains.1)?))
}

#[cfg(test)]
mod tests;
