//! Lines of lists of clients and of recipients, as values of this program's configuration.

use crate::config;
use ipnet::{IpNet, Ipv4Net};
use policy_core::name::DomainName;
use policy_core::networks::{canonical, canonical_network};
use std::net::{IpAddr, Ipv4Addr};

/// Why a line has no counterpart.
type Why = &'static str;

pub(super) const REGEXP: Why = "regular expression; name the domains it stands for under [exempt] clients";

/// A network or an address; of an IPv4 address its first three octets are a /24.
pub(super) fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(canonical(address).into());
    }
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(canonical_network(network.trunc()));
    }
    let octets: Vec<u8> = text.split('.').map(|octet| octet.parse().ok()).collect::<Option<_>>()?;
    let &[a, b, c] = octets.as_slice() else { return None };
    Ipv4Net::new(Ipv4Addr::new(a, b, c, 0), 24).ok().map(IpNet::V4)
}

/// A client: a network, or the name of a host or of a domain and all hosts below it.
pub(super) fn client(text: &str) -> Result<String, Why> {
    if let Some(network) = network(text) {
        return match network.prefix_len() {
            0 => Err("the whole internet"),
            _ => Ok(network.to_string()),
        };
    }
    if text.starts_with('/') {
        return Err(REGEXP);
    }
    name(text).ok_or("no network and no name of a host")
}

/// The name of a host or a domain.
pub(super) fn name(text: &str) -> Option<String> {
    let name = DomainName::proper(text)?;
    name.as_str().contains('.').then(|| name.as_str().to_owned())
}

/// A recipient: `user@domain`, `user@`, or a domain.
pub(super) fn recipient(text: &str) -> Result<String, Why> {
    if text.starts_with('/') {
        return Err("regular expression; name the recipients under [exempt] recipients");
    }
    let value = if text.contains('@') { text.to_owned() } else { format!("@{text}") };
    let plain = value.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    if plain && config::is_recipient(&value) { Ok(value.to_lowercase()) } else { Err("no recipient") }
}
