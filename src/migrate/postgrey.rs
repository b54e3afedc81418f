//! postgrey: its lists of clients and recipients, and what it knows.
//!
//! `postgrey_clients.db` has under each address "how many messages, when the last": clients that came back as
//! greylisting asks, at most once an hour counted. `postgrey.db` has under "network/sender/recipient" "when first, when
//! last": where these lie as far apart as its delay, mail of that sender has come in from there.
//!
//! Known limit: its delay is taken to be the 300 seconds that it is by default.

use super::berkeley;
use super::places::{self, begins_with, name_of};
use super::whitelist::{self, network};
use super::{Carried, Clients, Left, MigrateError};
use ipnet::{IpNet, Ipv4Net};
use policy_core::time::Timestamp;
use std::net::IpAddr;
use std::path::Path;

/// Where its files usually are: `/etc/postgrey` and `/var/lib/postgrey`.
const NAMES: [&str; 6] = [
    "whitelist_clients",
    "whitelist_clients.local",
    "whitelist_recipients",
    "whitelist_recipients.local",
    "postgrey_clients.db",
    "postgrey.db",
];
/// How far apart first and last are of a triplet that has passed, in seconds.
const DELAY: u64 = 300;

/// Reads a place.
pub(super) fn read(place: &Path, carried: &mut Carried, now: Timestamp) -> Result<(), MigrateError> {
    for path in places::files(place, &NAMES)? {
        match name_of(&path) {
            name if name.contains("recipients") => recipients(&path, carried)?,
            name if is_database(name, &path)? => database(&path, carried, now)?,
            _ => clients(&path, carried)?,
        }
        carried.read.push(path);
    }
    Ok(())
}

/// By its name, or by how it begins.
fn is_database(name: &str, path: &Path) -> Result<bool, MigrateError> {
    let begin = begins_with(path)?;
    Ok(name.ends_with(".db") || berkeley::is_database(&begin) || begin.starts_with(b"VERSION="))
}

fn clients(path: &Path, carried: &mut Carried) -> Result<(), MigrateError> {
    for (origin, line) in places::list(path)? {
        let two_octets =
            line.split('.').count() == 2 && line.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        match whitelist::client(&line) {
            Ok(client) => carried.settings.client(client, origin),
            Err(_) if two_octets => {
                let why =
                    "two octets, which postgrey documents as a /16 and takes for a /24; write the network";
                carried.left.note(why, format_args!("{origin} {line}"));
            }
            Err(why) => carried.left.note(why, format_args!("{origin} {line}")),
        }
    }
    Ok(())
}

fn recipients(path: &Path, carried: &mut Carried) -> Result<(), MigrateError> {
    for (origin, line) in places::list(path)? {
        match whitelist::recipient(&line) {
            Ok(recipient) => carried.settings.recipient(recipient, origin),
            Err(why) => carried.left.note(why, format_args!("{origin} {line}")),
        }
    }
    Ok(())
}

/// A database of either kind: they are told apart by what their keys look like.
fn database(path: &Path, carried: &mut Carried, now: Timestamp) -> Result<(), MigrateError> {
    let mut clients = Clients::default();
    let left = &mut carried.left;
    berkeley::visit(path, |key, value| {
        let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
        if let Err(why) = entry(&key, &value, &mut clients, now) {
            note(left, path, why, &key);
        }
    })?;
    clients.finish(carried);
    Ok(())
}

/// Addresses of people are not repeated in a report.
fn note(left: &mut Left, path: &Path, why: &'static str, key: &str) {
    match why {
        PENDING => left.note_all(why, 1),
        _ => {
            left.note(why, format_args!("{}: {}", path.display(), key.split('/').next().unwrap_or_default()))
        }
    }
}

const HASHED: &str = "hashed client (postgrey --privacy), so nobody knows whose it is";
const PENDING: &str = "triplet that has not passed yet; it is new to tempfail";
const UNREADABLE: &str = "no entry of postgrey";

fn entry(key: &str, value: &str, clients: &mut Clients, now: Timestamp) -> Result<(), &'static str> {
    let mut numbers = value.split(',').map(|number| number.parse::<u64>());
    let (Some(Ok(first)), Some(Ok(last))) = (numbers.next(), numbers.next()) else { return Err(UNREADABLE) };
    let at = |secs| Timestamp::from_secs(secs).min(now);
    if key.len() == 40 && key.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(HASHED);
    }
    let Some((client, rest)) = key.split_once('/') else {
        let client = network(key).ok_or(UNREADABLE)?;
        let messages = u32::try_from(first).unwrap_or(u32::MAX);
        clients.add(client, None, messages, (at(last), at(last)));
        return Ok(());
    };
    let client = client.parse().map(triplet_client).map_err(|_| UNREADABLE)?;
    if last.saturating_sub(first) < DELAY {
        return Err(PENDING);
    }
    clients.add(client, sender_domain(rest), 1, (at(first), at(last)));
    Ok(())
}

/// A triplet's client is a /24 unless postgrey was told to tell hosts apart; an IPv6 address is a /64 anyway.
fn triplet_client(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(v4) if v4.octets()[3] == 0 => Ipv4Net::new(v4, 24).map_or(address.into(), IpNet::V4),
        address => address.into(),
    }
}

/// The domain of "sender/recipient", in which a local part may have a slash too.
fn sender_domain(rest: &str) -> Option<String> {
    let (_, behind) = rest.split_once('@').filter(|_| !rest.starts_with('/'))?;
    let (domain, _) = behind.split_once('/')?;
    whitelist::name(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[test]
    fn entries_of_both_databases_are_told_apart() {
        let mut clients = Clients::default();
        let mut take = |key: &str, value: &str| entry(key, value, &mut clients, NOW);
        assert_eq!(take("192.0.2.7", "7,1699990000"), Ok(()));
        assert_eq!(take("192.0.2", "5,1699990000"), Ok(()));
        assert_eq!(take("2001:DB8:0:0:0:0:0:1", "5,1699990000"), Ok(()));
        assert_eq!(take("192.0.2.0/a/b@one.example/c@dest.example", "1699990000,1699990300"), Ok(()));
        assert_eq!(take("192.0.2.0/b@one.example/d@dest.example", "1699991000,1699999000"), Ok(()));
        assert_eq!(take("198.51.100.9//d@dest.example", "1699991000,1699999000"), Ok(()));
        assert_eq!(take("192.0.2.0/b@two.example/d@dest.example", "1699991000,1699991299"), Err(PENDING));
        assert_eq!(take("da39a3ee5e6b4b0d3255bfef95601890afd80709", "5,1699990000"), Err(HASHED));
        for (key, value) in
            [("", ""), ("192.0.2.7", "5"), ("x", "1,2"), ("x/y@z/w", "1,2"), ("1.2.3.4", "-1,x")]
        {
            assert_eq!(take(key, value), Err(UNREADABLE), "{key:?} {value:?}");
        }
        let known: Vec<String> = clients
            .0
            .into_values()
            .map(|k| format!("{} {:?} {}", k.client, k.sender_domain, k.messages))
            .collect();
        assert_eq!(
            known,
            [
                "192.0.2.0/24 None 5",
                "192.0.2.0/24 Some(\"one.example\") 2",
                "192.0.2.7/32 None 7",
                "198.51.100.9/32 None 1",
                "2001:db8::1/128 None 5",
            ]
        );
    }
}
