//! File descriptors: as many as the system gives, and connection limits that fit them.
//!
//! A connection over its limit is closed at once, and the mail server goes on with its default action. A
//! connection that there is no descriptor for waits unaccepted until the mail server's own time is up. So the
//! limits stay below the descriptors, whatever the configuration says.

use crate::config::Config;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::sync::Arc;
use tracing::{info, warn};

/// Descriptors for everything but connections: the runtime, listening sockets, the log, files.
const RESERVED: u64 = 64;

/// Raises the soft limit of descriptors to the hard one, and returns it.
pub(crate) fn raise() -> u64 {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) => {
            let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
            let now = if raised.is_ok() { hard } else { soft };
            info!(before = soft, now, "file descriptors");
            now
        }
        Err(error) => {
            warn!(error = error.desc(), "the limit of file descriptors is not known, 1024 assumed");
            1024
        }
    }
}

/// Lowers connection limits that the descriptors do not allow, and says so.
pub(crate) fn fit(config: &mut Config, descriptors: u64) {
    let sockets = config.policy_service.listen.len() + config.milter.listen.len();
    let share = usize::try_from(descriptors.saturating_sub(RESERVED)).unwrap_or(usize::MAX) / sockets.max(1);
    let share = share.max(1);
    if config.policy_service.limits.connections > share {
        lowered("policy", &mut config.policy_service.limits.connections, share);
    }
    if config.milter.options.limits.connections > share {
        lowered("milter", &mut Arc::make_mut(&mut config.milter.options).limits.connections, share);
    }
}

fn lowered(protocol: &str, connections: &mut usize, share: usize) {
    warn!(protocol, configured = *connections, now = share, "too few file descriptors, fewer connections");
    *connections = share;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_the_descriptors() {
        let mut config = Config::default();
        fit(&mut config, 1 << 20);
        assert_eq!(config, Config::default());
        fit(&mut config, 264);
        assert_eq!(config.policy_service.limits.connections, 100);
        assert_eq!(config.milter.options.limits.connections, 100);
        fit(&mut config, 3);
        assert_eq!(config.policy_service.limits.connections, 1);
    }
}
