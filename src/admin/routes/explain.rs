//! `GET /v1/explain?about=`: what is held of an address, a network, a domain, a mailbox or a decision.

use super::super::Desk;
use super::super::reply::Failure;
use crate::explain::{About, Explained};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// An address, a network, a domain, a mailbox, a decision's id or a mail server's queue id.
    pub(crate) about: String,
}

/// Answers.
pub(super) async fn explain(
    State(desk): State<Arc<Desk>>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Explained>, Failure> {
    let Query(Wanted { about }) = wanted?;
    let parsed = About::parse(&about).ok_or_else(|| {
        Failure::bad(format!("{about:?} is no address, network, domain, mailbox, decision's id or queue id"))
    })?;
    // It looks through ten thousand decisions and the whole deferral book, to the end even when nobody waits for it any
    // more: others, and the decisions that share these threads with it, must not queue behind.
    let place = Arc::clone(&desk.explainers).acquire_owned().await;
    let place = place.map_err(|error| Failure::unavailable(format!("not explained: {error}")))?;
    let explained = tokio::task::spawn_blocking(move || {
        let _place = place;
        Explained::of(&desk.engine, &parsed)
    })
    .await;
    let explained = explained.map_err(|error| Failure::unavailable(format!("not explained: {error}")))?;
    let none = || {
        Failure::unknown(format!(
            "no decision {about:?} is among the latest ones, and no name like it is known"
        ))
    };
    explained.map(Json).ok_or_else(none)
}
