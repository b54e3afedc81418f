//! How many connections are open.
//!
//! Invariant: the count goes down when a [`Guard`] is dropped and in no other way, so it holds whatever ends
//! a connection.

use policy_core::connections::{self, Connections};
use std::sync::Arc;
use tokio::sync::watch;

/// The count of open connections of one server.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    count: watch::Sender<usize>,
    /// Those of all servers of this front end.
    all: Arc<Connections>,
}

impl Open {
    /// None open.
    pub(crate) fn new(all: Arc<Connections>) -> Self {
        Self { count: watch::Sender::new(0), all }
    }

    /// Counts one more, unless `limit` are open already: a limit of 20 admits 20. One too many is counted as refused.
    pub(crate) fn enter(&self, limit: usize) -> Option<Guard> {
        let admitted = self.count.send_if_modified(|count| {
            let admitted = *count < limit;
            *count += usize::from(admitted);
            admitted
        });
        if !admitted {
            self.all.refuse();
        }
        admitted.then(|| Guard { count: self.count.clone(), _of_all: self.all.enter() })
    }

    /// Resolves as soon as none is open.
    pub(crate) async fn none(&self) {
        // An error would say that the sender is gone; `self` holds it.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        *self.count.borrow()
    }
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Guard {
    count: watch::Sender<usize>,
    _of_all: connections::Open,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_limit_of_two_admits_two() {
        let all = Arc::<Connections>::default();
        let open = Open::new(Arc::clone(&all));
        let (first, second) = (open.enter(2), open.enter(2));
        assert!(first.is_some() && second.is_some());
        assert!(open.enter(2).is_none());
        assert_eq!((all.open(), all.refused()), (2, 1));
        drop(first);
        assert_eq!(open.count(), 1);
        assert!(open.enter(2).is_some());
        drop(second);
        open.none().await;
    }
}
