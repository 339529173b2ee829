//! Every limit of a RESP connection that is not about one command, in one place. What one request
//! may be, before and after a key was given, is in `kidoku_proto::resp::parse::Limits`; what one
//! command may name, in `kidoku_core::limits`. `docs/operating/overload.md` lists them all.

use std::time::Duration;

/// How long a connection may stay without giving a key. Tests do not wait that long.
pub(super) const LOGIN_TIME_MAX: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// Commands of a connection that has given no key, `AUTH` and those that are refused among them.
/// A client library sends half a dozen before it gives its key.
pub(super) const COMMANDS_WITHOUT_KEY_MAX: u32 = 100;

/// The part of `resp.connections_max` that connections without a key may take, as a divisor: they
/// can not keep out those who have one by being many.
const WITHOUT_KEY_DIVISOR: usize = 4;

/// How long a client may take nothing of what it is owed. Tests do not wait that long.
pub(super) const WRITE_STALL_MAX: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });

/// How long a connection that was refused may go on sending before it is cut off. Closing with
/// unread bytes would make the other side lose the answer that says why.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Bytes of answers that a client has not taken, from which on nothing more is read from it.
pub(super) const OUTPUT_PAUSE_BYTES: usize = 1 << 20;

/// Bytes handed to a socket before others get their turn.
pub(super) const SEND_BYTES_MAX: usize = 64 << 10;

/// Bytes of answers and events that a client has not taken, from which on it is cut off. Only
/// events bring it above [`OUTPUT_PAUSE_BYTES`] by more than one answer.
pub(super) const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// Events of a connection that wait until their ids are looked up, from which on it is cut off.
pub(super) const EVENTS_WAITING_MAX: usize = 10_000;

/// While the core has no room for more buffers, a connection with more unsent bytes than this is
/// not read from, and a request of which more than this has come is refused.
pub(super) const CROWDED_BYTES_MAX: usize = 16 << 10;

/// While the core is crowded, requests that one connection may have out,
pub(super) const CROWDED_REQUESTS_MAX: usize = 16;
/// and the sum of their weights. One request is let in whatever its weight.
pub(super) const CROWDED_WEIGHT_MAX: usize = 1_000;

/// Commands taken in from one connection before other tasks of the core get their turn.
pub(super) const COMMANDS_PER_TURN: usize = 128;

/// Connections without a key that may be open when `connections_max` may be in all.
pub(super) fn without_key_max(connections_max: usize) -> usize {
    (connections_max / WITHOUT_KEY_DIVISOR).max(1)
}
