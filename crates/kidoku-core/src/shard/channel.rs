//! A channel in memory: its message index, whom its messages name, its settings.

use super::readers::Readers;
use super::table::Weigh;
use crate::clock::Clock;
use crate::effect::{ChannelData, ReceiptRow};
use crate::fact::{Edit, Fact, Incarnation, Merge, MessageRow, Posted, Settings};
use crate::id::{MessageId, Name, Position};
use crate::id_set::IdSet;
use crate::planted::{self, Bug};
use std::collections::BTreeMap;

/// Opaque ids in their order of arrival.
#[derive(Debug, Default)]
pub(crate) struct OpaqueIds {
    pub(crate) by_text: BTreeMap<Name, MessageId>,
    pub(crate) by_id: BTreeMap<MessageId, Name>,
}

impl OpaqueIds {
    /// The first arrival counts.
    pub(crate) fn insert(&mut self, text: &Name, id: MessageId) {
        let place = self.by_text.entry(text.clone()).or_insert(id);
        if id < *place {
            self.by_id.remove(place);
            *place = id;
        }
        let place = *place;
        self.by_id.insert(place, text.clone());
    }
}

/// One channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) dropped: Incarnation,
    /// Live messages that count.
    pub(crate) countable: IdSet,
    /// Live messages that count nothing.
    pub(crate) silent: IdSet,
    /// Tombstones, also of messages that have not come yet.
    pub(crate) deleted: IdSet,
    /// Live countable messages that name everyone.
    pub(crate) everyone: IdSet,
    /// Live countable messages that name a role.
    pub(crate) roles: BTreeMap<Name, IdSet>,
    /// The latest edit of each edited message.
    pub(crate) edits: BTreeMap<MessageId, Edit>,
    /// The highest id ever posted, deleted or not.
    pub(crate) tail: Position,
    pub(crate) trim: Position,
    pub(crate) trim_clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) opaque: Option<Box<OpaqueIds>>,
    /// When anything a reader can see last changed.
    pub(crate) changed: Clock,
    /// Who has read how far, sorted by user; only while somebody asks.
    pub(super) receipts: Option<Readers>,
    /// Only with [`Bug::CountedTwice`].
    #[cfg(feature = "planted")]
    pub(crate) counted_twice: u64,
}

impl Channel {
    /// A channel as the store has it.
    pub(crate) fn from_data(data: &ChannelData, changed: Clock) -> Self {
        let mut channel = Self {
            dropped: data.dropped,
            countable: IdSet::from_sorted(data.countable.iter().copied()),
            silent: IdSet::from_sorted(data.silent.iter().copied()),
            deleted: IdSet::from_sorted(data.deleted.iter().copied()),
            tail: data.tail,
            changed,
            ..Self::default()
        };
        for fact in &data.facts {
            if planted::is(Bug::TrimForgotten) && matches!(fact, Fact::Trim { .. }) {
                continue;
            }
            channel.absorb(fact);
        }
        channel.cut(channel.trim);
        channel
    }

    fn absorb(&mut self, fact: &Fact) {
        match fact {
            Fact::Settings { settings, .. } => self.settings.merge(settings),
            Fact::Trim {
                position, clock, ..
            } if *position > self.trim => {
                (self.trim, self.trim_clock) = (*position, *clock);
            }
            Fact::OpaqueId { text, id, .. } => {
                self.opaque.get_or_insert_default().insert(text, *id)
            }
            Fact::Message { id, row, .. } => {
                if let Some(edit) = &row.edit {
                    self.edits.insert(*id, edit.clone());
                }
                if let Some(posted) = &row.posted {
                    self.name_all(*id, posted);
                }
            }
            _ => {}
        }
    }

    /// True when the id was posted or deleted before, or retention has passed it.
    pub(crate) fn knows(&self, id: MessageId) -> bool {
        !self.trim.is_before(id)
            || self.countable.contains(id)
            || self.silent.contains(id)
            || self.deleted.contains(id)
    }

    /// Takes in a post. True = new.
    pub(crate) fn post(&mut self, id: MessageId, posted: &Posted) -> bool {
        let new = !self.knows(id);
        #[cfg(feature = "planted")]
        if planted::is(Bug::CountedTwice) && self.countable.contains(id) {
            self.counted_twice += 1;
        }
        self.tail = self.tail.max(id.position());
        if !self.trim.is_before(id) || self.deleted.contains(id) {
            return new;
        }
        if posted.silent {
            // Silent wins over an earlier post of the same id that was not.
            self.countable.remove(id);
            self.unname(id);
            self.silent.insert(id);
        } else if !self.silent.contains(id) {
            self.countable.insert(id);
            self.name_all(id, posted);
        }
        new
    }

    /// Files a countable message under everyone and the roles it names; an edit's lists are in
    /// place of the post's.
    fn name_all(&mut self, id: MessageId, posted: &Posted) {
        if !self.countable.contains(id) {
            return;
        }
        let (everyone, roles) = match self.edits.get(&id) {
            Some(edit) => (edit.everyone, edit.roles.clone()),
            None if posted.everyone || !posted.roles.is_empty() => {
                (posted.everyone, posted.roles.clone())
            }
            None => return,
        };
        if everyone {
            self.everyone.insert(id);
        }
        for role in roles {
            self.roles.entry(role).or_default().insert(id);
        }
    }

    fn unname(&mut self, id: MessageId) {
        self.everyone.remove(id);
        self.roles.retain(|_, ids| {
            ids.remove(id);
            !ids.is_empty()
        });
    }

    /// Takes in an edit. True = applied, it is newer than what was known.
    pub(crate) fn edit(&mut self, id: MessageId, edit: &Edit) -> bool {
        if self.edits.get(&id).is_some_and(|known| known >= edit) {
            return false;
        }
        self.edits.insert(id, edit.clone());
        self.unname(id);
        self.name_all(id, &Posted::default());
        true
    }

    /// Takes in a delete. True = there was no tombstone.
    pub(crate) fn delete(&mut self, id: MessageId) -> bool {
        if planted::is(Bug::DeleteBeforePostLost) && !self.knows(id) {
            return true;
        }
        if !self.deleted.insert(id) {
            return false;
        }
        self.countable.remove(id);
        self.silent.remove(id);
        self.unname(id);
        true
    }

    /// Takes in a trim; the number of live messages that went.
    pub(crate) fn trim(&mut self, position: Position, clock: Clock) -> u64 {
        if position <= self.trim {
            return 0;
        }
        (self.trim, self.trim_clock) = (position, clock);
        self.cut(position)
    }

    fn cut(&mut self, position: Position) -> u64 {
        self.everyone.remove_up_to(position);
        self.roles.retain(|_, ids| {
            ids.remove_up_to(position);
            !ids.is_empty()
        });
        self.countable.remove_up_to(position) + self.silent.remove_up_to(position)
    }

    /// The newest live message.
    pub(crate) fn last(&self) -> Option<MessageId> {
        self.countable.last().max(self.silent.last())
    }

    /// True when a live, countable message still names the user directly.
    pub(crate) fn names(&self, id: MessageId, user: &str) -> bool {
        self.countable.contains(id)
            && self.edits.get(&id).is_none_or(|edit| {
                planted::is(Bug::MentionKept)
                    || edit
                        .mentions
                        .binary_search_by(|name| name.as_str().cmp(user))
                        .is_ok()
            })
    }

    /// Notes what receipts show of a user.
    pub(crate) fn set_receipt(&mut self, row: ReceiptRow) {
        if let Some(receipts) = self.receipts.as_mut() {
            receipts.set(row);
        }
    }

    /// A message row of this channel's incarnation.
    pub(crate) fn message_row(&self) -> MessageRow {
        MessageRow {
            incarnation: self.dropped,
            ..MessageRow::default()
        }
    }

    pub(crate) fn messages(&self) -> u64 {
        self.countable.len() + self.silent.len()
    }
}

impl Weigh for Channel {
    fn weight(&self) -> usize {
        let roles: usize = self.roles.values().map(|ids| ids.memory_bytes() + 48).sum();
        let edits = self
            .edits
            .values()
            .map(|edit| 96 + 24 * (edit.roles.len() + edit.mentions.len()));
        let opaque = self
            .opaque
            .as_ref()
            .map_or(0, |opaque| opaque.by_id.len() * 160);
        let receipts = self.receipts.as_ref().map_or(0, Readers::memory_bytes);
        let sets = [&self.countable, &self.silent, &self.deleted, &self.everyone];
        let sets: usize = sets
            .iter()
            .map(|set| set.memory_bytes() - size_of::<IdSet>())
            .sum();
        size_of::<Self>() + sets + roles + edits.sum::<usize>() + opaque + receipts
    }
}
