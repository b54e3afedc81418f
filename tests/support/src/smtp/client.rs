//! The connection: one command out, one reply in, each within a deadline.

use super::{Exchange, Mail, Outcome, Reply, Stage, Xclient};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than any time-out a server under test is given, so that theirs show and not this one.
const DEADLINE: Duration = Duration::from_secs(60);
/// RFC 5321 section 4.5.3.1.5 allows 512 octets; no server here comes near the bounds.
const MAX_LINE: u64 = 4096;
const MAX_LINES: usize = 128;

/// What went wrong on the connection, as opposed to a refusal, which is a [`Reply`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmtpError {
    /// The server closed the connection instead of replying.
    #[error("the server closed the connection")]
    Closed,
    /// The server did nothing for a minute.
    #[error("no reply within {DEADLINE:?}")]
    Deadline,
    /// The server sent something that is no reply.
    #[error("not an SMTP reply: {0:?}")]
    Malformed(Vec<String>),
    /// The connection failed.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for SmtpError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// An SMTP session, seen from the client.
#[derive(Debug)]
pub struct SmtpClient {
    stream: BufReader<TcpStream>,
    greeting: Reply,
}

impl SmtpClient {
    /// Connects and reads the greeting, which may be a refusal.
    pub async fn connect(server: SocketAddr) -> Result<Self, SmtpError> {
        within(TcpStream::connect(server)).await.map(Self::over)?.await
    }

    /// Connects from the local address `source`.
    pub async fn connect_from(source: IpAddr, server: SocketAddr) -> Result<Self, SmtpError> {
        let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind((source, 0).into())?;
        within(socket.connect(server)).await.map(Self::over)?.await
    }

    async fn over(stream: TcpStream) -> Result<Self, SmtpError> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let greeting = within(read_reply(&mut stream)).await?;
        Ok(Self { stream, greeting })
    }

    /// The reply on connection.
    pub fn greeting(&self) -> &Reply {
        &self.greeting
    }

    /// The client's own address and port.
    pub fn local_addr(&self) -> Result<SocketAddr, SmtpError> {
        Ok(self.stream.get_ref().local_addr()?)
    }

    /// Sends one command line and reads its reply.
    pub async fn cmd(&mut self, line: &str) -> Result<Reply, SmtpError> {
        self.send_raw(format!("{line}\r\n").as_bytes()).await?;
        self.read_reply().await
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), SmtpError> {
        within(self.stream.write_all(bytes)).await
    }

    /// Reads the next reply.
    pub async fn read_reply(&mut self) -> Result<Reply, SmtpError> {
        within(read_reply(&mut self.stream)).await
    }

    /// Presents itself as another client. A positive reply is a new greeting: EHLO comes next.
    pub async fn xclient(&mut self, client: &Xclient) -> Result<Reply, SmtpError> {
        self.cmd(&client.command()).await
    }

    /// Says EHLO.
    pub async fn ehlo(&mut self, name: &str) -> Result<Reply, SmtpError> {
        self.cmd(&format!("EHLO {name}")).await
    }

    /// Waits until the server closes the connection; what it still sends is read and dropped.
    pub async fn closed_by_server(&mut self) -> Result<(), SmtpError> {
        match within(tokio::io::copy(&mut self.stream, &mut tokio::io::sink())).await {
            Ok(_) | Err(SmtpError::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the session is still open. It asks with RSET, so an open transaction ends.
    pub async fn is_open(&mut self) -> Result<bool, SmtpError> {
        match self.cmd("RSET").await {
            Ok(_) => Ok(true),
            Err(SmtpError::Closed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends one message in an open session, going on as far as the server lets it.
    pub async fn send_mail(&mut self, mail: &Mail) -> Result<Outcome, SmtpError> {
        let mut outcome = Outcome::default();
        self.transact(mail, &mut outcome).await?;
        self.settle(&mut outcome).await?;
        Ok(outcome)
    }

    async fn transact(&mut self, mail: &Mail, outcome: &mut Outcome) -> Result<(), SmtpError> {
        let line = format!("MAIL FROM:<{}> {}", mail.from, mail.parameters);
        if !self.ask(Stage::Mail, line.trim_end(), outcome).await? {
            return Ok(());
        }
        let mut accepted = false;
        for recipient in &mail.recipients {
            accepted |= self.ask(Stage::Rcpt, &format!("RCPT TO:<{recipient}>"), outcome).await?;
            if outcome.hung_up {
                return Ok(());
            }
        }
        if !accepted || !self.ask(Stage::Data, "DATA", outcome).await? {
            return Ok(());
        }
        let sent = self.send_raw(&mail.data()).await;
        let reply = match sent {
            Ok(()) => self.read_reply().await,
            Err(error) => Err(error),
        };
        record(Stage::Message, "", reply, outcome).map(drop)
    }

    /// Sends a command and records it with its reply. `true` means the server said yes.
    pub(super) async fn ask(
        &mut self,
        stage: Stage,
        line: &str,
        outcome: &mut Outcome,
    ) -> Result<bool, SmtpError> {
        let reply = self.cmd(line).await;
        record(stage, line, reply, outcome)
    }

    /// After a refusal, makes sure whether the server has hung up.
    pub(super) async fn settle(&mut self, outcome: &mut Outcome) -> Result<(), SmtpError> {
        if !outcome.hung_up && outcome.refusal().is_some() {
            outcome.hung_up = !self.is_open().await?;
        }
        Ok(())
    }
}

fn record(
    stage: Stage,
    sent: &str,
    reply: Result<Reply, SmtpError>,
    outcome: &mut Outcome,
) -> Result<bool, SmtpError> {
    let reply = match reply {
        Ok(reply) => Some(reply),
        Err(SmtpError::Closed) => None,
        Err(error) => return Err(error),
    };
    outcome.hung_up = reply.is_none();
    let positive = reply.as_ref().is_some_and(Reply::is_positive);
    outcome.exchanges.push(Exchange { stage, sent: sent.to_owned(), reply });
    Ok(positive)
}

async fn within<T, E: Into<SmtpError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, SmtpError> {
    timeout(DEADLINE, work).await.map_err(|_| SmtpError::Deadline)?.map_err(Into::into)
}

async fn read_reply(stream: &mut BufReader<TcpStream>) -> Result<Reply, SmtpError> {
    let mut lines = Vec::new();
    while lines.len() < MAX_LINES {
        let line = read_line(stream).await?;
        let continues = Reply::continues_after(&line);
        lines.push(line);
        if !continues {
            return Reply::parse(&lines).ok_or(SmtpError::Malformed(lines));
        }
    }
    Err(SmtpError::Malformed(lines))
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> Result<String, SmtpError> {
    let mut bytes = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut bytes).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match bytes.strip_suffix(b"\r\n") {
        Some(line) => Ok(text(line)),
        None if bytes.is_empty() => Err(SmtpError::Closed),
        None => Err(SmtpError::Malformed(vec![text(&bytes)])),
    }
}
