//! What the threads do, one turn at a time, for [`Steps`](crate::Steps).

use super::{Batch, Pace, Shared};
use crate::FlushStep;

impl Shared {
    /// Takes over a batch, full or not.
    pub(in crate::checkpoint) fn push_batch(&self, batch: Batch) {
        self.state().push(batch);
    }

    /// Takes over a replayed batch, full or not.
    pub(in crate::checkpoint) fn push_replayed(&self, batch: Batch) {
        // It refuses only while it stops, and waits only for more bytes than a simulated log has.
        drop(self.enqueue_replayed(batch));
    }

    /// Merges the next batch. False when there is none.
    pub(in crate::checkpoint) fn merge_step(&self) -> bool {
        let Some(batch) = self.state().queue.pop_front() else {
            return false;
        };
        self.merge(&batch);
        true
    }

    /// Freezes the active overlay. False when it is empty or the last one is still there.
    pub(in crate::checkpoint) fn freeze_step(&self) -> bool {
        let mut state = self.state();
        let may = state.may_freeze() && state.active_since.is_some();
        if may {
            self.freeze(&mut state);
        }
        may
    }

    /// Writes the frozen overlay and settles it, or what an earlier turn could not settle.
    pub(in crate::checkpoint) fn flush_step(&self) -> FlushStep {
        let frozen = self.state().frozen.clone();
        let flushed = frozen.map_or(Ok(()), |frozen| self.flush(frozen, &Pace::unhindered()));
        let unsettled = self.state().unsettled;
        let settled = flushed.and_then(|()| unsettled.map(|some| self.settle(some)).transpose());
        match settled {
            Ok(None) => FlushStep::Idle,
            Ok(Some(last_lsn)) => FlushStep::Done(last_lsn),
            Err(error) => {
                self.note_failed(error);
                FlushStep::Failed
            }
        }
    }

    /// Answers the job at `place` among those whose batches are merged. False when there is none.
    pub(in crate::checkpoint) fn load_step(&self, place: usize) -> bool {
        let mut state = self.state();
        let ready = self.ready(&state).count();
        let nth = place.checked_rem(ready);
        let Some(place) = nth.and_then(|nth| self.ready(&state).nth(nth)) else {
            return false;
        };
        let Some((job, pull)) = state.take_job(place) else {
            return false;
        };
        drop(state);
        self.answer(job, pull);
        true
    }
}
