//! Erasure of a user and drop of a channel: a new incarnation begins, and a receipt says what went.

use super::channel::Channel;
use super::load::Waiter;
use super::peer::{Body, CallId, Change};
use super::pending::{Finish, Origin, Pending};
use super::user::User;
use super::{Shard, count_u64};
use crate::effect::{Load, Loaded};
use crate::error::Error;
use crate::fact::Fact;
use crate::id::{ChannelKey, MessageId, Position, ShardId, UserKey};
use crate::reply::Reply;
use crate::request::Ticket;
use std::collections::{BTreeMap, VecDeque};

/// A user being erased: the ids of their messages are being collected.
#[derive(Debug)]
pub(super) struct Erasing {
    ticket: Ticket,
    user: UserKey,
    left: usize,
    mentions: usize,
    own: BTreeMap<ChannelKey, Vec<MessageId>>,
}

impl Shard {
    /// Collects what the user wrote, so that the author's name can go from there too. Other jobs of
    /// the user wait meanwhile.
    pub(super) fn erase(&mut self, ticket: Ticket, user: &UserKey) {
        let indexes = self.users.get(user).map(|known| known.channels().to_vec());
        let keys = indexes.unwrap_or_default();
        let keys: Vec<ChannelKey> = keys
            .iter()
            .filter_map(|index| self.interner.key(*index).cloned())
            .collect();
        let own = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
        let erasing = Erasing {
            ticket,
            user: user.clone(),
            left: keys.len(),
            mentions: 0,
            own,
        };
        if keys.is_empty() {
            return self.finish_erase(erasing);
        }
        let call = self.new_call();
        self.pending.insert(call, Pending::Erase(Box::new(erasing)));
        self.blocked_users.insert(user.clone(), VecDeque::new());
        for channel in keys {
            let user = user.clone();
            let load = Load::Detail {
                user,
                channel,
                above: Position::START,
            };
            self.load(load, Waiter::Erase(call));
        }
    }

    pub(super) fn erase_loaded(&mut self, call: CallId, load: &Load, data: &Loaded) {
        let Some(Pending::Erase(erasing)) = self.pending.get_mut(&call) else {
            return;
        };
        erasing.left -= 1;
        if let (Load::Detail { channel, .. }, Loaded::Facts(facts)) = (load, data) {
            let own = erasing.own.entry(channel.clone()).or_default();
            own.extend(facts.iter().filter_map(|fact| match fact {
                Fact::Own { id, .. } => Some(*id),
                _ => None,
            }));
            let mentions = facts
                .iter()
                .filter(|fact| matches!(fact, Fact::Mention { .. }));
            erasing.mentions += mentions.count();
        }
        if erasing.left == 0
            && let Some(Pending::Erase(erasing)) = self.pending.remove(&call)
        {
            self.finish_erase(*erasing);
        }
    }

    pub(super) fn erase_failed(&mut self, call: CallId, error: Error) {
        let Some(Pending::Erase(erasing)) = self.pending.remove(&call) else {
            return;
        };
        self.reply(erasing.ticket, Err(error));
        self.unblock_user(&erasing.user);
    }

    fn finish_erase(&mut self, erasing: Erasing) {
        let Erasing {
            ticket,
            user,
            mentions,
            own,
            ..
        } = erasing;
        let clock = self.tick_clock();
        self.say(Fact::UserErased {
            user: user.clone(),
            clock,
        });
        self.forget_user(&user);
        let fresh = User::new(clock, clock);
        self.users.insert(user.clone(), fresh);
        self.watches.user_changed(&user, None);
        let call = self.new_call();
        let channels: Vec<ChannelKey> = own.keys().cloned().collect();
        let mut questions: Vec<(ShardId, Body)> = self.receipt_questions(call, &user, &channels);
        let messages: usize = own.values().map(Vec::len).sum();
        let reply = Reply::Erased {
            clock,
            channels: count_u64(channels.len()),
            mentions: count_u64(mentions),
            messages: count_u64(messages),
        };
        for (channel, ids) in own {
            if !ids.is_empty() {
                let to = self.channel_shard(&channel);
                questions.push((to, Body::Unauthor { call, channel, ids }));
            }
        }
        self.ask(
            call,
            questions,
            Origin::Caller(ticket),
            Finish::Reply(reply),
        );
        self.unblock_user(&user);
    }

    /// Finds everyone with a row in the channel. Other jobs of the channel wait meanwhile.
    pub(super) fn drop_channel(&mut self, ticket: Ticket, key: &ChannelKey) {
        self.blocked_channels.insert(key.clone(), VecDeque::new());
        let load = Load::Receipts {
            channel: key.clone(),
            space: None,
        };
        self.load(load, Waiter::Drop(ticket, key.clone()));
    }

    pub(super) fn drop_loaded(&mut self, ticket: Ticket, key: &ChannelKey, data: &Loaded) {
        let clock = self.tick_clock();
        let messages = self.channels.get(key).map_or(0, Channel::messages);
        let parent = self
            .channels
            .get(key)
            .and_then(|c| c.settings.parent.value.clone());
        self.forget_receipts(key);
        self.forget_channel(key);
        let fresh = Channel {
            dropped: clock,
            changed: clock,
            ..Channel::default()
        };
        self.channels.insert(key.clone(), fresh);
        self.say(Fact::ChannelDropped {
            channel: key.clone(),
            clock,
        });
        self.touch_channel(key);
        let call = self.new_call();
        let rows = if let Loaded::Receipts(rows) = data {
            rows.as_slice()
        } else {
            &[]
        };
        let mut questions: Vec<(ShardId, Body)> = rows
            .iter()
            .map(|row| {
                let (user, channel) = (row.user.clone(), key.clone());
                let change = Change::Dropped { clock };
                (
                    self.user_shard(&user),
                    Body::Change {
                        call,
                        user,
                        channel,
                        change,
                    },
                )
            })
            .collect();
        if parent.is_some() {
            let channel = key.clone();
            let told = || Body::ParentChanged {
                call,
                channel: channel.clone(),
                parent: None,
                moved: true,
            };
            questions.extend(self.tell_all(told));
        }
        let reply = Reply::Erased {
            clock,
            channels: 1,
            mentions: 0,
            messages,
        };
        self.ask(
            call,
            questions,
            Origin::Caller(ticket),
            Finish::Reply(reply),
        );
        self.unblock_channel(key);
    }
}
