//! The socket of a connection: gives back the bytes that were read to find the protocol, and tells
//! the deadlines what happens.

use super::deadlines::Deadlines;
use crate::metrics::ConnectionGuard;
use crate::net::stream::Stream;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How every HTTP/2 connection begins (RFC 9113, section 3.4); no HTTP/1 request does.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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
    first: [u8; PREFACE.len()],
    /// How many bytes of `first` have been read,
    read: usize,
    /// and how many of them given back.
    given: usize,
    _guard: ConnectionGuard,
}

impl Io {
    pub(super) fn new(stream: Stream, deadlines: Arc<Deadlines>, guard: ConnectionGuard) -> Self {
        Self {
            stream,
            deadlines,
            first: [0; PREFACE.len()],
            read: 0,
            given: 0,
            _guard: guard,
        }
    }

    /// Reads as much as it takes to know the protocol. Until then nothing is set up, so that a
    /// connection on which nothing comes costs next to nothing.
    ///
    /// # Errors
    /// When the connection ends or breaks before anything came.
    pub(super) async fn find_protocol(&mut self) -> io::Result<Protocol> {
        loop {
            let (read, expected) = (self.first.get(..self.read), PREFACE.get(..self.read));
            if read != expected {
                return Ok(Protocol::Http1);
            }
            if self.read == PREFACE.len() {
                return Ok(Protocol::Http2);
            }
            if poll_fn(|context| self.poll_first(context)).await? == 0 {
                return match self.read {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => Ok(Protocol::Http1),
                };
            }
        }
    }

    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let rest = self.first.get_mut(self.read..).unwrap_or_default();
        let mut into = ReadBuf::new(rest);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut into))?;
        let count = into.filled().len();
        self.read += count;
        if count > 0 {
            self.deadlines.note_read();
        }
        Poll::Ready(Ok(count))
    }

    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.deadlines.note_write(false),
            Poll::Ready(Ok(_)) => self.deadlines.note_write(true),
            // It ends by itself.
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let first = me.first.get(me.given..me.read).unwrap_or_default();
        if !first.is_empty() {
            let count = first.len().min(into.remaining());
            let (part, _) = first.split_at(count);
            into.put_slice(part);
            me.given += count;
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut me.stream).poll_read(context, into))?;
        if into.filled().len() > before {
            me.deadlines.note_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
