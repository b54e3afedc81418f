//! Reputation, throttling and the verdict.
//!
//! Two doors: [`decide()`] answers whether mail may come in now, [`hear`] books what is said of it later. Between
//! them lies [`State`], which outlives any [`policy::Policy`]. Nothing here reads a clock, opens a file or a
//! socket, or writes a log: the moment is an argument, and what is found is returned.
#![forbid(unsafe_code)]

pub mod allowance;
pub mod answer;
pub mod audit;
mod calibration;
pub mod connections;
mod decide;
mod deferral;
pub mod engine;
pub mod evidence;
mod explain;
pub mod facts;
mod features;
pub mod feedback;
pub mod findings;
#[cfg(test)]
mod fixtures;
pub mod forget;
pub mod identity;
pub mod kept;
pub mod known;
pub mod ladder;
mod ledger;
mod local_part;
mod marks;
pub mod message;
mod model;
pub mod name;
mod names;
pub mod networks;
pub mod outcome;
pub mod overrides;
pub mod policy;
mod pools;
pub mod presentation;
pub mod quota;
mod reporters;
mod rulings;
pub mod seldom;
mod session;
mod shape;
pub mod standing;
mod state;
mod table;
pub mod time;
mod trait_values;
pub mod verdict;
pub mod weights;

pub use decide::{Decision, decide, hear, learn, report};
pub use explain::{Allotment, Explanation, KeyExplanation, Order, Prospect, Ranked};
pub use identity::RecipientHash;
pub use state::{Appraisal, MemoryShare, State, Usage};
