//! What it costs to know a client whose answers are in the cache, and what it costs when no server answers.
#![allow(missing_docs, reason = "criterion's macros make the public items")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot measure has nothing to say"
)]

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/support_message/mod.rs"]
mod support_message;
#[path = "../tests/gather/world.rs"]
mod world;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hickory_server::proto::rr::RecordType;
use policy_core::findings::{Listing, Spf};
use signals::gather::{Options, Signals};
use signals::lists::{Lists, Target, WatchOptions, presets};
use signals::resolver::Resolver;
use signals::spf::{self, SpfResult};
use std::hint::black_box;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::*;
use tokio::runtime::Runtime;
use world::{GOOD, good, patient, world};

const LISTS: [&str; 3] = ["bl.example", "second.example", "third.example"];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A record as companies have it: two providers' ranges, the mail exchangers, and some addresses.
fn busy(asked: &Asked) -> Say {
    let of = asked.name.to_ascii().to_ascii_lowercase();
    let record = match of.as_str() {
        "company.example." => {
            "v=spf1 ip4:198.51.100.0/24 mx include:_spf.one.example include:_spf.two.example ~all"
        }
        "_spf.one.example." => "v=spf1 ip4:203.0.113.0/25 ip4:203.0.113.128/26 ip6:2001:db8::/32 ~all",
        "_spf.two.example." => "v=spf1 ip4:198.18.0.0/15 ip4:192.0.2.0/24 ~all",
        _ => "",
    };
    let is_point = LISTS.iter().any(|list| asked.is(&format!("2.0.0.127.{list}")));
    match asked.kind {
        RecordType::TXT if !record.is_empty() => Say::Records(vec![text(&of, &[record.as_bytes()])]),
        RecordType::MX if of == "company.example." => Say::Records(vec![mx(&of, 10, "mta.dest.example")]),
        RecordType::A if is_point => addresses(&asked.name, &["127.0.0.2"]),
        _ => world(asked),
    }
}

fn three_lists() -> Options {
    Options { lists: LISTS.map(presets::generic).to_vec(), ..patient() }
}

async fn signals(server: &TestServer, options: Options) -> Signals<Resolver> {
    let signals = Signals::start(server.resolver(), None, options).unwrap();
    signals.tested().await;
    signals
}

fn gather(c: &mut Criterion) {
    let runtime = runtime();
    let server = runtime.block_on(TestServer::start(busy));
    let signals = runtime.block_on(signals(&server, three_lists()));
    let known = || async {
        let mut facts = good(1);
        signals.gather(&mut facts).await;
        facts
    };
    let facts = runtime.block_on(known());
    assert_eq!((facts.findings.spf, facts.findings.listing), (Spf::Pass, Listing::NotListed));
    let mut group = c.benchmark_group("gather");
    group.bench_function("second question of a session", |b| b.to_async(&runtime).iter(known));
    let (port, client) = (AtomicU16::new(2), AtomicU32::new(0));
    group.bench_function("first question, answers cached", |b| {
        let new = || {
            let mut facts = good(port.fetch_add(1, Relaxed));
            // Ports come again; the name greeted with tells those sessions apart, and is no name to ask for.
            facts.client.helo = Some(format!("[192.0.2.7]{}", client.fetch_add(1, Relaxed)).into());
            facts
        };
        let ask = |mut facts| async {
            signals.gather(&mut facts).await;
            facts
        };
        b.to_async(&runtime).iter_batched(new, ask, BatchSize::SmallInput);
    });
    group.finish();
}

fn parts(c: &mut Criterion) {
    let runtime = runtime();
    let server = runtime.block_on(TestServer::start(busy));
    let (dns, client) = (server_resolver(&runtime, &server), GOOD.parse().unwrap());
    let sender = policy_core::name::Sender::new("ann@company.example");
    let check = || spf::check(&dns, client, "mail.src.example", sender.as_ref());
    let outcome = runtime.block_on(check());
    assert_eq!((outcome.result, outcome.lookups), (SpfResult::Pass, 3));
    let mut group = c.benchmark_group("from cache");
    group.bench_function("SPF, three lookups", |b| {
        b.to_async(&runtime).iter(|| async { black_box(check().await) })
    });
    let lists = runtime.block_on(async {
        let lists = Lists::start(dns.clone(), three_lists().lists, WatchOptions::default()).unwrap();
        lists.tested().await;
        lists
    });
    let targets = [Target::Client(client)];
    let look_up = || lists.look_up(&targets, DEADLINE);
    assert_eq!(runtime.block_on(look_up()).clear, 3);
    group.bench_function("three lists", |b| {
        b.to_async(&runtime).iter(|| async { black_box(look_up().await) })
    });
    group.finish();
}

fn server_resolver(runtime: &Runtime, server: &TestServer) -> Resolver {
    let _inside = runtime.enter();
    server.resolver()
}

/// Every server silent: what a session that is known waits, and what a new one does.
fn silence(_: &mut Criterion) {
    let runtime = runtime();
    runtime.block_on(async {
        let server = TestServer::start(|_| Say::Nothing).await;
        let options = Options { lists: Vec::new(), within: Duration::from_secs(2), ..patient() };
        let resolver = signals::resolver::ResolverOptions::named([server.address]);
        let signals = Signals::start(Resolver::new(resolver).unwrap(), None, options).unwrap();
        let took = |port: u16| {
            let signals = signals.clone();
            async move {
                let (mut facts, begun) = (good(port), Instant::now());
                signals.gather(&mut facts).await;
                begun.elapsed()
            }
        };
        println!("silence/a new session, the first of all: {:?}", took(1).await);
        for port in 2..=50 {
            took(port).await;
        }
        let mut known = Vec::new();
        for n in 0..2000u16 {
            known.push(took(1 + n % 50).await);
        }
        known.sort_unstable();
        println!(
            "silence/2000 questions of known sessions: median {:?}, 99th percentile {:?}",
            known[1000], known[1980]
        );
    });
}

criterion_group!(benches, gather, parts, silence);
criterion_main!(benches);
