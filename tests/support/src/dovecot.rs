//! A private Dovecot on loopback: mail comes by LMTP, and people move it by IMAP.
//!
//! Every user exists, with the password `secret`, and has an INBOX, Junk and Trash in a Maildir; all mail belongs to
//! `nobody`. An address's local part is its user.

use crate::command::run;
use crate::instance::{Instance, command_line, make_directory, write_file};
use crate::{Error, Log, ports};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

const PROGRAM: &str = "/usr/sbin/dovecot";
const SIEVE: &str = "/usr/lib/dovecot/modules/lib90_sieve_plugin.so";
const PORT_ATTEMPTS: usize = 3;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Whether there is a Dovecot to start.
pub(crate) fn is_installed() -> bool {
    [PROGRAM, SIEVE, "/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp"]
        .iter()
        .all(|file| Path::new(file).is_file())
}

/// A running private Dovecot. Dropping it stops it and removes all its files.
#[derive(Debug)]
pub struct Dovecot {
    instance: Instance,
    imap: u16,
    lmtp: u16,
}

impl Dovecot {
    /// Starts one with more lines of configuration, after these Sieve scripts were compiled for it.
    pub async fn start(lines: &str, scripts: &[&Path]) -> Result<Self, Error> {
        for _ in 1..PORT_ATTEMPTS {
            match Self::launch(lines, scripts).await {
                Err(Error::Died { log, .. }) if log.contains("in use") => {}
                started => return started,
            }
        }
        Self::launch(lines, scripts).await
    }

    async fn launch(lines: &str, scripts: &[&Path]) -> Result<Self, Error> {
        let (imap, lmtp) = (ports::free_port()?, ports::free_port()?);
        let program = |root: &Path| command_line(&[&PROGRAM, &"-F", &"-c", &root.join("dovecot.conf")]);
        let mut instance = Instance::prepare("Dovecot", |root| root.join("log"), program)?;
        let root = instance.directory().to_owned();
        for (name, mode) in [("run", 0o755), ("state", 0o755), ("home", 0o777)] {
            make_directory(&root.join(name), mode)?;
        }
        // What a user's own processes have to say comes here too.
        write_file(&root.join("log"), "")?;
        let everybody = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(root.join("log"), everybody).map_err(Error::io("the log of Dovecot"))?;
        let configuration = root.join("dovecot.conf");
        write_file(&configuration, &format!("{}\n{lines}", dovecot_conf(&root, imap, lmtp)))?;
        for script in scripts {
            run(Command::new("sievec").arg("-c").arg(&configuration).arg(script)).await?;
        }
        let log = instance.log().clone();
        instance.launch(&log, "starting up").await?;
        Ok(Self { instance, imap, lmtp })
    }

    /// Where mail is delivered to.
    pub fn lmtp(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.lmtp).into()
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        self.instance.log()
    }

    /// Logs a user in.
    pub async fn imap(&self, user: &str) -> Result<Imap, Error> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.imap)).await.map_err(Error::io("IMAP"))?;
        let mut imap = Imap { stream: BufReader::new(stream) };
        imap.line().await?;
        imap.command(&format!("LOGIN {user} secret")).await?;
        Ok(imap)
    }
}

fn dovecot_conf(root: &Path, imap: u16, lmtp: u16) -> String {
    let root = root.display();
    format!(
        "base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_username_format = %n
mail_location = maildir:~/Maildir
first_valid_uid = 100
namespace inbox {{
  inbox = yes
  mailbox Junk {{
    auto = create
  }}
  mailbox Trash {{
    auto = create
  }}
}}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={root}/home/%n allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@dest.example
}}
"
    )
}

/// An IMAP session.
#[derive(Debug)]
pub struct Imap {
    stream: BufReader<TcpStream>,
}

impl Imap {
    /// Sends a command, and returns what comes back before its OK.
    pub async fn command(&mut self, command: &str) -> Result<String, Error> {
        let octets = format!("t {command}\r\n");
        self.stream.get_mut().write_all(octets.as_bytes()).await.map_err(Error::io("IMAP"))?;
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            if let Some(end) = line.strip_prefix("t ") {
                return match end.starts_with("OK") {
                    true => Ok(text),
                    false => {
                        Err(Error::Command { command: command.to_owned(), output: format!("{text}{line}") })
                    }
                };
            }
            text.push_str(&line);
        }
    }

    /// The first message of the mailbox, as it was delivered.
    pub async fn message(&mut self) -> Result<String, Error> {
        self.command("FETCH 1 BODY.PEEK[]").await
    }

    /// Moves the first message of the mailbox.
    pub async fn move_first_to(&mut self, mailbox: &str) -> Result<(), Error> {
        self.command(&format!("MOVE 1 {mailbox}")).await.map(drop)
    }

    /// A line, with the literal that it announces.
    async fn line(&mut self) -> Result<String, Error> {
        let reading = async {
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            let literal = line.trim_end().strip_suffix('}').and_then(|rest| rest.rsplit_once('{'));
            if let Some(octets) = literal.and_then(|(_, octets)| octets.parse::<usize>().ok()) {
                let mut text = vec![0; octets.min(1 << 20)];
                self.stream.read_exact(&mut text).await?;
                line.push_str(&String::from_utf8_lossy(&text));
            }
            Ok(line)
        };
        let late = |_| Error::Deadline {
            what: "an IMAP answer".to_owned(),
            within: ANSWER_WITHIN,
            log: String::new(),
        };
        let line: Result<String, std::io::Error> = timeout(ANSWER_WITHIN, reading).await.map_err(late)?;
        match line.map_err(Error::io("IMAP"))? {
            line if line.is_empty() => Err(Error::io("IMAP")(std::io::ErrorKind::UnexpectedEof.into())),
            line => Ok(line),
        }
    }
}
