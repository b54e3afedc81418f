//! Sets of networks, answered by one binary search.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::IpAddr;

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
        match address.to_canonical() {
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
