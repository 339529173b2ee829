//! Faults put in on purpose, so that the simulator can show that it would find them.
//!
//! Each is one branch in the code of the log, taken when the fault is selected on the thread. Without the
//! feature `planted`, which no build of the server has, nothing can be selected and the branches are
//! compiled away.

/// A fault that can be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An answer leaves before its facts are on the disk.
    AckBeforeSync,
    /// A failed sync is tried again on the same segment, and believed.
    SyncAgain,
    /// A record is taken whatever its checksum says.
    TornTaken,
    /// Recovery ends at the first bad record and drops the good ones behind it.
    StopsAtBadRecord,
    /// After a failure, what waits counts as durable before it is written again.
    DurableTooHigh,
    /// A new segment's name is not made durable.
    DirectoryNotSynced,
    /// A segment is removed when the store has only a part of it.
    CutTooEarly,
    /// What a start has read is not made durable before answers rest on it.
    ShownNotKept,
    /// An event leaves before its facts are on the disk.
    PushedEarly,
}

impl Bug {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::AckBeforeSync,
        Self::SyncAgain,
        Self::TornTaken,
        Self::StopsAtBadRecord,
        Self::DurableTooHigh,
        Self::DirectoryNotSynced,
        Self::CutTooEarly,
        Self::ShownNotKept,
        Self::PushedEarly,
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
