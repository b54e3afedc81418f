//! Moving here from another program: what it knows and how it is set, as far as that can be carried over.
//!
//! | from | clients that are known | settings |
//! | --- | --- | --- |
//! | `postgrey` | its databases of clients and of triplets that have passed | `whitelist_clients`, `whitelist_recipients` |
//! | `sqlgrey` | `from_awl`, `domain_awl` | `clients_ip_whitelist`, `clients_fqdn_whitelist`, optout tables |
//! | `rspamd` | | `ratelimit`, `greylist` and their maps |
//!
//! Clients become evidence ([`policy_core::known`]); settings become lines for the configuration, which the operator
//! puts there, since that file is the operator's.
//!
//! Invariant: what is not carried over is told, with where it was and why. The files of the other program are only
//! read.
//!
//! Bounds: a settings file has at most 16 MiB and a line 64 KiB; of each reason ten examples are kept; clients are at
//! most a million.

mod berkeley;
mod places;
mod postgrey;
mod rspamd;
mod settings;
mod sqlgrey;
mod sqlite;
mod ucl;
mod whitelist;

#[cfg(test)]
mod tests;

use policy_core::known::Known;
use policy_core::time::Timestamp;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

pub use settings::Settings;

use ipnet::IpNet;

/// Examples that are kept of what was left for one reason.
const EXAMPLES: usize = 10;
/// Clients that are taken from one program.
const MOST_CLIENTS: usize = 1_000_000;

/// The program that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// postgrey.
    Postgrey,
    /// sqlgrey.
    Sqlgrey,
    /// rspamd.
    Rspamd,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgrey => "postgrey",
            Self::Sqlgrey => "sqlgrey",
            Self::Rspamd => "rspamd",
        })
    }
}

/// Why nothing is carried over.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing here that this program would have.
    #[error("{}: {what}", path.display())]
    NotOurs {
        /// The file or directory.
        path: PathBuf,
        /// What was expected.
        what: String,
    },
    /// A program that reads the database is missing.
    #[error("{}: reading it needs the program {program}; install Debian's package {package}, or {otherwise}", path.display())]
    NoProgram {
        /// The database.
        path: PathBuf,
        /// The program's name.
        program: &'static str,
        /// Where it comes from.
        package: &'static str,
        /// What else can be done.
        otherwise: &'static str,
    },
    /// The database is damaged.
    #[error("{}: damaged, or no database: {why}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// Why, and where in it.
        why: String,
    },
    /// A settings file is not what it should be.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// What one program's files come to.
#[derive(Debug, Default)]
pub struct Carried {
    /// Clients that are known.
    pub known: Vec<Known>,
    /// Lines for the configuration.
    pub settings: Settings,
    /// What is not carried over.
    pub left: Left,
    /// What was read.
    pub read: Vec<PathBuf>,
}

/// What is not carried over: by reason, how many and some of them.
#[derive(Debug, Default)]
pub struct Left(BTreeMap<String, (u64, Vec<String>)>);

impl Left {
    /// Notes one thing, and where it was.
    pub(crate) fn note(&mut self, why: impl Into<String>, what: impl fmt::Display) {
        let (count, examples) = self.0.entry(why.into()).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(what.to_string().chars().filter(|c| !c.is_control()).take(200).collect());
        }
    }

    /// Notes a number of things that are all alike.
    pub(crate) fn note_all(&mut self, why: impl Into<String>, count: u64) {
        if count > 0 {
            self.0.entry(why.into()).or_default().0 += count;
        }
    }

    /// How many things.
    pub fn count(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    /// Each reason, how many were left for it, and some of them.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, u64, &[String])> {
        self.0.iter().map(|(why, (count, examples))| (why.as_str(), *count, examples.as_slice()))
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (why, count, examples) in self.reasons() {
            writeln!(f, "  {count} x {why}")?;
            examples.iter().try_for_each(|example| writeln!(f, "      {example}"))?;
            let more = count.saturating_sub(examples.len() as u64);
            if more > 0 && !examples.is_empty() {
                writeln!(f, "      and {more} more")?;
            }
        }
        Ok(())
    }
}

/// Reads what a program has in these places: files, or directories that have files by their usual names.
///
/// # Errors
///
/// A place cannot be read, or has nothing of this program; a database is damaged.
pub fn carry(program: Program, places: &[PathBuf], now: Timestamp) -> Result<Carried, MigrateError> {
    let mut carried = Carried::default();
    for place in places {
        match program {
            Program::Postgrey => postgrey::read(place, &mut carried, now)?,
            Program::Sqlgrey => sqlgrey::read(place, &mut carried, now)?,
            Program::Rspamd => rspamd::read(place, &mut carried)?,
        }
    }
    Ok(carried)
}

/// Clients as they are gathered: each once for each sender's domain.
#[derive(Default)]
struct Clients(BTreeMap<(IpNet, Option<String>), Known>);

impl Clients {
    /// Adds messages of a client.
    fn add(
        &mut self,
        client: IpNet,
        sender_domain: Option<String>,
        messages: u32,
        (first, last): (Timestamp, Timestamp),
    ) {
        let full = self.0.len() >= MOST_CLIENTS;
        match self.0.entry((client, sender_domain)) {
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                held.messages = held.messages.saturating_add(messages);
                held.first = held.first.min(first);
                held.last = held.last.max(last);
            }
            Entry::Vacant(place) if !full => {
                let sender_domain = place.key().1.clone();
                place.insert(Known { client, sender_domain, messages, first, last });
            }
            Entry::Vacant(_) => {}
        }
    }

    fn finish(self, carried: &mut Carried) {
        carried.known.extend(self.0.into_values());
    }
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> MigrateError {
    let path = path.to_owned();
    |source| MigrateError::Read { path, source }
}
