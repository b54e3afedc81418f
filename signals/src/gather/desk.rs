//! What is being looked up and what has been, by session and sender.
//!
//! A session's second recipient, and the other front end, find what the first question began. Bounded: the
//! oldest entries leave when there are too many, and none is used after [`KEPT`].

use super::inquiry::{Inquiry, Progress};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Sessions that are remembered. Each takes a kilobyte or two.
const MOST: usize = 16_384;
/// How long what a session has heard is used.
const KEPT: Duration = Duration::from_secs(600);
const SHARDS: usize = 64;

/// Progress that others may go on making.
pub(super) type Watched = watch::Receiver<Progress>;

struct Slot {
    progress: Watched,
    begun: Instant,
}

pub(super) struct Desk {
    slots: DashMap<u64, Slot, RandomState>,
    hasher: RandomState,
}

impl Desk {
    pub(super) fn new() -> Self {
        let hasher = RandomState::default();
        let slots = DashMap::with_hasher_and_shard_amount(hasher.clone(), SHARDS);
        Self { slots, hasher }
    }

    /// The progress of an inquiry, which `begin` starts if nobody has.
    pub(super) fn find(&self, inquiry: &Inquiry, begin: impl FnOnce(watch::Sender<Progress>)) -> Watched {
        self.make_room();
        let now = Instant::now();
        match self.slots.entry(self.hasher.hash_one(inquiry)) {
            Entry::Occupied(slot) if slot.get().begun + KEPT > now => slot.get().progress.clone(),
            entry => {
                let (sender, progress) = watch::channel(Progress::default());
                drop(entry.insert(Slot { progress: progress.clone(), begun: now }));
                begin(sender);
                progress
            }
        }
    }

    /// When there are too many, the older half of their time goes; and all of them, should that not do.
    fn make_room(&self) {
        if self.slots.len() < MOST {
            return;
        }
        let now = Instant::now();
        self.slots.retain(|_, slot| slot.begun + KEPT / 20 > now);
        if self.slots.len() >= MOST {
            self.slots.clear();
        }
    }
}
