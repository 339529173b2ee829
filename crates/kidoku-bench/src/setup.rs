//! What all rows are measured with.

use crate::machine::place::Cpus;
use crate::peer::Contender;
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
    /// Beside whom Kidoku is measured, by [`Contender::kind`]; all that are installed when `None`.
    pub(crate) beside: Option<Vec<String>>,
}

impl Setup {
    /// True when a server was not left out.
    pub(crate) fn measures(&self, contender: Contender) -> bool {
        let is_named = |beside: &Vec<String>| beside.iter().any(|name| name == contender.kind());
        matches!(contender, Contender::Kidoku(_)) || self.beside.as_ref().is_none_or(is_named)
    }
}
