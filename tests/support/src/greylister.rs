//! A private postgrey or sqlgrey: greylisters that others come from.
//!
//! Each answers Postfix's policy requests on loopback and keeps its database in its directory, as the user `nobody`.
//! Their delays are as short as they can be set, so that a retry passes a second after the first try.

use crate::instance::{Instance, command_line, make_directory, write_file};
use crate::{Error, Log, ports};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PORT_ATTEMPTS: usize = 3;
/// An answer takes a moment; a server that has none is stuck.
const ANSWER: Duration = Duration::from_secs(30);
/// Arguments: the log, then the command line.
const LOGGING: &str = "log=$1; shift; exec \"$@\" >>\"$log\" 2>&1";
const SQLGREY: &str = "conf_dir = @DIR@/lists\nuser = nobody\ngroup = nogroup\ninet = 127.0.0.1:@PORT@\n\
    pidfile = @DIR@/data/pid\ndb_type = SQLite\ndb_name = @DIR@/data/sqlgrey.db\nreconnect_delay = 0\nadmin_mail =\n\
    dont_db_clean = 0\n";

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greylister {
    /// postgrey, with Berkeley DB.
    Postgrey,
    /// sqlgrey, with SQLite.
    Sqlgrey,
}

/// A running greylister. Dropping it stops the server and removes all its files.
#[derive(Debug)]
pub struct Greylisting {
    instance: Instance,
    port: u16,
}

/// Where the packages are unpacked: `TEMPFAIL_GREYLISTERS_DIR`, or where `tests/run` puts them.
fn unpacked() -> PathBuf {
    std::env::var_os("TEMPFAIL_GREYLISTERS_DIR")
        .map_or_else(|| "/var/cache/tempfail-tests/greylisters".into(), PathBuf::from)
}

/// Whether there are greylisters to start.
pub(crate) fn is_unpacked() -> bool {
    ["usr/sbin/postgrey", "usr/sbin/sqlgrey", "usr/bin/db5.3_dump"]
        .iter()
        .all(|name| unpacked().join(name).is_file())
}

fn log(root: &Path) -> PathBuf {
    root.join("log")
}

impl Greylister {
    /// Starts it and waits until it answers.
    pub async fn start(self) -> Result<Greylisting, Error> {
        for _ in 1..PORT_ATTEMPTS {
            match self.launch().await {
                Err(Error::Died { log, .. }) if log.contains("in use") => {}
                started => return started,
            }
        }
        self.launch().await
    }

    async fn launch(self) -> Result<Greylisting, Error> {
        let port = ports::free_port()?;
        let mut instance = Instance::prepare(self.name(), log, |root| self.command(root, port))?;
        make_directory(&instance.directory().join("data"), 0o777)?;
        if self == Self::Sqlgrey {
            let directory = instance.directory().to_owned();
            let text = SQLGREY
                .replace("@DIR@", &directory.display().to_string())
                .replace("@PORT@", &port.to_string());
            write_file(&directory.join("conf"), &text)?;
            make_directory(&directory.join("lists"), 0o755)?;
            for name in ["smtp_server.regexp", "dyn_fqdn.regexp", "discrimination.regexp"] {
                let from = unpacked().join("etc/sqlgrey").join(name);
                let text = std::fs::read_to_string(&from).map_err(Error::io(from.display().to_string()))?;
                write_file(&directory.join("lists").join(name), &text)?;
            }
        }
        let ready = Log::at(log(instance.directory()));
        // It has bound its port by then.
        instance.launch(&ready, "Setting uid").await?;
        Ok(Greylisting { instance, port })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Postgrey => "postgrey",
            Self::Sqlgrey => "sqlgrey",
        }
    }

    /// Both distrust their environment (`-T`), so where their modules lie is an argument.
    fn command(self, root: &Path, port: u16) -> Vec<OsString> {
        let (at, name) = (unpacked(), self.name());
        let modules = at.join("usr/share/perl5");
        let compiled = at.join(format!("usr/lib/{}-linux-gnu/perl5/5.36", std::env::consts::ARCH));
        let program = at.join("usr/sbin").join(name);
        let mut line = command_line(&[&"sh", &"-c", &LOGGING, &"sh", &log(root), &"perl", &"-T"]);
        line.extend(command_line(&[&"-I", &modules, &"-I", &compiled, &program]));
        let options = match self {
            Self::Postgrey => vec![
                format!("--inet=127.0.0.1:{port}"),
                format!("--dbdir={}", root.join("data").display()),
                "--user=nobody".to_owned(),
                "--group=nogroup".to_owned(),
                "--delay=1".to_owned(),
                "--auto-whitelist-clients=2".to_owned(),
                "--whitelist-clients=/dev/null".to_owned(),
                "--whitelist-recipients=/dev/null".to_owned(),
            ],
            Self::Sqlgrey => vec![format!("--configfile={}", root.join("conf").display())],
        };
        line.extend(options.into_iter().map(OsString::from));
        line
    }
}

impl Greylisting {
    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where its database is.
    pub fn data(&self) -> PathBuf {
        self.instance.directory().join("data")
    }

    /// Where Debian's packages are unpacked that read its database.
    pub fn programs() -> PathBuf {
        unpacked().join("usr/bin")
    }

    /// Its lists as the package has them.
    pub fn lists(which: Greylister) -> PathBuf {
        unpacked().join(match which {
            Greylister::Postgrey => "usr/share/postgrey",
            Greylister::Sqlgrey => "etc/sqlgrey",
        })
    }

    /// What it answers to a mail server that asks about a recipient.
    pub fn ask(&self, client: &str, sender: &str, recipient: &str) -> Result<String, Error> {
        let what = || format!("asking {client} {sender} {recipient}");
        let answer = || {
            let mut stream = TcpStream::connect(self.address())?;
            stream.set_read_timeout(Some(ANSWER))?;
            write!(
                stream,
                "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address={client}\n\
                 client_name=mx.example\nreverse_client_name=mx.example\nsender={sender}\nrecipient={recipient}\n\
                 instance={client}.{sender}.{recipient}\n\n"
            )?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line.trim().trim_start_matches("action=").to_owned())
        };
        answer().map_err(Error::io(what()))
    }
}
