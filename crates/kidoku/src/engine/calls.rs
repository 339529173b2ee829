//! Batches of calls made through the [`Engine`](super::Engine) handle, from any thread.
//!
//! A batch has a home core: the replies come to it, it fills them in, and holds the batch until the
//! gate lets the highest stamp go. The caller's task is woken twice at most for each fence or full
//! window, not once for each reply.

use super::gate::{Verdict, View};
use super::ticket::{Place, Table, Waiter};
use kidoku_core::error::Error;
use kidoku_core::id::ShardId;
use kidoku_core::reply::Reply;
use kidoku_core::request::Ticket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Batches whose replies come to one core, from which on one more is refused, whether their calls
/// are being made, answered, or held until the disk has them. Each is a request of HTTP, or one
/// command of RESP that takes several steps.
pub(crate) const BATCHES_MAX: usize = 16_384;

/// The answers to one batch.
pub(crate) type Results = Vec<Result<Reply, Error>>;

/// The batches whose replies come to one core.
#[derive(Debug)]
pub(crate) struct Calls {
    home: ShardId,
    /// Those that wait for an answer.
    table: Mutex<Table<Arc<Batch>>>,
    /// All of them, see [`Counted`].
    count: Arc<AtomicUsize>,
}

/// Counts a batch from its beginning until nobody holds it any more.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// One more; `None` = there are as many as there may be.
    fn enter(count: &Arc<AtomicUsize>) -> Option<Self> {
        let counted = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < BATCHES_MAX).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Some calls whose caller waits for all of them.
#[derive(Debug)]
pub(crate) struct Batch {
    state: Mutex<BatchState>,
    _counted: Counted,
}

#[derive(Debug, Default)]
struct BatchState {
    /// For each call, whether it may change something, and its answer.
    slots: Vec<(bool, Option<Result<Reply, Error>>)>,
    /// Calls that will be made: all, or fewer when the caller has gone away.
    total: usize,
    /// Calls made.
    sent: usize,
    /// Calls answered.
    applied: usize,
    /// The caller waits for this many answers.
    wake_at: usize,
    /// The highest stamp of an answer.
    stamp: u64,
    /// The gate has let all answers go.
    released: bool,
    waker: Option<Waker>,
}

impl BatchState {
    fn is_applied(&self) -> bool {
        self.applied >= self.total
    }
}

impl Batch {
    fn lock(&self) -> MutexGuard<'_, BatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the answers go, or puts errors in place of those that could not be made durable. False
    /// when the batch has to wait.
    fn release(&self, view: View) -> bool {
        let waker = {
            let mut state = self.lock();
            let stamp = state.stamp;
            match view.judge(stamp, true) {
                Verdict::Wait => return false,
                Verdict::Go => {}
                Verdict::Refuse => {
                    for (writes, result) in &mut state.slots {
                        if *writes && matches!(result, Some(Ok(_))) {
                            *result = Some(Err(Error::DiskFull));
                        }
                    }
                }
            }
            state.released = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Calls {
    /// No batches yet.
    pub(crate) fn new(home: ShardId) -> Self {
        Self {
            home,
            table: Mutex::default(),
            count: Arc::default(),
        }
    }

    /// The core to which the replies come.
    pub(crate) fn home(&self) -> ShardId {
        self.home
    }

    fn lock(&self) -> MutexGuard<'_, Table<Arc<Batch>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when no batch is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().len() == 0
    }

    /// Opens a batch of calls; for each, whether it may change something.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many batches are open.
    pub(crate) fn open(&self, writes: impl Iterator<Item = bool>) -> Result<OpenBatch<'_>, Error> {
        let counted = Counted::enter(&self.count).ok_or(Error::Busy)?;
        let slots: Vec<_> = writes.map(|writes| (writes, None)).collect();
        let state = BatchState {
            total: slots.len(),
            slots,
            ..BatchState::default()
        };
        let batch = Arc::new(Batch {
            state: Mutex::new(state),
            _counted: counted,
        });
        let place = self.lock().insert(Arc::clone(&batch)).ok_or(Error::Busy)?;
        Ok(OpenBatch {
            calls: self,
            batch,
            place,
        })
    }

    /// Fills in an answer. Gives back the batch when it was the last one: the core then holds it
    /// until the gate lets it go.
    pub(crate) fn answer(
        &self,
        place: Place,
        sequence: u32,
        result: Result<Reply, Error>,
        stamp: u64,
    ) -> Option<Arc<Batch>> {
        let batch = Arc::clone(self.lock().get(place)?);
        let (waker, all) = {
            let mut state = batch.lock();
            let slot = usize::try_from(sequence)
                .ok()
                .and_then(|at| state.slots.get_mut(at))?;
            slot.1 = Some(result);
            state.applied += 1;
            state.stamp = state.stamp.max(stamp);
            let due = state.applied >= state.wake_at && !state.is_applied();
            (
                if due { state.waker.take() } else { None },
                state.is_applied(),
            )
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        if all {
            drop(self.lock().remove(place));
            return Some(batch);
        }
        None
    }
}

/// A batch in its caller's hands. Dropping it early is allowed: answers still out are dropped.
#[derive(Debug)]
pub(crate) struct OpenBatch<'a> {
    calls: &'a Calls,
    batch: Arc<Batch>,
    place: Place,
}

impl OpenBatch<'_> {
    /// The ticket of a call.
    pub(crate) fn ticket(&self, sequence: u32) -> Ticket {
        Waiter::Calls {
            place: self.place,
            sequence,
        }
        .ticket(self.calls.home)
    }

    /// Notes that so many more calls have been made.
    pub(crate) fn note_sent(&self, count: usize) {
        self.batch.lock().sent += count;
    }

    /// Waits until at most `most` calls are out.
    pub(crate) async fn wait_in_flight(&self, most: usize) {
        std::future::poll_fn(|context| self.poll_in_flight(context, most)).await;
    }

    fn poll_in_flight(&self, context: &Context<'_>, most: usize) -> Poll<()> {
        let mut state = self.batch.lock();
        if state.sent - state.applied <= most {
            return Poll::Ready(());
        }
        state.wake_at = state.sent - most;
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Waits until all answers may leave, and takes them.
    pub(crate) async fn finish(self) -> Results {
        std::future::poll_fn(|context| self.poll_released(context)).await;
        let slots = std::mem::take(&mut self.batch.lock().slots);
        slots
            .into_iter()
            .map(|(_, result)| result.unwrap_or(Err(Error::Busy)))
            .collect()
    }

    fn poll_released(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.batch.lock();
        if state.released || state.total == 0 {
            return Poll::Ready(());
        }
        state.wake_at = usize::MAX;
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for OpenBatch<'_> {
    fn drop(&mut self) {
        let all = {
            let mut state = self.batch.lock();
            state.total = state.sent;
            state.waker = None;
            state.is_applied()
        };
        if all {
            drop(self.calls.lock().remove(self.place));
        }
    }
}

/// Batches of a core that wait for the disk.
#[derive(Debug, Default)]
pub(crate) struct HeldCalls(Vec<Arc<Batch>>);

impl HeldCalls {
    /// Adds a batch whose calls are all answered.
    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        self.0.push(batch);
    }

    /// True when none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets go what the gate lets go.
    pub(crate) fn release(&mut self, view: View) {
        self.0.retain(|batch| !batch.release(view));
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::Gate;
    use super::*;

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn answer(calls: &Calls, ticket: Ticket, stamp: u64) -> Option<Arc<Batch>> {
        let Waiter::Calls { place, sequence } = Waiter::of(ticket) else {
            return None;
        };
        calls.answer(
            place,
            sequence,
            Ok(Reply::Number(u64::from(sequence))),
            stamp,
        )
    }

    #[test]
    fn a_batch_resolves_in_order_of_its_calls_once_its_highest_stamp_is_durable() {
        let gate = Gate::new(1, 0, true);
        let calls = Calls::new(ShardId(0));
        let batch = calls.open([true, false].into_iter()).unwrap();
        let (first, second) = (batch.ticket(0), batch.ticket(1));
        batch.note_sent(2);
        assert!(answer(&calls, second, 4).is_none());
        let mut held = HeldCalls::default();
        held.push(answer(&calls, first, 3).unwrap());
        let mut finish = Box::pin(batch.finish());
        held.release(gate.view());
        assert!(poll(&mut finish).is_pending());
        assert_eq!(gate.publish(4).count(), 0);
        held.release(gate.view());
        assert!(held.is_empty());
        let all = Poll::Ready(vec![Ok(Reply::Number(0)), Ok(Reply::Number(1))]);
        assert_eq!(poll(&mut finish), all);
    }

    #[test]
    fn when_the_log_fails_writes_of_a_batch_are_refused_and_reads_answered() {
        let gate = Gate::new(1, 0, true);
        let calls = Calls::new(ShardId(0));
        let batch = calls.open([true, false].into_iter()).unwrap();
        batch.note_sent(2);
        assert!(answer(&calls, batch.ticket(0), 1).is_none());
        let mut held = HeldCalls::default();
        held.push(answer(&calls, batch.ticket(1), 1).unwrap());
        assert_eq!(gate.set_failing(true).count(), 0);
        held.release(gate.view());
        let all = Poll::Ready(vec![Err(Error::DiskFull), Ok(Reply::Number(1))]);
        assert_eq!(poll(&mut Box::pin(batch.finish())), all);
    }

    #[test]
    fn one_batch_too_many_is_told_to_come_again_and_there_is_room_when_one_is_done() {
        let calls = Calls::new(ShardId(0));
        let mut open: Vec<_> = (0..BATCHES_MAX)
            .map(|_| calls.open(std::iter::once(true)).unwrap())
            .collect();
        assert_eq!(calls.open(std::iter::once(true)).err(), Some(Error::Busy));
        drop(open.pop());
        assert!(calls.open(std::iter::once(true)).is_ok());
    }

    #[test]
    fn batches_that_wait_for_the_disk_count_as_any_other() {
        let gate = Gate::new(1, 0, true);
        let calls = Calls::new(ShardId(0));
        let mut held = HeldCalls::default();
        for _ in 0..BATCHES_MAX {
            let batch = calls.open(std::iter::once(true)).unwrap();
            batch.note_sent(1);
            held.push(answer(&calls, batch.ticket(0), 1).unwrap());
        }
        held.release(gate.view());
        assert!(calls.is_empty());
        assert_eq!(calls.open(std::iter::once(true)).err(), Some(Error::Busy));
        assert_eq!(gate.publish(1).count(), 0);
        held.release(gate.view());
        assert!(calls.open(std::iter::once(true)).is_ok());
    }

    #[test]
    fn a_caller_that_goes_away_leaves_nothing_behind_once_its_calls_are_answered() {
        let calls = Calls::new(ShardId(0));
        let batch = calls.open([true, true, true].into_iter()).unwrap();
        let ticket = batch.ticket(0);
        batch.note_sent(1);
        drop(batch);
        assert_eq!(calls.lock().len(), 1);
        assert!(answer(&calls, ticket, 1).is_some());
        assert_eq!(calls.lock().len(), 0);
        drop(calls.open(std::iter::once(true)).unwrap());
        assert_eq!(calls.lock().len(), 0);
    }

    #[test]
    fn who_waits_for_a_fence_goes_on_when_all_before_are_applied() {
        let calls = Calls::new(ShardId(0));
        let batch = calls.open([true, true].into_iter()).unwrap();
        batch.note_sent(1);
        let ticket = batch.ticket(0);
        let mut fence = Box::pin(batch.wait_in_flight(0));
        assert!(poll(&mut fence).is_pending());
        assert!(answer(&calls, ticket, 1).is_none());
        assert!(poll(&mut fence).is_ready());
    }
}
