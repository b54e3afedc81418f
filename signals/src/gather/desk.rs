//! What is being looked up and what has been, by session and sender.
//!
//! A session's second recipient, and the other front end, find what the first question began. Each shard keeps
//! two generations: what is new or asked for again is in the young one; when that is full, it becomes the old
//! one and what was old is forgotten. So the sessions remembered are bounded, and nothing sweeps.
//!
//! Invariant: a look-up that goes on, or has found everything out, is not begun again within [`KEPT`].

use super::inquiry::{Inquiry, Progress};
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Sessions that are remembered, both generations together. Each takes a kilobyte or two.
const MOST: usize = 16_384;
/// How long what a session has heard is used.
const KEPT: Duration = Duration::from_secs(600);
const SHARDS: usize = 16;
/// Of one generation of one shard.
const GENERATION: usize = MOST / SHARDS / 2;

/// Progress that others may go on making.
pub(super) type Watched = watch::Receiver<Progress>;

#[derive(Clone)]
struct Slot {
    progress: Watched,
    begun: Instant,
}

type Generation = HashMap<Inquiry, Slot, RandomState>;

#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
}

pub(super) struct Desk {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

impl Slot {
    /// Whether there is nothing to be gained from beginning again.
    fn is_current(&self, now: Instant) -> bool {
        let ended = self.progress.has_changed().is_err();
        self.begun + KEPT > now && !(ended && self.progress.borrow().lacks_something())
    }
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { shards: Default::default(), hasher: RandomState::default() }
    }

    /// The progress of an inquiry, which `begin` starts if nobody has.
    pub(super) fn find(
        &self,
        inquiry: Inquiry,
        begin: impl FnOnce(Inquiry, watch::Sender<Progress>),
    ) -> Watched {
        let now = Instant::now();
        let shard = usize::try_from(self.hasher.hash_one(&inquiry) >> 32).unwrap_or(0) % SHARDS;
        let (sender, progress) = watch::channel(Progress::default());
        if let Some(shard) = self.shards.get(shard) {
            // Every change under the lock is whole by itself; a shard left behind by a panic is as good as any.
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = shard.kept(&inquiry, now) {
                return slot.progress;
            }
            shard.keep(inquiry.clone(), Slot { progress: progress.clone(), begun: now });
        }
        begin(inquiry, sender);
        progress
    }

    /// Sessions remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.map(|shard| shard.young.len() + shard.old.len()).sum()
    }
}

impl Shard {
    fn kept(&mut self, inquiry: &Inquiry, now: Instant) -> Option<Slot> {
        if let Some(slot) = self.young.get(inquiry) {
            return slot.is_current(now).then(|| slot.clone());
        }
        let slot = self.old.remove(inquiry).filter(|slot| slot.is_current(now))?;
        self.keep(inquiry.clone(), slot.clone());
        Some(slot)
    }

    fn keep(&mut self, inquiry: Inquiry, slot: Slot) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(inquiry, slot);
    }
}

#[cfg(test)]
mod tests {
    use super::super::inquiry::tests::inquiry;
    use super::*;

    /// Begins it if need be, and says whether there was need; what is begun ends with `outcome` at once.
    fn begins(desk: &Desk, n: u32, outcome: &Progress) -> bool {
        let mut begun = false;
        desk.find(inquiry(n), |_, sender| {
            begun = true;
            sender.send_replace(outcome.clone());
        });
        begun
    }

    fn complete() -> Progress {
        Progress::complete()
    }

    #[tokio::test]
    async fn many_sessions_leave_it_bounded_and_the_latest_known() {
        let desk = Desk::new();
        for n in 0..50_000 {
            assert!(begins(&desk, n, &complete()), "{n} is new");
            assert!(desk.len() <= MOST);
        }
        let known = (0..50_000).filter(|&n| !begins(&desk, n, &complete())).count();
        assert!(desk.len() <= MOST && known < MOST, "{known}");
        assert!(!begins(&desk, 49_999, &complete()));
    }

    #[tokio::test]
    async fn a_session_in_use_stays_while_strangers_come_and_go() {
        let desk = Desk::new();
        assert!(begins(&desk, 0, &complete()));
        for n in 1..50_000 {
            begins(&desk, n, &complete());
            assert!(n % 1000 != 0 || !begins(&desk, 0, &complete()), "forgotten after {n}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_heard_is_used_for_a_while() {
        let desk = Desk::new();
        assert!(begins(&desk, 7, &complete()));
        tokio::time::advance(KEPT - Duration::from_secs(1)).await;
        assert!(!begins(&desk, 7, &complete()));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(begins(&desk, 7, &complete()));
    }

    #[tokio::test]
    async fn what_stayed_unknown_is_asked_again_but_not_while_it_is_being_asked() {
        let desk = Desk::new();
        assert!(begins(&desk, 7, &Progress::default()), "ends without a word");
        assert!(begins(&desk, 7, &complete()));
        assert!(!begins(&desk, 7, &complete()));
        let mut held = None;
        desk.find(inquiry(8), |_, sender| held = Some(sender));
        assert!(!begins(&desk, 8, &complete()), "under way");
        drop(held);
        assert!(begins(&desk, 8, &complete()));
    }
}
