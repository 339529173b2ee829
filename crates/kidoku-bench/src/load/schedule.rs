//! When the requests of an open loop are due: evenly, from the first moment on, whatever happens.

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// The times at which the requests of one thread are due, of all that the threads share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    per_second: u64,
    /// The next request, counted over all threads.
    next: u64,
    threads: u64,
}

impl Schedule {
    /// Of thread `index` of `threads`.
    pub(super) fn new(per_second: u32, index: u64, threads: u64) -> Self {
        Self {
            per_second: u64::from(per_second.max(1)),
            next: index,
            threads: threads.max(1),
        }
    }

    /// When the next one is due, in nanoseconds from the start.
    pub(super) fn due_ns(&self) -> u64 {
        // In two parts, so that it is exact and does not run over in five hundred years.
        let (seconds, rest) = (self.next / self.per_second, self.next % self.per_second);
        seconds * SECOND_NS + rest * SECOND_NS / self.per_second
    }

    /// Goes on to the one after it.
    pub(super) fn advance(&mut self) {
        self.next += self.threads;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_rate_evenly_and_drift_by_nothing() {
        let mut due = Vec::new();
        for thread in 0..3 {
            let mut schedule = Schedule::new(3_000, thread, 3);
            for _ in 0..3_000 {
                due.push(schedule.due_ns());
                schedule.advance();
            }
        }
        due.sort_unstable();
        for (number, due) in due.iter().enumerate() {
            let exact = u64::try_from(number).unwrap() * SECOND_NS / 3_000;
            assert!(due.abs_diff(exact) <= 1, "{number}: {due}");
        }
    }
}
