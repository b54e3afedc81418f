//! The names in a question, each with its organisational domain.
//!
//! Traits and identities compare the same few names again and again, and the public suffix list costs more
//! than all the comparing. So each name is looked up once, and not at all where another has told the answer.

use crate::facts::{Facts, VerifiedBy};
use crate::name::DomainName;
use arrayvec::ArrayVec;

/// Most verified domains of one message that are looked at.
pub(crate) const MAX_VERIFIED: usize = 3;

/// A name, and its organisational domain if it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub(crate) whole: &'a DomainName,
    pub(crate) organisational: Option<&'a str>,
}

impl<'a> Name<'a> {
    /// Looks a name up, unless it is one of `known` or the organisational domain of one.
    pub(crate) fn new(whole: &'a DomainName, known: &[Option<Self>]) -> Self {
        let mut known = known.iter().flatten();
        let told = known.find_map(|name| match name.organisational {
            _ if name.whole == whole => Some(name.organisational),
            Some(organisational) if organisational == whole.as_str() => Some(Some(organisational)),
            _ => None,
        });
        Self { whole, organisational: told.unwrap_or_else(|| whole.organisational()) }
    }

    /// The organisational domain, or the whole name where there is none.
    pub(crate) fn widest(self) -> &'a str {
        self.organisational.unwrap_or(self.whole.as_str())
    }

    /// Whether it is an address rather than a name, as a HELO name may be.
    pub(crate) fn is_literal(self) -> bool {
        let text = self.whole.as_str();
        text.starts_with('[') || text.parse::<std::net::IpAddr>().is_ok()
    }

    /// Whether both are of one organisation, or the same.
    pub(crate) fn aligned(self, other: Self) -> bool {
        self.whole == other.whole || self.same_organisation(other)
    }

    /// Whether both have the same organisational domain.
    pub(crate) fn same_organisation(self, other: Self) -> bool {
        self.organisational.is_some() && self.organisational == other.organisational
    }
}

/// The names of a client and message.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    /// The forward-confirmed reverse name.
    pub(crate) host: Option<Name<'a>>,
    /// The HELO name.
    pub(crate) helo: Option<Name<'a>>,
    /// The sender's domain.
    pub(crate) sender: Option<Name<'a>>,
    /// The first verified domains, DKIM's before SPF's (a signature survives forwarding), each once. The sender's is
    /// always among them: signatures of others do not hide whom the envelope is from.
    pub(crate) verified: ArrayVec<Name<'a>, MAX_VERIFIED>,
}

impl<'a> Names<'a> {
    /// The HELO name of `facts` in canonical form, which [`Names::of`] borrows.
    pub(crate) fn helo(facts: &Facts) -> Option<DomainName> {
        DomainName::new(facts.client.helo.as_ref()?)
    }

    /// The names of `facts`.
    pub(crate) fn of(facts: &'a Facts, helo: Option<&'a DomainName>) -> Self {
        let host = facts.client.name.as_ref().map(|name| Name::new(name, &[]));
        let helo = helo.map(|name| Name::new(name, &[host]));
        let sender = facts.envelope.sender.as_ref().and_then(|sender| sender.domain());
        let sender = sender.map(|name| Name::new(name, &[host, helo]));
        let look_up = |name| Name::new(name, &[host, helo, sender]);
        let is_sender = |name: Name<'a>| sender.is_some_and(|sender| name.aligned(sender));
        let mut verified: ArrayVec<Name<'a>, MAX_VERIFIED> = ArrayVec::new();
        for name in all_verified(facts).map(look_up) {
            let known = verified.iter().any(|known| known.whole == name.whole);
            if known || verified.is_full() && !is_sender(name) {
                continue;
            }
            if verified.is_full() {
                match verified.iter().rposition(|&known| !is_sender(known)) {
                    Some(last) => drop(verified.remove(last)),
                    None => continue,
                }
            }
            verified.push(name);
        }
        Self { host, helo, sender, verified }
    }
}

fn all_verified(facts: &Facts) -> impl Iterator<Item = &DomainName> {
    let of = |by| facts.message.verified.iter().filter(move |v| v.by == by).map(|v| &v.domain);
    of(VerifiedBy::Dkim).chain(of(VerifiedBy::Spf))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::named;
    use crate::name::Sender;
    use proptest::prelude::*;

    proptest! {
        /// What one name tells of another is what the list itself says of it.
        #[test]
        fn names_told_by_others_are_those_of_the_list(
            labels in proptest::collection::vec("(a|b|co|uk|com|kawasaki|jp|city|github|io|compute|amazonaws)", 6),
            cuts in proptest::array::uniform3(0usize..6),
        ) {
            let cut = |n: usize| labels[n..].join(".");
            let mut facts = named("192.0.2.1", &cut(cuts[0]));
            facts.client.helo = Some(cut(cuts[1]).into());
            facts.envelope.sender = Sender::new(&format!("a@{}", cut(cuts[2])));
            let helo = Names::helo(&facts);
            let names = Names::of(&facts, helo.as_ref());
            for name in [names.host, names.helo, names.sender].into_iter().flatten() {
                prop_assert_eq!(name.organisational, name.whole.organisational());
            }
        }
    }
}
