//! Where Postfix is on this machine.

use crate::Error;
use crate::command::run;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The places of an installed Postfix.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    pub(super) commands: PathBuf,
    pub(super) daemons: String,
    pub(super) meta: String,
}

/// The directory of Postfix's commands: `TEMPFAIL_POSTFIX_DIR`, or where Debian puts them.
fn command_directory() -> PathBuf {
    std::env::var_os("TEMPFAIL_POSTFIX_DIR").map_or_else(|| "/usr/sbin".into(), PathBuf::from)
}

/// Whether there is a Postfix to start.
pub(crate) fn is_installed() -> bool {
    ["postfix", "postconf"].iter().all(|name| command_directory().join(name).is_file())
}

impl Installation {
    /// Asks `postconf` for the places it was built with.
    pub(super) async fn find() -> Result<Self, Error> {
        let commands = command_directory();
        let ask = async |name| {
            let mut postconf = Command::new(commands.join("postconf"));
            // -d prints what is compiled in, so no configuration is read.
            run(postconf.args(["-d", "-h", name])).await.map(|value| value.trim().to_owned())
        };
        let (daemons, meta) = (ask("daemon_directory").await?, ask("meta_directory").await?);
        Ok(Self { commands, daemons, meta })
    }

    /// One of Postfix's commands.
    pub(super) fn command(&self, name: &str) -> Command {
        Command::new(self.commands.join(name))
    }

    /// One of Postfix's daemons.
    pub(super) fn daemon(&self, name: &str) -> PathBuf {
        Path::new(&self.daemons).join(name)
    }

    /// `PATH` with Postfix's commands first.
    pub(super) fn search_path(&self) -> OsString {
        let mut path = self.commands.clone().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        path
    }

    /// Hands a directory to the user Postfix's daemons run as.
    pub(super) async fn give_to_mail_owner(&self, directory: &Path) -> Result<(), Error> {
        run(Command::new("chown").arg("postfix:root").arg(directory)).await.map(drop)
    }
}
