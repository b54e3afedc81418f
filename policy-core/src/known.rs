//! What another system knows of a client: a greylister's list of clients that have passed, taken over as evidence.
//!
//! That mail of a client was let in so many times, and last then, weighs what as many accepted messages weigh
//! since, at most [`MOST`] of them. It is booked on the address or the prefix, as the other system knew it, and
//! where that knew a sender's domain too, on that domain as seen from there.
//!
//! Invariant: what is held is brought up to it and never added to it, so the same word heard twice counts once,
//! and nothing that this server has seen itself becomes less.
//!
//! Known limit: nothing follows for quotas, which go by busiest days: others count no days.

use crate::evidence::{Record, Weight};
use crate::identity::{Key, Kind};
use crate::ledger::FORGOTTEN;
use crate::name::DomainName;
use crate::names::Name;
use crate::outcome::Outcome;
use crate::state::State;
use crate::table::Worth;
use crate::time::Timestamp;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Messages that count at most: five that a person has vouched for weigh as much.
pub const MOST: u32 = 20;

/// A client that another system has let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Known {
    /// Its address or its prefix.
    pub client: IpNet,
    /// The domain of the sender it was known with, if it was known with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_domain: Option<String>,
    /// Messages that were let in.
    pub messages: u32,
    /// When the first was.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
}

/// What became of the word about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is taken over.
    Taken,
    /// It is so old that nothing is left of it.
    Faded,
    /// It is about no address and no prefix (IPv4 /24, IPv6 /48), or about no domain.
    NoIdentity,
}

impl State {
    /// Takes over what another system knows.
    pub fn know(&self, known: &Known, now: Timestamp) -> Heard {
        let Some(client) = client_key(known.client) else { return Heard::NoIdentity };
        let domain = known.sender_domain.as_deref().map(DomainName::new);
        let sender = match &domain {
            None => None,
            Some(Some(domain)) => {
                let widest = Name::new(domain, &[]).widest();
                Some(self.keyring.sender_in_prefix(widest, known.client.addr()))
            }
            Some(None) => return Heard::NoIdentity,
        };
        let record = known.record(now);
        if record.worth(now) <= FORGOTTEN {
            return Heard::Faded;
        }
        for key in [Some(client), sender].into_iter().flatten() {
            self.ledger.records.update(key, now, || record, |held| held.raise(record));
        }
        Heard::Taken
    }
}

impl Known {
    fn record(&self, now: Timestamp) -> Record {
        let (last, first) = (self.last.min(now), self.first.min(self.last).min(now));
        let one = Outcome::Accepted { recipients: 1, unknown: 0 }.weight().presumed;
        let mut record = Record::new(last);
        let good = one * self.messages.min(MOST) as f32;
        record.add(Weight { good, ..Weight::default() }, last);
        // Nothing, long ago: it says only since when it is known.
        record.add(Weight::default(), first);
        record
    }
}

/// The key of an address (IPv4 /32, IPv6 /64 and longer) or of a prefix (IPv4 /24, IPv6 /48).
fn client_key(client: IpNet) -> Option<Key> {
    Key::of_network(client).filter(|key| key.kind() != Kind::Network as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::facts;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn state() -> State {
        State::new(16 << 20, *b"secret of a test", NOW)
    }

    fn known(client: &str, messages: u32, days_ago: u64) -> Known {
        let last = Timestamp::from_secs(1_700_000_000 - days_ago * 86_400);
        let first = Timestamp::from_secs(1_700_000_000 - 2 * days_ago * 86_400);
        Known { client: client.parse().unwrap(), sender_domain: None, messages, first, last }
    }

    fn good(state: &State, key: Key) -> f32 {
        state.ledger.read(&key, NOW).slow.good
    }

    #[test]
    fn it_weighs_what_as_many_accepted_messages_would_by_now() {
        let state = state();
        assert_eq!(state.know(&known("192.0.2.7/32", 8, 60), NOW), Heard::Taken);
        let address = Key::address("192.0.2.7".parse().unwrap());
        let reading = state.ledger.read(&address, NOW);
        assert!((reading.slow.good - 1.0).abs() < 1e-3, "half of eight quarters: {reading:?}");
        assert!(
            reading.fast.good < 1e-6 && reading.slow.bad == 0.0 && reading.age_days == 120,
            "{reading:?}"
        );
        assert_eq!(state.know(&known("198.51.100.0/24", 1_000_000, 0), NOW), Heard::Taken);
        assert_eq!(good(&state, Key::prefix("198.51.100.9".parse().unwrap())), 5.0);
    }

    #[test]
    fn the_same_word_twice_counts_once_and_takes_nothing_away() {
        let state = state();
        let address = Key::address("192.0.2.7".parse().unwrap());
        let word = known("192.0.2.7/32", 8, 3);
        state.know(&word, NOW);
        let once = good(&state, address);
        state.know(&word, NOW);
        assert_eq!(good(&state, address), once);
        let appraisal = state.appraise(&facts("192.0.2.7"), NOW);
        (0..9).for_each(|_| crate::learn(&state, &appraisal, Outcome::ReportedHam, NOW));
        let since = good(&state, address);
        assert!(since > once + 8.9);
        let later = NOW.after(Duration::from_secs(86_400));
        state.know(&word, later);
        assert!((state.ledger.read(&address, later).slow.good - since * 0.988_51).abs() < 1e-3);
    }

    #[test]
    fn a_sender_domain_is_known_from_that_prefix_by_its_organisation() {
        let state = state();
        let word =
            Known { sender_domain: Some("Mail.Example.ORG".to_owned()), ..known("192.0.2.7/32", 4, 1) };
        assert_eq!(state.know(&word, NOW), Heard::Taken);
        let there = state.keyring.sender_in_prefix("example.org", "192.0.2.99".parse().unwrap());
        let elsewhere = state.keyring.sender_in_prefix("example.org", "203.0.113.99".parse().unwrap());
        assert!(good(&state, there) > 0.9 && good(&state, elsewhere) == 0.0);
    }

    #[test]
    fn what_is_nobody_or_long_gone_is_not_taken() {
        let state = state();
        for nobody in ["192.0.2.0/25", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32"] {
            assert_eq!(state.know(&known(nobody, 5, 0), NOW), Heard::NoIdentity, "{nobody}");
        }
        let nameless = Known { sender_domain: Some("a b".to_owned()), ..known("192.0.2.7/32", 4, 1) };
        assert_eq!(state.know(&nameless, NOW), Heard::NoIdentity);
        assert_eq!(state.know(&known("192.0.2.7/32", 5, 600), NOW), Heard::Faded);
        assert_eq!(state.know(&known("192.0.2.7/32", 0, 0), NOW), Heard::Faded);
        assert_eq!(state.entries().flatten().count(), 0);
        // A clock that ran ahead there.
        let ahead = Known { last: NOW.after(Duration::from_secs(1 << 30)), ..known("192.0.2.7/32", 4, 0) };
        assert_eq!(state.know(&ahead, NOW), Heard::Taken);
        assert_eq!(good(&state, Key::address("192.0.2.7".parse().unwrap())), 1.0);
    }
}
