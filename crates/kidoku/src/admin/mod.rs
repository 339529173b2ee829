//! The admin port: is the server alive, is it ready, which one is it, what does it count. No key is
//! needed and no user data is shown, so it may be given to probes and scrapers, not to the world.

use crate::auth;
use crate::engine::Engine;
use crate::metrics::{HttpMetrics, Snapshot, encode};
use crate::net::limits::Times;
use crate::net::tls::{Acceptor, Tls};
use crate::net::web::{self, Port};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::io;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// What the admin port may see.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// Asked for its status.
    pub engine: Engine,
    /// What the HTTP interface has counted; the one of its
    /// [`HttpState`](crate::http::HttpState::metrics).
    pub http: Arc<HttpMetrics>,
    /// Open connections of the admin port; one more is refused.
    pub connections_max: usize,
    /// Asked how its certificate is; `None` = no port speaks TLS.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// True = takes traffic.
    pub ready: bool,
    /// Why not; empty when ready.
    pub reasons: Vec<String>,
    /// What works and will not for ever, so that somebody should look after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The answer of `/version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The program.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// The program and its version.
pub const VERSION: Version = Version {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
};

const PAGE: &str = include_str!("page.html");

/// The admin interface as a service.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/version", get(async || Json(VERSION)))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// Serves the admin listener on the current runtime until the future is dropped.
///
/// # Errors
/// When the listener can not be used by the runtime.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    state: AdminState,
    acceptor: Acceptor,
) -> io::Result<()> {
    let port = Port {
        connections: Arc::default(),
        connections_max: state.connections_max,
        times: Times::SERVING,
        acceptor,
        // Nobody shows a key here.
        strangers: false,
        line: None,
        // Whoever asks how the server is wants to know that most while it stops.
        phase: None,
        router: router(state),
    };
    web::serve(listener, port).await
}

async fn page() -> Response {
    let policy = "default-src 'none'; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE)).into_response()
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let status = state.engine.status().await;
    let mut warnings = state
        .tls
        .map_or_else(Vec::new, |tls| tls.warnings(auth::now_s()));
    if status.replay_facts > 0 {
        warnings.push(format!(
            "serving while the log is replayed: {} facts are still to be merged; receipts, drops and \
             exports wait until they are, all else is answered",
            status.replay_facts
        ));
    }
    warnings.extend(status.rot.notes);
    readiness(status.not_ready, warnings)
}

pub(crate) fn readiness(reasons: Vec<String>, warnings: Vec<String>) -> Response {
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = Json(Readiness {
        ready,
        reasons,
        warnings,
    });
    (status, [(CACHE_CONTROL, "no-store")], body).into_response()
}

async fn metrics(State(state): State<AdminState>) -> Response {
    let status = state.engine.status().await;
    let text = encode(Snapshot {
        status,
        http: state.http,
        tls: state.tls,
    });
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], text).into_response()
}
