//! Takes what is queued, commits it in groups, and hands it on in order. It has no thread and waits
//! for nothing: the [`super::Writer`] drives it in the server, a simulator drives it step by step.
//! It looks at the time only to say how long commits took.

use super::{Appender, Batch, BatchState, Item, QueueOptions, Shared, Sink, add, figure, nanos};
use crate::disk::Disk;
use crate::error::LogError;
use crate::log::Log;
use crate::planted::{self, Bug};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use std::{fmt, io};

/// Bytes of records of one group, unless a single batch is longer: when a long queue has gathered,
/// its first replies need not wait for the last.
const GROUP_BYTES: usize = 8 << 20;

/// What waits in a group, in queue order.
enum Entry<M> {
    Batch(Arc<Batch>),
    Marker(M),
}

/// Owns the log and commits what the appenders queue.
pub struct Committer<D: Disk, M, S> {
    pub(super) shared: Arc<Shared<M>>,
    log: Log<D>,
    clock: Box<dyn Fn() -> u64 + Send>,
    sink: S,
    /// Batches the sink has and the disk has not, in lsn order. Empty unless `error` is set.
    waiting: VecDeque<Arc<Batch>>,
    /// Set while the disk is failing: the last reason.
    error: Option<io::Error>,
}

impl<D: Disk, M, S> fmt::Debug for Committer<D, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer")
            .field("log", &self.log)
            .field("waiting", &self.waiting.len())
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<D: Disk, M: Send + 'static, S: Sink<M>> Committer<D, M, S> {
    /// Puts a queue before the log. `clock` is asked when a group is written and must answer at
    /// least the clock of every record queued before; recovery gives it back.
    pub fn new(
        log: Log<D>,
        options: QueueOptions,
        clock: impl Fn() -> u64 + Send + 'static,
        sink: S,
    ) -> (Appender<M>, Self) {
        let shared = Shared::new(options, log.committed());
        let appender = Appender {
            shared: Arc::clone(&shared),
        };
        let waiting = VecDeque::new();
        (
            appender,
            Self {
                shared,
                log,
                clock: Box::new(clock),
                sink,
                waiting,
                error: None,
            },
        )
    }

    /// True while the disk is failing.
    pub fn is_failing(&self) -> bool {
        self.error.is_some()
    }

    /// The log behind the queue.
    pub fn log(&self) -> &Log<D> {
        &self.log
    }

    /// The sink.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Commits and hands on everything queued by now, without waiting for more. False when there
    /// was nothing.
    pub fn turn(&mut self) -> bool {
        let items = std::mem::take(&mut self.shared.lock().items);
        let any = !items.is_empty();
        self.commit(items);
        any
    }

    /// Tries to go on after a failure: a new segment, and everything that waits into it. Does
    /// nothing when the disk is not failing.
    pub fn retry(&mut self) {
        if self.error.is_none() {
            return;
        }
        if planted::is(Bug::DurableTooHigh)
            && let Some(last) = self.waiting.back()
        {
            self.sink.durable(last.last);
        }
        match self.write_waiting() {
            Ok(()) => {
                self.error = None;
                self.sink.recovered();
            }
            Err(error) => {
                add(&self.shared.failures, 1);
                self.error = Some(error.into());
            }
        }
    }

    /// Ends: commits what is queued and waiting, and makes it durable whatever the durability.
    ///
    /// # Errors
    /// When the disk is failing and one more try did not help: what waited is not in the log.
    pub fn finish(mut self) -> io::Result<()> {
        self.shared.close();
        self.turn();
        self.retry();
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        Ok(self.log.sync_to_disk()?)
    }

    /// Commits items in groups of a bounded size.
    pub(super) fn commit(&mut self, items: Vec<Item<M>>) {
        let mut group = Vec::with_capacity(items.len());
        let mut bytes = 0;
        let clock = (self.clock)();
        for item in items {
            match item {
                Item::Marker(marker) => group.push(Entry::Marker(marker)),
                Item::Records {
                    first,
                    count,
                    bytes: records,
                } => {
                    if bytes > 0 && bytes + records.len() > GROUP_BYTES {
                        self.commit_group(std::mem::take(&mut group));
                        bytes = 0;
                    }
                    bytes += records.len();
                    let last = first.plus(u64::from(count)).previous();
                    let batch = Batch {
                        first,
                        last,
                        clock,
                        count,
                        bytes: records,
                    };
                    group.push(Entry::Batch(Arc::new(batch)));
                }
            }
        }
        self.commit_group(group);
    }

    fn commit_group(&mut self, group: Vec<Entry<M>>) {
        let batches: Vec<Arc<Batch>> = group
            .iter()
            .filter_map(|entry| match entry {
                Entry::Batch(batch) => Some(Arc::clone(batch)),
                Entry::Marker(_) => None,
            })
            .collect();
        let state = self.write_or_keep(batches);
        for entry in group {
            match entry {
                Entry::Batch(batch) => self.sink.batch(batch, state),
                Entry::Marker(marker) => self.sink.marker(marker),
            }
        }
    }

    /// Commits batches, or keeps them for when the disk works again.
    fn write_or_keep(&mut self, batches: Vec<Arc<Batch>>) -> BatchState {
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return BatchState::Durable;
        };
        if self.error.is_none() {
            let (first, last) = (first.first, last.last);
            match self.write(&batches) {
                Ok(()) => return BatchState::Durable,
                Err(error) => {
                    let error = io::Error::from(error);
                    add(&self.shared.failures, 1);
                    self.sink.failed(first, last, &error);
                    self.error = Some(error);
                }
            }
        }
        self.waiting.extend(batches);
        BatchState::Waiting
    }

    /// Writes everything that waits, in groups, to a new segment.
    fn write_waiting(&mut self) -> Result<(), LogError> {
        self.log.reopen()?;
        while !self.waiting.is_empty() {
            let mut bytes = 0;
            let fits = |batch: &&Arc<Batch>| {
                bytes += batch.bytes.len();
                bytes <= GROUP_BYTES
            };
            let count = self.waiting.iter().take_while(fits).count().max(1);
            let group: Vec<Arc<Batch>> = self.waiting.iter().take(count).cloned().collect();
            self.write(&group)?;
            self.waiting.drain(..count);
        }
        Ok(())
    }

    /// Writes batches as one group, commits it, and says so.
    fn write(&mut self, batches: &[Arc<Batch>]) -> Result<(), LogError> {
        let Some(first) = batches.first() else {
            return Ok(());
        };
        // Lsns are given in the queue; the log must agree or recovery would renumber records.
        assert!(
            self.log.next() == first.first,
            "the log goes on where the queue does"
        );
        let started = Instant::now();
        let parts: Vec<&[u8]> = batches.iter().map(|batch| batch.bytes.as_slice()).collect();
        let count = batches.iter().map(|batch| batch.count).sum();
        let last = self.log.append_group(&parts, count, (self.clock)())?;
        self.log.sync()?;
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let shared = &self.shared;
        add(&shared.groups, 1);
        add(&shared.bytes, figure(bytes));
        add(&shared.commit_nanos, nanos(started.elapsed()));
        shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        shared.durable.store(last.0, Ordering::Release);
        self.sink.durable(last);
        Ok(())
    }
}
