//! Gathering over the real resolver, against a server that answers, waits, fails and keeps silent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests assert by panicking")]

#[path = "gather/faults.rs"]
mod faults;
#[path = "gather/message.rs"]
mod message;
#[path = "gather/session.rs"]
mod session;
mod support;
mod support_message;
#[path = "gather/world.rs"]
mod world;
