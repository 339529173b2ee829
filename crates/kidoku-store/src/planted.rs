//! Faults put in on purpose, so that the simulator can show that it would find them.
//!
//! Each is one branch in the code of the checkpoint, taken when the fault is selected on the thread. Without the
//! feature `planted`, which no build of the server has, nothing can be selected and the branches are
//! compiled away.

/// A fault that can be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A flush leaves out tombstones of messages that have not come yet.
    TombstoneLost,
    /// A load does not wait for the facts that were queued before it.
    LoadOvertakes,
    /// A load after a restart does not wait for what the log has of its partition.
    ReplayForgotten,
    /// A flush counts as done before the store is synced.
    CutBeforeSync,
    /// A flush does not record the highest clock.
    ClockForgotten,
    /// A load does not look into the overlay that is being written.
    FrozenForgotten,
    /// What a failed flush should have written is dropped from memory.
    FailedFlushDropped,
    /// What the log does not have goes to the store.
    FlushedUnlogged,
    /// Everybody is taken for somebody whom the roster has.
    AllListed,
    /// Receipts are loaded without what is not in the store yet.
    ReceiptsStale,
    /// A damaged row is answered as if there was none.
    DamagedAsEmpty,
    /// A row that is merged into a damaged one takes its place.
    DamageForgotten,
}

impl Bug {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::TombstoneLost,
        Self::LoadOvertakes,
        Self::ReplayForgotten,
        Self::CutBeforeSync,
        Self::ClockForgotten,
        Self::FrozenForgotten,
        Self::FailedFlushDropped,
        Self::FlushedUnlogged,
        Self::AllListed,
        Self::ReceiptsStale,
        Self::DamagedAsEmpty,
        Self::DamageForgotten,
    ];
}

#[cfg(feature = "planted")]
mod selected {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static SELECTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Puts a fault in, on this thread, in place of the one before.
    pub fn select(bug: Option<Bug>) {
        SELECTED.set(bug);
    }

    /// True when this fault is in.
    pub(crate) fn is(bug: Bug) -> bool {
        SELECTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub(crate) use selected::is;
#[cfg(feature = "planted")]
pub use selected::select;

/// True when this fault is in: never, in a build without the feature.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}
