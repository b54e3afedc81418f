//! A private rbldnsd: the server that DNS lists are served with.
//!
//! It answers on 127.0.0.1 over UDP, from data sets given as text, which it reads as the user `nobody`.

use crate::instance::{Instance, command_line, write_file};
use crate::{Error, Log, ports};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const PORT_ATTEMPTS: usize = 3;
/// Arguments: the log, then the command line.
const LOGGING: &str = "log=$1; shift; exec \"$@\" >>\"$log\" 2>&1";

/// A running rbldnsd. Dropping it stops the server and removes all its files.
#[derive(Debug)]
pub struct Rbldnsd {
    _instance: Instance,
    port: u16,
}

/// Where the package is unpacked: `TEMPFAIL_RBLDNSD_DIR`, or where `tests/run` puts it.
fn program() -> PathBuf {
    let directory = std::env::var_os("TEMPFAIL_RBLDNSD_DIR")
        .map_or_else(|| "/var/cache/tempfail-tests/rbldnsd".into(), PathBuf::from);
    directory.join("usr/sbin/rbldnsd")
}

/// Whether there is an rbldnsd to start.
pub(crate) fn is_unpacked() -> bool {
    program().is_file()
}

fn log(root: &Path) -> PathBuf {
    root.join("log")
}

impl Rbldnsd {
    /// Starts one that serves `zones`, each a zone, the type of a data set and its text, and waits until it
    /// answers. A zone may come several times.
    pub async fn start(zones: &[(&str, &str, &str)]) -> Result<Self, Error> {
        for _ in 1..PORT_ATTEMPTS {
            match Self::launch(zones).await {
                Err(Error::Died { log, .. }) if log.contains("in use") => {}
                started => return started,
            }
        }
        Self::launch(zones).await
    }

    async fn launch(zones: &[(&str, &str, &str)]) -> Result<Self, Error> {
        let port = ports::free_port()?;
        let mut instance = Instance::prepare("rbldnsd", log, |root| command(root, port, zones))?;
        for (n, (_, _, text)) in zones.iter().enumerate() {
            write_file(&instance.directory().join(file(n)), text)?;
        }
        let ready = Log::at(log(instance.directory()));
        instance.launch(&ready, " started ").await?;
        Ok(Self { _instance: instance, port })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

fn file(n: usize) -> String {
    format!("set{n}")
}

fn command(root: &Path, port: u16, zones: &[(&str, &str, &str)]) -> Vec<OsString> {
    let mut line = command_line(&[&"sh", &"-c", &LOGGING, &"sh", &log(root), &program(), &"-n"]);
    // Root must name another user; anybody else cannot.
    if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        line.extend(["-u".into(), "nobody".into()]);
    }
    line.extend(command_line(&[&"-w", &root, &"-b", &format!("127.0.0.1/{port}")]));
    let set =
        |(n, (zone, kind, _)): (usize, &(&str, &str, &str))| format!("{zone}:{kind}:{}", file(n)).into();
    line.extend(zones.iter().enumerate().map(set));
    line
}
