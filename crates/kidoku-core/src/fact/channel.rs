//! The facts of a channel: messages, edits, deletes, settings.

use super::{Incarnation, Merge};
use crate::clock::Clock;
use crate::id::Name;

/// That a message was posted, with what its author said of it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Posted {
    /// A join or leave notice and the like: counts nothing, mentions included. Two posts of one id
    /// that differ: silent wins.
    pub silent: bool,
    /// Who wrote it. Two posts that differ: the lesser name by bytes, and any name before none.
    pub author: Option<Name>,
    /// Names everyone in the channel. Union.
    pub everyone: bool,
    /// Names the holders of these roles; sorted, distinct. Union.
    pub roles: Vec<Name>,
}

impl Merge for Posted {
    fn merge(&mut self, other: &Self) {
        self.silent |= other.silent;
        self.everyone |= other.everyone;
        self.author = match (self.author.take(), &other.author) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs.clone())),
            (mine, theirs) => mine.or_else(|| theirs.clone()),
        };
        for role in &other.roles {
            if let Err(at) = self.roles.binary_search(role) {
                self.roles.insert(at, role.clone());
            }
        }
    }
}

/// The whole new mention list of a message. The higher version wins; two different edits of one
/// version: the greater by (everyone, roles, mentions), everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// The edit's number, from 1.
    pub version: u64,
    /// Names everyone in the channel.
    pub everyone: bool,
    /// Names the holders of these roles; sorted, distinct.
    pub roles: Vec<Name>,
    /// Names these users directly; sorted, distinct.
    pub mentions: Vec<Name>,
}

/// What is known of a message. A delete wins over everything, in any order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MessageRow {
    /// The latest drop of the channel that this row comes after; the row of a later incarnation
    /// replaces the other one whole.
    pub incarnation: Incarnation,
    /// `None` while only a delete or an edit has arrived.
    pub posted: Option<Posted>,
    /// The latest edit.
    pub edit: Option<Edit>,
    /// A tombstone stands here.
    pub deleted: bool,
    /// The author was erased: the name is dropped and stays dropped.
    pub unauthored: bool,
}

impl Merge for MessageRow {
    fn merge(&mut self, other: &Self) {
        if other.incarnation > self.incarnation {
            *self = other.clone();
        } else if other.incarnation == self.incarnation {
            match (self.posted.as_mut(), &other.posted) {
                (Some(mine), Some(theirs)) => mine.merge(theirs),
                (None, Some(theirs)) => self.posted = Some(theirs.clone()),
                (_, None) => {}
            }
            if other.edit > self.edit {
                self.edit.clone_from(&other.edit);
            }
            self.deleted |= other.deleted;
            self.unauthored |= other.unauthored;
        }
        self.normalize();
    }
}

impl MessageRow {
    /// Drops the author of an unauthored row, so that one row has one form.
    pub fn normalize(&mut self) {
        if self.unauthored
            && let Some(posted) = self.posted.as_mut()
        {
            posted.author = None;
        }
    }
}

/// What a channel lets others see of who has read what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Receipts {
    /// Nothing.
    Off,
    /// How many.
    Count,
    /// How many, and who.
    #[default]
    List,
}

impl Receipts {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Count => "COUNT",
            Self::List => "LIST",
        }
    }
}

/// A value with the clock of its writing: the later wins; at one clock, the greater value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Written<T> {
    /// When it was said; 0 = never.
    pub clock: Clock,
    /// What was said.
    pub value: T,
}

impl<T: Ord + Clone> Merge for Written<T> {
    fn merge(&mut self, other: &Self) {
        if (other.clock, &other.value) > (self.clock, &self.value) {
            *self = other.clone();
        }
    }
}

/// A channel's settings, each merged by itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// The space (guild, team, course) the channel belongs to.
    pub space: Written<Option<Name>>,
    /// The channel of which this one is a thread (its name, in the same app).
    pub parent: Written<Option<Name>>,
    /// What is shown of receipts.
    pub receipts: Written<Receipts>,
}

impl Merge for Settings {
    fn merge(&mut self, other: &Self) {
        self.space.merge(&other.space);
        self.parent.merge(&other.parent);
        self.receipts.merge(&other.receipts);
    }
}
