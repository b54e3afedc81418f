//! The other end of the admin interface: what the command line talks to the daemon with.
//!
//! The addresses are tried in turn, unix sockets first: there root needs no token. Each step has its time limit, and
//! each answer its most octets, so that whatever is listening there cannot hold the command line for ever.

use super::pipe::Outlet;
use super::reply::Written;
use super::token::{Token, TokenError};
use crate::address::Address;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The same for what takes long to arrive.
const SENT_WITHIN: Duration = Duration::from_secs(1200);
/// Octets of an answer.
const ANSWER_MAX: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Nobody is there.
    #[error("cannot reach the daemon: {0}")]
    Unreachable(String),
    /// Somebody is there, and this user may not connect.
    #[error("no permission to reach the daemon: {0}")]
    Forbidden(String),
    /// It answers with an error.
    #[error("{what}")]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// What it says.
        what: String,
    },
    /// What answers is not the daemon, or stopped in the middle.
    #[error("the daemon's answer broke off: {0}")]
    Broken(String),
    /// The token cannot be read, and the daemon asks for it.
    #[error("{what}; the token cannot be read: {why}")]
    NoToken {
        /// What the daemon says.
        what: String,
        /// Why it cannot be read.
        why: TokenError,
    },
}

/// Where the daemon is, and where the token.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// In the order in which they are tried.
    addresses: Vec<Address>,
    token: Option<PathBuf>,
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Client {
    /// A client of a daemon that listens there. The token's file is read when it is needed.
    pub(crate) fn new(mut addresses: Vec<Address>, token: Option<PathBuf>) -> Self {
        addresses.sort_by_key(|address| address.tcp().is_some());
        Self { addresses, token }
    }

    /// Asks.
    pub(crate) async fn get<A: DeserializeOwned>(
        &self,
        path: &str,
        query: impl Serialize,
    ) -> Result<A, ClientError> {
        let response = self.ask(Method::GET, path, query, Bytes::new()).await?;
        read(response).await
    }

    /// Changes something.
    pub(crate) async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        body: impl Serialize,
    ) -> Result<A, ClientError> {
        let body = serde_json::to_vec(&body).map_err(|error| ClientError::Broken(error.to_string()))?;
        let response = self.ask(Method::POST, path, (), body.into()).await?;
        read(response).await
    }

    /// Asks, and gives the answer as it comes.
    pub(crate) async fn stream(&self, path: &str, query: impl Serialize) -> Result<Incoming, ClientError> {
        Ok(self.ask(Method::GET, path, query, Bytes::new()).await?.into_body())
    }

    /// Asks for what only who may change things gets, and gives the answer as it comes.
    pub(crate) async fn take(&self, path: &str) -> Result<Incoming, ClientError> {
        let asked = Asked { method: Method::GET, uri: path, trusted: true, within: ANSWER_WITHIN };
        Ok(self.exchange(asked, Full::new(Bytes::new())).await?.into_body())
    }

    /// Changes something by what is sent as it comes.
    pub(crate) async fn send<A: DeserializeOwned>(&self, path: &str, body: Outlet) -> Result<A, ClientError> {
        let asked = Asked { method: Method::POST, uri: path, trusted: true, within: SENT_WITHIN };
        read(self.exchange(asked, body).await?).await
    }

    /// An answer that is no error.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: impl Serialize,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let query =
            serde_urlencoded::to_string(query).map_err(|error| ClientError::Broken(error.to_string()))?;
        let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let trusted = !method.is_safe();
        self.exchange(Asked { method, uri: &uri, trusted, within: ANSWER_WITHIN }, Full::new(body)).await
    }

    async fn exchange<B>(&self, asked: Asked<'_>, body: B) -> Result<Response<Incoming>, ClientError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Asked { method, uri, trusted, within: time } = asked;
        let (stream, address) = self.connect(trusted).await?;
        let token = self.token.as_deref().filter(|_| needs_token(address, trusted)).map(Token::read);
        let mut request = Request::builder().method(method).uri(uri).header(header::HOST, "localhost");
        if let Some(Ok(token)) = &token {
            request = request.header(header::AUTHORIZATION, token.header());
        }
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|error| ClientError::Broken(error.to_string()))?;
        let response = within(time, exchange(stream, request)).await?;
        match (accepted(response).await, token) {
            (Err(ClientError::Refused { status: StatusCode::UNAUTHORIZED, what }), Some(Err(why))) => {
                Err(ClientError::NoToken { what, why })
            }
            (answer, _) => answer,
        }
    }

    /// Connects to the first address that is there. Where there is a unix socket, what only who may change things may
    /// ask goes there alone: while the daemon is down, anybody on this host can listen on its port, and would be given
    /// the token.
    async fn connect(&self, trusted: bool) -> Result<(Box<dyn Stream>, &Address), ClientError> {
        let mut failures = Vec::new();
        let mut forbidden = false;
        let has_socket = self.addresses.iter().any(|address| address.tcp().is_none());
        let alone = trusted && has_socket;
        for address in self.addresses.iter().filter(|address| !alone || address.tcp().is_none()) {
            match timeout(CONNECT_WITHIN, connect(address)).await.unwrap_or(Err(ErrorKind::TimedOut.into())) {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => {
                    forbidden |= error.kind() == ErrorKind::PermissionDenied;
                    failures.push(format!("{address}: {error}"));
                }
            }
        }
        let failures = match failures.is_empty() {
            true => "it listens nowhere".to_owned(),
            false if alone && failures.len() < self.addresses.len() => {
                format!("{}; with --admin ADDRESS it is asked elsewhere", failures.join("; "))
            }
            false => failures.join("; "),
        };
        Err(if forbidden { ClientError::Forbidden(failures) } else { ClientError::Unreachable(failures) })
    }
}

/// Root and the daemon's user need none on a unix socket, and nobody else can read it as a rule.
fn needs_token(address: &Address, trusted: bool) -> bool {
    address.tcp().is_some_and(|tcp| trusted || !tcp.ip().is_loopback())
}

/// What is asked.
struct Asked<'a> {
    method: Method,
    uri: &'a str,
    /// Whether only who may change things may ask it.
    trusted: bool,
    within: Duration,
}

async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Tcp(tcp) => Box::new(TcpStream::connect(tcp).await?),
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

async fn exchange<B>(stream: Box<dyn Stream>, request: Request<B>) -> Result<Response<Incoming>, ClientError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let broken = |error: hyper::Error| ClientError::Broken(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with the connection; an error of it is seen in the answer.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(broken)
}

async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let octets = octets(response).await.unwrap_or_default();
    let what = match serde_json::from_slice::<Written>(&octets) {
        Ok(Written { error }) => error,
        Err(_) => format!("the daemon answers {status}"),
    };
    Err(ClientError::Refused { status, what })
}

async fn octets(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), ANSWER_MAX);
    let collected = within(ANSWER_WITHIN, async {
        body.collect().await.map_err(|error| ClientError::Broken(error.to_string()))
    });
    Ok(collected.await?.to_bytes())
}

async fn read<A: DeserializeOwned>(response: Response<Incoming>) -> Result<A, ClientError> {
    let octets = octets(response).await?;
    serde_json::from_slice(&octets).map_err(|error| ClientError::Broken(error.to_string()))
}

async fn within<A>(
    time: Duration,
    what: impl Future<Output = Result<A, ClientError>>,
) -> Result<A, ClientError> {
    let late = |_| ClientError::Broken("it took too long".to_owned());
    timeout(time, what).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn who_listens_in_the_daemons_place_is_given_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("admin.token");
        std::fs::write(&token, "0123456789abcdef").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        port.set_nonblocking(true).unwrap();
        let addresses =
            vec![Address::Tcp(port.local_addr().unwrap()), Address::Unix(dir.path().join("admin.sock"))];
        let client = Client::new(addresses, Some(token));
        let why = client.post::<()>("/v1/forget", ()).await.unwrap_err();
        assert!(
            matches!(&why, ClientError::Unreachable(failures) if failures.contains("admin.sock")),
            "{why}"
        );
        assert_eq!(port.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody has come");
    }
}
