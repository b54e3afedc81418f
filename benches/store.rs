//! The state on the disk, at a million senders: how long reading it takes and how large it is, what a decision
//! takes with and without a store behind it and during an export, and what is written for each message.
//!
//! Prints a table of single measurements, and `decide` as any other benchmark, with a store that writes each second
//! and without one. The directory is a temporary one: set TMPDIR to the disk in question. One state serves all of it,
//! since making it takes the longest.

#![allow(clippy::expect_used, reason = "a benchmark without a disk to write has nothing to measure")]

mod support;

use criterion::{Criterion, Throughput};
use policy_core::verdict::Action;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::desk::{Asking, Desk};
use support::server::{self, BEGIN, MEMORY, Server};
use support::traffic::{Spread, Traffic};
use tempfail::Clock;
use tempfail::store::{self, Store};

/// How soon it shall serve again.
const AIM: Duration = Duration::from_secs(2);
/// How often it is read: the first time may find less of it in memory.
const RECOVERIES: usize = 3;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let count = support::senders(1_000_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let began = Instant::now();
    let (server, store) = knowing(dir.path(), count);
    told("made", format!("{} senders in {:.1?}", support::in_words(count), began.elapsed()));
    let began = Instant::now();
    runtime.block_on(store.flush()).expect("a disk to write");
    told("what was left is written", format!("{:.2?}", began.elapsed()));
    decisions(&mut criterion, "with a store", &server, count);
    amplification(&server, &runtime, &store, count);
    while_exporting(&server, &store, count);
    runtime.block_on(store.close());
    decisions(&mut criterion, "without", &server, count);
    drop(server);
    told("on the disk", format!("{} MiB", size(dir.path()) >> 20));
    (0..RECOVERIES).for_each(|_| recovery(&runtime, dir.path()));
    criterion.final_summary();
}

/// A server with a store behind it that has had mail of `count` senders.
fn knowing(directory: &Path, count: u64) -> (Server, Store) {
    let (state, store) = open(directory);
    let server = Server::over(state, server::wide());
    server::in_no_order(count).into_iter().for_each(|n| server.meet(n));
    (server, store)
}

fn open(directory: &Path) -> (std::sync::Arc<policy_core::State>, Store) {
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

fn recovery(runtime: &tokio::runtime::Runtime, directory: &Path) {
    let began = Instant::now();
    let (state, store) = open(directory);
    let took = began.elapsed();
    let held: usize = state.usage().tables.iter().map(|table| table.entries).sum();
    let met = if took < AIM { "met" } else { "missed" };
    told("read again", format!("{took:.2?} for {held} entries; aim: under {AIM:?}, {met}"));
    runtime.block_on(store.close());
}

/// How long single decisions take, with nothing beside them and while another thread exports everything.
fn while_exporting(server: &Server, store: &Store, count: u64) {
    let mut desk = Desk::new(server, Asking::Known(Traffic::new(count, Spread::Zipf, 9)), 2);
    let alone: Vec<Duration> = (0..support::senders(200_000)).map(|_| desk.time_decisions(1)).collect();
    told("decisions alone", quantiles(alone));
    let (ended, mut beside) = (AtomicBool::new(false), Vec::new());
    let (lines, took) = std::thread::scope(|scope| {
        let export = scope.spawn(|| {
            let began = Instant::now();
            let lines = store::export_running(&server.state, store, BEGIN, &mut std::io::sink());
            ended.store(true, Ordering::Relaxed);
            (lines.expect("a sink takes all"), began.elapsed())
        });
        while !ended.load(Ordering::Relaxed) {
            beside.push(desk.time_decisions(1));
        }
        export.join().expect("an export")
    });
    told("exported", format!("{lines} entries in {took:.1?}"));
    told("decisions meanwhile", quantiles(beside));
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    let most = times.last().copied().unwrap_or_default();
    format!(
        "{:.1?} at the median, {:.1?} at 99 %, {:.1?} at 99.9 %, at most {most:.1?}",
        at(0.5),
        at(0.99),
        at(0.999)
    )
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
