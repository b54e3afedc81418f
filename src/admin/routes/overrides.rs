//! What an operator says about a sender: `/v1/overrides`, `/v1/forget`, `/v1/audit`.
//!
//! A change acts at once, for sessions in progress too, and is answered when it is on the disk.

use super::super::Desk;
use super::super::gate::Author;
use super::super::reply::Failure;
pub(crate) use crate::explain::OverrideTold as Told;
use crate::log::{mode, moment};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use policy_core::audit::{self, Change};
use policy_core::forget::{Forgotten, Traces};
use policy_core::overrides::{Effect, Override, Subject};
use policy_core::policy::Mode;
use policy_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// As long as an override may last that ends at all: what is to last longer ends never.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What is asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// An address, a network, a domain or a mailbox.
    pub(crate) key: String,
    pub(crate) effect: Effect,
    /// How long, such as `30d`; for ever when `null`.
    #[serde(rename = "for", default)]
    pub(crate) lasting: Option<String>,
    #[serde(default)]
    pub(crate) note: String,
    /// Whether a key that is hardly meant is.
    #[serde(default)]
    pub(crate) force: bool,
}

/// Whom a change is about.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct About {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) force: bool,
}

/// What a change came to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Ruled {
    #[serde(rename = "override")]
    pub(crate) said: Told,
    /// Whether it is on the disk; `false` when the state is kept in memory only.
    pub(crate) kept: bool,
    /// The mode in force: in `observe` a block is logged and not answered.
    pub(crate) mode: String,
}

/// What was forgotten.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Gone {
    pub(crate) key: String,
    pub(crate) entries: usize,
    pub(crate) overrides: usize,
    pub(crate) decisions: usize,
    pub(crate) kept: bool,
}

/// All overrides.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct All {
    pub(crate) overrides: Vec<Told>,
}

/// The audit trail.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Trail {
    pub(crate) changes: Vec<Entry>,
}

/// One change.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Entry {
    pub(crate) at: String,
    pub(crate) who: String,
    pub(crate) what: audit::What,
    pub(crate) key: String,
    pub(crate) until: Option<String>,
    pub(crate) note: String,
}

impl From<Change> for Entry {
    fn from(change: Change) -> Self {
        let Change { at, who, what, key, until, note } = change;
        Self { at: moment(at), who, what, key, until: until.map(moment), note }
    }
}

/// `GET /v1/overrides`
pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Json<All> {
    let now = desk.engine.clock().now();
    let held = desk.engine.state().overrides().list().into_iter().filter(|said| said.holds(now));
    Json(All { overrides: held.map(Told::from).collect() })
}

/// `GET /v1/audit`
pub(super) async fn trail(State(desk): State<Arc<Desk>>) -> Json<Trail> {
    let changes = desk.engine.state().audit().newest(audit::MOST);
    Json(Trail { changes: changes.into_iter().map(Entry::from).collect() })
}

/// `POST /v1/overrides`
pub(super) async fn overrule(
    State(desk): State<Arc<Desk>>,
    author: Author,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Ruled>, Failure> {
    let Json(wanted) = wanted?;
    let now = desk.engine.clock().now();
    let said = Override {
        subject: subject(&wanted.key, wanted.force)?,
        effect: wanted.effect,
        since: now,
        until: until(wanted.lasting.as_deref(), now)?,
        note: wanted.note,
    };
    let told = desk.engine.state().overrule(said.clone(), &author.to_string(), now);
    told.map_err(|full| Failure::bad(full.to_string()))?;
    let kept = written(&desk).await?;
    Ok(Json(Ruled { said: said.into(), kept, mode: mode(desk.engine.policy().mode).to_owned() }))
}

/// `POST /v1/overrides/lift`
pub(super) async fn lift(
    State(desk): State<Arc<Desk>>,
    author: Author,
    about: Result<Json<About>, JsonRejection>,
) -> Result<Json<Ruled>, Failure> {
    let Json(about) = about?;
    let subject = subject(&about.key, true)?;
    let lifted = desk.engine.state().lift(&subject, &author.to_string(), desk.engine.clock().now());
    let Some(said) = lifted else {
        return Err(Failure::unknown(format!("there is no override of {subject}")));
    };
    let kept = written(&desk).await?;
    Ok(Json(Ruled { said: said.into(), kept, mode: mode(desk.engine.policy().mode).to_owned() }))
}

/// `POST /v1/forget`
pub(super) async fn forget(
    State(desk): State<Arc<Desk>>,
    author: Author,
    about: Result<Json<About>, JsonRejection>,
) -> Result<Json<Gone>, Failure> {
    let Json(about) = about?;
    let subject = subject(&about.key, about.force)?;
    let (at, of, who) = (Arc::clone(&desk), subject.clone(), author.to_string());
    // It visits every table, which takes longer than a worker should be away.
    let forgotten = tokio::task::spawn_blocking(move || forget_all(&at, &of, &who)).await;
    let (Forgotten { entries, overrides }, decisions) =
        forgotten.map_err(|error| Failure::unavailable(format!("not all was forgotten: {error}")))?;
    let kept = written(&desk).await?;
    Ok(Json(Gone { key: subject.to_string(), entries, overrides, decisions, kept }))
}

fn forget_all(desk: &Desk, subject: &Subject, who: &str) -> (Forgotten, usize) {
    let mut traces = Traces::default();
    let decisions = desk.engine.forget_recent(|facts| {
        traces.note(subject, facts);
        subject.concerns(facts)
    });
    let forgotten = desk.engine.state().forget(subject, &traces, who, desk.engine.clock().now());
    (forgotten, decisions)
}

fn subject(key: &str, force: bool) -> Result<Subject, Failure> {
    let subject: Subject = key.parse().map_err(|error| Failure::bad(format!("{error}")))?;
    if force { Ok(subject) } else { subject.narrow().map_err(|error| Failure::bad(error.to_string())) }
}

fn until(lasting: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = lasting else { return Ok(None) };
    let bad = |why: &str| Failure::bad(format!("for {text:?}: {why}"));
    let lasting = humantime::parse_duration(text)
        .map_err(|_| bad("expected a duration such as \"12h\", \"30d\" or \"1d 12h\""))?;
    match lasting {
        Duration::ZERO => Err(bad("is over at once")),
        lasting if lasting > LONGEST => Err(bad("is longer than ten years; leave it out for ever")),
        lasting => Ok(Some(now.after(lasting))),
    }
}

/// Waits until a change is on the disk. Returns whether there is one to be on.
async fn written(desk: &Desk) -> Result<bool, Failure> {
    let Some(store) = &desk.store else { return Ok(false) };
    let unwritten =
        "it is in force, but cannot be written down just now: a restart would lose it; see the log";
    store.flush().await.map_err(|_| Failure::unavailable(unwritten))?;
    Ok(true)
}

impl Ruled {
    /// Whether it is a block that nobody hears of.
    pub(crate) fn is_only_logged(&self) -> bool {
        self.said.effect != Effect::Allow && self.mode != mode(Mode::Enforce)
    }
}
