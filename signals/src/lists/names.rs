//! The names under which a list is asked (RFC 5782 sections 2.1, 2.4 and 3).

use crate::dns::Name;
use crate::resolver::is_private;
use crate::reverse::host_name;
use policy_core::name::DomainName;
use std::fmt::Write;
use std::net::IpAddr;

/// Octets of the longest address before a zone: 32 nibbles with their dots.
const LONGEST_ADDRESS: usize = 64;

/// A zone's name, if there is room for an address before it.
pub(super) fn zone_name(text: &str) -> Option<Name> {
    let name = host_name(text)?;
    // The octet of the root comes on top.
    (name.len() + LONGEST_ADDRESS < 255).then_some(name)
}

/// What is asked for an address: its octets or nibbles backwards, before the zone.
pub(super) fn of_address(address: IpAddr, zone: &Name) -> Option<Name> {
    let mut text = String::with_capacity(LONGEST_ADDRESS + zone.len());
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            write!(text, "{d}.{c}.{b}.{a}").ok()?;
        }
        IpAddr::V6(v6) => return of_nibbles(v6.octets(), zone),
    }
    before(&text, zone)
}

/// The same without taking an IPv4-mapped address for the IPv4 address that it is: the test points of lists
/// of IPv6 addresses are such.
pub(super) fn of_nibbles(octets: [u8; 16], zone: &Name) -> Option<Name> {
    let mut text = String::with_capacity(LONGEST_ADDRESS + zone.len());
    for octet in octets.iter().rev() {
        let dot = if text.is_empty() { "" } else { "." };
        write!(text, "{dot}{:x}.{:x}", octet & 0xf, octet >> 4).ok()?;
    }
    before(&text, zone)
}

/// What is asked for a domain, which may be a single label; `None` where both together are too long.
pub(super) fn before(text: &str, zone: &Name) -> Option<Name> {
    Name::from_ascii(text).ok()?.append_domain(zone).ok()
}

/// What is looked up for a name: its organisational domain, since lists of domains hold those, and not every
/// host below. `None` for what is no host's name, and for names that are nobody else's business.
pub(super) fn of_domain(domain: &DomainName, zone: &Name) -> Option<Name> {
    let host = host_name(domain.as_str())?;
    if crate::resolver::is_unasked(&host, false) {
        return None;
    }
    before(domain.organisational()?, zone)
}

/// Whether a list may learn of an address.
pub(super) fn is_askable(address: IpAddr) -> bool {
    !is_private(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::name;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn zone() -> Name {
        zone_name("list.example").unwrap()
    }

    fn asked(text: &str) -> Option<String> {
        of_domain(&DomainName::new(text)?, &zone()).map(|name| name.to_ascii())
    }

    #[test]
    fn names_as_rfc_5782_has_them() {
        let address = |text: &str| of_address(text.parse().unwrap(), &zone()).unwrap();
        assert_eq!(address("192.0.2.99"), name("99.2.0.192.list.example"));
        assert_eq!(address("::ffff:192.0.2.99"), name("99.2.0.192.list.example"));
        assert_eq!(
            address("2001:db8:1:2:3:4:567:89ab"),
            name("b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.list.example")
        );
        assert_eq!(asked("mail.Bad.example").as_deref(), Some("bad.example.list.example."));
        assert_eq!(asked("a.b.co.uk").as_deref(), Some("b.co.uk.list.example."));
    }

    #[test]
    fn what_is_no_host_or_private_is_not_asked() {
        for text in [
            "friend",
            "[192.0.2.1]",
            "192.0.2.1",
            "pc.local",
            "db.corp.internal",
            "a b",
            "co.uk",
            "x.home.arpa",
        ] {
            assert_eq!(asked(text), None, "{text}");
        }
        let long = format!("{0}.{0}.{0}.example", "a".repeat(60));
        assert_eq!(asked(&long).as_deref(), Some(&*format!("{}.example.list.example.", "a".repeat(60))));
    }

    #[test]
    fn zones_are_names_with_room_before_them() {
        assert!(zone_name("zen.spamhaus.org.").is_some());
        let long = format!("{0}.{0}.{0}.example", "a".repeat(60));
        for text in ["", "zen", "192.0.2.1", "a..b", "zen spamhaus.org", &long] {
            assert_eq!(zone_name(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn addresses_come_back_from_their_names(address: IpAddr) {
            let zone = zone();
            let name = of_address(address, &zone).unwrap();
            let labels: Vec<String> = name.iter().map(|label| String::from_utf8(label.to_vec()).unwrap()).collect();
            let mut labels: Vec<&str> = labels.iter().map(String::as_str).rev().collect();
            let rest = labels.split_off(2);
            prop_assert_eq!(labels, ["example", "list"]);
            let back: IpAddr = if rest.len() == 4 {
                rest.join(".").parse::<Ipv4Addr>().unwrap().into()
            } else {
                u128::from_str_radix(&rest.concat(), 16).map(Ipv6Addr::from).unwrap().into()
            };
            prop_assert_eq!(back, address.to_canonical());
        }

        #[test]
        fn any_domain_is_asked_or_not(text in "\\PC{0,260}|[a-z0-9._-]{0,255}") {
            if let Some(name) = DomainName::new(&text).and_then(|domain| of_domain(&domain, &zone())) {
                prop_assert!(zone().zone_of(&name) && name.len() < 255);
            }
        }

        #[test]
        fn any_zone_is_taken_or_not(text in "\\PC{0,260}|[a-z0-9.-]{0,255}", address: IpAddr) {
            if let Some(zone) = zone_name(&text) {
                prop_assert!(of_address(address, &zone).is_some());
            }
        }
    }
}
