//! Sets of networks, answered by one binary search; and one form for an address that has several.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One form of an address: the IPv4 one where IPv4 is mapped into IPv6 (RFC 4291 section 2.5.5.2), or comes through a
/// translator with the well-known prefix 64:ff9b::/96 (RFC 6052). To a server with IPv6 alone all of IPv4 would
/// otherwise be one /64. That prefix stands for global addresses alone (section 3.1): nobody becomes a
/// neighbour by it.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => translated(v6).map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The same of a network: where all of it has another form, that one.
pub fn canonical_network(network: IpNet) -> IpNet {
    let IpNet::V6(net) = network else { return network };
    let bits = net.addr().to_bits();
    let v4 = Ipv4Addr::from_bits(bits as u32);
    // A wider part of the prefix for translation than a /8 of IPv4 is not all local.
    let has_other =
        bits >> 32 == MAPPED || bits >> 32 == TRANSLATED && (net.prefix_len() < 104 || !is_local(v4));
    let length = net.prefix_len().checked_sub(96).filter(|_| has_other);
    length.and_then(|length| Ipv4Net::new(v4, length).ok()).map_or(network, IpNet::V4)
}

/// The uppermost 96 bits of an address that IPv4 is mapped to, and of one with the prefix for translation.
const MAPPED: u128 = 0xffff;
const TRANSLATED: u128 = 0x0064_ff9b_0000_0000_0000_0000;

fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = Ipv4Addr::from_bits(address.to_bits() as u32);
    (address.to_bits() >> 32 == TRANSLATED && !is_local(v4)).then_some(v4)
}

/// Whether an address is none of the whole Internet's (RFC 6890).
const fn is_local(address: Ipv4Addr) -> bool {
    matches!(
        address.octets(),
        [0 | 10 | 127 | 224.., ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
    )
}

/// A set of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// First and last address of each, ascending and apart from each other.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let networks: Vec<IpNet> = networks.into_iter().collect();
        // Aggregated networks do not overlap and come sorted.
        let v4 = |net: &Ipv4Net| (net.network().to_bits(), net.broadcast().to_bits());
        let v6 = |net: &Ipv6Net| (net.network().to_bits(), net.broadcast().to_bits());
        let mut set = Self::default();
        for network in IpNet::aggregate(&networks) {
            match network {
                IpNet::V4(net) => set.v4.push(v4(&net)),
                IpNet::V6(net) => set.v6.push(v6(&net)),
            }
        }
        set.v4.sort_unstable();
        set.v6.sort_unstable();
        set
    }
}

impl Networks {
    /// Whether an address lies in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        match canonical(address) {
            IpAddr::V4(v4) => holds(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => holds(&self.v6, v6.to_bits()),
        }
    }
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    after > 0 && address <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_has_one_form() {
        for (text, form) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("64:ff9b::192.0.2.7", "192.0.2.7"),
            ("64:ff9b::c000:207", "192.0.2.7"),
            ("64:ff9b::127.0.0.1", "64:ff9b::7f00:1"),
            ("64:ff9b::10.0.0.1", "64:ff9b::a00:1"),
            ("64:ff9b::192.168.1.1", "64:ff9b::c0a8:101"),
            ("64:ff9b::0.0.0.1", "64:ff9b::1"),
            ("64:ff9b::100.64.0.1", "64:ff9b::6440:1"),
            ("64:ff9b::198.19.0.1", "64:ff9b::c613:1"),
            ("64:ff9b::192.0.0.8", "64:ff9b::c000:8"),
            ("64:ff9b::240.0.0.1", "64:ff9b::f000:1"),
            ("64:ff9b:1::192.0.2.7", "64:ff9b:1::c000:207"),
            ("64:ff9b::1:192.0.2.7", "64:ff9b::1:c000:207"),
            ("2001:db8::7", "2001:db8::7"),
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(canonical(address).to_string(), form, "{text}");
            assert_eq!(canonical_network(address.into()), canonical(address).into(), "{text}");
        }
        for (text, form) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("64:ff9b::192.0.2.0/120", "192.0.2.0/24"),
            ("64:ff9b::/96", "0.0.0.0/0"),
            ("64:ff9b::127.0.0.0/104", "64:ff9b::7f00:0/104"),
            ("64:ff9b::/95", "64:ff9b::/95"),
            ("2001:db8::/120", "2001:db8::/120"),
        ] {
            assert_eq!(canonical_network(text.parse().unwrap()).to_string(), form, "{text}");
        }
    }

    #[test]
    fn networks_of_both_families() {
        let set: Networks = ["192.0.2.0/25", "192.0.2.128/25", "10.0.0.1/32", "2001:db8::/32"]
            .map(|s| s.parse().unwrap())
            .into_iter()
            .collect();
        for (address, inside) in [
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("10.0.0.1", true),
            ("10.0.0.2", false),
            ("::ffff:10.0.0.1", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(!Networks::default().contains("0.0.0.0".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_search(nets in proptest::collection::vec((any::<u32>(), 4u8..=32), 0..30), address: u32) {
            let nets: Vec<IpNet> = nets.into_iter().map(|(a, l)| IpNet::V4(Ipv4Net::new(a.into(), l).unwrap())).collect();
            let address = IpAddr::V4(address.into());
            let set: Networks = nets.iter().copied().collect();
            prop_assert_eq!(set.contains(address), nets.iter().any(|net| net.contains(&address)));
        }
    }
}
