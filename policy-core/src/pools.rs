//! Pools: addresses that many organisations send from, which a provider shares out among its customers.
//!
//! One bad customer must not cost the others, so mail of a verified domain from a pool is its domain's alone.
//! What makes a pool is [`DOMAINS`] verified organisational domains that have sent good mail from it in two
//! weeks; the operator may name networks besides.
//!
//! Invariant: only mail that was good, or came in on a good standing of a domain that is known for good by itself,
//! makes a pool. A spammer with many fresh domains is not one, however well his first ones have made his address stand.
//!
//! Known limit: domains are counted in a sketch of 64 bits a week, so that twelve may be taken for eleven.

use crate::identity::{Identities, Key};
use crate::table::{Table, Worth};
use crate::time::Timestamp;

/// Places of the sketch that are taken when twelve or thirteen domains have been seen (linear counting: Whang,
/// Vander-Zanden and Taylor, ACM TODS 1990).
const DOMAINS: u32 = 11;
const WEEK_SECS: u32 = 7 * 86_400;

/// Whose good mail an address has sent: a bit for each domain, this week and the one before.
#[derive(Clone, Copy)]
struct Sketch {
    week: u32,
    this: u64,
    last: u64,
}

impl Worth for Sketch {
    /// A fortnight makes it anew.
    const MARKED: bool = false;

    fn worth(&self, _: Timestamp) -> f32 {
        (self.this | self.last).count_ones() as f32
    }
}

impl Sketch {
    fn turn_to(&mut self, week: u32) {
        match week.saturating_sub(self.week) {
            0 => {}
            1 => *self = Self { week, this: 0, last: self.this },
            _ => *self = Self { week, this: 0, last: 0 },
        }
    }
}

/// The addresses that may be pools.
pub(crate) struct Pools {
    table: Table<Sketch>,
}

impl Pools {
    /// None yet, in at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { table: Table::with_bytes(bytes) }
    }

    /// Takes note of good mail.
    pub(crate) fn note(&self, identities: &Identities, now: Timestamp) {
        let Some(verified) = identities.verified().next() else { return };
        let bit = 1u64 << verified.general().stripe(u64::BITS as usize);
        let week = now.as_secs_u32() / WEEK_SECS;
        let new = || Sketch { week, this: 0, last: 0 };
        self.table.update(identities.address(), now, new, |sketch| {
            sketch.turn_to(week);
            sketch.this |= bit;
        });
    }

    /// Whether many organisations send from the address.
    pub(crate) fn contains(&self, address: &Key, now: Timestamp) -> bool {
        let week = now.as_secs_u32() / WEEK_SECS;
        let domains = |sketch: &Sketch| {
            let mut sketch = *sketch;
            sketch.turn_to(week);
            (sketch.this | sketch.last).count_ones()
        };
        self.table.read(address, domains).is_some_and(|domains| domains >= DOMAINS)
    }

    /// Takes out the addresses that `gone` names, and returns how many.
    pub(crate) fn forget(&self, gone: impl Fn(&Key) -> bool) -> usize {
        let before = self.table.len();
        (0..self.table.segments()).for_each(|segment| self.table.sweep(segment, |key, _| !gone(key)));
        before.saturating_sub(self.table.len())
    }

    /// How many segments a sweeper visits.
    pub(crate) fn segments(&self) -> usize {
        self.table.segments()
    }

    /// Drops what is older than two weeks from one segment.
    pub(crate) fn sweep(&self, segment: usize, now: Timestamp) {
        let week = now.as_secs_u32() / WEEK_SECS;
        self.table.sweep(segment, |_, sketch| sketch.week + 1 >= week);
    }

    /// Entries held, the most that can be held, and octets taken.
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        (self.table.len(), self.table.capacity(), self.table.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{VerifiedBy, VerifiedDomain};
    use crate::fixtures::facts;
    use crate::identity::Keyring;
    use crate::name::DomainName;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn of(domain: usize) -> Identities {
        let mut facts = facts("192.0.2.1");
        let domain = DomainName::new(&format!("mail.d{domain}.example")).unwrap();
        facts.message.verified = vec![VerifiedDomain { domain, by: VerifiedBy::Dkim }];
        Identities::of(&facts, &Keyring::new([7; 16]))
    }

    #[test]
    fn many_organisations_make_a_pool_and_time_ends_it() {
        let pools = Pools::new(1 << 16);
        let address = of(0).address();
        (0..8).for_each(|domain| pools.note(&of(domain), NOW));
        (0..1000).for_each(|_| pools.note(&of(3), NOW));
        assert!(!pools.contains(&address, NOW), "eight are not many");
        (0..40).for_each(|domain| pools.note(&of(domain), NOW));
        assert!(pools.contains(&address, NOW));
        let after = |days: u64| NOW.after(std::time::Duration::from_secs(days * 86_400));
        assert!(pools.contains(&address, after(6)) && !pools.contains(&address, after(15)));
    }
}
