//! What is asked: every number counted by looking at every message.

use super::Model;
use super::channel::{Channel, Message};
use super::user::{Row, User};
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::error::Error;
use kidoku_core::fact::{MuteLevel, Receipts};
use kidoku_core::id::{ChannelKey, MessageId, Name, NameKind, Position, UserKey};
use kidoku_core::reply::{Badge, Explanation, LinePart, ReadState, Reply};
use kidoku_core::request::Page;

/// How a message concerns a user.
#[derive(Clone, Copy, Debug)]
struct Counted {
    id: MessageId,
    named: bool,
    named_directly: bool,
}

/// The parts of the line below which nothing counts.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    cursor: u64,
    floor: u64,
    space_floor: u64,
    join: u64,
    trim: u64,
}

impl Parts {
    fn line(&self) -> u64 {
        [
            self.cursor,
            self.floor,
            self.space_floor,
            self.join,
            self.trim,
        ]
        .into_iter()
        .max()
        .unwrap_or_default()
    }

    fn part(&self) -> LinePart {
        let line = self.line();
        match line {
            0 => LinePart::Nothing,
            _ if self.cursor == line => LinePart::Cursor,
            _ if self.floor == line => LinePart::Floor,
            _ if self.space_floor == line => LinePart::SpaceFloor,
            _ if self.join == line => LinePart::Join,
            _ => LinePart::Trim,
        }
    }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Model {
    /// The channels whose parent is this one now.
    pub(crate) fn threads(&self, parent: &ChannelKey) -> Vec<ChannelKey> {
        self.channels
            .iter()
            .filter(|(key, channel)| {
                key.app_str() == parent.app_str()
                    && channel.parent.as_ref().map(Name::as_str) == Some(parent.name())
            })
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn known(&self, user: &UserKey, key: &ChannelKey) -> (User, Row, Channel) {
        let user = self.users.get(user).cloned().unwrap_or_default();
        let row = user.rows.get(key).cloned().unwrap_or_default();
        let channel = self.channels.get(key).cloned().unwrap_or_default();
        (user, row, channel)
    }

    fn parts(user: &User, row: &Row, channel: &Channel) -> Parts {
        let era = row.cursor.0;
        Parts {
            cursor: row.cursor.1,
            floor: user.floor_above(era, None),
            space_floor: channel
                .space
                .as_ref()
                .map_or(0, |space| user.floor_above(era, Some(space))),
            join: row.membership.map_or(0, |(_, from)| from),
            trim: channel.trim,
        }
    }

    fn counts(message: &Message, id: MessageId, line: u64, row: &Row) -> bool {
        id.get() > line && message.countable() && !row.own.contains(&id)
    }

    /// The messages that count for a user, rising; none for someone who is not a member.
    fn counted(&self, key: &UserKey, channel: &ChannelKey) -> Vec<Counted> {
        let Some(user) = self.users.get(key) else {
            return Vec::new();
        };
        let Some(row) = user.rows.get(channel).filter(|row| row.member()) else {
            return Vec::new();
        };
        let Some(channel) = self.channels.get(channel) else {
            return Vec::new();
        };
        let line = Self::parts(user, row, channel).line();
        let mut counted = Vec::new();
        // No message has an id above the highest position, so nothing is above such a line.
        let Ok(first) = MessageId::new(line + 1) else {
            return counted;
        };
        for (id, message) in channel.messages.range(first..) {
            if Self::counts(message, *id, line, row) {
                let named_directly = row.named.contains(id) && message.edit_allows(key);
                let named =
                    named_directly || message.names_everyone() || message.names_role(&user.roles);
                counted.push(Counted {
                    id: *id,
                    named,
                    named_directly,
                });
            }
        }
        counted
    }

    pub(crate) fn read_state(
        &self,
        now: Millis,
        user: &UserKey,
        channel: &ChannelKey,
    ) -> ReadState {
        let mut state = self.plain_state(now, user, channel);
        if state.member {
            for thread in self.threads(channel) {
                let thread = self.plain_state(now, user, &thread);
                state.threads_unread += thread.unread;
                state.threads_mentions += thread.mentions;
            }
        }
        state
    }

    /// A read state without what is in threads.
    fn plain_state(&self, now: Millis, user: &UserKey, channel: &ChannelKey) -> ReadState {
        let nobody = Row::default();
        let row = self
            .users
            .get(user)
            .and_then(|user| user.rows.get(channel))
            .unwrap_or(&nobody);
        let counted = self.counted(user, channel);
        let last = self.channels.get(channel).and_then(Channel::last);
        ReadState {
            unread: length(counted.len()),
            mentions: length(counted.iter().filter(|message| message.named).count()),
            first_unread: counted.first().map(|message| message.id),
            cursor: Position(row.cursor.1),
            era: Clock(row.cursor.0),
            last: last.filter(|_| row.member()),
            muted: row.muted(now),
            member: row.member(),
            threads_unread: 0,
            threads_mentions: 0,
            threads_damaged: false,
        }
    }

    /// The channels a user is in, in the order of their names.
    pub(crate) fn joined(&self, user: &UserKey) -> Vec<ChannelKey> {
        let rows = self.users.get(user).map(|user| &user.rows);
        let mut joined: Vec<ChannelKey> = rows
            .into_iter()
            .flatten()
            .filter(|(_, row)| row.member())
            .map(|(channel, _)| channel.clone())
            .collect();
        joined.sort_by(|one, two| one.name().as_bytes().cmp(two.name().as_bytes()));
        joined
    }

    pub(crate) fn state(&self, now: Millis, user: &UserKey, page: &Page<Name>) -> Reply {
        let mut channels = self.joined(user);
        if let Some(after) = &page.after {
            channels.retain(|channel| channel.name() > after.as_str());
        }
        let more = channels.len() > page.limit;
        channels.truncate(page.limit);
        let next = channels.last().filter(|_| more);
        let next = next.and_then(|channel| Name::new(NameKind::Channel, channel.name()).ok());
        let channels = channels
            .into_iter()
            .map(|channel| {
                let state = self.read_state(now, user, &channel);
                (channel, state)
            })
            .collect();
        Reply::State {
            rev: Clock::NEVER,
            channels,
            damaged: Vec::new(),
            next,
        }
    }

    pub(crate) fn badge(&self, now: Millis, user: &UserKey, space: Option<&Name>) -> Badge {
        let mut badge = Badge::default();
        for channel in self.joined(user) {
            if space.is_some() && self.space_of(&channel) != space {
                continue;
            }
            let counted = self.counted(user, &channel);
            let unread = length(counted.len());
            let mentions = length(counted.iter().filter(|message| message.named).count());
            let direct = length(
                counted
                    .iter()
                    .filter(|message| message.named_directly)
                    .count(),
            );
            badge.unread += unread;
            badge.mentions += mentions;
            badge.channels += u64::from(unread > 0);
            match self.plain_state(now, user, &channel).muted {
                MuteLevel::None => {
                    badge.unmuted_unread += unread;
                    badge.unmuted_mentions += mentions;
                    badge.unmuted_channels += u64::from(unread > 0);
                }
                MuteLevel::Mentions => {
                    badge.unmuted_mentions += direct;
                    badge.unmuted_channels += u64::from(direct > 0);
                }
                MuteLevel::All => {}
            }
        }
        badge
    }

    pub(crate) fn explain(
        &self,
        now: Millis,
        user_key: &UserKey,
        key: &ChannelKey,
        page: &Page<MessageId>,
    ) -> Explanation {
        let (user, row, channel) = self.known(user_key, key);
        let parts = Self::parts(&user, &row, &channel);
        let mut counted = self.counted(user_key, key);
        if let Some(after) = page.after {
            counted.retain(|message| message.id > after);
        }
        let more = counted.len() > page.limit;
        counted.truncate(page.limit);
        let own = channel.messages.iter().filter(|(id, message)| {
            row.member() && id.get() > parts.line() && message.countable() && row.own.contains(*id)
        });
        Explanation {
            state: self.read_state(now, user_key, key),
            line: Position(parts.line()),
            part: parts.part(),
            set_at: None,
            floor: Position(parts.floor.max(parts.space_floor)),
            join: Position(parts.join),
            trim: Position(parts.trim),
            unread_ids: counted.iter().map(|message| message.id).collect(),
            mention_ids: counted
                .iter()
                .filter(|one| one.named)
                .map(|one| one.id)
                .collect(),
            own: length(own.count()),
            next: counted.last().filter(|_| more).map(|message| message.id),
        }
    }

    /// How far others see that a user has read.
    fn public(user: &User, row: &Row, space: Option<&Name>) -> u64 {
        let in_space =
            |floor: &&super::user::Floor| floor.space.is_none() || floor.space.as_ref() == space;
        let floor = user
            .floors
            .iter()
            .filter(in_space)
            .map(|floor| floor.position)
            .max();
        row.public.max(floor.unwrap_or_default())
    }

    pub(crate) fn seen(
        &self,
        key: &ChannelKey,
        id: MessageId,
        list: Option<&Page<Name>>,
    ) -> Result<Reply, Error> {
        let channel = self.channels.get(key).cloned().unwrap_or_default();
        match channel.receipts {
            Receipts::Off => return Err(Error::ReceiptsHidden { setting: "OFF" }),
            Receipts::Count if list.is_some() => {
                return Err(Error::ReceiptsHidden { setting: "COUNT" });
            }
            Receipts::Count | Receipts::List => {}
        }
        let message = channel.messages.get(&id).cloned().unwrap_or_default();
        let mut members = 0;
        let mut readers = Vec::new();
        for (name, user) in &self.users {
            let Some(row) = user.rows.get(key).filter(|row| row.member()) else {
                continue;
            };
            // Below the trim nothing is known of a message but its tombstone.
            if id.get() > channel.trim && message.author() == Some(name) {
                continue;
            }
            members += 1;
            let public = Self::public(user, row, channel.space.as_ref());
            if public >= id.get() && !message.deleted {
                readers.push(name.clone());
            }
        }
        let count = length(readers.len());
        let Some(page) = list else {
            return Ok(Reply::Seen {
                count,
                members,
                users: None,
                next: None,
            });
        };
        readers.sort_by(|one, two| one.name().as_bytes().cmp(two.name().as_bytes()));
        if let Some(after) = &page.after {
            readers.retain(|user| user.name() > after.as_str());
        }
        let more = readers.len() > page.limit;
        readers.truncate(page.limit);
        let next = readers.last().filter(|_| more);
        let next = next.and_then(|user| Name::new(NameKind::User, user.name()).ok());
        Ok(Reply::Seen {
            count,
            members,
            users: Some(readers),
            next,
        })
    }
}
