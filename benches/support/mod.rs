//! What the benchmarks share: senders, the traffic they send, and a server that knows them.
//!
//! Everything is made from numbers and a fixed seed, so that two runs ask the same questions in the same
//! order. Nothing that a front end or the benchmark itself does is timed: facts are built before a batch of
//! questions and sessions closed after it.
#![allow(dead_code, reason = "each benchmark uses its own part")]

pub(crate) mod desk;
pub(crate) mod senders;
pub(crate) mod server;
pub(crate) mod traffic;

/// Whether this run measures. `cargo test` runs a benchmark without `--bench`, to see that it works at all.
pub(crate) fn measuring() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// `full` senders when measuring, few enough for a test when not.
pub(crate) fn senders(full: u64) -> u64 {
    if measuring() { full } else { full.min(500) }
}

/// A number of senders as people say it.
pub(crate) fn in_words(senders: u64) -> String {
    match senders {
        1_000_000.. => format!("{}M", senders / 1_000_000),
        1_000.. => format!("{}k", senders / 1_000),
        _ => senders.to_string(),
    }
}
