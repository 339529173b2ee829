//! Servers under measurement: started with a configuration of their own on free ports of loopback, in a
//! directory of their own that is removed with them. Nothing that was there before is touched.

mod kidoku;
mod process;
mod redis;

pub(crate) use kidoku::{Durability, Kidoku};
pub(crate) use redis::{AppendOnly, Redis};

use crate::error::BenchError;
use std::net::SocketAddr;

/// A server that runs.
pub(crate) trait Peer {
    /// What it is called in tables: the server and its durability.
    fn name(&self) -> &str;

    /// Where it takes requests.
    fn address(&self) -> SocketAddr;

    /// Its process, the parent of all others it has.
    fn pid(&self) -> u32;

    /// False while it still writes what it has answered already, so that this can be waited for and
    /// counted.
    ///
    /// # Errors
    /// It can not be asked.
    fn is_settled(&self) -> Result<bool, BenchError>;
}
