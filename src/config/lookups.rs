//! The sections of what is looked up: `[signals]`, `[dns]` and each `[[list]]`.

use super::reader::{Fault, Section, Value};
use super::values;
use compact_str::CompactString;
use ipnet::Ipv4Net;
use signals::gather;
use signals::lists::{self, Code, Kind, ListOptions, MAX_LISTS, Meaning, Role, presets};
use signals::resolver::ResolverOptions;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DNS_PORT: u16 = 53;
const SECOND: Duration = Duration::from_secs(1);
/// What the decision itself needs of the deadline, and the front end of what is left.
pub(crate) const FOR_THE_REST: Duration = Duration::from_millis(500);
/// In names with a customer's key before it.
const KEYED: &str = ".dq.spamhaus.net";
const SHOWN: &str = r#"a name of at most 64 letters, digits, ".", "-" and "_""#;
const NAME: &str = r#"the name of a zone such as "zen.example.org""#;
const ROLES: [(&str, Role); 4] = [
    ("client", Role::Client),
    ("reverse-name", Role::ReverseName),
    ("helo", Role::Helo),
    ("sender", Role::Sender),
];
const MEANINGS: [(&str, Said); 4] =
    [("listed", Said::Listed), ("policy", Said::Policy), ("allowed", Said::Allowed), ("error", Said::Error)];
const KINDS: [(&str, Kind); 3] =
    [("addresses", Kind::Address), ("domains", Kind::Domain), ("allow", Kind::Allow)];

/// A meaning before its weight is known.
#[derive(Clone, Copy)]
enum Said {
    Listed,
    Policy,
    Allowed,
    Error,
}

/// What makes a list of a zone's name.
type Preset = fn(&str) -> ListOptions;
const PRESETS: [(&str, Preset); 5] = [
    ("spamhaus-zen", presets::spamhaus_zen),
    ("spamhaus-dbl", presets::spamhaus_dbl),
    ("dnswl", presets::dnswl),
    ("generic", presets::generic),
    ("generic-domains", presets::generic_domains),
];

/// What is looked up, and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lookups {
    /// The resolver.
    pub resolver: ResolverOptions,
    /// What is gathered of a client and a message.
    pub gather: gather::Options,
    /// Files in MaxMind's format that tell networks' operators and countries.
    pub operators: Vec<PathBuf>,
}

/// Reads the sections; `None` when nothing is to be looked up.
pub(super) fn sections(top: &mut Section<'_>, answer_within: Duration) -> Option<Lookups> {
    let mut lookups = Lookups::default();
    let mut enabled = true;
    signals(top.section("signals"), &mut lookups, &mut enabled, answer_within);
    dns(top.section("dns"), &mut lookups.resolver);
    for section in top.sections("list").unwrap_or_default() {
        list(section, &mut lookups.gather.lists);
    }
    if lookups.gather.lists.len() > MAX_LISTS {
        top.object("list", format!("at most {MAX_LISTS} lists can be asked"));
    }
    enabled.then_some(lookups)
}

fn signals(mut section: Section<'_>, lookups: &mut Lookups, enabled: &mut bool, answer_within: Duration) {
    let gather = &mut lookups.gather;
    section.set("enabled", enabled, values::boolean);
    let most = answer_within.saturating_sub(FOR_THE_REST).max(Duration::from_millis(1));
    gather.within = gather.within.min(most);
    section.set("within", &mut gather.within, |value| {
        values::duration(
            value,
            Duration::from_millis(1)..=most,
            "answer_within is for lookups and decision together",
        )
    });
    section.set("own_names", &mut gather.own_names, values::domains);
    section.set("trusted_sealers", &mut gather.trusted_sealers, values::domains);
    section.set("operators", &mut lookups.operators, |value| {
        values::list(value, "the path of a file", |value| value.text("the path of a file").map(PathBuf::from))
    });
    for path in &lookups.operators {
        if let Err(error) = is_readable(path) {
            let what =
                format!("{}: {error}; a daemon that cannot read it knows no operators", path.display());
            section.warn("operators", &what);
        }
    }
    section.finish();
}

/// Whether whoever checks the configuration can read a file. Opening a FIFO would wait for whoever writes to it.
fn is_readable(path: &Path) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path).map(drop)
}

fn dns(mut section: Section<'_>, options: &mut ResolverOptions) {
    let mut servers: Vec<SocketAddr> = Vec::new();
    section.set("servers", &mut servers, |value| {
        const SERVER: &str = r#"an address such as "127.0.0.1", or with a port "127.0.0.1:5353""#;
        values::list(value, SERVER, |value| values::parsed(value, SERVER, server))
    });
    *options = ResolverOptions::named(servers);
    let tries = Duration::from_millis(10)..=10 * SECOND;
    section.set("timeout", &mut options.timeout, |value| values::duration(value, tries, ""));
    section.set("retries", &mut options.retries, |value| values::whole(value, 0..=5).map(|n| n as u8));
    section
        .set("cache", &mut options.cache, |value| values::whole(value, 256..=4_000_000).map(|n| n as usize));
    section.set("private_zones", &mut options.private_zones, values::boolean);
    section.finish();
}

fn server(text: &str) -> Option<SocketAddr> {
    let with_default = |address: IpAddr| SocketAddr::new(address, DNS_PORT);
    text.parse().ok().or_else(|| text.parse().ok().map(with_default))
}

fn list(mut section: Section<'_>, lists: &mut Vec<ListOptions>) {
    let zone =
        section.require("zone", |value| values::parsed(value, NAME, |text| Some(CompactString::new(text))));
    let mut preset: Option<Preset> = None;
    section.set("preset", &mut preset, |value| values::one_of(value, &PRESETS).map(Some));
    let mut kind = None;
    section.set("kind", &mut kind, |value| values::one_of(value, &KINDS).map(Some));
    let zone = zone.unwrap_or_default();
    let mut list = match (preset, kind) {
        (Some(preset), None) => preset(&zone),
        (None, kind) => ListOptions::new(&zone, kind.unwrap_or(Kind::Address)),
        (Some(preset), Some(_)) => {
            section.object("kind", "a preset has its own");
            preset(&zone)
        }
    };
    section.set("name", &mut list.name, |value| values::parsed(value, SHOWN, shown));
    if list.name == zone && zone.trim_end_matches('.').to_ascii_lowercase().ends_with(KEYED) {
        section.warn("zone", "holds your key, and status, metrics and log show it: give the list a name");
    }
    section.set("weight", &mut list.weight, |value| values::number(value, 0.0..=10.0).map(|n| n as f32));
    section.set("ipv6", &mut list.ipv6, values::boolean);
    section.set("applies_to", &mut list.applies_to, |value| {
        values::list(value, "what is looked up", |value| values::one_of(value, &ROLES))
    });
    if let Some(codes) = section.sections("codes") {
        list.codes = codes.into_iter().filter_map(code).collect();
    }
    if list.codes.is_empty() {
        list.codes = presets::generic(&zone).codes;
    }
    if !zone.is_empty() {
        lists.push(list);
        if let Err(error) = lists::validate(lists) {
            section.object("zone", error.to_string());
            lists.pop();
        }
    }
    section.finish();
}

/// It stands in the log between commas.
fn shown(text: &str) -> Option<CompactString> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    ((1..=64).contains(&text.len()) && text.chars().all(fits)).then(|| CompactString::new(text))
}

fn code(mut section: Section<'_>) -> Option<Code> {
    let answer = section.require("answer", answer);
    let said = section.require("meaning", |value| values::one_of(value, &MEANINGS));
    let (mut weight, mut label) = (1.0, CompactString::default());
    section.set("weight", &mut weight, |value| values::number(value, 0.0..=10.0).map(|n| n as f32));
    section.set("label", &mut label, |value| values::reply_text(value).map(CompactString::new));
    section.finish();
    let meaning = match said? {
        Said::Listed => Meaning::Listed(weight),
        Said::Policy => Meaning::Policy,
        Said::Allowed => Meaning::Allowed(weight),
        Said::Error => Meaning::Error,
    };
    Some(Code { net: answer?, meaning, label })
}

/// One answer or several, within 127.0.0.0/8 (RFC 5782 section 2.1).
fn answer(value: Value<'_>) -> Result<Ipv4Net, Fault> {
    const ANSWER: &str = r#"an answer such as "127.0.0.2", or several as "127.0.0.4/30""#;
    let one = |text: &str| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from);
    let net = values::parsed(value, ANSWER, |text| one(text).or_else(|| text.parse().ok()))?;
    if net.addr().is_loopback() && net.prefix_len() >= 8 {
        Ok(net.trunc())
    } else {
        Err(value.unexpected(ANSWER))
    }
}
