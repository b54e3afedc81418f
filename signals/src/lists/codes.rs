//! What the addresses of an answer mean together.
//!
//! Invariant: an answer outside 127/8 is never a listing, whatever a table says, and neither is one of
//! 127.255.255/24, with which lists complain of the way they are asked. Whoever answers such, be it a resolver
//! that sells its users' mistypings or a zone that has been given up, is not to be believed in anything else.

use super::options::{Code, ListOptions, Meaning};
use compact_str::CompactString;
use std::net::Ipv4Addr;

/// Addresses read of one answer.
const MAX_ADDRESSES: usize = 16;

/// What an answer says of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub(super) meaning: Meaning,
    pub(super) codes: Vec<Ipv4Addr>,
    pub(super) labels: Vec<CompactString>,
}

/// Why an answer says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// The list complains: it does not serve this resolver.
    Refused(Ipv4Addr),
    /// The table calls it an error.
    Error(Ipv4Addr),
    /// It is no answer of a list.
    Foreign(Ipv4Addr),
    /// The table does not know it.
    Unread(Ipv4Addr),
}

/// Why an answer may not be believed whatever the table says, if so.
pub(super) fn objection(addresses: &[Ipv4Addr]) -> Option<Nothing> {
    let object = |&address: &Ipv4Addr| match address.octets() {
        [127, 255, 255, _] => Some(Nothing::Refused(address)),
        [127, ..] => None,
        _ => Some(Nothing::Foreign(address)),
    };
    addresses.iter().find_map(object)
}

/// What an answer says: at most one listing, one policy listing and one allowance, each the weightiest.
pub(super) fn read(options: &ListOptions, addresses: &[Ipv4Addr]) -> Result<Vec<Said>, Nothing> {
    if let Some(objection) = objection(addresses) {
        return Err(objection);
    }
    let mut said: Vec<Said> = Vec::new();
    let mut unread = None;
    for &address in addresses.iter().take(MAX_ADDRESSES) {
        match of(&options.codes, address) {
            Some(Code { meaning: Meaning::Error, .. }) => return Err(Nothing::Error(address)),
            Some(code) => add(&mut said, options.weight, address, code),
            None => unread = Some(Nothing::Unread(address)),
        }
    }
    match unread {
        Some(unread) if said.is_empty() => Err(unread),
        _ => Ok(said),
    }
}

fn of(codes: &[Code], address: Ipv4Addr) -> Option<&Code> {
    codes.iter().filter(|code| code.net.contains(&address)).max_by_key(|code| code.net.prefix_len())
}

fn add(said: &mut Vec<Said>, weight: f32, address: Ipv4Addr, code: &Code) {
    let meaning = match code.meaning {
        Meaning::Listed(of_code) => Meaning::Listed(of_code * weight),
        Meaning::Allowed(of_code) => Meaning::Allowed(of_code * weight),
        other => other,
    };
    let label = (!code.label.is_empty()).then(|| code.label.clone());
    let alike = |said: &&mut Said| std::mem::discriminant(&said.meaning) == std::mem::discriminant(&meaning);
    let Some(before) = said.iter_mut().find(alike) else {
        said.push(Said { meaning, codes: vec![address], labels: label.into_iter().collect() });
        return;
    };
    before.meaning = weightier(before.meaning, meaning);
    before.codes.push(address);
    if let Some(label) = label.filter(|label| !before.labels.contains(label)) {
        before.labels.push(label);
    }
}

fn weightier(one: Meaning, other: Meaning) -> Meaning {
    match (one, other) {
        (Meaning::Listed(a), Meaning::Listed(b)) => Meaning::Listed(a.max(b)),
        (Meaning::Allowed(a), Meaning::Allowed(b)) => Meaning::Allowed(a.max(b)),
        _ => one,
    }
}

#[cfg(test)]
mod tests {
    use super::super::presets;
    use super::*;
    use proptest::prelude::*;

    fn says(
        list: &ListOptions,
        addresses: &[[u8; 4]],
    ) -> Result<Vec<(Meaning, Vec<CompactString>)>, Nothing> {
        let addresses: Vec<Ipv4Addr> = addresses.iter().map(|&octets| octets.into()).collect();
        Ok(read(list, &addresses)?.into_iter().map(|said| (said.meaning, said.labels)).collect())
    }

    fn one(meaning: Meaning, label: &str) -> Result<Vec<(Meaning, Vec<CompactString>)>, Nothing> {
        Ok(vec![(meaning, if label.is_empty() { vec![] } else { vec![label.into()] })])
    }

    #[test]
    fn the_codes_of_zen() {
        let zen = presets::spamhaus_zen("zen.spamhaus.org");
        for (last, meaning, label) in [
            (2, Meaning::Listed(1.0), "SBL"),
            (3, Meaning::Listed(0.8), "CSS"),
            (4, Meaning::Listed(1.0), "XBL"),
            (7, Meaning::Listed(1.0), "XBL"),
            (9, Meaning::Listed(1.0), "DROP"),
            (10, Meaning::Policy, "PBL"),
            (11, Meaning::Policy, "PBL"),
        ] {
            assert_eq!(says(&zen, &[[127, 0, 0, last]]), one(meaning, label), "{last}");
        }
        for last in [1, 8, 12, 255] {
            let address = Ipv4Addr::new(127, 0, 0, last);
            assert_eq!(says(&zen, &[address.octets()]), Err(Nothing::Unread(address)));
        }
        let several = says(&zen, &[[127, 0, 0, 10], [127, 0, 0, 3], [127, 0, 0, 4], [127, 0, 0, 99]]);
        let listed = (Meaning::Listed(1.0), vec!["CSS".into(), "XBL".into()]);
        assert_eq!(several, Ok(vec![(Meaning::Policy, vec!["PBL".into()]), listed]));
    }

    #[test]
    fn the_codes_of_dbl_dnswl_and_plain_lists() {
        let dbl = presets::spamhaus_dbl("dbl.spamhaus.org");
        assert_eq!(says(&dbl, &[[127, 0, 1, 2]]), one(Meaning::Listed(1.0), "spam"));
        assert_eq!(says(&dbl, &[[127, 0, 1, 102]]), one(Meaning::Listed(0.4), "abused, spam"));
        assert_eq!(says(&dbl, &[[127, 0, 1, 255]]), Err(Nothing::Error([127, 0, 1, 255].into())));
        let dnswl = presets::dnswl("list.dnswl.org");
        assert_eq!(says(&dnswl, &[[127, 0, 5, 3]]), one(Meaning::Allowed(1.0), "high"));
        assert_eq!(says(&dnswl, &[[127, 0, 15, 0]]), one(Meaning::Allowed(0.1), "none"));
        assert_eq!(says(&dnswl, &[[127, 0, 0, 255]]), Err(Nothing::Error([127, 0, 0, 255].into())));
        let half = ListOptions { weight: 0.5, ..presets::generic("list.example") };
        assert_eq!(says(&half, &[[127, 0, 0, 2]]), one(Meaning::Listed(0.5), ""));
        assert_eq!(says(&half, &[[127, 0, 0, 1]]), Err(Nothing::Error([127, 0, 0, 1].into())));
        assert_eq!(says(&half, &[[127, 0, 3, 2]]), Err(Nothing::Unread([127, 0, 3, 2].into())));
    }

    #[test]
    fn complaints_and_foreign_addresses_are_never_listings() {
        let greedy = ListOptions::new("list.example", super::super::Kind::Address).with_codes([Code::new(
            [0; 4],
            0,
            Meaning::Listed(1.0),
            "all",
        )]);
        for octets in [[127, 255, 255, 252], [127, 255, 255, 254], [127, 255, 255, 255]] {
            assert_eq!(says(&greedy, &[octets]), Err(Nothing::Refused(octets.into())));
            assert_eq!(says(&greedy, &[[127, 0, 0, 2], octets]), Err(Nothing::Refused(octets.into())));
        }
        for octets in [[192, 0, 2, 1], [10, 0, 0, 1], [126, 255, 255, 255], [128, 0, 0, 1]] {
            assert_eq!(says(&greedy, &[octets]), Err(Nothing::Foreign(octets.into())));
            assert_eq!(says(&greedy, &[[127, 0, 0, 2], octets]), Err(Nothing::Foreign(octets.into())));
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read(octets in proptest::collection::vec(any::<[u8; 4]>(), 0..40), inside: bool) {
            let addresses: Vec<Ipv4Addr> =
                octets.into_iter().map(|[a, b, c, d]| [if inside { 127 } else { a }, b, c, d].into()).collect();
            for list in [presets::spamhaus_zen("z.example"), presets::spamhaus_dbl("z.example"),
                presets::dnswl("z.example"), presets::generic("z.example")]
            {
                if let Ok(said) = read(&list, &addresses) {
                    prop_assert!(addresses.iter().all(|address| address.octets()[0] == 127));
                    prop_assert!(said.len() <= 3);
                }
            }
        }

        #[test]
        fn any_code_can_be_made(octets: [u8; 4], length: u8) {
            prop_assert!(Code::new(octets, length, Meaning::Policy, "").net.contains(&Ipv4Addr::from(octets)));
        }
    }
}
