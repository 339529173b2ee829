//! HTTP/1.1 and HTTP/2 on a listener: which of the two a connection speaks is told by its first
//! bytes, so both work with and without TLS and on one port.
//!
//! The path of a connection: [`serve`] counts it, `connection` finds its protocol and runs it under
//! its `deadlines`, `service` hands requests to the router. Nothing here knows a route.

mod body;
mod connection;
mod deadlines;
mod gate;
mod io;
mod service;
#[cfg(test)]
mod tests;

pub(crate) use deadlines::KeyShown;

use super::accept;
use super::descriptors::is_one_too_many;
use super::limits::Times;
use super::tls::Acceptor;
use crate::engine::line::Line;
use crate::engine::shared::Phase;
use crate::metrics::Connections;
use axum::Router;
use std::future::pending;
use std::io as std_io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::spawn_local;

/// What is served on a port.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    /// Answers the requests.
    pub(crate) router: Router,
    /// Counts the connections of all cores.
    pub(crate) connections: Arc<Connections>,
    /// One more is closed at once, so that a flood of them can not take the descriptors that the
    /// log and the store need.
    pub(crate) connections_max: usize,
    /// How long what may take.
    pub(crate) times: Times,
    /// Whether it speaks TLS.
    pub(crate) acceptor: Acceptor,
    /// Whether who connects is a stranger until a request has shown a valid key, which the router
    /// tells by [`KeyShown`]. Strangers have less time and fewer requests under way.
    pub(crate) strangers: bool,
    /// Where requests stand in line; `None` = there is no need.
    pub(crate) line: Option<Rc<Line>>,
    /// `None` = the port is served to the very end. With it, once the server drains, nobody is
    /// accepted, and connections end when what they ask is answered.
    pub(crate) phase: Option<watch::Receiver<Phase>>,
}

impl Port {
    /// Resolves when nothing new may be taken.
    fn draining(&self) -> impl Future<Output = ()> + use<> {
        let phase = self.phase.clone();
        async move {
            match phase {
                // Without a sender there is no server any more.
                Some(mut phase) => {
                    drop(phase.wait_for(|phase| *phase != Phase::Running).await);
                }
                None => pending().await,
            }
        }
    }
}

/// Serves one listener on the current runtime until the server drains.
///
/// # Errors
/// When the listener can not be used by the runtime.
pub(crate) async fn serve(listener: std::net::TcpListener, port: Port) -> std_io::Result<()> {
    let listener = accept::listener(listener)?;
    let port = Rc::new(port);
    let mut draining = Box::pin(port.draining());
    let mut pace = accept::Pace::default();
    loop {
        let (stream, _) = tokio::select! {
            accepted = accept::accept(&listener) => accepted,
            () = &mut draining => return Ok(()),
        };
        pace.keep().await;
        if is_one_too_many(&stream) {
            port.connections.note_refused();
            continue;
        }
        let Some(guard) = port.connections.admit(port.connections_max) else {
            continue;
        };
        // Without it small answers wait for the peer's delayed acknowledgement; a socket that can
        // not be told so still works.
        let _slower = stream.set_nodelay(true).is_err();
        drop(spawn_local(connection::run(
            stream,
            guard,
            Rc::clone(&port),
        )));
    }
}
