//! One private server: its directory, its processes, and their certain end.
//!
//! A small shell, the keeper, stands between the test and the server. It reads its standard input, a
//! pipe that only the test process holds. A line there makes it start the server. When the pipe
//! closes, because the value was dropped or because the test process died in whatever way, the keeper
//! kills the server's process group, waits until the last of it has gone, and removes the directory.
//! Killing is enough: nothing in the directory outlives it.
//!
//! Known limit: a server process that left the process group would survive; none does.

use crate::{Error, Log, diagnostics};
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const STARTUP_DEADLINE: Duration = Duration::from_secs(30);

/// Arguments: the directory, then the server's command line. The server gets a process group of its
/// own (`setsid`), and every process of it holds the pipe to `cat`, which so ends with the last. The second
/// try to remove the directory is for a set-up command that outlived the test process by a moment.
const KEEPER: &str = r#"
dir=$1; shift
exec 3<&0 </dev/null
if read -r _ <&3; then
    {
        setsid "$@" 2>>"$dir/stderr" 3<&- &
        server=$!
        {
            read -r _ <&3
            [ -e "$dir/ended" ] || kill -s KILL -- "-$server" || kill -s KILL "$server"
        } >/dev/null 2>&1 &
        wait "$server"
        echo ended >"$dir/ended"
    } 2>/dev/null | cat >/dev/null
    read -r _ <&3
fi
rm -rf -- "$dir" || { sleep 1; rm -rf -- "$dir"; }
"#;

/// A server, started or yet to be. Dropping it stops the server and removes its directory.
#[derive(Debug)]
pub(crate) struct Instance {
    server: &'static str,
    directory: PathBuf,
    log: Log,
    keeper: Child,
}

impl Instance {
    /// Takes a fresh directory into care, in which the server can be set up before it is launched.
    /// `command_line` and `log` may name places in that directory.
    pub(crate) fn prepare(
        server: &'static str,
        log: impl FnOnce(&Path) -> PathBuf,
        command_line: impl FnOnce(&Path) -> Vec<OsString>,
    ) -> Result<Self, Error> {
        let directory = reachable_directory()?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(directory.path())
            .args(command_line(directory.path()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!("starting {server}")))?;
        // From here on the directory is the keeper's to remove.
        let directory = directory.keep();
        Ok(Self { server, log: Log::at(log(&directory)), directory, keeper })
    }

    /// Starts the server and waits until `ready` has a line that contains `sign`, or the server has ended.
    pub(crate) async fn launch(&mut self, ready: &Log, sign: &str) -> Result<(), Error> {
        if let Some(pipe) = &mut self.keeper.stdin {
            pipe.write_all(b"start\n").map_err(Error::io(format!("starting {}", self.server)))?;
        }
        let what = format!("a running {}", self.server);
        let ended = Log::at(self.directory.join("ended"));
        tokio::select! {
            line = ready.wait_until(&what, STARTUP_DEADLINE, |line| line.contains(sign)) => line.map(drop),
            _ = ended.wait_until("its end", STARTUP_DEADLINE, |_| true) => Err(self.died()),
        }
    }

    /// The server's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server's log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    fn died(&self) -> Error {
        Error::Died { server: self.server, log: self.report() }
    }

    fn report(&self) -> String {
        let stderr = Log::at(self.directory.join("stderr")).tail();
        format!("{}\n{stderr}", self.log.tail())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        diagnostics::leave(format!("--- {}, end of its log\n{}", self.server, self.report()));
        drop(self.keeper.stdin.take());
        // Bounded: the keeper kills with SIGKILL and then only waits for the kernel.
        let _ = self.keeper.wait();
    }
}

/// A fresh directory that servers running as another user can reach, below `TEMPFAIL_TEST_DIR` or
/// the system's directory for temporary files.
fn reachable_directory() -> Result<TempDir, Error> {
    let base = std::env::var_os("TEMPFAIL_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let what = || format!("a directory below {}", base.display());
    let base = base.canonicalize().map_err(Error::io(what()))?;
    if let Some(closed) = base.ancestors().find(|directory| !others_may_enter(directory)) {
        let closed = closed.display();
        return Err(Error::Missing(format!("{closed} is closed to other users; set TEMPFAIL_TEST_DIR")));
    }
    let directory =
        tempfile::Builder::new().prefix("tempfail-").tempdir_in(&base).map_err(Error::io(what()))?;
    set_mode(directory.path(), 0o755)?;
    Ok(directory)
}

fn others_may_enter(directory: &Path) -> bool {
    std::fs::metadata(directory).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
}

/// Makes a directory with exactly `mode`, whatever the umask.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::create_dir(path).map_err(Error::io(path.display().to_string()))?;
    set_mode(path, mode)
}

/// Writes a file that everyone may read, whatever the umask.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::io(path.display().to_string()))?;
    set_mode(path, 0o644)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    let permissions = Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).map_err(Error::io(path.display().to_string()))
}

/// A command line out of parts of several kinds.
pub(crate) fn command_line(parts: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
    parts.iter().map(|part| part.as_ref().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell script that finds its directory in `$0`.
    fn script(text: &'static str) -> Instance {
        let line = move |root: &Path| command_line(&[&"sh", &"-c", &text, &root]);
        Instance::prepare("a script", |root| root.join("log"), line).unwrap()
    }

    /// A server of two processes that says when both run.
    const FAMILY: &str = r#"sleep 1000 & echo "child $! parent $$" >>"$0/log"; wait"#;

    fn is_alive(pid: &str) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // "pid (name) state": a zombie has ended and waits for its parent only.
        status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    #[tokio::test]
    async fn dropping_ends_every_process_and_removes_the_directory() {
        let mut instance = script(FAMILY);
        let log = instance.log().clone();
        instance.launch(&log, "child").await.unwrap();
        let line = log.wait_for("child").await.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let directory = instance.directory().to_owned();
        assert!(is_alive(words[1]) && is_alive(words[3]) && directory.exists());
        drop(instance);
        assert!(!is_alive(words[1]) && !is_alive(words[3]) && !directory.exists());
    }

    #[tokio::test]
    async fn a_server_that_ends_by_itself_is_reported_with_what_it_said() {
        let mut instance = script("echo cannot bind >&2; exit 1");
        let log = instance.log().clone();
        let error = instance.launch(&log, "ready").await.unwrap_err();
        assert!(matches!(&error, Error::Died { log, .. } if log.contains("cannot bind")), "{error}");
    }

    #[tokio::test]
    async fn a_server_dropped_while_it_starts_leaves_nothing() {
        let mut instance = script(FAMILY);
        let directory = instance.directory().to_owned();
        let log = instance.log().clone();
        // The family never says this, however fast it starts.
        let launch = instance.launch(&log, "a sign that never comes");
        // Polled once, the launch has told the keeper to start; then it is given up.
        assert!(tokio::time::timeout(Duration::ZERO, launch).await.is_err());
        drop(instance);
        assert!(!directory.exists());
    }

    #[test]
    fn a_server_never_launched_leaves_nothing() {
        let instance = script(FAMILY);
        let directory = instance.directory().to_owned();
        assert!(directory.exists());
        drop(instance);
        assert!(!directory.exists());
    }
}
