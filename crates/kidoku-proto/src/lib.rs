//! What Kidoku speaks: RESP2 and RESP3, the command table, the JSON shapes of the HTTP API, events as
//! JSON Lines, and the one table of error codes.
//!
//! Nothing here does I/O or reads a clock: bytes come in as slices and go out into a `Vec<u8>`. The
//! crate knows `kidoku-core`'s requests and replies, and neither the store nor the log.

pub mod command;
pub mod error;
pub mod event;
pub mod ids;
pub mod json;
pub mod resp;
