//! The deferral book: what was deferred and awaits a retry.
//!
//! A retry is known by its envelope and by where it comes from, and that is matched three ways: by address,
//! by prefix, and by verified or organisational domain, since half of the large senders come back from
//! another address. A source that has come back once need not wait again. Retries before their time neither
//! extend the wait nor do harm, unless they come in a storm.
//!
//! Bounds: a source has 32 places for pending deferrals, by construction (a place is part of the key); a
//! place whose deferral has not been retried for an hour may be taken by another. All sources together are
//! bounded by the table.
//!
//! Known limit: two envelopes of one source may want the same place; the second then waits for a retry of
//! any other of its source's deferrals. A real mailer retries them all, so one of them matches.

use crate::evidence::Weight;
use crate::identity::{Identities, Key, Keyring, Kind};
use crate::outcome::Outcome;
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Pending deferrals of one source.
const PLACES: u64 = 32;
/// A pending deferral waits this long for its retry (RFC 6647 section 4: 24 hours).
const WINDOW: Duration = Duration::from_secs(24 * 3600);
/// A place whose deferral has not been seen for this long may be taken over.
const STALE: Duration = Duration::from_secs(3600);
/// A source that has come back is remembered this long.
const REMEMBERED: Duration = Duration::from_secs(35 * 86_400);
/// Retries before their time that make a storm.
const STORM: u16 = 20;

/// An entry: a pending deferral, or (with the place `PASSED`) the note that a source has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The source: an address, a prefix, or a domain.
    source: Key,
    envelope: u64,
    first: Timestamp,
    last: Timestamp,
    /// When a retry passes.
    not_before: Timestamp,
    early: u16,
    returned: bool,
}

/// The place of the note that a source has come back.
const PASSED: u64 = u64::MAX;

impl Entry {
    /// The source.
    pub(crate) const fn source(&self) -> Key {
        self.source
    }

    /// The entry as it may be taken over from a file; `None` when it has expired. Under a clock that has been set
    /// back a retry passes at once.
    pub(crate) fn taken_over(mut self, now: Timestamp) -> Option<Self> {
        if self.first.is_from_a_wrong_clock(now) || self.last.is_from_a_wrong_clock(now) {
            (self.first, self.last, self.not_before) = (now, now, now);
        }
        (!self.is_over(Duration::MAX, now)).then_some(self)
    }

    /// Whether it has expired: a pending deferral a day after its first try, what has come back after it was last seen;
    /// either when it has had no news for as long as anything is `kept`.
    fn is_over(&self, kept: Duration, now: Timestamp) -> bool {
        let quiet = now.since(self.last);
        let expired =
            if self.envelope == PASSED { quiet >= REMEMBERED } else { now.since(self.first) >= WINDOW };
        expired || quiet >= kept
    }
}

impl Worth for Entry {
    fn worth(&self, now: Timestamp) -> f32 {
        // What has returned, or tries to, is a real mailer; after that the youngest counts most.
        let tried = f32::from(self.returned) * 100.0 + f32::from(self.early.min(STORM));
        tried - now.since(self.last).as_secs_f32() / 3600.0
    }
}

/// What the book says to a sender that should wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// It has come back before, from here or a sister host.
    Known,
    /// It comes back now, in time.
    Returned {
        /// How long it has been away since it was first deferred.
        delay: Duration,
    },
    /// It has to wait.
    Wait {
        /// How long from now.
        left: Duration,
        /// Whether its retries have become a storm just now.
        storm: bool,
    },
}

/// Why a sender should wait, which decides what having come back once is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// A stranger waits once.
    FirstContact,
    /// A Bad sender waits with each message.
    Reputation,
}

/// A question to the book.
pub(crate) struct Question<'a> {
    pub(crate) identities: &'a Identities,
    /// Sender's domain and recipient, digested.
    pub(crate) envelope: u64,
    pub(crate) why: WaitFor,
    pub(crate) wait: Duration,
    /// Observe mode: the sender will not be told to come back, so it is taken to have done so.
    pub(crate) assume_return: bool,
}

/// The deferral book.
pub(crate) struct Deferrals {
    pub(crate) entries: Table<Entry>,
}

impl Deferrals {
    /// An empty book of at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { entries: Table::with_bytes(bytes) }
    }

    /// Asks whether a sender has waited; writes it down when it has not.
    pub(crate) fn ask(&self, keyring: &Keyring, question: &Question<'_>, now: Timestamp) -> Contact {
        let sources = sources(question.identities);
        if question.why == WaitFor::FirstContact && self.has_passed(keyring, question, now) {
            return Contact::Known;
        }
        let pending = sources.iter().find_map(|source| self.pending(keyring, source, question, now));
        let Some((key, entry)) = pending else {
            sources.iter().for_each(|&source| self.write_down(keyring, source, question, now));
            return Contact::Wait { left: question.wait, storm: false };
        };
        if now < entry.not_before {
            let early = self.entries.change(&key, |entry| {
                entry.early = entry.early.saturating_add(1);
                entry.last = now;
                entry.early
            });
            return Contact::Wait { left: entry.not_before.since(now), storm: early == Some(STORM) };
        }
        let again = self.entries.change(&key, |entry| {
            entry.last = now;
            std::mem::replace(&mut entry.returned, true)
        });
        self.note_passed(keyring, question.identities, now);
        match again {
            Some(true) => Contact::Known,
            _ => Contact::Returned { delay: now.since(entry.first) },
        }
    }

    /// Takes note that the message for which a sender has waited was let in: its next one waits again.
    pub(crate) fn use_up(&self, keyring: &Keyring, identities: &Identities, envelope: u64) {
        for source in sources(identities) {
            let key = Self::place(keyring, &source, envelope % PLACES);
            self.entries.remove_if(&key, |entry| entry.envelope == envelope);
        }
    }

    fn place(keyring: &Keyring, source: &Key, place: u64) -> Key {
        keyring.internal(&[b"deferral", &source.to_bytes(), &place.to_le_bytes()])
    }

    fn pending(
        &self,
        keyring: &Keyring,
        source: &Key,
        question: &Question<'_>,
        now: Timestamp,
    ) -> Option<(Key, Entry)> {
        let key = Self::place(keyring, source, question.envelope % PLACES);
        let entry = self.entries.read(&key, |entry| *entry)?;
        let live = entry.envelope == question.envelope
            && now.since(entry.first) < WINDOW
            // Nobody is told to wait for longer than that: not after the clock was set back either.
            && entry.not_before.since(now) <= question.wait;
        live.then_some((key, entry))
    }

    fn write_down(&self, keyring: &Keyring, source: Key, question: &Question<'_>, now: Timestamp) {
        let entry = Entry {
            source,
            envelope: question.envelope,
            first: now,
            last: now,
            not_before: now.after(question.wait),
            early: 0,
            returned: question.assume_return,
        };
        let key = Self::place(keyring, &source, question.envelope % PLACES);
        self.entries.update(
            key,
            now,
            || entry,
            |held| {
                let free = held.envelope == entry.envelope
                    || now.since(held.last) >= STALE
                    || held.returned
                    || held.first.is_from_a_wrong_clock(now);
                if free {
                    *held = entry;
                }
            },
        );
        if question.assume_return && question.why == WaitFor::FirstContact {
            self.note_passed(keyring, question.identities, now.after(question.wait));
        }
    }

    /// The address and, if there is one, the domain; never the prefix, whose hosts are strangers to each
    /// other.
    fn passing(identities: &Identities) -> impl Iterator<Item = Key> {
        std::iter::once(identities.address()).chain(identities.group)
    }

    fn has_passed(&self, keyring: &Keyring, question: &Question<'_>, now: Timestamp) -> bool {
        let mut sources = Self::passing(question.identities);
        sources.any(|source| {
            let key = Self::place(keyring, &source, PASSED);
            self.entries.change(&key, |entry| {
                let ahead = entry.not_before.since(now);
                let set_back = ahead > question.wait;
                let passed = (ahead.is_zero() || set_back) && now.since(entry.last) < REMEMBERED;
                if passed {
                    entry.last = now;
                }
                if set_back {
                    entry.not_before = now;
                }
                passed
            }) == Some(true)
        })
    }

    fn note_passed(&self, keyring: &Keyring, identities: &Identities, at: Timestamp) {
        for source in Self::passing(identities) {
            let entry = Entry {
                source,
                envelope: PASSED,
                first: at,
                last: at,
                not_before: at,
                early: 0,
                returned: true,
            };
            self.entries.update(Self::place(keyring, &source, PASSED), at, || entry, |_| ());
        }
    }

    /// How many segments a sweeper visits.
    pub(crate) fn segments(&self) -> usize {
        self.entries.segments()
    }

    /// Drops from one segment what has expired, or had no news for as long as anything is `kept`; `learn` hears of
    /// addresses that never came back, and since when.
    pub(crate) fn sweep(
        &self,
        keyring: &Keyring,
        segment: usize,
        kept: Duration,
        now: Timestamp,
        mut learn: impl FnMut(Key, Weight, Timestamp),
    ) {
        let mut silent: Vec<(Key, Timestamp)> = Vec::new();
        self.entries.sweep(segment, |_, entry| {
            let expired = entry.is_over(kept, now);
            if expired && !entry.returned && entry.source.kind() == Kind::Address as u8 {
                silent.push((entry.source, entry.first));
            }
            !expired
        });
        // After the sweep: asking for the note touches the same table.
        for (source, since) in silent {
            let passed = self.entries.read(&Self::place(keyring, &source, PASSED), |_| ()).is_some();
            if !passed {
                learn(source, Outcome::NeverReturned.weight(), since);
            }
        }
    }

    /// When each pending deferral of a source may pass, soonest first. Visits the whole book: for people.
    pub(crate) fn pending_of(&self, source: Key, now: Timestamp) -> Vec<Timestamp> {
        let mut pending = Vec::new();
        self.entries.for_each(|_, entry| {
            let counts = entry.source == source && entry.envelope != PASSED && !entry.returned;
            if counts && now.since(entry.first) < WINDOW {
                pending.push(entry.not_before);
            }
        });
        pending.sort_unstable();
        pending
    }

    /// Entries held, the most that can be held, and octets taken.
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.entries.capacity(), self.entries.bytes())
    }
}

fn sources(identities: &Identities) -> ArrayVec<Key, 3> {
    [Some(identities.address()), identities.group, Some(identities.prefix())].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Facts, VerifiedBy, VerifiedDomain};
    use crate::fixtures::facts;
    use crate::name::DomainName;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const WAIT: Duration = Duration::from_secs(300);

    struct Desk(Deferrals, Keyring);

    impl Desk {
        fn new() -> Self {
            Self(Deferrals::new(1 << 20), Keyring::new([9; 16]))
        }
        fn ask(&self, facts: &Facts, envelope: u64, secs: u64) -> Contact {
            self.ask_as(facts, envelope, secs, WaitFor::FirstContact, false)
        }
        fn ask_as(&self, f: &Facts, envelope: u64, secs: u64, why: WaitFor, assume_return: bool) -> Contact {
            let identities = &Identities::of(f, &self.1);
            let question = Question { identities, envelope, why, wait: WAIT, assume_return };
            self.0.ask(&self.1, &question, NOW.after(Duration::from_secs(secs)))
        }
    }

    fn wait(secs: u64) -> Contact {
        Contact::Wait { left: Duration::from_secs(secs), storm: false }
    }

    fn verified(address: &str, domain: &str) -> Facts {
        let mut facts = facts(address);
        facts.message.verified =
            vec![VerifiedDomain { domain: DomainName::new(domain).unwrap(), by: VerifiedBy::Spf }];
        facts
    }

    #[test]
    fn a_stranger_waits_once_and_early_retries_do_not_extend() {
        let desk = Desk::new();
        let stranger = facts("192.0.2.1");
        assert_eq!(desk.ask(&stranger, 1, 0), wait(300));
        assert_eq!(desk.ask(&stranger, 1, 100), wait(200));
        assert_eq!(desk.ask(&stranger, 1, 300), Contact::Returned { delay: WAIT });
        assert_eq!(desk.ask(&stranger, 2, 301), Contact::Known);
    }

    #[test]
    fn a_retry_is_matched_within_the_prefix_and_the_domain_but_not_beyond() {
        let desk = Desk::new();
        assert_eq!(desk.ask(&facts("192.0.2.1"), 1, 0), wait(300));
        assert_eq!(
            desk.ask(&facts("192.0.2.99"), 1, 400),
            Contact::Returned { delay: Duration::from_secs(400) }
        );
        assert_eq!(desk.ask(&facts("192.0.2.7"), 2, 400), wait(300), "a neighbour stays a stranger");
        assert_eq!(desk.ask(&verified("198.51.100.1", "pool.example"), 5, 0), wait(300));
        let sister = verified("203.0.113.1", "pool.example");
        assert!(matches!(desk.ask(&sister, 5, 400), Contact::Returned { .. }));
        assert_eq!(desk.ask(&verified("203.0.113.200", "pool.example"), 6, 401), Contact::Known);
        assert_eq!(desk.ask(&verified("203.0.113.201", "other.example"), 6, 401), wait(300));
    }

    #[test]
    fn a_source_is_bounded_and_its_oldest_deferrals_are_kept() {
        let desk = Desk::new();
        let bulk = facts("192.0.2.1");
        for envelope in 0..10_000 {
            desk.ask(&bulk, envelope, 0);
        }
        assert!(desk.0.usage().0 <= 2 * PLACES as usize);
        assert!(matches!(desk.ask(&bulk, 3, 300), Contact::Returned { .. }));
        assert_eq!(desk.ask(&bulk, 9_999, 300), Contact::Known);
    }

    #[test]
    fn a_storm_is_told_once() {
        let desk = Desk::new();
        let bot = facts("192.0.2.1");
        desk.ask(&bot, 1, 0);
        let storms = (0..100).filter(|_| matches!(desk.ask(&bot, 1, 1), Contact::Wait { storm: true, .. }));
        assert_eq!(storms.count(), 1);
    }

    #[test]
    fn a_bad_sender_waits_with_each_message() {
        let desk = Desk::new();
        let bad = facts("192.0.2.1");
        let ask = |envelope, secs| desk.ask_as(&bad, envelope, secs, WaitFor::Reputation, false);
        assert_eq!(ask(1, 0), wait(300));
        assert!(matches!(ask(1, 300), Contact::Returned { .. }));
        assert_eq!(ask(1, 301), Contact::Known, "refused by a limit, it need not wait anew");
        assert_eq!(ask(2, 301), wait(300));
        desk.0.use_up(&desk.1, &Identities::of(&bad, &desk.1), 1);
        assert_eq!(ask(1, 302), wait(300), "another message to the same recipient");
        assert_eq!(ask(2, 302), wait(299));
    }

    #[test]
    fn nobody_waits_longer_because_the_clock_was_set_back() {
        const HOUR: u64 = 3600;
        let desk = Desk::new();
        let (stranger, known) = (facts("192.0.2.1"), facts("203.0.113.1"));
        desk.ask(&known, 1, 20 * HOUR);
        assert!(matches!(desk.ask(&known, 1, 20 * HOUR + 300), Contact::Returned { .. }));
        assert_eq!(desk.ask(&stranger, 1, 20 * HOUR), wait(300));
        assert_eq!(desk.ask(&stranger, 1, HOUR), wait(300));
        assert!(matches!(desk.ask(&stranger, 1, HOUR + 300), Contact::Returned { .. }));
        assert_eq!(desk.ask(&known, 2, HOUR), Contact::Known);
    }

    #[test]
    fn who_never_comes_back_is_learned_and_observe_mode_learns_nothing() {
        let desk = Desk::new();
        desk.ask(&facts("192.0.2.1"), 1, 0);
        desk.ask_as(&facts("198.51.100.1"), 1, 0, WaitFor::FirstContact, true);
        assert_eq!(desk.ask(&facts("198.51.100.1"), 2, 301), Contact::Known);
        let mut silent = Vec::new();
        let later = NOW.after(WINDOW + Duration::from_secs(400));
        (0..desk.0.segments())
            .for_each(|s| desk.0.sweep(&desk.1, s, Duration::MAX, later, |key, _, _| silent.push(key)));
        assert_eq!(silent, [Key::address("192.0.2.1".parse().unwrap())]);
    }

    #[test]
    fn pending_deferrals_can_be_listed() {
        let desk = Desk::new();
        desk.ask(&facts("192.0.2.1"), 1, 0);
        desk.ask(&facts("192.0.2.1"), 2, 10);
        let pending = desk.0.pending_of(Key::address("192.0.2.1".parse().unwrap()), NOW);
        assert_eq!(pending, [NOW.after(WAIT), NOW.after(Duration::from_secs(310))]);
    }
}
