//! The sections of the file and their keys, in the order of the sample.

use super::reader::{Fault, Section, Value};
use super::values::{self, ListedClient};
use super::{
    Config, Group, LogOptions, MilterService, PolicyService, SocketAccess, admin, feedback, filter,
    listening, lookups, state, units,
};
use crate::address::Address;
use crate::log::Format;
use compact_str::CompactString;
use policy_core::allowance::PerHour;
use policy_core::facts::Stage;
use policy_core::ladder::Ladder;
use policy_core::message::{Budget, MAX_MESSAGE};
use policy_core::name::DomainName;
use policy_core::networks::Networks;
use policy_core::policy::{Exemptions, Gateways, Mode, Policy, Recipients, Waits};
use policy_core::quota::Limits;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Postfix drops a connection to a policy service by itself after this (`smtpd_policy_service_max_ttl`).
const POSTFIX_TTL: Duration = Duration::from_secs(1000);
/// SMTP server processes of a Postfix as it comes (`default_process_limit`).
const POSTFIX_PROCESSES: u32 = 100;
/// The step of published warm-up schedules, and what they begin with.
const WARM_UP: (f64, f64) = (1.4, 20.0);
const SOME: RangeInclusive<u32> = 1..=1_000_000;

/// Reads the whole document.
pub(super) fn document(mut top: Section<'_>) -> Config {
    let mut config = Config::default();
    let mut policy = Policy::default();
    basics(&mut top, &mut policy);
    top.set("answer_within", &mut config.answer_within, |value| {
        values::duration(
            value,
            Duration::from_millis(10)..=8 * SECOND,
            "mail servers give up after ten seconds",
        )
    });
    policy_service(top.section("policy"), &mut config.policy_service);
    milter(top.section("milter"), &mut config.milter);
    if config.policy_service.listen.is_empty() && config.milter.listen.is_empty() {
        top.object("policy", "listens nowhere, and neither does the milter: there is nothing to do");
    }
    admin::section(top.section("admin"), &mut config.admin);
    listening::apart(&top, &config);
    memory(top.section("memory"), &mut config.memory);
    state::section(top.section("state"), &mut config.state, &mut config.retention);
    exempt(top.section("exempt"), &mut policy.exempt);
    gateways(&mut top, &mut policy.gateways);
    top.set("pools", &mut policy.pools, |value| values::networks(value).map(Networks::from_iter));
    waits(&mut top, &mut policy.waits);
    limits(top.section("limits"), &mut policy.limits);
    ladder(top.section("ladder"), &mut policy.ladder);
    config.lookups = lookups::sections(&mut top, config.answer_within);
    if config.lookups.is_none() {
        // Nobody would look at the messages.
        Arc::make_mut(&mut config.milter.options).message_max = 0;
    }
    filter::section(top.section("filter"), Arc::make_mut(&mut config.milter.options));
    feedback::section(top.section("feedback"), &mut policy, &mut config.admin);
    log(top.section("log"), &mut config.log);
    shutdown(top.section("shutdown"), &mut config.grace);
    top.finish();
    config.policy = Arc::new(policy);
    config.spread_deadline();
    config
}

fn basics(top: &mut Section<'_>, policy: &mut Policy) {
    let modes = [("off", Mode::Off), ("observe", Mode::Observe), ("enforce", Mode::Enforce)];
    let stages = [("helo", Stage::Helo), ("mail", Stage::Mail), ("rcpt", Stage::Rcpt)];
    top.set("mode", &mut policy.mode, |value| values::one_of(value, &modes));
    top.set("reply_from", &mut policy.reply_from, |value| values::one_of(value, &stages));
    top.set("code", &mut policy.code, values::code);
    top.set("help", &mut policy.help, |value| {
        values::reply_text(value).map(|text| Some(CompactString::new(text)).filter(|text| !text.is_empty()))
    });
    top.set("spamtraps", &mut policy.spamtraps, values::recipients);
    if policy.reply_from < Stage::Rcpt {
        top.warn("reply_from", "before RCPT no exemption by recipient can hold, not even postmaster's");
    }
}

fn listen(section: &mut Section<'_>, target: &mut Vec<Address>) {
    section.set("listen", target, values::addresses);
    let outside = |address: &Address| address.tcp().is_some_and(|tcp| !tcp.ip().to_canonical().is_loopback());
    if target.iter().any(outside) {
        section.warn("listen", "the protocol knows no passwords: whoever can reach this address can ask");
    }
}

/// How many connections, and for how long a silent one is kept.
fn connections(section: &mut Section<'_>, connections: &mut usize) {
    section.set("connections", connections, |value| values::whole(value, SOME).map(|n| n as usize));
    if *connections < POSTFIX_PROCESSES as usize {
        section
            .warn("connections", "Postfix opens one for each of its SMTP server processes, 100 by default");
    }
}

fn policy_service(mut section: Section<'_>, service: &mut PolicyService) {
    listen(&mut section, &mut service.listen);
    access(&mut section, &mut service.access);
    connections(&mut section, &mut service.limits.connections);
    section.set("idle", &mut service.limits.idle, |value| values::duration(value, SECOND..=DAY, ""));
    section.set("request_time", &mut service.limits.request_time, |value| {
        values::duration(value, SECOND..=5 * MINUTE, "")
    });
    if service.limits.idle < POSTFIX_TTL {
        section
            .warn("idle", "Postfix keeps a connection for 1000s and pays a second for each it finds closed");
    }
    section.finish();
}

fn milter(mut section: Section<'_>, service: &mut MilterService) {
    let limits = &mut Arc::make_mut(&mut service.options).limits;
    listen(&mut section, &mut service.listen);
    access(&mut section, &mut service.access);
    connections(&mut section, &mut limits.connections);
    section.set("idle", &mut limits.idle, |value| values::duration(value, SECOND..=DAY, ""));
    section.set("first_packet", &mut limits.first_packet, |value| {
        values::duration(value, SECOND..=5 * MINUTE, "")
    });
    let options = Arc::make_mut(&mut service.options);
    section.set("message_max", &mut options.message_max, |value| {
        values::size(value, ..=MAX_MESSAGE as u64).map(|octets| octets as usize)
    });
    let mut memory = options.message_memory.left() as u64;
    section.set("message_memory", &mut memory, |value| values::size(value, (1 << 20)..=(1 << 36)));
    options.message_memory = Budget::new(memory as usize);
    section.finish();
}

fn access(section: &mut Section<'_>, access: &mut SocketAccess) {
    section.set("socket_mode", &mut access.mode, values::file_mode);
    section.set("socket_group", &mut access.group, group);
}

pub(super) fn group(value: Value<'_>) -> Result<Option<Group>, Fault> {
    let name = value.text("the name of a group")?;
    if name.is_empty() {
        return Ok(None);
    }
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(Some(Group { name: group.name, id: group.gid.as_raw() })),
        Ok(None) => Err(value.unexpected("the name of a group of this system")),
        Err(error) => Err(value.fault(format!("group {name:?} cannot be looked up: {}", error.desc()))),
    }
}

fn memory(mut section: Section<'_>, memory: &mut usize) {
    section.set("max", memory, |value| {
        let octets = values::size(value, (16 << 20)..=(1 << 40))?;
        usize::try_from(octets).map_err(|_| value.unexpected("a size that this machine can address"))
    });
    section.finish();
}

fn exempt(mut section: Section<'_>, exempt: &mut Exemptions) {
    let required = std::mem::take(&mut exempt.recipients);
    let mut keep_required = true;
    let mut clients = Vec::new();
    section.set("authenticated", &mut exempt.authenticated, values::boolean);
    section.set("own_networks", &mut exempt.own_networks, |value| {
        values::networks(value).map(Networks::from_iter)
    });
    if !exempt.own_networks.contains(Ipv4Addr::LOCALHOST.into()) {
        section.warn("own_networks", "does not hold 127.0.0.0/8: mail from this host itself is judged");
    }
    section.set("clients", &mut clients, values::clients);
    section.set("recipients", &mut exempt.recipients, values::recipients);
    section.set("postmaster_and_abuse", &mut keep_required, values::boolean);
    section.set("domains", &mut exempt.domains, values::domains);
    if keep_required {
        add(&mut exempt.recipients, required);
    }
    list_clients(exempt, clients);
    warn_of_suffixes(&section, "clients", &exempt.client_names);
    warn_of_suffixes(&section, "domains", &exempt.domains);
    section.finish();
}

/// Warns of names that others register their domains under, as `tempfail allow` does.
fn warn_of_suffixes<'d>(section: &Section<'_>, key: &str, names: impl IntoIterator<Item = &'d DomainName>) {
    let suffixes = names.into_iter().filter(|name| name.organisational().is_none());
    let mut suffixes: Vec<&str> = suffixes.map(DomainName::as_str).collect();
    // Sets have no order, and what is said of a file shall be the same each time.
    suffixes.sort_unstable();
    for suffix in suffixes {
        section.warn(key, &format!("{suffix} is no domain of one organisation, others have theirs below it"));
    }
}

fn add(recipients: &mut Recipients, more: Recipients) {
    recipients.addresses.extend(more.addresses);
    recipients.domains.extend(more.domains);
    recipients.local_parts.extend(more.local_parts);
}

fn list_clients(exempt: &mut Exemptions, clients: Vec<ListedClient>) {
    let mut networks = Vec::new();
    for client in clients {
        match client {
            ListedClient::Network(network) => networks.push(network),
            ListedClient::Name(name) => drop(exempt.client_names.insert(name)),
        }
    }
    exempt.clients = networks.into_iter().collect();
}

fn gateways(top: &mut Section<'_>, gateways: &mut Gateways) {
    let mut all = Vec::new();
    for mut section in top.sections("gateway").unwrap_or_default() {
        let domain = section.require("domain", values::domain);
        let networks = section.require("networks", values::networks);
        if let (Some(domain), Some(networks)) = (domain, networks) {
            if all.iter().any(|(known, _)| *known == domain) {
                section.object("domain", format!("a gateway for {domain} has been given before"));
            }
            all.push((domain, Networks::from_iter(networks)));
        }
        section.finish();
    }
    *gateways = all.into_iter().collect();
}

fn waits(top: &mut Section<'_>, waits: &mut Waits) {
    let mut section = top.section("first_contact");
    let why = "published retry schedules come back within five minutes; longer delays good mail and stops no more spam";
    section.set("wait", &mut waits.first_contact, |value| values::duration(value, ..=5 * MINUTE, why));
    let share = |value: Value<'_>| values::number(value, 0.0..=1.0).map(|n| n as f32);
    section.set("suspicious", &mut waits.suspicious, share);
    section.set("good_share", &mut waits.good_share, share);
    section.finish();
    let mut section = top.section("reputation");
    let why = "a deferral is forgotten after a day, and the retry must come before";
    section.set("wait", &mut waits.bad, |value| values::duration(value, ..=12 * HOUR, why));
    section.finish();
}

fn limits(mut section: Section<'_>, limits: &mut Limits) {
    per_hour(section.section("cold"), &mut limits.cold);
    per_hour(section.section("floor"), &mut limits.floor);
    let some = 0.1..=1e6;
    section.set("low_share", &mut limits.low_share, |value| values::number(value, 0.01..=1.0));
    section.set("least", &mut limits.least, |value| values::number(value, 1.0..=1e6));
    section.set("least_high", &mut limits.least_high, |value| values::number(value, 1.0..=1e6));
    section.set("growth", &mut limits.growth, |value| values::number(value, 1.0..=1e6));
    section.set("growth_high", &mut limits.growth_high, |value| values::number(value, 1.0..=1e6));
    section.set("spike", &mut limits.spike, |value| values::number(value, 1.0..=1e6));
    section.set("prefix_factor", &mut limits.prefix_factor, |value| values::number(value, some.clone()));
    section.set("domain_factor", &mut limits.domain_factor, |value| values::number(value, some.clone()));
    section.set("sessions", &mut limits.sessions, |value| values::whole(value, SOME));
    section.set("sessions_high", &mut limits.sessions_high, |value| values::whole(value, SOME));
    section.set("sessions_low", &mut limits.sessions_low, |value| values::whole(value, SOME));
    agree(&section, limits);
    section.finish();
}

fn ladder(mut section: Section<'_>, target: &mut Option<Ladder>) {
    let mut ladder = Ladder { after: 6 * HOUR, refuse_for: DAY };
    let mut enabled = false;
    section.set("enabled", &mut enabled, values::boolean);
    let why = "a shorter time tells nobody who stays bad from who had a bad hour";
    section.set("after", &mut ladder.after, |value| values::duration(value, HOUR..=30 * DAY, why));
    section.set("refuse_for", &mut ladder.refuse_for, |value| values::duration(value, HOUR..=30 * DAY, ""));
    *target = enabled.then_some(ladder);
    section.finish();
}

/// What the limits mean beside each other.
fn agree(section: &Section<'_>, limits: &Limits) {
    if limits.floor.0.iter().zip(limits.cold.0).any(|(floor, cold)| *floor > cold) {
        section.object("floor", "a Bad sender would have more than a stranger");
    }
    if limits.cold.0[1] < WARM_UP.1 {
        section.warn("cold", "published warm-up schedules begin with 20 messages an hour");
    }
    if limits.growth < WARM_UP.0 {
        section.warn("growth", "published warm-up schedules grow 1.4 times a day");
    }
    if !(limits.sessions_low <= limits.sessions && limits.sessions <= limits.sessions_high) {
        section.object("sessions", "must lie between sessions_low and sessions_high");
    }
}

/// Nothing is ever limited to zero: a sender could never prove itself.
fn per_hour(mut section: Section<'_>, quota: &mut PerHour) {
    let [connections, messages, recipients, octets] = &mut quota.0;
    for (key, target) in [("connections", connections), ("messages", messages), ("recipients", recipients)] {
        section.set(key, target, |value| {
            let read = values::parsed(value, units::COUNT_PER_HOUR, units::count_per_hour)?;
            if read >= 1.0 { Ok(read) } else { Err(value.unexpected("at least \"1/h\"")) }
        });
    }
    section.set("bytes", octets, |value| {
        let read = values::parsed(value, units::SIZE_PER_HOUR, units::size_per_hour)?;
        if read >= 1e6 { Ok(read) } else { Err(value.unexpected("at least \"1MB/h\"")) }
    });
    section.finish();
}

fn log(mut section: Section<'_>, log: &mut LogOptions) {
    let levels = [
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
    ];
    section.set("format", &mut log.format, |value| values::one_of(value, &Format::WORDS));
    section.set("level", &mut log.level, |value| values::one_of(value, &levels));
    section.finish();
}

fn shutdown(mut section: Section<'_>, grace: &mut Duration) {
    section.set("grace", grace, |value| values::duration(value, ..=HOUR, ""));
    section.finish();
}
