//! What can be asked. A route has a module of its own here, and a line in [`all`].
//!
//! Whatever is no GET needs an [`Author`](super::gate::Author); the gate sees to it before a route is reached.

pub(crate) mod explain;
mod feedback;
pub(crate) mod log;
mod metrics;
pub(crate) mod mode;
mod moving;
pub(crate) mod overrides;
pub(crate) mod status;
pub(crate) mod top;

use super::Desk;
use super::gate::{self, Guard};
use super::reply::Failure;
use crate::feedback::LONGEST_REQUEST;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Octets of a body, where a route does not say otherwise.
const BODY_MAX: usize = 64 * 1024;
/// How long a request may take to arrive and be answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Every route.
pub(super) fn all(desk: Arc<Desk>, guard: Arc<Guard>) -> Router {
    let feedback = post(feedback::feedback).layer(DefaultBodyLimit::max(LONGEST_REQUEST));
    let quick = Router::new()
        .route(gate::FEEDBACK, feedback)
        .route("/v1/status", get(status::status))
        .route("/v1/explain", get(explain::explain))
        .route("/v1/top", get(top::top))
        .route("/v1/overrides", get(overrides::list).post(overrides::overrule))
        .route("/v1/overrides/lift", post(overrides::lift))
        .route("/v1/mode", post(mode::set))
        .route("/v1/forget", post(overrides::forget))
        .route("/v1/audit", get(overrides::trail))
        .route("/metrics", get(metrics::metrics))
        .layer(middleware::from_fn(within));
    // What lasts for as long as the other end wants: its author sees to its bounds.
    let lasting = Router::new()
        .route("/v1/log", get(log::log))
        .route("/v1/export", get(moving::export))
        .route("/v1/import", post(moving::import));
    quick
        .merge(lasting)
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(guard, gate::pass))
        .with_state(desk)
}

async fn within(request: Request, next: Next) -> Result<Response, Failure> {
    let slow = |_| Failure::new(StatusCode::REQUEST_TIMEOUT, "the request took too long");
    timeout(ANSWER_WITHIN, next.run(request)).await.map_err(slow)
}

async fn unknown(uri: Uri) -> Failure {
    Failure::unknown(format!("there is nothing at {}", uri.path()))
}

async fn not_allowed(method: Method, uri: Uri) -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not for {}", uri.path()))
}
