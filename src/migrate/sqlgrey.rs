//! sqlgrey: its lists of clients, and its database where that is SQLite's.
//!
//! `from_awl` has senders whose mail has come in from a client, `domain_awl` domains of which at least two have. Each
//! row is taken for one message, and one of a domain for two.
//!
//! Known limit: databases of MySQL and PostgreSQL are not read; `docs/migration.md` shows how to copy one to SQLite.

use super::places::{self, begins_with, name_of};
use super::whitelist;
use super::{Carried, Clients, MigrateError, sqlite};
use ipnet::{IpNet, Ipv6Net};
use policy_core::time::Timestamp;
use serde::Deserialize;
use std::net::Ipv6Addr;
use std::path::Path;

/// Where its files usually are: `/etc/sqlgrey` and `/var/lib/sqlgrey`.
const NAMES: [&str; 6] = [
    "clients_ip_whitelist",
    "clients_ip_whitelist.local",
    "clients_fqdn_whitelist",
    "clients_fqdn_whitelist.local",
    "sqlgrey.db",
    "sqlgrey",
];

/// Tables of which nothing is carried over, and why.
const LEFT: [(&str, &str); 3] = [("connect", PENDING), ("optin_domain", OPTED_IN), ("optin_email", OPTED_IN)];

/// Every other table, as objects; a table that is not there is no error.
const TABLES: [(&str, &str); 4] = [
    ("from_awl", "'domain', sender_domain, 'src', src, 'first', first_seen, 'last', last_seen"),
    (
        "domain_awl",
        "'domain', sender_domain, 'src', src, 'first', first_seen, 'last', last_seen, 'messages', 2",
    ),
    ("optout_domain", "'optout', domain"),
    ("optout_email", "'optout', email"),
];

/// A row of any of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Row {
    Awl {
        domain: String,
        src: String,
        first: Moment,
        last: Moment,
        #[serde(default = "one")]
        messages: u32,
    },
    OptOut {
        optout: String,
    },
}

/// Seconds since 1970 as sqlgrey writes them to SQLite, or the text that other databases make of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Moment {
    Seconds(u64),
    Text(String),
}

const fn one() -> u32 {
    1
}

/// Reads a place.
pub(super) fn read(place: &Path, carried: &mut Carried, now: Timestamp) -> Result<(), MigrateError> {
    for path in places::files(place, &NAMES)? {
        let name = name_of(&path);
        if sqlite::is_database(&begins_with(&path)?) {
            database(&path, carried, now)?;
        } else if name.contains("whitelist") {
            clients(&path, carried)?;
        } else {
            let what = "is no database of SQLite and no list of clients".to_owned();
            return Err(MigrateError::NotOurs { path, what });
        }
        carried.read.push(path);
    }
    Ok(())
}

fn clients(path: &Path, carried: &mut Carried) -> Result<(), MigrateError> {
    for (origin, line) in places::list(path)? {
        // Here a name and all below it are one.
        match whitelist::client(line.strip_prefix("*.").unwrap_or(&line)) {
            Ok(client) => carried.settings.client(client, origin),
            Err(why) => carried.left.note(why, format_args!("{origin} {line}")),
        }
    }
    Ok(())
}

const PENDING: &str = "triplet that has not passed yet; it is new to tempfail";
const OPTED_IN: &str =
    "recipient that wants greylisting; tempfail treats all alike but those that are exempt";
const UNREADABLE: &str = "no row of sqlgrey";

fn database(path: &Path, carried: &mut Carried, now: Timestamp) -> Result<(), MigrateError> {
    let there = tables(path)?;
    if !there.iter().any(|name| name == "from_awl") {
        let what = "has no table from_awl: it is no database of sqlgrey".to_owned();
        return Err(MigrateError::NotOurs { path: path.to_owned(), what });
    }
    let mut clients = Clients::default();
    for (table, columns) in TABLES.into_iter().filter(|(table, _)| there.iter().any(|name| name == table)) {
        let query = format!("SELECT json_object({columns}) FROM {table}");
        sqlite::visit(path, &query, |line| match serde_json::from_str(line) {
            Ok(found) => row(found, &format!("{} {table}", path.display()), &mut clients, carried, now),
            Err(_) => carried.left.note(UNREADABLE, format_args!("{} {table}", path.display())),
        })?;
    }
    for (table, why) in LEFT.into_iter().filter(|(table, _)| there.iter().any(|name| name == table)) {
        let mut count = 0;
        let query = format!("SELECT count(*) FROM {table}");
        sqlite::visit(path, &query, |line| count = line.parse().unwrap_or(0))?;
        carried.left.note_all(why, count);
    }
    clients.finish(carried);
    Ok(())
}

fn tables(path: &Path) -> Result<Vec<String>, MigrateError> {
    let mut names = Vec::new();
    sqlite::visit(path, "SELECT name FROM sqlite_master WHERE type = 'table'", |line| {
        names.push(line.to_owned())
    })?;
    Ok(names)
}

fn row(row: Row, origin: &str, clients: &mut Clients, carried: &mut Carried, now: Timestamp) {
    match row {
        Row::Awl { domain, src, first, last, messages } => match (client(&src), first.at(), last.at()) {
            (Some(client), Some(first), Some(last)) => {
                clients.add(client, whitelist::name(&domain), messages, (first.min(now), last.min(now)));
            }
            _ => carried.left.note(UNREADABLE, format_args!("{origin} {src}")),
        },
        Row::OptOut { optout } => match whitelist::recipient(&optout) {
            Ok(recipient) => carried.settings.recipient(recipient, origin.to_owned()),
            Err(why) => carried.left.note(why, format_args!("{origin} {optout}")),
        },
    }
}

/// An address, the first three octets of one, or the first four groups of an IPv6 address.
fn client(src: &str) -> Option<IpNet> {
    if src.split(':').count() == 4 && !src.contains("::") {
        let address: Ipv6Addr = format!("{src}::").parse().ok()?;
        return Ipv6Net::new(address, 64).ok().map(IpNet::V6);
    }
    whitelist::network(src).filter(|_| !src.contains('/'))
}

impl Moment {
    fn at(&self) -> Option<Timestamp> {
        let text = match self {
            Self::Seconds(secs) => return Some(Timestamp::from_secs(*secs)),
            Self::Text(text) => text.trim(),
        };
        if let Ok(secs) = text.parse() {
            return Some(Timestamp::from_secs(secs));
        }
        let date = text.get(..19)?;
        let since = humantime::parse_rfc3339_weak(date).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Timestamp::from_secs(since.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_moments_are_read_as_each_database_writes_them() {
        let text = |src| client(src).map(|client| client.to_string());
        assert_eq!(text("192.0.2").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(text("192.0.2.7").as_deref(), Some("192.0.2.7/32"));
        assert_eq!(text("2001:0db8:0000:0001").as_deref(), Some("2001:db8:0:1::/64"));
        assert_eq!(text("2001:0db8:0000:0001:0000:0000:0000:0009").as_deref(), Some("2001:db8:0:1::9/128"));
        for nobody in ["", "unknown", "192.0", "192.0.2.0/8", "a:b:c:d:e"] {
            assert_eq!(text(nobody), None, "{nobody}");
        }
        let at = |text: &str| serde_json::from_str::<Moment>(text).unwrap().at();
        for moment in
            ["1700000000", "\"1700000000\"", "\"2023-11-14 22:13:20\"", "\"2023-11-14 22:13:20.5+00\""]
        {
            assert_eq!(at(moment), Some(Timestamp::from_secs(1_700_000_000)), "{moment}");
        }
        assert_eq!(at("\"yesterday\""), None);
    }
}
