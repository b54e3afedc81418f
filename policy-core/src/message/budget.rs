//! Memory that all connections share for the messages that they hold.
//!
//! Invariant: the octets left and the shares that are out add up to the budget, since a share gives back on
//! drop what it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Octets for messages that are being received, over all connections.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// The default: six messages of the largest size that is kept whole, or thousands of the usual size.
    pub const DEFAULT: usize = 64 << 20;

    /// A budget of so many octets.
    pub fn new(octets: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(octets)))
    }

    /// How many octets are left.
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), octets: 0 }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

/// What one message holds of the budget.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    octets: usize,
}

impl Share {
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Takes so much more that it is `octets` in all; false, and nothing taken, when too little is left.
    pub(super) fn grow_to(&mut self, octets: usize) -> bool {
        let more = octets.saturating_sub(self.octets);
        // Only the number itself is shared: no other memory is read on the strength of it.
        let take = |left: usize| left.checked_sub(more);
        let granted = self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if granted {
            self.octets += more;
        }
        granted
    }

    /// Gives back what is beyond `octets`.
    pub(super) fn shrink_to(&mut self, octets: usize) {
        let less = self.octets.saturating_sub(octets);
        self.octets -= less;
        self.budget.0.fetch_add(less, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}
