//! What lines of a mail log can tell, whichever mail server wrote them.

use policy_core::facts::Client;
use policy_core::name::DomainName;
use policy_core::networks::canonical;
use std::net::IpAddr;

/// A client as a line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Its name, forward-confirmed or not.
    pub(super) name: Option<DomainName>,
    pub(super) confirmed: bool,
}

impl Peer {
    pub(super) fn new(address: &str, name: &str, confirmed: bool) -> Option<Self> {
        let address: IpAddr = address.trim_start_matches("IPv6:").parse().ok()?;
        let name = Some(name).filter(|name| !name.is_empty() && *name != "unknown");
        Some(Self { address: canonical(address), name: name.and_then(DomainName::new), confirmed })
    }

    /// The client as the engine knows it.
    pub(super) fn client(&self) -> Client {
        Client {
            name: self.name.clone().filter(|_| self.confirmed),
            reverse_name: self.name.clone(),
            ..Client::new(self.address)
        }
    }
}

/// What a line tells. A queue is the mail server's id of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A client has connected.
    Connected(Peer),
    /// It is gone.
    Disconnected,
    /// The reverse name of an address does not lead back to it.
    Unconfirmed { address: &'a str, name: &'a str },
    /// The session is encrypted.
    Encrypted,
    /// The session has authenticated.
    Authenticated,
    /// The first recipient of a message was accepted.
    Accepted { queue: &'a str, client: Peer, authenticated: bool },
    /// The mail server refused something.
    Refused(Refused<'a>),
    /// Recipients of a message that it refused as unknown, from a server that says no more of them.
    Unknown { queue: &'a str, recipient: &'a str },
    /// The message is in the queue; `client` where the same line tells it.
    Queued { queue: &'a str, sender: &'a str, size: Option<u64>, recipients: u32, client: Option<Peer> },
    /// A recipient of it.
    Recipient { queue: &'a str, recipient: &'a str },
    /// It has left the queue.
    Removed { queue: &'a str },
}

/// A refusal that names the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused<'a> {
    pub(super) client: Peer,
    pub(super) helo: Option<&'a str>,
    pub(super) sender: Option<&'a str>,
    pub(super) recipient: Option<&'a str>,
    /// For the recipient's being unknown (5.1.x).
    pub(super) unknown: bool,
}

/// What stands between `name<` and the next `>`; `name` has its equals sign.
pub(super) fn bracketed<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(name)?;
    after.strip_prefix('<')?.split_once('>').map(|(value, _)| value)
}

/// What stands between `name` and the next comma or space.
pub(super) fn plain<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split_once(name).and_then(|(_, after)| after.split([',', ' ']).next())
}
