//! One decision, from facts to verdict: of known senders, and of those that are deferred.
//!
//! What is timed is [`policy_core::decide`] at RCPT alone, the first question of a session and transaction of
//! its own: the session is entered, each of the five to eight identities is read, address and domain are
//! debited. Time passes between questions, and 4,096 sessions are open at any time.
//!
//! `report` is what follows a message that was let in, `session` all of it together.
//!
//! Known limit: questions are built outside of the timed stretch, 512 at once, so they come out of the cache.

mod support;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use policy_core::verdict::Action;
use std::cell::OnceCell;
use std::time::Duration;
use support::desk::{Asking, Desk, Question};
use support::server::{self, Server};
use support::traffic::{Spread, Traffic};

const SPREADS: [Spread; 2] = [Spread::Uniform, Spread::Zipf];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let sizes = [1_000, 100_000, 1_000_000].map(support::senders);
    for (size, count) in [1_000, 100_000, 1_000_000].into_iter().zip(sizes) {
        let known = OnceCell::new();
        let known = || known.get_or_init(|| Server::knowing(count, server::wide()));
        decisions(&mut criterion, size, count, known);
        if size == 1_000_000 {
            reports(&mut criterion, count, known);
        }
    }
    deferrals(&mut criterion);
    criterion.final_summary();
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group
}

fn known(spread: Spread, count: u64) -> Asking {
    Asking::Known(Traffic::new(count, spread, 7))
}

/// Known senders that are let in.
fn decisions<'s>(criterion: &mut Criterion, size: u64, count: u64, server: impl Fn() -> &'s Server) {
    let mut group = group(criterion, "decide");
    for spread in SPREADS {
        group.bench_function(BenchmarkId::new(spread.to_string(), support::in_words(size)), |bencher| {
            let mut desk = Desk::new(server(), known(spread, count), 0);
            bencher.iter_custom(|count| desk.time_decisions(count));
            desk.expect(Action::Accept);
        });
    }
    group.finish();
}

/// What follows: the message has arrived, the client has left.
fn reports<'s>(criterion: &mut Criterion, count: u64, server: impl Fn() -> &'s Server) {
    let decide = |server: &Server, (facts, now): &Question| drop(server.decide(facts, *now));
    let received = |server: &Server, (facts, now): &Question| server.received(facts, *now);
    let close = |server: &Server, (facts, now): &Question| server.close(facts.session, *now);
    let mut group = group(criterion, "report");
    let mut bench = |name: &str, time: &dyn Fn(&mut Desk<'_>, u64) -> Duration| {
        group.bench_function(name, |bencher| {
            let mut desk = Desk::new(server(), known(Spread::Uniform, count), 0);
            bencher.iter_custom(|count| time(&mut desk, count));
        });
    };
    bench("decide again", &|desk, count| desk.time(count, decide, decide, |_, ()| ()));
    bench("message received", &|desk, count| desk.time(count, decide, received, |_, ()| ()));
    let arrived = |server: &Server, question: &Question| {
        decide(server, question);
        received(server, question);
    };
    bench("session closed", &|desk, count| desk.time(count, arrived, close, |_, ()| ()));
    let whole = |server: &Server, question: &Question| {
        arrived(server, question);
        close(server, question);
    };
    bench("whole session", &|desk, count| desk.time(count, |_, _| (), whole, |_, ()| ()));
    group.finish();
}

/// Senders that are deferred: by a limit, as strangers, and when they come back too early.
fn deferrals(criterion: &mut Criterion) {
    let count = support::senders(100_000);
    let limited = OnceCell::new();
    let limited = || limited.get_or_init(|| Server::knowing(count, server::narrow()));
    let mut group = group(criterion, "defer");
    for spread in SPREADS {
        group.bench_function(BenchmarkId::new("over a limit", spread), |bencher| {
            let mut desk = Desk::new(limited(), known(spread, count), 0);
            bencher.iter_custom(|count| desk.time_decisions(count));
            desk.expect(Action::Defer);
        });
    }
    group.bench_function("strangers", |bencher| {
        let server = Server::new(server::wary());
        let mut desk = Desk::new(&server, Asking::Strangers, 0);
        bencher.iter_custom(|count| desk.time_decisions(count));
        desk.expect(Action::Defer);
    });
    group.finish();
}
