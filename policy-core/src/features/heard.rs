//! What was heard of a message's chains when it came.
//!
//! A label comes hours or days after the message. By then the chains of its sender hold evidence that was not
//! there, its own acceptance to begin with, so that nobody would ever be new to the model. It learns from what
//! it had heard; traits move slowly and are read when the label comes.
//!
//! A number takes an octet, in sixteenths: it waits with the message for its label, and travels in its header.

use super::{Features, TRAITS};

/// Numbers of the chains, and how little was known.
const NUMBERS: usize = TRAITS + 1;
/// Steps of an octet in 1. So a number goes to 8 in either direction, which none of those with a limit reaches.
const STEPS: f32 = 16.0;

/// The numbers of the chains of one message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard([i8; NUMBERS]);

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heard")
    }
}

impl Heard {
    /// Nothing was known of anybody.
    pub(crate) const NOTHING: Self = {
        let mut numbers = [0; NUMBERS];
        numbers[TRAITS] = STEPS as i8;
        Self(numbers)
    };

    /// What `features` say of chains.
    pub(crate) fn of(features: &Features) -> Self {
        let numbers = features.numbers[..TRAITS].iter().chain([&features.unknown]);
        let mut heard = Self::NOTHING;
        // Casts of floats to integers saturate.
        heard.0.iter_mut().zip(numbers).for_each(|(octet, number)| *octet = (number * STEPS).round() as i8);
        heard
    }

    /// The numbers, to be carried along.
    pub(crate) const fn numbers(&self) -> &[i8] {
        &self.0
    }

    /// What was heard, if these are as many numbers as there are.
    pub(crate) fn of_numbers(numbers: &[i8]) -> Option<Self> {
        numbers.try_into().ok().map(Self)
    }

    /// Writes it into features.
    pub(super) fn tell(&self, features: &mut Features) {
        let numbers = features.numbers[..TRAITS].iter_mut().chain([&mut features.unknown]);
        numbers.zip(self.0).for_each(|(number, octet)| *number = f32::from(octet) / STEPS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Weight;
    use crate::fixtures::named;
    use crate::identity::{Identities, Keyring};
    use crate::ledger::Ledger;
    use crate::time::Timestamp;
    use crate::weights::Start;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[test]
    fn what_is_told_is_what_was_heard_and_not_what_has_come_since() {
        let ledger = Ledger::new(1 << 20, Start::shipped(), NOW);
        let identities = Identities::of(&named("192.0.2.2", "mail.corp.example"), &Keyring::new([1; 16]));
        let features = || ledger.features(&identities, &ledger.readings(&identities, NOW), NOW);
        let stranger = features();
        assert_eq!(stranger.unknown, 1.0);
        let good = Weight { good: 3.0, ..Weight::default() };
        identities.keys().for_each(|key| ledger.add(key, good, NOW));
        let known = features();
        assert!(known.unknown < 0.8);
        for then in [&stranger, &known] {
            let told = ledger.features_heard(&then.heard(), &identities.traits, NOW);
            let far = |(a, b): (&f32, &f32)| (a - b).abs() > 0.5 / STEPS + 0.07;
            assert!(!told.numbers.iter().zip(&then.numbers).any(far));
            assert!((told.unknown - then.unknown).abs() <= 0.5 / STEPS);
        }
    }
}
