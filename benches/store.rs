//! The state on the disk, at a million senders: how long reading it takes and how large it is, what a decision
//! takes with and without a store behind it, and what is written for each message.
//!
//! Prints a table first, of single measurements; `decide` follows as any other benchmark, with a store that
//! writes each second and without one. The directory is a temporary one: set TMPDIR to the disk in question.

#![allow(clippy::expect_used, reason = "a benchmark without a disk to write has nothing to measure")]

mod support;

use criterion::{Criterion, Throughput};
use policy_core::State;
use policy_core::verdict::Action;
use std::path::Path;
use std::time::{Duration, Instant};
use support::desk::{Asking, Desk};
use support::server::{self, BEGIN, MEMORY, Server};
use support::traffic::{Spread, Traffic};
use tempfail::Clock;
use tempfail::store::{self, Store};

/// How soon it shall serve again.
const AIM: Duration = Duration::from_secs(2);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let count = support::senders(1_000_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let (server, store) = knowing(dir.path(), count);
    let began = Instant::now();
    runtime.block_on(store.flush()).expect("a disk to write");
    told("everything written", format!("{:.2?}", began.elapsed()));
    decisions(&mut criterion, "with a store", &server, count);
    amplification(&server, &runtime, &store, count);
    runtime.block_on(store.close());
    drop(server);
    recovery(dir.path());
    decisions(&mut criterion, "without", &Server::knowing(count, server::wide()), count);
    criterion.final_summary();
}

/// A server with a store behind it that has had mail of `count` senders.
fn knowing(directory: &Path, count: u64) -> (Server, Store) {
    let (state, store) = open(directory);
    let server = Server::over(state, server::wide());
    server::in_no_order(count).into_iter().for_each(|n| server.meet(n));
    (server, store)
}

fn open(directory: &Path) -> (std::sync::Arc<State>, Store) {
    store::open(directory, MEMORY, &Clock::manual(BEGIN).into()).expect("a directory for the state")
}

fn told(what: &str, figure: String) {
    println!("{what:<40} {figure}");
}

/// Octets of a directory on the disk.
fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(of).sum()
}

fn recovery(directory: &Path) {
    told("on the disk", format!("{} MiB", size(directory) >> 20));
    let began = Instant::now();
    let (state, _store) = open(directory);
    let took = began.elapsed();
    let held: usize = state.usage().tables.iter().map(|table| table.entries).sum();
    let met = if took < AIM { "met" } else { "missed" };
    told("read again", format!("{took:.2?} for {held} entries; aim: under {AIM:?}, {met}"));
}

/// Ten messages a second and five hundred, each time for some seconds' worth of writes.
fn amplification(server: &Server, runtime: &tokio::runtime::Runtime, store: &Store, count: u64) {
    for each in [10, 500] {
        let mut desk = Desk::new(server, Asking::Known(Traffic::new(count, Spread::Zipf, 5)), 1);
        let rounds = support::senders(20);
        let (before, began) = (written(), Instant::now());
        for _ in 0..rounds {
            desk.time_decisions(each);
            runtime.block_on(store.flush()).expect("a disk to write");
        }
        let octets = (written() - before) as f64 / (rounds * each) as f64 / 1024.0;
        let took = began.elapsed() / rounds as u32;
        told(&format!("{each} messages a write"), format!("{octets:.1} KiB a message, {took:.1?} a write"));
    }
}

/// Octets that this process has caused to be written (proc(5), `/proc/pid/io`); zero where the kernel does not
/// say.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn decisions(criterion: &mut Criterion, name: &str, server: &Server, count: u64) {
    let mut group = criterion.benchmark_group("store/decide");
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| {
        let mut desk = Desk::new(server, Asking::Known(Traffic::new(count, Spread::Uniform, 7)), 0);
        bencher.iter_custom(|count| desk.time_decisions(count));
        desk.expect(Action::Accept);
    });
    group.finish();
}
