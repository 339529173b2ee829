//! What the cores need of the log and of the checkpoint behind it.

use super::rot::Found;
use kidoku_core::effect::Load;
use kidoku_core::error::Error;
use kidoku_core::fact::Partition;
use kidoku_core::id::{App, ShardId};
use std::fmt;
use tokio::sync::oneshot;

/// A page of a scan.
pub(crate) type ScanPage = Result<kidoku_store::ScanPage, Error>;

/// What travels through the log's queue between the facts, in order with them, so that the answer
/// holds everything appended before.
pub(crate) enum Marker {
    /// A shard needs data; the answer goes to its mailbox.
    Load {
        /// Which shard.
        core: ShardId,
        /// What it needs.
        load: Load,
    },
    /// Somebody reads an app's facts.
    Scan {
        /// Whose facts.
        app: App,
        /// The last partition of the page before.
        after: Option<Partition>,
        /// Where the page goes.
        reply: oneshot::Sender<ScanPage>,
    },
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Load { .. } => "Load",
            Self::Scan { .. } => "Scan",
        })
    }
}

/// Figures of log and checkpoint, for health and metrics.
#[derive(Clone, Debug, Default)]
pub(crate) struct JournalStatus {
    /// The last lsn appended.
    pub(crate) appended_lsn: u64,
    /// The last lsn that the store holds.
    pub(crate) flushed_lsn: u64,
    /// Groups written.
    pub(crate) groups: u64,
    /// Bytes written.
    pub(crate) bytes: u64,
    /// Seconds in fsync.
    pub(crate) sync_seconds: f64,
    /// Times a write or sync of the log failed.
    pub(crate) failures: u64,
    /// Times the store took what waited.
    pub(crate) flushes: u64,
    /// Times the store could not take what waited.
    pub(crate) flush_failures: u64,
    /// Times the store was opened again after a failure.
    pub(crate) store_reopened: u64,
    /// Facts of the log from before the start that are not merged yet.
    pub(crate) replay_facts: u64,
    /// Bytes of facts not in the store yet.
    pub(crate) overlay_bytes: u64,
    /// What is wrong; empty = nothing.
    pub(crate) problems: Vec<String>,
    /// What was found rotten.
    pub(crate) rot: Found,
}

/// The log and the checkpoint behind it; the tests have one of their own.
pub(crate) trait Journal: Send + Sync + fmt::Debug {
    /// Appends `count` records, each with its length as four bytes (little-endian) before it.
    /// Answers the lsn of the last one; [`u64::MAX`], which is never durable, when the log takes no
    /// more.
    fn append(&self, records: &[u8], count: u32) -> u64;

    /// Puts a marker behind everything appended so far.
    fn mark(&self, marker: Marker);

    /// True when the queue before the disk may take more from clients.
    fn has_room(&self) -> bool;

    /// True while the store can not be written and no more may wait for it.
    fn is_stuck(&self) -> bool;

    /// The figures.
    fn status(&self) -> JournalStatus;
}
