//! Running one short-lived command with a deadline and its output kept.

use crate::Error;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// Far above what any set-up command takes, so that a hang fails the test instead of stalling it.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// Runs `command` to its end and returns its standard output.
pub(crate) async fn run(command: &mut Command) -> Result<String, Error> {
    let shown = format!("{:?}", command.as_std());
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let ended = timeout(COMMAND_DEADLINE, command.output()).await;
    let output = ended
        .map_err(|_| Error::Deadline {
            what: format!("the end of {shown}"),
            within: COMMAND_DEADLINE,
            log: String::new(),
        })?
        .map_err(Error::io(&shown))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let output = format!("{}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr));
    Err(Error::Command { command: shown, output })
}
