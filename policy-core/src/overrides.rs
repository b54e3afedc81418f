//! Overrides: what an operator has said about a sender, which beats what this server thinks of it.
//!
//! Of all overrides that match, the most specific speaks: a mailbox, then a single address, then a domain (the
//! longer name first), then a network (the longer prefix first). Of two alike, allowing beats blocking.
//!
//! Invariants: an allowed domain or mailbox speaks only for mail that SPF or DKIM has verified, a domain also for
//! hosts whose name leads back to them, so a forged sender gains nothing. A blocked one speaks for whoever claims
//! it. Exemptions and `mode = "off"` beat a block; the configuration is for what is always so.
//!
//! Bounds: [`MOST`] overrides, each with a note of [`MAX_NOTE`] characters. Without any, a decision pays for one
//! atomic load. What has expired speaks no more, and is removed by the sweeper.

mod subject;

pub use subject::{Address, Subject, SubjectError};

use crate::facts::Facts;
use crate::name::{DomainName, Sender};
use crate::names::Names;
use crate::networks::canonical;
use crate::time::Timestamp;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use thiserror::Error;

/// The most overrides that are held.
pub const MOST: usize = 10_000;
/// The longest note, in characters.
pub const MAX_NOTE: usize = 200;

/// What is done with mail that an override speaks for. The kinder one is the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It is let in.
    Allow,
    /// It is deferred, so that nothing is lost by a mistake.
    Block,
    /// It is refused for good.
    Reject,
}

impl Effect {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Reject => "reject",
        }
    }
}

/// What an operator has said about a sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Whom it is about.
    pub subject: Subject,
    /// What is done with its mail.
    pub effect: Effect,
    /// When that was said.
    pub since: Timestamp,
    /// When it ends by itself; never when `None`.
    pub until: Option<Timestamp>,
    /// Why, in the operator's words.
    pub note: String,
}

impl Override {
    /// Whether it has not expired.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A note on one line, not too long.
pub(crate) fn note(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(printable).take(MAX_NOTE).collect()
}

/// There are as many overrides as can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there are {MOST} overrides already; remove some first")]
pub struct Full;

/// All overrides.
#[derive(Debug, Default)]
pub struct Overrides {
    /// How many are held: what a decision looks at first.
    count: AtomicUsize,
    /// Differs after each change.
    revision: AtomicU64,
    held: RwLock<Held>,
}

#[derive(Debug, Default)]
struct Held {
    by_subject: HashMap<Subject, Override>,
    /// Lengths of the networks' prefixes, of both families: only these are looked for.
    lengths: BTreeSet<u8>,
}

impl Overrides {
    /// The override that speaks for these facts, if one does.
    pub fn speaking(&self, facts: &Facts, now: Timestamp) -> Option<Override> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let held = self.read();
        let live = |subject: Subject| held.by_subject.get(&subject).filter(|held| held.holds(now));
        let network = held.networks(facts.client.address).filter_map(|net| live(Subject::Network(net)));
        let mailbox = sender(facts).and_then(|address| live(Subject::Mailbox(address)));
        let mailbox = mailbox.filter(|said| said.effect != Effect::Allow || is_verified(facts));
        let of =
            |name: &DomainName| name.and_parents().map(Subject::Domain).filter_map(live).collect::<Vec<_>>();
        let domains = proven(facts).flat_map(of);
        let claims = claimed(facts).flat_map(of).filter(|said| said.effect != Effect::Allow);
        let all = network.chain(mailbox).chain(domains).chain(claims);
        all.max_by_key(|said| (said.subject.rank(), std::cmp::Reverse(said.effect))).cloned()
    }

    /// Those that allow what these facts claim to be, and do not speak for them: nothing has proven it.
    pub fn unproven(&self, facts: &Facts, now: Timestamp) -> Vec<Override> {
        if self.is_empty() {
            return Vec::new();
        }
        let held = self.read();
        let names = claimed(facts).flat_map(DomainName::and_parents).map(Subject::Domain);
        let subjects =
            sender(facts).map(Subject::Mailbox).into_iter().filter(|_| !is_verified(facts)).chain(names);
        let is_proven = |subject: &Subject| {
            proven(facts).flat_map(DomainName::and_parents).any(|name| *subject == Subject::Domain(name))
        };
        let mut unproven: Vec<Override> = Vec::new();
        for said in
            subjects.filter(|subject| !is_proven(subject)).filter_map(|subject| held.by_subject.get(&subject))
        {
            let is_told = unproven.iter().any(|told| told.subject == said.subject);
            if said.effect == Effect::Allow && said.holds(now) && !is_told {
                unproven.push(said.clone());
            }
        }
        unproven
    }

    /// All of them, the latest first.
    pub fn list(&self) -> Vec<Override> {
        let mut all: Vec<Override> = self.read().by_subject.values().cloned().collect();
        all.sort_unstable_by(|a, b| b.since.cmp(&a.since).then_with(|| a.subject.cmp(&b.subject)));
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Differs after each change.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Puts one in force, in the place of what was said about the same subject.
    pub(crate) fn set(&self, mut new: Override) -> Result<(), Full> {
        new.note = note(&new.note);
        let mut held = self.write();
        if held.by_subject.len() >= MOST && !held.by_subject.contains_key(&new.subject) {
            return Err(Full);
        }
        held.by_subject.insert(new.subject.clone(), new);
        self.changed(held);
        Ok(())
    }

    /// The same, unless what was said about the subject before is of later.
    pub(crate) fn set_unless_older(&self, new: Override) -> Result<(), Full> {
        let later = self.read().by_subject.get(&new.subject).is_some_and(|held| held.since > new.since);
        if later { Ok(()) } else { self.set(new) }
    }

    /// Removes those that `gone` names, and returns them.
    pub(crate) fn remove(&self, mut gone: impl FnMut(&Override) -> bool) -> Vec<Override> {
        let mut held = self.write();
        let removed: Vec<Override> =
            held.by_subject.extract_if(|_, said| gone(said)).map(|(_, said)| said).collect();
        if !removed.is_empty() {
            self.changed(held);
        }
        removed
    }

    /// Removes what has expired.
    pub(crate) fn expire(&self, now: Timestamp) {
        if !self.is_empty() && self.read().by_subject.values().any(|said| !said.holds(now)) {
            self.remove(|said| !said.holds(now));
        }
    }

    fn changed(&self, mut held: RwLockWriteGuard<'_, Held>) {
        let lengths = held.by_subject.keys().filter_map(|subject| match subject {
            Subject::Network(net) => Some(net.prefix_len()),
            _ => None,
        });
        held.lengths = lengths.collect();
        self.count.store(held.by_subject.len(), Ordering::Release);
        self.revision.fetch_add(1, Ordering::AcqRel);
    }

    // Nothing that can panic happens under the lock.
    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The networks around an address that may be spoken of.
    fn networks(&self, address: IpAddr) -> impl Iterator<Item = IpNet> {
        let address = canonical(address);
        self.lengths.iter().filter_map(move |&length| Some(IpNet::new(address, length).ok()?.trunc()))
    }
}

fn sender(facts: &Facts) -> Option<Address> {
    let Some(Sender::Mailbox(mailbox)) = &facts.envelope.sender else { return None };
    Some(Address { local_part: mailbox.folded_local_part(), domain: mailbox.domain.clone()? })
}

/// Whether the sender's domain, or one of the same organisation, was verified for the message.
fn is_verified(facts: &Facts) -> bool {
    let names = Names::of(facts, None);
    names.sender.is_some_and(|sender| names.verified.iter().any(|name| name.aligned(sender)))
}

/// The domains that are proven: verified for the message, or the host's by a name that leads back to it.
fn proven(facts: &Facts) -> impl Iterator<Item = &DomainName> {
    facts.message.verified.iter().map(|verified| &verified.domain).chain(&facts.client.name)
}

/// The domains that anybody can write: the sender's, and a reverse name.
fn claimed(facts: &Facts) -> impl Iterator<Item = &DomainName> {
    let sender = facts.envelope.sender.as_ref().and_then(Sender::domain);
    sender.into_iter().chain(&facts.client.reverse_name)
}

#[cfg(test)]
mod tests;
