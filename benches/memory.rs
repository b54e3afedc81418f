//! What a sender takes up, with all its identities: by the state's own account, and by the kernel's.
//!
//! A million senders, eight to a /24, each with an address, a confirmed reverse name and a domain of its own;
//! see `support::senders`. Each is met once as a stranger and once more when it is known, so it has records
//! in the ledger and levels on its meters. The last line is the same after a sweep a day later, when the
//! meters are empty: known senders that are not sending just now.
//!
//! Tables double as they grow, so what a sender takes depends on where between two doublings a table stands:
//! hence several numbers of senders. Prints a table; nothing is timed.

mod support;

use policy_core::MemoryShare;
use std::time::Duration;
use support::server::{self, BEGIN, Server};

/// Octets that a sender shall take at most.
const AIM: f64 = 512.0;

fn main() {
    let most = support::senders(1_000_000);
    let order = server::in_no_order(most);
    let server = Server::new(server::shipped());
    let before = resident();
    println!(
        "{:>9} {:>10} {:>10} {:>12} {:>12}",
        "senders", "identities", "meters", "octets each", "resident"
    );
    let mut met = 0;
    for count in [most / 8, most / 4, most / 2, most * 3 / 4, most] {
        order[met as usize..count as usize].iter().for_each(|&n| server.meet(n));
        met = count;
        line(&server, count, before);
    }
    let tomorrow = BEGIN.after(Duration::from_secs(86_400));
    server.state.sweep(server.state.segments(), tomorrow);
    let each = line(&server, most, before);
    if support::measuring() {
        println!("aim: under {AIM} octets a sender; {}", if each < AIM { "met" } else { "missed" });
    }
}

/// Prints how much `count` senders take, and returns the larger account of one.
fn line(server: &Server, count: u64, before: usize) -> f64 {
    let usage = server.state.usage();
    let entries = |name| entries(&usage.tables, name);
    let each = |bytes: usize| bytes as f64 / count as f64;
    let (held, resident) = (each(usage.bytes()), each(resident().saturating_sub(before)));
    let (identities, meters) = (entries("identities"), entries("allowances"));
    println!("{count:>9} {identities:>10} {meters:>10} {held:>12.0} {resident:>12.0}");
    held.max(resident)
}

fn entries(tables: &[MemoryShare], name: &str) -> usize {
    tables.iter().find(|share| share.table == name).map_or(0, |share| share.entries)
}

/// Octets of this process in memory (proc(5), `/proc/pid/statm`); zero where the kernel does not say.
fn resident() -> usize {
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * PAGE
}
