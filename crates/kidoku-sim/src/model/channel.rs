//! A channel's past: what each post, edit and delete has said.

use kidoku_core::fact::Receipts;
use kidoku_core::id::{MessageId, Name, UserKey};
use std::collections::{BTreeMap, BTreeSet};

/// One arrival of an edit; the greatest of a message's edits is the one in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edit {
    pub(super) version: u64,
    pub(super) everyone: bool,
    pub(super) roles: BTreeSet<Name>,
    pub(super) users: BTreeSet<UserKey>,
}

impl Edit {
    /// The order in which lists, not sets, compare.
    pub(super) fn rank(&self) -> (u64, bool, Vec<&Name>, Vec<&UserKey>) {
        (
            self.version,
            self.everyone,
            self.roles.iter().collect(),
            self.users.iter().collect(),
        )
    }
}

/// Everything that was said about one message; what several posts of one id said is united.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) posted: bool,
    /// Silent wins over not silent when two posts of one id differ.
    pub(super) silent: bool,
    pub(super) everyone: bool,
    pub(super) roles: BTreeSet<Name>,
    pub(super) authors: BTreeSet<UserKey>,
    pub(super) edits: Vec<Edit>,
    pub(super) deleted: bool,
    /// The author was erased, and the name with them.
    pub(super) unauthored: bool,
}

impl Message {
    pub(super) fn live(&self) -> bool {
        self.posted && !self.deleted
    }

    pub(super) fn countable(&self) -> bool {
        self.live() && !self.silent
    }

    /// The one author that a message shows: the lesser name by bytes.
    pub(super) fn author(&self) -> Option<&UserKey> {
        if self.unauthored {
            return None;
        }
        self.authors.first()
    }

    /// The edit in force.
    pub(super) fn edit(&self) -> Option<&Edit> {
        self.edits
            .iter()
            .max_by(|one, two| one.rank().cmp(&two.rank()))
    }

    pub(super) fn names_everyone(&self) -> bool {
        self.edit().map_or(self.everyone, |edit| edit.everyone)
    }

    pub(super) fn names_role(&self, held: &BTreeSet<Name>) -> bool {
        let roles = self.edit().map_or(&self.roles, |edit| &edit.roles);
        roles.iter().any(|role| held.contains(role))
    }

    /// True unless an edit has taken the user off the list.
    pub(super) fn edit_allows(&self, user: &UserKey) -> bool {
        self.edit().is_none_or(|edit| edit.users.contains(user))
    }
}

/// A channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) messages: BTreeMap<MessageId, Message>,
    pub(super) trim: u64,
    pub(super) space: Option<Name>,
    pub(super) parent: Option<Name>,
    pub(super) receipts: Receipts,
}

impl Channel {
    /// The highest id ever posted, deleted or not.
    pub(super) fn tail(&self) -> u64 {
        self.messages
            .iter()
            .rev()
            .find(|(_, message)| message.posted)
            .map_or(0, |(id, _)| id.get())
    }

    /// The newest live message that is not trimmed away.
    pub(super) fn last(&self) -> Option<MessageId> {
        self.messages
            .iter()
            .rev()
            .find(|(id, message)| id.get() > self.trim && message.live())
            .map(|(id, _)| *id)
    }
}
