use super::*;
use crate::dns::Found;
use crate::resolver::BreakerOptions;
use crate::scripted::{Scripted, name};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio::time::advance;

const BREAKER: BreakerOptions = BreakerOptions {
    failures: 3,
    within: Duration::from_secs(30),
    first_probe: Duration::from_secs(2),
    longest_wait: Duration::from_secs(60),
};

fn gate() -> Gate {
    let options = WatchOptions { breaker: BREAKER, ..WatchOptions::default() };
    Gate::new("list.example".into(), name("listed.example"), name("unlisted.example"), options)
}

/// A gate that has been tested once, and the task that tests it.
async fn watched(dns: &Scripted) -> (Arc<Gate>, JoinHandle<()>) {
    let (gate, dns) = (Arc::new(gate()), dns.clone());
    let watched = Arc::clone(&gate);
    let task = tokio::spawn(async move { watched.watch(&dns).await });
    gate.tested().await;
    (gate, task)
}

fn in_order() -> Scripted {
    let dns = Scripted::default();
    dns.has("listed.example", &["127.0.0.2"]);
    dns
}

async fn wait(seconds: u64) {
    advance(Duration::from_secs(seconds)).await;
    // The watching task has to come to its turn.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

fn is_asked(gate: &Gate) -> bool {
    matches!(gate.admit(true, Instant::now()), Admission::Ask)
}

fn answer(address: [u8; 4]) -> Answer<Ipv4Addr> {
    Ok(Found { records: [address.into()].into(), age: Duration::ZERO })
}

#[tokio::test(start_paused = true)]
async fn a_list_is_asked_once_its_test_points_are_in_order() {
    assert!(!is_asked(&gate()), "not before");
    let (gate, _task) = watched(&in_order()).await;
    assert_eq!(gate.standing(), Standing::InOrder);
    assert!(is_asked(&gate));
}

#[tokio::test(start_paused = true)]
async fn a_list_of_everything_or_nothing_or_nonsense_is_switched_off() {
    for (listed, unlisted, fault) in [
        (Some("127.0.0.2"), Some("127.0.0.2"), Fault::ListsEverything),
        (None, Some("127.0.0.2"), Fault::ListsEverything),
        (None, None, Fault::ListsNothing),
        (Some("127.255.255.254"), Some("127.255.255.254"), Fault::Refuses([127, 255, 255, 254].into())),
        (Some("192.0.2.80"), Some("192.0.2.80"), Fault::Nonsense([192, 0, 2, 80].into())),
    ] {
        let dns = Scripted::default();
        for (host, address) in [("listed.example", listed), ("unlisted.example", unlisted)] {
            if let Some(address) = address {
                dns.has(host, &[address]);
            }
        }
        let (gate, _task) = watched(&dns).await;
        assert_eq!(gate.standing(), Standing::Faulty(fault));
        assert!(!is_asked(&gate));
    }
}

#[tokio::test(start_paused = true)]
async fn a_faulty_list_is_tested_ever_more_rarely_until_it_is_in_order() {
    let dns = Scripted::default();
    let (gate, _task) = watched(&dns).await;
    assert_eq!(dns.asked().len(), 2);
    for (n, seconds) in [10, 20, 40, 80].into_iter().enumerate() {
        wait(seconds - 1).await;
        assert_eq!(dns.asked().len(), 2 * n + 2);
        wait(1).await;
        assert_eq!(dns.asked().len(), 2 * n + 4, "after {seconds} s");
    }
    dns.has("listed.example", &["127.0.0.2"]);
    wait(160).await;
    assert!(is_asked(&gate));
    // From now on hourly, and from the shortest wait again.
    let asked = dns.asked().len();
    dns.has("unlisted.example", &["127.0.0.2"]);
    wait(3599).await;
    assert!(is_asked(&gate) && dns.asked().len() == asked);
    wait(1).await;
    assert_eq!(gate.standing(), Standing::Faulty(Fault::ListsEverything));
    dns.has("unlisted.example", &[]);
    wait(10).await;
    assert!(is_asked(&gate));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_no_list_gives_switches_it_off_until_a_test() {
    for address in [[192, 0, 2, 80], [127, 255, 255, 255]] {
        let (gate, _task) = watched(&in_order()).await;
        gate.note(&answer([127, 0, 0, 2]), false, Instant::now());
        assert!(is_asked(&gate));
        gate.note(&answer(address), false, Instant::now());
        assert!(matches!(gate.standing(), Standing::Faulty(_)), "{address:?}");
        wait(0).await;
        wait(9).await;
        assert!(!is_asked(&gate));
        wait(1).await;
        assert!(is_asked(&gate));
    }
}

#[tokio::test(start_paused = true)]
async fn unanswered_test_points_leave_a_list_as_it_is() {
    let dns = Scripted::default();
    dns.fails("listed.example", Failure::TimedOut);
    let (gate, _task) = watched(&dns).await;
    assert_eq!(gate.standing(), Standing::Untested);
    dns.has("listed.example", &["127.0.0.2"]);
    wait(10).await;
    assert!(is_asked(&gate));
    dns.fails("unlisted.example", Failure::ServerFailed);
    wait(3600).await;
    assert!(is_asked(&gate));
}

#[tokio::test(start_paused = true)]
async fn a_silent_list_is_tried_now_and_then_by_one_question() {
    let (gate, _task) = watched(&in_order()).await;
    let now = Instant::now();
    let seconds = Duration::from_secs;
    for failure in [Failure::TimedOut, Failure::ServerFailed, Failure::Suspended, Failure::TimedOut] {
        assert!(is_asked(&gate));
        gate.note(&Err(failure), false, now);
    }
    assert_eq!(gate.standing(), Standing::Silent);
    // What was under way beside them does not make the wait longer.
    gate.note(&Err(Failure::TimedOut), false, now);
    let is_tried = |after| matches!(gate.admit(true, now + seconds(after)), Admission::Try);
    assert!(!is_tried(1) && is_tried(2) && !is_tried(2), "one at a time");
    gate.note(&Err(Failure::TimedOut), true, now + seconds(2));
    assert!(!is_tried(5) && is_tried(6));
    gate.note(&Err(Failure::NoName), true, now + seconds(6));
    assert!(is_asked(&gate));
    assert_eq!(gate.counts(), (7, 5));
}

#[tokio::test(start_paused = true)]
async fn test_points_from_a_cache_do_not_raise_a_silent_list() {
    let (gate, _task) = watched(&in_order()).await;
    for _ in 0..3 {
        gate.note(&Err(Failure::TimedOut), false, Instant::now());
    }
    wait(3600).await;
    assert_eq!(gate.standing(), Standing::Silent);
}

#[tokio::test(start_paused = true)]
async fn a_list_in_order_again_can_fall_silent_again() {
    let (gate, _task) = watched(&in_order()).await;
    for _ in 0..3 {
        gate.note(&Err(Failure::TimedOut), false, Instant::now());
    }
    gate.judge(Test::Faulty(Fault::ListsNothing));
    gate.judge(Test::InOrder);
    assert!(is_asked(&gate));
    for _ in 0..3 {
        gate.note(&Err(Failure::TimedOut), false, Instant::now());
    }
    assert_eq!(gate.standing(), Standing::Silent);
}
