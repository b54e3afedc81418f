//! What is asked, and how its records are kept: one representation for all types, so that one cache serves all.

use crate::dns::{Mx, Name};
use hickory_resolver::proto::rr::{RData, RecordType};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A question: the key of the cache and of the questions under way. The name is absolute and in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: RecordType,
}

impl Question {
    pub(super) fn new(name: &Name, kind: RecordType) -> Self {
        let mut name = name.to_lowercase();
        name.set_fqdn(true);
        Self { name, kind }
    }
}

/// The records of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Records {
    A(Arc<[Ipv4Addr]>),
    Aaaa(Arc<[Ipv6Addr]>),
    Mx(Arc<[Mx]>),
    Ptr(Arc<[Name]>),
    Txt(Arc<[Box<[u8]>]>),
}

/// The octets that a name takes: it is kept inline as long as it is short.
fn octets_of(name: &Name) -> usize {
    size_of::<Name>() + name.len()
}

impl Records {
    /// What the records take in memory, roughly.
    pub(super) fn octets(&self) -> usize {
        match self {
            Self::A(records) => size_of_val(&**records),
            Self::Aaaa(records) => size_of_val(&**records),
            Self::Mx(records) => records.iter().map(|mx| octets_of(&mx.exchange)).sum(),
            Self::Ptr(records) => records.iter().map(octets_of).sum(),
            Self::Txt(records) => records.iter().map(|text| size_of::<Box<[u8]>>() + text.len()).sum(),
        }
    }

    /// Of the data of one name, the records of the type asked for; `None` when there is none.
    pub(super) fn read(kind: RecordType, data: &[&RData]) -> Option<Self> {
        match kind {
            RecordType::A => gather(data).map(Self::A),
            RecordType::AAAA => gather(data).map(Self::Aaaa),
            RecordType::MX => gather(data).map(|mut records: Arc<[Mx]>| {
                Arc::make_mut(&mut records).sort_by_key(|mx| mx.preference);
                Self::Mx(records)
            }),
            RecordType::PTR => gather(data).map(Self::Ptr),
            RecordType::TXT => gather(data).map(Self::Txt),
            _ => None,
        }
    }
}

fn gather<T: Record>(data: &[&RData]) -> Option<Arc<[T]>> {
    let records: Arc<[T]> = data.iter().filter_map(|data| T::read(data)).collect();
    (!records.is_empty()).then_some(records)
}

/// A type of records.
pub(super) trait Record: Clone + Send + Sync + 'static {
    const KIND: RecordType;
    /// The record, if `data` is of this type.
    fn read(data: &RData) -> Option<Self>;
    /// The records, if `records` are of this type.
    fn of(records: &Records) -> Option<&Arc<[Self]>>;
}

macro_rules! record {
    ($type:ty, $kind:ident, $variant:ident, $data:pat => $record:expr) => {
        impl Record for $type {
            const KIND: RecordType = RecordType::$kind;
            fn read(data: &RData) -> Option<Self> {
                match data {
                    $data => Some($record),
                    _ => None,
                }
            }
            fn of(records: &Records) -> Option<&Arc<[Self]>> {
                match records {
                    Records::$variant(records) => Some(records),
                    _ => None,
                }
            }
        }
    };
}

record!(Ipv4Addr, A, A, RData::A(a) => a.0);
record!(Ipv6Addr, AAAA, Aaaa, RData::AAAA(aaaa) => aaaa.0);
record!(Name, PTR, Ptr, RData::PTR(ptr) => ptr.0.clone());
record!(Mx, MX, Mx, RData::MX(mx) => Mx { preference: mx.preference, exchange: mx.exchange.clone() });
record!(Box<[u8]>, TXT, Txt, RData::TXT(txt) => txt.txt_data.concat().into());
