//! What goes on beside the answers for as long as the daemon runs: the state is swept, and the log is told of changes and
//! of how lookups are doing.

use crate::clock::Turn;
use crate::engine::Engine;
use crate::log;
use policy_core::audit::Change;
use signals::lists::Standing;
use signals::resolver::Health;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

/// Each second a sixtieth of the state is swept, so that all of it is visited each minute.
const SWEEPS: usize = 60;

/// How often it is said how lookups are doing.
const TELL_LOOKUPS: Duration = Duration::from_secs(600);

/// Sweeps for ever. In the pool, because a sweep holds locks for a while and nobody waits for it.
pub(super) async fn sweep(engine: Engine) {
    // What was kept has been told before.
    let mut told = engine.state().audit().since(0).1;
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        engine.clock().watch().into_iter().for_each(tell_turn);
        let (state, now) = (Arc::clone(engine.state()), engine.clock().now());
        let swept =
            tokio::task::spawn_blocking(move || state.sweep(state.segments().div_ceil(SWEEPS), now)).await;
        if let Err(error) = swept {
            error!(%error, "a sweep failed");
        }
        told = tell_changes(&engine, told);
    }
}

/// Says that the system's clock has leapt, and what became of it.
fn tell_turn(turn: Turn) {
    let length = |by: Duration| humantime::format_duration(Duration::from_secs(by.as_secs())).to_string();
    match turn {
        Turn::Ahead(by) => warn!(ahead = length(by), "the clock has leapt, and is not followed for a day"),
        Turn::Back(by) => warn!(back = length(by), "the clock has leapt, and is not followed for a day"),
        Turn::Returned => info!("the clock stands right again"),
        Turn::Followed => warn!(
            "the clock has stood so for a day, and is followed: evidence fades by the time that it leapt"
        ),
    }
}

/// Says what operators and the ladder have changed since; returns where to go on.
fn tell_changes(engine: &Engine, told: u64) -> u64 {
    let (changes, next) = engine.state().audit().since(told);
    for Change { who, what, key, until, note, .. } in changes {
        let until = until.map_or_else(|| "-".to_owned(), log::moment);
        info!(what = what.word(), key, until, who, note, "changed by hand or by the ladder");
    }
    next
}

/// Says now and then how lookups are doing, and which lists are not asked.
pub(super) async fn tell_lookups(engine: Engine) {
    let mut ticks = interval(TELL_LOOKUPS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when there is nothing to tell yet.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(lookups) = engine.lookups() else { continue };
        let Health { questions, hits, sent, timed_out, server_failed, suspensions, suspended_for, .. } =
            lookups.health();
        let suspended = suspended_for.is_some();
        info!(questions, hits, sent, timed_out, server_failed, suspensions, suspended, "lookups so far");
        for list in lookups.lists().into_iter().filter(|list| list.standing != Standing::InOrder) {
            info!(list = %list.list, standing = ?list.standing, asked = list.asked, "a list is not asked");
        }
    }
}
