//! The rows of the bench: what is done, to whom, and what each has to answer.

mod ack;
mod disk;
mod entrants;
mod fixed;
mod memory;
mod mixed;
mod place;
mod post;
mod scale;
mod seen;
mod state;
mod told;

use crate::error::BenchError;
use crate::report::{Raw, Section};
use crate::setup::Setup;

/// Measures a row; the last one is told what happens, line by line.
type Run = fn(&Setup, &Raw, &mut dyn FnMut(&str)) -> Result<Section, BenchError>;

/// A row: one kind of work, measured by itself.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What it measures, in a line.
    pub(crate) about: &'static str,
    /// True when it can be measured on a server that runs already.
    pub(crate) is_for_given: bool,
    pub(crate) run: Run,
}

/// All rows, in the order they run.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "ack",
        about: "acks that move cursors, beside the same write in Redis, PostgreSQL and Go",
        is_for_given: true,
        run: ack::run,
    },
    Row {
        name: "state",
        about: "all of a user with 200 channels, exact, beside counts in Redis and PostgreSQL",
        is_for_given: true,
        run: state::run,
    },
    Row {
        name: "post",
        about: "a message to a channel of 10,000 members, beside a counter for each",
        is_for_given: true,
        run: post::run,
    },
    Row {
        name: "seen",
        about: "how many of 100,000 members have read a message, beside PostgreSQL",
        is_for_given: true,
        run: seen::run,
    },
    Row {
        name: "memory",
        about: "bytes of a read state and of a message",
        is_for_given: false,
        run: memory::run,
    },
    Row {
        name: "disk",
        about: "bytes written to the disk for each ack",
        is_for_given: false,
        run: disk::run,
    },
    Row {
        name: "mixed",
        about: "10,000,000 read states under all kinds of requests for minutes, beside Go",
        is_for_given: false,
        run: mixed::run,
    },
    Row {
        name: "scale",
        about: "how cost grows with channels, members and messages, over three powers of ten each",
        is_for_given: false,
        run: scale::run,
    },
];
