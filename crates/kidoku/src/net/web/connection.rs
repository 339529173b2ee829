//! One connection, from its first byte to its end.

use super::Port;
use super::deadlines::Deadlines;
use super::io::{Io, Protocol};
use super::service::Routed;
use crate::engine::line::{Call, Seat, Turn};
use crate::metrics::ConnectionGuard;
use crate::net::limits::{
    H2_CONNECTION_WINDOW_BYTES, H2_FRAME_BYTES_MAX, H2_SEND_BYTES_MAX, H2_STREAM_WINDOW_BYTES,
    H2_STREAMS_MAX, HEAD_BYTES_MAX, HEADER_LIST_BYTES_MAX, HEADERS_MAX, Times,
};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, Sleep, sleep_until};

/// Serves a connection until it ends, breaks, or takes too long over something.
pub(super) async fn run(stream: TcpStream, guard: ConnectionGuard, port: Rc<Port>) {
    let deadlines = Arc::new(Deadlines::new(port.times, port.strangers));
    let mut watch = Watch::new(&port, Arc::clone(&deadlines));
    let accepted = {
        let mut accepting = Box::pin(port.acceptor.accept(stream));
        watch.over(accepting.as_mut(), |_| Drain::Cut).await
    };
    let Some(Ok(stream)) = accepted else {
        return;
    };
    let mut io = Io::new(stream, Arc::clone(&deadlines), guard);
    let found = {
        let mut finding = std::pin::pin!(io.find_protocol());
        watch.over(finding.as_mut(), |_| Drain::Cut).await
    };
    let Some(Ok(protocol)) = found else {
        return;
    };
    let seat = port.line.as_ref().map(Seat::new);
    watch.seat = seat.clone();
    let service = Routed::new(port.router.clone(), deadlines, seat.clone());
    // Either is far larger than what a silent connection needs, so it has a box of its own.
    match protocol {
        Protocol::Http1 => {
            let connection = http1().serve_connection(TokioIo::new(io), service);
            let mut connection = Box::pin(connection.with_upgrades());
            drop(
                watch
                    .over(connection.as_mut(), |connection| {
                        connection.graceful_shutdown();
                        Drain::GoOn
                    })
                    .await,
            );
        }
        Protocol::Http2 => {
            watch.deadlines.note_http2();
            let builder = http2(&port.times, OnThisCore(seat));
            let mut connection = Box::pin(builder.serve_connection(TokioIo::new(io), service));
            drop(
                watch
                    .over(connection.as_mut(), |connection| {
                        connection.graceful_shutdown();
                        Drain::GoOn
                    })
                    .await,
            );
        }
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        // Its clock would also run between two requests; `deadlines` tells the two apart.
        .header_read_timeout(None);
    builder
}

/// What it does against floods of resets, pings and settings is left as it is.
fn http2(times: &Times, executor: OnThisCore) -> http2::Builder<OnThisCore> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX + 1)
        .max_frame_size(H2_FRAME_BYTES_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BYTES_MAX)
        .keep_alive_interval(times.ping_interval)
        .keep_alive_timeout(times.ping_timeout);
    builder
}

/// Runs the requests of an HTTP/2 connection as tasks beside it, and charges it for them.
#[derive(Clone)]
struct OnThisCore(Option<Rc<Seat>>);

impl<F: Future<Output = ()> + 'static> Executor<F> for OnThisCore {
    fn execute(&self, request: F) {
        let seat = self.0.clone();
        // In a box of its size: moved into a future of its own it would be there twice.
        let mut request = Box::pin(request);
        drop(spawn_local(poll_fn(move |context| {
            served(seat.as_deref(), None, || request.as_mut().poll(context))
        })));
    }
}

/// Does some work of a connection at its expense.
fn served<T>(seat: Option<&Seat>, turn: Option<&Turn>, work: impl FnOnce() -> T) -> T {
    match seat {
        Some(seat) => seat.serve(turn, work),
        None => work(),
    }
}

/// What becomes of a connection when the server drains.
enum Drain {
    /// It ends by itself when all is answered.
    GoOn,
    /// It ends at once.
    Cut,
}

/// Minds the deadlines of a connection, and whether the server drains.
struct Watch {
    deadlines: Arc<Deadlines>,
    seat: Option<Rc<Seat>>,
    /// It stands in line.
    standing: Option<Rc<Call>>,
    /// Rings at a deadline or before it.
    timer: Option<Pin<Box<Sleep>>>,
    draining: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Watch {
    fn new(port: &Port, deadlines: Arc<Deadlines>) -> Self {
        Self {
            deadlines,
            seat: None,
            standing: None,
            timer: None,
            draining: Some(Box::pin(port.draining())),
        }
    }

    /// Runs `work`; `None` = it was cut off.
    async fn over<F: Future>(
        &mut self,
        mut work: Pin<&mut F>,
        drain: impl Fn(Pin<&mut F>) -> Drain,
    ) -> Option<F::Output> {
        poll_fn(|context| {
            if self.begins_to_drain(context)
                && let Drain::Cut = drain(work.as_mut())
            {
                return Poll::Ready(None);
            }
            let Poll::Ready(turn) = self.poll_turn(context) else {
                return self.poll_deadlines(context).map(|()| None);
            };
            let seat = self.seat.as_deref();
            match served(seat, turn.as_ref(), || work.as_mut().poll(context)) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => self.poll_deadlines(context).map(|()| None),
            }
        })
        .await
    }

    /// Takes a turn, or stands in line for one; `None` = there is no line.
    fn poll_turn(&mut self, context: &Context<'_>) -> Poll<Option<Turn>> {
        let is_called = self.standing.as_ref().is_some_and(|call| call.is_called());
        match &self.seat {
            Some(seat) if !is_called && seat.has_called() => Poll::Ready(None),
            Some(seat) => seat.poll_turn(&mut self.standing, context).map(Some),
            None => Poll::Ready(None),
        }
    }

    fn begins_to_drain(&mut self, context: &mut Context<'_>) -> bool {
        let begins = self
            .draining
            .as_mut()
            .is_some_and(|draining| draining.as_mut().poll(context).is_ready());
        if begins {
            self.draining = None;
        }
        begins
    }

    /// Ready when a deadline has passed.
    fn poll_deadlines(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(deadline) = self.deadlines.next() else {
                self.timer = None;
                return Poll::Pending;
            };
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            // One that rings too early, because what it was set for has been done, is set anew.
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
        }
    }
}
