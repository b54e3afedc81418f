//! The program as it is started: its log, its signals, its limits.
//!
//! Every test starts the real binary on ports that the system chooses, and waits for what it logs.

mod answers;
mod limits;
mod reload;
mod shutdown;
mod support;
