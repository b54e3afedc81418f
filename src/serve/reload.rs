//! SIGHUP: the configuration is read again.
//!
//! Invariant: one that cannot be used changes nothing, and is told: in the log with everything that is wrong, and in
//! the status with its place. One that says less than before is taken over, and told: a file that was cut off while it was
//! written may be valid.

use super::{Source, load, tell};
use crate::config::{Changed, Checked, ConfigError, Diagnostic, Outline, Severity};
use crate::daemon::Daemon;
use crate::{descriptors, log, notify};
use std::io;
use std::time::Duration;
use tokio::time::timeout;
use tracing::{error, info, warn};

/// How long a configuration may take to be read again.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Where the configuration is, and what the file said when it was last taken over.
pub(super) struct Reloader {
    pub(super) source: Source,
    /// File descriptors that the process may have.
    pub(super) descriptors: u64,
    pub(super) outline: Outline,
}

impl Reloader {
    /// Reads it again.
    pub(super) async fn reload(&mut self, daemon: &mut Daemon) {
        notify::reloading();
        let source = self.source.clone();
        // A file system that hangs must not hold up the signals that come after.
        let read = tokio::task::spawn_blocking(move || load(&source));
        match timeout(READ_WITHIN, read).await.map_err(io::Error::from).and_then(|read| Ok(read?)) {
            Ok(Ok(Checked { mut config, warnings, outline })) => {
                warnings.iter().for_each(tell);
                tell_changed(&outline.changed_since(&self.outline));
                self.outline = outline;
                descriptors::fit(&mut config, self.descriptors);
                let mode = log::mode(config.policy.mode);
                for key in daemon.reload(config) {
                    warn!(key, "a change that only a restart brings into force");
                }
                info!(mode, "configuration reloaded");
            }
            Ok(Err(error)) => daemon.engine().not_reloaded(kept(&error)),
            Err(error) => {
                error!(%error, "configuration not reloaded, the one before stays in force");
                daemon.engine().not_reloaded(error.to_string());
            }
        }
        notify::ready();
    }
}

fn tell_changed(changed: &[Changed]) {
    for Changed { section, before, now } in changed {
        if now < before {
            warn!(section, before, now, "the configuration says less than before: was its file cut off?");
        } else {
            info!(section, before, now, "the configuration says more than before");
        }
    }
}

/// Says why a configuration was not taken over. Returns what everybody may read of that.
fn kept(error: &ConfigError) -> String {
    let ConfigError::Invalid(diagnostics) = error else {
        error!(%error, "configuration not reloaded, the one before stays in force");
        return error.to_string();
    };
    diagnostics.iter().for_each(tell);
    let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    error!(errors = errors.len(), "configuration not reloaded, the one before stays in force");
    let first = errors.first().map(|first| format!("{}:{}:{}", first.file, first.line, first.column));
    format!("{} errors, the first at {}", errors.len(), first.unwrap_or_default())
}
