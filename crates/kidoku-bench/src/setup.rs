//! What all rows are measured with.

use crate::machine::place::Cpus;
use std::path::PathBuf;
use std::time::Duration;

/// What all rows are measured with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The program of the server that is measured.
    pub(crate) program: PathBuf,
    /// Where servers have their directories.
    pub(crate) data: PathBuf,
    /// Where they run.
    pub(crate) servers: Cpus,
    /// Where the generator runs.
    pub(crate) client: Cpus,
    pub(crate) rounds: usize,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
}
