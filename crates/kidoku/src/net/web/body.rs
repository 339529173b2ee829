//! Bodies that mind the time: a request's must go on coming, an answer's must go on being taken.

use super::deadlines::Underway;
use crate::net::limits::PIECE_BYTES_MAX;
use axum::body::{Body as AxumBody, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// The body of a request.
pub(super) struct Sent {
    body: Incoming,
    stall: Duration,
    /// Rings when nothing has come for too long; there is none while something is there to be read.
    timer: Option<Pin<Box<Sleep>>>,
    /// What was read before anybody asked for it.
    ahead: Option<Result<Frame<Bytes>, SendError>>,
}

/// Why a request's body ended early.
#[derive(Debug)]
pub(super) enum SendError {
    Http(hyper::Error),
    Stalled(Duration),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Stalled(stall) => {
                write!(f, "nothing came for {} seconds", stall.as_secs_f64())
            }
        }
    }
}

impl std::error::Error for SendError {}

impl Sent {
    pub(super) fn new(body: Incoming, stall: Duration) -> Self {
        Self {
            body,
            stall,
            timer: None,
            ahead: None,
        }
    }

    /// Waits until something of it has come, or its end.
    pub(super) async fn look_ahead(&mut self) {
        if !self.is_end_stream() {
            self.ahead = poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await;
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let me = &mut *self;
        if let Some(ahead) = me.ahead.take() {
            return Poll::Ready(Some(ahead));
        }
        match Pin::new(&mut me.body).poll_frame(context) {
            Poll::Ready(frame) => {
                me.timer = None;
                Poll::Ready(frame.map(|frame| frame.map_err(SendError::Http)))
            }
            Poll::Pending => {
                let stall = me.stall;
                let timer = me.timer.get_or_insert_with(|| Box::pin(sleep(stall)));
                match timer.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(SendError::Stalled(stall)))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.as_ref().and_then(|ahead| ahead.as_ref().ok());
        let ahead = ahead.and_then(Frame::data_ref).map_or(0, Bytes::len);
        with_more(self.body.size_hint(), ahead)
    }
}

/// Bytes of a body that are not inside of it any more, or not yet.
fn with_more(mut hint: SizeHint, bytes: usize) -> SizeHint {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    // The upper bound first: it may not be below the lower one at any moment.
    if let Some(upper) = hint.upper() {
        hint.set_upper(upper.saturating_add(bytes));
    }
    hint.set_lower(hint.lower().saturating_add(bytes));
    hint
}

/// The body of an answer, in pieces of a bounded size.
pub(super) struct Answered {
    body: AxumBody,
    /// Of the last piece that the body made, what is not given out yet.
    rest: Bytes,
    underway: Underway,
}

impl Answered {
    pub(super) fn new(body: AxumBody, underway: Underway) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            underway,
        }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let count = self.rest.len().min(PIECE_BYTES_MAX);
        Frame::data(self.rest.split_to(count))
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let me = &mut *self;
        me.underway.note_asked();
        if !me.rest.is_empty() {
            me.underway.note_given();
            return Poll::Ready(Some(Ok(me.piece())));
        }
        let made = ready!(Pin::new(&mut me.body).poll_frame(context));
        let Some(Ok(frame)) = made else {
            return Poll::Ready(made);
        };
        me.underway.note_given();
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(bytes) => {
                me.rest = bytes;
                me.piece()
            }
            Err(other) => other,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        with_more(self.body.size_hint(), self.rest.len())
    }
}
