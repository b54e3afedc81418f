//! Server logs kept for the report of a failed test.
//!
//! A server is gone, directory and all, by the time its test is known to have failed. So each
//! leaves the end of its log here when it stops, and the runner shows it if the test failed.
//!
//! Known limit: a server dropped on another thread than the test's leaves its log unseen.

use std::cell::RefCell;

thread_local! {
    static LEFT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps `text` for the report of the test on this thread.
pub(crate) fn leave(text: String) {
    LEFT.with_borrow_mut(|left| left.push(text));
}

/// Takes what the servers of the test on this thread have left.
pub(crate) fn take() -> Vec<String> {
    LEFT.take()
}
