//! A private SpamAssassin on loopback: spamd, and the milter of its own that Debian has, spamass-milter.
//!
//! It asks nobody: only local tests are on. A message with [`SpamAssassin::SPAM`] in its body is spam for it.

use crate::instance::{Instance, command_line, make_directory};
use crate::{Error, Log, ports};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

const SPAMD: &str = "/usr/sbin/spamd";
const MILTER: &str = "/usr/sbin/spamass-milter";
const PORT_ATTEMPTS: usize = 3;

/// Whether there is a SpamAssassin to start.
pub(crate) fn is_installed() -> bool {
    [SPAMD, MILTER].iter().all(|file| Path::new(file).is_file())
}

/// A running SpamAssassin. Dropping it stops it and removes all its files.
#[derive(Debug)]
pub struct SpamAssassin {
    // The milter goes first, which asks the other.
    _milter: Instance,
    _spamd: Instance,
    port: u16,
}

impl SpamAssassin {
    /// The pattern that every content filter of this kind takes for spam.
    pub const SPAM: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

    /// Starts one, and waits until it listens.
    pub async fn start() -> Result<Self, Error> {
        for _ in 1..PORT_ATTEMPTS {
            match Self::launch().await {
                Err(Error::Died { log, .. }) if log.contains("in use") => {}
                started => return started,
            }
        }
        Self::launch().await
    }

    async fn launch() -> Result<Self, Error> {
        let (scanner, port) = (ports::free_port()?, ports::free_port()?);
        let log = |root: &Path| root.join("log/spamd.log");
        let mut spamd = Instance::prepare("spamd", log, |root| spamd(root, scanner))?;
        make_directory(&spamd.directory().join("log"), 0o777)?;
        let started = spamd.log().clone();
        spamd.launch(&started, "server started on").await?;
        let mut milter = Instance::prepare(
            "spamass-milter",
            |root| root.join("stderr"),
            |root| {
                let socket = format!("inet:{port}@127.0.0.1");
                let scanner = scanner.to_string();
                command_line(&[
                    &MILTER,
                    &"-p",
                    &socket,
                    &"-P",
                    &root.join("pid"),
                    &"-m",
                    &"--",
                    &"-d",
                    &"127.0.0.1",
                    &"-p",
                    &scanner,
                ])
            },
        )?;
        let pid = Log::at(milter.directory().join("pid"));
        milter.launch(&pid, "").await?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        ports::listening(address).await?;
        Ok(Self { _milter: milter, _spamd: spamd, port })
    }

    /// Where its milter listens.
    pub fn milter(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

fn spamd(root: &Path, port: u16) -> Vec<std::ffi::OsString> {
    let (port, log) = (port.to_string(), root.join("log/spamd.log"));
    let pid = root.join("log/pid");
    command_line(&[
        &SPAMD,
        &"-L",
        &"-i",
        &"127.0.0.1",
        &"-p",
        &port,
        &"-u",
        &"nobody",
        &"-x",
        &"--nouser-config",
        &"-m",
        &"1",
        &"-s",
        &log,
        &"-r",
        &pid,
    ])
}
