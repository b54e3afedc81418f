//! Who may ask, and who may change something.
//!
//! Anybody who can connect may read: loopback is this host's users, the socket has a mode. A change needs the token, or
//! a unix socket with root or the daemon's own user at its other end; for feedback alone, also one
//! of the users that `[feedback] users` names. From another host everything needs the token, and so does what comes
//! through a proxy on this one.
//!
//! A web page cannot get in through the operator's browser. `Host` has to be a name of loopback, an address, or
//! configured, so that a name that is pointed at loopback is of no use; a change needs a header that a browser sends
//! nowhere without leave; and leave (CORS) is never given.

use super::reply::Failure;
use super::server::Peer;
use super::token::Token;
use axum::extract::{Extension, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use policy_core::feedback::Source;
use policy_core::name::DomainName;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The one path for which some users need no token.
pub(super) const FEEDBACK: &str = "/v1/feedback";

/// Who may do what.
#[derive(Debug)]
pub(super) struct Guard {
    token: Option<Token>,
    hosts: Vec<DomainName>,
    /// The daemon's own user.
    user: u32,
    /// Users that may say what they think of mail, and change nothing else.
    feedback_users: Vec<u32>,
}

/// Who changes something, for the audit trail: `unix:uid=0,pid=4711`, or `token:127.0.0.1`.
///
/// A route that takes it can only be asked by who may change things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Author {
    name: String,
    /// One of the users that `[feedback] users` names.
    reports_alone: bool,
}

impl Author {
    fn of_everything(name: String) -> Self {
        Self { name, reports_alone: false }
    }

    /// Whether it may speak as this source. Who runs programs for people's mail, and is no more trusted than they are, is no
    /// spamtrap.
    pub(crate) fn may_speak_as(&self, source: Source) -> bool {
        !self.reports_alone || matches!(source, Source::Person | Source::Complaint)
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<S: Sync> FromRequestParts<S> for Author {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match parts.extensions.get::<Result<Self, Failure>>() {
            Some(author) => author.clone(),
            // The gate puts one into each request.
            None => Err(Failure::new(StatusCode::FORBIDDEN, "nobody knows who asks")),
        }
    }
}

impl Guard {
    pub(super) fn new(token: Option<Token>, hosts: Vec<DomainName>, feedback_users: Vec<u32>) -> Self {
        Self { token, hosts, user: nix::unistd::geteuid().as_raw(), feedback_users }
    }

    fn author(&self, peer: &Peer, path: &str, headers: &HeaderMap) -> Result<Author, Failure> {
        if let Some(shown) = headers.get(header::AUTHORIZATION) {
            let shown = shown
                .as_bytes()
                .split_at_checked(7)
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
            let right = self.token.as_ref().zip(shown).is_some_and(|(token, (_, shown))| token.is(shown));
            return if right {
                Ok(Author::of_everything(format!("token:{}", peer.host())))
            } else {
                Err(unauthorized("wrong token"))
            };
        }
        match peer {
            Peer::Unix { uid: Some(uid), .. } if *uid == 0 || *uid == self.user => {
                Ok(Author::of_everything(peer.to_string()))
            }
            Peer::Unix { uid: Some(uid), .. } if path == FEEDBACK && self.feedback_users.contains(uid) => {
                Ok(Author { name: peer.to_string(), reports_alone: true })
            }
            _ if self.token.is_none() => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "there is no token here: ask over the unix socket, as root or the daemon's user",
            )),
            _ => Err(unauthorized("this needs the token")),
        }
    }

    fn knows(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host();
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        name.eq_ignore_ascii_case("localhost")
            || literal.parse::<IpAddr>().is_ok()
            || DomainName::new(name).is_some_and(|name| self.hosts.contains(&name))
    }

    /// Whether somebody else may have asked a proxy on this host: by what proxies add, or by the name that such are
    /// reached by.
    fn is_passed_on(&self, headers: &HeaderMap) -> bool {
        const PROXIES: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let host = host.parse::<Authority>().ok().and_then(|authority| DomainName::new(authority.host()));
        PROXIES.iter().any(|name| headers.contains_key(*name))
            || host.is_some_and(|host| self.hosts.contains(&host))
    }

    /// Both where the request line has a host and in the header, which one client may write differently.
    fn check_host(&self, request: &Request) -> Result<(), Failure> {
        let forbidden = |what: &str| Err(Failure::new(StatusCode::FORBIDDEN, what));
        if request.uri().authority().is_some_and(|authority| !self.knows(authority.as_str())) {
            return forbidden("the request names a host that this is not; see [admin] hosts");
        }
        let mut hosts = request.headers().get_all(header::HOST).iter();
        match (hosts.next().map(|host| host.to_str()), hosts.next()) {
            (Some(Ok(host)), None) if self.knows(host) => Ok(()),
            (None, None) => forbidden("the request has no Host"),
            _ => forbidden("Host names a host that this is not; see [admin] hosts"),
        }
    }
}

fn unauthorized(what: &str) -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, what)
}

/// Lets through what may pass, and says to what comes after it who asks.
pub(super) async fn pass(
    State(guard): State<Arc<Guard>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    guard.check_host(&request)?;
    let author = guard.author(&peer, request.uri().path(), request.headers());
    let is_here = peer.is_here() && !guard.is_passed_on(request.headers());
    if !request.method().is_safe() || !is_here || request.headers().contains_key(header::AUTHORIZATION) {
        author.clone()?;
    }
    request.extensions_mut().insert(author);
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let hosts = vec![DomainName::new("mail.example").unwrap()];
        Guard { token: None, hosts, user: 1000, feedback_users: vec![2000] }
    }

    #[test]
    fn only_addresses_and_names_of_ours_are_hosts() {
        let guard = guard();
        for host in [
            "localhost",
            "LocalHost:10423",
            "127.0.0.1:80",
            "[::1]:10423",
            "192.0.2.1",
            "mail.example:443",
            "MAIL.example",
        ] {
            assert!(guard.knows(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
            "mail.example.",
            "x@localhost.example",
        ] {
            assert!(!guard.knows(host) || host == "mail.example.", "{host}");
        }
    }

    #[test]
    fn what_a_proxy_passes_on_may_come_from_anywhere() {
        let passed_on = |name: &'static str, value: &str| {
            guard().is_passed_on(&HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                value.parse().unwrap(),
            )]))
        };
        for (name, value) in [
            ("host", "mail.example"),
            ("host", "Mail.Example:443"),
            ("x-forwarded-for", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9"),
            ("via", "1.1 proxy"),
        ] {
            assert!(passed_on(name, value), "{name}: {value}");
        }
        assert!(!passed_on("host", "localhost:10423") && !passed_on("host", "127.0.0.1"));
    }

    #[test]
    fn some_users_may_say_what_they_think_and_change_nothing_else() {
        let guard = guard();
        let may = |uid, path| guard.author(&Peer::Unix { pid: None, uid }, path, &HeaderMap::new()).is_ok();
        assert!(may(Some(2000), FEEDBACK) && !may(Some(2000), "/v1/forget"));
        assert!(!may(Some(2001), FEEDBACK) && !may(None, FEEDBACK));
        let author =
            |uid| guard.author(&Peer::Unix { pid: None, uid: Some(uid) }, FEEDBACK, &HeaderMap::new());
        let may_speak_as = |uid, source| author(uid).unwrap().may_speak_as(source);
        assert!(may_speak_as(2000, Source::Person) && may_speak_as(2000, Source::Complaint));
        assert!(
            !may_speak_as(2000, Source::Trap)
                && !may_speak_as(2000, Source::Api)
                && may_speak_as(0, Source::Trap)
        );
    }

    #[test]
    fn root_and_the_daemon_itself_need_no_token_on_a_socket() {
        let guard = guard();
        let author = |uid| guard.author(&Peer::Unix { pid: Some(7), uid }, "/v1/forget", &HeaderMap::new());
        assert_eq!(author(Some(0)).unwrap().to_string(), "unix:uid=0,pid=7");
        assert!(author(Some(1000)).is_ok());
        assert!(author(Some(1001)).is_err() && author(None).is_err());
        let tcp = Peer::Tcp("127.0.0.1:1".parse().unwrap());
        assert!(guard.author(&tcp, "/", &HeaderMap::new()).is_err());
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer anything".parse().unwrap());
        assert!(
            guard.author(&Peer::Unix { pid: None, uid: Some(0) }, "/", &headers).is_err(),
            "a wrong token is no token"
        );
    }
}
