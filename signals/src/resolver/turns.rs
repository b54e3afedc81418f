//! Whose question is sent next.
//!
//! Many of the names that are asked for are of a client's choosing, and one of a dead zone takes as long as the
//! servers' patience. So turns are shared out by the networks that questions are asked for, those of a network of
//! which something good is known apart from the others, and within each by its sessions: the next one goes where the
//! fewest are held, there to the session that holds the fewest, and of several to the one that has gone longest without.
//! None may hold more than half as many as are free. A quarter of all is for clients of which something good is known,
//! which nobody becomes in an hour; of what strangers may have the last third is for networks that hold none. And while
//! strangers wait, a stranger's question that has had its time is to give way: most names are answered for in that.
//!
//! Invariants: no more turns are held than there are, and no more questions wait than may; none waits that may be
//! sent.
//!
//! Known limit: strangers from more networks than there are turns keep other strangers waiting, as long as one that gives
//! way takes.

use crate::dns::Client;
use ipnet::IpNet;
use policy_core::facts::SessionId;
use policy_core::networks::canonical;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{interval, sleep, timeout};

/// How often a question that has had its time looks whether another waits.
const LOOK: Duration = Duration::from_millis(20);

/// Whom a question is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    /// An IPv4 /24 or an IPv6 /32, which is a provider's; `None` is this server.
    network: Option<IpNet>,
    session: Option<SessionId>,
    trusted: bool,
}

/// The clients of a network of which something good is known, or the others.
type Group = (Option<IpNet>, bool);

impl Asker {
    /// This server.
    pub(super) const OURSELVES: Self = Self { network: None, session: None, trusted: true };

    pub(super) fn of(client: Client) -> Self {
        let address = canonical(client.address);
        let length = if matches!(address, IpAddr::V4(_)) { 24 } else { 32 };
        let network = IpNet::new(address, length).ok().map(|network| network.trunc());
        Self { network, session: Some(client.session), trusted: client.trusted }
    }

    const fn group(&self) -> Group {
        (self.network, self.trusted)
    }
}

/// The turns.
#[derive(Debug)]
pub(super) struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// Turns that no stranger may have; of what is left as many are for strangers' networks that hold none.
    kept: usize,
    /// Questions that may wait yet.
    room: usize,
    /// Questions of strangers that wait.
    strangers: usize,
    /// Turns given so far.
    given: u64,
    /// Questions that have waited so far.
    arrived: u64,
    /// Turns that each holds, and its questions that wait.
    groups: HashMap<Group, (usize, usize)>,
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
            strangers: 0,
            given: 0,
            arrived: 0,
            groups: HashMap::new(),
            askers: HashMap::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A turn, as soon as there is one; `None` when too many wait, or it takes longer than `patience`.
    pub(super) async fn turn(&self, asker: Asker, patience: Duration) -> Option<Turn> {
        let turn = {
            let mut state = lock(&self.0);
            let (held, waiting) = state.groups.get(&asker.group()).copied().unwrap_or_default();
            if state.may_take(held, asker.trusted) {
                state.take(asker);
                return Some(Turn { asker, state: Some(Arc::clone(&self.0)) });
            }
            if 2 * waiting >= state.room {
                return None;
            }
            let (sender, turn) = oneshot::channel();
            state.wait(asker, sender);
            turn
        };
        timeout(patience, turn).await.ok()?.ok()
    }

    /// Questions that wait.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.0).groups.values().map(|(_, waiting)| waiting).sum()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing that could panic comes between two changes that belong together.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Whether one may have a turn whose group holds so many.
    const fn may_take(&self, held: usize, trusted: bool) -> bool {
        match (trusted, held) {
            (true, 0) => self.free > 0,
            (true, _) => 2 * held < self.free,
            (false, 0) => self.free > self.kept,
            (false, _) => 2 * held < self.free.saturating_sub(2 * self.kept),
        }
    }

    fn take(&mut self, asker: Asker) {
        self.free -= 1;
        self.given += 1;
        self.groups.entry(asker.group()).or_default().0 += 1;
        let share = self.askers.entry(asker).or_default();
        (share.held, share.last) = (share.held + 1, self.given);
    }

    fn put_back(&mut self, asker: Asker) {
        self.free += 1;
        if let Some((held, _)) = self.groups.get_mut(&asker.group()) {
            *held -= 1;
        }
        if let Some(share) = self.askers.get_mut(&asker) {
            share.held -= 1;
        }
    }

    fn wait(&mut self, asker: Asker, sender: oneshot::Sender<Turn>) {
        self.room -= 1;
        self.strangers += usize::from(!asker.trusted);
        self.arrived += 1;
        self.groups.entry(asker.group()).or_default().1 += 1;
        self.askers.entry(asker).or_default().waiting.push_back((self.arrived, sender));
    }

    /// So many questions of one less that wait.
    fn wait_no_more(&mut self, asker: Asker, count: usize) {
        self.room += count;
        self.strangers -= if asker.trusted { 0 } else { count };
        if let Some((_, waiting)) = self.groups.get_mut(&asker.group()) {
            *waiting -= count;
        }
    }

    /// Forgets who has given up, and who neither holds a turn nor waits for one.
    fn forget(&mut self) {
        let mut given_up = Vec::new();
        self.askers.retain(|&asker, share| {
            let before = share.waiting.len();
            while share.waiting.pop_front_if(|(_, sender)| sender.is_closed()).is_some() {}
            if share.waiting.len() < before {
                given_up.push((asker, before - share.waiting.len()));
            }
            share.held > 0 || !share.waiting.is_empty()
        });
        given_up.into_iter().for_each(|(asker, count)| self.wait_no_more(asker, count));
        self.groups.retain(|_, (held, waiting)| *held > 0 || *waiting > 0);
    }

    /// Whether a stranger waits for a turn.
    fn is_awaited(&mut self) -> bool {
        if self.strangers > 0 {
            self.forget();
        }
        self.strangers > 0
    }

    /// The next question that may be sent.
    fn next(&mut self) -> Option<(Asker, oneshot::Sender<Turn>)> {
        self.forget();
        let rank = |(&asker, share): (&Asker, &Share)| {
            let &(arrived, _) = share.waiting.front()?;
            let (held, _) = self.groups.get(&asker.group()).copied().unwrap_or_default();
            self.may_take(held, asker.trusted).then_some(((held, share.held, share.last, arrived), asker))
        };
        let (_, asker) = self.askers.iter().filter_map(rank).min_by_key(|(rank, _)| *rank)?;
        let (_, sender) = self.askers.get_mut(&asker)?.waiting.pop_front()?;
        self.wait_no_more(asker, 1);
        Some((asker, sender))
    }
}

impl Turn {
    /// Comes when strangers wait and this one, a stranger's, has been held for so long.
    pub(super) async fn wanted(&self, after: Duration) {
        let (Some(state), false) = (&self.state, self.asker.trusted) else {
            return std::future::pending().await;
        };
        sleep(after).await;
        let mut looks = interval(LOOK);
        while !lock(state).is_awaited() {
            looks.tick().await;
        }
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
