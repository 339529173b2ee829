//! The pure heart of Kidoku: facts and the laws by which they merge, the message index, counting,
//! and the shard state machine.
//!
//! Nothing in this crate does I/O, reads a clock, draws randomness, starts a thread or awaits. Time
//! and hash seeds come in as arguments, effects go out as values, so the server, the simulator and
//! the property tests run the very same code.

pub mod clock;
pub mod damaged;
pub mod effect;
pub mod error;
pub mod fact;
pub mod id;
pub mod id_set;
pub mod limits;
pub mod placement;
#[doc(hidden)]
pub mod planted;
pub mod reply;
pub mod request;
pub mod shard;
