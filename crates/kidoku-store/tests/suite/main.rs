//! One suite for every store, and for the checkpoint in front of it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't set up its case fails"
)]

mod checkpoint;
mod conformance;
mod model;
mod replay;
mod support;
