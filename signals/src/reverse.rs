//! Whether a client's address and its names agree: the reverse name, confirmed forward, and the name it greets
//! with.
//!
//! Invariant: a question that the DNS does not answer leaves the matter unknown; only what the DNS has said
//! speaks against a client.

use crate::dns::{Dns, Failure, Name};
use crate::together::together;
use policy_core::name::DomainName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reverse names looked at. A host has one; hundreds are a way to make others work.
const MAX_NAMES: usize = 5;

/// What the reverse zone says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reverse {
    /// This name, which has the address.
    Confirmed(DomainName),
    /// This name, but neither it nor any other of the first five has the address.
    Unconfirmed(DomainName),
    /// No name.
    Absent,
    /// The DNS does not answer.
    Unknown(Failure),
}

/// What a name greeted with says of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeloCheck {
    /// It has the client's address.
    ResolvesToClient,
    /// It has other addresses only.
    ResolvesElsewhere,
    /// It has no address, of either family.
    DoesNotResolve,
    /// An address literal (RFC 5321 section 4.1.3), and whether it is the client's address.
    Literal {
        /// Whether it is the client's address.
        matches: bool,
    },
    /// Nothing that could be a host's full name: a bare word, an address without brackets, odd characters.
    NotAName,
    /// The DNS does not answer.
    Unknown(Failure),
}

/// Whether a name has an address.
enum Holds {
    Address,
    Others,
    NoneOfFamily,
    NoName,
}

/// Looks up the reverse names of an address, and whether one of them has it.
pub async fn confirm<D: Dns>(dns: &D, address: IpAddr) -> Reverse {
    let names = match dns.ptr(address).await {
        Ok(found) => found.records,
        Err(failure) if failure.is_void() => return Reverse::Absent,
        Err(failure) => return Reverse::Unknown(failure),
    };
    let readable = |name: &Name| Some((name.clone(), DomainName::new(&name.to_ascii())?));
    let names: Vec<(Name, DomainName)> = names.iter().take(MAX_NAMES).filter_map(readable).collect();
    let held = together(names.iter().map(|(name, _)| holds(dns, name, address))).await;
    let confirmed = names.iter().zip(&held).find(|(_, held)| matches!(held, Ok(Holds::Address)));
    if let Some(((_, name), _)) = confirmed {
        return Reverse::Confirmed(name.clone());
    }
    match (held.into_iter().find_map(Result::err), names.into_iter().next()) {
        (Some(failure), _) => Reverse::Unknown(failure),
        (None, Some((_, name))) => Reverse::Unconfirmed(name),
        (None, None) => Reverse::Absent,
    }
}

/// Looks up whether the name that a client greets with (HELO or EHLO) leads to the client.
pub async fn helo_resolves<D: Dns>(dns: &D, helo: &str, address: IpAddr) -> HeloCheck {
    if let Some(literal) = helo.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let matches = |literal: IpAddr| HeloCheck::Literal { matches: same(literal, address) };
        return literal_address(literal).map_or(HeloCheck::NotAName, matches);
    }
    let Some(name) = host_name(helo) else { return HeloCheck::NotAName };
    match holds(dns, &name, address).await {
        Ok(Holds::Address) => HeloCheck::ResolvesToClient,
        Ok(Holds::Others) => HeloCheck::ResolvesElsewhere,
        Ok(Holds::NoName) => HeloCheck::DoesNotResolve,
        Ok(Holds::NoneOfFamily) => match holds(dns, &name, other_family(address)).await {
            Ok(Holds::Address | Holds::Others) => HeloCheck::ResolvesElsewhere,
            Ok(Holds::NoneOfFamily | Holds::NoName) => HeloCheck::DoesNotResolve,
            Err(failure) => HeloCheck::Unknown(failure),
        },
        Err(failure) => HeloCheck::Unknown(failure),
    }
}

async fn holds<D: Dns>(dns: &D, name: &Name, address: IpAddr) -> Result<Holds, Failure> {
    let is_among = match address.to_canonical() {
        IpAddr::V4(v4) => dns.a(name).await.map(|found| found.records.contains(&v4)),
        IpAddr::V6(v6) => dns.aaaa(name).await.map(|found| found.records.contains(&v6)),
    };
    match is_among {
        Ok(true) => Ok(Holds::Address),
        Ok(false) => Ok(Holds::Others),
        Err(Failure::NoName) => Ok(Holds::NoName),
        Err(Failure::NoData) => Ok(Holds::NoneOfFamily),
        Err(failure) => Err(failure),
    }
}

/// Some address that the client certainly has not, of the family that it does not use.
fn other_family(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn same(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical() == other.to_canonical()
}

fn literal_address(text: &str) -> Option<IpAddr> {
    match text.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("ipv6:") => address.parse().map(IpAddr::V6).ok(),
        // Without the tag IPv6 is against RFC 5321, and common.
        _ => text.parse().ok(),
    }
}

/// A host's full name as the DNS may know it. Underscores are against RFC 1123, and common.
pub(crate) fn host_name(text: &str) -> Option<Name> {
    let domain = DomainName::new(text)?;
    let is_label = |label: &str| {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_allowed)
    };
    let mut labels = domain.as_str().split('.');
    let is_numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    let is_host = labels.clone().count() > 1
        && labels.clone().all(is_label)
        && !labels.next_back().is_none_or(is_numeric);
    let mut name = is_host.then(|| Name::from_ascii(domain.as_str()).ok())??;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests;
