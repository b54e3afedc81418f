//! How the state is written: pages of entries by number, and a few values beside them.
//!
//! | key | value |
//! | --- | --- |
//! | 0, then 1 as four octets | [`Heading`] |
//! | 0, then 2 as four octets | what the model has learned |
//! | 0, then 3 as four octets | overrides |
//! | 0, then 4 as four octets | the audit trail |
//! | 0, then 5 as four octets | labels of all mail, as a record |
//! | table, then the page's number as four octets, most significant first | its entries, one after the other |
//!
//! Values are in postcard's format, in the order of the types' fields. The version in the directory's head is
//! that of all of it: a change of any of these types is a new version. Version 1 had no overrides, no audit trail
//! and fewer kinds of entries, version 2 no labels; all that they had reads as before.
//!
//! Invariant: no octets make reading panic; what is no entry is an error, never half an entry.

use policy_core::audit::Change;
use policy_core::evidence::Record;
use policy_core::kept::{Entry, Learned, PageId};
use policy_core::overrides::Override;
use policy_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of everything in a store.
pub const VERSION: u32 = 3;
/// The oldest version that is read: it lacks some of what is kept.
pub(super) const OLDEST: u32 = 1;

/// Whether what is of this version is read.
pub(super) fn is_readable(version: u32) -> bool {
    (OLDEST..=VERSION).contains(&version)
}

/// The octets of a key.
pub(super) type StoredKey = [u8; 5];

/// Where what is no page stands.
pub(super) const HEADING: StoredKey = [0, 0, 0, 0, 1];
pub(super) const LEARNED: StoredKey = [0, 0, 0, 0, 2];
pub(super) const OVERRIDES: StoredKey = [0, 0, 0, 0, 3];
pub(super) const AUDIT: StoredKey = [0, 0, 0, 0, 4];
pub(super) const LABELS: StoredKey = [0, 0, 0, 0, 5];

/// What is known of the pages as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heading {
    /// See [`policy_core::State::layout`].
    pub(super) layout: u64,
    /// When something was last written.
    pub(super) written: Timestamp,
    /// What keys the names in the pages. The head has it too, for when this cannot be read.
    pub(super) secret: [u8; 16],
}

/// The key of a page.
pub(super) fn key(page: PageId) -> StoredKey {
    let [a, b, c, d] = page.number.to_be_bytes();
    [page.book as u8, a, b, c, d]
}

/// The octets of a page.
pub(super) fn encode_page(entries: &[Entry]) -> Result<Vec<u8>, postcard::Error> {
    entries
        .iter()
        .try_fold(Vec::with_capacity(64 * entries.len()), |octets, entry| postcard::to_extend(entry, octets))
}

/// The entries of a page, one by one; an error is the last.
pub(super) fn entries_of(mut octets: &[u8]) -> impl Iterator<Item = Result<Entry, postcard::Error>> {
    std::iter::from_fn(move || {
        if octets.is_empty() {
            return None;
        }
        let taken = postcard::take_from_bytes(std::mem::take(&mut octets));
        Some(taken.map(|(entry, rest)| {
            octets = rest;
            entry
        }))
    })
}

/// The octets of any other value.
pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_stdvec(value)
}

/// The heading of these octets.
pub(super) fn decode_heading(octets: &[u8]) -> Result<Heading, postcard::Error> {
    postcard::from_bytes(octets)
}

/// What was learned, of these octets.
pub(super) fn decode_learned(octets: &[u8]) -> Result<Learned, postcard::Error> {
    postcard::from_bytes(octets)
}

/// Labels of all mail, of these octets.
pub(super) fn decode_labels(octets: &[u8]) -> Result<Record, postcard::Error> {
    postcard::from_bytes(octets)
}

/// The overrides of these octets.
pub(super) fn decode_overrides(octets: &[u8]) -> Result<Vec<Override>, postcard::Error> {
    postcard::from_bytes(octets)
}

/// The audit trail of these octets, the oldest change first.
pub(super) fn decode_audit(octets: &[u8]) -> Result<Vec<Change>, postcard::Error> {
    postcard::from_bytes(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::evidence::Weight;
    use policy_core::identity::Key;
    use policy_core::kept::Book;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn decoded(octets: &[u8]) -> Result<Vec<Entry>, postcard::Error> {
        entries_of(octets).collect()
    }

    fn entries(count: u8) -> Vec<Entry> {
        let entry = |n: u8| {
            let mut record = Record::new(NOW);
            record.add(Weight { good: f32::from(n), bad: 1.0, volume: 1.0, ..Weight::default() }, NOW);
            Entry::Identity(Key::address([192, 0, 2, n].into()), record)
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn a_page_is_read_as_it_was_written_and_half_an_entry_is_none() {
        let written = entries(9);
        let octets = encode_page(&written).unwrap();
        assert_eq!(decoded(&octets).unwrap(), written);
        assert!(octets.len() < 9 * 60, "{} octets", octets.len());
        let whole = octets.len() / 9;
        let cut = (1..octets.len()).filter(|at| at % whole != 0);
        cut.for_each(|at| assert!(decoded(&octets[..at]).is_err(), "cut at {at}"));
    }

    #[test]
    fn this_version_reads_what_its_first_release_wrote() {
        // A change of these octets is a new VERSION, with a reader for the one before.
        let octets = "00010000000000000400000000c000020180e2cfaa06db9901db99010000803f0000803f0000803f0000803f0000803f00000000";
        let octets: Vec<u8> = (0..octets.len() / 2)
            .map(|n| u8::from_str_radix(&octets[2 * n..2 * n + 2], 16).unwrap())
            .collect();
        let mut record = Record::new(NOW);
        record.add(Weight { good: 1.0, bad: 1.0, volume: 1.0, ..Weight::default() }, NOW);
        let entry = Entry::Identity(Key::address([192, 0, 2, 1].into()), record);
        assert_eq!(hex(&encode_page(&[entry]).unwrap()), hex(&octets));
        assert_eq!(decoded(&octets).unwrap(), [entry]);
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn keys_are_in_the_order_of_their_pages() {
        let id = |book, number| PageId { book, number };
        let (first, next) = (id(Book::Identities, 255), id(Book::Identities, 256));
        assert!(key(first) < key(next) && key(next) < key(id(Book::Allowances, 0)));
        assert!(HEADING < key(id(Book::Identities, 0)) && LEARNED < key(id(Book::Identities, 0)));
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(entries) = decoded(&octets) {
                let state = policy_core::State::new(1 << 24, [1; 16], NOW);
                let taken = entries.iter().filter(|entry| state.restore(**entry, NOW)).count();
                prop_assert!(taken <= entries.len());
            }
            let _ = decode_heading(&octets);
            let _ = (decode_overrides(&octets), decode_audit(&octets), decode_labels(&octets));
            if let Ok(learned) = decode_learned(&octets) {
                let _ = policy_core::State::new(1 << 24, [1; 16], NOW).relearn(&learned, NOW);
            }
        }

        #[test]
        fn a_flipped_octet_is_another_page_or_none(at in 0usize..400, with in 1u8..) {
            let written = entries(8);
            let mut octets = encode_page(&written).unwrap();
            let at = at % octets.len();
            octets[at] ^= with;
            if let Ok(read) = decoded(&octets) {
                // Some octets mean the same number; most mean another.
                prop_assert!(read.len() <= octets.len());
            }
        }
    }
}
