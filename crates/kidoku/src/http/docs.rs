//! The OpenAPI document, and a page that shows it. The page loads nothing from elsewhere.

use super::HttpState;
use axum::Router;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use kidoku_proto::error::ERRORS;
use std::fmt::Write;

const PAGE: &str = include_str!("docs/docs.html");
const SCRIPT: &str = include_str!("docs/docs.js");
const STYLE: &str = include_str!("docs/docs.css");

/// Only what this server serves itself, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes, open to everyone.
pub(super) fn routes() -> Router<HttpState> {
    Router::new()
        .route("/openapi.json", get(openapi))
        .route("/docs", get(page))
        .route(
            "/docs/docs.js",
            get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }),
        )
        .route(
            "/docs/docs.css",
            get(|| async { asset("text/css; charset=utf-8", STYLE) }),
        )
}

async fn openapi(State(state): State<HttpState>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, state.openapi.to_string()).into_response()
}

async fn page() -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (
        headers,
        Html(PAGE.replace("<!-- errors -->", &error_rows())),
    )
        .into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

/// The error reference, to which the `type` of every problem points.
fn error_rows() -> String {
    let mut rows = String::new();
    for row in &ERRORS {
        let retry = match row.retry_after_s {
            Some(seconds) => format!("after {seconds} s"),
            None => "not without a change".to_owned(),
        };
        // Writing into a string can not fail, and the table holds no character that HTML minds.
        let written = writeln!(
            rows,
            "<tr id=\"error-{}\"><td><code>{}</code></td><td>{}</td><td>{}</td><td>{retry}</td></tr>",
            row.docs_anchor,
            row.code.as_str(),
            row.http_status,
            row.title,
        );
        debug_assert!(written.is_ok());
    }
    rows
}
