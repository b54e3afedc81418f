//! The tempfail program as a library: what `main` starts, tests start too.
//!
//! | module | tells |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | [`config`] | the configuration: a file, checked whole, with a default for every key |
//! | [`serve`] | the daemon in its process: file, signals, log |
//! | [`daemon`] | both front ends over one engine and one state; the entry point for tests |
//! | [`demo`] | a story played through the daemon, for who wants to see what it is |
//! | [`replay`] | a recording of mail played through the engine, before anything goes live |
//! | [`engine`] | a question on its way to its answer, within its deadline, and into the log |
//! | [`explain`] | what is held of somebody, why, and what would change it |
//! | [`feedback`] | what is said of a message later, on its way to the ledger |
//! | [`store`] | the state on the disk, for a restart and for the day after a crash |
//! | [`migrate`] | what postgrey, sqlgrey and rspamd know and how they are set, for who comes from there |
//! | [`log`] | one line a decision, one line an event |
//! | `admin` | what the operator asks, and changes |
//! | `mta`, `doctor` | the mail server's own configuration, and what is wrong with it and the daemon |
//! | [`clock`], [`address`], [`recent`], [`stats`] | the nouns they share |
#![forbid(unsafe_code)]

pub mod address;
mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
mod deadline;
pub mod demo;
mod descriptors;
mod doctor;
pub mod engine;
pub mod explain;
pub mod feedback;
pub mod in_force;
pub mod latency;
pub mod log;
pub mod lookups;
mod mark;
pub mod migrate;
mod mta;
mod notify;
pub mod recent;
pub mod replay;
pub mod serve;
mod sockets;
pub mod stats;
pub mod store;

pub use clock::Clock;
pub use config::Config;
pub use daemon::Daemon;
pub use sockets::BindError;
