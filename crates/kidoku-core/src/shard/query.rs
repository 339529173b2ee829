//! Counting: what a user's shard asks of a channel's shard, and the arithmetic of the answer.

use super::channel::Channel;
use crate::clock::{Clock, Millis};
use crate::fact::{Cursor, Floor};
use crate::id::{ChannelKey, MessageId, Name, Position, UserKey};
use crate::planted::{self, Bug};
use crate::reply::LinePart;
use crate::request::Page;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The floors of a user: everywhere (`None`) or by space.
pub(crate) type Floors = Arc<[(Option<Name>, Floor)]>;

/// One question to one shard about any number of its channels.
#[derive(Clone, Debug)]
pub(crate) struct CountQuery {
    pub(crate) user: UserKey,
    pub(crate) roles: Arc<[Name]>,
    pub(crate) floors: Floors,
    pub(crate) items: Vec<CountItem>,
    /// The ids are wanted too, a page of them.
    pub(crate) explain: Option<Page<MessageId>>,
}

/// What the user's shard knows of one read state.
#[derive(Clone, Debug)]
pub(crate) struct CountItem {
    pub(crate) channel: ChannelKey,
    pub(crate) cursor: Cursor,
    pub(crate) from: Position,
    pub(crate) mentions: Vec<MessageId>,
    pub(crate) own: Vec<MessageId>,
}

/// What the channel's shard answers about one item.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountAnswer {
    pub(crate) unread: u64,
    pub(crate) mentions: u64,
    /// Of the mentions, those that name the user directly.
    pub(crate) direct: u64,
    pub(crate) first_unread: Option<MessageId>,
    pub(crate) last: Option<MessageId>,
    pub(crate) space: Option<Name>,
    pub(crate) parent: Option<Name>,
    pub(crate) changed: Clock,
    pub(crate) explained: Option<Box<Explained>>,
}

/// The parts of an explanation that the channel knows.
#[derive(Clone, Debug)]
pub(crate) struct Explained {
    pub(crate) line: Line,
    pub(crate) floor: Position,
    pub(crate) trim: Position,
    pub(crate) unread_ids: Vec<MessageId>,
    pub(crate) mention_ids: Vec<MessageId>,
    pub(crate) own: u64,
    pub(crate) next: Option<MessageId>,
}

/// From where messages count, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) position: Position,
    pub(crate) part: LinePart,
    /// When the part was set, where the channel or the floor knows.
    pub(crate) set_at: Option<Millis>,
}

impl CountQuery {
    fn line(&self, item: &CountItem, channel: &Channel) -> Line {
        let line = |position, part, set_at| Line {
            position,
            part,
            set_at,
        };
        let mut highest = line(Position::START, LinePart::Nothing, None);
        let mut raise = |candidate: Line| {
            if candidate.position > Position::START {
                highest = highest.max(candidate);
            }
        };
        raise(line(
            channel.trim,
            LinePart::Trim,
            Some(channel.trim_clock.millis()),
        ));
        if !planted::is(Bug::JoinIgnored) {
            raise(line(item.from, LinePart::Join, None));
        }
        raise(line(item.cursor.position, LinePart::Cursor, None));
        for (space, floor) in self.floors.iter() {
            let part = match space {
                None => LinePart::Floor,
                Some(_) if *space == channel.settings.space.value => LinePart::SpaceFloor,
                Some(_) => continue,
            };
            if let Some(entry) = floor.line(item.cursor.era)
                && !planted::is(Bug::FloorIgnored)
            {
                raise(line(entry.position, part, Some(entry.clock.millis())));
            }
        }
        highest
    }

    fn floor_position(&self, item: &CountItem, channel: &Channel) -> Position {
        let floors = self
            .floors
            .iter()
            .filter(|(space, _)| space.is_none() || *space == channel.settings.space.value);
        let entries = floors.filter_map(|(_, floor)| floor.line(item.cursor.era));
        entries
            .map(|entry| entry.position)
            .max()
            .unwrap_or_default()
    }

    /// Counts one item. O(log messages), plus what names the user above the line.
    pub(crate) fn count(&self, item: &CountItem, channel: &Channel) -> CountAnswer {
        let line = self.line(item, channel);
        let own: Vec<MessageId> = above(&item.own, line.position)
            .filter(|id| channel.countable.contains(*id) && !planted::is(Bug::OwnCounted))
            .collect();
        let direct: Vec<MessageId> = above(&item.mentions, line.position)
            .filter(|id| own.binary_search(id).is_err() && channel.names(*id, self.user.name()))
            .collect();
        let own_len = u64::try_from(own.len()).unwrap_or(u64::MAX);
        let (unread, mut ids) = channel.countable.above(line.position);
        let mut answer = CountAnswer {
            unread: unread - own_len,
            mentions: self.mentions(channel, line.position, &own, &direct),
            direct: u64::try_from(direct.len()).unwrap_or(u64::MAX),
            first_unread: ids.find(|id| own.binary_search(id).is_err()),
            last: channel.last(),
            space: channel.settings.space.value.clone(),
            parent: channel.settings.parent.value.clone(),
            changed: channel.changed,
            explained: None,
        };
        #[cfg(feature = "planted")]
        if planted::is(Bug::CountedTwice) {
            answer.unread += channel.counted_twice;
        }
        if let Some(page) = &self.explain {
            let ids = Ids {
                line,
                own: &own,
                direct: &direct,
            };
            answer.explained = Some(Box::new(self.explain(item, channel, &ids, page)));
        }
        answer
    }

    /// Distinct messages that name the user: everyone by rank, then what roles and names add.
    fn mentions(
        &self,
        channel: &Channel,
        line: Position,
        own: &[MessageId],
        direct: &[MessageId],
    ) -> u64 {
        let everyone = &channel.everyone;
        let own_everyone = own.iter().filter(|id| everyone.contains(**id)).count();
        let mut others: BTreeSet<MessageId> = direct.iter().copied().collect();
        for role in self.roles.iter() {
            let Some(ids) = channel.roles.get(role) else {
                continue;
            };
            others.extend(
                ids.iter_above(line)
                    .filter(|id| own.binary_search(id).is_err()),
            );
        }
        let beyond_everyone = others.iter().filter(|id| !everyone.contains(**id)).count();
        everyone.count_above(line) + u64::try_from(beyond_everyone).unwrap_or(u64::MAX)
            - u64::try_from(own_everyone).unwrap_or(0)
    }

    fn explain(
        &self,
        item: &CountItem,
        channel: &Channel,
        ids: &Ids<'_>,
        page: &Page<MessageId>,
    ) -> Explained {
        let after = page
            .after
            .map_or(ids.line.position, |id| ids.line.position.max(id.position()));
        let counted = channel.countable.iter_above(after);
        let mut counted = counted.filter(|id| ids.own.binary_search(id).is_err());
        let unread_ids: Vec<MessageId> = counted.by_ref().take(page.limit).collect();
        let next = counted.next().and_then(|_| unread_ids.last().copied());
        let named = |id: &&MessageId| {
            ids.direct.binary_search(id).is_ok()
                || channel.everyone.contains(**id)
                || self.roles.iter().any(|role| {
                    channel
                        .roles
                        .get(role)
                        .is_some_and(|named| named.contains(**id))
                })
        };
        let mention_ids = unread_ids.iter().filter(named).copied().collect();
        Explained {
            line: ids.line,
            floor: self.floor_position(item, channel),
            trim: channel.trim,
            unread_ids,
            mention_ids,
            own: u64::try_from(ids.own.len()).unwrap_or(u64::MAX),
            next,
        }
    }
}

struct Ids<'a> {
    line: Line,
    own: &'a [MessageId],
    direct: &'a [MessageId],
}

fn above(ids: &[MessageId], line: Position) -> impl Iterator<Item = MessageId> + '_ {
    let start = ids.partition_point(|id| !line.is_before(*id));
    ids.iter().skip(start).copied()
}
