//! A listener that counts its connections and closes those over the limit at once, so that a flood
//! of them can not take the descriptors that the log and the store need.

use super::HttpState;
use crate::metrics::{ConnectionGuard, HttpMetrics};
use axum::serve::Listener;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

pub(super) struct Limited {
    listener: TcpListener,
    metrics: Arc<HttpMetrics>,
    connections_max: usize,
}

impl Limited {
    pub(super) fn new(listener: std::net::TcpListener, state: &HttpState) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            metrics: Arc::clone(&state.metrics),
            connections_max: state.config.http.connections_max,
        })
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // The runtime's own accept waits out errors such as "too many open files".
            let (stream, address) = Listener::accept(&mut self.listener).await;
            let Some(guard) = self.metrics.admit_connection(self.connections_max) else {
                continue;
            };
            // Without it small answers wait for the peer's delayed acknowledgement; a socket that
            // can not be told so still works.
            let _slower = stream.set_nodelay(true).is_err();
            return (
                Connection {
                    stream,
                    _guard: guard,
                },
                address,
            );
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A counted connection.
pub(super) struct Connection {
    stream: TcpStream,
    _guard: ConnectionGuard,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
