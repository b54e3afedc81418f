//! A message as it comes over the wire, kept for as long as it is being judged.

mod budget;
mod collector;

pub use budget::Budget;
pub use collector::{Collector, HEAD, MAX_HEADER, MAX_MESSAGE, Raw};
