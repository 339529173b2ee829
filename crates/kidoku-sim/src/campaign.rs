//! Many seeds, on all cores, with a word about how it goes.

use crate::shrink::shrink;
use crate::world::{Event, Failure, Outcome, Plan, Totals, run};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Which seeds.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first.
    pub first: u64,
    /// How many at most.
    pub count: u64,
    /// How long at most.
    pub time: Option<Duration>,
    /// How many at a time.
    pub threads: usize,
    /// Ends at the first seed that fails.
    pub until_failure: bool,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Which.
    pub seed: u64,
    /// How.
    pub failure: Failure,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// What happened in all of them.
    pub totals: Totals,
    /// Those that failed, the lowest seed first.
    pub failed: Vec<Failed>,
}

/// Seeds that a thread takes at a time.
const CHUNK: u64 = 16;

/// How often an attempt to leave something out is made.
const SHRINK_TRIES_MAX: u32 = 4_000;

impl Campaign {
    /// Runs them. `progress` is told how far it is about every ten seconds.
    pub fn run(
        &self,
        prepare: impl Fn() + Sync,
        progress: impl Fn(&Report, Duration) + Sync,
    ) -> Report {
        let report = Mutex::new(Report::default());
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let begun = Instant::now();
        let told = Mutex::new(begun);
        let worker = || {
            prepare();
            loop {
                let at = next.fetch_add(CHUNK, Ordering::Relaxed);
                let late = self.time.is_some_and(|time| begun.elapsed() >= time);
                if at >= self.count || late || stop.load(Ordering::Relaxed) {
                    return;
                }
                let mut part = Report::default();
                for seed in self.first + at..self.first + (at + CHUNK).min(self.count) {
                    part.add(seed, outcome_of(seed));
                }
                if self.until_failure && !part.failed.is_empty() {
                    stop.store(true, Ordering::Relaxed);
                }
                let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                report.seeds += part.seeds;
                report.totals += part.totals;
                report.failed.append(&mut part.failed);
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                if told.elapsed() >= Duration::from_secs(10) {
                    *told = Instant::now();
                    progress(&report, begun.elapsed());
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(worker);
            }
        });
        let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.failed.sort_by_key(|failed| failed.seed);
        report
    }
}

impl Report {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.totals += outcome.totals;
        if let Some(failure) = outcome.failure {
            self.failed.push(Failed { seed, failure });
        }
    }
}

fn outcome_of(seed: u64) -> Outcome {
    let plan = Plan::new(seed);
    run(&plan, &plan.events())
}

/// The events of a seed without those that its failure does not need.
pub fn shrunk(plan: &Plan) -> Vec<Event> {
    shrink(&plan.events(), SHRINK_TRIES_MAX, |events| {
        run(plan, events).failure.is_some()
    })
}
