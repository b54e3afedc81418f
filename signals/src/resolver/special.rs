//! Names and addresses that no public server can know, and that are nobody else's business.
//!
//! | asked for | without `private_zones` | with it |
//! |---|---|---|
//! | `localhost`, `invalid`, `onion`, `alt` and below | never asked | never asked |
//! | `local`, `internal`, `home.arpa`, `lan`, `localdomain` and below | never asked | asked |
//! | reverse names of private, shared, link-local, loopback and reserved addresses | never asked | asked |
//! | `test`, `example` and below; addresses of documentation | asked | asked |
//!
//! What is never asked does not exist. RFC 6761 would let `localhost` have the loopback address; for mail from
//! the outside that is as good as none.

use crate::dns::Name;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names of no zone at all: RFC 6761 section 6.3 and 6.4, RFC 7686, RFC 9476.
const NOWHERE: [&[u8]; 4] = [b"localhost", b"invalid", b"onion", b"alt"];
/// Names of private networks: RFC 6762, ICANN's reservation of 2024, and what routers make up.
const PRIVATE: [&[u8]; 4] = [b"local", b"internal", b"lan", b"localdomain"];

/// Whether a question about `name` stays unasked.
pub(crate) fn is_unasked(name: &Name, private_zones: bool) -> bool {
    let mut labels = name.iter().rev();
    let Some(top) = labels.next() else { return false };
    let is = |these: &[&[u8]]| these.iter().any(|label| label.eq_ignore_ascii_case(top));
    if is(&NOWHERE) {
        return true;
    }
    if private_zones {
        return false;
    }
    // home.arpa: RFC 8375.
    let mut is_home = || labels.next().is_some_and(|label| label.eq_ignore_ascii_case(b"home"));
    is(&PRIVATE) || top.eq_ignore_ascii_case(b"arpa") && (is_home() || is_private_reverse(name))
}

fn is_private_reverse(name: &Name) -> bool {
    // A whole zone, such as 10.in-addr.arpa, is as private as its first address. The name of an address with
    // something below it is no reverse name, and says nothing that its sender does not know.
    name.parse_arpa_name().is_ok_and(|zone| zone.prefix_len() > 0 && is_private(zone.network()))
}

/// Whether an address means nothing outside its own network: private, shared, link-local, loopback, multicast
/// or reserved. Addresses of documentation (RFC 5737, RFC 3849) are taken for public ones.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    // 0/8 is this network, 224/3 multicast and reserved, 100.64/10 shared by carriers (RFC 6598), 198.18/15
    // for measurements (RFC 2544).
    let by_first = matches!(a, 0 | 10 | 127 | 224..);
    let by_second =
        matches!((a, b), (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168) | (198, 18 | 19));
    by_first || by_second
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let [first, ..] = address.segments();
    // fe80::/10 and the old site-local fec0::/10 together are fe80::/9.
    let is_local = first & 0xfe00 == 0xfc00 || first & 0xff80 == 0xfe80;
    // ::/8 is reserved by the IETF; of it only 64:ff9b::/96, translated IPv4, is seen. ff00::/8 is multicast.
    let is_reserved = first >> 8 == 0 && first != 0x64;
    is_local || is_reserved || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn what_no_public_server_knows_stays_unasked() {
        for text in ["localhost.", "a.LocalHost.", "x.invalid.", "x.onion.", "x.alt."] {
            assert!(is_unasked(&name(text), false) && is_unasked(&name(text), true), "{text}");
        }
        for text in [
            "printer.local.",
            "db.corp.Internal.",
            "nas.home.arpa.",
            "nas.lan.",
            "1.2.0.10.in-addr.arpa.",
            "10.in-addr.arpa.",
            "1.0.0.127.in-addr.arpa.",
            "1.1.168.192.in-addr.arpa.",
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
        ] {
            assert!(is_unasked(&name(text), false), "{text}");
            assert!(!is_unasked(&name(text), true), "{text}");
        }
    }

    #[test]
    fn all_else_is_asked() {
        for text in [
            ".",
            "com.",
            "mail.test.",
            "mail.example.",
            "local.example.com.",
            "home.example.arpa.",
            "in-addr.arpa.",
            "1.2.0.192.in-addr.arpa.",
            "x.y.in-addr.arpa.",
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
        ] {
            assert!(!is_unasked(&name(text), false), "{text}");
        }
    }

    #[test]
    fn private_addresses() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.2",
            "169.254.1.1",
            "172.31.255.255",
            "192.168.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.2.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:db8::1",
            "2600::1",
            "64:ff9b::102:304",
            "::ffff:192.0.2.1",
        ] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_reverse_name_is_asked_as_its_address_is_public(address: IpAddr) {
            prop_assert_eq!(is_unasked(&Name::from(address), false), is_private(address));
        }

        #[test]
        fn any_labels_are_judged(labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..8)) {
            if let Ok(mut name) = Name::from_labels(labels.iter().map(Vec::as_slice)) {
                name.set_fqdn(true);
                is_unasked(&name, false);
            }
        }
    }
}
