//! What all rows are measured with.

use crate::machine::place::Cpus;
use crate::peer::Contender;
use crate::stop::Stop;
use std::net::SocketAddr;
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
    /// Whether a measurement begins and ends when the server has written all that it writes behind its
    /// answers, or when it rests for the moment.
    pub(crate) settles: bool,
    /// Beside whom Kidoku is measured, by [`Contender::kind`]; all that are installed when `None`.
    pub(crate) beside: Option<Vec<String>>,
    /// The one server that is measured, instead of all that could be started.
    pub(crate) against: Option<Against>,
    pub(crate) stop: Stop,
}

/// A server that runs already.
#[derive(Clone, Debug)]
pub(crate) struct Against {
    pub(crate) address: SocketAddr,
    pub(crate) key: Option<String>,
    /// In front of all names, so that they are nobody else's.
    pub(crate) prefix: String,
}

impl Setup {
    /// True when a server takes part: the one that was named, or else all that were not left out.
    pub(crate) fn measures(&self, contender: Contender) -> bool {
        if self.against.is_some() || contender == Contender::Given {
            return self.against.is_some() && contender == Contender::Given;
        }
        let is_named = |beside: &Vec<String>| beside.iter().any(|name| name == contender.kind());
        contender.is_ours() || self.beside.as_ref().is_none_or(is_named)
    }
}
