//! The socket of a connection: gives back the bytes that were read to find the protocol, and tells
//! the deadlines what happens.

use super::deadlines::Deadlines;
use super::gate::Gate;
use crate::metrics::ConnectionGuard;
use crate::net::limits::HEAD_BYTES_MAX;
use crate::net::stream::Stream;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How every HTTP/2 connection begins (RFC 9113, section 3.4); no HTTP/1 request does.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes handed to the socket before others get their turn.
const SEND_BYTES_MAX: usize = 128 << 10;

/// Bytes read at a time until the protocol is known; they are on the stack.
const FIRST_PIECE_BYTES: usize = 1_024;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// See the module. It is counted as open for as long as it lives, also as a WebSocket.
pub(super) struct Io {
    stream: Stream,
    deadlines: Arc<Deadlines>,
    /// What was read to find the protocol; no more than a head and a piece.
    first: Vec<u8>,
    /// How many bytes of it were searched for the end of the head,
    looked_at: usize,
    /// and how many given back.
    given: usize,
    /// Of an HTTP/2 connection whose other end is a stranger.
    gate: Option<Gate>,
    /// How many bytes the socket may still be handed in this turn.
    may_send: usize,
    _guard: ConnectionGuard,
}

impl Io {
    pub(super) fn new(stream: Stream, deadlines: Arc<Deadlines>, guard: ConnectionGuard) -> Self {
        Self {
            stream,
            deadlines,
            first: Vec::new(),
            looked_at: 0,
            given: 0,
            gate: None,
            may_send: SEND_BYTES_MAX,
            _guard: guard,
        }
    }

    /// Reads as much as it takes to know the protocol, and with HTTP/1 a whole head. Until then
    /// nothing is set up, so that a connection on which nothing comes, or half a head, costs little
    /// more than what has come.
    ///
    /// # Errors
    /// When the connection ends or breaks before anything came.
    pub(super) async fn find_protocol(&mut self) -> io::Result<Protocol> {
        loop {
            let count = self.first.len().min(PREFACE.len());
            let is_http1 = self.first.get(..count) != PREFACE.get(..count);
            if !is_http1 && count == PREFACE.len() {
                self.gate = Some(Gate::new(PREFACE.len()));
                return Ok(Protocol::Http2);
            }
            if is_http1 && (self.ends_head() || self.first.len() >= HEAD_BYTES_MAX) {
                return Ok(Protocol::Http1);
            }
            if poll_fn(|context| self.poll_first(context)).await? == 0 {
                return match self.first.is_empty() {
                    true => Err(io::ErrorKind::UnexpectedEof.into()),
                    false => Ok(Protocol::Http1),
                };
            }
        }
    }

    /// Whether an empty line has come, which is the last of a head. What was looked at before is not
    /// looked at again, but for the line end that may be cut in two.
    fn ends_head(&mut self) -> bool {
        let from = std::mem::replace(&mut self.looked_at, self.first.len()).saturating_sub(3);
        let new = self.first.get(from..).unwrap_or_default();
        new.windows(2).any(|two| two == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n")
    }

    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [0; FIRST_PIECE_BYTES];
        let mut into = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut into))?;
        self.first.extend_from_slice(into.filled());
        if !into.filled().is_empty() {
            self.deadlines.note_read();
        }
        Poll::Ready(Ok(into.filled().len()))
    }

    /// Once there was enough for a turn, says so, and lets the connection come again. Turns are not
    /// told apart, so that may also be when it comes for the first time; it costs one turn.
    fn has_had_its_turn(&mut self, context: &Context<'_>) -> bool {
        if self.may_send > 0 {
            return false;
        }
        self.may_send = SEND_BYTES_MAX;
        context.waker().wake_by_ref();
        true
    }

    fn note_written(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.deadlines.note_write(false),
            Poll::Ready(Ok(count)) => {
                self.may_send = self.may_send.saturating_sub(*count);
                self.deadlines.note_write(true);
            }
            // It ends by itself.
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl Io {
    /// Reads what comes next, of what was read before and then of the socket.
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let first = self.first.get(self.given..).unwrap_or_default();
        if !first.is_empty() {
            let count = first.len().min(into.remaining());
            let (part, _) = first.split_at(count);
            into.put_slice(part);
            self.given += count;
            if self.given == self.first.len() {
                // It is not needed again, and the connection may live long.
                self.first = Vec::new();
                self.given = 0;
            }
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        if into.filled().len() > before {
            self.deadlines.note_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let Some(mut gate) = me.gate.take() else {
            return me.poll_next(context, into);
        };
        let Some(ended) = me.deadlines.ended(context) else {
            return me.poll_next(context, into);
        };
        let count = gate.allowed(ended).min(into.remaining());
        if count == 0 {
            me.gate = Some(gate);
            return Poll::Pending;
        }
        let mut part = ReadBuf::new(into.initialize_unfilled_to(count));
        let read = me.poll_next(context, &mut part);
        let filled = part.filled().len();
        gate.note(part.filled())?;
        into.advance(filled);
        me.gate = Some(gate);
        read
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.has_had_its_turn(context) {
            return Poll::Pending;
        }
        let (bytes, _) = bytes.split_at(bytes.len().min(self.may_send));
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_had_its_turn(context) {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if !matches!(flushed, Poll::Ready(Err(_))) {
            self.deadlines.note_write(flushed.is_ready());
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
