//! `GET /v1/top?by=&n=`: whose mail is deferred most, who sends most, who is worst.
//!
//! Deferrals are those among the latest ten thousand decisions. Volume and evidence are what is remembered of each
//! address; the whole table is visited for them, part by part, by one reader at a time.

use super::super::Desk;
use super::super::reply::Failure;
use crate::explain::because;
use crate::log::moment;
use crate::recent::Record;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use policy_core::evidence::Reading;
use policy_core::identity::networks_of;
use policy_core::standing::Word;
use policy_core::verdict::Action;
use policy_core::{Order, Ranked};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Most rows that can be asked for.
const MOST: usize = 1000;
const USUAL: usize = 20;

/// By what they are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// Decisions to defer, among the latest ones; in observe mode those that would have been.
    #[default]
    Deferred,
    /// Messages let in today (UTC).
    Volume,
    /// The weight of bad evidence.
    Bad,
}

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    pub(crate) by: By,
    pub(crate) n: Option<usize>,
}

/// The rows, the first first.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Top {
    pub(crate) by: By,
    pub(crate) rows: Vec<Row>,
}

/// One address.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    /// An IPv4 address, or an IPv6 /64.
    pub(crate) address: String,
    /// The latest confirmed reverse name, where one of the latest decisions has it.
    pub(crate) name: Option<String>,
    /// The standing's word at the latest decision that has one.
    pub(crate) standing: Option<String>,
    /// Of the latest decisions, those on it and those that defer it.
    pub(crate) decisions: usize,
    pub(crate) deferred: usize,
    /// Why, the last time that it was deferred.
    pub(crate) because: Option<String>,
    pub(crate) last: Option<String>,
    /// Messages today, and on the busiest day before.
    pub(crate) today: f32,
    pub(crate) busiest: f32,
    /// Weights of the last weeks.
    pub(crate) good: f32,
    pub(crate) bad: f32,
}

/// Answers.
pub(super) async fn top(
    State(desk): State<Arc<Desk>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Top>, Failure> {
    let Query(Wanted { by, n }) = wanted?;
    let most = n.unwrap_or(USUAL);
    if !(1..=MOST).contains(&most) {
        return Err(Failure::bad(format!("n is from 1 to {MOST}")));
    }
    let busy = |_| Failure::unavailable("somebody else is asking for this just now");
    let alone = Arc::clone(&desk.visitors).try_acquire_owned().map_err(busy)?;
    let rows = tokio::task::spawn_blocking(move || {
        let rows = rows(&desk, by, most);
        drop(alone);
        rows
    });
    let rows = rows.await.map_err(|error| Failure::unavailable(format!("not counted: {error}")))?;
    Ok(Json(Top { by, rows }))
}

fn rows(desk: &Desk, by: By, most: usize) -> Vec<Row> {
    let (state, now) = (desk.engine.state(), desk.engine.clock().now());
    let seen = seen(desk.engine.newest());
    let order = match by {
        By::Deferred => return most_deferred(desk, seen, most),
        By::Volume => Order::Volume,
        By::Bad => Order::Bad,
    };
    let row = |Ranked { network, reading }: Ranked| {
        Row::of(network.to_string(), &reading, seen.get(&network.addr()).unwrap_or(&Seen::default()))
    };
    state.ranking(None, order, most, now).into_iter().map(row).collect()
}

fn most_deferred(desk: &Desk, seen: HashMap<IpAddr, Seen>, most: usize) -> Vec<Row> {
    let (state, now) = (desk.engine.state(), desk.engine.clock().now());
    let mut deferred: Vec<(IpAddr, Seen)> = seen.into_iter().filter(|(_, seen)| seen.deferred > 0).collect();
    deferred.sort_by(|(a, x), (b, y)| y.deferred.cmp(&x.deferred).then_with(|| a.cmp(b)));
    deferred.truncate(most);
    let row =
        |(address, seen): (IpAddr, Seen)| Row::of(named(address), &state.reading_of(address, now), &seen);
    deferred.into_iter().map(row).collect()
}

/// What the latest decisions say of an address.
#[derive(Debug, Default)]
struct Seen {
    decisions: usize,
    deferred: usize,
    latest: Option<Arc<Record>>,
    because: Option<String>,
    /// At the latest decision that asked for it: an exemption does not.
    standing: Option<Word>,
}

/// By what stands for one host, the newest record first: an IPv4 address, or the first of an IPv6 /64.
fn seen(records: impl Iterator<Item = Arc<Record>>) -> HashMap<IpAddr, Seen> {
    let mut seen: HashMap<IpAddr, Seen> = HashMap::new();
    for record in records {
        let [host, _] = networks_of(record.facts.client.address);
        let of = seen.entry(host.addr()).or_default();
        of.decisions += 1;
        if record.verdict.action != Action::Accept {
            of.deferred += 1;
            of.because.get_or_insert_with(|| because(&record.verdict.reason));
        }
        if let (None, Some(standing)) = (of.standing, &record.verdict.standing) {
            of.standing = Some(standing.word);
        }
        of.latest.get_or_insert(record);
    }
    seen
}

fn named(address: IpAddr) -> String {
    let [host, _] = networks_of(address);
    if address.is_ipv4() { address.to_string() } else { host.to_string() }
}

impl Row {
    fn of(address: String, reading: &Reading, seen: &Seen) -> Self {
        let latest = seen.latest.as_deref();
        Self {
            address: address.strip_suffix("/32").map_or_else(|| address.clone(), str::to_owned),
            name: latest.and_then(|record| record.facts.client.name.as_ref()).map(ToString::to_string),
            standing: seen.standing.map(|word| word.to_string()),
            decisions: seen.decisions,
            deferred: seen.deferred,
            because: seen.because.clone(),
            last: latest.map(|record| moment(record.at)),
            today: reading.today,
            busiest: reading.busiest,
            good: reading.slow.good,
            bad: reading.slow.bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::State;
    use policy_core::answer::{DecisionId, Reply};
    use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage};
    use policy_core::findings::Findings;
    use policy_core::policy::{Exemption, Mode, Policy};
    use policy_core::time::Timestamp;
    use policy_core::verdict::{Reason, Verdict};

    fn record(reason: Reason, standing: bool) -> Arc<Record> {
        let now = Timestamp::from_secs(1_700_000_000);
        let facts = Facts {
            session: SessionId::Connection(FrontEnd::Policy, 0),
            front_end: FrontEnd::Policy,
            stage: Stage::Rcpt,
            transaction: None,
            client: Client::new([192, 0, 2, 7].into()),
            envelope: Envelope::default(),
            message: Message::default(),
            findings: Findings::default(),
        };
        let state = State::new(1 << 20, [1; 16], now);
        let standing = standing.then(|| state.explain(&Policy::default(), &facts, now).standing);
        let verdict = Verdict { standing, ..Verdict::accept(DecisionId::new(7), reason) };
        Arc::new(Record {
            at: now,
            facts: Arc::new(facts),
            verdict: Arc::new(verdict),
            reply: Reply::Accept,
            mode: Mode::Observe,
            subject: None,
            recipient: None,
        })
    }

    #[test]
    fn an_exempt_decision_does_not_hide_the_word() {
        let exempt = || record(Reason::Exempt(Exemption::Recipient), false);
        let newest_first = [exempt(), record(Reason::Allowed, true), exempt()];
        let seen = seen(newest_first.into_iter());
        let seen = &seen[&IpAddr::from([192, 0, 2, 7])];
        assert_eq!((seen.decisions, seen.standing), (3, Some(Word::New)));
        assert_eq!(seen.latest.as_ref().map(|record| record.verdict.word()), Some("-"));
    }
}
