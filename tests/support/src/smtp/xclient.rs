//! Postfix's XCLIENT: presenting oneself as another client.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

const UNAVAILABLE: &str = "[UNAVAILABLE]";

/// The attributes of one XCLIENT command.
///
/// ```
/// use test_support::smtp::Xclient;
/// let client = Xclient::from_address([192, 0, 2, 7]).name("mail.src.example").port(4321);
/// assert_eq!(client.command(), "XCLIENT ADDR=192.0.2.7 NAME=mail.src.example PORT=4321");
/// ```
#[derive(Clone, Debug)]
pub struct Xclient {
    attributes: Vec<(String, String)>,
}

impl Xclient {
    /// A client at `address` without a name. (Left to itself, Postfix would keep the name of the
    /// connection's real client, `localhost`.)
    pub fn from_address(address: impl Into<IpAddr>) -> Self {
        let client = Self { attributes: Vec::new() };
        client.attribute("ADDR", &written(address.into())).attribute("NAME", UNAVAILABLE)
    }

    /// The confirmed name, and by default the reverse name.
    pub fn name(self, name: &str) -> Self {
        self.attribute("NAME", name)
    }

    /// The unconfirmed name from reverse DNS.
    pub fn reverse_name(self, name: &str) -> Self {
        self.attribute("REVERSE_NAME", name)
    }

    /// No confirmed name, whatever the reverse name.
    pub fn without_name(self) -> Self {
        self.attribute("NAME", UNAVAILABLE)
    }

    /// The client's port.
    pub fn port(self, port: u16) -> Self {
        self.attribute("PORT", &port.to_string())
    }

    /// The HELO name; Postfix forgets it when the client says EHLO itself.
    pub fn helo(self, name: &str) -> Self {
        self.attribute("HELO", name)
    }

    /// The name the client authenticated with.
    pub fn login(self, name: &str) -> Self {
        self.attribute("LOGIN", name)
    }

    /// The server's address and port.
    pub fn destination(self, server: SocketAddr) -> Self {
        self.attribute("DESTADDR", &written(server.ip())).attribute("DESTPORT", &server.port().to_string())
    }

    /// Any attribute; a second value replaces the first.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.attributes.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// The command line.
    pub fn command(&self) -> String {
        let attributes = self.attributes.iter();
        attributes.fold("XCLIENT".to_owned(), |line, (name, value)| format!("{line} {name}={}", xtext(value)))
    }
}

fn written(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("IPV6:{address}"),
    }
}

/// RFC 3461 section 4: `+`, `=` and whatever is not printable ASCII become `+` and two hex digits.
fn xtext(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => text.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => write!(text, "+{byte:02X}").unwrap_or_default(),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn values_are_xtext() {
        assert_eq!(xtext("a+b=c d\u{e9}"), "a+2Bb+3Dc+20d+C3+A9");
        assert_eq!(xtext(UNAVAILABLE), UNAVAILABLE);
    }

    #[test]
    fn an_ipv6_address_carries_its_prefix() {
        let client = Xclient::from_address("2001:db8::25".parse::<Ipv6Addr>().unwrap());
        assert_eq!(client.command(), "XCLIENT ADDR=IPV6:2001:db8::25 NAME=[UNAVAILABLE]");
    }

    #[test]
    fn a_second_value_replaces_the_first() {
        let client = Xclient::from_address([192, 0, 2, 1]).name("a.example").name("b.example");
        assert_eq!(client.command(), "XCLIENT ADDR=192.0.2.1 NAME=b.example");
        assert_eq!(client.without_name().command(), "XCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE]");
    }
}
