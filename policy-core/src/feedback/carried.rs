//! A message's subject in a form that can be written into the message and read again later.
//!
//! Most keys of the decision and of the whole message are the same, so each stands once and chains name them by
//! their place. Addresses stand plainly, names as keyed hashes.
//!
//! Invariant: whatever is read makes a valid [`Subject`] or none; where traits or numbers are those of another version,
//! one without what the decision rested on.

use super::{MessageId, Subject};
use crate::features::Heard;
use crate::identity::{Chain, Identities, Key, Kind, MAX_CHAINS, MAX_LEVELS};
use crate::presentation::TraitSet;
use crate::session::Decided;
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A subject as plain values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    message: MessageId,
    let_in: Timestamp,
    keys: Vec<Key>,
    identities: CarriedIdentities,
    decided: Option<CarriedDecided>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CarriedIdentities {
    chains: Vec<CarriedChain>,
    traits: Vec<u8>,
    group: Option<u8>,
    sender: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CarriedChain {
    kind: Kind,
    levels: Vec<u8>,
    borrowed: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CarriedDecided {
    /// `None` when they are those of the message.
    identities: Option<CarriedIdentities>,
    said: f32,
    /// What was heard of the chains.
    heard: Vec<i8>,
    well: bool,
}

impl From<&Subject> for Carried {
    fn from(subject: &Subject) -> Self {
        let mut keys = Vec::new();
        let identities = carry(&subject.identities, &mut keys);
        let decided = subject.decided.as_ref().map(|decided| CarriedDecided {
            identities: (decided.identities != subject.identities)
                .then(|| carry(&decided.identities, &mut keys)),
            said: decided.said,
            heard: decided.heard.numbers().to_vec(),
            well: decided.well,
        });
        Self { message: subject.message, let_in: subject.let_in, keys, identities, decided }
    }
}

fn carry(identities: &Identities, keys: &mut Vec<Key>) -> CarriedIdentities {
    let mut place = |key: Key| {
        let place = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        });
        // Two sets of at most ten chains of four keys are fewer than an octet can count.
        place as u8
    };
    let chains = identities.chains.iter().map(|chain| CarriedChain {
        kind: chain.kind,
        levels: chain.levels().iter().map(|key| place(*key)).collect(),
        borrowed: chain.borrowed() as u8,
    });
    CarriedIdentities {
        chains: chains.collect(),
        group: identities.group.map(&mut place),
        traits: identities.traits.as_bytes().to_vec(),
        sender: identities.sender,
    }
}

const _: () = assert!(2 * (MAX_CHAINS * MAX_LEVELS + 1) <= u8::MAX as usize);

impl Carried {
    /// The subject, if these values make one.
    pub fn into_subject(self) -> Option<Subject> {
        let Self { message, let_in, keys, identities, decided } = self;
        let read = |carried: &CarriedIdentities| read(carried, &keys);
        let (identities, known) = read(&identities)?;
        let identities = Arc::new(identities);
        let decided = decided.filter(|decided| decided.said.is_finite()).and_then(|decided| {
            let (own, known) = match &decided.identities {
                Some(own) => read(own).map(|(own, known)| (Arc::new(own), known))?,
                None => (Arc::clone(&identities), known),
            };
            let heard = Heard::of_numbers(&decided.heard).filter(|_| known)?;
            Some(Decided { identities: own, said: decided.said, heard, well: decided.well })
        });
        Some(Subject { message, let_in, identities, decided })
    }
}

/// The identities, and whether their traits are those of this version.
fn read(carried: &CarriedIdentities, keys: &[Key]) -> Option<(Identities, bool)> {
    let key = |place: u8| keys.get(usize::from(place)).copied();
    let chain = |chain: &CarriedChain| {
        let levels = chain.levels.iter().map(|&place| key(place)).collect::<Option<Vec<Key>>>()?;
        Chain::carried(chain.kind, &levels, usize::from(chain.borrowed))
    };
    if carried.chains.len() > MAX_CHAINS || carried.chains.first()?.kind != Kind::Address {
        return None;
    }
    let chains = carried.chains.iter().map(chain).collect::<Option<ArrayVec<Chain, MAX_CHAINS>>>()?;
    let group = match carried.group {
        Some(place) => Some(key(place)?),
        None => None,
    };
    let traits = TraitSet::from_bytes(&carried.traits);
    let known = traits.is_some();
    Some((
        Identities {
            chains,
            traits: traits.unwrap_or_default(),
            group,
            authorised_by: None,
            sender: carried.sender,
        },
        known,
    ))
}
