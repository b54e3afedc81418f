//! How many connections mail servers have open to a front end, and how many were refused because there were too many.
//!
//! Invariant: what is open goes down when an [`Open`] is dropped and in no other way, whatever ends a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The connections of one front end, on all its sockets.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
    refused: AtomicU64,
}

impl Connections {
    /// Counts one as open for as long as what is returned lives.
    pub fn enter(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Counts one that was closed at once.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Open(Arc<Connections>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_counted_until_it_ends() {
        let connections = Arc::new(Connections::default());
        let (first, second) = (connections.enter(), connections.enter());
        assert_eq!(connections.open(), 2);
        drop(first);
        connections.refuse();
        assert_eq!((connections.open(), connections.refused()), (1, 1));
        drop(second);
        assert_eq!(connections.open(), 0);
    }
}
