//! Counting by the rules as they read, over plain sorted lists.

use kidoku_core::clock::Clock;
use kidoku_core::fact::{Fact, Floor, Incarnation, Merge, MessageRow, Settings, StateRow, Written};
use kidoku_core::id::{ChannelKey, MessageId, Name, Position, UserKey};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The two numbers of a read state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Numbers {
    /// Unread messages.
    pub unread: u64,
    /// Unread messages that name the user.
    pub mentions: u64,
}

/// All that is known of some channels.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_key: BTreeMap<ChannelKey, Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    dropped: Clock,
    trim: Position,
    space: Written<Option<Name>>,
    /// Live messages that count, rising.
    countable: Vec<MessageId>,
    /// Live silent messages: how many.
    silent: u64,
    /// The countable ones that name everyone or a role, or that were edited.
    naming: BTreeMap<MessageId, Naming>,
}

/// Whom a message names, but for direct mentions of a message that was never edited: those are
/// facts of the users.
#[derive(Debug)]
struct Naming {
    everyone: bool,
    roles: Vec<Name>,
    /// `None` = not edited.
    users: Option<Vec<Name>>,
}

impl Channels {
    pub(super) fn len(&self) -> u64 {
        number(self.by_key.len())
    }

    pub(super) fn knows(&self, channel: &ChannelKey) -> bool {
        self.by_key.contains_key(channel)
    }

    pub(super) fn messages(&self) -> u64 {
        self.by_key
            .values()
            .map(|channel| number(channel.countable.len()) + channel.silent)
            .sum()
    }

    /// Takes a fact of a channel in; says how many steps that took.
    pub(super) fn take(&mut self, key: ChannelKey, fact: Fact) -> usize {
        let channel = self.by_key.entry(key).or_default();
        if fact.incarnation() < channel.dropped {
            return 1;
        }
        match fact {
            Fact::ChannelDropped { clock, .. } => channel.drop_before(clock),
            Fact::Settings {
                settings: Settings { space, .. },
                ..
            } => channel.space.merge(&space),
            Fact::Trim { position, .. } => channel.trim = channel.trim.max(position),
            Fact::Message { id, row, .. } => channel.post(id, row),
            Fact::OpaqueId { .. }
            | Fact::UserErased { .. }
            | Fact::Floor { .. }
            | Fact::Role { .. }
            | Fact::State { .. }
            | Fact::Mention { .. }
            | Fact::Own { .. } => {}
        }
        1
    }

    /// The numbers of a member, and how many steps that took.
    pub(super) fn count(&self, key: &UserKey, user: &User, at: &ChannelKey) -> (Numbers, usize) {
        let (Some(channel), Some(place)) = (self.by_key.get(at), user.places.get(at)) else {
            return (Numbers::default(), 1);
        };
        let line = channel.line(user, &place.row);
        let above = |id: &&MessageId| line.is_before(**id);
        let current = |(id, made): (&MessageId, &Incarnation)| {
            (*made >= place.row.incarnation && channel.is_countable(*id)).then_some(*id)
        };
        let own: BTreeSet<MessageId> = place.own.iter().filter_map(current).collect();
        let all = channel.countable.len() - channel.first_above(line);
        let unread = all - own.iter().filter(above).count();

        let edited = |id: &MessageId| {
            channel
                .naming
                .get(id)
                .is_some_and(|naming| naming.users.is_some())
        };
        let mut naming: BTreeSet<MessageId> = place
            .mentions
            .iter()
            .filter_map(current)
            .filter(|id| !edited(id))
            .collect();
        let mut steps = 1 + place.own.len() + place.mentions.len();
        for (id, names) in channel.naming.iter().filter(|(id, _)| line.is_before(**id)) {
            steps += 1 + names.roles.len();
            if names.hit(key, user) {
                naming.insert(*id);
            }
        }
        let mentions = naming
            .iter()
            .filter(above)
            .filter(|id| !own.contains(id))
            .count();
        (
            Numbers {
                unread: number(unread),
                mentions: number(mentions),
            },
            steps,
        )
    }
}

impl Channel {
    /// A drop that comes after other facts of the same page.
    fn drop_before(&mut self, clock: Clock) {
        if clock > self.dropped {
            *self = Self {
                dropped: clock,
                ..Self::default()
            };
        }
    }

    fn post(&mut self, id: MessageId, row: MessageRow) {
        let Some(posted) = row.posted.filter(|_| !row.deleted) else {
            return;
        };
        if posted.silent {
            self.silent += 1;
            return;
        }
        // Facts come in the order of their keys, so this is a push but for the odd case.
        match self.countable.last() {
            Some(last) if *last >= id => {
                if let Err(at) = self.countable.binary_search(&id) {
                    self.countable.insert(at, id);
                }
            }
            _ => self.countable.push(id),
        }
        let naming = match row.edit {
            Some(edit) => Naming {
                everyone: edit.everyone,
                roles: edit.roles,
                users: Some(edit.mentions),
            },
            None if posted.everyone || !posted.roles.is_empty() => Naming {
                everyone: posted.everyone,
                roles: posted.roles,
                users: None,
            },
            None => return,
        };
        self.naming.insert(id, naming);
    }

    fn is_countable(&self, id: MessageId) -> bool {
        self.countable.binary_search(&id).is_ok()
    }

    fn first_above(&self, line: Position) -> usize {
        self.countable.partition_point(|id| !line.is_before(*id))
    }

    /// max(cursor, floor, join, trim).
    fn line(&self, user: &User, row: &StateRow) -> Position {
        let join = row
            .membership
            .map_or(Position::START, |membership| membership.from);
        let everywhere = user.floors.get(&None);
        let in_space = self
            .space
            .value
            .as_ref()
            .and_then(|s| user.floors.get(&Some(s.clone())));
        let newer = |floor: &Floor| {
            let entries = floor
                .entries()
                .iter()
                .filter(|entry| entry.clock > row.cursor.era);
            entries
                .map(|entry| entry.position)
                .max()
                .unwrap_or_default()
        };
        let floor = everywhere
            .map(newer)
            .max(in_space.map(newer))
            .unwrap_or_default();
        row.cursor.position.max(join).max(self.trim).max(floor)
    }
}

impl Naming {
    fn hit(&self, key: &UserKey, user: &User) -> bool {
        let directly = || {
            let users = self.users.iter().flatten();
            users.into_iter().any(|name| name.as_str() == key.name())
        };
        self.everyone || self.roles.iter().any(|role| user.holds(role)) || directly()
    }
}

/// All that is known of a user.
#[derive(Debug, Default)]
pub(super) struct User {
    erased: Clock,
    roles: BTreeMap<Name, (Clock, bool)>,
    floors: BTreeMap<Option<Name>, Floor>,
    places: BTreeMap<ChannelKey, Place>,
}

#[derive(Debug, Default)]
struct Place {
    row: StateRow,
    mentions: BTreeMap<MessageId, Incarnation>,
    own: BTreeMap<MessageId, Incarnation>,
}

impl User {
    /// Takes a fact of the user in.
    pub(super) fn take(&mut self, fact: Fact) {
        if fact.incarnation() < self.erased {
            return;
        }
        match fact {
            Fact::UserErased { clock, .. } => {
                if clock > self.erased {
                    *self = Self {
                        erased: clock,
                        ..Self::default()
                    };
                }
            }
            Fact::Floor { space, floor, .. } => {
                self.floors.entry(space).or_default().merge(&floor);
            }
            Fact::Role {
                role, clock, held, ..
            } => {
                let known = self.roles.entry(role).or_default();
                *known = (*known).max((clock, held));
            }
            Fact::State { channel, row, .. } => {
                self.places.entry(channel).or_default().row.merge(&row);
            }
            Fact::Mention {
                channel,
                incarnation,
                id,
                ..
            } => {
                let made = self
                    .places
                    .entry(channel)
                    .or_default()
                    .mentions
                    .entry(id)
                    .or_default();
                *made = (*made).max(incarnation);
            }
            Fact::Own {
                channel,
                incarnation,
                id,
                ..
            } => {
                let made = self
                    .places
                    .entry(channel)
                    .or_default()
                    .own
                    .entry(id)
                    .or_default();
                *made = (*made).max(incarnation);
            }
            Fact::ChannelDropped { .. }
            | Fact::Settings { .. }
            | Fact::Trim { .. }
            | Fact::Message { .. }
            | Fact::OpaqueId { .. } => {}
        }
    }

    /// The channels the user is in now.
    pub(super) fn member_of(&self) -> impl Iterator<Item = &ChannelKey> {
        let is_in = |place: &Place| place.row.membership.is_some_and(|is| is.member);
        self.places
            .iter()
            .filter(move |(_, place)| is_in(place))
            .map(|(channel, _)| channel)
    }

    fn holds(&self, role: &Name) -> bool {
        self.roles.get(role).is_some_and(|(_, held)| *held)
    }
}

fn number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
