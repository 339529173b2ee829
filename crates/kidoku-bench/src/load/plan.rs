//! What a run is: how many connections, how much at once, how fast, how long.

use std::fmt;
use std::time::Duration;

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When those before them are answered.
    Closed,
    /// When they are due, so many in a second over all connections.
    Open {
        /// Requests in a second, at least 1.
        per_second: u32,
    },
}

/// A run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What is special in this run, for people; empty when nothing is.
    pub(crate) title: &'static str,
    /// Open connections, at least 1.
    pub(crate) connections: usize,
    /// Closed loop: requests written at once, the next ones when all are answered, as `redis-benchmark`
    /// does. Open loop: requests under way on a connection; more that are due wait for an answer, and
    /// their latency runs.
    pub(crate) pipeline: usize,
    pub(crate) pace: Pace,
    /// Sent as all the rest, and not counted.
    pub(crate) warm_up: Duration,
    /// What is measured.
    pub(crate) duration: Duration,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.connections;
        if !self.title.is_empty() {
            write!(f, "{}, ", self.title)?;
        }
        match self.pace {
            Pace::Closed => write!(f, "{connections} connections, pipeline {}", self.pipeline),
            Pace::Open { per_second } => {
                let rate = crate::number::grouped(u64::from(per_second));
                write!(f, "{connections} connections, {rate} due a second")
            }
        }
    }
}
