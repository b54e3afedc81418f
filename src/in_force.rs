//! What is known of the configuration in force: since when, and whether the latest attempt to replace it failed.

use policy_core::policy::Mode;
use policy_core::time::Timestamp;

/// A configuration that was not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReloaded {
    /// When.
    pub at: Timestamp,
    /// Why, in words that hold nothing of what the file says: whoever may ask for the status reads them.
    pub why: String,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// When it was taken over; at the start, when the daemon started.
    pub since: Timestamp,
    /// The latest reload, if it failed.
    pub failed: Option<NotReloaded>,
    /// When the mode in force came into force, as far as this process knows.
    pub mode_since: Timestamp,
    /// Who has set it, as the admin interface names them; `None` when it is the configuration's.
    pub mode_set_by: Option<String>,
    /// The mode of the configuration.
    pub mode_configured: Mode,
}

impl InForce {
    /// That of the start.
    pub(crate) const fn at_start(mode: Mode, now: Timestamp) -> Self {
        Self { since: now, failed: None, mode_since: now, mode_set_by: None, mode_configured: mode }
    }

    /// Somebody sets the mode.
    pub(crate) fn mode_set(&mut self, before: Mode, mode: Mode, by: &str, now: Timestamp) {
        if before != mode {
            self.mode_since = now;
        }
        self.mode_set_by = (mode != self.mode_configured).then(|| by.to_owned());
    }

    /// Another one is in force.
    pub(crate) fn reloaded(&mut self, before: Mode, mode: Mode, now: Timestamp) {
        let mode_since = if before == mode { self.mode_since } else { now };
        *self = Self { mode_since, ..Self::at_start(mode, now) };
    }
}
