//! Threads that decide at the same time, out of one state of 100,000 known senders.
//!
//! A round is 2,048 decisions of each thread, begun together; its time is from the first one's beginning to
//! the last one's end. What is printed at the end is taken from rounds of one, two and four threads in turn,
//! so that whatever else the machine does falls on all of them alike; criterion's own figures come from one
//! number of threads after the other.
//!
//! Known limit: with fewer free cores than threads the ratio says how busy the machine is, and no more.

mod support;

use criterion::{BenchmarkId, Criterion, Throughput};
use policy_core::verdict::Action;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use support::desk::{Asking, Desk};
use support::server::{self, Server};
use support::traffic::{Spread, Traffic};

/// Decisions of one thread in one round.
const DECISIONS: u64 = 2048;
/// Numbers of threads.
const THREADS: [usize; 3] = [1, 2, 4];
/// Turns of rounds with each number of threads, for the ratios.
const TURNS: usize = 101;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let count = support::senders(100_000);
    let server = Server::knowing(count, server::wide());
    for spread in [Spread::Uniform, Spread::Zipf] {
        let mut desks = desks(&server, count, spread);
        measure(&mut criterion, spread, &mut desks);
        if support::measuring() {
            ratios(spread, &mut desks);
        }
        desks.iter().for_each(|desk| desk.expect(Action::Accept));
    }
    criterion.final_summary();
}

/// A desk for each thread of the largest number.
fn desks(server: &Server, count: u64, spread: Spread) -> Vec<Desk<'_>> {
    let traffic = |number| Traffic::new(count, spread, 7 + number);
    (0..4).map(|number| Desk::new(server, Asking::Known(traffic(number)), number)).collect()
}

fn measure(criterion: &mut Criterion, spread: Spread, desks: &mut [Desk<'_>]) {
    let mut group = criterion.benchmark_group(format!("contention/{spread}"));
    group.throughput(Throughput::Elements(1));
    for threads in THREADS {
        group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
            bencher.iter_custom(|count| {
                let rounds = count.div_ceil(DECISIONS * threads as u64);
                let spent: Duration = (0..rounds).map(|_| round(&mut desks[..threads])).sum();
                let decisions = rounds * DECISIONS * threads as u64;
                spent.mul_f64(count as f64 / decisions as f64)
            });
        });
    }
    group.finish();
}

/// How long one round takes, all desks together.
fn round(desks: &mut [Desk<'_>]) -> Duration {
    let barrier = Barrier::new(desks.len());
    let gate = || {
        barrier.wait();
    };
    let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let enter = |desk| scope.spawn(move || Desk::round(desk, DECISIONS, gate));
        let threads: Vec<_> = desks.iter_mut().map(enter).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    assert_eq!(times.len(), desks.len(), "a thread has panicked");
    let begun = times.iter().map(|(begun, _)| *begun).min();
    let ended = times.iter().map(|(_, ended)| *ended).max();
    begun.zip(ended).map_or(Duration::ZERO, |(begun, ended)| ended.duration_since(begun))
}

/// Prints what several threads get done in the time of one.
fn ratios(spread: Spread, desks: &mut [Desk<'_>]) {
    let mut rates = THREADS.map(|_| Vec::new());
    for _ in 0..TURNS {
        for (threads, rates) in THREADS.into_iter().zip(&mut rates) {
            let decisions = (DECISIONS * threads as u64) as f64;
            rates.push(decisions / round(&mut desks[..threads]).as_secs_f64());
        }
    }
    let medians = rates.map(median);
    for (threads, rate) in THREADS.into_iter().zip(medians) {
        let ratio = rate / medians[0];
        println!("contention/{spread}: {threads} threads decide {rate:.0} a second, {ratio:.2} times one");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
