//! Sockets of different sections beside each other: no two can be the same.

use super::Config;
use super::reader::Section;
use crate::address::Address;

/// Objects to an address that is taken by an earlier one, in the same section or in another. What another process has is
/// seen when the daemon starts.
pub(super) fn apart(top: &Section<'_>, config: &Config) {
    let sections = [
        ("policy", &config.policy_service.listen),
        ("milter", &config.milter.listen),
        ("admin", &config.admin.listen),
    ];
    let all =
        || sections.iter().flat_map(|(name, listen)| listen.iter().map(move |address| (*name, address)));
    for (place, (section, address)) in all().enumerate() {
        let Some((earlier, taken)) = all().take(place).find(|(_, taken)| clash(taken, address)) else {
            continue;
        };
        // Said where the file says something, be it the earlier one: the other may be a default.
        let (at, has, other, has_too) = if top.has(section) {
            (section, address, earlier, taken)
        } else {
            (earlier, taken, section, address)
        };
        top.object(at, format!("listen has {has}, and {other}.listen has {has_too}: give each its own"));
    }
}

/// Whether the system refuses the second of them. An IPv6 address that stands for all may take IPv4's as well, by a
/// setting of the system; that is left to the start.
fn clash(one: &Address, other: &Address) -> bool {
    match (one.tcp(), other.tcp()) {
        (Some(one), Some(other)) => {
            let same_family = one.is_ipv4() == other.is_ipv4();
            let all = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || all && same_family)
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_socket_is_not_to_be_had_twice() {
        let clashes = |one: &str, other: &str| {
            let [one, other]: [Address; 2] = [one, other].map(|text| text.parse().unwrap());
            clash(&one, &other)
        };
        for (one, other) in [
            ("127.0.0.1:25", "127.0.0.1:25"),
            ("0.0.0.0:25", "127.0.0.1:25"),
            ("[::1]:25", "[::]:25"),
            ("unix:/run/x", "unix:/run/x"),
        ] {
            assert!(clashes(one, other) && clashes(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("127.0.0.1:25", "127.0.0.1:26"),
            ("127.0.0.1:25", "127.0.0.2:25"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("0.0.0.0:25", "[::1]:25"),
            ("unix:/run/x", "unix:/run/y"),
            ("unix:/run/x", "127.0.0.1:25"),
        ] {
            assert!(!clashes(one, other), "{one} {other}");
        }
    }
}
