//! A whole session with one message, from connecting to QUIT.

use super::{Exchange, Mail, Outcome, SmtpClient, SmtpError, Stage, Xclient};
use std::net::{IpAddr, SocketAddr};

/// Who visits which server.
///
/// ```no_run
/// # async fn example(server: std::net::SocketAddr) -> Result<(), test_support::smtp::SmtpError> {
/// use test_support::smtp::{Mail, Visit, Xclient};
/// let visit = Visit::to(server).as_client(Xclient::from_address([192, 0, 2, 7]));
/// let outcome = visit.send(&Mail::from("a@src.example").to("good@dest.example")).await?;
/// assert!(outcome.is_accepted(), "{outcome}");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Visit {
    server: SocketAddr,
    source: Option<IpAddr>,
    client: Option<Xclient>,
    helo: String,
}

impl Visit {
    /// A visit to `server` by a client that says `EHLO client.example`.
    pub fn to(server: SocketAddr) -> Self {
        Self { server, source: None, client: None, helo: "client.example".to_owned() }
    }

    /// Connects from a local address, such as any of 127.0.0.0/8.
    pub fn from_source(mut self, source: impl Into<IpAddr>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Presents itself as another client, which Postfix believes.
    pub fn as_client(mut self, client: Xclient) -> Self {
        self.client = Some(client);
        self
    }

    /// The name said in EHLO.
    pub fn helo(mut self, name: &str) -> Self {
        name.clone_into(&mut self.helo);
        self
    }

    /// Sends `mail` and says QUIT if the server is still there.
    pub async fn send(&self, mail: &Mail) -> Result<Outcome, SmtpError> {
        let mut outcome = Outcome::default();
        let Some(mut client) = self.open(&mut outcome).await? else {
            return Ok(outcome);
        };
        if outcome.refusal().is_none() && !outcome.hung_up {
            let sent = client.send_mail(mail).await?;
            outcome.exchanges.extend(sent.exchanges);
            outcome.hung_up = sent.hung_up;
        } else {
            client.settle(&mut outcome).await?;
        }
        if !outcome.hung_up {
            client.cmd("QUIT").await?;
        }
        Ok(outcome)
    }

    /// Connects and says EHLO, as far as the server lets it.
    async fn open(&self, outcome: &mut Outcome) -> Result<Option<SmtpClient>, SmtpError> {
        let connected = match self.source {
            Some(source) => SmtpClient::connect_from(source, self.server).await,
            None => SmtpClient::connect(self.server).await,
        };
        let greeting = connected.as_ref().ok().map(|client| client.greeting().clone());
        outcome.exchanges.push(Exchange { stage: Stage::Greeting, sent: String::new(), reply: greeting });
        let mut client = match connected {
            Err(SmtpError::Closed) => {
                outcome.hung_up = true;
                return Ok(None);
            }
            client => client?,
        };
        if client.greeting().is_positive() {
            self.introduce(&mut client, outcome).await?;
        }
        Ok(Some(client))
    }

    async fn introduce(&self, client: &mut SmtpClient, outcome: &mut Outcome) -> Result<(), SmtpError> {
        if let Some(other) = &self.client
            && !client.ask(Stage::Xclient, &other.command(), outcome).await?
        {
            return Ok(());
        }
        client.ask(Stage::Ehlo, &format!("EHLO {}", self.helo), outcome).await.map(drop)
    }
}
