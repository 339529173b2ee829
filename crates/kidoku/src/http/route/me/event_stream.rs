//! Server-sent events: a body that makes one event when there is one to make and the one before
//! has been taken.

use super::feed::{Feed, KEEP_ALIVE, LiveState};
use crate::engine::watch::Watched;
use axum::body::{Body, Bytes};
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{sleep, sleep_until};

/// What a browser waits before it connects again, in milliseconds.
const RETRY_MS: u32 = 3_000;

/// Proxies that gather answers would hold events back.
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The answer that carries a feed.
pub(super) fn response(feed: Feed) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (NO_BUFFERING, "no"),
    ];
    let begin = Bytes::from(format!("retry: {RETRY_MS}\n\n"));
    let first: Step = Box::pin(async { Some((Some(feed), begin)) });
    (headers, Body::new(Events { step: Some(first) })).into_response()
}

/// Makes the next bytes; without a feed they are the last ones.
type Step = Pin<Box<dyn Future<Output = Option<(Option<Feed>, Bytes)>> + Send>>;

struct Events {
    step: Option<Step>,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(step) = &mut self.step else {
            return Poll::Ready(None);
        };
        let made = ready!(step.as_mut().poll(context));
        let (feed, bytes) = made.unzip();
        self.step = feed.flatten().map(|feed| -> Step { Box::pin(next(feed)) });
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

async fn next(mut feed: Feed) -> Option<(Option<Feed>, Bytes)> {
    let ends = feed.ends();
    loop {
        let watched = tokio::select! {
            biased;
            () = sleep_until(ends) => return Some((None, end("expired"))),
            watched = feed.wait() => watched,
            () = sleep(KEEP_ALIVE) => {
                let alive = Bytes::from_static(b": keep-alive\n\n");
                return feed.has_begun().then_some((Some(feed), alive));
            }
        };
        match watched {
            // After an error the device connects again and says what it has.
            Watched::Event(event) => {
                if let Some(state) = feed.show(event).await.ok()? {
                    return Some((Some(feed), frame(&state)));
                }
            }
            Watched::Stopping => return Some((None, end("stopping"))),
            Watched::Failed(_) => return None,
        }
    }
}

fn frame(state: &LiveState) -> Bytes {
    let mut bytes = format!("event: state\nid: {}\ndata: ", state.rev).into_bytes();
    // Plain structures: there is nothing in them that can not be written.
    let written = serde_json::to_writer(&mut bytes, state);
    debug_assert!(written.is_ok());
    bytes.extend_from_slice(b"\n\n");
    Bytes::from(bytes)
}

fn end(reason: &str) -> Bytes {
    Bytes::from(format!("event: end\ndata: {{\"reason\":\"{reason}\"}}\n\n"))
}
