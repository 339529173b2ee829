//! The append-only log: the truth about every accepted fact until the store holds it.
//!
//! Records are opaque bytes; this crate knows nothing of facts. A record's **lsn** is its running
//! number from 1. Records are written in groups, each group as one frame with one write and one
//! `fdatasync`, into segment files that are removed whole once the store holds what they hold.
//!
//! - [`Log`]: segments, framing, rotation, recovery, cutting. One owner, no threads.
//! - [`queue`]: the group commit in front of it. Any number of [`Appender`]s, one [`Committer`]
//!   that owns the log, and a [`Writer`] thread that drives it.
//! - [`Disk`]: what the log needs of a directory, so that a simulator can put its own under it.
//!
//! The bytes on disk are described in `docs/internals/format.md`.

mod cut;
mod disk;
mod error;
#[cfg(test)]
mod fake_disk;
mod format;
mod fs_disk;
mod gate;
mod log;
mod mend;
#[doc(hidden)]
pub mod planted;
pub mod queue;
mod recovery;
mod scan;
#[cfg(test)]
mod tests;

pub use cut::Cutter;
pub use disk::{Disk, SegmentFile};
pub use error::{GroupError, LogError};
pub use format::{GROUP_BYTES_MAX, RECORD_BYTES_MAX};
pub use fs_disk::{FsDisk, FsFile};
pub use gate::{Verdict, View};
pub use log::{Durability, Log, LogOptions};
pub use queue::{
    Appender, Batch, BatchState, Committer, QueueError, QueueOptions, QueueStats, Sink, Writer,
};
pub use recovery::{Damage, Mend, Recovery, TornTail};

/// The running number of a record: 1 for the first one ever appended, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first record.
    pub const NONE: Self = Self(0);

    /// The one after this.
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// `count` records further on. 2^64 records can not be written, so nothing is lost by stopping
    /// there.
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The one before this; of the first one, [`Lsn::NONE`].
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A length as a 64-bit number, without loss.
fn wide(len: usize) -> u64 {
    len as u64
}

/// A length read from a file, as a length in memory; on a 32-bit machine a larger one ends a slice
/// just as the largest does.
fn length(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
