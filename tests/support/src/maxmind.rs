//! Writes files in MaxMind's format (version 2.0) from networks and values: for the tests of what reads them.
//!
//! The files are like published ones in what matters to a reader: all three sizes of records, maps and texts shared
//! through pointers, IPv4 at the beginning of the tree of IPv6, metadata at the end.
//!
//! Known limits: IPv4 is not also under `::ffff:0:0/96` and `2002::/16`.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// A value of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// UTF-8.
    Text(String),
    /// Unsigned, 16 bits.
    U16(u16),
    /// Unsigned, 32 bits.
    U32(u32),
    /// Unsigned, 64 bits.
    U64(u64),
    /// A floating-point number's bits.
    Double(u64),
    /// True or false.
    Boolean(bool),
    /// Values.
    Array(Vec<Value>),
    /// Keys and values, in this order.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// Text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A map.
    pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Self {
        Self::Map(pairs.map(|(key, value)| (key.to_owned(), value)).into())
    }

    /// A record like those of `GeoLite2-ASN`.
    pub fn asn(number: u32, organisation: &str) -> Self {
        Self::map([
            ("autonomous_system_number", Self::U32(number)),
            ("autonomous_system_organization", Self::text(organisation)),
        ])
    }

    /// A record like those of `GeoLite2-Country`, of a network used in one country and registered in another.
    pub fn country(iso_code: &str, registered: &str) -> Self {
        let place = |code: &str| {
            let names = Self::map([("en", Self::Text(format!("Land of {code}")))]);
            Self::map([
                ("geoname_id", Self::U32(2_921_044)),
                ("is_in_european_union", Self::Boolean(true)),
                ("iso_code", Self::text(code)),
                ("names", names),
            ])
        };
        let continent = Self::map([("code", Self::text("EU")), ("geoname_id", Self::U32(6_255_148))]);
        Self::map([
            ("continent", continent),
            ("country", place(iso_code)),
            ("registered_country", place(registered)),
        ])
    }
}

/// A file to be.
#[derive(Clone, Debug)]
pub struct MaxMind {
    kind: String,
    built: u64,
    ip_version: u16,
    record_bits: u16,
    networks: Vec<(IpAddr, u8, Value)>,
}

impl MaxMind {
    /// A file that calls itself `kind`, for both families, built at the end of the year 2023.
    pub fn new(kind: &str) -> Self {
        let networks = Vec::new();
        Self { kind: kind.to_owned(), built: 1_703_980_800, ip_version: 6, record_bits: 24, networks }
    }

    /// When it was built, in seconds since 1970.
    #[must_use]
    pub fn built(self, built: u64) -> Self {
        Self { built, ..self }
    }

    /// For IPv4 alone: networks of IPv6 are left out.
    #[must_use]
    pub fn ipv4_only(self) -> Self {
        Self { ip_version: 4, ..self }
    }

    /// Records of this many bits: 24, 28 or 32; more if that is too few.
    #[must_use]
    pub fn record_bits(self, record_bits: u16) -> Self {
        Self { record_bits, ..self }
    }

    /// With a network and what is said of it. The most specific network of an address counts, whatever the
    /// order, and of the same the last.
    #[must_use]
    pub fn network(mut self, address: impl Into<IpAddr>, length: u8, value: &Value) -> Self {
        self.networks.push((address.into(), length, value.clone()));
        self
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (mut tree, mut data) = (Tree::default(), Data::default());
        let mut networks: Vec<_> = self.networks.iter().collect();
        networks.sort_by_key(|(address, length, _)| self.bits(*address, *length).1);
        for (address, length, value) in networks {
            if self.ip_version == 6 || address.is_ipv4() {
                let (bits, length) = self.bits(*address, *length);
                tree.insert(bits, length, Record::Data(data.place(value)));
            }
        }
        let largest = tree.nodes.len() + SEPARATOR.len() + data.bytes.len();
        let is_enough = |bits: &u16| *bits >= self.record_bits && largest >> bits == 0;
        let record_bits = [24, 28, 32].into_iter().find(is_enough).unwrap_or(32);
        let mut bytes = tree.to_bytes(record_bits);
        bytes.extend(SEPARATOR);
        bytes.extend(data.bytes);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        let mut metadata = Data::default();
        metadata.write(&self.metadata(tree.nodes.len(), record_bits));
        bytes.extend(metadata.bytes);
        bytes
    }

    /// An address's bits from the top, and a network's length in the tree.
    fn bits(&self, address: IpAddr, length: u8) -> (u128, u8) {
        match address {
            IpAddr::V6(v6) => (v6.into(), length.min(128)),
            IpAddr::V4(v4) if self.ip_version == 6 => (u32::from(v4).into(), 96 + length.min(32)),
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, length.min(32)),
        }
    }

    fn metadata(&self, nodes: usize, record_bits: u16) -> Value {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        Value::map([
            ("binary_format_major_version", Value::U16(2)),
            ("binary_format_minor_version", Value::U16(0)),
            ("build_epoch", Value::U64(self.built)),
            ("database_type", Value::text(&self.kind)),
            ("description", Value::map([("en", Value::text("networks made up for tests"))])),
            ("ip_version", Value::U16(self.ip_version)),
            ("languages", Value::Array(vec![Value::text("en")])),
            ("node_count", Value::U32(nodes)),
            ("record_size", Value::U16(record_bits)),
        ])
    }
}

const SEPARATOR: [u8; 16] = [0; 16];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

#[derive(Debug)]
struct Tree {
    nodes: Vec<[Record; 2]>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![[Record::Empty; 2]] }
    }
}

impl Tree {
    fn insert(&mut self, bits: u128, length: u8, record: Record) {
        let Some(last) = length.checked_sub(1) else {
            self.nodes[0] = [record; 2];
            return;
        };
        let side = |depth: u8| usize::from(bits << depth >> 127 == 1);
        let mut node = 0;
        for depth in 0..last {
            node = match self.nodes[node][side(depth)] {
                Record::Node(next) => next,
                above => {
                    self.nodes.push([above; 2]);
                    self.nodes[node][side(depth)] = Record::Node(self.nodes.len() - 1);
                    self.nodes.len() - 1
                }
            };
        }
        self.nodes[node][side(last)] = record;
    }

    fn to_bytes(&self, record_bits: u16) -> Vec<u8> {
        let number = |record| {
            let value = match record {
                Record::Empty => self.nodes.len(),
                Record::Node(node) => node,
                Record::Data(at) => self.nodes.len() + SEPARATOR.len() + at,
            };
            (value as u32).to_be_bytes()
        };
        let node = |[left, right]: &[Record; 2]| {
            let ([a, b, c, d], [e, f, g, h]) = (number(*left), number(*right));
            match record_bits {
                24 => vec![b, c, d, f, g, h],
                28 => vec![b, c, d, a << 4 | e, f, g, h],
                _ => vec![a, b, c, d, e, f, g, h],
            }
        };
        self.nodes.iter().flat_map(node).collect()
    }
}

/// Fields one after the other, and where maps and texts are.
#[derive(Debug, Default)]
struct Data {
    bytes: Vec<u8>,
    places: BTreeMap<Value, usize>,
}

impl Data {
    /// Where a value is, written if it is nowhere yet.
    fn place(&mut self, value: &Value) -> usize {
        if let Some(at) = self.places.get(value) {
            return *at;
        }
        let at = self.bytes.len();
        self.write(value);
        at
    }

    /// Writes a value, or where it is.
    fn write(&mut self, value: &Value) {
        match self.places.get(value) {
            Some(at) => self.point(*at),
            None => {
                if matches!(value, Value::Map(_) | Value::Text(_)) {
                    self.places.insert(value.clone(), self.bytes.len());
                }
                self.write_here(value);
            }
        }
    }

    fn write_here(&mut self, value: &Value) {
        match value {
            Value::Text(text) => self.sized(2, text.as_bytes()),
            Value::Double(bits) => self.sized(3, &bits.to_be_bytes()),
            Value::U16(number) => self.sized(5, significant(&number.to_be_bytes())),
            Value::U32(number) => self.sized(6, significant(&number.to_be_bytes())),
            Value::U64(number) => self.sized(9, significant(&number.to_be_bytes())),
            Value::Boolean(is_true) => self.control(14, usize::from(*is_true)),
            Value::Array(values) => {
                self.control(11, values.len());
                values.iter().for_each(|value| self.write(value));
            }
            Value::Map(pairs) => {
                self.control(7, pairs.len());
                for (key, value) in pairs {
                    self.write(&Value::text(key));
                    self.write(value);
                }
            }
        }
    }

    fn sized(&mut self, kind: u8, bytes: &[u8]) {
        self.control(kind, bytes.len());
        self.bytes.extend(bytes);
    }

    fn control(&mut self, kind: u8, size: usize) {
        let (low, octets, more) = match size {
            0..29 => (size as u8, 0, 0),
            29..285 => (29, 1, size - 29),
            285..65_821 => (30, 2, size - 285),
            _ => (31, 3, size - 65_821),
        };
        match kind.checked_sub(8) {
            None => self.bytes.push(kind << 5 | low),
            Some(_) => self.bytes.extend([low, kind - 7]),
        }
        self.bytes.extend(&(more as u32).to_be_bytes()[4 - octets..]);
    }

    fn point(&mut self, at: usize) {
        let (low, octets, rest) = match at {
            0..2048 => (0, 1, at),
            2048..526_336 => (1, 2, at - 2048),
            526_336..134_744_064 => (2, 3, at - 526_336),
            _ => (3, 4, at),
        };
        let bytes = (rest as u64).to_be_bytes();
        let high = if octets == 4 { 0 } else { bytes[7 - octets] };
        self.bytes.push(1 << 5 | low << 3 | high);
        self.bytes.extend(&bytes[8 - octets..]);
    }
}

/// A number without the zeros before it.
fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|octet| **octet == 0).count();
    &bytes[zeros..]
}

#[cfg(test)]
mod tests;
