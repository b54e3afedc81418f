//! What the daemon's own status says.

use super::Finding;
use crate::address::Address;
use crate::admin::is_left_out;
use crate::admin::mode::Told;
use crate::admin::status::Status;
use crate::config::Config;
use crate::store::is_aside;
use std::path::Path;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(86_400);
/// Observing is for some weeks.
const OBSERVED_LONG: Duration = Duration::from_secs(30 * 86_400);
/// A ledger younger than this, with fewer identities than that, knows next to nobody.
const YOUNG: (Duration, usize) = (Duration::from_secs(7 * 86_400), 1000);
/// Questions after which more than one client should have been seen.
const ENOUGH_QUESTIONS: u64 = 50;
/// Questions sent to the DNS after which a share of failures says something.
const ENOUGH_SENT: u64 = 20;
/// As much as two clocks on one host may differ in what they say.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// What else is seen from here.
pub(crate) struct Seen {
    pub(crate) now: SystemTime,
    /// When the state in the daemon's directory began; `None` when that cannot be seen.
    pub(crate) began: Option<SystemTime>,
    /// States that were set aside there, as far as that can be seen.
    pub(crate) aside: Vec<String>,
    /// Where the admin interface is to listen, and does not.
    pub(crate) missed: Vec<Address>,
}

impl Seen {
    /// The state begins with its head, which is written once.
    pub(crate) fn of(status: &Status, config: &Config, now: SystemTime) -> Self {
        let directory = status.state.directory.as_deref().map(Path::new);
        let head = directory.map(|directory| directory.join("head"));
        let began = head.and_then(|head| std::fs::metadata(head).ok()?.modified().ok());
        let aside = directory.map(set_aside).unwrap_or_default();
        Self { now, began, aside, missed: missed(status, &config.admin.listen) }
    }

    fn age(&self) -> Option<Duration> {
        self.now.duration_since(self.began?).ok()
    }
}

/// What the store has set aside in its directory, by name.
fn set_aside(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_aside(name)).collect();
    names.sort_unstable();
    names
}

/// Port 0 is any, and the default socket is left out where there is no place for it.
fn missed(status: &Status, listen: &[Address]) -> Vec<Address> {
    let there =
        |address: &Address| status.listening.iter().any(|socket| socket.address == address.to_string());
    let wanted =
        |address: &&Address| !is_left_out(address) && address.tcp().is_none_or(|tcp| tcp.port() != 0);
    listen.iter().filter(wanted).filter(|address| !there(address)).cloned().collect()
}

/// Everything.
pub(crate) fn findings(status: &Status, seen: &Seen) -> Vec<Finding> {
    let found = [
        stuck(status),
        never_asked(status),
        one_client(status),
        mode(status, seen),
        mode_set(status),
        configuration(status),
        state(status),
        aside(seen),
        dns(status),
        labels(status),
        clock(status, seen),
    ];
    found.into_iter().flatten().chain(lists(status)).chain(refused(status)).chain(not_there(seen)).collect()
}

fn stuck(status: &Status) -> Option<Finding> {
    let todo = "restart it, and report what the log says before";
    status.stuck.then(|| Finding::new("stuck", "so many decisions hang that mail is let in unjudged", todo))
}

fn never_asked(status: &Status) -> Option<Finding> {
    let asked = status.front_ends.iter().any(|front| front.questions > 0);
    let uptime = humantime::format_duration(Duration::from_secs(status.uptime_seconds));
    (!asked).then(|| {
        Finding::new(
            "never-asked",
            format!("no mail server has asked since the start {uptime} ago"),
            "put the lines of \"tempfail setup\" in force, and look at the mail server's log",
        )
    })
}

fn one_client(status: &Status) -> Option<Finding> {
    let questions: u64 = status.front_ends.iter().map(|front| front.questions).sum();
    (status.clients.addresses == 1 && questions >= ENOUGH_QUESTIONS).then(|| {
        Finding::new(
            "one-client",
            format!("all {questions} questions were about one client: a proxy or a NAT hides the clients"),
            "let the mail server see them (Postfix: smtpd_upstream_proxy_protocol)",
        )
    })
}

fn mode(status: &Status, seen: &Seen) -> Option<Finding> {
    let since = humantime::parse_rfc3339(&status.mode.mode_since).ok();
    let in_force = since.and_then(|since| seen.now.duration_since(since).ok()).unwrap_or_default();
    let age = seen.age().unwrap_or_default();
    let observed = in_force.max(age);
    let known = status.memory.tables.iter().find(|table| table.table == "identities");
    let known = known.map_or(0, |table| table.entries);
    match status.mode.mode.as_str() {
        "off" => Some(Finding::new("off", "the mode is off: nothing is judged", "set mode = \"observe\"")),
        "observe" if observed >= OBSERVED_LONG => Some(Finding::new(
            "observing-long",
            format!("the mode is still observe after {} days: nothing is deferred", days(observed)),
            "look at would= in the log, then set mode = \"enforce\"",
        )),
        "enforce" if age < YOUNG.0 && known < YOUNG.1 => Some(Finding::new(
            "enforcing-early",
            format!("the mode is enforce, and next to nobody is known yet ({known} identities)"),
            "observe for a week or two first",
        )),
        _ => None,
    }
}

fn mode_set(status: &Status) -> Option<Finding> {
    let Told { mode, mode_since, mode_set_by, mode_configured } = &status.mode;
    let by = mode_set_by.as_ref()?;
    Some(Finding::new(
        "mode-set",
        format!(
            "{by} has set the mode to {mode} at {mode_since}, and the configuration says {mode_configured}"
        ),
        format!("write mode = \"{mode}\" into it to keep it so, or reload to end it"),
    ))
}

fn configuration(status: &Status) -> Option<Finding> {
    let failed = status.configuration.not_reloaded.as_ref()?;
    Some(Finding::new(
        "not-reloaded",
        format!(
            "the configuration was not reloaded at {}, and the one of {} is in force: {}",
            failed.at, status.configuration.since, failed.why
        ),
        "tempfail check-config says what is wrong; then reload",
    ))
}

fn days(age: Duration) -> u64 {
    age.as_secs() / DAY.as_secs()
}

fn state(status: &Status) -> Option<Finding> {
    match &status.state.directory {
        None => Some(Finding::new(
            "not-kept",
            "what is learned is in memory only: a restart begins anew",
            "give it a directory: [state] directory, or StateDirectory= in the unit",
        )),
        Some(directory) if !status.state.durable => Some(Finding::new(
            "not-written",
            format!("the state cannot be written to {directory} just now"),
            "make room there, or give it to the daemon's user; the log says which",
        )),
        Some(_) => None,
    }
}

fn aside(seen: &Seen) -> Option<Finding> {
    (!seen.aside.is_empty()).then(|| {
        Finding::new(
            "set-aside",
            format!("a state was set aside as {}", seen.aside.join(", ")),
            "docs/state.md says how to put it back; remove it when you need it no more",
        )
    })
}

fn not_there(seen: &Seen) -> impl Iterator<Item = Finding> {
    seen.missed.iter().map(|address| {
        Finding::new(
            "admin-listen",
            format!("the admin interface does not listen on {address}, which [admin] listen names"),
            "the log says why it cannot; a changed listen takes a restart",
        )
    })
}

fn dns(status: &Status) -> Option<Finding> {
    let dns = status.dns.as_ref()?;
    let failed = dns.timed_out + dns.server_failed;
    let dead = dns.suspended_for.is_some() || dns.sent >= ENOUGH_SENT && failed * 2 > dns.sent;
    dead.then(|| {
        Finding::new(
            "dns",
            format!("the DNS does not answer: {failed} of {} questions failed", dns.sent),
            "see [dns] servers or /etc/resolv.conf; a caching resolver on this host is best",
        )
    })
}

fn labels(status: &Status) -> Option<Finding> {
    status.model.spam_only.then(|| {
        Finding::new(
            "spam-only",
            "spam is all that is reported, so nothing is learned of how good mail looks",
            "let a filter speak for good mail too: forgeries = \"removed\" in [filter], where it removes forged fields",
        )
    })
}

fn lists(status: &Status) -> impl Iterator<Item = Finding> {
    let in_use = ["in-order", "untested"];
    let wrong = status.lists.iter().filter(move |list| !in_use.contains(&list.standing.as_str()));
    wrong.map(|list| {
        Finding::new(
            "list",
            format!("the list {} is not used: {}", list.list, list.standing),
            "it may refuse large public resolvers, or want a key: see its terms, or remove it",
        )
    })
}

fn refused(status: &Status) -> impl Iterator<Item = Finding> {
    let refusing = status.front_ends.iter().filter(|front| front.connections.refused > 0);
    refusing.map(|front| {
        let (protocol, connections) = (&front.protocol, front.connections);
        Finding::new(
            "connections",
            format!(
                "{} connections to the {protocol} were refused since the start: {} are admitted",
                connections.refused, connections.max
            ),
            format!("raise [{protocol}] connections, or let the mail server have fewer processes"),
        )
    })
}

fn clock(status: &Status, seen: &Seen) -> Option<Finding> {
    let started = humantime::parse_rfc3339(&status.started).ok()?;
    let theirs = started + Duration::from_secs(status.uptime_seconds);
    let after =
        |one: SystemTime, other: SystemTime| one.duration_since(other).is_ok_and(|by| by > CLOCKS_DIFFER);
    let ahead = seen.began.is_some_and(|began| after(began, seen.now));
    let what = match () {
        () if ahead => "the state began in the future",
        () if after(theirs, seen.now) || after(seen.now, theirs) => "the daemon's clock and this one differ",
        () => return None,
    };
    Some(Finding::new("clock", what, "let a time service (chrony, systemd-timesyncd) keep the clock"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> SystemTime {
        humantime::parse_rfc3339("2026-03-01T00:00:00Z").unwrap()
    }

    fn ago(days: u32) -> Option<SystemTime> {
        now().checked_sub(days * DAY)
    }

    /// The status of a daemon with which nothing is wrong.
    fn healthy() -> Value {
        json!({
            "version": "1", "mode": "enforce", "mode_since": "2026-02-28T00:00:00Z",
            "mode_set_by": null, "mode_configured": "enforce",
            "configuration": {"since": "2026-02-28T00:00:00Z", "not_reloaded": null},
            "started": "2026-02-28T00:00:00Z", "uptime_seconds": 86_400, "stuck": false, "listening": [],
            "front_ends": [{"protocol": "milter", "questions": 99, "last_asked": null,
                "answered": {"seconds": 0.1, "buckets": []},
                "connections": {"open": 1, "max": 1000, "refused": 0}}],
            "clients": {"addresses": 50, "or_more": false},
            "decisions": {"total": 0, "pass": 0, "defer": 0, "reject": 0, "would_defer": 0, "quiet": 0,
                "reports": 0, "reloads": 0, "by_reason": []},
            "memory": {"bytes": 1, "max": 2, "tables": [
                {"table": "identities", "entries": 5000, "capacity": 9000, "bytes": 1}]},
            "state": {"directory": "/x", "durable": true},
            "dns": {"suspended_for": null, "questions": 1000, "hits": 0, "sent": 1000, "timed_out": 9,
                "server_failed": 0, "not_asked": 0, "kept": 0, "waiting": 0},
            "lists": [{"list": "bl.example", "standing": "in-order", "asked": 1, "failed": 0}],
            "model": {"labels": 0, "loss": 0.1, "shipped_loss": 0.1, "fallbacks": 0, "spam_only": false},
        })
    }

    /// The same, but for what is changed.
    fn codes(change: impl FnOnce(&mut Value), began: Option<SystemTime>) -> Vec<&'static str> {
        let mut status = healthy();
        change(&mut status);
        let status: Status = serde_json::from_value(status).unwrap();
        let seen = Seen { now: now(), began, aside: Vec::new(), missed: Vec::new() };
        findings(&status, &seen).iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_healthy_daemon_has_no_findings_and_each_fault_has_its_own() {
        assert_eq!(codes(|_| (), ago(20)), [""; 0]);
        type Fault = (&'static str, fn(&mut Value), u32);
        let faults: [Fault; 17] = [
            ("spam-only", |s| s["model"]["spam_only"] = json!(true), 20),
            (
                "not-reloaded",
                |s| {
                    s["configuration"]["not_reloaded"] =
                        json!({"at": "2026-02-28T01:00:00Z", "why": "2 errors"})
                },
                20,
            ),
            ("connections", |s| s["front_ends"][0]["connections"]["refused"] = json!(7), 20),
            ("mode-set", |s| s["mode_set_by"] = json!("unix:uid=0"), 20),
            ("stuck", |s| s["stuck"] = json!(true), 20),
            ("never-asked", |s| s["front_ends"][0]["questions"] = json!(0), 20),
            ("one-client", |s| s["clients"]["addresses"] = json!(1), 20),
            ("off", |s| s["mode"] = json!("off"), 20),
            ("observing-long", |s| s["mode"] = json!("observe"), 31),
            ("enforcing-early", |s| s["memory"]["tables"][0]["entries"] = json!(7), 2),
            ("not-kept", |s| s["state"]["directory"] = json!(null), 20),
            ("not-written", |s| s["state"]["durable"] = json!(false), 20),
            ("dns", |s| s["dns"]["timed_out"] = json!(600), 20),
            ("dns", |s| s["dns"]["suspended_for"] = json!(30), 20),
            ("list", |s| s["lists"][0]["standing"] = json!("refuses us"), 20),
            ("clock", |s| s["uptime_seconds"] = json!(10), 20),
            ("clock", |s| s["uptime_seconds"] = json!(999_999), 20),
        ];
        for (code, fault, days) in faults {
            assert_eq!(codes(fault, ago(days)), [code]);
        }
        assert!(codes(|_| (), now().checked_add(DAY)).contains(&"clock"));
    }

    #[test]
    fn what_was_set_aside_and_where_nobody_listens_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["pages", "unread-20261122T040000Z", "corrupt-20261121T040000Z"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut status = healthy();
        status["state"]["directory"] = json!(dir.path());
        status["listening"] = json!([{"protocol": "admin", "address": "127.0.0.1:10423"}]);
        let status: Status = serde_json::from_value(status).unwrap();
        let listen = "admin.listen = [\"127.0.0.1:10423\", \"127.0.0.1:0\", \"unix:/nowhere/admin.sock\"]";
        let config = Config::parse("t", listen).unwrap().config;
        let seen = Seen::of(&status, &config, now());
        let found: Vec<String> =
            findings(&status, &seen).iter().map(|found| format!("{}: {}", found.code, found.what)).collect();
        assert_eq!(
            found,
            [
                "set-aside: a state was set aside as corrupt-20261121T040000Z, unread-20261122T040000Z",
                "admin-listen: the admin interface does not listen on unix:/nowhere/admin.sock, which [admin] listen \
                 names",
            ]
        );
    }
}
