//! Files of any content, whole and damaged, against another reader and against panics.

use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn any_value() -> impl Strategy<Value = Value> {
    let code = "[A-Z]{2}";
    prop_oneof![
        (1_u32.., ".{0,400}").prop_map(|(number, text)| Value::asn(number, &text)),
        (code, code).prop_map(|(used, registered)| Value::country(&used, &registered)),
        code.prop_map(|code| registered(&code)),
        (1_u32.., code, any::<u64>()).prop_map(|(number, code, other)| {
            let place = Value::map([
                ("accuracy", Value::Array(vec![Value::U64(other), Value::Double(other)])),
                ("iso_code", Value::text(&code)),
            ]);
            Value::map([("country", place), ("autonomous_system_number", Value::U32(number))])
        }),
    ]
}

fn any_file() -> impl Strategy<Value = (MaxMind, Vec<IpAddr>)> {
    let network = (any::<IpAddr>(), 0_u8..=128, any_value());
    let networks = proptest::collection::vec(network, 1..12);
    (networks, any::<bool>(), prop_oneof![Just(24), Just(28), Just(32)]).prop_map(|(networks, four, bits)| {
        let file = MaxMind::new("any").record_bits(bits);
        let file = if four { file.ipv4_only() } else { file };
        let addresses = networks.iter().map(|(address, ..)| *address).collect();
        let add = |file: MaxMind, (address, length, value): &(IpAddr, u8, Value)| {
            file.network(*address, *length, value)
        };
        (networks.iter().fold(file, add), addresses)
    })
}

/// What the `maxminddb` crate reads of a file.
fn measure(reader: &maxminddb::Reader<&[u8]>, address: IpAddr) -> Option<Operator> {
    // It takes the first bits of an IPv6 address for an IPv4 address.
    if reader.metadata.ip_version == 4 && address.is_ipv6() {
        return None;
    }
    let place =
        |country: Option<maxminddb::geoip2::country::Country<'_>>| country?.iso_code.map(str::to_owned);
    let asn = reader.lookup::<maxminddb::geoip2::Asn<'_>>(address).ok()??;
    let country = reader.lookup::<maxminddb::geoip2::Country<'_>>(address).ok()??;
    let code = place(country.country).or_else(|| place(country.registered_country)).unwrap_or_default();
    operator(asn.autonomous_system_number.unwrap_or(0), &code)
}

/// Looks up in a file as it is, looked through or not.
fn try_everything(bytes: &[u8], addresses: &[IpAddr]) {
    let Some(marker) = database::metadata(bytes) else { return };
    let Ok(database) = Database::new(bytes.to_vec(), marker) else { return };
    let _ = database.survey();
    let ends = [Ipv4Addr::BROADCAST.into(), Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()];
    for address in addresses.iter().chain(&ends) {
        let _ = database.lookup(*address);
    }
}

proptest! {
    #[test]
    fn what_another_reader_finds_is_found((file, addresses) in any_file(), others: [IpAddr; 4]) {
        let bytes = file.to_bytes();
        let reader = maxminddb::Reader::from_source(&bytes[..]).unwrap();
        match opened(&bytes) {
            Ok(operators) => for address in addresses.iter().chain(&others) {
                let address = address.to_canonical();
                prop_assert_eq!(operators.of(address), measure(&reader, address), "{}", address);
                prop_assert_eq!(operators.failures(), 0);
            },
            // Networks of IPv6 alone, in a file for IPv4.
            Err(error) => prop_assert!(matches!(error, OperatorsError::NoUse { .. }), "{}", error),
        }
    }

    #[test]
    fn changed_octets_never_panic((file, addresses) in any_file(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20))
    {
        let mut bytes = file.to_bytes();
        for (at, octet) in changes {
            *at.get_mut(&mut bytes) = octet;
        }
        try_everything(&bytes, &addresses);
    }

    #[test]
    fn pieces_cut_out_never_panic((file, addresses) in any_file(), at: prop::sample::Index, octets in 1_usize..200) {
        let mut bytes = file.to_bytes();
        let start = at.index(bytes.len());
        bytes.drain(start..bytes.len().min(start + octets));
        try_everything(&bytes, &addresses);
    }

    #[test]
    fn any_data_never_panics(data in proptest::collection::vec(any::<u8>(), 0..300), address: IpAddr) {
        try_everything(&with_data(&data), &[address]);
    }

    #[test]
    fn any_metadata_never_panics(about in proptest::collection::vec(any::<u8>(), 0..300), address: IpAddr) {
        try_everything(&[b"\xab\xcd\xefMaxMind.com", &about[..]].concat(), &[address]);
    }
}
