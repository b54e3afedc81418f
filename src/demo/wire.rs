//! The other end of both protocols: what Postfix's policy client and its milter client send for a mail.

use super::DemoError;
use indymilter_test::{MacroStage, Status, TestConnection};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A client as the mail server sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    pub(super) address: &'static str,
    /// Its confirmed reverse name; `unknown` when it has none.
    pub(super) name: &'static str,
    pub(super) helo: &'static str,
}

/// One mail of one recipient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mail {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// Whether the content filter calls it spam; the milter reads that.
    pub(super) spam: bool,
}

/// The session's own port, and with it the transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port(pub(super) u16);

/// Postfix's policy client.
#[derive(Debug)]
pub(super) struct PolicyClient(BufReader<TcpStream>);

impl PolicyClient {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, DemoError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks at RCPT and, unless that defers, at DATA and END-OF-MESSAGE. What the client would hear.
    pub(super) async fn send(&mut self, host: &Host, mail: &Mail, port: Port) -> Result<String, DemoError> {
        for state in ["RCPT", "DATA", "END-OF-MESSAGE"] {
            let action = self.ask(&request(state, host, mail, port)).await?;
            if action != "DUNNO" {
                return Ok(action);
            }
        }
        Ok("250 Ok".to_owned())
    }

    async fn ask(&mut self, request: &str) -> Result<String, DemoError> {
        self.0.write_all(request.as_bytes()).await?;
        let mut action = String::new();
        self.0.read_line(&mut action).await?;
        self.0.read_line(&mut String::new()).await?;
        match action.trim_end().strip_prefix("action=") {
            Some(action) => Ok(action.to_owned()),
            None => Err(DemoError::Answer(action)),
        }
    }
}

/// A request as Postfix 3.7 writes it, without the attributes that are empty here.
fn request(state: &str, host: &Host, mail: &Mail, port: Port) -> String {
    let mut request = String::new();
    let count = if state == "RCPT" { "0" } else { "1" };
    for (name, value) in [
        ("request", "smtpd_access_policy"),
        ("protocol_state", state),
        ("protocol_name", "ESMTP"),
        ("client_address", host.address),
        ("client_name", host.name),
        ("client_port", &port.0.to_string()),
        ("reverse_client_name", host.name),
        ("helo_name", host.helo),
        ("sender", mail.from),
        ("recipient", mail.to),
        ("recipient_count", count),
        ("instance", &format!("{:x}.6b01e2d2.2484d.0", port.0)),
        ("size", "4200"),
        ("encryption_protocol", ""),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(request, "{name}={value}");
    }
    request.push('\n');
    request
}

/// Sends a mail through a milter connection, as Postfix and Sendmail do. What the client would hear.
pub(super) async fn milter(
    address: SocketAddr,
    host: &Host,
    mail: &Mail,
    port: Port,
) -> Result<String, DemoError> {
    let mut connection = TestConnection::open(address).await?;
    let heard = converse(&mut connection, host, mail, port).await?;
    connection.close().await?;
    Ok(heard.unwrap_or_else(|| "250 Ok".to_owned()))
}

async fn converse(
    connection: &mut TestConnection,
    host: &Host,
    mail: &Mail,
    port: Port,
) -> Result<Option<String>, DemoError> {
    let resolved = if host.name == "unknown" { "FAIL" } else { "OK" };
    let port = port.0.to_string();
    let client = [
        ("{client_addr}", host.address),
        ("{client_port}", &port),
        ("{client_name}", host.name),
        ("{client_ptr}", host.name),
        ("{client_resolve}", resolved),
    ];
    connection.macros(MacroStage::Helo, client).await?;
    connection.helo(host.helo).await?;
    connection.macros(MacroStage::Mail, client).await?;
    connection.mail([format!("<{}>", mail.from)]).await?;
    connection.macros(MacroStage::Rcpt, [("{rcpt_mailer}", "local")]).await?;
    if let Some(heard) = heard(connection.rcpt([format!("<{}>", mail.to)]).await?)? {
        return Ok(Some(heard));
    }
    connection.header("X-Spam-Flag", if mail.spam { " YES" } else { " NO" }).await?;
    connection.header("From", format!(" <{}>", mail.from)).await?;
    connection.body("hello\r\n").await?;
    let (_, status) = connection.eom().await?;
    heard(status)
}

/// What a status makes the mail server say; `None` when it goes on.
fn heard(status: Status) -> Result<Option<String>, DemoError> {
    match status {
        Status::Continue | Status::Accept => Ok(None),
        Status::Tempfail { message: Some(message) } | Status::Reject { message: Some(message) } => {
            // The milter protocol doubles each percent sign.
            Ok(Some(message.to_string_lossy().replace("%%", "%")))
        }
        other => Err(DemoError::Answer(format!("{other:?}"))),
    }
}

/// Whether the wire said that the mail is in.
pub(super) fn is_in(heard: &str) -> bool {
    heard.starts_with("250")
}

impl Host {
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}
