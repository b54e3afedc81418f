//! Reputation, throttling and the verdict.
#![forbid(unsafe_code)]

pub mod answer;
pub mod engine;
pub mod facts;
pub mod name;
pub mod time;
