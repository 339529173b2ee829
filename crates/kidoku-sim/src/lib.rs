//! Checks the shards from outside: a brute-force model of what Kidoku promises, random histories,
//! and a deterministic driver that runs the real shards on them.
//!
//! Nothing here knows how a shard works. The model keeps everything that ever happened and counts
//! by looking at every message; where the model and the shards disagree, one of them is wrong.

pub mod backing;
pub mod campaign;
pub mod cluster;
pub mod history;
pub mod kept;
pub mod loader;
pub mod model;
pub mod random;
pub mod shrink;
#[cfg(feature = "planted")]
pub mod teeth;
pub mod workload;
pub mod world;
