//! The HTTP interface: `/v1` for backends and, under `/v1/me`, for devices, described by the OpenAPI
//! document that is made from the handlers themselves.
//!
//! The path of a request: listener, router, `caller` (key, app), `input` (path, query, body),
//! one handler of `route`, the engine, JSON. Every refusal is a `refused::Refused`, so that no
//! answer of another shape leaves, whatever went wrong. Nothing here counts or stores anything.

mod bodies;
mod caller;
mod decode;
mod docs;
mod ids;
mod input;
mod openapi;
mod refused;
mod route;
mod streams;

#[cfg(test)]
mod tests;

pub use openapi::openapi_json;

use crate::auth::Keys;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::line::Line;
use crate::metrics::HttpMetrics;
use crate::net::limits::Times;
use crate::net::tls::Acceptor;
use crate::net::web::{self, Port};
use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use bodies::Bodies;
use caller::Caller;
use kidoku_core::error::Code;
use kidoku_proto::json::problem::Problem;
use refused::Refused;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use streams::Streams;

/// What every handler may use; cheap to clone. One for the process, so that all cores count into
/// the same metrics.
#[derive(Clone, Debug)]
pub struct HttpState {
    /// Answers everything.
    pub engine: Engine,
    /// Who may ask.
    pub keys: Arc<Keys>,
    /// The settings in force.
    pub config: Arc<Config>,
    /// What is counted here.
    pub metrics: Arc<HttpMetrics>,
    /// The live streams that are open.
    streams: Arc<Streams>,
    /// The memory that bodies take.
    bodies: Arc<Bodies>,
    /// The OpenAPI document, made once.
    openapi: Arc<str>,
}

impl HttpState {
    /// The state of a server's HTTP interface.
    pub fn new(engine: Engine, keys: Arc<Keys>, config: Arc<Config>) -> Self {
        let document = openapi::document();
        let metrics = Arc::new(HttpMetrics::new(&openapi::operations(&document)));
        let streams = Arc::new(Streams::new(config.streams_max));
        let openapi = Arc::from(openapi::to_json(&document));
        Self {
            engine,
            keys,
            config,
            metrics,
            streams,
            bodies: Arc::default(),
            openapi,
        }
    }
}

/// The whole interface as a service.
pub fn router(state: HttpState) -> Router {
    let (routes, _) = route::all().split_for_parts();
    routes
        .merge(docs::routes().layer(middleware::from_fn_with_state(state.clone(), know)))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(state.clone(), count))
        .with_state(state)
}

/// Serves one listener on the current runtime until the server drains.
///
/// # Errors
/// When the listener can not be used by the runtime.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    state: HttpState,
    acceptor: Acceptor,
    line: Rc<Line>,
) -> io::Result<()> {
    let port = Port {
        connections: Arc::clone(state.metrics.connections()),
        connections_max: state.config.http.connections_max,
        times: Times::SERVING,
        acceptor,
        strangers: state.keys.open().is_none(),
        line: Some(line),
        phase: Some(state.engine.phase()),
        router: router(state),
    };
    web::serve(listener, port).await
}

/// A refusal of everything, made where there is no engine yet.
pub(crate) fn refusal(problem: Problem) -> Response {
    Refused::from(problem).into_response()
}

/// Whoever shows a valid key where none is asked for is known all the same.
async fn know(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.headers.contains_key(AUTHORIZATION) {
        // Nobody is refused here.
        drop(Caller::from_request_parts(&mut parts, &state).await);
    }
    next.run(Request::from_parts(parts, body)).await
}

async fn count(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    state
        .metrics
        .note_request(method.as_str(), route, response.status().as_u16());
    if let Some(refused::Word(code)) = response.extensions().get() {
        state.metrics.note_refusal(*code);
    }
    response
}

async fn not_found(uri: Uri) -> Refused {
    let path = kidoku_proto::error::escape(uri.path().as_bytes());
    Problem::new(Code::Syntax, format!("there is no `{path}` here"))
        .with_status(404)
        .with_hint("every route is listed at /docs and in /openapi.json")
        .into()
}

async fn method_not_allowed(method: Method, uri: Uri) -> Refused {
    let path = kidoku_proto::error::escape(uri.path().as_bytes());
    let method = kidoku_proto::error::escape(method.as_str().as_bytes());
    Problem::new(Code::Syntax, format!("`{path}` does not take {method}"))
        .with_status(405)
        .with_hint("the header Allow names the methods that it takes")
        .into()
}
