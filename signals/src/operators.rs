//! Who runs a client's network, and in which country: from files in MaxMind's format, as GeoLite2 and others
//! publish them.
//!
//! A file is read into memory whole and looked through once; after that it does not matter what becomes of it on
//! the disk. What a file is good for is found from its records, not from its name: a file with
//! `autonomous_system_number` gives numbers, one with `country.iso_code` or `registered_country.iso_code` gives
//! countries, and one may give both.
//!
//! Invariant: a file is taken whole or refused with what is wrong; nothing in it makes a lookup fail, wait or
//! grow: what cannot be read of it is unknown, and counted.
//!
//! The reading is our own: what the `maxminddb` crate does with a damaged file cannot be contained, since a
//! pointer that leads to itself overflows its stack, which ends the process. It is the measure in the tests.
//!
//! Known limits: other layouts (a `country_code` or `asn` at the top) are refused as of no use. A file replaced on
//! the disk is not noticed: it takes another [`Operators::open`].

mod data;
mod database;

use data::Damage;
use database::{Database, Said};
use policy_core::findings::Operator;
use policy_core::networks::canonical;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Files of one [`Operators`].
pub const MAX_FILES: usize = 4;
/// Octets of one file. Those of cities, the largest that matter here, have some hundred million.
pub const MAX_OCTETS: u64 = 512 * 1024 * 1024;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorsError {
    /// More than [`MAX_FILES`].
    #[error("{0} files of network operators; {MAX_FILES} at most")]
    TooMany(usize),
    /// It cannot be read.
    #[error("{path:?}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, a device, a pipe.
    #[error("{path:?} is not a regular file")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// More than [`MAX_OCTETS`].
    #[error("{path:?} is larger than {MAX_OCTETS} octets")]
    TooBig {
        /// The file.
        path: PathBuf,
    },
    /// There is no metadata at its end: something else, or the beginning of a file that was cut off.
    #[error("{path:?} is not a MaxMind-format file, or is cut short")]
    NotMaxMind {
        /// The file.
        path: PathBuf,
    },
    /// Its parts do not fit together.
    #[error("{path:?} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Neither a number nor a country in any record.
    #[error("{path:?} ({kind}) has neither autonomous_system_number nor country.iso_code in any record")]
    NoUse {
        /// The file.
        path: PathBuf,
        /// What it calls itself.
        kind: String,
    },
}

/// How old a file's data is, and what it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The file.
    pub path: PathBuf,
    /// What it calls itself, such as `GeoLite2-ASN`: printable ASCII, 64 characters at most.
    pub kind: String,
    /// When its data was built, as it says.
    pub at: SystemTime,
    /// Whether it gives numbers of autonomous systems.
    pub gives_number: bool,
    /// Whether it gives countries.
    pub gives_country: bool,
}

impl Built {
    /// The data's age; none if it says that it is from the future.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.at).unwrap_or_default()
    }
}

/// The files, in memory.
#[derive(Default)]
pub struct Operators {
    databases: Vec<Database>,
    built: Vec<Built>,
    failures: AtomicU64,
}

impl std::fmt::Debug for Operators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operators").field("built", &self.built).finish_non_exhaustive()
    }
}

impl Operators {
    /// Reads files; where several say the same of an address, the first named is believed. Blocks for as long as
    /// the files take to be read: seconds for the largest.
    pub fn open(paths: &[PathBuf]) -> Result<Self, OperatorsError> {
        if paths.len() > MAX_FILES {
            return Err(OperatorsError::TooMany(paths.len()));
        }
        let mut operators = Self::default();
        for path in paths {
            let (database, built) = open(path)?;
            operators.databases.push(database);
            operators.built.push(built);
        }
        Ok(operators)
    }

    /// Who runs the network of an address, as far as the files say; an IPv4-mapped address is the IPv4 address.
    pub fn of(&self, address: IpAddr) -> Option<Operator> {
        let mut all = Said::default();
        for database in &self.databases {
            let said = database.lookup(canonical(address)).unwrap_or_else(|Damage(_)| {
                self.failures.fetch_add(1, Ordering::Relaxed);
                Said::default()
            });
            all = Said { number: all.number.or(said.number), country: all.country.or(said.country) };
        }
        let is_known = all.number.is_some() || all.country.is_some();
        is_known.then(|| Operator { number: all.number.unwrap_or(0), country: all.country })
    }

    /// The files' ages and what they give, in the order in which they were named.
    pub fn built(&self) -> &[Built] {
        &self.built
    }

    /// How often a file could not be read for an address: a tree that goes round in circles is only found so.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

fn open(path: &Path) -> Result<(Database, Built), OperatorsError> {
    let path = path.to_owned();
    let bytes = read(&path)?;
    let Some(marker) = database::metadata(&bytes) else { return Err(OperatorsError::NotMaxMind { path }) };
    let database = Database::new(bytes, marker);
    let surveyed = database.and_then(|database| Ok((database.survey()?, database)));
    let ((gives_number, gives_country), database) = match surveyed {
        Ok(surveyed) => surveyed,
        Err(Damage(what)) => return Err(OperatorsError::Damaged { path, what }),
    };
    if !gives_number && !gives_country {
        return Err(OperatorsError::NoUse { path, kind: database.kind });
    }
    let built = Built { path, kind: database.kind.clone(), at: database.built, gives_number, gives_country };
    Ok((database, built))
}

fn read(path: &Path) -> Result<Vec<u8>, OperatorsError> {
    let unreadable = |source| OperatorsError::Unreadable { path: path.to_owned(), source };
    // Before it is opened: opening a pipe waits for its writer.
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(OperatorsError::NotAFile { path: path.to_owned() });
    }
    if about.len() > MAX_OCTETS {
        return Err(OperatorsError::TooBig { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    // usize and u64 are the same here, and what does not fit is read all the same.
    bytes
        .try_reserve_exact(about.len() as usize)
        .map_err(|_| unreadable(io::ErrorKind::OutOfMemory.into()))?;
    // It may have grown since.
    File::open(path).and_then(|file| file.take(MAX_OCTETS).read_to_end(&mut bytes)).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
