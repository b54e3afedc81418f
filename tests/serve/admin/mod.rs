//! The admin interface of the real daemon, over both sockets, asked by the real program and by hand.

mod document;
mod explain;
mod feedback;
mod hostile;
mod log;
mod overrides;
mod status;

use crate::support::{LONG, Served, Start};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A daemon with an admin interface on a port, on a socket, and a state of its own.
pub(crate) struct Administered {
    pub(crate) served: Served,
    /// Where it listens on TCP.
    pub(crate) tcp: SocketAddr,
    dir: TempDir,
    config: String,
}

impl Administered {
    /// Starts it with this below the ports.
    pub(crate) fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "policy.listen = [\"127.0.0.1:0\"]\nmilter.listen = [\"127.0.0.1:0\"]\nsignals.enabled = false\n\
             admin.listen = [\"127.0.0.1:0\", \"unix:{}\"]\nstate.directory = \"{}\"\n{config}",
            path("admin.sock"),
            path("state"),
        );
        Self::over(dir, config)
    }

    fn over(dir: TempDir, config: String) -> Self {
        let mut served = Served::start_with(&Start { config: &config, args: &[], env: None });
        served.wait_for("listening protocol=admin address=unix:");
        let tcp = served.address("admin");
        Self { served, tcp, dir, config }
    }

    /// Kills it, with kill -9; its files stay for as long as what is returned.
    pub(crate) fn killed(self) -> TempDir {
        let Self { served, dir, .. } = self;
        drop(served);
        dir
    }

    /// The same, and starts it again over the same files.
    pub(crate) fn killed_and_restarted(self) -> Self {
        let config = self.config.clone();
        Self::over(self.killed(), config)
    }

    /// A file beside its state.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The token.
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.path("state/admin.token")).unwrap().trim_end().to_owned()
    }

    /// Runs the program against its unix socket.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        program(args, &["--admin", &format!("unix:{}", self.path("admin.sock").display())])
    }

    /// Runs the program against its port, with a file of the token.
    pub(crate) fn run_over_tcp(&self, args: &[&str], token: &str) -> Output {
        program(args, &["--admin", &self.tcp.to_string(), "--token-file", token])
    }

    /// Sends these octets, and returns all that comes back.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect_timeout(&self.tcp, LONG).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        // It may have heard enough before the end.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The status and body of a request with these header lines besides Host.
    pub(crate) fn ask(&self, method: &str, path: &str, header: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{header}\r\n{body}",
            self.tcp,
            body.len()
        );
        read_answer(&self.raw(request.as_bytes()))
    }
}

/// Status and body of an answer.
pub(crate) fn read_answer(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer:?}")), body.to_owned())
}

fn program(args: &[&str], more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tempfail")).args(args).args(more).output().unwrap()
}

/// What a program said on standard output.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a program said on standard error.
pub(crate) fn complained(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The JSON object that a program printed.
pub(crate) fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", complained(output));
    serde_json::from_str(&said(output)).unwrap()
}
