//! What can be known about a client and a message beyond what the mail server says: from the DNS, and from
//! the message itself.
#![forbid(unsafe_code)]

mod breaker;
pub mod dns;
pub mod lists;
pub mod operators;
pub mod resolver;
pub mod reverse;
#[cfg(test)]
#[allow(clippy::unwrap_used)] // assertions, in helpers too
mod scripted;
pub mod spf;
mod together;
