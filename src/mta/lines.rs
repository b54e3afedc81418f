//! The lines that make a mail server ask, so that mail flows when nobody answers: `docs/postfix.md` and
//! `docs/sendmail.md` give their reasons, and a test compares.

use crate::address::Address;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// What stands before the policy service among the recipient restrictions, where nothing else does.
pub(crate) const BEFORE_RCPT: &str =
    "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, reject_unlisted_recipient";
/// The same among the data restrictions.
pub(crate) const BEFORE_DATA: &str = "permit_mynetworks, permit_sasl_authenticated";

/// The second line of Sendmail's: the macros that name the client.
const MACROS: &str = "define(`confMILTER_MACROS_CONNECT', confMILTER_MACROS_CONNECT`, {client_addr}, {client_name}, \
{client_port}, {client_ptr}, {client_resolve}')dnl";

/// A milter of Postfix.
pub(crate) fn milter(endpoint: &str) -> String {
    format!(
        "{{ {endpoint}, connect_timeout=5s, command_timeout=10s, content_timeout=30s, default_action=accept }}"
    )
}

/// A policy service of Postfix.
pub(crate) fn policy_service(endpoint: &str, context: &str) -> String {
    format!(
        "check_policy_service {{ {endpoint}, timeout=5s, default_action=DUNNO, policy_context={context} }}"
    )
}

/// Whether Postfix means one of these sockets. A relative path begins at its queue directory.
pub(crate) fn is_ours(named: &str, listen: &[Address], queue: &Path) -> bool {
    listen.iter().any(|address| match address {
        Address::Tcp(tcp) => named == endpoint(address, queue) || local_port(named) == Some(tcp.port()),
        Address::Unix(own) => unix_path(named, queue).is_some_and(|path| path == *own),
    })
}

/// The port of `inet:HOST:PORT` when the host is this one.
fn local_port(named: &str) -> Option<u16> {
    let (host, port) = named.strip_prefix("inet:")?.rsplit_once(':')?;
    let address = format!("{host}:{port}").parse::<SocketAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.ip().is_loopback());
    port.parse().ok().filter(|_| here)
}

/// The path of `unix:PATH`.
pub(crate) fn unix_path(named: &str, queue: &Path) -> Option<PathBuf> {
    let path = named.strip_prefix("unix:").or_else(|| named.strip_prefix("local:"))?;
    Some(queue.join(path))
}

/// The lines for `sendmail.mc`.
pub(crate) fn sendmail(address: &Address) -> [String; 2] {
    let endpoint = match address {
        Address::Tcp(tcp) => match reachable(*tcp) {
            SocketAddr::V4(v4) => format!("inet:{}@{}", v4.port(), v4.ip()),
            SocketAddr::V6(v6) => format!("inet6:{}@{}", v6.port(), v6.ip()),
        },
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    [
        format!("INPUT_MAIL_FILTER(`tempfail', `S={endpoint}, F=, T=C:10s;S:10s;R:10s;E:60s')dnl"),
        MACROS.to_owned(),
    ]
}

/// How Postfix names a socket: one within its queue directory relatively, which a chroot does not change.
pub(crate) fn endpoint(address: &Address, queue_directory: &Path) -> String {
    match address {
        Address::Tcp(tcp) => format!("inet:{}", reachable(*tcp)),
        Address::Unix(path) => match path.strip_prefix(queue_directory) {
            Ok(relative) => format!("unix:{}", relative.display()),
            Err(_) => format!("unix:{}", path.display()),
        },
    }
}

/// Where a socket that listens everywhere is reached from this host.
pub(crate) fn reachable(tcp: SocketAddr) -> SocketAddr {
    let ip = match tcp.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, tcp.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_known_by_any_name() {
        let queue = Path::new("/var/spool/postfix");
        let milter = ["127.0.0.1:10422".parse().unwrap()];
        for named in ["inet:127.0.0.1:10422", "inet:localhost:10422", "inet:[::1]:10422"] {
            assert!(is_ours(named, &milter, queue), "{named}");
        }
        for named in ["inet:127.0.0.1:10421", "inet:mail.example:10422", "unix:/x", ""] {
            assert!(!is_ours(named, &milter, queue), "{named}");
        }
        let unix = ["unix:/var/spool/postfix/tempfail/m".parse().unwrap()];
        for named in ["unix:tempfail/m", "unix:/var/spool/postfix/tempfail/m", "local:tempfail/m"] {
            assert!(is_ours(named, &unix, queue), "{named}");
        }
    }

    #[test]
    fn sockets_are_named_as_each_mail_server_does() {
        let queue = Path::new("/var/spool/postfix");
        for (address, postfix, filter) in [
            ("127.0.0.1:10422", "inet:127.0.0.1:10422", "S=inet:10422@127.0.0.1,"),
            ("0.0.0.0:1", "inet:127.0.0.1:1", "S=inet:1@127.0.0.1,"),
            ("[::]:1", "inet:[::1]:1", "S=inet6:1@::1,"),
            (
                "unix:/var/spool/postfix/tempfail/m",
                "unix:tempfail/m",
                "S=unix:/var/spool/postfix/tempfail/m,",
            ),
            ("unix:/run/tempfail/m", "unix:/run/tempfail/m", "S=unix:/run/tempfail/m,"),
        ] {
            let address: Address = address.parse().unwrap();
            assert_eq!(endpoint(&address, queue), postfix);
            assert!(sendmail(&address)[0].contains(filter), "{address}");
        }
    }
}
