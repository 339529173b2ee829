//! The checkpoint without its threads: whoever drives it decides what happens next.
//!
//! The same state and the same code as [`Checkpoint`](super::Checkpoint), so that a simulator can
//! interleave merging, flushing and loading in every order the threads could, and repeat it.

use super::threads::{Job, Shared};
use super::{Batch, CheckpointOptions, CheckpointStatus, LoadReply};
use crate::flush::stored_clock;
use crate::{Layers, Store, StoreError};
use kidoku_core::clock::Clock;
use kidoku_core::effect::Load;
use std::fmt;
use std::sync::Arc;

/// A checkpoint that does nothing by itself. Dropping it is a crash.
pub struct Steps {
    shared: Shared,
}

/// What came of a turn of the flushing thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushStep {
    /// Nothing is frozen.
    Idle,
    /// Everything up to this lsn is durable in the store.
    Done(u64),
    /// The status says why.
    Failed,
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps")
            .field("layers", &self.shared.layers)
            .finish_non_exhaustive()
    }
}

impl Steps {
    /// A checkpoint over a store. Of the options only the size of the overlay matters.
    pub fn new(store: Arc<dyn Store>, options: CheckpointOptions) -> Self {
        Self {
            shared: Shared::new(Layers::new(store), options),
        }
    }

    /// The highest clock value recorded by a flush.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn stored_clock(&self) -> Result<Clock, StoreError> {
        stored_clock(self.shared.layers.store())
    }

    /// Takes over a batch, also when there is no room: the caller does what the log's thread does,
    /// which is to wait while [`Self::has_room`] is false. Batches have rising lsns.
    pub fn batch(&self, batch: Batch) {
        self.shared.push_batch(batch);
    }

    /// Takes over a batch that was in the log before the start; see
    /// [`Checkpoint::replayed`](super::Checkpoint::replayed).
    pub fn replayed(&self, batch: Batch) {
        self.shared.push_replayed(batch);
    }

    /// True when the log's thread would not have to wait now.
    pub fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    /// The log can not be written; see [`Checkpoint::hold`](super::Checkpoint::hold).
    pub fn hold(&self) {
        self.shared.set_held(true);
    }

    /// The log has everything again.
    pub fn release(&self) {
        self.shared.set_held(false);
    }

    /// Queues a load behind everything handed to [`Self::batch`] before.
    pub fn load(&self, load: Load, reply: LoadReply) {
        self.shared.enqueue_job(Job::Load { load, reply });
    }

    /// A turn of the merging thread. False when no batch waits.
    pub fn merge(&self) -> bool {
        self.shared.merge_step()
    }

    /// Freezes the active overlay, as the merging thread does when it is due. False when there is
    /// nothing in it, or the one before is not written yet.
    pub fn freeze(&self) -> bool {
        self.shared.freeze_step()
    }

    /// A turn of the flushing thread.
    pub fn flush(&self) -> FlushStep {
        self.shared.flush_step()
    }

    /// A turn of a loading thread. There are two of them, so of the loads that are ready not only the
    /// first may be done first: `place` picks one. False when none is ready.
    pub fn answer(&self, place: usize) -> bool {
        self.shared.load_step(place)
    }

    /// How things are.
    pub fn status(&self) -> CheckpointStatus {
        self.shared.status()
    }
}
