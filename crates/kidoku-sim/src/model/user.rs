//! A user's past.

use kidoku_core::clock::Millis;
use kidoku_core::fact::MuteLevel;
use kidoku_core::id::{ChannelKey, MessageId, Name};
use std::collections::{BTreeMap, BTreeSet};

/// What happened between a user and a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Era (an ordinal, 0 = none) and position.
    pub(super) cursor: (u64, u64),
    /// What others may see; without floors.
    pub(super) public: u64,
    /// In or out, and from where on; `None` = never said.
    pub(super) membership: Option<(bool, u64)>,
    /// Level and end; `None` = never said.
    pub(super) preference: Option<(MuteLevel, Millis)>,
    /// Messages that named the user directly, ever.
    pub(super) named: BTreeSet<MessageId>,
    /// Messages the user wrote.
    pub(super) own: BTreeSet<MessageId>,
}

impl Row {
    pub(super) fn member(&self) -> bool {
        self.membership.is_some_and(|(member, _)| member)
    }

    /// True when anything but mentions and own messages is known.
    pub(super) fn stated(&self) -> bool {
        self.cursor != (0, 0)
            || self.public != 0
            || self.membership.is_some()
            || self.preference.is_some()
    }

    pub(super) fn muted(&self, now: Millis) -> MuteLevel {
        match self.preference {
            Some((_, until)) if until != Millis(0) && until <= now => MuteLevel::None,
            Some((level, _)) => level,
            None => MuteLevel::None,
        }
    }
}

/// One "mark all read".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    pub(super) ordinal: u64,
    pub(super) space: Option<Name>,
    pub(super) position: u64,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct User {
    pub(super) rows: BTreeMap<ChannelKey, Row>,
    pub(super) floors: Vec<Floor>,
    pub(super) roles: BTreeSet<Name>,
}

impl User {
    /// The highest floor newer than an era: of the whole account (`None`) or of a space.
    pub(super) fn floor_above(&self, era: u64, space: Option<&Name>) -> u64 {
        self.floors
            .iter()
            .filter(|floor| floor.ordinal > era && floor.space.as_ref() == space)
            .map(|floor| floor.position)
            .max()
            .unwrap_or_default()
    }
}
