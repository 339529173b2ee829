//! One suite for every store, and for the checkpoint in front of it.

mod checkpoint;
mod conformance;
mod model;
mod support;
