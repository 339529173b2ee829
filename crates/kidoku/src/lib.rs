//! The Kidoku server: runtimes, mailboxes, listeners, HTTP, keys, configuration, subcommands.

pub mod admin;
pub mod auth;
pub mod check;
pub mod cmd;
pub mod config;
pub(crate) mod der;
pub mod engine;
pub mod http;
pub mod metrics;
pub(crate) mod net;
pub mod resp;
pub mod server;
