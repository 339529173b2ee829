//! What fuzzing checks: one function of bytes for each place where bytes from outside are read, and
//! for each structure that has a simple model. libFuzzer drives them from the workspace in `fuzz/`;
//! the plain tests of this crate replay every input that was ever kept. A function returns when all
//! holds and panics when something does not.
//!
//! Nothing here reads a clock, the network or the environment: the same bytes do the same twice.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a check that can not go on has failed, and its panic is the report"
)]

pub mod config;
mod draw;
pub mod event_line;
mod facts;
pub mod http_body;
pub mod index_vs_set;
pub mod log_recovery;
mod memory_disk;
pub mod merge_laws;
pub mod record_decode;
pub mod resp_command;
pub mod resp_parse;
pub mod shard_vs_model;
pub mod token;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its module, its file in `fuzz/fuzz_targets` and its folders of inputs.
    pub name: &'static str,
    /// What it checks.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[
            $(Target { name: stringify!($name), run: $name::run },)*
        ];
    };
}

targets!(
    config,
    event_line,
    http_body,
    index_vs_set,
    log_recovery,
    merge_laws,
    record_decode,
    resp_command,
    resp_parse,
    shard_vs_model,
    token,
);
