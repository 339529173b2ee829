//! RESP, the protocol of Redis: any Redis client speaks to Kidoku with it.
//!
//! The path of a command: `listener`, `connection`, `input` (bytes to arguments),
//! `dispatch` (arguments to a request at its owner), the engine, `slots` (answers in order),
//! `output`. What a connection answers itself is in `session`, what takes several steps in
//! `tasks`.

mod check;
mod connection;
mod dispatch;
mod input;
mod io;
mod listener;
mod output;
mod session;
mod slots;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use listener::serve;

use crate::auth::Keys;
use crate::config::Config;
use crate::engine::Engine;
use crate::net::tls::Acceptor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of answers that a client has not taken, from which on nothing more is read from it.
const OUTPUT_PAUSE_BYTES: usize = 8 << 20;

/// Bytes of answers and events that a client has not taken, from which on it is cut off.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// How long a client may take nothing of what it is owed. Tests do not wait that long.
const WRITE_STALL: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });

/// How long a connection may stay without giving a key. Tests do not wait that long.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

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
