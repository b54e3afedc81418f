//! kill -9 under load, again and again: what was acknowledged is there, at most about a second of counts is not,
//! and it serves again within two seconds.
//!
//! This program is both sides. Started with a directory in `TEMPFAIL_CRASH_CHILD` it is a daemon that takes in
//! messages as fast as it can and hears feedback, each of which it flushes before it says so; without, it is the
//! one that starts such daemons, kills each in the middle of its work, and compares what the next one remembers.
//!
//! `TEMPFAIL_CRASH_ROUNDS` says how many rounds (15). Each round has senders of networks of its own.

#![allow(clippy::expect_used, reason = "a test asserts by panicking")]

mod child;
mod parent;

use std::process::ExitCode;

/// The directory that a child keeps its state in.
const CHILD: &str = "TEMPFAIL_CRASH_CHILD";
/// How many rounds.
const ROUNDS: &str = "TEMPFAIL_CRASH_ROUNDS";

fn main() -> ExitCode {
    // A test runner asks which tests there are.
    if std::env::args().any(|arg| arg == "--list") {
        println!("kill_9_loses_nothing_acknowledged: test");
        return ExitCode::SUCCESS;
    }
    match std::env::var_os(CHILD) {
        Some(directory) => child::run(directory.as_ref()),
        None => parent::run(),
    }
}

/// The address of the nth sender of a round of a kind: feedback 11, counts 12.
fn address(kind: u8, round: u16, n: u32) -> std::net::IpAddr {
    // An IPv6 /48 for each round, a /64 for each sender.
    let high = u128::from(kind) << 112 | u128::from(round) << 80 | u128::from(n & 0xffff) << 64;
    std::net::Ipv6Addr::from_bits(0x2000_0000_0000_0000_0000_0000_0000_0000 | high | 1).into()
}

/// Feedback about a sender.
const HEARD: u8 = 11;
/// A message of a sender.
const COUNTED: u8 = 12;
