//! The resolver against a server that answers, fails, lies and keeps silent.
#![allow(clippy::unwrap_used, clippy::expect_used)] // assertions, in helpers too

mod support;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::{RData, Record, rdata};
use policy_core::facts::SessionId;
use signals::dns::{Client, Dns, Failure, Found, Mx};
use signals::resolver::{BreakerOptions, Resolver, ResolverOptions};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use support::*;
use tokio::net::UdpSocket;
use tokio::time::timeout;

fn records<T: Clone>(answer: Result<Found<T>, Failure>) -> Vec<T> {
    answer.unwrap().records.to_vec()
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[tokio::test]
async fn records_of_every_type() {
    let server = TestServer::start(|asked| {
        let of = asked.name.to_ascii();
        match of.as_str() {
            "a.example." => addresses(&asked.name, &["192.0.2.1", "192.0.2.2"]),
            "aaaa.example." => addresses(&asked.name, &["2001:db8::1"]),
            "mx.example." => Say::Records(vec![mx(&of, 20, "b.example"), mx(&of, 10, "a.example")]),
            "txt.example." => Say::Records(vec![text(&of, &[b"v=spf1 ", b"-all"]), text(&of, &[b"\xff\0"])]),
            "5.2.0.192.in-addr.arpa." => Say::Records(vec![pointer(&asked.name, "Mail.Example")]),
            _ => no_name(),
        }
    })
    .await;
    let dns = server.resolver();
    assert_eq!(records(dns.a(&name("A.Example")).await), [v4("192.0.2.1"), v4("192.0.2.2")]);
    assert_eq!(records(dns.aaaa(&name("aaaa.example")).await)[0].to_string(), "2001:db8::1");
    let exchanges = records(dns.mx(&name("mx.example")).await);
    assert_eq!(exchanges[0], Mx { preference: 10, exchange: name("a.example") });
    assert_eq!(exchanges[1].preference, 20);
    let texts = records(dns.txt(&name("txt.example")).await);
    assert_eq!(texts.iter().map(|text| &**text).collect::<Vec<_>>(), [&b"v=spf1 -all"[..], b"\xff\0"]);
    for address in ["192.0.2.5", "::ffff:192.0.2.5"] {
        let names = records(dns.ptr(address.parse().unwrap()).await);
        assert_eq!(names, [name("mail.example")]);
    }
    let health = dns.health();
    assert_eq!((health.questions, health.sent, health.hits, health.kept), (6, 5, 1, 5));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let server = TestServer::start(|asked| match asked.name.to_ascii().as_str() {
        "none.example." => no_name(),
        "empty.example." => no_data(),
        "refused.example." => Say::Code(ResponseCode::Refused),
        "silent.example." => Say::Nothing,
        "bare.example." => Say::Bare(ResponseCode::NXDomain),
        _ => Say::Code(ResponseCode::ServFail),
    })
    .await;
    let dns = server.resolver();
    let hurried = Resolver::new(server.hurried()).unwrap();
    assert_eq!(hurried.a(&name("silent.example")).await, Err(Failure::TimedOut));
    for (host, failure) in [
        ("none.example", Failure::NoName),
        ("bare.example", Failure::NoName),
        ("empty.example", Failure::NoData),
        ("refused.example", Failure::ServerFailed),
        ("broken.example", Failure::ServerFailed),
    ] {
        assert_eq!(dns.a(&name(host)).await, Err(failure), "{host}");
    }
    // All of them are kept: nothing is asked again.
    let (asked, before) = (server.count(), dns.health());
    for host in ["none", "bare", "empty", "refused", "broken"] {
        assert!(dns.a(&name(&format!("{host}.example"))).await.is_err());
    }
    assert_eq!(hurried.a(&name("silent.example")).await, Err(Failure::TimedOut));
    assert_eq!((server.count(), dns.health().hits), (asked, before.hits + 5));
    assert_eq!((before.server_failed, hurried.health().timed_out, hurried.health().hits), (2, 1, 1));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_no_answer() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let closed = socket.local_addr().unwrap();
    drop(socket);
    let dns = Resolver::new(hurried(closed)).unwrap();
    assert_eq!(dns.a(&name("a.example")).await, Err(Failure::TimedOut));
}

#[tokio::test]
async fn aliases_are_followed_whether_the_server_does_or_not() {
    let server = TestServer::start(|asked| match asked.name.to_ascii().as_str() {
        "one.example." => Say::Records(vec![alias("one.example", "two.example")]),
        "two.example." => Say::Records(vec![alias("two.example", "end.example")]),
        "end.example." => addresses(&asked.name, &["192.0.2.7"]),
        "whole.example." => Say::Records(vec![
            alias("whole.example", "End.example"),
            address("end.example", "192.0.2.8"),
            address("other.example", "192.0.2.66"),
        ]),
        "circle.example." => Say::Records(vec![alias("circle.example", "circle.example")]),
        "dangling.example." => Say::Records(vec![alias("dangling.example", "none.example")]),
        "liar.example." => Say::Records(vec![address("victim.example", "192.0.2.66")]),
        _ => no_name(),
    })
    .await;
    let dns = server.resolver();
    assert_eq!(records(dns.a(&name("one.example")).await), [v4("192.0.2.7")]);
    assert_eq!(records(dns.a(&name("whole.example")).await), [v4("192.0.2.8")]);
    assert_eq!(dns.a(&name("dangling.example")).await, Err(Failure::NoName));
    assert!(dns.a(&name("circle.example")).await.is_err());
    assert!(dns.a(&name("liar.example")).await.is_err(), "a record of another name is no answer");
    assert_eq!(dns.a(&name("victim.example")).await, Err(Failure::NoName), "and is not kept for that name");
}

#[tokio::test]
async fn what_does_not_fit_comes_over_tcp() {
    let long = vec![b'x'; 255];
    let server = TestServer::start(move |asked| {
        let parts: Vec<&[u8]> = vec![&long; 200];
        Say::Truncated(vec![text(&asked.name.to_ascii(), &parts)])
    })
    .await;
    let dns = server.resolver();
    let texts = records(dns.txt(&name("long.example")).await);
    assert_eq!(texts[0].len(), 51_000);
    let asked = server.asked();
    assert!(!asked[0].tcp && asked[1].tcp);
}

#[tokio::test]
async fn equal_questions_at_the_same_time_are_one() {
    let server = TestServer::start(|asked| addresses(&asked.name, &["192.0.2.1"])).await;
    let dns = server.resolver();
    server.hold(true);
    let questions: Vec<_> = (0..100)
        .map(|n| {
            let dns = dns.clone();
            let host = name(if n % 2 == 0 { "same.example" } else { "SAME.example" });
            tokio::spawn(async move { dns.a(&host).await })
        })
        .collect();
    server.has_been_asked(1).await;
    while dns.health().questions < 100 {
        tokio::task::yield_now().await;
    }
    server.hold(false);
    for question in questions {
        assert_eq!(records(question.await.unwrap()), [v4("192.0.2.1")]);
    }
    let health = dns.health();
    assert_eq!((health.sent, health.merged + health.hits, health.under_way), (1, 99, 0));
}

#[tokio::test]
async fn failures_are_merged_too() {
    let server = TestServer::start(|_| Say::Code(ResponseCode::ServFail)).await;
    let dns = server.resolver();
    server.hold(true);
    let questions: Vec<_> = (0..20)
        .map(|_| {
            let dns = dns.clone();
            tokio::spawn(async move { dns.txt(&name("broken.example")).await })
        })
        .collect();
    while dns.health().questions < 20 {
        tokio::task::yield_now().await;
    }
    server.hold(false);
    for question in questions {
        assert_eq!(question.await.unwrap(), Err(Failure::ServerFailed));
    }
    assert_eq!(dns.health().sent, 1);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_kept_all_the_same() {
    let server = TestServer::start(|asked| addresses(&asked.name, &["192.0.2.1"])).await;
    let dns = server.resolver();
    server.hold(true);
    let given_up = timeout(Duration::from_millis(20), dns.a(&name("slow.example"))).await;
    assert!(given_up.is_err());
    server.hold(false);
    while dns.health().kept == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(records(dns.a(&name("slow.example")).await), [v4("192.0.2.1")]);
    assert_eq!(dns.health().sent, 1);
}

#[tokio::test]
async fn time_to_live_is_honoured_within_bounds_and_the_age_is_told() {
    let server = TestServer::start(|asked| match asked.name.to_ascii().as_str() {
        "none.example." => no_name(),
        _ => addresses(&asked.name, &["192.0.2.1"]),
    })
    .await;
    let options = server.options();
    let bounded = ResolverOptions { ttl: (Duration::ZERO, Duration::from_secs(40)), ..options.clone() };
    let (dns, bounded) = (Resolver::new(options).unwrap(), Resolver::new(bounded).unwrap());
    for resolver in [&dns, &bounded] {
        assert!(resolver.a(&name("a.example")).await.unwrap().age < Duration::from_secs(5));
        assert_eq!(resolver.a(&name("none.example")).await, Err(Failure::NoName));
    }
    assert_eq!(server.count(), 4);
    advance(50).await;
    let age = dns.a(&name("a.example")).await.unwrap().age.as_secs();
    assert!((50..60).contains(&age), "{age}");
    assert_eq!(dns.a(&name("none.example")).await, Err(Failure::NoName));
    assert_eq!(server.count(), 4, "kept for the 300 s and the 60 s of the server");
    assert!(bounded.a(&name("a.example")).await.unwrap().age < Duration::from_secs(5));
    assert_eq!(server.count(), 5, "kept for 40 s at most");
    advance(20).await;
    assert_eq!(dns.a(&name("none.example")).await, Err(Failure::NoName));
    assert_eq!(server.count(), 6);
}

/// The clock jumps while nothing is under way.
async fn advance(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn private_names_leave_the_machine_only_for_servers_that_know_them() {
    let server = TestServer::start(|asked| addresses(&asked.name, &["192.0.2.1"])).await;
    let public = ResolverOptions { private_zones: false, ..server.options() };
    let dns = Resolver::new(public).unwrap();
    for host in ["localhost", "nas.local", "db.internal", "x.invalid", "nas.home.arpa"] {
        assert_eq!(dns.a(&name(host)).await, Err(Failure::NoName), "{host}");
    }
    for address in ["10.0.0.1", "127.0.0.1", "192.168.1.1", "fe80::1", "::1"] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(dns.ptr(address).await, Err(Failure::NoName), "{address}");
    }
    assert_eq!((server.count(), dns.health().private), (0, 10));
    assert!(dns.a(&name("mail.test")).await.is_ok() && dns.a(&name("mail.example")).await.is_ok());
    let knowing = server.resolver();
    assert!(knowing.a(&name("db.internal")).await.is_ok());
    assert_eq!(knowing.a(&name("localhost")).await, Err(Failure::NoName));
}

/// A resolver that gives up after eight questions, and so has.
async fn given_up(server: &TestServer, known: Option<&str>, alive: &AtomicBool) -> Resolver {
    let first_probe = Duration::from_millis(50);
    let breaker = BreakerOptions { failures: 8, first_probe, ..BreakerOptions::default() };
    let dns = Resolver::new(ResolverOptions { breaker, retries: 0, ..server.hurried() }).unwrap();
    if let Some(known) = known {
        assert!(dns.a(&name(known)).await.is_ok());
    }
    alive.store(false, Relaxed);
    let questions: Vec<_> = (0..8)
        .map(|n| {
            let dns = dns.clone();
            tokio::spawn(async move { dns.a(&name(&format!("n{n}.example"))).await })
        })
        .collect();
    for question in questions {
        assert!(matches!(question.await.unwrap(), Err(Failure::TimedOut | Failure::ServerFailed)));
    }
    while dns.health().suspended_for.is_none() {
        tokio::task::yield_now().await;
    }
    dns
}

async fn resumed(dns: &Resolver) {
    while dns.health().suspended_for.is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn servers_that_do_not_answer_are_given_up_and_tried_again() {
    let alive = Arc::new(AtomicBool::new(true));
    let is_alive = Arc::clone(&alive);
    let server = TestServer::start(move |asked| {
        if is_alive.load(Relaxed) { addresses(&asked.name, &["192.0.2.1"]) } else { Say::Nothing }
    })
    .await;
    let dns = given_up(&server, Some("known.example"), &alive).await;
    let sent = dns.health().sent;
    for host in ["new.example", "n0.example"] {
        assert_eq!(dns.a(&name(host)).await, Err(Failure::Suspended), "{host}");
    }
    assert_eq!(records(dns.a(&name("known.example")).await), [v4("192.0.2.1")], "still kept");
    assert_eq!(dns.health().sent, sent);
    // A probe asks for the root, and repeats the last question that was answered.
    let before = server.count();
    server.has_been_asked(before + 2).await;
    assert!(server.asked()[before..].iter().any(|asked| asked.is(".")));
    assert!(server.asked()[before..].iter().any(|asked| asked.is("known.example")));
    alive.store(true, Relaxed);
    resumed(&dns).await;
    assert!(dns.a(&name("new.example")).await.is_ok());
    assert_eq!((dns.health().suspensions, dns.health().not_asked), (1, 2));
}

#[tokio::test]
async fn servers_that_were_not_there_at_the_start_are_tried_until_they_are() {
    for knows_the_root in [true, false] {
        let alive = Arc::new(AtomicBool::new(false));
        let is_alive = Arc::clone(&alive);
        let server = TestServer::start(move |asked| match is_alive.load(Relaxed) {
            true if asked.is(".") && knows_the_root => Say::Records(vec![root_server()]),
            true if asked.is(".") => Say::Bare(ResponseCode::Refused),
            true => addresses(&asked.name, &["192.0.2.1"]),
            false => Say::Bare(ResponseCode::ServFail),
        })
        .await;
        let dns = given_up(&server, None, &alive).await;
        alive.store(true, Relaxed);
        resumed(&dns).await;
    }
}

/// The server knows everything but the names of one sender, whose own servers are dead.
#[tokio::test]
async fn nobodys_own_names_suspend_lookups() {
    for root_is_known in [true, false] {
        let server = TestServer::start(move |asked| match asked.name.to_ascii().as_str() {
            "." if root_is_known => Say::Records(vec![root_server()]),
            "." => Say::Bare(ResponseCode::Refused),
            name if name.ends_with(".hole.example.") => Say::Nothing,
            _ => addresses(&asked.name, &["192.0.2.1"]),
        })
        .await;
        let breaker = BreakerOptions { failures: 8, ..BreakerOptions::default() };
        let timeout = Duration::from_millis(500);
        let options = ResolverOptions { breaker, timeout, retries: 0, ..server.hurried() };
        let dns = Resolver::new(options).unwrap();
        assert!(dns.a(&name("known.example")).await.is_ok());
        let questions: Vec<_> = (0..60)
            .map(|n| {
                let dns = dns.clone();
                tokio::spawn(async move { dns.txt(&name(&format!("s._domainkey.d{n}.hole.example"))).await })
            })
            .collect();
        for question in questions {
            assert_eq!(question.await.unwrap(), Err(Failure::TimedOut));
        }
        assert!(dns.a(&name("src.example")).await.is_ok(), "everybody else is asked about");
        assert_eq!((dns.health().suspensions, dns.health().not_asked), (0, 0));
        server.has_been_asked(62).await;
        assert!(server.asked().iter().any(|asked| asked.is(".")), "after eight failures");
    }
}

fn root_server() -> Record {
    record(".", RData::NS(rdata::NS(name("a.root.example"))))
}

#[tokio::test]
async fn names_that_fail_between_others_suspend_nothing() {
    let server = TestServer::start(|asked| {
        if asked.name.to_ascii().starts_with("bad") { Say::Code(ResponseCode::ServFail) } else { no_name() }
    })
    .await;
    let breaker = BreakerOptions { failures: 3, ..BreakerOptions::default() };
    let dns = Resolver::new(ResolverOptions { breaker, ..server.options() }).unwrap();
    for n in 0..10 {
        assert_eq!(dns.a(&name(&format!("bad{n}.example"))).await, Err(Failure::ServerFailed));
        assert_eq!(dns.a(&name(&format!("bad{n}b.example"))).await, Err(Failure::ServerFailed));
        assert_eq!(dns.a(&name(&format!("good{n}.example"))).await, Err(Failure::NoName));
    }
}

#[tokio::test]
async fn what_waits_too_long_a_line_is_not_asked() {
    let server = TestServer::start(|asked| addresses(&asked.name, &["192.0.2.1"])).await;
    let options = ResolverOptions { concurrent: 1, waiting: 9, cache: 100, ..server.options() };
    let dns = Resolver::new(options).unwrap();
    server.hold(true);
    let questions: Vec<_> = (0..4)
        .map(|n| {
            let dns = dns.clone();
            tokio::spawn(async move { dns.a(&name(&format!("n{n}.example"))).await })
        })
        .collect();
    while dns.health().questions < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(dns.a(&name("n4.example")).await, Err(Failure::Suspended));
    server.hold(false);
    for question in questions {
        assert!(question.await.unwrap().is_ok());
    }
    assert!(dns.a(&name("n4.example")).await.is_ok());
}

fn client(address: [u8; 4], session: u16, trusted: bool) -> Client {
    let address = IpAddr::from(address);
    Client { address, session: SessionId::Tcp((address, session).into()), trusted }
}

/// A resolver that is asked for a thousand dead names because of these clients, and never gives up.
async fn asked_for_dead_names(of: impl Fn(u16) -> Client) -> (TestServer, Resolver) {
    let server = TestServer::start(|asked| match asked.name.to_ascii() {
        name if name.starts_with("dead") => Say::Nothing,
        _ => addresses(&asked.name, &["192.0.2.1"]),
    })
    .await;
    let dns = Resolver::new(ResolverOptions { timeout: 30 * DEADLINE, ..server.options() }).unwrap();
    for n in 0..1000 {
        let dns = dns.on_behalf_of(of(n));
        tokio::spawn(async move { dns.a(&name(&format!("dead{n}.example"))).await });
    }
    while dns.health().questions < 1000 {
        tokio::task::yield_now().await;
    }
    (server, dns)
}

#[tokio::test]
async fn names_that_nobody_answers_for_cost_the_network_that_asks_for_them() {
    let (_server, dns) = asked_for_dead_names(|n| client([198, 51, 100, n as u8], n, false)).await;
    assert_eq!((dns.health().under_way, dns.health().waiting), (22, 978));
    for n in 0..1000 {
        let other = dns.on_behalf_of(client([203, 0, 113, n as u8], n, false));
        assert!(other.a(&name(&format!("n{n}.example"))).await.is_ok());
    }
}

#[tokio::test]
async fn a_stranger_waits_for_a_third_of_the_time_that_dead_names_of_everywhere_take() {
    let server = TestServer::start(|asked| match asked.name.to_ascii() {
        name if name.starts_with("dead") => Say::Nothing,
        _ => addresses(&asked.name, &["192.0.2.1"]),
    })
    .await;
    let time = Duration::from_secs(6);
    let dns = Resolver::new(ResolverOptions { timeout: time, ..server.options() }).unwrap();
    for n in 0..150 {
        let dns = dns.on_behalf_of(client([198, 51, n as u8, 1], n, false));
        tokio::spawn(async move { dns.a(&name(&format!("dead{n}.example"))).await });
    }
    while dns.health().waiting < 54 {
        tokio::task::yield_now().await;
    }
    let other = dns.on_behalf_of(client([203, 0, 113, 1], 25, false));
    assert!(timeout(time - DEADLINE / 10, other.a(&name("n.example"))).await.expect("in time").is_ok());
}

#[tokio::test]
async fn strangers_from_everywhere_leave_turns_to_whom_something_good_is_known_of() {
    let (_server, dns) = asked_for_dead_names(|n| client([198, n as u8, (n >> 8) as u8, 1], n, false)).await;
    assert_eq!(dns.health().under_way, 96);
    for n in 0..1000 {
        let known = dns.on_behalf_of(client([203, 0, 113, n as u8], n, true));
        assert!(known.a(&name(&format!("n{n}.example"))).await.is_ok());
    }
}
