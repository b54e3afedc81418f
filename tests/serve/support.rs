//! A running `tempfail serve`, and a mail server that asks it.

use rustix::process::{Pid, Signal, kill_process};
use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No wait of a test is longer.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The ports that every configuration here begins with.
pub(crate) const PORTS: &str = "signals.enabled = false\nadmin.listen = []\npolicy.listen = [\"127.0.0.1:0\"]\nmilter.listen = [\"127.0.0.1:0\"]\n";

/// A running daemon. Killed on drop.
pub(crate) struct Served {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    dir: TempDir,
}

/// How it is started.
pub(crate) struct Start<'a> {
    /// The configuration, below [`PORTS`].
    pub(crate) config: &'a str,
    /// Arguments after the configuration's.
    pub(crate) args: &'a [&'a str],
    /// A variable of its environment.
    pub(crate) env: Option<(&'a str, &'a Path)>,
}

impl Served {
    /// Starts it with this below [`PORTS`], and waits until it answers.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(&Start { config: &format!("{PORTS}{config}"), args: &[], env: None }).listening()
    }

    /// Starts it.
    pub(crate) fn start_with(start: &Start<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.toml");
        std::fs::write(&file, start.config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tempfail"));
        command.arg("serve").arg("--config").arg(&file).args(start.args);
        command
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("STATE_DIRECTORY")
            .envs(start.env);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new(), dir }
    }

    /// Waits until both servers listen.
    pub(crate) fn listening(mut self) -> Self {
        self.wait_for("listening protocol=milter");
        self
    }

    /// The first line from now on that has all these parts, separated by ` ... `.
    pub(crate) fn wait_for(&mut self, parts: &str) -> String {
        let parts: Vec<&str> = parts.split(" ... ").collect();
        let deadline = Instant::now() + LONG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if parts.iter().all(|part| line.contains(part)) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no line with {parts:?} among {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("ended without a line with {parts:?}: {:#?}", self.seen)
                }
            }
        }
    }

    /// Every line so far.
    pub(crate) fn seen(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// Where a protocol is served.
    pub(crate) fn address(&mut self, protocol: &str) -> SocketAddr {
        let prefix = format!("listening protocol={protocol} address=");
        let line =
            self.seen().iter().find_map(|line| line.split_once(&prefix).map(|(_, rest)| rest.to_owned()));
        line.unwrap().parse().unwrap()
    }

    /// A connection of the policy protocol.
    pub(crate) fn policy(&mut self) -> PolicyClient {
        PolicyClient::connect(self.address("policy"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes another configuration, below the same [`PORTS`], and sends SIGHUP.
    pub(crate) fn reload(&mut self, config: &str) {
        std::fs::write(self.path("t.toml"), format!("{PORTS}{config}")).unwrap();
        self.signal(Signal::HUP);
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end, which its log ends with.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LONG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("does not end: {:#?}", self.seen),
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A question at RCPT: from this client's address and port, for its nth message.
pub(crate) fn question(address: &str, port: u16, message: u32) -> String {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nhelo_name=pc.local\n\
         queue_id=\nsender=a@src.example\nrecipient=b@dest.example\nrecipient_count=0\nclient_address={address}\n\
         client_name=unknown\nreverse_client_name=unknown\ninstance={port}.{message}\nclient_port={port}\n\
         size=0\n\n"
    )
}

/// One SMTP server process of Postfix.
pub(crate) struct PolicyClient(TcpStream);

impl PolicyClient {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, LONG).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Asks, and returns the action.
    pub(crate) fn ask(&mut self, address: &str, port: u16, message: u32) -> String {
        self.send(&question(address, port, message));
        self.answer().expect("an answer")
    }

    /// The next action; `None` when the connection is closed instead.
    pub(crate) fn answer(&mut self) -> Option<String> {
        let mut answer = Vec::new();
        let mut octet = [0];
        while !answer.ends_with(b"\n\n") {
            match self.0.read_exact(&mut octet) {
                Ok(()) => answer.push(octet[0]),
                Err(error) if matches!(error.kind(), UnexpectedEof | ConnectionReset) => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
        let text = String::from_utf8(answer).unwrap();
        Some(text.trim_end().strip_prefix("action=").unwrap().to_owned())
    }
}
