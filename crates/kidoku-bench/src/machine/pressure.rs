//! What else the machine does.

use crate::number::{figure, nanos};
use std::fs;
use std::time::Duration;

/// The unit of `/proc/stat`, on Linux on every architecture.
const TICK_NS: u64 = 10_000_000;

/// Processor time of the whole machine so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    busy_ns: u64,
    /// Wanted by this machine while its host gave it to another.
    steal_ns: u64,
}

impl Pressure {
    /// As it is now.
    pub(crate) fn now() -> Self {
        Self::read(&fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    fn read(stat: &str) -> Self {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "));
        let fields: Vec<u64> = line
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or(0) * TICK_NS;
        Self {
            // User, nice, system, interrupts of both kinds; not idle and not waiting for a disk.
            busy_ns: field(0) + field(1) + field(2) + field(5) + field(6),
            steal_ns: field(7),
        }
    }

    /// Cores that were taken since `before` by all that is not part of the measurement, which used
    /// `known`.
    pub(crate) fn others_since(self, before: Self, known: Duration, time: Duration) -> f64 {
        let busy = self.busy_ns.saturating_sub(before.busy_ns);
        let others = busy.saturating_sub(nanos(known));
        figure(others) / figure(nanos(time).max(1))
    }

    /// Cores that the host took since `before`.
    pub(crate) fn steal_since(self, before: Self, time: Duration) -> f64 {
        let stolen = self.steal_ns.saturating_sub(before.steal_ns);
        figure(stolen) / figure(nanos(time).max(1))
    }
}

/// Processes that run or want to, on average over the last minute.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_use_is_what_is_left_of_the_busy_time() {
        let before = Pressure::read("cpu  100 10 50 1000 7 1 2 3 0 0\ncpu0 1 1\n");
        let after = Pressure::read("cpu  200 20 100 2000 9 2 3 53 0 0\n");
        let second = Duration::from_secs(1);
        let others = after.others_since(before, Duration::from_millis(1_120), second);
        assert!((others - 0.5).abs() < 1e-9, "{others}");
        let steal = after.steal_since(before, second);
        assert!((steal - 0.5).abs() < 1e-9, "{steal}");
        let all = after.others_since(before, Duration::from_secs(9), second);
        assert!(all.abs() < 1e-9, "{all}");
    }
}
