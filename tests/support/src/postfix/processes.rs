//! Which of Postfix's SMTP servers run, and waiting for them to make way.
//!
//! An idle smtpd outlives a reload by a moment in which it may take one more client, with the old
//! configuration. Nothing is logged when it has gone, so its process is watched.

use crate::Error;
use std::path::Path;
use std::time::Duration;
use tokio::time::{interval, timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Process ids of the smtpd processes of the instance in `root`.
pub(super) fn smtp_servers(root: &Path) -> Result<Vec<u32>, Error> {
    let file = root.join("spool/pid/master.pid");
    let master = std::fs::read_to_string(&file).map_err(Error::io(file.display().to_string()))?;
    let processes = std::fs::read_dir("/proc").map_err(Error::io("/proc"))?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|&pid| is_smtpd_of(pid, master.trim())).collect())
}

/// Waits until none of `servers` runs any more. One that serves a client does not end before the client.
pub(super) async fn wait_until_gone(root: &Path, servers: &[u32]) -> Result<(), Error> {
    let gone = async {
        let mut ticks = interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let running = smtp_servers(root)?;
            if !servers.iter().any(|old| running.contains(old)) {
                return Ok(());
            }
        }
    };
    let what = "the end of the SMTP sessions from before the reload".to_owned();
    timeout(PATIENCE, gone)
        .await
        .unwrap_or_else(|_| Err(Error::Deadline { what, within: PATIENCE, log: String::new() }))
}

/// All daemons of one instance are in the process group of its master. `/proc/PID/stat` reads
/// "pid (name) state parent group ...".
fn is_smtpd_of(pid: u32, master: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((name, rest)) = stat.rsplit_once(") ") else { return false };
    name.ends_with("(smtpd") && rest.split(' ').nth(2) == Some(master)
}
