use super::*;
use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// Longer than any of these tests.
const LONG: Duration = Duration::from_secs(3600);

fn client(n: u8, session: u16, trusted: bool) -> Asker {
    let address = Ipv4Addr::new(192, 0, n, 1).into();
    Asker::of(Client { address, session: SessionId::Tcp((address, session).into()), trusted })
}

/// A stranger of a network.
fn network(n: u8) -> Asker {
    client(n, 25, false)
}

fn now<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// As many turns as a network is given at once, at most so many.
fn take(turns: &Turns, asker: Asker, most: usize) -> Vec<Turn> {
    let one = |_| now(pin!(turns.turn(asker, LONG))).flatten();
    (0..most).map_while(one).collect()
}

#[tokio::test(start_paused = true)]
async fn one_network_never_takes_all() {
    let turns = Turns::new(128, 1000);
    let first = take(&turns, network(1), 200);
    assert_eq!(first.len(), 22);
    let others: Vec<Vec<Turn>> = (2..40).map(|n| take(&turns, network(n), 200)).collect();
    let held: Vec<usize> = others.iter().map(Vec::len).collect();
    assert!(held.is_sorted_by(|a, b| a >= b) && held.ends_with(&[1; 20]), "{held:?}");
    let more: Vec<Turn> = (40..=255).flat_map(|n| take(&turns, network(n), 200)).collect();
    let all = first.len() + held.iter().sum::<usize>() + more.len();
    assert_eq!(all, 96, "strangers, however many they are");
    let trusted = take(&turns, client(1, 25, true), 200);
    assert!(!trusted.is_empty() && trusted.len() < 32, "{}", trusted.len());
    assert!(!take(&turns, Asker::OURSELVES, 200).is_empty(), "there is one for this server");
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_network_is_a_providers() {
    let of = |address: &str| {
        let address = address.parse().unwrap();
        Asker::of(Client { address, session: SessionId::Tcp((address, 25).into()), trusted: false }).network
    };
    assert_eq!(of("2001:db8:1::1"), of("2001:db8:ffff::1"));
    assert_ne!(of("2001:db8::1"), of("2001:db9::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.200"));
}

#[tokio::test(start_paused = true)]
async fn sessions_of_a_network_take_turns() {
    let turns = Turns::new(1, 100);
    let mut held = take(&turns, client(1, 1, true), 1);
    let mut greedy: Vec<_> = (0..9).map(|_| Box::pin(turns.turn(client(1, 1, true), LONG))).collect();
    assert!(greedy.iter_mut().all(|turn| now(turn.as_mut()).is_none()));
    let mut other = pin!(turns.turn(client(1, 2, true), LONG));
    assert!(now(other.as_mut()).is_none());
    held.clear();
    assert!(now(other).flatten().is_some(), "who has had none comes before who has had one");
}

#[tokio::test(start_paused = true)]
async fn one_turn_is_a_turn() {
    let turns = Turns::new(0, 10);
    let mut held = take(&turns, network(1), 2);
    assert_eq!(held.len(), 1);
    assert!(take(&turns, network(2), 1).is_empty());
    held.clear();
    assert_eq!(take(&turns, network(2), 2).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_holds_the_fewest_is_next_and_of_several_who_has_gone_longest_without() {
    let turns = Turns::new(3, 100);
    let trusted = |n| client(n, 25, true);
    let mut greedy = take(&turns, trusted(1), 9);
    let others: Vec<Turn> = (2..9).flat_map(|n| take(&turns, trusted(n), 9)).collect();
    assert_eq!((greedy.len(), others.len()), (1, 2));
    let mut of_greedy = pin!(turns.turn(trusted(1), LONG));
    let mut late = pin!(turns.turn(trusted(9), LONG));
    assert!(now(of_greedy.as_mut()).is_none() && now(late.as_mut()).is_none());
    drop(others);
    let late = now(late).flatten().expect("whoever has none comes first");
    drop((late, greedy.pop()));
    assert!(now(of_greedy).flatten().is_some());
    assert_eq!(turns.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn questions_of_many_networks_take_turns() {
    let turns = Turns::new(1, 100);
    let mut held = take(&turns, network(9), 1);
    let mut waiting: Vec<_> = (0..6).map(|n| (n % 3, Box::pin(turns.turn(network(n % 3), LONG)))).collect();
    assert!(waiting.iter_mut().all(|(_, turn)| now(turn.as_mut()).is_none()));
    let mut order = Vec::new();
    while !waiting.is_empty() {
        held.clear();
        waiting.retain_mut(|(network, turn)| {
            let Some(turn) = now(turn.as_mut()) else { return true };
            held.extend(turn);
            order.push(*network);
            false
        });
        assert_eq!(held.len(), 1, "a turn that is free is given, and no more than that");
    }
    let (mut first, mut second) = (order[..3].to_vec(), order[3..].to_vec());
    first.sort_unstable();
    second.sort_unstable();
    assert_eq!((first, second), (vec![0, 1, 2], vec![0, 1, 2]), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn who_has_given_up_is_passed_over() {
    let turns = Turns::new(1, 100);
    let held = take(&turns, network(1), 1);
    let gone = tokio::time::timeout(Duration::from_secs(9), turns.turn(network(2), Duration::from_secs(1)));
    assert!(matches!(gone.await, Ok(None)), "its patience has an end");
    let mut dropped = Box::pin(turns.turn(network(3), LONG));
    let mut waiting = pin!(turns.turn(network(4), LONG));
    assert!(now(dropped.as_mut()).is_none() && now(waiting.as_mut()).is_none());
    drop(dropped);
    drop(held);
    assert!(now(waiting).flatten().is_some());
    let state = lock(&turns.0);
    assert_eq!((state.free, state.room, state.askers.len()), (1, 100, 0), "nothing is left of anybody");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_nobody_takes_goes_on_to_the_next() {
    let turns = Turns::new(1, 100);
    let held = take(&turns, network(1), 1);
    let (mut first, mut second) =
        (Box::pin(turns.turn(network(2), LONG)), pin!(turns.turn(network(3), LONG)));
    assert!(now(first.as_mut()).is_none() && now(second.as_mut()).is_none());
    drop(held);
    assert!(now(second.as_mut()).is_none(), "it was given to the first");
    drop(first);
    assert!(now(second).flatten().is_some());
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_are_bounded_for_each_network_too() {
    let turns = Turns::new(1, 10);
    let _held = take(&turns, network(1), 1);
    let mut waiting: Vec<_> = (0..20).map(|_| Box::pin(turns.turn(network(1), LONG))).collect();
    let refused = waiting.iter_mut().filter_map(|turn| now(turn.as_mut())).count();
    assert_eq!((refused, turns.waiting()), (16, 4));
    let mut other = pin!(turns.turn(network(2), LONG));
    assert!(now(other.as_mut()).is_none() && turns.waiting() == 5, "another has room");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_s_turn_is_wanted_once_it_has_had_its_time_and_others_wait() {
    let turns = Turns::new(4, 100);
    let held = take(&turns, network(1), 1);
    let known = take(&turns, client(2, 25, true), 1);
    let others: Vec<Turn> = (3..9).flat_map(|n| take(&turns, network(n), 1)).collect();
    assert_eq!((held.len(), known.len(), others.len()), (1, 1, 1), "that is all there are for strangers");
    let after = Duration::from_millis(300);
    let mut wanted = Box::pin(held[0].wanted(after));
    assert!(timeout(LONG, wanted.as_mut()).await.is_err(), "nobody waits");
    let mut waiting = pin!(turns.turn(network(20), LONG));
    assert!(now(waiting.as_mut()).is_none());
    let begun = Instant::now();
    wanted.await;
    assert!(begun.elapsed() <= LOOK, "it had its time");
    assert!(timeout(LONG / 2, known[0].wanted(after)).await.is_err(), "who is known is not hurried");
    let begun = Instant::now();
    others[0].wanted(after).await;
    assert!(begun.elapsed() >= after);
    drop(held);
    assert!(now(waiting.as_mut()).flatten().is_some());
    assert!(timeout(LONG, others[0].wanted(after)).await.is_err(), "nobody waits any more");
}
