//! The program itself, as an operator starts it: a process with a configuration file, signals and a log.

use crate::tempfail::{Failure, Line, decisions};
use std::io::{BufRead, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A running `tempfail serve`. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Program {
    process: Child,
    directory: TempDir,
    log: watch::Receiver<Vec<String>>,
    pub(crate) policy: SocketAddr,
    pub(crate) milter: SocketAddr,
}

impl Program {
    /// Starts it on free ports.
    pub(crate) async fn start(toml: &str) -> Result<Self, Failure> {
        Self::start_at(ANYWHERE, ANYWHERE, toml).await
    }

    /// Starts it at these addresses and waits until it listens.
    pub(crate) async fn start_at(
        policy: SocketAddr,
        milter: SocketAddr,
        toml: &str,
    ) -> Result<Self, Failure> {
        let command = Command::new(env!("CARGO_BIN_EXE_tempfail"));
        Self::listening(tempfile::tempdir()?, command, &text(policy, milter, toml)).await
    }

    /// Starts it in a mount namespace of its own, where `/etc/resolv.conf` is the file of this name beside its
    /// configuration.
    pub(crate) async fn start_with_resolv_conf(resolv_conf: &str, toml: &str) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("resolv.conf");
        std::fs::write(&file, resolv_conf)?;
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script]).arg(file).arg(env!("CARGO_BIN_EXE_tempfail"));
        Self::listening(directory, command, &text(ANYWHERE, ANYWHERE, toml)).await
    }

    async fn listening(directory: TempDir, command: Command, configuration: &str) -> Result<Self, Failure> {
        let mut program = Self::spawn(directory, command, configuration)?;
        program.policy = program.address("policy").await?;
        program.milter = program.address("milter").await?;
        Ok(program)
    }

    fn spawn(directory: TempDir, mut command: Command, configuration: &str) -> Result<Self, Failure> {
        std::fs::write(file(&directory), configuration)?;
        command.arg("serve").arg("--config").arg(file(&directory));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let mut lines = BufReader::new(process.stderr.take().ok_or("no standard error")?).lines();
        let (sender, log) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|log: &mut Vec<String>| log.push(line));
            }
        });
        Ok(Self { process, directory, log, policy: ANYWHERE, milter: ANYWHERE })
    }

    /// Where it serves a protocol.
    pub(crate) async fn address(&self, protocol: &str) -> Result<SocketAddr, Failure> {
        let line = self.wait_for(0, &format!("listening protocol={protocol} address=")).await?;
        Ok(line.rsplit_once('=').ok_or("no address")?.1.parse()?)
    }

    /// The answer to one question of Postfix about this client, in a session of its own.
    pub(crate) fn ask(&self, client: &str, session: u16) -> Result<String, Failure> {
        let mut stream = TcpStream::connect(self.policy)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nhelo_name=pc.local\nqueue_id=\n\
             sender=a@src.example\nrecipient=b@dest.example\nrecipient_count=0\nclient_address={client}\n\
             client_name=unknown\nreverse_client_name=unknown\ninstance={session}\nclient_port={}\nsize=0\n\n",
            1024 + session
        )?;
        // A process that is stopped and goes on loses a read that has a timeout; read_line() begins it again.
        let mut answer = String::new();
        std::io::BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// Its configuration.
    pub(crate) fn file(&self) -> PathBuf {
        file(&self.directory)
    }

    /// Writes another configuration, with the addresses as they are.
    pub(crate) fn write(&self, toml: &str) -> Result<(), Failure> {
        Ok(std::fs::write(file(&self.directory), text(self.policy, self.milter, toml))?)
    }

    /// Sends a signal, by its name without SIG.
    pub(crate) async fn signal(&self, name: &str) -> Result<(), Failure> {
        let pid = self.process.id().ok_or("it has ended")?.to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await?;
        if sent.success() { Ok(()) } else { Err(format!("no {name} for {pid}").into()) }
    }

    /// How many lines it has logged so far.
    pub(crate) fn logged(&self) -> usize {
        self.log.borrow().len()
    }

    /// The first line from the line `from` on that contains `needle`.
    pub(crate) async fn wait_for(&self, from: usize, needle: &str) -> Result<String, Failure> {
        let found = |lines: &Vec<String>| lines.iter().skip(from).find(|line| line.contains(needle)).cloned();
        let mut log = self.log.clone();
        let waited = timeout(PATIENCE, log.wait_for(|lines| found(lines).is_some())).await;
        // What was awaited holds a lock of the log, and another one must not be asked for meanwhile.
        let line = waited.ok().and_then(Result::ok).and_then(|lines| found(&lines));
        line.ok_or_else(|| format!("{needle:?} was not logged:\n{}", self.log().join("\n")).into())
    }

    /// Waits until it has logged `n` decisions, and fails if it has logged more: the log comes after the answer.
    pub(crate) async fn has_decided(&self, n: usize) -> Result<(), Failure> {
        let mut log = self.log.clone();
        let enough = log.wait_for(|lines| decisions(lines).len() >= n);
        let _ = timeout(PATIENCE, enough).await.is_ok();
        match self.decisions().len() {
            decided if decided == n => Ok(()),
            decided => Err(format!("{decided} decisions, not {n}:\n{}", self.log().join("\n")).into()),
        }
    }

    /// Its log.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// The decisions in its log.
    pub(crate) fn decisions(&self) -> Vec<Line> {
        decisions(&self.log.borrow())
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        Ok(timeout(PATIENCE, self.process.wait()).await.map_err(|_| "it does not end")??)
    }
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("tempfail.toml")
}

/// The configuration with the addresses to listen on.
fn text(policy: SocketAddr, milter: SocketAddr, toml: &str) -> String {
    let admin = if toml.contains("admin.listen") { "" } else { "admin.listen = []\n" };
    let signals = if toml.contains("[signals]") { "" } else { "signals.enabled = false\n" };
    format!("{signals}{admin}policy.listen = [\"{policy}\"]\nmilter.listen = [\"{milter}\"]\n{toml}")
}
