//! Tells systemd how the daemon is doing, if it was started by it (`Type=notify`, sd_notify(3)).

use crate::engine::Engine;
use sd_notify::NotifyState;
use std::time::Duration;
use tracing::{debug, error};

/// It answers.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It reads its configuration; [`ready`] ends that.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "systemd was not told of a reload"),
    }
}

/// It lets its sessions end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "systemd was not told");
    }
}

/// Tells systemd's watchdog, if the unit has one, that decisions are made. When they no longer are, it stops
/// to, and systemd starts the daemon anew. Does not return.
pub(crate) async fn watchdog(engine: Engine) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        if engine.is_stuck() {
            error!("decisions are stuck, the watchdog is not fed");
        } else {
            tell(&[NotifyState::Watchdog]);
        }
    }
}
