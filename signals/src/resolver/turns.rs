//! Whose question is sent next.
//!
//! Many of the names that are asked for are of a client's choosing, and one of a dead zone takes as long as the
//! servers' patience. So turns are shared out by the networks that questions are asked for. One may hold half as many
//! as are free; the last quarter of all is kept for those that hold none. The next turn that can be had goes to the
//! network that holds the fewest, of several to the one that has gone longest without.
//!
//! Invariants: no more turns are held than there are, and no more questions wait than may; none waits that may be
//! sent.
//!
//! Known limit: whoever asks from some fifty networks holds all turns, if all his questions come at once. From then on
//! he gets every turn that nobody else wants.

use policy_core::identity::Key;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The network that a question is asked for; `None` is this server.
pub(super) type Asker = Option<Key>;

/// The turns.
#[derive(Debug)]
pub(super) struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// Turns that only those may have who hold none.
    kept: usize,
    /// Questions that may wait yet.
    room: usize,
    /// Turns given so far.
    given: u64,
    /// Questions that have waited so far.
    arrived: u64,
    /// Those that hold a turn or wait for one.
    askers: HashMap<Asker, Share>,
}

#[derive(Debug, Default)]
struct Share {
    held: usize,
    /// When it last got a turn, counted in turns.
    last: u64,
    waiting: VecDeque<Waiting>,
}

/// Whoever waits, with a number by which he came.
type Waiting = (u64, oneshot::Sender<Turn>);

/// A turn, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    asker: Asker,
    /// `None` if it was never taken.
    state: Option<Arc<Mutex<State>>>,
}

impl Turns {
    /// So many turns, for which so many questions may wait.
    pub(super) fn new(turns: usize, waiting: usize) -> Self {
        let turns = turns.max(1);
        let state = State {
            free: turns,
            kept: turns / 4,
            room: waiting,
            given: 0,
            arrived: 0,
            askers: HashMap::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A turn, as soon as there is one; `None` when too many wait, or it takes longer than `patience`.
    pub(super) async fn turn(&self, asker: Asker, patience: Duration) -> Option<Turn> {
        let turn = {
            let mut state = lock(&self.0);
            let (held, waiting) =
                state.askers.get(&asker).map_or((0, 0), |share| (share.held, share.waiting.len()));
            if state.may_take(held) {
                state.take(asker);
                return Some(Turn { asker, state: Some(Arc::clone(&self.0)) });
            }
            if 2 * waiting >= state.room {
                return None;
            }
            let (sender, turn) = oneshot::channel();
            state.room -= 1;
            state.arrived += 1;
            let waiting = (state.arrived, sender);
            state.askers.entry(asker).or_default().waiting.push_back(waiting);
            turn
        };
        timeout(patience, turn).await.ok()?.ok()
    }

    /// Questions that wait.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.0).askers.values().map(|share| share.waiting.len()).sum()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing that could panic comes between two changes that belong together.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Whether one who holds so many may have a turn.
    const fn may_take(&self, held: usize) -> bool {
        if held == 0 { self.free > 0 } else { 2 * held < self.free.saturating_sub(self.kept) }
    }

    fn take(&mut self, asker: Asker) {
        self.free -= 1;
        self.given += 1;
        let share = self.askers.entry(asker).or_default();
        (share.held, share.last) = (share.held + 1, self.given);
    }

    fn put_back(&mut self, asker: Asker) {
        self.free += 1;
        if let Some(share) = self.askers.get_mut(&asker) {
            share.held -= 1;
        }
    }

    /// The next question that may be sent. Forgets who neither holds a turn nor waits for one.
    fn next(&mut self) -> Option<(Asker, oneshot::Sender<Turn>)> {
        let mut next: Option<((usize, u64, u64), Asker)> = None;
        self.askers.retain(|&asker, share| {
            // Whoever has given up waits no more.
            while share.waiting.pop_front_if(|(_, sender)| sender.is_closed()).is_some() {
                self.room += 1;
            }
            if let Some(&(arrived, _)) = share.waiting.front() {
                let rank = (share.held, share.last, arrived);
                next = next.filter(|(best, _)| *best < rank).or(Some((rank, asker)));
            }
            share.held > 0 || !share.waiting.is_empty()
        });
        let (_, asker) = next.filter(|((held, ..), _)| self.may_take(*held))?;
        let (_, sender) = self.askers.get_mut(&asker)?.waiting.pop_front()?;
        self.room += 1;
        Some((asker, sender))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(shared) = self.state.take() else { return };
        let mut state = lock(&shared);
        state.put_back(self.asker);
        while let Some((asker, sender)) = state.next() {
            state.take(asker);
            let turn = Self { asker, state: Some(Arc::clone(&shared)) };
            if let Err(mut untaken) = sender.send(turn) {
                // It was given up just now. Dropped whole, it would want the lock that is held here.
                untaken.state = None;
                state.put_back(asker);
            }
        }
    }
}

#[cfg(test)]
mod tests;
