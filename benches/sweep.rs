//! How long a sweep holds locks: one segment of the state at a time, at a million senders.
//!
//! A segment is two shards, each locked on its own, so no shard is held for longer than what is shown.

mod support;

use criterion::{Criterion, Throughput};
use support::server::{self, BEGIN, Server};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let count = support::senders(1_000_000);
    let server = Server::knowing(count, server::wide());
    let mut group = criterion.benchmark_group("sweep");
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("segment/{}", support::in_words(count)), |bencher| {
        bencher.iter(|| server.state.sweep(1, BEGIN));
    });
    group.finish();
    criterion.final_summary();
}
