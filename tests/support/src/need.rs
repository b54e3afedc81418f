//! What a test needs of the machine, and what to say where it is missing.

use crate::{dovecot, greylister, ports, postfix, rbldnsd, rspamd, sendmail, spamassassin};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Something a test cannot do without and not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// Postfix, and root to start it.
    Postfix,
    /// Sendmail, unpacked from Debian's packages, and root to start it.
    Sendmail,
    /// rbldnsd, unpacked from Debian's package.
    Rbldnsd,
    /// postgrey and sqlgrey, unpacked from Debian's packages, root to start them, and sqlite3.
    Greylisters,
    /// Root that may mount a file system of a few megabytes.
    Mounting,
    /// Dovecot with its Sieve, and root to start it.
    Dovecot,
    /// rspamd, and root to start it.
    Rspamd,
    /// SpamAssassin with spamass-milter, and root to start it.
    SpamAssassin,
    /// The address ::1 on the loopback interface.
    Ipv6Loopback,
    /// A directory with recordings of real mail, named by `TEMPFAIL_TRACES`. They are not part of the
    /// project, so a test that needs them is never required.
    Traces,
}

impl Need {
    /// Why this machine cannot meet the need, or `None` if it can.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Postfix => not_root("Postfix").or_else(|| unless_found("Postfix", postfix::is_installed())),
            Self::Sendmail => {
                not_root("Sendmail").or_else(|| unless_found("Sendmail", sendmail::is_unpacked()))
            }
            Self::Rbldnsd => unless_found("rbldnsd", rbldnsd::is_unpacked()),
            Self::Greylisters => not_root("postgrey")
                .or_else(|| unless_found("postgrey or sqlgrey", greylister::is_unpacked())),
            Self::Mounting => not_root("a file system").or_else(|| {
                (!may_mount()).then(|| "this machine lets nobody mount a file system".to_owned())
            }),
            Self::Dovecot => not_root("Dovecot").or_else(|| unless_found("Dovecot", dovecot::is_installed())),
            Self::Rspamd => not_root("rspamd").or_else(|| unless_found("rspamd", rspamd::is_installed())),
            Self::SpamAssassin => {
                let there = || unless_found("SpamAssassin", spamassassin::is_installed());
                not_root("SpamAssassin").or_else(there)
            }
            Self::Ipv6Loopback => {
                (!ports::has_ipv6_loopback()).then(|| "this machine has no address ::1".to_owned())
            }
            Self::Traces => traces().is_none().then(|| "TEMPFAIL_TRACES names no directory".to_owned()),
        }
    }

    /// Whether `tests/run` promises it.
    pub(crate) fn is_promised(self) -> bool {
        self != Self::Traces
    }
}

/// The directory with recordings of real mail that `TEMPFAIL_TRACES` names, if there is one.
pub fn traces() -> Option<PathBuf> {
    std::env::var_os("TEMPFAIL_TRACES").map(PathBuf::from).filter(|path| path.is_dir())
}

/// Tried out of everybody's sight.
fn may_mount() -> bool {
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]);
    unshare.output().is_ok_and(|output| output.status.success())
}

fn unless_found(server: &str, found: bool) -> Option<String> {
    (!found).then(|| format!("no {server} on this machine; tests/run installs it"))
}

fn not_root(server: &str) -> Option<String> {
    // The owner of a process's entry in /proc is its effective user.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    (!is_root).then(|| format!("{server} can be started by root only"))
}
