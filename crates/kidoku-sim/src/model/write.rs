//! What requests change.

use super::Model;
use super::channel::{Edit, Message};
use super::user::{Floor, Row};
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::error::Error;
use kidoku_core::fact::{Era, MuteLevel, Receipts};
use kidoku_core::id::{ChannelKey, MessageId, Name, UserKey};
use kidoku_core::reply::Reply;
use kidoku_core::request::{JoinAt, MentionList, Post};
use std::collections::BTreeSet;

impl Model {
    fn row(&mut self, user: &UserKey, channel: &ChannelKey) -> &mut Row {
        self.users
            .entry(user.clone())
            .or_default()
            .rows
            .entry(channel.clone())
            .or_default()
    }

    fn message(&mut self, channel: &ChannelKey, id: MessageId) -> &mut Message {
        self.channels
            .entry(channel.clone())
            .or_default()
            .messages
            .entry(id)
            .or_default()
    }

    fn tail(&self, channel: &ChannelKey) -> u64 {
        self.channels
            .get(channel)
            .map_or(0, |channel| channel.tail())
    }

    fn is_thread(&self, channel: &ChannelKey) -> bool {
        self.channels
            .get(channel)
            .is_some_and(|channel| channel.parent.is_some())
    }

    fn trim_of(&self, channel: &ChannelKey) -> u64 {
        self.channels.get(channel).map_or(0, |channel| channel.trim)
    }

    pub(super) fn join(&mut self, channel: &ChannelKey, users: &[UserKey], at: JoinAt) -> u64 {
        let from = match at {
            JoinAt::Tail => self.tail(channel),
            JoinAt::Start => 0,
            JoinAt::After(id) => id.get(),
        };
        let mut joined = 0;
        for user in users {
            let row = self.row(user, channel);
            if !row.member() {
                row.membership = Some((true, from));
                joined += 1;
            }
        }
        joined
    }

    pub(super) fn leave(&mut self, channel: &ChannelKey, users: &[UserKey]) -> u64 {
        let mut left = 0;
        for user in users {
            if self.leave_one(channel, user) {
                left += 1;
                for thread in self.threads(channel) {
                    self.leave_one(&thread, user);
                }
            }
        }
        left
    }

    fn leave_one(&mut self, channel: &ChannelKey, user: &UserKey) -> bool {
        let row = self.row(user, channel);
        match row.membership {
            Some((true, from)) => {
                row.membership = Some((false, from));
                true
            }
            Some((false, _)) | None => false,
        }
    }

    /// Joins by the side: a post, a mention in a thread. A retry brings nobody back who has left.
    fn join_aside(&mut self, user: &UserKey, channel: &ChannelKey, from: u64, new: bool) {
        let row = self.row(user, channel);
        let wanted = if new {
            !row.member()
        } else {
            row.membership.is_none()
        };
        if wanted {
            row.membership = Some((true, from));
        }
    }

    pub(super) fn post(&mut self, channel: &ChannelKey, post: &Post) -> u64 {
        let trimmed = post.id.get() <= self.trim_of(channel);
        let message = self.message(channel, post.id);
        let new = !message.posted && !message.deleted && !trimmed;
        message.posted = true;
        message.silent |= post.silent;
        message.everyone |= post.mentions.everyone;
        message.roles.extend(post.mentions.roles.iter().cloned());
        message.authors.extend(post.author.clone());
        let thread = self.is_thread(channel);
        let just_below = post.id.get() - 1;
        if let Some(author) = &post.author {
            let row = self.row(author, channel);
            let from = row.membership.map_or(0, |(_, from)| from);
            let counts = row.member() && post.id.get() > from.max(row.cursor.1);
            // Said again, it does not read what was marked unread since.
            let again = !row.own.insert(post.id) && counts;
            let from = if thread { just_below } else { post.id.get() };
            self.join_aside(author, channel, from, new);
            if !post.noack && !again {
                // Whether this joins the author has just been decided.
                self.move_cursor(author, channel, post.id, None, false);
            }
        }
        for user in &post.mentions.users {
            self.row(user, channel).named.insert(post.id);
            if thread {
                self.join_aside(user, channel, just_below, new);
            }
        }
        u64::from(new)
    }

    pub(super) fn delete(&mut self, channel: &ChannelKey, ids: &[MessageId]) -> u64 {
        let mut deleted = 0;
        for id in ids {
            let message = self.message(channel, *id);
            if !message.deleted {
                message.deleted = true;
                deleted += 1;
            }
        }
        deleted
    }

    pub(super) fn edit(
        &mut self,
        channel: &ChannelKey,
        id: MessageId,
        version: u64,
        mentions: &MentionList,
    ) -> u64 {
        let thread = self.is_thread(channel);
        let edit = Edit {
            version,
            everyone: mentions.everyone,
            roles: mentions.roles.iter().cloned().collect(),
            users: mentions.users.iter().cloned().collect(),
        };
        let message = self.message(channel, id);
        let applied = message
            .edit()
            .is_none_or(|known| edit.rank() > known.rank());
        let repeated = message.edit() == Some(&edit);
        message.edits.push(edit);
        if !applied && !repeated {
            return 0;
        }
        let named: BTreeSet<&UserKey> = mentions.users.iter().collect();
        for user in named {
            // Someone who was named before and has left is not brought back.
            let newly = self.row(user, channel).named.insert(id);
            if thread {
                self.join_aside(user, channel, id.get() - 1, newly && applied);
            }
        }
        u64::from(applied)
    }

    pub(super) fn ack(
        &mut self,
        user: &UserKey,
        channel: &ChannelKey,
        id: MessageId,
        era: Option<Era>,
        private: bool,
    ) -> bool {
        let moved = self.move_cursor(user, channel, id, era, private);
        let row = self.row(user, channel);
        if moved && !row.member() {
            row.membership = Some((true, id.get()));
        }
        moved
    }

    fn move_cursor(
        &mut self,
        user: &UserKey,
        channel: &ChannelKey,
        id: MessageId,
        era: Option<Era>,
        private: bool,
    ) -> bool {
        let row = self.row(user, channel);
        let current = row.cursor.0;
        let era = era.map_or(current, |era| era.0);
        if era < current {
            return false;
        }
        let wanted = (era, id.get());
        let moved = wanted > row.cursor;
        row.cursor = row.cursor.max(wanted);
        if !private {
            row.public = row.public.max(id.get());
        }
        moved
    }

    pub(super) fn ack_all(&mut self, user: &UserKey, upto: MessageId, space: Option<&Name>) {
        let ordinal = self.next_ordinal();
        self.users
            .entry(user.clone())
            .or_default()
            .floors
            .push(Floor {
                ordinal,
                space: space.cloned(),
                position: upto.get(),
            });
    }

    pub(super) fn mark_unread(&mut self, user: &UserKey, channel: &ChannelKey, id: MessageId) {
        let ordinal = self.next_ordinal();
        self.row(user, channel).cursor = (ordinal, id.get() - 1);
    }

    pub(super) fn mute(
        &mut self,
        user: &UserKey,
        channel: &ChannelKey,
        level: MuteLevel,
        until: Millis,
    ) {
        let tail = self.tail(channel);
        let row = self.row(user, channel);
        row.preference = Some((level, until));
        if !row.member() {
            row.membership = Some((true, tail));
        }
    }

    pub(super) fn settings(
        &mut self,
        key: &ChannelKey,
        space: Option<&Option<Name>>,
        parent: Option<&Option<Name>>,
        receipts: Option<Receipts>,
    ) -> Result<Reply, Error> {
        if parent
            .and_then(Option::as_ref)
            .is_some_and(|parent| parent.as_str() == key.name())
        {
            return Err(Error::OwnParent);
        }
        let channel = self.channels.entry(key.clone()).or_default();
        if let Some(space) = space {
            channel.space.clone_from(space);
        }
        if let Some(parent) = parent {
            channel.parent.clone_from(parent);
        }
        if let Some(receipts) = receipts {
            channel.receipts = receipts;
        }
        Ok(Reply::Settings {
            space: channel.space.clone(),
            parent: channel.parent.clone(),
            receipts: channel.receipts,
        })
    }

    pub(super) fn role(&mut self, role: &Name, users: &[UserKey], held: bool) -> u64 {
        let mut changed = 0;
        for user in users {
            let roles = &mut self.users.entry(user.clone()).or_default().roles;
            let did = if held {
                roles.insert(role.clone())
            } else {
                roles.remove(role)
            };
            changed += u64::from(did);
        }
        changed
    }

    pub(super) fn follow(&mut self, user: &UserKey, thread: &ChannelKey, on: bool) -> u64 {
        if on {
            self.join(thread, std::slice::from_ref(user), JoinAt::Tail)
        } else {
            // Following is membership, and leaving a channel leaves its threads.
            self.leave(thread, std::slice::from_ref(user))
        }
    }

    pub(super) fn trim(&mut self, channel: &ChannelKey, id: MessageId) -> u64 {
        let channel = self.channels.entry(channel.clone()).or_default();
        let before = channel.trim;
        channel.trim = before.max(id.get());
        let mut went = 0;
        for (known, message) in &channel.messages {
            if known.get() > before && known.get() <= id.get() && message.live() {
                went += 1;
            }
        }
        went
    }

    pub(super) fn erase(&mut self, user: &UserKey) -> Reply {
        let gone = self.users.remove(user).unwrap_or_default();
        // Of a message that two people are said to have written, no author remains.
        for (channel, row) in &gone.rows {
            for id in &row.own {
                self.message(channel, *id).unauthored = true;
            }
        }
        let rows = gone.rows.values().filter(|row| row.stated()).count();
        Reply::Erased {
            clock: Clock::NEVER,
            channels: u64::try_from(rows).unwrap_or(u64::MAX),
            mentions: 0,
            messages: 0,
        }
    }

    pub(super) fn drop_channel(&mut self, channel: &ChannelKey) -> Reply {
        self.channels.remove(channel);
        for user in self.users.values_mut() {
            user.rows.remove(channel);
        }
        Reply::Erased {
            clock: Clock::NEVER,
            channels: 0,
            mentions: 0,
            messages: 0,
        }
    }
}
