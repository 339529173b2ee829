//! What the loading threads do: answer loads and scans, each once it can see what it has to.

use super::merge::merge_facts;
use super::replay::Pull;
use super::threads::{Job, Shared, State, Stop, wait};
use crate::StoreError;
use crate::planted::{self, Bug};
use kidoku_core::effect::LoadFailed;

impl State {
    /// Takes out the job at a place, with what it has to merge first.
    pub(super) fn take_job(&mut self, place: usize) -> Option<(Job, Option<Pull>)> {
        let (after, job) = self.jobs.remove(place)?;
        let early = after > self.batches_merged;
        let pull = self.replay.pull(&job).filter(|_| early);
        Some((job, pull))
    }
}

impl Shared {
    pub(super) fn run_loader(&self) {
        while let Some((job, pull)) = self.next_job() {
            self.answer(job, pull);
        }
    }

    /// Merges what the job has to see of the replay, and answers it.
    pub(super) fn answer(&self, job: Job, pull: Option<Pull>) {
        if let Some(pull) = pull.filter(|_| !planted::is(Bug::ReplayForgotten)) {
            let bytes = merge_facts(&self.layers, pull.facts());
            let mut state = self.state();
            state.replay.pulled(&pull);
            state.active_bytes = state.active_bytes.max(bytes);
        }
        let error = self.run_job(job);
        let mut state = self.state();
        state.status.loads += 1;
        if error.is_some() {
            state.status.load_failures += 1;
            state.status.last_error = error;
        }
    }

    fn next_job(&self) -> Option<(Job, Option<Pull>)> {
        let mut state = self.state();
        loop {
            let aborted = state.stop == Some(Stop::Abort);
            let first = self.ready(&state).next();
            if let Some(first) = first.filter(|_| !aborted) {
                return state.take_job(first);
            }
            match state.jobs.front() {
                // What waits for a batch that is never going to be merged is refused.
                Some(_) if aborted || state.merger_done => {
                    let (_, job) = state.jobs.pop_front()?;
                    drop(state);
                    job.refuse();
                    state = self.state();
                }
                None if state.stop.is_some() => return None,
                Some(_) | None => state = wait(&self.for_loaders, state),
            }
        }
    }

    /// The places of the jobs that can be answered now.
    pub(super) fn ready(&self, state: &State) -> impl Iterator<Item = usize> {
        let merged = state.batches_merged;
        // Pulling fills the overlay beside the merging thread, so it has a bound of its own.
        let may_pull = state.active_bytes < self.options.overlay_bytes_max.saturating_mul(2);
        let jobs = state.jobs.iter().enumerate();
        jobs.filter(move |(_, (after, job))| {
            *after <= merged || (may_pull && state.replay.serves(job))
        })
        .map(|(place, _)| place)
    }

    /// Gives what went wrong.
    fn run_job(&self, job: Job) -> Option<String> {
        match job {
            Job::Load { load, reply } => match self.layers.load(&load) {
                Ok(loaded) => {
                    reply(Ok(loaded));
                    None
                }
                Err(error) => {
                    reply(Err(self.layers.load_failed(&load, &error)));
                    Some(error.to_string())
                }
            },
            Job::Scan {
                app,
                after,
                limit,
                reply,
            } => {
                let page = self.layers.scan(&app, after.as_ref(), limit);
                let error = page.as_ref().err().map(ToString::to_string);
                reply(page);
                error
            }
        }
    }
}

impl Job {
    pub(super) fn refuse(self) {
        match self {
            Self::Load { reply, .. } => reply(Err(LoadFailed::Unreadable)),
            Self::Scan { reply, .. } => reply(Err(StoreError::Closed)),
        }
    }
}
