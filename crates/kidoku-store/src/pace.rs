//! How fast a flush goes.
//!
//! A flush has seconds of work that nobody waits for, beside cores that everybody waits for. Where both
//! share processors, a lower priority is not enough: the scheduler gives what is left over to the flush at
//! once, so that a core with much to do has nothing in hand for ten seconds, and then everything for twenty. So a
//! flush works for a millisecond at a time and rests in between, as long as it is ahead of where it
//! has to be.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

/// Work between two rests.
const TURN: Duration = Duration::from_millis(1);

/// Steps after which the clock is read: some dozens of microseconds.
const STEPS_BETWEEN_LOOKS: usize = 16;

/// What merging a row into what is stored takes beside writing it, which is one step.
pub(crate) const STEPS_TO_MERGE: usize = 3;

/// Steps of a row in all.
const STEPS_PER_ROW: usize = STEPS_TO_MERGE + 1;

/// Counts the work of a flush, and has it rest.
pub struct Pace<'a> {
    /// Waits until it is time to go on, given how much of the work is done, from 0 to 1.
    rest: Option<&'a dyn Fn(f64)>,
    steps: usize,
    done: Cell<usize>,
    look_at: Cell<usize>,
    turn_began: Cell<Instant>,
}

impl fmt::Debug for Pace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace")
            .field("steps", &self.steps)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl<'a> Pace<'a> {
    /// That of a flush of so many rows. `rest` gets how much of it is done, and returns when it is time to go
    /// on.
    pub(crate) fn new(rows: usize, rest: &'a dyn Fn(f64)) -> Self {
        Self {
            rest: Some(rest),
            steps: rows.saturating_mul(STEPS_PER_ROW),
            ..Self::unhindered()
        }
    }

    /// Without rests.
    pub fn unhindered() -> Self {
        Self {
            rest: None,
            steps: 0,
            done: Cell::new(0),
            look_at: Cell::new(STEPS_BETWEEN_LOOKS),
            turn_began: Cell::new(Instant::now()),
        }
    }

    /// Notes work that was done. It may take a while: no lock that others want is to be held.
    pub(crate) fn did(&self, steps: usize) {
        let done = self.done.get() + steps;
        self.done.set(done);
        let Some(rest) = self.rest.filter(|_| done >= self.look_at.get()) else {
            return;
        };
        self.look_at.set(done + STEPS_BETWEEN_LOOKS);
        if self.turn_began.get().elapsed() >= TURN {
            rest(part(float(done), float(self.steps)));
            self.turn_began.set(Instant::now());
        }
    }
}

/// What part of `max` something is. A `max` of 0 is reached.
pub(crate) fn part(is: f64, max: f64) -> f64 {
    if max > 0.0 { is / max } else { 1.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a part, for which 50 bits are enough"
)]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn it_rests_after_each_turn_and_knows_how_far_it_is() {
        let rests = RefCell::new(Vec::new());
        let rest = |part| rests.borrow_mut().push(part);
        let pace = Pace::new(100, &rest);
        for _ in 0..100 {
            std::thread::sleep(TURN / 8);
            pace.did(STEPS_TO_MERGE);
        }
        for _ in 0..100 {
            std::thread::sleep(TURN / 8);
            pace.did(1);
        }
        let rests = rests.into_inner();
        assert!(rests.len() > 10 && rests.len() < 50, "{rests:?}");
        assert!(rests.is_sorted() && rests.iter().all(|part| (0.0..=1.0).contains(part)));
        assert!(rests.last().unwrap() > &0.9);
    }

    #[test]
    fn what_is_unhindered_never_rests() {
        let pace = Pace::unhindered();
        std::thread::sleep(TURN * 2);
        pace.did(1_000);
        assert_eq!(pace.done.get(), 1_000);
    }
}
