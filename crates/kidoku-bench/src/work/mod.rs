//! The rows of the bench: what is done, to whom, and what each has to answer.

mod ack;

use crate::error::BenchError;
use crate::report::{Raw, Section};
use crate::setup::Setup;

/// A row: one kind of work, measured by itself.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What it measures, in a line.
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Setup, &Raw, &mut dyn FnMut(&str)) -> Result<Section, BenchError>,
}

/// All rows, in the order they run.
pub(crate) const ROWS: &[Row] = &[Row {
    name: "ack",
    about: "acks that move cursors, beside Redis HSET",
    run: ack::run,
}];
