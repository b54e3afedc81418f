//! `POST /v1/mode`: another mode at once, until the configuration is read again.

use super::super::Desk;
use super::super::gate::Author;
use super::super::reply::Failure;
use crate::in_force::InForce;
use crate::log::{mode, moment};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use clap::ValueEnum;
use policy_core::policy::Mode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::warn;

/// What is asked for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) mode: Word,
}

/// The word for a mode.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    /// Judge nothing.
    Off,
    /// Judge, log what would be done, and let everything in.
    Observe,
    /// Defer.
    Enforce,
}

/// The mode in force.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Told {
    /// `off`, `observe` or `enforce`.
    pub(crate) mode: String,
    /// Since when it has been in force, as far as this process knows.
    pub(crate) mode_since: String,
    /// Who has set it; `null` when the configuration has.
    pub(crate) mode_set_by: Option<String>,
    /// What the configuration says, which a reload or a restart brings back.
    pub(crate) mode_configured: String,
}

impl Told {
    pub(super) fn of(in_force: &InForce, now: Mode) -> Self {
        Self {
            mode: mode(now).to_owned(),
            mode_since: moment(in_force.mode_since),
            mode_set_by: in_force.mode_set_by.clone(),
            mode_configured: mode(in_force.mode_configured).to_owned(),
        }
    }
}

impl From<Word> for Mode {
    fn from(word: Word) -> Self {
        match word {
            Word::Off => Self::Off,
            Word::Observe => Self::Observe,
            Word::Enforce => Self::Enforce,
        }
    }
}

/// Answers.
pub(super) async fn set(
    State(desk): State<Arc<Desk>>,
    author: Author,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Told>, Failure> {
    let wanted = Mode::from(wanted?.0.mode);
    let by = author.to_string();
    desk.engine.set_mode(wanted, &by);
    let (now, in_force) = desk.engine.in_force();
    let configured = mode(in_force.mode_configured);
    warn!(mode = mode(wanted), by, configured, "mode set until a reload or restart");
    Ok(Json(Told::of(&in_force, now)))
}
