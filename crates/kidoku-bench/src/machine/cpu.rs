//! Processor time of a process and its children.
//!
//! Two sources: the run time of each thread in nanoseconds (`schedstat`), which forgets threads that
//! have ended, and the totals of `stat`, which forget nothing and come in hundredths of a second.

use super::{family, fields};
use std::fs;
use std::time::Duration;

/// The unit of `/proc/PID/stat`, on Linux on every architecture.
const TICK_NS: u64 = 10_000_000;
/// User and system time are each cut to whole ticks: so much may the two sources differ for one process
/// when no thread has ended.
const CUT_NS: u64 = 3 * TICK_NS;

/// Processor time used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Of the threads that live, and of children that were waited for.
    threads_ns: u64,
    /// Of all, in whole ticks.
    total_ns: u64,
    processes: u64,
}

impl Cpu {
    /// Of a process and all its descendants.
    pub(crate) fn of(pid: u32) -> Self {
        family(pid).into_iter().fold(Self::default(), |sum, pid| {
            let one = Self::of_one(pid);
            Self {
                threads_ns: sum.threads_ns + one.threads_ns,
                total_ns: sum.total_ns + one.total_ns,
                processes: sum.processes + 1,
            }
        })
    }

    /// Of a process alone.
    pub(crate) fn of_one(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Times { own_ns, waited_ns } = times(&stat);
        Self {
            threads_ns: threads_ns(pid) + waited_ns,
            total_ns: own_ns + waited_ns,
            processes: 1,
        }
    }

    /// What was used since `before`: to the nanosecond, or to the tick when threads have ended since.
    pub(crate) fn since(self, before: Self) -> Duration {
        let precise = self.threads_ns.saturating_sub(before.threads_ns);
        let total = self.total_ns.saturating_sub(before.total_ns);
        let cut = CUT_NS * self.processes.max(before.processes);
        let ended = self.threads_ns < before.threads_ns || total > precise + cut;
        Duration::from_nanos(if ended { total } else { precise })
    }
}

/// Times in a line of `/proc/PID/stat`.
struct Times {
    own_ns: u64,
    /// Of children that have ended and were waited for.
    waited_ns: u64,
}

fn times(stat: &str) -> Times {
    let fields = fields(stat);
    let ticks = |at: usize| -> u64 {
        let two = fields.get(at..at + 2).unwrap_or_default();
        two.iter().filter_map(|n| n.parse::<u64>().ok()).sum()
    };
    Times {
        own_ns: ticks(11) * TICK_NS,
        waited_ns: ticks(13) * TICK_NS,
    }
}

/// The sum over the threads that live.
fn threads_ns(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    threads
        .filter_map(|thread| {
            let path = thread.ok()?.path().join("schedstat");
            run_ns(&fs::read_to_string(path).ok()?)
        })
        .sum()
}

/// The run time in a line of `schedstat`.
fn run_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// Processor time that this thread has used.
pub(crate) fn this_thread_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    run_ns(&text).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::process::Command;
    use std::time::Instant;

    /// Keeps a processor busy until this thread has used so much of it.
    fn burn(time: Duration) {
        let (begun, before) = (Instant::now(), this_thread_ns());
        while Duration::from_nanos(this_thread_ns() - before) < time {
            for number in 0..10_000_u64 {
                black_box(number);
            }
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
    }

    #[test]
    fn both_sources_agree_on_a_busy_process() {
        let mut busy = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let before = Cpu::of(busy.id());
        let mut after = before;
        while after.since(before) < Duration::from_millis(300) {
            std::thread::sleep(Duration::from_millis(20));
            after = Cpu::of(busy.id());
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
        busy.kill().unwrap();
        busy.wait().unwrap();
        let precise = after.threads_ns - before.threads_ns;
        let total = after.total_ns - before.total_ns;
        assert!(precise.abs_diff(total) <= CUT_NS, "{precise} {total}");
    }

    #[test]
    fn threads_that_have_ended_are_not_forgotten() {
        let pid = std::process::id();
        let before = Cpu::of_one(pid);
        let burning = std::thread::spawn(|| burn(Duration::from_millis(300)));
        assert!(burning.join().is_ok());
        let used = Cpu::of_one(pid).since(before);
        assert!(used >= Duration::from_millis(270), "{used:?}");
    }

    #[test]
    fn the_precise_source_is_believed_as_long_as_the_ticks_allow_it() {
        let cpu = |threads_ns, total_ns| Cpu {
            threads_ns,
            total_ns,
            processes: 1,
        };
        let before = cpu(1_000, 0);
        let since = |threads, total| cpu(threads, total).since(before).as_nanos();
        assert_eq!(since(5_000_001_000, 5_000_000_000), 5_000_000_000);
        assert_eq!(since(5_000_001_234, 5_020_000_000), 5_000_000_234);
        assert_eq!(since(4_000_000_000, 5_020_000_000), 5_020_000_000);
        assert_eq!(since(500, 20_000_000), 20_000_000);
    }

    #[test]
    fn times_of_a_process_and_of_its_ended_children_are_told_apart() {
        let times = times("7 (x) S 3 7 7 0 -1 4194560 1 2 3 4 11 12 13 14 20 0 1");
        assert_eq!((times.own_ns, times.waited_ns), (230_000_000, 270_000_000));
    }
}
