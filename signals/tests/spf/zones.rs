//! A DNS out of a table, for evaluating SPF records without a server.

use signals::dns::{Answer, Dns, Failure, Found, Mx, Name};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A record's data. The characters of a text are its octets (ISO 8859-1).
#[derive(Clone, Debug)]
pub(crate) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Mx(u16, Name),
    Ptr(Name),
    Txt(Box<[u8]>),
    Cname(Name),
}

impl Data {
    /// Reads a record's data as a zone file has it, but with all of a text in one.
    pub(crate) fn parse(kind: &str, text: &str) -> Option<Self> {
        Some(match kind {
            "A" => Self::A(text.parse().unwrap()),
            "AAAA" => Self::Aaaa(text.parse().unwrap()),
            "MX" => {
                let (preference, exchange) = text.split_once(' ').unwrap();
                Self::Mx(preference.parse().unwrap(), name(exchange))
            }
            "PTR" => Self::Ptr(name(text)),
            "TXT" => Self::Txt(text.chars().map(|c| u8::try_from(c).unwrap()).collect()),
            "CNAME" => Self::Cname(name(text)),
            _ => return None,
        })
    }
}

/// An absolute name, each label of whatever octets stand between the dots.
pub(crate) fn name(text: &str) -> Name {
    let text = text.strip_suffix('.').unwrap_or(text);
    Name::from_labels(text.split('.').filter(|label| !label.is_empty()).map(str::as_bytes)).unwrap()
}

/// Most questions of one check: its own TXT; for each of ten terms an MX and ten exchangers, which is the most
/// that a term asks; and the client's reverse name with ten names to confirm, for the macro `p`.
pub(crate) const MAX_QUESTIONS: usize = 1 + 10 * 11 + 11;

#[derive(Default)]
struct Tables {
    records: HashMap<Name, Vec<Data>>,
    failing: HashMap<Name, Failure>,
    asked: AtomicUsize,
}

/// Answers from its table; a name that fails does so for the types that it has no record of.
#[derive(Clone, Default)]
pub(crate) struct Zones(Arc<Tables>);

impl Zones {
    pub(crate) fn new(
        records: impl IntoIterator<Item = (Name, Data)>,
        failing: impl IntoIterator<Item = (Name, Failure)>,
    ) -> Self {
        let mut tables = Tables { failing: failing.into_iter().collect(), ..Tables::default() };
        for (name, data) in records {
            tables.records.entry(name).or_default().push(data);
        }
        Self(Arc::new(tables))
    }

    /// How many questions it has been asked.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    fn answer<T>(&self, name: &Name, wanted: impl Fn(&Data) -> Option<T>) -> Answer<T> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        let mut name = name;
        for _ in 0..8 {
            let data = self.0.records.get(name);
            let records: Arc<[T]> = data.into_iter().flatten().filter_map(&wanted).collect();
            if !records.is_empty() {
                return Ok(Found { records, age: Duration::ZERO });
            }
            let alias = data.into_iter().flatten().find_map(|data| match data {
                Data::Cname(target) => Some(target),
                _ => None,
            });
            let Some(target) = alias else {
                let nothing = if data.is_some() { Failure::NoData } else { Failure::NoName };
                return Err(self.0.failing.get(name).copied().unwrap_or(nothing));
            };
            name = target;
        }
        Err(Failure::ServerFailed)
    }
}

impl Dns for Zones {
    async fn a(&self, name: &Name) -> Answer<Ipv4Addr> {
        self.answer(name, |data| if let Data::A(address) = data { Some(*address) } else { None })
    }

    async fn aaaa(&self, name: &Name) -> Answer<Ipv6Addr> {
        self.answer(name, |data| if let Data::Aaaa(address) = data { Some(*address) } else { None })
    }

    async fn mx(&self, name: &Name) -> Answer<Mx> {
        let mx = |data: &Data| match data {
            Data::Mx(preference, exchange) => {
                Some(Mx { preference: *preference, exchange: exchange.clone() })
            }
            _ => None,
        };
        self.answer(name, mx)
    }

    async fn ptr(&self, address: IpAddr) -> Answer<Name> {
        self.answer(
            &Name::from(address),
            |data| if let Data::Ptr(name) = data { Some(name.clone()) } else { None },
        )
    }

    async fn txt(&self, name: &Name) -> Answer<Box<[u8]>> {
        self.answer(name, |data| if let Data::Txt(text) = data { Some(text.clone()) } else { None })
    }
}
