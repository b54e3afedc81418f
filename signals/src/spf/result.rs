//! What a check comes to.

use super::record::{MAX_RECORD, MAX_TERMS};
use crate::dns::Failure;
use compact_str::CompactString;
use policy_core::name::DomainName;
use std::fmt;
use thiserror::Error;

/// The results of RFC 7208 section 2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpfResult {
    /// No domain to check, or it has no record.
    None,
    /// The domain says nothing of this client.
    Neutral,
    /// The client may send for the domain.
    Pass,
    /// The client may not.
    Fail,
    /// The client probably may not.
    SoftFail,
    /// The DNS did not answer: the result is not known, and may be later.
    TempError,
    /// The record, or one that it names, cannot be used as it stands.
    PermError,
}

impl SpfResult {
    /// The result in Authentication-Results (RFC 8601 section 2.7.2).
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for SpfResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a check ended in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum SpfCause {
    /// The DNS gave no answer; the one cause that may pass.
    #[error("DNS: {0}")]
    Dns(Failure),
    /// Section 4.5: which of them is meant?
    #[error("the domain has more than one SPF record")]
    SeveralRecords,
    /// The record exceeds [`MAX_RECORD`].
    #[error("the record is longer than {MAX_RECORD} octets")]
    RecordTooLong,
    /// The record exceeds [`MAX_TERMS`].
    #[error("the record has more than {MAX_TERMS} terms")]
    TooManyTerms,
    /// An octet that is no ASCII.
    #[error("the record is not ASCII")]
    NotAscii,
    /// Neither a mechanism of RFC 7208 nor a modifier.
    #[error("unknown mechanism")]
    UnknownMechanism,
    /// A mechanism with an argument that it does not take, or without one that it needs.
    #[error("an argument is missing or out of place")]
    BadArgument,
    /// No domain-spec (section 7.1).
    #[error("not a domain name or macro string")]
    BadDomainSpec,
    /// Not an address of the mechanism's family.
    #[error("not an address")]
    BadAddress,
    /// A prefix length out of range, or with a leading zero.
    #[error("not a prefix length")]
    BadPrefix,
    /// `redirect` or `exp` twice (section 6).
    #[error("the modifier appears twice")]
    RepeatedModifier,
    /// An `include` or `redirect` of a domain without a record, or of what can be no domain.
    #[error("the domain referred to has no SPF record")]
    NoRecord,
    /// Section 4.6.4.
    #[error("more than 10 terms that need the DNS")]
    LookupLimit,
    /// Section 4.6.4.
    #[error("more than 2 lookups that found nothing")]
    VoidLookupLimit,
    /// Section 4.6.4.
    #[error("more than 10 mail exchangers")]
    MxLimit,
}

impl SpfCause {
    /// The result of a check that ends for this cause.
    pub const fn result(self) -> SpfResult {
        match self {
            Self::Dns(_) => SpfResult::TempError,
            _ => SpfResult::PermError,
        }
    }
}

/// A check's result, and what there is to tell of how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpfOutcome {
    /// The result.
    pub result: SpfResult,
    /// The domain that was checked.
    pub domain: Option<DomainName>,
    /// The directive that matched or, after an error, the term that caused it; at most 100 printable ASCII
    /// characters. A neutral result without one is the default of section 4.7.
    pub mechanism: Option<CompactString>,
    /// Terms that needed the DNS: at most 10.
    pub lookups: u8,
    /// Terms for which the DNS had nothing: at most 3, of which the third is an error.
    pub void_lookups: u8,
    /// Why the result is temperror or permerror; else `None`.
    pub cause: Option<SpfCause>,
}

/// An error on its way to the outcome, with the innermost term that it arose from.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) cause: SpfCause,
    pub(super) term: Option<CompactString>,
}

impl From<SpfCause> for Trouble {
    fn from(cause: SpfCause) -> Self {
        Self { cause, term: None }
    }
}

impl Trouble {
    /// Names the term, unless a record further in has named its own.
    pub(super) fn at(self, term: &str) -> Self {
        Self { term: self.term.or_else(|| Some(quotable(term))), ..self }
    }
}

/// `term` for people: bounded and printable, whatever a record holds.
pub(super) fn quotable(term: &str) -> CompactString {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    term.chars().take(100).map(printable).collect()
}
