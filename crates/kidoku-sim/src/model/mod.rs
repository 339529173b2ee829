//! The model: everything that ever happened, kept as it came, and numbers counted from it by
//! looking at every message. It is slow on purpose and shares no code with the shards.
//!
//! Eras and floors carry ordinals (1, 2, 3 ...) in place of hybrid clocks: one caller, one order.
//! Whoever compares the model with the shards translates them.

mod channel;
mod facts;
mod read;
mod user;
mod write;

use channel::Channel;
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::error::Error;
use kidoku_core::id::{ChannelKey, MessageId, Name, UserKey};
use kidoku_core::reply::Reply;
use kidoku_core::request::Request;
use std::collections::BTreeMap;
use user::User;

/// All apps, users and channels, with the whole past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    ordinal: u64,
    users: BTreeMap<UserKey, User>,
    channels: BTreeMap<ChannelKey, Channel>,
}

impl Model {
    /// A model in which nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one request at a time and gives the answer that is due; `None` for requests that are
    /// not modelled (merges, watches, opaque ids).
    ///
    /// Of the answer, `rev` is always 0, `set_at` and how many mentions and messages an erasure
    /// took are not modelled, and eras are ordinals.
    pub fn apply(&mut self, now: Millis, request: &Request) -> Option<Result<Reply, Error>> {
        match request {
            Request::Count { .. }
            | Request::State { .. }
            | Request::Badge { .. }
            | Request::Seen { .. }
            | Request::Explain { .. } => self.read(now, request),
            Request::Ack { .. }
            | Request::AckMany { .. }
            | Request::AckAll { .. }
            | Request::MarkUnread { .. }
            | Request::Mute { .. }
            | Request::Erase { .. } => self.write_user(now, request),
            Request::Join { .. }
            | Request::Leave { .. }
            | Request::Post { .. }
            | Request::Delete { .. }
            | Request::Edit { .. }
            | Request::Channel { .. }
            | Request::Role { .. }
            | Request::Follow { .. }
            | Request::Trim { .. }
            | Request::Drop { .. } => self.write_channel(request),
            Request::Merge { .. }
            | Request::Watch { .. }
            | Request::Unwatch { .. }
            | Request::Resolve { .. }
            | Request::Names { .. } => None,
        }
    }

    fn write_user(&mut self, now: Millis, request: &Request) -> Option<Result<Reply, Error>> {
        let reply = match request {
            Request::Ack {
                user,
                channel,
                id,
                era,
                private,
                count,
            } => {
                let moved = self.ack(user, channel, *id, *era, *private);
                if *count {
                    Reply::ReadState(Box::new(self.read_state(now, user, channel)))
                } else {
                    Reply::Number(u64::from(moved))
                }
            }
            Request::AckMany { user, acks } => {
                let mut moved = 0;
                for (channel, id) in acks {
                    moved += u64::from(self.ack(user, channel, *id, None, false));
                }
                Reply::Number(moved)
            }
            Request::AckAll { user, upto, space } => {
                self.ack_all(user, *upto, space.as_ref());
                Reply::Badge(Box::new(self.badge(now, user, None)))
            }
            Request::MarkUnread { user, channel, id } => {
                self.mark_unread(user, channel, *id);
                Reply::ReadState(Box::new(self.read_state(now, user, channel)))
            }
            Request::Mute {
                user,
                channel,
                level,
                until,
            } => {
                self.mute(user, channel, *level, *until);
                Reply::Ok
            }
            Request::Erase { user } => self.erase(user),
            _ => return None,
        };
        Some(Ok(reply))
    }

    fn write_channel(&mut self, request: &Request) -> Option<Result<Reply, Error>> {
        let number = match request {
            Request::Join { channel, users, at } => self.join(channel, users, *at),
            Request::Leave { channel, users } => self.leave(channel, users),
            Request::Post { channel, post } => self.post(channel, post),
            Request::Delete { channel, ids } => self.delete(channel, ids),
            Request::Edit {
                channel,
                id,
                version,
                mentions,
            } => self.edit(channel, *id, *version, mentions),
            Request::Role {
                role, users, held, ..
            } => self.role(role, users, *held),
            Request::Follow { user, thread, on } => self.follow(user, thread, *on),
            Request::Trim { channel, id } => self.trim(channel, *id),
            Request::Drop { channel } => return Some(Ok(self.drop_channel(channel))),
            Request::Channel {
                channel,
                space,
                parent,
                receipts,
            } => {
                return Some(self.settings(channel, space.as_ref(), parent.as_ref(), *receipts));
            }
            _ => return None,
        };
        Some(Ok(Reply::Number(number)))
    }

    fn read(&self, now: Millis, request: &Request) -> Option<Result<Reply, Error>> {
        let reply = match request {
            Request::Count { user, channels } => Reply::ReadStates(
                channels
                    .iter()
                    .map(|channel| self.read_state(now, user, channel))
                    .collect(),
            ),
            Request::State { user, page, .. } => self.state(now, user, page),
            Request::Badge { user, space } => {
                Reply::Badge(Box::new(self.badge(now, user, space.as_ref())))
            }
            Request::Explain {
                user,
                channel,
                page,
            } => Reply::Explanation(Box::new(self.explain(now, user, channel, page))),
            Request::Seen { channel, id, list } => {
                return Some(self.seen(channel, *id, list.as_ref()));
            }
            _ => return None,
        };
        Some(Ok(reply))
    }

    /// The ordinal the next era or floor gets.
    fn next_ordinal(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal
    }

    /// The users of this model and the channels of another one.
    pub fn beside(&self, channels: &Self) -> Self {
        Self {
            ordinal: 0,
            users: self.users.clone(),
            channels: channels.channels.clone(),
        }
    }

    /// Whose thread a channel is.
    pub fn parent_of(&self, channel: &ChannelKey) -> Option<&str> {
        let channel = self.channels.get(channel)?;
        channel.parent.as_ref().map(Name::as_str)
    }

    /// The next era or floor gets this clock in place of an ordinal: for whoever keeps real clocks.
    pub fn set_next_clock(&mut self, clock: Clock) {
        self.ordinal = clock.0.saturating_sub(1);
    }

    /// The era a mark unread has opened last; what a new one is bound to.
    pub fn last_ordinal(&self) -> Clock {
        Clock(self.ordinal)
    }

    /// Names of the spaces that a channel is in now.
    pub(crate) fn space_of(&self, channel: &ChannelKey) -> Option<&Name> {
        self.channels.get(channel)?.space.as_ref()
    }

    /// The end of the user's mute of a channel, when it has one: what is shown of it then changes
    /// without anything being written.
    pub fn mute_ends(&self, user: &UserKey, channel: &ChannelKey) -> Option<Millis> {
        let until = self.users.get(user)?.rows.get(channel)?.preference?.1;
        (until != Millis(0)).then_some(until)
    }

    /// True when a user is in a channel.
    pub fn is_member(&self, user: &UserKey, channel: &ChannelKey) -> bool {
        let user = self.users.get(user);
        let row = user.and_then(|user| user.rows.get(channel));
        row.is_some_and(user::Row::member)
    }

    /// True when anything is known of a user in a channel.
    pub fn has_row(&self, user: &UserKey, channel: &ChannelKey) -> bool {
        let user = self.users.get(user);
        user.is_some_and(|user| user.rows.contains_key(channel))
    }

    /// The channels in which a user has written.
    pub fn wrote_in(&self, user: &UserKey) -> Vec<ChannelKey> {
        let rows = self.users.get(user).map(|user| &user.rows);
        let rows = rows.into_iter().flatten();
        rows.filter(|(_, row)| !row.own.is_empty())
            .map(|(channel, _)| channel.clone())
            .collect()
    }

    /// Every message id that a channel has heard of.
    pub fn ids(&self, channel: &ChannelKey) -> Vec<MessageId> {
        self.channels
            .get(channel)
            .map(|channel| channel.messages.keys().copied().collect())
            .unwrap_or_default()
    }
}
