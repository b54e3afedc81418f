//! Free TCP ports for servers that cannot bind port 0 themselves.
//!
//! A port is free when it is found, not reserved: a server that finds it taken after all is started
//! again on another one. To make that rare, ports come from below the range Linux gives to outgoing
//! connections, and no port is handed out twice by one process.

use crate::Error;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{interval, timeout};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
const ATTEMPTS: u16 = 1000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener's state in the kernel's table.
const LISTEN: &str = "0A";

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

/// Waits until somebody listens there. The kernel is asked and nobody is connected to, so a server that counts
/// or records its clients sees none.
pub(crate) async fn listening(address: SocketAddr) -> Result<(), Error> {
    let mut ticks = interval(Duration::from_millis(20));
    let there = async {
        while !has_listener(address)? {
            ticks.tick().await;
        }
        Ok(())
    };
    let what = format!("a server at {address}");
    let late = |_| Err(Error::Deadline { what, within: PATIENCE, log: String::new() });
    timeout(PATIENCE, there).await.unwrap_or_else(late)
}

/// Whether the kernel's table of sockets has a listener at exactly this address.
fn has_listener(address: SocketAddr) -> Result<bool, Error> {
    let (table, octets) = match address.ip() {
        IpAddr::V4(ip) => ("/proc/net/tcp", ip.octets().to_vec()),
        IpAddr::V6(ip) => ("/proc/net/tcp6", ip.octets().to_vec()),
    };
    // The kernel prints the address as numbers of 32 bits, each in the machine's own order of octets.
    let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    let local: String = words.map(|word| format!("{word:08X}")).collect();
    let local = format!("{local}:{:04X}", address.port());
    let sockets = std::fs::read_to_string(table).map_err(Error::io(table))?;
    let listens = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next() == Some(&local) && columns.nth(1) == Some(LISTEN)
    };
    Ok(sockets.lines().any(listens))
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
    use std::net::TcpStream;

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

    #[tokio::test]
    async fn a_listener_is_told_from_a_client_and_from_another_address() {
        let hosts = [IpAddr::V4([127, 1, 2, 3].into()), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        for host in hosts.into_iter().filter(|host| host.is_ipv4() || has_ipv6_loopback()) {
            let listener = TcpListener::bind((host, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            listening(address).await.unwrap();
            assert!(!has_listener((Ipv4Addr::LOCALHOST, address.port()).into()).unwrap());
            let client = TcpStream::connect(address).unwrap();
            assert!(!has_listener(client.local_addr().unwrap()).unwrap());
            drop(listener);
            assert!(!has_listener(address).unwrap(), "{address}");
        }
    }
}
