//! The thread that drives a [`Committer`].

use super::{Committer, Item, Queue, Shared, Sink};
use crate::disk::Disk;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// Records of a group from which on so many wait at a time that the next ones are given time to gather: a
/// sync takes some fifty to a hundred microseconds of processor, however few records it is for.
const GROUP_BUSY: u64 = 64;

/// From the beginning of such a group to the next one at the least. Below, whoever waits alone would wait
/// for nobody.
const GATHER: Duration = Duration::from_millis(2);

/// The same after a smaller group while which others came: so many times as long as it took, so long for
/// each record of the group and of the others, and at the most so long, whichever ends first. And no longer
/// than until there are as many again: where the same few ask again and again, nobody else will come.
const GATHER_FEW_TIMES: u32 = 5;
const GATHER_FEW_EACH: Duration = Duration::from_micros(64);
const GATHER_FEW_MAX: Duration = Duration::from_millis(1);

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
        gather(&shared, count, begun.elapsed());
    }
}

fn records<M>(items: &[Item<M>]) -> u64 {
    let counts = items.iter().map(|item| match item {
        Item::Records { count, .. } => u64::from(*count),
        Item::Marker(_) => 0,
    });
    counts.sum()
}

/// Lets the next group gather after one of `count` records that took so long.
fn gather<M>(shared: &Shared<M>, count: u64, took: Duration) {
    let queue = shared.lock();
    let (wanted, time) = to_gather(count, queue.records, took);
    if !time.is_zero() {
        drop(wait_for(shared, queue, wanted, time));
    }
}

/// How many records to wait for, and how long at most, after a group of `count` records that took so long
/// and during which `more` came.
fn to_gather(count: u64, more: u64, took: Duration) -> (u64, Duration) {
    if count >= GROUP_BUSY {
        return (u64::MAX, GATHER.saturating_sub(took));
    }
    if count == 0 || more == 0 {
        return (0, Duration::ZERO);
    }
    let wanted = count + more;
    let each = GATHER_FEW_EACH * u32::try_from(wanted).unwrap_or(u32::MAX);
    let time = each.min(took * GATHER_FEW_TIMES).min(GATHER_FEW_MAX);
    (wanted, time.saturating_sub(took))
}

/// Waits until something is queued and takes all of it; nothing when `patience` ends before. `None`
/// when the queue is closed and empty.
fn take<M>(shared: &Shared<M>, patience: Option<Duration>) -> Option<Vec<Item<M>>> {
    let mut queue = shared.lock();
    if queue.items.is_empty() && !queue.closed {
        queue = match patience {
            None => wait(shared, queue),
            Some(patience) => wait_for(shared, queue, 0, patience),
        };
    }
    if queue.items.is_empty() && queue.closed {
        return None;
    }
    Some(queue.take())
}

/// Waits until something is queued or the queue is closed.
fn wait<'a, M>(
    shared: &'a Shared<M>,
    mut queue: MutexGuard<'a, Queue<M>>,
) -> MutexGuard<'a, Queue<M>> {
    while !queue.is_ready() {
        queue.idle = true;
        let waited = shared.wake.wait(queue);
        queue = waited.unwrap_or_else(PoisonError::into_inner);
    }
    queue.idle = false;
    queue
}

/// Waits until so many records are queued, or a marker, or the queue is closed, but no longer than
/// `patience`.
fn wait_for<'a, M>(
    shared: &'a Shared<M>,
    mut queue: MutexGuard<'a, Queue<M>>,
    wanted: u64,
    patience: Duration,
) -> MutexGuard<'a, Queue<M>> {
    let started = Instant::now();
    queue.wanted = wanted;
    while !queue.is_ready() {
        let left = patience.saturating_sub(started.elapsed());
        if left.is_zero() {
            break;
        }
        queue.idle = true;
        let waited = shared.wake.wait_timeout(queue, left);
        (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
    }
    queue.idle = false;
    queue.wanted = 0;
    queue
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lsn;
    use crate::queue::{Appender, QueueOptions};

    /// Waits for three records, for ever, while something is done; how many have come then.
    fn came(what: impl FnOnce(&Appender<u32>)) -> u64 {
        let shared = Shared::new(QueueOptions::default(), Lsn::NONE);
        let appender = Appender {
            shared: Arc::clone(&shared),
        };
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| wait_for(&shared, shared.lock(), 3, Duration::MAX).records);
            while !shared.lock().idle {
                std::thread::yield_now();
            }
            what(&appender);
            waiting.join().unwrap()
        })
    }

    #[test]
    fn who_gathers_waits_for_so_many_or_a_load_or_the_end() {
        let append = |appender: &Appender<u32>, count: u8| {
            let record = [1, 0, 0, 0, 7].repeat(count.into());
            appender.append(&record, count.into()).unwrap();
        };
        let in_turns = |appender: &Appender<u32>| {
            append(appender, 1);
            append(appender, 1);
            assert!(appender.shared.lock().idle, "two of three have come");
            append(appender, 2);
        };
        assert_eq!(came(in_turns), 4);
        let marked = |appender: &Appender<u32>| {
            append(appender, 1);
            appender.mark(5).unwrap();
        };
        assert_eq!(came(marked), 1);
        assert_eq!(came(|appender| appender.shared.close()), 0);
    }

    #[test]
    fn many_gather_for_long_and_few_only_while_others_come() {
        let (ms, us) = (Duration::from_millis, Duration::from_micros);
        let none = (0, Duration::ZERO);
        for (count, more, took, expected) in [
            (0, 5, ms(0), none),
            (1, 0, us(200), none),
            (GROUP_BUSY - 1, 0, us(200), none),
            (1, 1, us(100), (2, us(28))),
            (1, 1, us(200), (2, us(0))),
            (3, 4, us(20), (7, us(80))),
            (3, 4, us(200), (7, us(248))),
            (30, 20, us(200), (50, us(800))),
            // A slow disk lets them gather anyway.
            (3, 4, ms(5), (7, ms(0))),
            (GROUP_BUSY, 0, ms(0), (u64::MAX, GATHER)),
            (GROUP_BUSY, 7, ms(1), (u64::MAX, GATHER - ms(1))),
            (1_000_000, 0, GATHER + ms(1), (u64::MAX, ms(0))),
        ] {
            assert_eq!(
                to_gather(count, more, took),
                expected,
                "{count} {more} {took:?}"
            );
        }
    }
}
