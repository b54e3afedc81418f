//! A MaxMind-format file in memory (version 2.0 of the format): a binary tree over the bits of addresses, the data
//! that its leaves lead to, and metadata at the end.
//!
//! Invariant: an address's walk takes as many steps as it has bits, whatever the tree looks like, and every
//! access is checked: a file that is not what it says is a [`Damage`].

use super::data::{Damage, Field, Fields};
use std::cmp::Ordering;
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// What begins the metadata; the last one counts.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata is within this many octets of the end, says the format.
const METADATA_REACH: usize = 128 * 1024;
/// Zeros between the tree and the data.
const SEPARATOR: usize = 16;
/// Fields read for one address. Records of cities have three hundred at most.
const MAX_FIELDS: usize = 10_000;
/// Octets of the file's own name for what it is.
const MAX_KIND: usize = 64;

/// What one file says of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) number: Option<u32>,
    pub(super) country: Option<[u8; 2]>,
}

/// One file.
pub(super) struct Database {
    bytes: Vec<u8>,
    data: Range<usize>,
    nodes: u32,
    /// Bits of a record; a node is two of them.
    record_bits: u64,
    holds_ipv6: bool,
    /// Where the tree of IPv4 begins.
    ipv4: u32,
    /// What the file calls itself.
    pub(super) kind: String,
    /// When its data was built.
    pub(super) built: SystemTime,
}

/// Whether these are a MaxMind-format file at all.
pub(super) fn metadata(bytes: &[u8]) -> Option<usize> {
    let reach = bytes.len().saturating_sub(METADATA_REACH);
    memchr::memmem::rfind(bytes.get(reach..)?, MARKER).map(|at| reach + at)
}

impl Database {
    /// Takes a file whose metadata's marker is at `marker`.
    pub(super) fn new(bytes: Vec<u8>, marker: usize) -> Result<Self, Damage> {
        let about = Metadata { bytes: bytes.get(marker + MARKER.len()..).unwrap_or_default() };
        if about.number("binary_format_major_version")? != 2 {
            return Err(Damage("it is of another version of the format than 2"));
        }
        let nodes = u32::try_from(about.number("node_count")?).map_err(|_| Damage("its tree is too big"))?;
        let record_bits = about.number("record_size")?;
        if !matches!(record_bits, 24 | 28 | 32) {
            return Err(Damage("its tree's records are of no known size"));
        }
        let holds_ipv6 = match about.number("ip_version")? {
            4 => false,
            6 => true,
            _ => return Err(Damage("it is for addresses of no known version")),
        };
        let data = data(&bytes, marker, u64::from(nodes) * record_bits / 4)?;
        let (kind, built) = (about.kind()?, about.built()?);
        let mut database = Self { bytes, data, nodes, record_bits, holds_ipv6, ipv4: 0, kind, built };
        database.ipv4 = if holds_ipv6 { database.walk(0, 0, 96)? } else { 0 };
        Ok(database)
    }

    /// What it says of an address.
    pub(super) fn lookup(&self, address: IpAddr) -> Result<Said, Damage> {
        let record = match address {
            IpAddr::V4(v4) => self.walk(self.ipv4, u128::from(u32::from(v4)) << 96, 32)?,
            IpAddr::V6(v6) if self.holds_ipv6 => self.walk(0, v6.into(), 128)?,
            IpAddr::V6(_) => return Ok(Said::default()),
        };
        match self.target(record)? {
            Target::Data(at) => said(&mut self.fields(), at),
            Target::Nothing => Ok(Said::default()),
            Target::Node => Err(Damage("its tree is deeper than an address is long")),
        }
    }

    /// Reads all of it once, and tells whether any record has a number, and whether any has a country.
    pub(super) fn survey(&self) -> Result<(bool, bool), Damage> {
        let mut seen = vec![0_u64; self.data.len().div_ceil(64)];
        // A record needs one octet for every few fields that are read of it: more is the same octets again.
        let mut allowance = self.data.len().saturating_mul(16).saturating_add(MAX_FIELDS);
        let mut found = (false, false);
        for record in self.records() {
            let Target::Data(at) = self.target(record?)? else { continue };
            if !is_first(&mut seen, at) {
                continue;
            }
            let mut fields = self.fields();
            let said = said(&mut fields, at)?;
            allowance = allowance
                .checked_sub(MAX_FIELDS - fields.left())
                .ok_or(Damage("records in its data overlap"))?;
            found = (found.0 || said.number.is_some(), found.1 || said.country.is_some());
        }
        Ok(found)
    }

    fn fields(&self) -> Fields<'_> {
        Fields::new(self.bytes.get(self.data.clone()).unwrap_or_default(), MAX_FIELDS)
    }

    fn records(&self) -> impl Iterator<Item = Result<u32, Damage>> {
        (0..self.nodes).flat_map(|node| [self.record(node, false), self.record(node, true)])
    }

    /// Where the first bits of an address lead to from a node.
    fn walk(&self, mut node: u32, bits: u128, count: u32) -> Result<u32, Damage> {
        for depth in 0..count {
            if node >= self.nodes {
                break;
            }
            node = self.record(node, bits << depth >> 127 == 1)?;
        }
        Ok(node)
    }

    fn target(&self, record: u32) -> Result<Target, Damage> {
        match record.cmp(&self.nodes) {
            Ordering::Less => Ok(Target::Node),
            Ordering::Equal => Ok(Target::Nothing),
            Ordering::Greater => {
                let at = ((record - self.nodes) as usize).checked_sub(SEPARATOR);
                let at = at.filter(|at| *at < self.data.len());
                at.map(Target::Data).ok_or(Damage("its tree leads out of its data"))
            }
        }
    }

    /// One side of a node.
    fn record(&self, node: u32, right: bool) -> Result<u32, Damage> {
        let octets = self.record_bits as usize / 4;
        let node = (node as usize).checked_mul(octets).and_then(|at| self.bytes.get(at..)?.get(..octets));
        let record = match (node, right) {
            (Some(&[a, b, c, ..]), false) if octets == 6 => [0, a, b, c],
            (Some(&[_, _, _, a, b, c]), true) => [0, a, b, c],
            // The octet in the middle has four bits for each side.
            (Some(&[a, b, c, high, ..]), false) if octets == 7 => [high >> 4, a, b, c],
            (Some(&[_, _, _, high, a, b, c]), true) => [high & 0x0f, a, b, c],
            (Some(&[a, b, c, d, ..]), false) => [a, b, c, d],
            (Some(&[_, _, _, _, a, b, c, d]), true) => [a, b, c, d],
            _ => return Err(Damage("its tree is cut short")),
        };
        Ok(u32::from_be_bytes(record))
    }
}

/// What a record of the tree leads to.
enum Target {
    Node,
    Nothing,
    Data(usize),
}

/// Where the data is: between the tree and the metadata.
fn data(bytes: &[u8], marker: usize, tree: u64) -> Result<Range<usize>, Damage> {
    let cut = Damage("it is cut short: its tree does not fit");
    let tree = usize::try_from(tree).map_err(|_| cut)?;
    let start = tree.checked_add(SEPARATOR).filter(|start| *start <= marker).ok_or(cut)?;
    match bytes.get(tree..start) {
        Some(separator) if separator.iter().all(|octet| *octet == 0) => Ok(start..marker),
        _ => Err(Damage("its tree does not end where it says")),
    }
}

/// Marks a place, and tells whether it was not marked before.
fn is_first(seen: &mut [u64], at: usize) -> bool {
    let Some(word) = seen.get_mut(at / 64) else { return false };
    let bit = 1 << (at % 64);
    let is_first = *word & bit == 0;
    *word |= bit;
    is_first
}

fn said(fields: &mut Fields<'_>, at: usize) -> Result<Said, Damage> {
    let number = match fields.find(at, &["autonomous_system_number"])? {
        None => None,
        Some(Field::Unsigned(number)) => {
            let number = u32::try_from(number);
            Some(number.map_err(|_| Damage("an autonomous system's number has more than 32 bits"))?)
        }
        Some(_) => return Err(Damage("an autonomous system's number is none")),
    };
    let country = match country(fields, at, "country")? {
        None => country(fields, at, "registered_country")?,
        found => found,
    };
    Ok(Said { number: number.filter(|number| *number != 0), country })
}

fn country(fields: &mut Fields<'_>, at: usize, key: &str) -> Result<Option<[u8; 2]>, Damage> {
    match fields.find(at, &[key, "iso_code"])? {
        Some(Field::Text(&[first, second])) => {
            let code = [first, second].map(|letter: u8| letter.to_ascii_uppercase());
            Ok(code.iter().all(u8::is_ascii_uppercase).then_some(code))
        }
        None | Some(Field::Text(_)) => Ok(None),
        Some(_) => Err(Damage("a country's code is not text")),
    }
}

struct Metadata<'a> {
    bytes: &'a [u8],
}

impl<'a> Metadata<'a> {
    fn field(&self, key: &str) -> Result<Option<Field<'a>>, Damage> {
        let unreadable = |_| Damage("its metadata cannot be read");
        Fields::new(self.bytes, MAX_FIELDS).find(0, &[key]).map_err(unreadable)
    }

    fn number(&self, key: &str) -> Result<u64, Damage> {
        match self.field(key)? {
            Some(Field::Unsigned(number)) => Ok(number),
            _ => Err(Damage("its metadata lacks what every such file says of itself")),
        }
    }

    /// Printable ASCII, and not much of it.
    fn kind(&self) -> Result<String, Damage> {
        let Some(Field::Text(kind)) = self.field("database_type")? else { return Ok(String::new()) };
        let printable = |&octet: &u8| if matches!(octet, b' '..=b'~') { char::from(octet) } else { '?' };
        Ok(kind.iter().take(MAX_KIND).map(printable).collect())
    }

    fn built(&self) -> Result<SystemTime, Damage> {
        let since_epoch = Duration::from_secs(self.number("build_epoch")?);
        SystemTime::UNIX_EPOCH.checked_add(since_epoch).ok_or(Damage("its metadata has no readable time"))
    }
}
