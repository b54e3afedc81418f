//! Parts of the model that can be left out, to measure what each is worth. An operator has no such switch.
//!
//! Invariant: what is booked on identities and traits is the same without a part; only the standing does not
//! hear of it, so two runs differ in nothing else.

use crate::features::{PAIRS, PLACES, SLOTS};
use crate::identity::Kind;
use crate::presentation::{Aspect, SHOWN, TraitSet};
use std::fmt;
use std::str::FromStr;

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident => $word:literal,)+) => {
        /// A part of the model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Part { $($(#[$doc])* $name,)+ }

        impl Part {
            /// Every part.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name on a command line.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

parts! {
    /// The chain of the address and the networks around it.
    Address => "address",
    /// The chain of the reverse name, confirmed or not.
    ReverseName => "reverse-name",
    /// The chain of the HELO name.
    Helo => "helo",
    /// The chain of a sender's domain that nothing verified.
    Claimed => "claimed",
    /// The chain of a signature's domain that nobody verified.
    Signed => "signed",
    /// The chain of the sender's mailbox.
    Mailbox => "mailbox",
    /// The chain of the reverse name's pattern.
    Pattern => "pattern",
    /// The chain of verified domains.
    Verified => "verified",
    /// Traits of the reverse name.
    HostTraits => "host-traits",
    /// Traits of the HELO name.
    HeloTraits => "helo-traits",
    /// Traits of the sender's address.
    SenderTraits => "sender-traits",
    /// Traits of the message and the session: size, signature, TLS, recipients.
    MessageTraits => "message-traits",
    /// Traits of two aspects together.
    Crosses => "crosses",
    /// What this server's own mail has shown of traits; what ships of them stays.
    TraitEvidence => "trait-evidence",
    /// What the DNS and the network's operator say of the client.
    Lookups => "lookups",
    /// SPF, DKIM and DMARC.
    Authentication => "authentication",
    /// What the message's text looks like.
    Content => "content",
    /// The table of traits and pairs of traits.
    Table => "table",
    /// What counts for strangers alone.
    Strangers => "strangers",
    /// Every key of a chain but the most specific: prefixes, networks, organisational and top-level domains.
    Wider => "wider",
    /// The memory of the last hours.
    Fast => "fast",
    /// Since when an identity is known.
    Age => "age",
    /// The record of the host and of the sender, which the model's chance leans on.
    Records => "records",
    /// Learning of weights.
    Learning => "learning",
    /// The bound on what one prefix or domain teaches in some hours.
    Influence => "influence",
    /// The weights that ship.
    Shipped => "shipped",
    /// The place among this server's good mail.
    Place => "place",
    /// The measure of labels that missed.
    Purity => "purity",
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that names no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such part of the model")]
pub struct NoSuchPart;

impl FromStr for Part {
    type Err = NoSuchPart;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|part| part.word() == word).ok_or(NoSuchPart)
    }
}

impl Part {
    /// The chain's part, in the order of [`SLOTS`].
    const OF_SLOTS: [Self; SLOTS.len()] = [
        Self::Address,
        Self::ReverseName,
        Self::Helo,
        Self::Claimed,
        Self::Signed,
        Self::Mailbox,
        Self::Pattern,
        Self::Verified,
    ];

    const fn of_aspect(aspect: Aspect) -> Self {
        match aspect {
            Aspect::ReverseName | Aspect::FirstLabel | Aspect::HostLabels | Aspect::HostTop => {
                Self::HostTraits
            }
            Aspect::Helo | Aspect::HeloShape | Aspect::HeloLabels | Aspect::HeloDigits | Aspect::HeloTop => {
                Self::HeloTraits
            }
            Aspect::Sender
            | Aspect::SenderShape
            | Aspect::SenderTop
            | Aspect::SenderDigits
            | Aspect::SenderLength => Self::SenderTraits,
            Aspect::Size | Aspect::Signature | Aspect::Tls | Aspect::Crowd => Self::MessageTraits,
            Aspect::HostCross | Aspect::SenderCross | Aspect::SizeCross | Aspect::LabelCross => Self::Crosses,
            Aspect::Listing | Aspect::HeloAddress | Aspect::Country => Self::Lookups,
            Aspect::Spf | Aspect::Dkim | Aspect::Dmarc => Self::Authentication,
            Aspect::Subject
            | Aspect::Links
            | Aspect::Attachments
            | Aspect::TextToMarkup
            | Aspect::Missing
            | Aspect::Unsubscribe
            | Aspect::FromFit
            | Aspect::Hops => Self::Content,
        }
    }
}

/// The parts that are left out, as bits; none in operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Without {
    parts: u32,
    traits: u64,
    places: u128,
}

const _: () = assert!(Part::ALL.len() <= u32::BITS as usize && TraitSet::COUNT <= u64::BITS as usize);
const _: () = assert!(PLACES <= u128::BITS as usize);

impl Without {
    /// The same, and without one more.
    pub(crate) fn and(mut self, part: Part) -> Self {
        self.parts |= 1 << part as u8;
        let out = |aspect: usize| self.has(Part::of_aspect(Aspect::ALL[aspect]));
        let alone = (0..SHOWN).map(out);
        let paired = PAIRS.iter().map(|&(first, second)| out(first.into()) || out(second.into()));
        let table = self.has(Part::Table);
        let traits = bits((0..TraitSet::COUNT).map(out)) as u64;
        let places = bits(alone.chain(paired).map(|out| out || table));
        Self { traits, places, ..self }
    }

    /// Whether a part is left out.
    pub(crate) const fn has(self, part: Part) -> bool {
        self.parts >> part as u8 & 1 != 0
    }

    /// Whether the chain of a kind is left out.
    pub(crate) fn has_chain(self, kind: Kind) -> bool {
        let kind = if kind == Kind::Unconfirmed { Kind::ReverseName } else { kind };
        let slot = SLOTS.iter().position(|&slot| slot == kind);
        self.parts != 0 && slot.is_some_and(|slot| self.has(Part::OF_SLOTS[slot]))
    }

    /// Whether the `n`th trait is left out.
    pub(crate) const fn has_trait(self, n: usize) -> bool {
        self.traits >> n & 1 != 0
    }

    /// Whether the `n`th place in the table is left out.
    pub(crate) const fn has_place(self, n: usize) -> bool {
        self.places >> n & 1 != 0
    }
}

/// Each that is so, as a bit at its place.
fn bits(these: impl Iterator<Item = bool>) -> u128 {
    these.enumerate().fold(0, |bits, (n, is)| bits | u128::from(is) << n)
}

#[cfg(test)]
mod tests;
