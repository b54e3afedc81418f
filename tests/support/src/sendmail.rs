//! A private Sendmail on loopback, configured with lines as an operator would add them to `sendmail.mc`.
//!
//! It accepts mail for `good@`, `good2@`, `good3@` and `postmaster@dest.example` and queues it, refuses
//! other recipients there with `550 5.1.1`, and relays for 127.0.0.1 and ::1 only. It has no XCLIENT: a
//! test is another client by connecting from another address of 127.0.0.0/8, or from ::1.
//!
//! Known limits: its log goes to the system's syslog, so what a test can read is the record of the
//! SMTP traffic. Starting it takes the right to make a UTS namespace, see [`PRIVATE_NAME`].

use crate::command::run;
use crate::instance::{Instance, command_line, make_directory, write_file};
use crate::{Error, Log, ports};
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::process::Command;

mod config;

/// Sendmail sleeps a minute at each start on a machine whose host name has no dot. A UTS namespace gives
/// it a name of its own with one. The aliases are built in the same namespace, for the same reason.
/// Arguments: the program, its configuration, the file for the traffic.
const PRIVATE_NAME: &str = r#"
hostname mx.test.example || exit 1
"$1" -C"$2" -bi || exit 1
exec "$1" -C"$2" -X "$3" -bD
"#;

const PORT_ATTEMPTS: usize = 3;

/// What a private Sendmail is to be like.
#[derive(Clone, Debug, Default)]
pub struct SendmailBuilder {
    mc: String,
}

/// A running private Sendmail. Dropping it stops it and removes all its files.
#[derive(Debug)]
pub struct Sendmail {
    instance: Instance,
    port: u16,
}

/// Where the packages are unpacked: `TEMPFAIL_SENDMAIL_DIR`, or where `tests/run` puts them.
fn unpacked_directory() -> PathBuf {
    let default = || "/var/cache/tempfail-tests/sendmail".into();
    std::env::var_os("TEMPFAIL_SENDMAIL_DIR").map_or_else(default, PathBuf::from)
}

fn program() -> PathBuf {
    unpacked_directory().join("usr/libexec/sendmail/sendmail")
}

/// Whether there is a Sendmail to start.
pub(crate) fn is_unpacked() -> bool {
    program().is_file() && unpacked_directory().join("usr/share/sendmail/cf/m4/cf.m4").is_file()
}

fn traffic(root: &Path) -> PathBuf {
    root.join("traffic")
}

fn in_private_name(root: &Path) -> Vec<OsString> {
    let cf = root.join("etc/private.cf");
    let shell: [&dyn AsRef<OsStr>; 6] = [&"unshare", &"--uts", &"sh", &"-c", &PRIVATE_NAME, &"sh"];
    let mut line = command_line(&shell);
    line.extend(command_line(&[&program(), &cf, &traffic(root)]));
    line
}

impl Sendmail {
    /// A Sendmail without a milter.
    pub fn builder() -> SendmailBuilder {
        SendmailBuilder::default()
    }

    /// Where it listens for clients from 127.0.0.0/8.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where it listens for the client ::1, if the machine has that address.
    pub fn address_v6(&self) -> Option<SocketAddr> {
        ports::has_ipv6_loopback().then(|| (Ipv6Addr::LOCALHOST, self.port).into())
    }

    /// The record of all SMTP traffic: `PID <<< command` and `PID >>> reply` lines.
    pub fn traffic(&self) -> &Log {
        self.instance.log()
    }

    /// The directory that holds everything of this instance.
    pub fn directory(&self) -> &Path {
        self.instance.directory()
    }
}

impl SendmailBuilder {
    /// Adds `sendmail.mc` lines verbatim, such as ``INPUT_MAIL_FILTER(`tempfail', `S=..., F=, T=...')dnl``.
    pub fn mc(mut self, lines: &str) -> Self {
        self.mc.push_str(lines);
        self.mc.push('\n');
        self
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> Result<Sendmail, Error> {
        for _ in 1..PORT_ATTEMPTS {
            match self.launch().await {
                // A taken port shows as no start at all: Sendmail waits for the port to come free.
                Err(Error::Deadline { .. }) => {}
                started => return started,
            }
        }
        self.launch().await
    }

    async fn launch(&self) -> Result<Sendmail, Error> {
        let port = ports::free_port()?;
        let mut instance = Instance::prepare("Sendmail", traffic, in_private_name)?;
        self.configure(instance.directory(), port).await?;
        // Sendmail writes its process id once its sockets are bound, and listens on one after the other then.
        let pid = Log::at(instance.directory().join("pid"));
        instance.launch(&pid, "").await?;
        let sendmail = Sendmail { instance, port };
        for address in [Some(sendmail.address()), sendmail.address_v6()].into_iter().flatten() {
            ports::listening(address).await?;
        }
        Ok(sendmail)
    }

    async fn configure(&self, root: &Path, port: u16) -> Result<(), Error> {
        make_directory(&root.join("etc"), 0o755)?;
        make_directory(&root.join("queue"), 0o700)?;
        write_file(&root.join("etc/service.switch"), "hosts files\naliases files\n")?;
        write_file(&root.join("etc/aliases"), config::ALIASES)?;
        let cf = unpacked_directory().join("usr/share/sendmail/cf");
        let mc = root.join("etc/private.mc");
        write_file(&mc, &config::mc(&cf, root, port, &self.mc))?;
        let text = run(Command::new("m4").arg("-I").arg(&cf).arg(&mc)).await?;
        write_file(&root.join("etc/private.cf"), &text)
    }
}
