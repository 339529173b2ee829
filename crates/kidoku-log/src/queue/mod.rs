//! The group commit in front of the log.
//!
//! Appenders put records and markers into one queue under a short lock and never wait for the disk.
//! The [`Committer`] takes the whole queue, writes its records as a group with one sync, and hands
//! records and markers on, in queue order, to a [`Sink`]. While one group is being synced the next
//! one gathers, so that the number of syncs does not grow with the load.
//!
//! An lsn is given in the queue and never again to anything else, so the order of records on disk is
//! the order of the queue, also across a failing disk.

mod committer;
#[cfg(test)]
mod tests;
mod writer;

pub use committer::Committer;
pub use writer::Writer;

use crate::error::GroupError;
use crate::format::{GROUP_BYTES_MAX, count_records};
use crate::{Lsn, wide};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

/// Bytes of records after which a queued batch is closed and a new one begun: bounds how much is
/// copied when a buffer grows under the lock.
const BATCH_BYTES: usize = 1 << 20;

/// How the queue is kept.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    /// Bytes of records that may wait for the disk; past it new ones are refused. Default 256 MiB.
    pub queue_bytes_max: usize,
    /// Pause between two tries to go on after the disk failed. Default 250 ms.
    pub retry_pause: Duration,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            queue_bytes_max: 256 << 20,
            retry_pause: Duration::from_millis(250),
        }
    }
}

/// Why records were not taken into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// Too many bytes wait for the disk.
    Full {
        /// [`QueueOptions::queue_bytes_max`].
        bytes_max: usize,
    },
    /// The log is closed or its writer is gone.
    Closed,
    /// The records are not well formed.
    Group(GroupError),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { bytes_max } => {
                write!(
                    f,
                    "the log's queue is full, at most {bytes_max} bytes wait for the disk"
                )
            }
            Self::Closed => f.write_str("the log is closed"),
            Self::Group(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for QueueError {}

/// Records that were queued next to one another.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Lsn of the first record.
    pub first: Lsn,
    /// Lsn of the last record.
    pub last: Lsn,
    /// The clock of the group they were first to be written with.
    pub clock: u64,
    /// Number of records.
    pub count: u32,
    /// The records, each with its length (u32, little-endian) before it.
    pub bytes: Vec<u8>,
}

/// What is known of a batch when the sink gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// It is committed.
    Durable,
    /// The disk is failing. [`Sink::durable`] says when it is committed after all.
    Waiting,
}

/// Where records and markers go after the disk. Called on the writer's thread, so what it does
/// delays the next group.
pub trait Sink<M>: Send + 'static {
    /// Everything up to this lsn is committed. Comes before [`Self::batch`] of the same records,
    /// because replies wait for it.
    fn durable(&mut self, up_to: Lsn);

    /// The next batch, in lsn order; each exactly once, also when the disk fails.
    fn batch(&mut self, batch: Arc<Batch>, state: BatchState);

    /// A marker, after every batch queued before it and before every batch queued after it.
    fn marker(&mut self, marker: M);

    /// The disk refused the group with these records; they and all later ones wait until it works
    /// again. Called once, until [`Self::recovered`].
    fn failed(&mut self, first: Lsn, last: Lsn, error: &io::Error);

    /// The disk works again, and everything that waited is committed.
    fn recovered(&mut self);
}

/// Figures of the queue and the log behind it, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// The last lsn given.
    pub appended: Lsn,
    /// The last lsn committed.
    pub durable: Lsn,
    /// Bytes of records that wait for the disk.
    pub queued_bytes: usize,
    /// Groups committed.
    pub groups: u64,
    /// Bytes of records committed.
    pub bytes: u64,
    /// Time spent in committing them: writing and syncing.
    pub commit_time: Duration,
    /// Times a write or sync failed.
    pub failures: u64,
}

/// What waits in the queue.
enum Item<M> {
    Records {
        first: Lsn,
        count: u32,
        bytes: Vec<u8>,
    },
    Marker(M),
}

struct Queue<M> {
    items: Vec<Item<M>>,
    /// Records among them.
    records: u64,
    next: Lsn,
    /// The writer sleeps: whoever makes the queue ready wakes it.
    idle: bool,
    /// Records the writer has time to wait for.
    wanted: u64,
    closed: bool,
}

impl<M> Queue<M> {
    /// True when the writer should not wait for more.
    fn is_ready(&self) -> bool {
        match self.items.last() {
            None => self.closed,
            // Somebody waits for a load.
            Some(Item::Marker(_)) => true,
            Some(Item::Records { .. }) => self.closed || self.records >= self.wanted,
        }
    }

    fn take(&mut self) -> Vec<Item<M>> {
        self.records = 0;
        std::mem::take(&mut self.items)
    }
}

/// What appenders, committer and writer share.
struct Shared<M> {
    options: QueueOptions,
    queue: Mutex<Queue<M>>,
    wake: Condvar,
    /// Of the records in the queue and of those taken from it that are not committed.
    queued_bytes: AtomicUsize,
    durable: AtomicU64,
    groups: AtomicU64,
    bytes: AtomicU64,
    commit_nanos: AtomicU64,
    failures: AtomicU64,
}

impl<M> Shared<M> {
    fn new(options: QueueOptions, last: Lsn) -> Arc<Self> {
        Arc::new(Self {
            options,
            queue: Mutex::new(Queue {
                items: Vec::new(),
                records: 0,
                next: last.next(),
                idle: false,
                wanted: 0,
                closed: false,
            }),
            wake: Condvar::new(),
            queued_bytes: AtomicUsize::new(0),
            durable: AtomicU64::new(last.0),
            groups: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            commit_nanos: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue<M>> {
        // No code that holds the lock can leave the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back the lock and wakes the writer if it sleeps and should not.
    fn release(&self, mut queue: MutexGuard<'_, Queue<M>>) {
        let wakes = queue.idle && queue.is_ready();
        queue.idle &= !wakes;
        drop(queue);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Nothing more is taken; the writer ends when the queue is empty.
    fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        self.release(queue);
    }
}

/// Puts records and markers into the queue. Cheap to clone, and used from any thread.
pub struct Appender<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Clone for Appender<M> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<M> fmt::Debug for Appender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appender")
            .field("stats", &self.stats())
            .finish()
    }
}

impl<M: Send + 'static> Appender<M> {
    /// Queues `count` records, each with its length (u32, little-endian, 1 to
    /// [`crate::RECORD_BYTES_MAX`]) before it, and returns the lsn of the last. They are contiguous
    /// in the log. Never waits for the disk.
    ///
    /// # Errors
    /// [`QueueError::Full`] when more than [`QueueOptions::queue_bytes_max`] bytes wait already;
    /// [`QueueError::Closed`]; [`QueueError::Group`] when the records are not well formed. Nothing
    /// is queued then.
    pub fn append(&self, records: &[u8], count: u32) -> Result<Lsn, QueueError> {
        if !self.has_room() {
            return Err(QueueError::Full {
                bytes_max: self.shared.options.queue_bytes_max,
            });
        }
        self.append_admitted(records, count)
    }

    /// As [`Self::append`], but never [`QueueError::Full`]: for what follows from work that was let
    /// in because [`Self::has_room`] said so, and has already taken effect in memory.
    ///
    /// # Errors
    /// [`QueueError::Closed`]; [`QueueError::Group`] when the records are not well formed.
    pub fn append_admitted(&self, records: &[u8], count: u32) -> Result<Lsn, QueueError> {
        // Checked here, on the caller's core, so that the committer can rely on it.
        check_group(records, count).map_err(QueueError::Group)?;
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(QueueError::Closed);
        }
        let first = queue.next;
        queue.next = first.plus(u64::from(count));
        queue.records += u64::from(count);
        match queue.items.last_mut() {
            Some(Item::Records {
                count: batch_count,
                bytes,
                ..
            }) if bytes.len() + records.len() <= BATCH_BYTES => {
                *batch_count += count;
                bytes.extend_from_slice(records);
            }
            _ => queue.items.push(Item::Records {
                first,
                count,
                bytes: records.to_vec(),
            }),
        }
        // Under the lock, so that the committer can not take it off before it is put on.
        self.shared
            .queued_bytes
            .fetch_add(records.len(), Ordering::Relaxed);
        self.shared.release(queue);
        Ok(first.plus(u64::from(count)).previous())
    }

    /// Queues a marker behind everything queued so far. The sink gets it after all of that was
    /// written, or was refused by the disk.
    ///
    /// # Errors
    /// Gives the marker back when the log is closed.
    pub fn mark(&self, marker: M) -> Result<(), M> {
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(marker);
        }
        queue.items.push(Item::Marker(marker));
        self.shared.release(queue);
        Ok(())
    }

    /// Bytes of records that wait for the disk.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// True while at most [`QueueOptions::queue_bytes_max`] bytes wait for the disk.
    pub fn has_room(&self) -> bool {
        self.queued_bytes() <= self.shared.options.queue_bytes_max
    }
}

impl<M> Appender<M> {
    /// The last lsn that is committed.
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.durable.load(Ordering::Acquire))
    }

    /// Figures for health and metrics.
    pub fn stats(&self) -> QueueStats {
        let shared = &self.shared;
        QueueStats {
            appended: shared.lock().next.previous(),
            durable: self.durable(),
            queued_bytes: shared.queued_bytes.load(Ordering::Relaxed),
            groups: shared.groups.load(Ordering::Relaxed),
            bytes: shared.bytes.load(Ordering::Relaxed),
            commit_time: Duration::from_nanos(shared.commit_nanos.load(Ordering::Relaxed)),
            failures: shared.failures.load(Ordering::Relaxed),
        }
    }
}

fn check_group(records: &[u8], count: u32) -> Result<(), GroupError> {
    // A committed group is a batch and what else fits beside it: half leaves room for checksums.
    if records.len() > GROUP_BYTES_MAX / 4 {
        return Err(GroupError::TooLong);
    }
    let found = count_records(records)?;
    if found == 0 {
        return Err(GroupError::Empty);
    }
    if found != u64::from(count) {
        return Err(GroupError::Count {
            said: count.into(),
            found,
        });
    }
    Ok(())
}

/// Nanoseconds of a duration; 584 years fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds to a figure.
fn add(figure: &AtomicU64, amount: u64) {
    figure.fetch_add(amount, Ordering::Relaxed);
}

/// Bytes as a figure.
fn figure(bytes: usize) -> u64 {
    wide(bytes)
}
