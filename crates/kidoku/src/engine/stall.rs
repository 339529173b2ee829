//! How often a core kept all others waiting for too long.
//!
//! Everything on a core takes turns, and nothing may take longer than a millisecond. Where the time of
//! a turn is known anyway, or costs nothing beside it, it is looked at; what is counted also has in it
//! what the system gave to other threads meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A turn that takes longer is counted.
const STALL: Duration = Duration::from_millis(1);
/// A turn that takes longer is counted as a long one too.
const LONG_STALL: Duration = Duration::from_millis(10);

/// What a turn is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Requests of a connection.
    Requests,
    /// Answers that leave.
    Answers,
    /// What other cores and the store have sent.
    Mail,
    /// What is due by time.
    Ticks,
}

impl Work {
    /// Every kind, with its name in the metrics.
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Requests, "requests"),
        (Self::Answers, "answers"),
        (Self::Mail, "mail"),
        (Self::Ticks, "ticks"),
    ];

    fn index(self) -> usize {
        match self {
            Self::Requests => 0,
            Self::Answers => 1,
            Self::Mail => 2,
            Self::Ticks => 3,
        }
    }
}

/// The turns of one core that took too long, since the start.
#[derive(Debug, Default)]
pub(crate) struct Stalls {
    works: [Counts; Work::ALL.len()],
    longest_nanos: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    stalls: AtomicU64,
    long: AtomicU64,
}

/// What [`Stalls`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StallCounts {
    /// Turns of more than a millisecond, by what they were spent on.
    pub(crate) stalls: [u64; Work::ALL.len()],
    /// Turns of more than ten.
    pub(crate) long: [u64; Work::ALL.len()],
    /// The longest turn.
    pub(crate) longest: Duration,
}

impl Stalls {
    /// A turn took so long.
    pub(crate) fn note(&self, work: Work, time: Duration) {
        if time <= STALL {
            return;
        }
        if let Some(counts) = self.works.get(work.index()) {
            counts.stalls.fetch_add(1, Ordering::Relaxed);
            let long = u64::from(time > LONG_STALL);
            counts.long.fetch_add(long, Ordering::Relaxed);
        }
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.longest_nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> StallCounts {
        let of = |count: fn(&Counts) -> &AtomicU64| {
            self.works
                .each_ref()
                .map(|counts| count(counts).load(Ordering::Relaxed))
        };
        StallCounts {
            stalls: of(|counts| &counts.stalls),
            long: of(|counts| &counts.long),
            longest: Duration::from_nanos(self.longest_nanos.load(Ordering::Relaxed)),
        }
    }
}

impl StallCounts {
    /// What to tell of the long turns of a core since it had `before`; `None` = there were none.
    fn since(&self, before: &Self, core: usize) -> Option<String> {
        let counts = self.long.iter().zip(&before.long);
        let more = counts.map(|(now, before)| now.saturating_sub(*before));
        let told: Vec<String> = Work::ALL
            .iter()
            .zip(more)
            .filter(|(_, count)| *count > 0)
            .map(|((_, name), count)| format!("{name} {count}"))
            .collect();
        (!told.is_empty()).then(|| {
            format!(
                "core {core} kept everybody waiting for more than {} ms at a time: {}; the longest since the \
                 start is {:.1} ms, with what the system gave to other threads meanwhile",
                LONG_STALL.as_millis(),
                told.join(", "),
                self.longest.as_secs_f64() * 1e3
            )
        })
    }
}

/// Tells of each long turn once.
#[derive(Debug, Default)]
pub(crate) struct StallLog {
    told: Vec<StallCounts>,
}

impl StallLog {
    /// What to tell of the cores, by what they have counted by now. The first look tells nothing: a start
    /// replays the log.
    pub(crate) fn look(&mut self, counts: Vec<StallCounts>) -> Vec<String> {
        let told = std::mem::replace(&mut self.told, counts);
        let cores = self.told.iter().zip(&told).enumerate();
        cores
            .filter_map(|(core, (now, before))| now.since(before, core))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_long_turn_is_told_once_and_short_ones_never() {
        let cores = [Stalls::default(), Stalls::default()];
        let mut log = StallLog::default();
        let mut look = |cores: &[Stalls]| log.look(cores.iter().map(Stalls::counts).collect());
        cores[0].note(Work::Mail, Duration::from_secs(1));
        assert!(look(&cores).is_empty(), "the first look");
        cores[0].note(Work::Mail, LONG_STALL);
        assert!(look(&cores).is_empty(), "a short one");
        cores[1].note(Work::Ticks, Duration::from_micros(23_456));
        cores[1].note(Work::Requests, Duration::from_millis(12));
        let told = look(&cores);
        assert_eq!(told.len(), 1);
        for part in ["core 1 ", "requests 1, ticks 1;", "23.5 ms"] {
            assert!(told[0].contains(part), "{told:?}");
        }
        assert!(look(&cores).is_empty(), "told already");
    }

    #[test]
    fn turns_are_counted_from_a_millisecond_on_by_what_they_were_spent_on() {
        let stalls = Stalls::default();
        stalls.note(Work::Mail, STALL);
        assert_eq!(stalls.counts(), StallCounts::default());
        stalls.note(Work::Mail, STALL + Duration::from_nanos(1));
        stalls.note(Work::Ticks, LONG_STALL);
        stalls.note(Work::Ticks, Duration::from_millis(11));
        let counts = StallCounts {
            stalls: [0, 0, 1, 2],
            long: [0, 0, 0, 1],
            longest: Duration::from_millis(11),
        };
        assert_eq!(stalls.counts(), counts);
    }
}
