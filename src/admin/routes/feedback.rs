//! `POST /v1/feedback`: what somebody says of a message that was let in.
//!
//! It is acknowledged once it is on the disk. See [`crate::feedback`].

use super::super::Desk;
use super::super::gate::Author;
use super::super::reply::Failure;
use crate::feedback::{self, Refused, Request, Told};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use std::sync::Arc;

/// Takes it in.
pub(super) async fn feedback(
    State(desk): State<Arc<Desk>>,
    author: Author,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Told>, Failure> {
    let Json(request) = request?;
    if !author.may_speak_as(request.source) {
        let what = "this user may say \"person\" or \"complaint\" as its source, and no other";
        return Err(Failure::new(StatusCode::FORBIDDEN, what));
    }
    Ok(Json(feedback::take(&desk.engine, desk.store.as_ref(), &request).await?))
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let what = refused.to_string();
        match refused {
            Refused::Incomplete(_) => Self::bad(what),
            Refused::NotFound(_) => Self::unknown(what),
            Refused::NoComplaint | Refused::MayBeItsSender => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, what)
            }
            Refused::NotKept => Self::unavailable(what),
        }
    }
}
