//! A refusal as an HTTP response.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use kidoku_core::error::{Code, Error};
use kidoku_proto::error::row_of_word;
use kidoku_proto::event::LineError;
use kidoku_proto::json::problem::Problem;

/// Why a request is refused; leaves as `application/problem+json`.
#[derive(Debug)]
pub(super) struct Refused(Box<Problem>);

/// Rides on a response, so that refusals can be counted by their word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word(pub(super) Code);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}

impl From<LineError> for Refused {
    fn from(error: LineError) -> Self {
        Problem::from(error).into()
    }
}

impl Refused {
    /// What is told.
    pub(super) fn into_problem(self) -> Problem {
        *self.0
    }

    /// Not well formed.
    pub(super) fn syntax(detail: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Problem::new(Code::Syntax, detail).into()
    }

    /// A value of a field that breaks a rule.
    pub(super) fn in_field(field: &str, error: &Error) -> Self {
        Problem::new(error.code(), format!("field `{field}`: {error}")).into()
    }

    /// More entries than allowed.
    pub(super) fn too_many(field: &str, count: usize, max: usize) -> Self {
        let detail = format!("field `{field}`: {count} entries, at most {max} are allowed");
        Problem::new(Code::Limit, detail).with_limit(max).into()
    }

    /// The engine answered something that the request can not have.
    pub(super) fn wrong_reply() -> Self {
        Problem::new(Code::Internal, "the engine gave an answer of another kind").into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = problem.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(row) = row_of_word(problem.code) {
            response.extensions_mut().insert(Word(row.code));
        }
        response
    }
}
