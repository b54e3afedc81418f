//! The program as it is started: its log, its signals, its limits.
//!
//! Every test starts the real binary on ports that the system chooses, and waits for what it logs.

// Marked as test code, so that helpers too may assert by panicking.
#[cfg(test)]
mod admin;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod state;
#[cfg(test)]
mod support;
