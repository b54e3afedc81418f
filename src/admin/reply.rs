//! Answers and errors: always JSON, an error always `{"error": "what is wrong"}`.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    what: String,
}

/// A failure as it is written.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Written {
    pub(super) error: String,
}

impl Failure {
    /// A failure with this status.
    pub(crate) fn new(status: StatusCode, what: impl Into<String>) -> Self {
        Self { status, what: what.into() }
    }

    /// What was asked makes no sense.
    pub(crate) fn bad(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what)
    }

    /// What was asked about is not known.
    pub(crate) fn unknown(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// It would be possible at another time.
    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, what)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Written { error: self.what })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), cause(&rejection.body_text()))
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), cause(&rejection.body_text()))
    }
}

/// What is wrong with the request, without how this program reads one.
fn cause(text: &str) -> &str {
    let readers = [
        "Failed to deserialize the JSON body into the target type: ",
        "Failed to deserialize query string: ",
    ];
    readers.iter().find_map(|reader| text.strip_prefix(reader)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::cause;

    #[test]
    fn what_is_wrong_is_told_alone() {
        assert_eq!(
            cause("Failed to deserialize query string: missing field `about`"),
            "missing field `about`"
        );
        assert_eq!(cause("no body"), "no body");
    }
}
