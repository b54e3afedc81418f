//! Readers of single values: each names what it expects, and says so when it finds something else.

use super::reader::{Fault, Faults, Value, nearest};
use super::units;
use crate::address::Address;
use ipnet::IpNet;
use policy_core::answer::DeferCode;
use policy_core::name::{DomainName, Mailbox};
use policy_core::networks::{canonical, canonical_network};
use policy_core::policy::{CodeChoice, Recipients};
use std::net::IpAddr;
use std::ops::{Bound, RangeBounds};
use std::time::Duration;
use toml::de::DeValue;

/// What an address to listen on looks like.
const ADDRESS: &str =
    r#"an address such as "127.0.0.1:10421", "[::1]:10421" or "unix:/run/tempfail/policy.sock""#;
const NETWORK: &str = r#"a network such as "192.0.2.0/24", "2001:db8::/32" or "192.0.2.1""#;
const DOMAIN: &str = r#"a domain name such as "example.com""#;
const RECIPIENT: &str = r#"a recipient such as "user@example.com", "@example.com" or "user@""#;

/// One of some words.
pub(super) fn one_of<T: Copy>(value: Value<'_>, words: &[(&str, T)]) -> Result<T, Fault> {
    let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    let expected = match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    };
    let text = value.text(&expected)?;
    let meant = || nearest(text, words.iter().map(|(word, _)| *word)).map(|word| format!("{word:?}"));
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| value.unexpected(&expected).suggest(meant()))
}

/// `true` or `false`.
pub(super) fn boolean(value: Value<'_>) -> Result<bool, Fault> {
    value.get().as_bool().ok_or_else(|| value.unexpected("true or false"))
}

/// What `parse` makes of a text.
pub(super) fn parsed<T>(
    value: Value<'_>,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Fault> {
    parse(value.text(expected)?).ok_or_else(|| value.unexpected(expected))
}

/// A duration within a range; `why` is added when it lies outside.
pub(super) fn duration(
    value: Value<'_>,
    range: impl RangeBounds<Duration>,
    why: &str,
) -> Result<Duration, Fault> {
    let bare = value.get().as_integer().map(|number| format!("\"{}s\"", number.as_str()));
    let duration = parsed(value, units::DURATION, units::duration).map_err(|fault| fault.suggest(bare))?;
    within(value, duration, range, units::in_time, why)
}

/// A size in octets within a range.
pub(super) fn size(value: Value<'_>, range: impl RangeBounds<u64>) -> Result<u64, Fault> {
    let size = parsed(value, units::SIZE, units::size)?;
    within(value, size, range, |bound| units::in_mebibytes(*bound), "")
}

/// A whole number within a range.
pub(super) fn whole(value: Value<'_>, range: impl RangeBounds<u32>) -> Result<u32, Fault> {
    let number = match value.get() {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => return Err(value.unexpected("a whole number")),
    };
    let number = number.and_then(|number| u32::try_from(number).ok());
    let number = number.ok_or_else(|| value.unexpected("a whole number from 0 to 4294967295"))?;
    within(value, number, range, ToString::to_string, "")
}

/// A number within a range.
pub(super) fn number(value: Value<'_>, range: impl RangeBounds<f64>) -> Result<f64, Fault> {
    let number: Option<f64> = match value.get() {
        DeValue::Integer(number) => number.as_str().parse().ok(),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| number.is_finite()).ok_or_else(|| value.unexpected("a number"))?;
    within(value, number, range, ToString::to_string, "")
}

fn within<T: PartialOrd>(
    value: Value<'_>,
    read: T,
    range: impl RangeBounds<T>,
    show: impl Fn(&T) -> String,
    why: &str,
) -> Result<T, Fault> {
    if range.contains(&read) {
        return Ok(read);
    }
    let low = match range.start_bound() {
        Bound::Included(low) => Some(format!("at least {}", show(low))),
        Bound::Excluded(low) => Some(format!("above {}", show(low))),
        Bound::Unbounded => None,
    };
    let high = match range.end_bound() {
        Bound::Included(high) => Some(format!("at most {}", show(high))),
        Bound::Excluded(high) => Some(format!("below {}", show(high))),
        Bound::Unbounded => None,
    };
    let bounds: Vec<String> = low.into_iter().chain(high).collect();
    let expected = bounds.join(" and ");
    let expected = if why.is_empty() { expected } else { format!("{expected} ({why})") };
    Err(value.unexpected(&expected))
}

/// An array whose elements `read` reads; every wrong one is told.
pub(super) fn list<'a, T>(
    value: Value<'a>,
    expected: &str,
    read: impl Fn(Value<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, Faults> {
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    for element in value.elements(&format!("an array of texts, each {expected}"))? {
        match read(element) {
            Ok(read) => all.push(read),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(all) } else { Err(Faults(faults)) }
}

/// Addresses to listen on, each once.
pub(super) fn addresses(value: Value<'_>) -> Result<Vec<Address>, Faults> {
    list(value, ADDRESS, |value| parsed(value, ADDRESS, |text| text.parse().ok()))
}

/// `"auto"`, 421 or 451.
pub(super) fn code(value: Value<'_>) -> Result<CodeChoice, Fault> {
    match value.get() {
        DeValue::String(text) if text == "auto" => Ok(CodeChoice::ByScope),
        DeValue::Integer(number) if number.as_str() == "421" => Ok(CodeChoice::Always(DeferCode::Closing)),
        DeValue::Integer(number) if number.as_str() == "451" => Ok(CodeChoice::Always(DeferCode::Local)),
        _ => Err(value.unexpected("\"auto\", 421 or 451")),
    }
}

/// A network, or one address.
pub(super) fn network(value: Value<'_>) -> Result<IpNet, Fault> {
    let text = value.text(NETWORK)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(canonical(address).into());
    }
    let network: IpNet = text.parse().map_err(|_| value.unexpected(NETWORK))?;
    if network == network.trunc() {
        return Ok(canonical_network(network));
    }
    let whole = Some(format!("\"{}\" or \"{}\"", network.trunc(), network.addr()));
    Err(value.fault(format!("{text:?} has bits set behind its prefix length")).suggest(whole))
}

/// Networks.
pub(super) fn networks(value: Value<'_>) -> Result<Vec<IpNet>, Faults> {
    list(value, NETWORK, network)
}

/// A domain name.
pub(super) fn domain(value: Value<'_>) -> Result<DomainName, Fault> {
    parsed(value, DOMAIN, DomainName::proper)
}

/// Domain names.
pub(super) fn domains<C: FromIterator<DomainName>>(value: Value<'_>) -> Result<C, Faults> {
    list(value, DOMAIN, domain).map(|names| names.into_iter().collect())
}

/// A client by network or by name.
pub(super) enum ListedClient {
    Network(IpNet),
    Name(DomainName),
}

/// Clients by network or by name.
pub(super) fn clients(value: Value<'_>) -> Result<Vec<ListedClient>, Faults> {
    const CLIENT: &str = r#"a network such as "192.0.2.0/24" or a host name such as "mx.example.com""#;
    list(value, CLIENT, |value| {
        let text = value.text(CLIENT)?;
        if let Some(name) = DomainName::proper(text) {
            return Ok(ListedClient::Name(name));
        }
        let numeric = text.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':');
        network(value).map(ListedClient::Network).map_err(|fault| {
            if numeric && text.contains(['/', ':']) { fault } else { value.unexpected(CLIENT) }
        })
    })
}

/// Recipients: `user@example.com`, `@example.com`, `user@`.
pub(super) fn recipients(value: Value<'_>) -> Result<Recipients, Faults> {
    let mut recipients = Recipients::default();
    for text in list(value, RECIPIENT, |value| parsed(value, RECIPIENT, recipient))? {
        match text {
            Recipient::Address(mailbox) => recipients.addresses.insert(mailbox.into()),
            Recipient::Domain(domain) => recipients.domains.insert(domain),
            Recipient::LocalPart(local_part) => recipients.local_parts.insert(local_part.into()),
        };
    }
    Ok(recipients)
}

enum Recipient {
    Address(String),
    Domain(DomainName),
    LocalPart(String),
}

/// Whether a text is a recipient as lists of them are written.
pub(super) fn is_recipient(text: &str) -> bool {
    recipient(text).is_some()
}

/// In lower case, as the policy compares them.
fn recipient(text: &str) -> Option<Recipient> {
    let (local_part, domain) = text.rsplit_once('@')?;
    let mailbox = Mailbox::new(text)?;
    let local_part = if local_part.is_empty() { None } else { Some(local_part.to_lowercase()) };
    match (local_part, domain) {
        (None, domain) => DomainName::proper(domain).map(Recipient::Domain),
        (Some(local_part), "") => Some(Recipient::LocalPart(local_part)),
        (Some(local_part), _) => {
            let domain = DomainName::proper(mailbox.domain?.as_str())?;
            Some(Recipient::Address(format!("{local_part}@{domain}")))
        }
    }
}

/// Text that can be written into a reply as it is.
pub(super) fn reply_text(value: Value<'_>) -> Result<&str, Fault> {
    const MOST: usize = 200;
    let expected = "at most 200 printable ASCII characters";
    let text = value.text(expected)?;
    let printable = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if printable && text.len() <= MOST { Ok(text) } else { Err(value.unexpected(expected)) }
}

/// A file mode, in octal as `chmod` takes it.
pub(super) fn file_mode(value: Value<'_>) -> Result<u32, Fault> {
    parsed(value, r#"a file mode such as "0660""#, |text| {
        u32::from_str_radix(text, 8).ok().filter(|&mode| text.len() >= 3 && mode <= 0o777)
    })
}
