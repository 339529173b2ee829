//! What the threads of the checkpoint do, and the state they share.
//!
//! One lock guards the small state below, and is never held while merging, reading or writing.
//! Lock order: this one is never taken while the lock inside [`Layers`] is held.

mod turns;

use super::haste::{Haste, IDLE_AFTER, IDLE_BYTES_MIN};
use super::merge::merge_batch;
use super::replay::{Contents, Replay};
use super::{
    Batch, CheckpointOptions, CheckpointStatus, FlushReply, LoadReply, OnFlushed, ScanReply,
};
use crate::flush::{Flushed, flush};
use crate::planted::{self, Bug};
use crate::{Layers, Overlay, Pace, StoreError};
use kidoku_core::clock::Clock;
use kidoku_core::effect::Load;
use kidoku_core::fact::Partition;
use kidoku_core::id::App;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Something to be read.
pub(super) enum Job {
    Load {
        load: Load,
        reply: LoadReply,
    },
    Scan {
        app: App,
        after: Option<Partition>,
        limit: usize,
        reply: ScanReply,
    },
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// Do what is left to do first.
    Close,
    /// At once.
    Abort,
}

/// A frozen overlay on its way to the store.
#[derive(Clone)]
struct Frozen {
    overlay: Arc<Overlay>,
    last_lsn: u64,
    clock: Clock,
    /// Of the facts in it, in the log.
    log_bytes: usize,
}

/// What was flushed since the store was settled.
#[derive(Clone, Copy)]
struct Unsettled {
    since: Instant,
    bytes: usize,
    log_bytes: usize,
    last_lsn: u64,
    /// Batches up to there.
    batches: u64,
}

/// What the flushing thread does next.
enum Task {
    Flush(Frozen),
    Settle(Unsettled),
}

/// A flush somebody waits for: of everything up to a batch.
struct FlushRequest {
    batch: u64,
    reply: FlushReply,
}

#[derive(Default)]
pub(super) struct State {
    queue: VecDeque<Batch>,
    queued_bytes: usize,
    /// What of the queue is from before the start.
    pub(super) replay: Replay,
    /// Bytes of overlay that the rest of the queue may become.
    queued_cost: usize,
    /// Batches taken over, and merged, so far.
    batches: u64,
    pub(super) batches_merged: u64,
    merged_lsn: u64,
    /// When a batch was last merged.
    merged_at: Option<Instant>,
    clock: Clock,
    pub(super) active_bytes: usize,
    /// Bytes in the log of the facts in the active overlay.
    active_log_bytes: usize,
    /// When the oldest fact of the active overlay came; `None` = it is empty.
    active_since: Option<Instant>,
    frozen: Option<Frozen>,
    /// Batches in the frozen overlay and below.
    batches_frozen: u64,
    batches_flushed: u64,
    batches_settled: u64,
    /// What the store has and would lose without the log; `None` = nothing.
    unsettled: Option<Unsettled>,
    /// Jobs with the batch that each has to see.
    pub(super) jobs: VecDeque<(u64, Job)>,
    flush_requests: Vec<FlushRequest>,
    /// Flushes that failed since the last one that did not.
    failed_in_a_row: u32,
    /// The log can not be written: what was merged may not be in it, so it stays out of the store.
    held: bool,
    pub(super) stop: Option<Stop>,
    pub(super) merger_done: bool,
    /// Why closing gave up.
    close_error: Option<StoreError>,
    pub(super) status: CheckpointStatus,
}

/// The first pause after a failed flush is the longest one halved so many times; each further one is
/// twice as long as the one before.
const RETRY_HALVINGS: u32 = 4;

/// How long a flush that is ahead rests before it looks again. Shorter rests would be mostly waking up.
const REST: Duration = Duration::from_millis(2);

impl State {
    /// The last flush failed.
    fn is_failing(&self) -> bool {
        self.status.flush_error.is_some()
    }

    fn may_freeze(&self) -> bool {
        self.frozen.is_none() && (!self.held || planted::is(Bug::FlushedUnlogged))
    }

    /// How long until nothing has come for a while.
    fn idle_in(&self) -> Duration {
        let since = self.merged_at.map_or(IDLE_AFTER, |at| at.elapsed());
        IDLE_AFTER.saturating_sub(since)
    }

    /// How long until so many bytes of overlay go on their way, which would else do so in `due_in`.
    fn sooner_if_idle(&self, bytes: usize, due_in: Duration) -> Duration {
        if bytes < IDLE_BYTES_MIN {
            return due_in;
        }
        due_in.min(self.idle_in())
    }

    fn push(&mut self, batch: Batch) {
        if !self.replay.is_over() {
            self.replay.note(&batch, &Contents::of(&batch));
        }
        self.queued_cost += cost(&batch);
        self.push_any(batch);
    }

    fn push_any(&mut self, batch: Batch) {
        self.batches += 1;
        self.queued_bytes += batch.bytes.len();
        self.queue.push_back(batch);
    }
}

pub(super) struct Shared {
    pub(super) layers: Layers,
    pub(super) options: CheckpointOptions,
    state: Mutex<State>,
    for_merger: Condvar,
    for_flusher: Condvar,
    pub(super) for_loaders: Condvar,
    for_callers: Condvar,
    /// The overlays are full and can not be written: nothing more should come.
    pub(super) stuck: Arc<AtomicBool>,
}

impl Shared {
    pub(super) fn new(layers: Layers, options: CheckpointOptions) -> Self {
        Self {
            layers,
            options,
            state: Mutex::default(),
            for_merger: Condvar::new(),
            for_flusher: Condvar::new(),
            for_loaders: Condvar::new(),
            for_callers: Condvar::new(),
            stuck: Arc::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below panics half-way through a change, so a poisoned lock is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, state: &State) -> bool {
        let max = self.options.overlay_bytes_max;
        // Merging is faster than the log, so a long queue means that the machine is very busy.
        let queue_full = state.queued_cost >= max;
        // A replay fills the overlays as fast as they are written, and is no reason to refuse.
        let replaying = !state.replay.is_over();
        let overlays_full = state.frozen.is_some() && state.active_bytes + state.queued_cost >= max;
        queue_full || (overlays_full && !replaying)
    }

    /// True while the overlays have no room for more of a replay.
    fn replay_waits(&self, state: &State) -> bool {
        let full = state.active_bytes >= self.options.overlay_bytes_max;
        !state.replay.is_over() && state.frozen.is_some() && full && !state.is_failing()
    }

    /// After each change of what fills the overlays or empties them.
    fn note_stuck(&self, state: &State) {
        let stuck = state.is_failing() && self.is_full(state);
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    pub(super) fn has_room(&self) -> bool {
        !self.is_full(&self.state())
    }

    pub(super) fn enqueue_batch(&self, batch: Batch) -> Result<(), StoreError> {
        let mut state = self.state();
        // While flushes fail there is no telling for how long, and behind the caller wait loads, which
        // could be answered. Whoever asks before more facts are made is told no, so the bound holds:
        // what comes now was on its way already.
        while state.stop.is_none() && self.is_full(&state) && !state.is_failing() {
            state = wait(&self.for_callers, state);
        }
        if state.stop.is_some() {
            return Err(StoreError::Closed);
        }
        state.push(batch);
        self.note_stuck(&state);
        drop(state);
        self.for_merger.notify_one();
        Ok(())
    }

    pub(super) fn enqueue_replayed(&self, batch: Batch) -> Result<(), StoreError> {
        let contents = Contents::of(&batch);
        let mut state = self.state();
        while state.stop.is_none() && state.replay.bytes() >= self.options.replay_bytes_max {
            state = wait(&self.for_callers, state);
        }
        if state.stop.is_some() {
            return Err(StoreError::Closed);
        }
        state.replay.add(&batch, &contents);
        state.push_any(batch);
        drop(state);
        self.for_merger.notify_one();
        Ok(())
    }

    pub(super) fn set_held(&self, held: bool) {
        self.state().held = held;
        self.for_merger.notify_all();
    }

    pub(super) fn enqueue_job(&self, job: Job) {
        let mut state = self.state();
        if state.stop.is_some() {
            drop(state);
            return job.refuse();
        }
        let after = if planted::is(Bug::LoadOvertakes) {
            0
        } else {
            state.batches
        };
        state.jobs.push_back((after, job));
        drop(state);
        self.for_loaders.notify_one();
    }

    pub(super) fn request_flush(&self, reply: FlushReply) {
        let mut state = self.state();
        if state.stop.is_some() {
            drop(state);
            return reply(Err(StoreError::Closed));
        }
        if state.batches_settled >= state.batches {
            drop(state);
            return reply(Ok(()));
        }
        let batch = state.batches;
        state.flush_requests.push(FlushRequest { batch, reply });
        drop(state);
        self.for_merger.notify_one();
        // It may be flushed already, and only to be settled.
        self.for_flusher.notify_one();
    }

    pub(super) fn stop(&self, stop: Stop) {
        let mut state = self.state();
        state.stop = state.stop.max(Some(stop));
        drop(state);
        for condvar in [
            &self.for_merger,
            &self.for_flusher,
            &self.for_loaders,
            &self.for_callers,
        ] {
            condvar.notify_all();
        }
    }

    /// After all threads have stopped: refuses whoever still waits, and says what is not done.
    pub(super) fn close_result(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let requests = take_requests(&mut state, |_| true);
        let result = state.close_error.take().map_or(Ok(()), Err);
        drop(state);
        requests
            .into_iter()
            .for_each(|request| (request.reply)(Err(StoreError::Closed)));
        result
    }

    pub(super) fn status(&self) -> CheckpointStatus {
        let (overlay_rows, overlay_bytes) = self.layers.overlay_size();
        let state = self.state();
        CheckpointStatus {
            overlay_bytes,
            overlay_rows,
            queued_bytes: state.queued_bytes,
            merged_lsn: state.merged_lsn,
            replay_facts: state.replay.facts(),
            loads_waiting: state.jobs.len(),
            ..state.status.clone()
        }
    }

    // ---- The merging thread.

    pub(super) fn run_merger(&self) {
        while let Some(batch) = self.next_batch() {
            self.merge(&batch);
        }
        let mut state = self.state();
        state.merger_done = true;
        drop(state);
        self.for_flusher.notify_all();
        self.for_loaders.notify_all();
    }

    fn merge(&self, batch: &Batch) {
        let merged = merge_batch(&self.layers, batch);
        let mut state = self.state();
        state.batches_merged += 1;
        state.merged_lsn = batch.last_lsn;
        state.merged_at = Some(Instant::now());
        state.clock = state.clock.max(batch.clock);
        state.queued_bytes -= batch.bytes.len();
        state.active_log_bytes += batch.bytes.len();
        let (replayed, over) = state.replay.merged(batch);
        if !replayed {
            state.queued_cost -= cost(batch);
        }
        state.active_bytes = merged.active_bytes;
        state.active_since.get_or_insert_with(Instant::now);
        state.status.facts += merged.good;
        state.status.facts_bad += merged.bad;
        if merged.first_error.is_some() {
            state.status.last_error = merged.first_error;
        }
        self.note_stuck(&state);
        drop(state);
        drop(over);
        self.for_loaders.notify_all();
        self.for_callers.notify_all();
    }

    /// Waits for a batch, and freezes the active overlay meanwhile when it is due. `None` = stop.
    fn next_batch(&self) -> Option<Batch> {
        let mut state = self.state();
        loop {
            if state.stop == Some(Stop::Abort) || state.close_error.is_some() {
                return None;
            }
            let due_in = self.due_in(&state);
            if state.may_freeze() && due_in == Some(Duration::ZERO) {
                self.freeze(&mut state);
            }
            if !self.replay_waits(&state)
                && let Some(batch) = state.queue.pop_front()
            {
                return Some(batch);
            }
            if state.stop.is_some()
                && state.queue.is_empty()
                && (state.active_since.is_none() || state.held)
            {
                return None;
            }
            state = match due_in {
                Some(due_in) if state.may_freeze() && due_in > Duration::ZERO => {
                    let waited = self.for_merger.wait_timeout(state, due_in);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                // Nothing is due before something comes or the flusher is done.
                Some(_) | None => wait(&self.for_merger, state),
            };
        }
    }

    /// How long until the active overlay is to be frozen; `None` = there is nothing in it.
    fn due_in(&self, state: &State) -> Option<Duration> {
        let since = state.active_since?;
        let asked_for = state.flush_requests.iter().any(|request| {
            request.batch <= state.batches_merged && request.batch > state.batches_frozen
        });
        let closing = state.stop.is_some() && state.queue.is_empty();
        let is_full = state.active_bytes >= self.options.overlay_bytes_max
            || state.active_log_bytes >= self.options.log_bytes_max;
        if asked_for || closing || is_full {
            return Some(Duration::ZERO);
        }
        let due_in = self.options.flush_interval.saturating_sub(since.elapsed());
        Some(state.sooner_if_idle(state.active_bytes, due_in))
    }

    fn freeze(&self, state: &mut State) {
        state.active_since = None;
        state.active_bytes = 0;
        let log_bytes = std::mem::take(&mut state.active_log_bytes);
        state.batches_frozen = state.batches_merged;
        // A batch without a readable fact leaves nothing to freeze, but still has to be cut from
        // the log.
        let overlay = self.layers.freeze().unwrap_or_default();
        let (last_lsn, clock) = (state.merged_lsn, state.clock);
        state.frozen = Some(Frozen {
            overlay,
            last_lsn,
            clock,
            log_bytes,
        });
        self.for_flusher.notify_one();
    }

    // ---- The flushing thread.

    pub(super) fn run_flusher(&self, on_flushed: &OnFlushed) {
        while let Some(task) = self.next_task() {
            let done = match task {
                Task::Flush(frozen) => self.flush_in_turns(frozen),
                Task::Settle(unsettled) => self.settle(unsettled).map(on_flushed),
            };
            if let Err(error) = done {
                self.note_failed(error);
                self.pause();
            }
        }
    }

    /// Writes a frozen overlay to the store, no faster than it has to.
    fn flush_in_turns(&self, frozen: Frozen) -> Result<(), StoreError> {
        let started = Instant::now();
        let rest = |done| self.rest(started, done);
        let pace = Pace::new(frozen.overlay.len(), &rest);
        self.flush(frozen, &pace)
    }

    /// What a flush that has gone on for so long is in a hurry for.
    fn haste(&self, state: &State, elapsed: Duration) -> Haste {
        let at_once = state.stop.is_some()
            || !state.flush_requests.is_empty()
            || state.is_failing()
            || !state.replay.is_over()
            || state.idle_in() == Duration::ZERO
            || self.is_full(state);
        Haste {
            elapsed,
            active_bytes: state.active_bytes,
            active_log_bytes: state.active_log_bytes,
            at_once,
        }
    }

    /// Waits while a flush of which this part is done is ahead of where it has to be.
    fn rest(&self, started: Instant, done: f64) {
        let mut state = self.state();
        while done > self.haste(&state, started.elapsed()).wanted(&self.options) {
            let waited = self.for_flusher.wait_timeout(state, REST);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes a frozen overlay to the store.
    fn flush(&self, frozen: Frozen, pace: &Pace<'_>) -> Result<(), StoreError> {
        let started = Instant::now();
        let flushed = flush(self.layers.store(), &frozen.overlay, frozen.clock, pace)?;
        self.layers.drop_frozen();
        self.note_flushed(&frozen, flushed, started.elapsed());
        // The last reference: a big overlay takes a while to free, so not in a lock.
        drop(frozen);
        Ok(())
    }

    /// Settles what is written; the last lsn of it.
    fn settle(&self, unsettled: Unsettled) -> Result<u64, StoreError> {
        self.layers.store().settle(unsettled.last_lsn)?;
        self.note_settled(unsettled);
        Ok(unsettled.last_lsn)
    }

    fn next_task(&self) -> Option<Task> {
        let mut state = self.state();
        loop {
            if state.stop == Some(Stop::Abort) || state.close_error.is_some() {
                return None;
            }
            let settle_in = self.settle_in(&state);
            if let Some(unsettled) = state.unsettled
                && settle_in == Some(Duration::ZERO)
            {
                return Some(Task::Settle(unsettled));
            }
            if let Some(frozen) = &state.frozen {
                return Some(Task::Flush(frozen.clone()));
            }
            if state.merger_done {
                return None;
            }
            state = match settle_in {
                Some(settle_in) => {
                    let waited = self.for_flusher.wait_timeout(state, settle_in);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => wait(&self.for_flusher, state),
            };
        }
    }

    /// How long until the store is to be settled; `None` = there is nothing to settle.
    fn settle_in(&self, state: &State) -> Option<Duration> {
        let unsettled = state.unsettled?;
        let done = state.batches_flushed;
        let asked_for = state
            .flush_requests
            .iter()
            .any(|request| request.batch <= done);
        let closing = state.merger_done && state.frozen.is_none();
        let is_much = unsettled.bytes >= self.options.settle_bytes
            || unsettled.log_bytes >= self.options.log_bytes_max;
        if asked_for || closing || is_much {
            return Some(Duration::ZERO);
        }
        let age = unsettled.since.elapsed();
        let settle_in = self.options.settle_interval.saturating_sub(age);
        Some(state.sooner_if_idle(unsettled.bytes, settle_in))
    }

    fn note_flushed(&self, frozen: &Frozen, flushed: Flushed, took: Duration) {
        let bytes = frozen.overlay.bytes();
        let mut state = self.state();
        state.frozen = None;
        state.batches_flushed = state.batches_frozen;
        state.failed_in_a_row = 0;
        let before = state.unsettled.take();
        state.unsettled = Some(Unsettled {
            since: before.map_or_else(Instant::now, |before| before.since),
            bytes: before.map_or(0, |before| before.bytes) + bytes,
            log_bytes: before.map_or(0, |before| before.log_bytes) + frozen.log_bytes,
            last_lsn: frozen.last_lsn,
            batches: state.batches_flushed,
        });
        let status = &mut state.status;
        status.flushes += 1;
        status.flush_time += took;
        status.flush_error = None;
        status.rows_written += flushed.applied.written;
        status.rows_corrupt += flushed.applied.corrupt;
        status.rows_stale += flushed.stale;
        let purged = flushed.purged;
        status.rows_purged += purged.rows + purged.rosters + purged.authors;
        if flushed.damage.is_some() {
            status.last_error = flushed.damage;
        }
        self.note_stuck(&state);
        drop(state);
        self.for_merger.notify_all();
        self.for_callers.notify_all();
    }

    fn note_settled(&self, settled: Unsettled) {
        let mut state = self.state();
        // Only this thread flushes, so nothing has come in between.
        state.unsettled = None;
        state.status.flushed_lsn = settled.last_lsn;
        state.status.flush_error = None;
        state.failed_in_a_row = 0;
        state.batches_settled = settled.batches;
        self.note_stuck(&state);
        let requests = take_requests(&mut state, |request| request.batch <= settled.batches);
        drop(state);
        requests
            .into_iter()
            .for_each(|request| (request.reply)(Ok(())));
    }

    /// Reports a failed flush.
    fn note_failed(&self, error: StoreError) {
        if planted::is(Bug::FailedFlushDropped) {
            self.layers.drop_frozen();
            self.state().frozen = None;
        }
        let text = error.to_string();
        let mut state = self.state();
        state.status.flush_failures += 1;
        state.failed_in_a_row = state.failed_in_a_row.saturating_add(1);
        state.status.flush_error = Some(text);
        self.note_stuck(&state);
        // Who waits in here for room would wait in vain.
        self.for_callers.notify_all();
        self.for_merger.notify_all();
        let frozen = state.batches_frozen;
        let requests = take_requests(&mut state, |request| request.batch <= frozen);
        if state.stop.is_some() {
            state.close_error = Some(error);
            drop(state);
            self.for_merger.notify_all();
            requests
                .into_iter()
                .for_each(|request| (request.reply)(Err(StoreError::Closed)));
            return;
        }
        drop(state);
        let mut error = Some(error);
        for request in requests {
            // One of those who wait gets the cause; the status has it for all.
            (request.reply)(Err(error.take().unwrap_or(StoreError::Closed)));
        }
    }

    /// Waits before the next try to flush.
    fn pause(&self) {
        let mut state = self.state();
        // A disk that hiccuped is tried again at once, one that is gone not too often.
        let halvings = RETRY_HALVINGS.saturating_sub(state.failed_in_a_row.saturating_sub(1));
        let until = Instant::now() + self.options.retry_interval / (1 << halvings);
        while state.stop.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.for_flusher.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Bytes of overlay that a fact makes beside its own, when all of its rows are new: a state row and
/// its roster row.
const FACT_BYTES: usize = 512;

/// Bytes of overlay that a batch may become.
fn cost(batch: &Batch) -> usize {
    let facts = usize::try_from(batch.count).unwrap_or(usize::MAX);
    batch
        .bytes
        .len()
        .saturating_add(facts.saturating_mul(FACT_BYTES))
}

pub(super) fn wait<'a>(condvar: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condvar.wait(state).unwrap_or_else(PoisonError::into_inner)
}

fn take_requests(state: &mut State, done: impl Fn(&FlushRequest) -> bool) -> Vec<FlushRequest> {
    let requests = std::mem::take(&mut state.flush_requests);
    let (done, left) = requests.into_iter().partition(done);
    state.flush_requests = left;
    done
}
