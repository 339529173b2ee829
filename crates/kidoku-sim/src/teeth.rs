//! Whether the simulator would find a fault: known ones are put in, one after another, and each has
//! to be found.

use crate::campaign::{Campaign, Failed};
use kidoku_core::planted as core;
use kidoku_log::planted as log;
use kidoku_store::planted as store;
use std::fmt;

/// Seeds within which each fault has to be found.
pub const SEEDS_MAX: u64 = 200;

/// A fault, by the crate it is put into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// In the shards.
    Core(core::Bug),
    /// In the log.
    Log(log::Bug),
    /// In the checkpoint.
    Store(store::Bug),
}

impl fmt::Debug for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(bug) => write!(f, "core {bug:?}"),
            Self::Log(bug) => write!(f, "log {bug:?}"),
            Self::Store(bug) => write!(f, "store {bug:?}"),
        }
    }
}

/// Every fault there is.
pub fn all() -> Vec<Bug> {
    let core = core::Bug::ALL.iter().copied().map(Bug::Core);
    let log = log::Bug::ALL.iter().copied().map(Bug::Log);
    let store = store::Bug::ALL.iter().copied().map(Bug::Store);
    core.chain(log).chain(store).collect()
}

/// Puts a fault in on this thread, or takes all out.
pub fn select(bug: Option<Bug>) {
    let (mut in_core, mut in_log, mut in_store) = (None, None, None);
    match bug {
        Some(Bug::Core(bug)) => in_core = Some(bug),
        Some(Bug::Log(bug)) => in_log = Some(bug),
        Some(Bug::Store(bug)) => in_store = Some(bug),
        None => {}
    }
    core::select(in_core);
    log::select(in_log);
    store::select(in_store);
}

/// The first seed that finds the fault, if one of the first [`SEEDS_MAX`] does; `None` = no fault at
/// all is put in, and nothing may be found.
pub fn find(bug: Option<Bug>, threads: usize) -> Option<Failed> {
    let campaign = Campaign {
        first: 0,
        count: SEEDS_MAX,
        time: None,
        threads,
        until_failure: true,
    };
    let report = campaign.run(|| select(bug), |_, _| ());
    report.failed.into_iter().next()
}
