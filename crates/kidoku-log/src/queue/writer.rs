//! The thread that drives a [`Committer`].

use super::{Committer, Item, Shared, Sink};
use crate::disk::Disk;
use std::sync::{Arc, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// Records of a group from which on so many wait at a time that the next ones are given time to gather: a
/// sync takes a fifth of a millisecond of processor, however few records it is for.
const GROUP_BUSY: u64 = 64;

/// From the beginning of such a group to the next one at the least. Below, whoever waits alone would wait
/// for nobody.
const GATHER: Duration = Duration::from_millis(2);

/// The log's thread. Dropping it closes the log too, but only [`Writer::close`] says how that went.
pub struct Writer<M> {
    shared: Arc<Shared<M>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl<M> fmt::Debug for Writer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl<M: Send + 'static> Writer<M> {
    /// Starts the thread, which first does `begin`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start<D: Disk, S: Sink<M>>(
        committer: Committer<D, M, S>,
        begin: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::clone(&committer.shared);
        let thread = Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || {
                begin();
                run(committer)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }
}

impl<M> Writer<M> {
    /// Closes the queue, commits everything in it, makes it durable and ends the thread. The sink
    /// has got everything and is dropped when this returns.
    ///
    /// # Errors
    /// When the disk is failing and one more try did not help: what waited is not in the log.
    pub fn close(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.shared.close();
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the log's thread panicked")))
    }
}

impl<M> Drop for Writer<M> {
    fn drop(&mut self) {
        // The error, if any, was told to the sink when the disk began to fail.
        drop(self.join());
    }
}

/// Closes the queue when the thread ends in whatever way, so that nothing is queued for nobody.
struct CloseAtEnd<M>(Arc<Shared<M>>);

impl<M> Drop for CloseAtEnd<M> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn run<D: Disk, M: Send + 'static, S: Sink<M>>(
    mut committer: Committer<D, M, S>,
) -> io::Result<()> {
    let shared = Arc::clone(&committer.shared);
    let _close = CloseAtEnd(Arc::clone(&shared));
    let pause = shared.options.retry_pause;
    let mut retry_at: Option<Instant> = None;
    loop {
        let now = Instant::now();
        let patience = retry_at.map(|at| at.saturating_duration_since(now));
        let Some(items) = take(&shared, patience) else {
            return committer.finish();
        };
        let (begun, count) = (Instant::now(), records(&items));
        committer.commit(items);
        if retry_at.is_some_and(|at| at <= Instant::now()) {
            committer.retry();
            retry_at = None;
        }
        if !committer.is_failing() {
            retry_at = None;
        } else if retry_at.is_none() {
            retry_at = Some(Instant::now() + pause);
        }
        std::thread::sleep(time_to_gather(count, begun.elapsed()));
    }
}

fn records<M>(items: &[Item<M>]) -> u64 {
    let counts = items.iter().map(|item| match item {
        Item::Records { count, .. } => u64::from(*count),
        Item::Marker(_) => 0,
    });
    counts.sum()
}

/// How long to wait before the next group, after one of `count` records that was begun so long ago.
fn time_to_gather(count: u64, since: Duration) -> Duration {
    if count < GROUP_BUSY {
        return Duration::ZERO;
    }
    GATHER.saturating_sub(since)
}

/// Waits until something is queued and takes all of it; nothing when `patience` ends before. `None`
/// when the queue is closed and empty.
fn take<M>(shared: &Shared<M>, patience: Option<Duration>) -> Option<Vec<Item<M>>> {
    let started = Instant::now();
    let mut queue = shared.lock();
    loop {
        if !queue.items.is_empty() {
            return Some(std::mem::take(&mut queue.items));
        }
        if queue.closed {
            return None;
        }
        queue.idle = true;
        queue = match patience {
            None => shared
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let left = patience.saturating_sub(started.elapsed());
                if left.is_zero() {
                    queue.idle = false;
                    return Some(Vec::new());
                }
                let (queue, _) = shared
                    .wake
                    .wait_timeout(queue, left)
                    .unwrap_or_else(PoisonError::into_inner);
                queue
            }
        };
        queue.idle = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_while_many_wait_at_a_time_the_next_ones_gather() {
        let ms = Duration::from_millis;
        for (count, since, pause) in [
            (0, ms(0), ms(0)),
            (GROUP_BUSY - 1, ms(0), ms(0)),
            (GROUP_BUSY, ms(0), GATHER),
            (GROUP_BUSY, ms(1), GATHER - ms(1)),
            (1_000_000, GATHER + ms(1), ms(0)),
        ] {
            assert_eq!(time_to_gather(count, since), pause, "{count} {since:?}");
        }
    }
}
