//! What is known when the DNS fails: less, never worse, and in time.

use crate::support::*;
use crate::support_message::{PLAIN, signed};
use crate::world::*;
use hickory_server::proto::op::ResponseCode;
use policy_core::facts::{Facts, VerifiedBy};
use policy_core::findings::{Dkim, Dmarc, HeloAddress, Listing, Spf};
use signals::gather::Signals;
use signals::resolver::{BreakerOptions, Resolver, ResolverOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What a test may take beyond a deadline on a machine that has much else to do.
const SLACK: Duration = Duration::from_secs(2);

fn is_test_point(asked: &Asked) -> bool {
    asked.is("2.0.0.127.bl.example") || asked.is("1.0.0.127.bl.example")
}

/// A world of which nothing is known but that the list is in order.
async fn saying(say: Say) -> TestServer {
    TestServer::start(move |asked| if is_test_point(asked) { world(asked) } else { say.clone() }).await
}

fn assert_nothing_known(facts: &Facts) {
    let findings = &facts.findings;
    assert_eq!((findings.helo, findings.spf), (HeloAddress::Unknown, Spf::Unknown));
    assert_eq!((findings.listing, findings.reverse_name_failed), (Listing::Unknown, true));
    assert_eq!((findings.dkim, findings.dmarc), (Dkim::Unknown, Dmarc::Unknown));
    assert_eq!((verified(facts), &facts.client.name, &facts.client.reverse_name), (vec![], &None, &None));
}

/// Gathers until all is known, with each answer awaited.
async fn until(signals: &Signals<Resolver>, facts: &Facts, known: impl Fn(&Facts) -> bool) -> Facts {
    let again = async {
        loop {
            let mut again = facts.clone();
            signals.gather(&mut again).await;
            if known(&again) {
                return again;
            }
        }
    };
    timeout(DEADLINE, again).await.expect("known in time")
}

#[tokio::test]
async fn that_there_is_nothing_is_an_answer() {
    for say in [no_name(), no_data()] {
        let server = saying(say).await;
        let signals = start(server.options(), patient()).await;
        let mut facts = end(good(1), &signed("src.example", PLAIN));
        signals.gather(&mut facts).await;
        let findings = &facts.findings;
        assert_eq!((findings.helo, findings.spf), (HeloAddress::Nowhere, Spf::None));
        assert_eq!((findings.listing, findings.reverse_name_failed), (Listing::NotListed, false));
        assert_eq!((findings.dkim, findings.dmarc), (Dkim::Fail, Dmarc::None), "a key that is not there");
        assert!(facts.message.verified.is_empty());
    }
}

#[tokio::test]
async fn a_failure_is_none() {
    for say in [Say::Code(ResponseCode::ServFail), Say::Code(ResponseCode::Refused), Say::Nothing] {
        let server = saying(say).await;
        let signals = start(server.hurried(), patient()).await;
        let mut facts = end(good(1), &signed("src.example", PLAIN));
        signals.gather(&mut facts).await;
        assert_nothing_known(&facts);
        assert!(said(&facts, "spf")[0].starts_with("temperror"), "{:?}", facts.findings.notes);
        assert_eq!(said(&facts, "list"), ["192.0.2.7: unknown"]);
    }
}

#[tokio::test]
async fn who_waits_too_long_is_told_what_there_is_and_the_rest_comes_later() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), within(500)).await;
    // The client is known from another session; of the other sender's domain the DNS is slow to tell.
    until(&signals, &good(1), |facts| said(facts, "lookups").is_empty()).await;
    server.hold(true);
    let begun = Instant::now();
    let mut facts = rcpt(GOOD, 2, "mail.src.example", "eve@other.example");
    let question = facts.clone();
    signals.gather(&mut facts).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(500) + SLACK, "{took:?}");
    let findings = &facts.findings;
    assert_eq!((findings.helo, findings.spf), (HeloAddress::Same, Spf::Unknown));
    assert_eq!((findings.listing, verified(&facts)), (Listing::NotListed, vec![]));
    assert_eq!(said(&facts, "lookups"), ["some had no answer in time"]);
    let sent = signals.dns().health().sent;
    server.hold(false);
    let later = until(&signals, &question, |facts| facts.findings.spf != Spf::Unknown).await;
    assert_eq!(verified(&later), [("other.example", VerifiedBy::Spf)]);
    assert_eq!(signals.dns().health().sent, sent, "the answer that came too late is the one that is used");
}

/// A list is given less time than the rest; what it says too late is used as well.
#[tokio::test]
async fn a_slow_list_is_heard_by_a_later_question() {
    let server = TestServer::start(world).await;
    let signals = start(server.options(), within(300)).await;
    server.hold(true);
    let mut facts = rcpt(LISTED, 1, "nowhere.example", "x@src.example");
    let question = facts.clone();
    signals.gather(&mut facts).await;
    assert_nothing_known(&facts);
    server.hold(false);
    let later = until(&signals, &question, |facts| facts.findings.listing != Listing::Unknown).await;
    assert_eq!(later.findings.listing, Listing::Listed);
}

#[tokio::test]
async fn with_the_dns_dead_nobody_waits() {
    let dead = Arc::new(AtomicBool::new(false));
    let is_dead = Arc::clone(&dead);
    let server = TestServer::start(move |asked| match is_dead.load(Relaxed) {
        false => world(asked),
        true => Say::Nothing,
    })
    .await;
    let breaker = BreakerOptions { failures: 3, first_probe: DEADLINE, ..BreakerOptions::default() };
    let options = ResolverOptions { breaker, ..server.hurried() };
    let signals = start(options, within(5000)).await;
    dead.store(true, Relaxed);
    signals.gather(&mut good(1)).await;
    let suspended = async {
        while signals.dns().health().suspended_for.is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, suspended).await.expect("the breaker opens");
    let begun = Instant::now();
    for port in 100..120 {
        let mut facts = end(good(port), &signed("src.example", PLAIN));
        signals.gather(&mut facts).await;
        assert_nothing_known(&facts);
    }
    // Twenty times: waiting for even one answer each would take longer.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

/// The figures themselves are the benchmark's; these are many times larger, for a machine with much else to do.
#[tokio::test]
async fn silence_costs_a_known_session_nothing_and_a_new_one_no_more_than_the_budget() {
    let server = saying(Say::Nothing).await;
    let signals = start(server.hurried(), within(1000)).await;
    for port in 1..=50 {
        signals.begin(&good(port));
    }
    let begun = Instant::now();
    signals.gather(&mut good(51)).await;
    assert!(begun.elapsed() < Duration::from_secs(1) + SLACK, "{:?}", begun.elapsed());
    for port in 1..=50 {
        signals.gather(&mut good(port)).await;
    }
    let mut took = Vec::new();
    for n in 0..2000u16 {
        let mut facts = good(1 + n % 50);
        let begun = Instant::now();
        signals.gather(&mut facts).await;
        took.push(begun.elapsed());
        assert_nothing_known(&facts);
    }
    took.sort_unstable();
    assert!(took[1980] < Duration::from_millis(50), "the 99th percentile: {:?}", took[1980]);
}

/// Gathers for clients whose names nobody answers for, and then for one whose everything is in order.
async fn beside_dead_names(trusted: bool, client: impl Fn(u16) -> String) -> Facts {
    let is_dead = |asked: &Asked| asked.name.to_ascii().to_ascii_lowercase().ends_with(".dead.example.");
    let server =
        TestServer::start(move |asked| if is_dead(asked) { Say::Nothing } else { world(asked) }).await;
    // Nobody gives up before the others are through.
    let options = ResolverOptions { timeout: 30 * DEADLINE, ..server.options() };
    let signals = start(options, patient()).await;
    signals.trust(move |address| trusted && address.to_string() == GOOD);
    for n in 0..200 {
        let sender = format!("eve@s{n}.dead.example");
        signals.begin(&rcpt(&client(n), n, &format!("h{n}.dead.example"), &sender));
    }
    while signals.dns().health().waiting < 100 {
        tokio::task::yield_now().await;
    }
    let mut facts = end(good(1), &signed("src.example", PLAIN));
    signals.gather(&mut facts).await;
    assert!(signals.dns().health().waiting >= 100, "the others wait on");
    facts
}

#[tokio::test]
async fn who_has_dead_names_asked_for_keeps_nobody_else_waiting() {
    let of_one_network = beside_dead_names(false, |_| "198.51.100.7".to_owned());
    let from_everywhere = beside_dead_names(true, |n| format!("198.{n}.100.7"));
    for facts in [of_one_network.await, from_everywhere.await] {
        let findings = &facts.findings;
        assert_eq!((findings.helo, findings.spf), (HeloAddress::Same, Spf::Pass));
        assert_eq!((findings.listing, findings.dkim), (Listing::NotListed, Dkim::Pass));
    }
}
