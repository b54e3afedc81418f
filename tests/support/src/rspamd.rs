//! A private rspamd on loopback: its milter, with Debian's configuration and what an operator adds in `local.d`.
//!
//! It asks nobody: the modules that look something up elsewhere are off, and its resolver has nobody to ask. A
//! message with [`Rspamd::SPAM`] in it is spam for it, whatever else it says.

use crate::instance::{Instance, command_line, make_directory, write_file};
use crate::{Error, ports};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

const PROGRAM: &str = "/usr/bin/rspamd";
const PORT_ATTEMPTS: usize = 3;
/// What would ask other hosts, or wants a database.
const OFF: [&str; 12] = [
    "rbl",
    "fuzzy_check",
    "dkim",
    "spf",
    "dmarc",
    "arc",
    "asn",
    "mx_check",
    "surbl",
    "phishing",
    "greylist",
    "neural",
];

const OPTIONS: &str = "dns {\n  nameserver = [\"127.0.0.1:1\"];\n  timeout = 0.1s;\n  retransmits = 0;\n}\ngtube_patterns = \"all\";\ndisable_hyperscan = true;\nlocal_addrs = [];\n";

/// Whether there is an rspamd to start.
pub(crate) fn is_installed() -> bool {
    Path::new(PROGRAM).is_file() && Path::new("/etc/rspamd/rspamd.conf").is_file()
}

/// A running rspamd. Dropping it stops it and removes all its files.
#[derive(Debug)]
pub struct Rspamd {
    _instance: Instance,
    port: u16,
}

impl Rspamd {
    /// The pattern of rspamd's own for mail that it shall mark as spam and let through.
    pub const SPAM: &str = "YJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

    /// Starts one with these files in its `local.d`, each a name and its text.
    pub async fn start(local: &[(&str, &str)]) -> Result<Self, Error> {
        for _ in 1..PORT_ATTEMPTS {
            match Self::launch(local).await {
                Err(Error::Died { log, .. }) if log.contains("in use") => {}
                started => return started,
            }
        }
        Self::launch(local).await
    }

    async fn launch(local: &[(&str, &str)]) -> Result<Self, Error> {
        let port = ports::free_port()?;
        let mut instance = Instance::prepare("rspamd", |root| root.join("log/rspamd.log"), command)?;
        let root = instance.directory().to_owned();
        for name in ["local", "local/local.d", "local/override.d", "run", "db", "log"] {
            make_directory(&root.join(name), 0o777)?;
        }
        let put = |name: &str, text: &str| write_file(&root.join("local/local.d").join(name), text);
        put(
            "worker-proxy.inc",
            &format!(
                "bind_socket = \"127.0.0.1:{port}\";\nmilter = yes;\nupstream \"local\" {{\n  default = yes;\n  self_scan = yes;\n}}\ncount = 1;\n"
            ),
        )?;
        for worker in ["normal", "controller", "fuzzy"] {
            put(&format!("worker-{worker}.inc"), "enabled = false;\n")?;
        }
        // The list of all top-level domains takes it half a minute to read.
        write_file(&root.join("tld"), "com\nexample\n")?;
        let tld = format!("url_tld = \"{}\";\n", root.join("tld").display());
        put("options.inc", &(tld + OPTIONS))?;
        let log = format!(
            "type = \"file\";\nfilename = \"{}\";\nlevel = \"info\";\n",
            root.join("log/rspamd.log").display()
        );
        put("logging.inc", &log)?;
        for module in OFF {
            put(&format!("{module}.conf"), "enabled = false;\n")?;
        }
        for (name, text) in local {
            put(name, text)?;
        }
        let log = instance.log().clone();
        // It has bound its sockets before it starts workers.
        instance.launch(&log, "start_rspamd_proxy").await?;
        Ok(Self { _instance: instance, port })
    }

    /// Where its milter listens.
    pub fn milter(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

fn command(root: &Path) -> Vec<std::ffi::OsString> {
    let var = |name: &str, place: &str| format!("--var={name}={}", root.join(place).display());
    command_line(&[
        &PROGRAM,
        &"-f",
        &"-u",
        &"_rspamd",
        &"-g",
        &"_rspamd",
        &"-c",
        &"/etc/rspamd/rspamd.conf",
        &var("LOCAL_CONFDIR", "local"),
        &var("RUNDIR", "run"),
        &var("DBDIR", "db"),
        &var("LOGDIR", "log"),
    ])
}
