//! Path, query and body, checked; whatever is wrong with them is a problem that says what.

use super::HttpState;
use super::bodies::BodyRoom;
use super::refused::Refused;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use kidoku_core::error::Code;
use kidoku_core::limits::{HTTP_BODY_BYTES_MAX, HTTP_BULK_BODY_BYTES_MAX};
use kidoku_proto::error::hide_secrets;
use kidoku_proto::json::problem::Problem;
use serde::de::DeserializeOwned;
use std::pin::Pin;

/// Names in the path, percent-decoded.
#[derive(Debug)]
pub(super) struct InPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<HttpState> for InPath<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refused> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(rejection) => Err(Refused::syntax(format!(
                "the path: {}",
                hide_secrets(&rejection.body_text())
            ))),
        }
    }
}

/// The query.
#[derive(Debug)]
pub(super) struct InQuery<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<HttpState> for InQuery<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refused> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Refused::syntax(format!(
                "the query: {}",
                hide_secrets(&rejection.body_text())
            ))),
        }
    }
}

macro_rules! json_body {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name<T>(pub(super) T);

        impl<T: DeserializeOwned> FromRequest<HttpState> for $name<T> {
            type Rejection = Refused;

            async fn from_request(request: Request, state: &HttpState) -> Result<Self, Refused> {
                read_json(request, $max, state).await.map(Self)
            }
        }
    };
}

json_body!(
    /// A JSON body about one thing.
    Json,
    HTTP_BODY_BYTES_MAX
);
json_body!(
    /// A JSON body that may name a thousand users or channels.
    BulkJson,
    HTTP_BULK_BODY_BYTES_MAX
);

async fn read_json<T: DeserializeOwned>(
    request: Request,
    max: usize,
    state: &HttpState,
) -> Result<T, Refused> {
    require_json(request.headers())?;
    let mut room = state.bodies.room();
    let bytes = read_all(request, max, &mut room).await?;
    // The reader has a limit on nesting of its own (128), far below what could hurt a stack.
    serde_json::from_slice(&bytes).map_err(|error| {
        let why = error.to_string();
        Refused::syntax(format!("the body: {}", hide_secrets(&why)))
    })
}

fn require_json(headers: &HeaderMap) -> Result<(), Refused> {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let kind = kidoku_proto::error::escape(kind.as_bytes());
    Err(Problem::new(
        Code::Syntax,
        format!("the body is `{kind}`, not application/json"),
    )
    .with_status(415)
    .with_hint("send the header `Content-Type: application/json` (curl: --json)")
    .into())
}

async fn read_all(request: Request, max: usize, room: &mut BodyRoom) -> Result<Vec<u8>, Refused> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(length);
    if announced.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    let mut body = request.into_body();
    // Not as long as announced: who announces much need not send it.
    let mut bytes = Vec::new();
    while let Some(piece) = next_piece(&mut body).await {
        let piece = piece.map_err(|error| Refused::syntax(format!("the body: {error}")))?;
        if bytes.len() + piece.len() > max {
            return Err(too_large(max));
        }
        room.grow(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn length(header: &HeaderValue) -> Option<usize> {
    header.to_str().ok()?.parse().ok()
}

fn too_large(max: usize) -> Refused {
    Problem::new(Code::Limit, format!("the body is longer than {max} bytes"))
        .with_status(413)
        .with_limit(max)
        .into()
}

/// The next bytes of a body; `None` at its end.
pub(super) async fn next_piece(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame? {
            Ok(frame) => {
                if let Ok(bytes) = frame.into_data() {
                    return Some(Ok(bytes));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}
