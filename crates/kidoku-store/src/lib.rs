//! Where facts rest: the [`Store`] trait with a memory and an embedded implementation, the keys and
//! values they hold, the overlay of what is not stored yet, the typed loads over both, and the
//! checkpoint that moves the overlay into the store.
//!
//! A store only ever merges: no compare-and-set, no counters, no transaction over partitions. So
//! writing too much, twice, or in another order is harmless, and a crash at any point is repaired by
//! replaying the log. Nothing in this crate knows the log or the network.

pub mod checkpoint;
pub mod embedded;
mod error;
mod flush;
mod guard;
pub mod key;
pub mod layers;
pub mod load;
pub mod memory;
pub mod overlay;
mod pace;
#[doc(hidden)]
pub mod planted;
mod purge;
#[cfg(test)]
mod random;
mod rot;
mod scan;
#[cfg(test)]
mod tests;
pub mod value;

pub use checkpoint::{
    Batch, Checkpoint, CheckpointOptions, CheckpointStatus, FlushStep, Gathered, Steps,
};
pub use embedded::{Embedded, EmbeddedOptions, Keep, Repair};
pub use error::{Extent, StoreError};
pub use flush::{Flushed, flush};
pub use layers::Layers;
pub use memory::Memory;
pub use overlay::Overlay;
pub use pace::Pace;
pub use purge::Purged;
pub use rot::{Rot, RotReport};
pub use scan::{ScanPage, Skipped};

use kidoku_core::clock::Clock;
use kidoku_core::id::{ChannelKey, UserKey};
use std::borrow::Cow;
use value::Row;

/// One row to merge into the store.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The key, as [`key`] builds it.
    pub key: Cow<'a, [u8]>,
    /// What to merge into what is there.
    pub row: Cow<'a, Row>,
}

/// A stored row with its key.
pub type KeyRow = (Vec<u8>, Row);

/// What [`Store::apply`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows that changed and were written.
    pub written: u64,
    /// Rows whose stored bytes were found damaged. What is merged into them is kept beside the mark
    /// that something is missing, and reading them stays an error.
    pub corrupt: u64,
}

/// A sorted map of rows that merge.
///
/// Any number of threads may read while one writes; writers exclude one another.
pub trait Store: Send + Sync {
    /// Makes ready for writing, whatever went wrong before. What was staged is forgotten.
    ///
    /// # Errors
    /// When that is not possible yet.
    fn begin(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Merges rows of one or more partitions into what is there. Not durable before [`Self::sync`].
    /// When it fails, any part of the group may have been merged.
    ///
    /// # Errors
    /// When the engine below can't read or write.
    fn apply(&self, group: &[Entry<'_>]) -> Result<Applied, StoreError>;

    /// Merges as [`Self::apply`] does, but may keep what came out, which is not read before
    /// [`Self::write_staged`]. Between [`Self::begin`] and there each key may be given once.
    ///
    /// # Errors
    /// As [`Self::apply`].
    fn stage(&self, group: &[Entry<'_>], pace: &Pace<'_>) -> Result<Applied, StoreError> {
        let _does_not_rest = pace;
        self.apply(group)
    }

    /// Writes what [`Self::stage`] has kept. Not durable before [`Self::sync`].
    ///
    /// # Errors
    /// As [`Self::apply`].
    fn write_staged(&self, pace: &Pace<'_>) -> Result<(), StoreError> {
        let _does_not_rest = pace;
        Ok(())
    }

    /// Removes rows, for an erasure. Absent keys are fine.
    ///
    /// # Errors
    /// When the engine below can't write.
    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError>;

    /// Makes everything applied, removed and put so far durable.
    ///
    /// # Errors
    /// When that is not certain. What was written since the last success has to be written again,
    /// possibly to a newly opened store.
    fn sync(&self) -> Result<(), StoreError>;

    /// Makes everything that was synced independent of the log: from now on neither a lost journal
    /// of the engine nor one rotten block of its files can take it away. Costs more than
    /// [`Self::sync`], and need not follow each one. Everything in the log up to `lsn` is in it.
    ///
    /// # Errors
    /// When that is not certain.
    fn settle(&self, lsn: u64) -> Result<(), StoreError> {
        let _nobody_asks_for_it = lsn;
        self.sync()
    }

    /// One row.
    ///
    /// # Errors
    /// When the engine can't read, or the row is damaged.
    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError>;

    /// Up to `limit` rows from `from` on and below `end`, by rising key. Fewer than `limit` means
    /// that there are no more.
    ///
    /// # Errors
    /// When the engine can't read, or a row is damaged.
    fn range(&self, from: &[u8], end: &[u8], limit: usize) -> Result<Vec<KeyRow>, StoreError>;

    /// True when there is no row at all.
    ///
    /// # Errors
    /// When the engine can't read.
    fn is_empty(&self) -> Result<bool, StoreError> {
        match self.range(&[], &[u8::MAX], 1) {
            // There is something, only not to be read: its owner gets an error, and everybody else
            // what is theirs.
            Err(StoreError::Corrupt { .. }) => Ok(false),
            rows => Ok(rows?.is_empty()),
        }
    }

    /// A named value beside the rows, such as the format version.
    ///
    /// # Errors
    /// When the engine can't read.
    fn meta_get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Replaces a named value. Not durable before [`Self::sync`].
    ///
    /// # Errors
    /// When the engine can't write.
    fn meta_put(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Removes everything of a user that is older than the erasure: the rows of the partition, the
    /// user's entries in the rosters of channels, and the author's name in messages. The erasure
    /// mark stays. Safe to repeat and to break off.
    ///
    /// # Errors
    /// As [`Self::range`], [`Self::apply`] and [`Self::remove`].
    fn purge_user(&self, user: &UserKey, erased: Clock) -> Result<Purged, StoreError> {
        purge::user(self, user, erased)
    }

    /// Removes everything in the partition of a channel that is older than the drop. The mark stays,
    /// and so does the roster: each user's own rows say what is left of it.
    ///
    /// # Errors
    /// As [`Self::range`] and [`Self::remove`].
    fn purge_channel(&self, channel: &ChannelKey, dropped: Clock) -> Result<Purged, StoreError> {
        purge::channel(self, channel, dropped)
    }
}
