//! Free TCP ports for servers that cannot bind port 0 themselves.
//!
//! A port is free when it is found, not reserved: a server that finds it taken after all is started
//! again on another one. To make that rare, ports come from below the range Linux gives to outgoing
//! connections, and no port is handed out twice by one process.

use crate::Error;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
const ATTEMPTS: u16 = 1000;
const PATIENCE: Duration = Duration::from_secs(30);

static HANDED_OUT: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port on which nothing listens, neither on 127.0.0.1 nor on ::1.
pub(crate) fn free_port() -> Result<u16, Error> {
    (0..ATTEMPTS)
        .map(|_| random_port())
        .find(|&port| is_free(port) && first_time(port))
        .ok_or_else(|| Error::Missing(format!("no free port from {FIRST} to {}", FIRST + COUNT - 1)))
}

/// Whether this machine can listen on ::1.
pub(crate) fn has_ipv6_loopback() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Waits until somebody listens there.
pub(crate) async fn listening(address: SocketAddr) -> Result<(), Error> {
    let mut ticks = interval(Duration::from_millis(20));
    let there = async {
        while TcpStream::connect(address).await.is_err() {
            ticks.tick().await;
        }
    };
    let what = format!("a server at {address}");
    timeout(PATIENCE, there).await.map_err(|_| Error::Deadline { what, within: PATIENCE, log: String::new() })
}

fn random_port() -> u16 {
    let random = RandomState::new().hash_one(()) % u64::from(COUNT);
    FIRST + u16::try_from(random).unwrap_or(0)
}

fn is_free(port: u16) -> bool {
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    v4 && (!has_ipv6_loopback() || TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok())
}

fn first_time(port: u16) -> bool {
    HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner).insert(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_in_range_and_handed_out_once() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
    }
}
