//! The checkpoint: moves what the log has into the store, behind everyone's back.
//!
//! The log hands over each batch of facts once it is written. One thread merges batches into the
//! active overlay; when that is big or old enough it is frozen, and a second thread writes the
//! frozen one to the store while the first goes on. Loads are answered by two more threads from
//! store and overlays together, each after all batches that came before it. So no load waits for a
//! flush, and the log's thread waits only when both overlays are full: that is the back-pressure.
//!
//! After a start there is much to merge, from the log, and loads do not wait for that: each merges what
//! there is of its own user or channel first.
//!
//! Dropping a [`Checkpoint`] stops without writing, like a crash: the log still has everything.

mod gather;
mod haste;
mod loading;
mod merge;
mod replay;
mod steps;
mod threads;

use crate::flush::stored_clock;
use crate::{Layers, ScanPage, Store, StoreError};
pub use gather::Gathered;
use kidoku_core::clock::Clock;
use kidoku_core::effect::{Load, LoadFailed, Loaded};
use kidoku_core::fact::Partition;
use kidoku_core::id::App;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;
pub use steps::{FlushStep, Steps};
use threads::{Job, Shared, Stop};

/// How the checkpoint is set up.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointOptions {
    /// Bytes of the active overlay from which on it is frozen. Up to twice as many are in memory.
    /// Default 64 MiB.
    pub overlay_bytes_max: usize,
    /// The oldest that a fact in the active overlay may get. Default 5 s.
    pub flush_interval: Duration,
    /// Bytes of facts in the log from which on the overlay they are in is frozen, and those written to the
    /// store are settled: the log is kept for about twice as many, and one more while an overlay is being
    /// written. Default 128 MiB.
    pub log_bytes_max: usize,
    /// Bytes of overlay written to the store from which on it is settled, see [`Store::settle`], and
    /// so the log cut. Default 32 MiB.
    pub settle_bytes: usize,
    /// The longest that something written stays unsettled. Default 30 s.
    pub settle_interval: Duration,
    /// Bytes of replayed batches that may wait to be merged. Default 64 MiB.
    pub replay_bytes_max: usize,
    /// The longest to wait after a failed flush; after the first few it is less. Default 1 s.
    pub retry_interval: Duration,
    /// Done first by the thread that flushes, which nobody waits for: it may let others go first. Default
    /// nothing.
    pub begin_flushing: fn(),
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self {
            overlay_bytes_max: 64 * 1024 * 1024,
            flush_interval: Duration::from_secs(5),
            log_bytes_max: 128 * 1024 * 1024,
            settle_bytes: 32 * 1024 * 1024,
            settle_interval: Duration::from_secs(30),
            replay_bytes_max: 64 * 1024 * 1024,
            retry_interval: Duration::from_secs(1),
            begin_flushing: || (),
        }
    }
}

/// Facts as the log wrote them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The lsn of the first fact.
    pub first_lsn: u64,
    /// The lsn of the last fact.
    pub last_lsn: u64,
    /// The highest clock value given out when the batch was made.
    pub clock: Clock,
    /// The facts, each after its length as four bytes, little-endian.
    pub bytes: Arc<[u8]>,
    /// How many facts.
    pub count: u64,
}

/// What the checkpoint says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointStatus {
    /// Bytes of both overlays, estimated.
    pub overlay_bytes: usize,
    /// Rows of both overlays.
    pub overlay_rows: usize,
    /// Bytes of batches that wait to be merged.
    pub queued_bytes: usize,
    /// The last lsn merged into an overlay.
    pub merged_lsn: u64,
    /// The last lsn that is settled in the store; 0 = none since the start. From there on the log is
    /// needed.
    pub flushed_lsn: u64,
    /// Facts from before the start that are not merged yet.
    pub replay_facts: u64,
    /// Facts merged.
    pub facts: u64,
    /// Facts that did not decode; they are left out. Never more than 0 but for a bug or damage.
    pub facts_bad: u64,
    /// Flushes that succeeded.
    pub flushes: u64,
    /// Time those flushes took, with their rests.
    pub flush_time: Duration,
    /// Flushes that failed; each is tried again.
    pub flush_failures: u64,
    /// Rows written to the store.
    pub rows_written: u64,
    /// Rows left unwritten as they were older than an erasure.
    pub rows_stale: u64,
    /// Stored rows found damaged, and replaced, while merging.
    pub rows_corrupt: u64,
    /// Rows removed by erasures, roster entries and authors' names counted too.
    pub rows_purged: u64,
    /// Loads and scans answered.
    pub loads: u64,
    /// Loads and scans that failed.
    pub load_failures: u64,
    /// Loads and scans that wait.
    pub loads_waiting: usize,
    /// Why the last flush failed; `None` once one has succeeded.
    pub flush_error: Option<String>,
    /// The last other thing that went wrong: a load, a fact, a damaged row.
    pub last_error: Option<String>,
}

/// Takes the answer to a load.
pub type LoadReply = Box<dyn FnOnce(Result<Loaded, LoadFailed>) + Send>;

/// Takes the answer to a scan.
pub type ScanReply = Box<dyn FnOnce(Result<ScanPage, StoreError>) + Send>;

/// Is told that a flush was done, or why the first try failed.
pub type FlushReply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Is told, on the flushing thread, the last lsn that is settled in the store.
pub type OnFlushed = Box<dyn Fn(u64) + Send>;

/// A handle on the running checkpoint.
pub struct Checkpoint {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("layers", &self.shared.layers)
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Starts the threads.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn start(
        store: Arc<dyn Store>,
        options: CheckpointOptions,
        on_flushed: OnFlushed,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(Layers::new(store), options));
        // From here on a drop stops those threads that have been started.
        let mut checkpoint = Self {
            shared,
            threads: Vec::new(),
        };
        checkpoint.spawn("kidoku-merge", Shared::run_merger)?;
        checkpoint.spawn("kidoku-flush", move |shared| {
            (options.begin_flushing)();
            shared.run_flusher(&on_flushed);
        })?;
        checkpoint.spawn("kidoku-load-1", Shared::run_loader)?;
        checkpoint.spawn("kidoku-load-2", Shared::run_loader)?;
        Ok(checkpoint)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce(&Shared) + Send + 'static) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let builder = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(builder.spawn(move || run(&shared))?);
        Ok(())
    }

    /// The highest clock value recorded by a flush, before this start or since. Together with the
    /// clocks of the batches that the log still has, new clock values have to be above it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn stored_clock(&self) -> Result<Clock, StoreError> {
        stored_clock(self.shared.layers.store())
    }

    /// Takes over a batch. Blocks the caller while the active overlay is full and the frozen one is
    /// still being written, unless that failed, see [`Self::stuck`]. Batches have rising lsns.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the checkpoint is closing.
    pub fn batch(&self, batch: Batch) -> Result<(), StoreError> {
        self.shared.enqueue_batch(batch)
    }

    /// Takes over a batch that was in the log before the start, before any other. Loads of a user or a
    /// channel do not wait until it is merged. Blocks the caller while [`CheckpointOptions::replay_bytes_max`] wait.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the checkpoint is closing.
    pub fn replayed(&self, batch: Batch) -> Result<(), StoreError> {
        self.shared.enqueue_replayed(batch)
    }

    /// True when [`Self::batch`] would not block now.
    pub fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    /// A flag that is up while the overlays are full and the store can not be written. Whoever lets
    /// new facts in must look at it: [`Self::batch`] does not block then, and takes what was let in
    /// before.
    pub fn stuck(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.stuck)
    }

    /// The log can not be written. What is handed over from now on is merged, so that loads see it,
    /// but is not written to the store: a flush that is broken off by a crash is repaired from the
    /// log, which does not have it.
    pub fn hold(&self) {
        self.shared.set_held(true);
    }

    /// The log has everything again.
    pub fn release(&self) {
        self.shared.set_held(false);
    }

    /// Answers a load, on another thread, from everything that was handed to [`Self::batch`] before.
    pub fn load(&self, load: Load, reply: LoadReply) {
        self.shared.enqueue_job(Job::Load { load, reply });
    }

    /// Answers with a page of live facts, see [`Layers::scan`], on another thread, from everything
    /// that was handed to [`Self::batch`] before.
    pub fn scan(&self, app: App, after: Option<Partition>, limit: usize, reply: ScanReply) {
        self.shared.enqueue_job(Job::Scan {
            app,
            after,
            limit,
            reply,
        });
    }

    /// Writes everything that was handed to [`Self::batch`] before to the store and settles it,
    /// without waiting for size or age. Is told of the first try only; a failed one is repeated as any other.
    pub fn flush_now(&self, reply: FlushReply) {
        self.shared.request_flush(reply);
    }

    /// How things are.
    pub fn status(&self) -> CheckpointStatus {
        self.shared.status()
    }

    /// Answers all loads, writes everything to the store and stops. Gives up on the store after one
    /// failed try, which loses nothing: the log has it.
    ///
    /// # Errors
    /// Why not everything is in the store.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.shared.stop(Stop::Close);
        self.join();
        self.shared.close_result()
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so by itself.
            drop(thread.join());
        }
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.shared.stop(Stop::Abort);
            self.join();
            // There is nobody to tell that a crash left things undone.
            drop(self.shared.close_result());
        }
    }
}
