//! RESP, the protocol of Redis: any Redis client speaks to Kidoku with it.
//!
//! The path of a command: `listener`, `connection`, `input` (bytes to arguments),
//! `dispatch` (arguments to a request at its owner), the engine, `slots` (answers in order),
//! `output`. What a connection answers itself is in `session`, what takes several steps in
//! `tasks`.

mod budget;
mod check;
mod connection;
mod crowd;
mod dispatch;
mod input;
mod io;
mod limits;
mod listener;
mod output;
#[cfg(test)]
mod overload_tests;
mod session;
mod slots;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod waiting;

pub(crate) use listener::serve;

use crate::auth::Keys;
use crate::config::Config;
use crate::engine::Engine;
use crate::net::tls::Acceptor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// What all RESP connections use.
#[derive(Clone, Debug)]
pub(crate) struct RespServer {
    /// For what takes several steps.
    pub(crate) engine: Engine,
    /// Who may come in.
    pub(crate) keys: Arc<Keys>,
    /// The settings in force.
    pub(crate) config: Arc<Config>,
    /// Whether it speaks TLS.
    pub(crate) acceptor: Acceptor,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// When the server started.
    pub(crate) started: Instant,
}
