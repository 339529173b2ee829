//! The real binary, real sockets on loopback, one test program.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can not go on has failed, and says what it leaves out"
)]

mod access;
mod bad_input;
mod bench;
mod chat;
mod clients;
mod damage;
mod devices;
mod generated;
mod http;
mod live;
mod real_chat;
mod rebuild;
mod resp;
mod restart;
mod secrets;
mod semantics;
mod tls;
mod transcripts;
