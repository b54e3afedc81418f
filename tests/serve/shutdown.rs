//! SIGTERM: sessions in progress end by themselves, within bounds.

use crate::support::Served;
use rustix::process::Signal;
use std::net::TcpStream;

#[test]
fn a_session_in_progress_is_served_to_its_end() {
    let mut served = Served::start("shutdown.grace = \"1h\"\n");
    let mut client = served.policy();
    assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    let address = served.address("policy");
    served.signal(Signal::TERM);
    served.wait_for("stopping, sessions in progress may end");
    assert_eq!(client.ask("192.0.2.7", 1001, 2), "DUNNO");
    // The socket is closed at once, so the mail server goes on with its default action.
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(client.ask("192.0.2.7", 1001, 3), "DUNNO");
    drop(client);
    assert!(served.ended().success());
    assert!(served.seen().last().unwrap().ends_with("info stopped"), "{:?}", served.seen());
}

#[test]
fn the_grace_period_ends() {
    let mut served = Served::start("shutdown.grace = \"100ms\"\n");
    let mut client = served.policy();
    assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    served.signal(Signal::INT);
    assert_eq!(client.answer(), None, "closed between two requests");
    assert!(served.ended().success());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut served = Served::start("shutdown.grace = \"1h\"\n");
    let mut client = served.policy();
    assert_eq!(client.ask("192.0.2.7", 1001, 1), "DUNNO");
    served.signal(Signal::TERM);
    served.wait_for("stopping, sessions in progress may end");
    served.signal(Signal::HUP);
    served.signal(Signal::TERM);
    served.wait_for("error told twice to stop, sessions were cut");
    assert_eq!(served.ended().code(), Some(1));
}
