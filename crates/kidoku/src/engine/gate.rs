//! The durability gate: a reply leaves when all facts it may rest on are on disk.
//!
//! The log's thread publishes the durable lsn here and wakes those cores that hold replies. Each
//! core judges its own held replies against a [`View`] of the gate.

pub(crate) use kidoku_log::{Verdict, View};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    /// False when durability is `memory`: nothing is ever held.
    holds: bool,
    durable: AtomicU64,
    failing: AtomicBool,
    /// For each core: it holds replies and wants to be woken.
    waiting: Box<[AtomicBool]>,
}

impl Gate {
    /// A gate over `cores` cores; `durable` is the lsn up to which the log was recovered.
    pub(crate) fn new(cores: u16, durable: u64, holds: bool) -> Self {
        Self {
            holds,
            durable: AtomicU64::new(durable),
            failing: AtomicBool::new(false),
            waiting: (0..cores).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// The gate now.
    pub(crate) fn view(&self) -> View {
        let durable = if self.holds {
            self.durable.load(Ordering::SeqCst)
        } else {
            u64::MAX
        };
        View::new(durable, self.failing.load(Ordering::SeqCst))
    }

    /// The last lsn known to be on disk.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }

    /// True while the log can not be written.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Everything up to `lsn` is on disk. Answers the cores to wake.
    pub(crate) fn publish(&self, lsn: u64) -> impl Iterator<Item = usize> {
        self.durable.fetch_max(lsn, Ordering::SeqCst);
        self.take_waiting()
    }

    /// The log fails, or works again. Answers the cores to wake.
    pub(crate) fn set_failing(&self, failing: bool) -> impl Iterator<Item = usize> {
        self.failing.store(failing, Ordering::SeqCst);
        self.take_waiting()
    }

    /// Says that a core holds replies. The core must take a new view afterwards, because the lsn
    /// may have risen just before.
    pub(crate) fn wait(&self, core: usize) {
        if let Some(waiting) = self.waiting.get(core) {
            waiting.store(true, Ordering::SeqCst);
        }
    }

    fn take_waiting(&self) -> impl Iterator<Item = usize> {
        let woken = |(core, waiting): (usize, &AtomicBool)| {
            waiting.swap(false, Ordering::SeqCst).then_some(core)
        };
        self.waiting.iter().enumerate().filter_map(woken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_waits_until_its_stamp_is_durable() {
        let gate = Gate::new(1, 5, true);
        assert_eq!(gate.view().judge(5, true), Verdict::Go);
        assert_eq!(gate.view().judge(6, true), Verdict::Wait);
        assert_eq!(gate.view().judge(6, false), Verdict::Wait);
        assert_eq!(gate.publish(6).count(), 0);
        assert_eq!(gate.view().judge(6, true), Verdict::Go);
    }

    #[test]
    fn while_the_log_fails_writes_are_refused_and_reads_go_on() {
        let gate = Gate::new(1, 5, true);
        assert_eq!(gate.set_failing(true).count(), 0);
        assert_eq!(gate.view().judge(5, true), Verdict::Go);
        assert_eq!(gate.view().judge(6, true), Verdict::Refuse);
        assert_eq!(gate.view().judge(6, false), Verdict::Go);
        assert_eq!(gate.set_failing(false).count(), 0);
        assert_eq!(gate.view().judge(6, true), Verdict::Wait);
    }

    #[test]
    fn with_durability_memory_nothing_waits() {
        let gate = Gate::new(1, 0, false);
        assert_eq!(gate.view().judge(u64::MAX, true), Verdict::Go);
    }

    #[test]
    fn only_cores_that_wait_are_woken_and_only_once() {
        let gate = Gate::new(3, 0, true);
        gate.wait(2);
        assert_eq!(gate.publish(1).collect::<Vec<_>>(), [2]);
        assert_eq!(gate.publish(2).count(), 0);
        assert_eq!(gate.durable(), 2);
    }

    #[test]
    fn the_durable_lsn_never_falls() {
        let gate = Gate::new(1, 9, true);
        assert_eq!(gate.publish(3).count(), 0);
        assert_eq!(gate.durable(), 9);
    }
}
