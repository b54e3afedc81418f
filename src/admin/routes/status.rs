//! `GET /v1/status`: how the daemon is doing, in numbers.

use super::super::Desk;
use super::mode;
use crate::in_force::InForce;
use crate::latency::Latency;
use crate::log::moment;
use crate::stats::{FrontSeen, Stats};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use signals::lists::Standing;
use std::sync::Arc;
use std::time::Duration;

/// How the daemon is doing.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    #[serde(flatten)]
    pub(crate) mode: mode::Told,
    pub(crate) configuration: Configuration,
    pub(crate) started: String,
    pub(crate) uptime_seconds: u64,
    /// So many decisions hang that none is begun any more.
    pub(crate) stuck: bool,
    pub(crate) listening: Vec<Socket>,
    pub(crate) front_ends: Vec<FrontEnd>,
    pub(crate) clients: Clients,
    pub(crate) decisions: Decisions,
    pub(crate) memory: Memory,
    pub(crate) state: Kept,
    /// `null` when nothing is looked up.
    pub(crate) dns: Option<Dns>,
    pub(crate) lists: Vec<List>,
    pub(crate) model: Model,
}

/// The configuration in force.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Configuration {
    /// When it was taken over.
    pub(crate) since: String,
    /// The latest reload, if it failed.
    pub(crate) not_reloaded: Option<NotReloaded>,
}

/// A configuration that was not taken over: the one before stayed in force.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct NotReloaded {
    pub(crate) at: String,
    pub(crate) why: String,
}

/// A socket.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Socket {
    pub(crate) protocol: String,
    pub(crate) address: String,
}

/// One of the protocols, and who was last seen there.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct FrontEnd {
    pub(crate) protocol: String,
    /// Questions since the start.
    pub(crate) questions: u64,
    /// When a mail server last asked; `null` when none has.
    pub(crate) last_asked: Option<String>,
    pub(crate) answered: Answered,
    pub(crate) connections: Connections,
}

/// How long answers took.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Answered {
    /// All together, in seconds.
    pub(crate) seconds: f64,
    /// The answers of each bucket alone.
    pub(crate) buckets: Vec<Bucket>,
}

/// Answers that took as long.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Bucket {
    /// The most, in seconds; `null` when there is no end.
    pub(crate) within: Option<f64>,
    pub(crate) count: u64,
}

/// The connections of a front end, on all its sockets.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Connections {
    pub(crate) open: usize,
    /// The most that are admitted at a time.
    pub(crate) max: usize,
    /// Closed at once since the start, because there were too many.
    pub(crate) refused: u64,
}

/// Clients of the mail server.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Clients {
    /// Addresses that were asked about since the start.
    pub(crate) addresses: usize,
    /// Whether there are more: counting ends there.
    pub(crate) or_more: bool,
}

/// Decisions since the start.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Decisions {
    pub(crate) total: u64,
    pub(crate) pass: u64,
    pub(crate) defer: u64,
    pub(crate) reject: u64,
    /// Let in because the mode is observe.
    pub(crate) would_defer: u64,
    /// Questions whose answer said nothing new.
    pub(crate) quiet: u64,
    /// Reports of what became of mail.
    pub(crate) reports: u64,
    /// Configurations taken over.
    pub(crate) reloads: u64,
    pub(crate) by_reason: Vec<Counted>,
}

/// Decisions of one kind.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Counted {
    pub(crate) protocol: String,
    pub(crate) action: String,
    /// The verdict, when the answer was another.
    pub(crate) would: Option<String>,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// The state in memory.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Memory {
    pub(crate) bytes: usize,
    pub(crate) max: usize,
    /// What the whole process has in memory, in octets; `null` where the system does not tell.
    pub(crate) resident: Option<u64>,
    pub(crate) tables: Vec<Table>,
}

/// One table of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Table {
    pub(crate) table: String,
    pub(crate) entries: usize,
    pub(crate) capacity: usize,
    pub(crate) bytes: usize,
}

/// Where the state is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Kept {
    /// `null` when it is not.
    pub(crate) directory: Option<String>,
    /// Whether the last write went well.
    pub(crate) durable: bool,
}

/// The resolver. Counts are since it was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Dns {
    /// Seconds for which nothing has been asked because nobody answers; `null` when all is well.
    pub(crate) suspended_for: Option<u64>,
    pub(crate) questions: u64,
    pub(crate) hits: u64,
    pub(crate) sent: u64,
    pub(crate) timed_out: u64,
    pub(crate) server_failed: u64,
    /// Suspended, or too many waited before them.
    pub(crate) not_asked: u64,
    pub(crate) kept: usize,
    /// Questions that wait for their turn.
    pub(crate) waiting: usize,
}

/// A DNS list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct List {
    pub(crate) list: String,
    /// `in-order`, `untested`, `silent`, or why it is not asked.
    pub(crate) standing: String,
    pub(crate) asked: u64,
    pub(crate) failed: u64,
}

/// How the model fares against the weights that it began with.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Model {
    pub(crate) labels: u64,
    /// Mean log loss of late, in nats.
    pub(crate) loss: f32,
    pub(crate) shipped_loss: f32,
    pub(crate) fallbacks: u64,
    /// Whether spam is all that is reported: then nothing is learned.
    pub(crate) spam_only: bool,
}

/// Answers.
pub(super) async fn status(State(desk): State<Arc<Desk>>) -> Json<Status> {
    Json(Status::of(&desk))
}

impl Status {
    pub(super) fn of(desk: &Desk) -> Self {
        let (engine, now) = (&desk.engine, desk.engine.clock().now());
        let stats = engine.stats();
        let (mode_now, in_force) = engine.in_force();
        let health = engine.state().model_health();
        let lookups = engine.lookups();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: mode::Told::of(&in_force, mode_now),
            configuration: Configuration::of(in_force),
            started: moment(desk.started),
            uptime_seconds: now.since(desk.started).as_secs(),
            stuck: engine.is_stuck(),
            listening: desk.listening.iter().map(Socket::of).collect(),
            front_ends: stats.seen.iter().map(|seen| FrontEnd::of(seen, desk)).collect(),
            clients: Clients { addresses: stats.clients.0, or_more: stats.clients.1 },
            decisions: Decisions::of(&stats),
            memory: Memory::of(desk),
            state: Kept::of(desk),
            dns: lookups.as_deref().map(|lookups| Dns::of(&lookups.health())),
            lists: lookups.map(|lookups| lookups.lists().iter().map(List::of).collect()).unwrap_or_default(),
            model: Model {
                labels: health.labels,
                loss: health.loss,
                shipped_loss: health.shipped_loss,
                fallbacks: health.fallbacks,
                spam_only: engine.state().hears_of_spam_alone(),
            },
        }
    }
}

impl Configuration {
    fn of(in_force: InForce) -> Self {
        let failed = in_force.failed.map(|failed| NotReloaded { at: moment(failed.at), why: failed.why });
        Self { since: moment(in_force.since), not_reloaded: failed }
    }
}

impl Socket {
    fn of(listening: &crate::daemon::Listening) -> Self {
        Self { protocol: listening.protocol.to_owned(), address: listening.address.to_string() }
    }
}

impl FrontEnd {
    fn of(seen: &FrontSeen, desk: &Desk) -> Self {
        let FrontSeen { protocol, questions, last, ref latency, open, refused } = *seen;
        let sockets = desk.listening.iter().filter(|socket| socket.protocol == protocol).count();
        let each = match protocol {
            "milter" => desk.milter_options.borrow().limits.connections,
            _ => desk.policy_connections,
        };
        let connections = Connections { open, max: sockets * each, refused };
        Self {
            protocol: protocol.to_owned(),
            questions,
            last_asked: last.map(moment),
            answered: Answered::of(latency),
            connections,
        }
    }
}

impl Answered {
    fn of(latency: &Latency) -> Self {
        let bucket = |(end, count): &(Option<Duration>, u64)| Bucket {
            within: end.map(|end| end.as_secs_f64()),
            count: *count,
        };
        Self { seconds: latency.sum.as_secs_f64(), buckets: latency.buckets.iter().map(bucket).collect() }
    }
}

impl Decisions {
    fn of(stats: &Stats) -> Self {
        let sum = |holds: &dyn Fn(&crate::stats::Counted) -> bool| {
            stats.decisions.iter().filter(|(counted, _)| holds(counted)).map(|(_, count)| count).sum()
        };
        Self {
            total: stats.total(),
            pass: sum(&|counted| counted.action == "pass"),
            defer: sum(&|counted| counted.action == "defer"),
            reject: sum(&|counted| counted.action == "reject"),
            would_defer: sum(&|counted| counted.would.is_some()),
            quiet: stats.quiet,
            reports: stats.reports,
            reloads: stats.reloads,
            by_reason: stats.decisions.iter().map(Counted::of).collect(),
        }
    }
}

impl Counted {
    fn of((counted, &count): (&crate::stats::Counted, &u64)) -> Self {
        let crate::stats::Counted { protocol, action, would, reason } = *counted;
        let would = would.map(str::to_owned);
        Self {
            protocol: protocol.to_owned(),
            action: action.to_owned(),
            would,
            reason: reason.to_owned(),
            count,
        }
    }
}

impl Memory {
    fn of(desk: &Desk) -> Self {
        let usage = desk.engine.state().usage();
        let table = |share: &policy_core::MemoryShare| Table {
            table: share.table.to_owned(),
            entries: share.entries,
            capacity: share.capacity,
            bytes: share.bytes,
        };
        let tables = usage.tables.iter().map(table).collect();
        Self { bytes: usage.bytes(), max: desk.memory, resident: resident(), tables }
    }
}

/// See proc_pid_status(5).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"))?;
    Some(size.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

impl Kept {
    fn of(desk: &Desk) -> Self {
        let directory = desk.directory.as_ref().map(|directory| directory.display().to_string());
        Self { directory, durable: desk.store.as_ref().is_some_and(|store| store.is_durable()) }
    }
}

impl Dns {
    fn of(health: &signals::resolver::Health) -> Self {
        Self {
            suspended_for: health.suspended_for.map(|time| time.as_secs()),
            questions: health.questions,
            hits: health.hits,
            sent: health.sent,
            timed_out: health.timed_out,
            server_failed: health.server_failed,
            not_asked: health.not_asked,
            kept: health.kept,
            waiting: health.waiting,
        }
    }
}

impl List {
    fn of(health: &signals::lists::ListHealth) -> Self {
        let standing = match health.standing {
            Standing::Untested => "untested".to_owned(),
            Standing::InOrder => "in-order".to_owned(),
            Standing::Silent => "silent".to_owned(),
            Standing::Faulty(fault) => fault.to_string(),
        };
        Self { list: health.list.to_string(), standing, asked: health.asked, failed: health.failed }
    }
}
