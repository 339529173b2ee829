//! Faults put in on purpose, so that the simulator can show that it would find them.
//!
//! Each is one branch in the code of the shards, taken when the fault is selected on the thread. Without the
//! feature `planted`, which no build of the server has, nothing can be selected and the branches are
//! compiled away.

/// A fault that can be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A message posted twice counts twice: a counter where there should be a set.
    CountedTwice,
    /// An ack of an era that is over moves the cursor all the same.
    EraIgnored,
    /// An edit does not retract a mention.
    MentionKept,
    /// An ack-all is not part of the line.
    FloorIgnored,
    /// Where somebody joined is not part of the line.
    JoinIgnored,
    /// A channel that is loaded does not know what was trimmed.
    TrimForgotten,
    /// Of two cursors the one that comes last wins.
    LastArrival,
    /// A delete of a message that has not come yet is forgotten.
    DeleteBeforePostLost,
    /// A private ack moves what others see.
    PrivateShown,
    /// One kind of request goes to another core than the user's.
    WrongShard,
    /// A message counts for its author.
    OwnCounted,
    /// A mark unread finds only the mentions that are still in memory.
    ReloadForgetsMentions,
    /// A count takes the cursors of another count of the user that is under way.
    CountsShareCursors,
    /// What has changed of a user is not told once the user is evicted.
    EvictedUntold,
    /// What changes while an event is counted is not told.
    ChangedWhileCounted,
}

impl Bug {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::CountedTwice,
        Self::EraIgnored,
        Self::MentionKept,
        Self::FloorIgnored,
        Self::JoinIgnored,
        Self::TrimForgotten,
        Self::LastArrival,
        Self::DeleteBeforePostLost,
        Self::PrivateShown,
        Self::WrongShard,
        Self::OwnCounted,
        Self::ReloadForgetsMentions,
        Self::CountsShareCursors,
        Self::EvictedUntold,
        Self::ChangedWhileCounted,
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
