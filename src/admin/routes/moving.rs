//! `GET /v1/export` and `POST /v1/import`: the state of the running daemon as lines.
//!
//! Both need the right to change things, the export too: its first line has what keys the names. One of them is on its
//! way at a time. No verdict waits for either: entries are copied a segment at a time, and merged one by one.

use super::super::Desk;
use super::super::gate::Author;
use super::super::pipe;
use super::super::reply::Failure;
use crate::store::{self, ImportError, Imported, Store};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::{info, warn};

static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);
/// How long an import may take to arrive and be taken over.
const IMPORT_WITHIN: Duration = Duration::from_secs(900);
/// Octets of memory for each line while all are checked, but an operator's words, which may be long; more lines than fit
/// the state's own memory are too many.
const LINE: usize = 128;

/// `GET /v1/export`
pub(super) async fn export(who: Author, State(desk): State<Arc<Desk>>) -> Result<Response, Failure> {
    let (store, permit) = begin(&desk)?;
    let (mut inlet, outlet) = pipe::outgoing();
    tokio::task::spawn_blocking(move || {
        let now = desk.engine.clock().now();
        let exported = store::export_running(desk.engine.state(), &store, now, &mut inlet);
        // Before its end is told: who has it all may ask for more.
        drop(permit);
        match exported.and_then(|entries| inlet.end().map(|()| entries)) {
            Ok(entries) => info!(%who, entries, "state exported"),
            Err(error) => warn!(%who, %error, "an export broke off"),
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(outlet)).into_response())
}

/// `POST /v1/import`
pub(super) async fn import(
    who: Author,
    State(desk): State<Arc<Desk>>,
    body: Body,
) -> Result<Json<Imported>, Failure> {
    let (store, permit) = begin(&desk)?;
    let mut lines = BufReader::new(pipe::arriving(body, IMPORT_WITHIN));
    let (taker, now, most) = (store.clone(), desk.engine.clock().now(), desk.memory / LINE);
    let taking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        store::import_running(desk.engine.state(), &taker, &mut lines, most, now)
    });
    let internal = |what: String| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, what);
    let late = |_| Failure::new(StatusCode::REQUEST_TIMEOUT, "the lines took too long");
    let taken = timeout(IMPORT_WITHIN, taking).await.map_err(late)?;
    let taken = taken.map_err(|error| internal(error.to_string()))?.map_err(|error| match error {
        ImportError::Store(error) => internal(error.to_string()),
        wrong => Failure::bad(wrong.to_string()),
    })?;
    let Imported { entries, expired, foreign, other_model, again } = taken;
    info!(%who, entries, expired, foreign, other_model, again, "lines taken over");
    store.flush().await.map_err(|_| Failure::unavailable("taken over, but not on the disk yet"))?;
    Ok(Json(taken))
}

fn begin(desk: &Desk) -> Result<(Store, SemaphorePermit<'static>), Failure> {
    let none = "the state is kept in memory only; see [state] directory";
    let store = desk.store.clone().ok_or_else(|| Failure::unavailable(none))?;
    let busy = "another export or import is on its way";
    let permit =
        ONE_AT_A_TIME.try_acquire().map_err(|_| Failure::new(StatusCode::TOO_MANY_REQUESTS, busy))?;
    Ok((store, permit))
}
