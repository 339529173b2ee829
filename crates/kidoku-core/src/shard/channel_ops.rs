//! What is done at the channel's shard: posts, edits, deletes, joins, settings.

use super::peer::{Body, CallId, Change};
use super::pending::{Finish, Origin};
use super::{Job, Shard, count_u64, opaque_place};
use crate::error::Error;
use crate::fact::{Edit, Fact, MessageRow, Posted, Receipts, Settings, Written};
use crate::id::{ChannelKey, MessageId, Name, NameKind, Position, ShardId, UserKey};
use crate::reply::Reply;
use crate::request::{JoinAt, MentionList, Post, Request, Ticket};

/// What a request may change of a channel's settings.
struct SettingsChange<'a> {
    space: Option<&'a Option<Name>>,
    parent: Option<&'a Option<Name>>,
    receipts: Option<Receipts>,
}

impl Shard {
    pub(super) fn do_channel(&mut self, channel: &ChannelKey, job: Job) {
        match job {
            Job::Request(ticket, request) => self.do_channel_request(ticket, channel, request),
            Job::Peer(from, Body::Tail { call, .. }) => {
                let tail = Ok(self
                    .channels
                    .get(channel)
                    .map_or(Position::START, |c| c.tail));
                self.send(from, Body::TailIs { call, tail });
            }
            Job::Peer(from, Body::Unauthor { call, ids, .. }) => {
                self.unauthor(channel, &ids);
                self.send(
                    from,
                    Body::Done {
                        call,
                        changed: Ok(0),
                    },
                );
            }
            _ => {}
        }
    }

    fn do_channel_request(&mut self, ticket: Ticket, channel: &ChannelKey, request: Request) {
        match request {
            Request::Join { users, at, .. } => {
                let from = self.join_position(channel, at);
                self.change_users(ticket, channel, &users, &Change::Join { from });
            }
            Request::Leave { users, .. } => {
                self.change_users(ticket, channel, &users, &Change::Leave);
            }
            Request::Follow { user, on, .. } => {
                let from = self.join_position(channel, JoinAt::Tail);
                let change = if on {
                    Change::Join { from }
                } else {
                    Change::Leave
                };
                self.change_users(ticket, channel, &[user], &change);
            }
            Request::Post { post, .. } => self.post(ticket, channel, &post),
            Request::Delete { ids, .. } => self.delete(ticket, channel, &ids),
            Request::Edit {
                id,
                version,
                mentions,
                ..
            } => {
                self.edit(ticket, channel, id, version, mentions);
            }
            Request::Trim { id, .. } => self.trim(ticket, channel, id),
            Request::Channel {
                space,
                parent,
                receipts,
                ..
            } => {
                let change = SettingsChange {
                    space: space.as_ref(),
                    parent: parent.as_ref(),
                    receipts,
                };
                self.set_channel(ticket, channel, &change);
            }
            Request::Seen { id, list, .. } => self.seen(ticket, channel, id, list),
            Request::Drop { .. } => self.drop_channel(ticket, channel),
            Request::Resolve { texts, .. } => {
                let resolved = self.resolve(channel, &texts);
                self.reply(ticket, resolved.map(Reply::Resolved));
            }
            Request::Names { ids, .. } => {
                let names = ids
                    .iter()
                    .map(|id| self.opaque_name(channel, *id))
                    .collect();
                self.reply(ticket, Ok(Reply::Names(names)));
            }
            Request::Merge { fact } => self.merge_channel_fact(ticket, fact),
            _ => {}
        }
    }

    /// Readers of the channel would see a change.
    pub(super) fn touch_channel(&mut self, key: &ChannelKey) {
        let clock = self.tick_clock();
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        channel.changed = clock;
        self.watches.note_change(key);
    }

    fn join_position(&self, channel: &ChannelKey, at: JoinAt) -> Position {
        match at {
            JoinAt::Tail => self
                .channels
                .get(channel)
                .map_or(Position::START, |c| c.tail),
            JoinAt::Start => Position::START,
            JoinAt::After(id) => id.position(),
        }
    }

    fn change_question(
        &self,
        call: CallId,
        user: &UserKey,
        channel: &ChannelKey,
        change: Change,
    ) -> (ShardId, Body) {
        let (to, user, channel) = (self.user_shard(user), user.clone(), channel.clone());
        (
            to,
            Body::Change {
                call,
                user,
                channel,
                change,
            },
        )
    }

    fn change_users(
        &mut self,
        ticket: Ticket,
        channel: &ChannelKey,
        users: &[UserKey],
        change: &Change,
    ) {
        let call = self.new_call();
        let ask = |user| self.change_question(call, user, channel, change.clone());
        let questions = users.iter().map(ask).collect();
        self.ask(call, questions, Origin::Caller(ticket), Finish::Sum(0));
    }

    fn post(&mut self, ticket: Ticket, key: &ChannelKey, post: &Post) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let mut roles = post.mentions.roles.clone();
        roles.sort_unstable();
        roles.dedup();
        let author = post.author.as_ref();
        let posted = Posted {
            silent: post.silent,
            author: author.and_then(|user| Name::new(NameKind::User, user.name()).ok()),
            everyone: post.mentions.everyone,
            roles,
        };
        let late = post.id.position() < channel.tail;
        let known = channel.knows(post.id);
        let new = channel.post(post.id, &posted);
        let thread = channel.settings.parent.value.is_some();
        let row = MessageRow {
            posted: Some(posted),
            ..channel.message_row()
        };
        self.stats.late_messages += u64::from(late && new);
        // A message already known is said again: the log may have lost the first post's companions.
        self.say(Fact::Message {
            channel: key.clone(),
            id: post.id,
            row,
        });
        self.touch_channel(key);
        self.reweigh_now_and_then(key);
        let call = self.new_call();
        let mut questions = Vec::new();
        if let Some(author) = author {
            let wrote = Change::Wrote {
                id: post.id,
                ack: !post.noack,
                known,
                thread,
            };
            questions.push(self.change_question(call, author, key, wrote));
        }
        for user in distinct(&post.mentions.users) {
            let named = Change::Named {
                id: post.id,
                known,
                thread,
                edit: false,
            };
            questions.push(self.change_question(call, user, key, named));
        }
        let reply = Reply::Number(u64::from(new));
        self.ask(
            call,
            questions,
            Origin::Caller(ticket),
            Finish::Reply(reply),
        );
    }

    /// Weighing a channel is not for free, so a post does it once in a while.
    fn reweigh_now_and_then(&mut self, key: &ChannelKey) {
        const EVERY: u64 = 256;
        let messages = self.channels.get(key).map_or(0, super::Channel::messages);
        if messages < EVERY || messages.is_multiple_of(EVERY) {
            self.channels.reweigh(key);
        }
    }

    fn delete(&mut self, ticket: Ticket, key: &ChannelKey, ids: &[MessageId]) {
        let mut deleted = Vec::new();
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let row = MessageRow {
            deleted: true,
            ..channel.message_row()
        };
        for id in ids {
            if channel.delete(*id) {
                deleted.push(*id);
            }
        }
        for id in &deleted {
            self.say(Fact::Message {
                channel: key.clone(),
                id: *id,
                row: row.clone(),
            });
        }
        if !deleted.is_empty() {
            self.touch_channel(key);
            self.channels.reweigh(key);
        }
        self.reply(ticket, Ok(Reply::Number(count_u64(deleted.len()))));
    }

    fn edit(
        &mut self,
        ticket: Ticket,
        key: &ChannelKey,
        id: MessageId,
        version: u64,
        mut list: MentionList,
    ) {
        list.roles.sort_unstable();
        list.roles.dedup();
        let users = distinct(&list.users);
        let names = users
            .iter()
            .filter_map(|user| Name::new(NameKind::User, user.name()).ok());
        let edit = Edit {
            version,
            everyone: list.everyone,
            roles: list.roles,
            mentions: names.collect(),
        };
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let applied = channel.edit(id, &edit);
        if !applied && channel.edits.get(&id) != Some(&edit) {
            return self.reply(ticket, Ok(Reply::Number(0)));
        }
        // The same edit once more is said again: the log may have lost its companions.
        let thread = channel.settings.parent.value.is_some();
        let row = MessageRow {
            edit: Some(edit),
            ..channel.message_row()
        };
        self.say(Fact::Message {
            channel: key.clone(),
            id,
            row,
        });
        self.touch_channel(key);
        self.channels.reweigh(key);
        let call = self.new_call();
        let named = Change::Named {
            id,
            known: !applied,
            thread,
            edit: true,
        };
        let ask = |user| self.change_question(call, user, key, named.clone());
        let questions = users.into_iter().map(ask).collect();
        let finish = Finish::Reply(Reply::Number(u64::from(applied)));
        self.ask(call, questions, Origin::Caller(ticket), finish);
    }

    fn trim(&mut self, ticket: Ticket, key: &ChannelKey, id: MessageId) {
        let clock = self.tick_clock();
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        if id.position() <= channel.trim {
            return self.reply(ticket, Ok(Reply::Number(0)));
        }
        let (position, incarnation) = (id.position(), channel.dropped);
        let went = channel.trim(position, clock);
        self.say(Fact::Trim {
            channel: key.clone(),
            incarnation,
            position,
            clock,
        });
        self.touch_channel(key);
        self.channels.reweigh(key);
        self.reply(ticket, Ok(Reply::Number(went)));
    }

    fn set_channel(&mut self, ticket: Ticket, key: &ChannelKey, change: &SettingsChange<'_>) {
        if change.parent.is_some_and(|parent| {
            parent
                .as_ref()
                .is_some_and(|parent| parent.as_str() == key.name())
        }) {
            return self.reply(ticket, Err(Error::OwnParent));
        }
        let clock = self.tick_clock();
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let before = channel.settings.clone();
        let settings = &mut channel.settings;
        set(&mut settings.space, change.space.cloned(), clock);
        set(&mut settings.parent, change.parent.cloned(), clock);
        set(&mut settings.receipts, change.receipts, clock);
        let after = settings.clone();
        let incarnation = channel.dropped;
        let reply = settings_reply(&after);
        if after == before {
            return self.reply(ticket, Ok(reply));
        }
        if after.space.value != before.space.value {
            self.forget_receipts(key);
        }
        let news = news(&before, &after);
        self.say(Fact::Settings {
            channel: key.clone(),
            incarnation,
            settings: news,
        });
        self.touch_channel(key);
        let call = self.new_call();
        let mut questions = Vec::new();
        if after.parent.value != before.parent.value {
            questions = self.tell_all(|| Body::ParentChanged {
                call,
                channel: key.clone(),
                parent: Some(after.parent.value.clone()),
                moved: before.parent.value.is_some(),
            });
        }
        self.ask(
            call,
            questions,
            Origin::Caller(ticket),
            Finish::Reply(reply),
        );
    }

    pub(super) fn tell_all(&self, body: impl Fn() -> Body) -> Vec<(ShardId, Body)> {
        self.config
            .placement
            .all()
            .map(|shard| (shard, body()))
            .collect()
    }

    pub(super) fn parent_changed(
        &mut self,
        from: ShardId,
        call: CallId,
        channel: &ChannelKey,
        parent: Option<Option<Name>>,
        moved: bool,
    ) {
        use super::interner::Parent;
        if moved {
            self.threads_moved = self.tick_clock();
            self.watches.all_changed();
        }
        self.interner
            .learn(channel, parent.map_or(Parent::Unknown, Parent::Known));
        self.send(
            from,
            Body::Done {
                call,
                changed: Ok(0),
            },
        );
    }

    /// Gives each text its place: the one it has, or the next.
    fn resolve(&mut self, key: &ChannelKey, texts: &[Name]) -> Result<Vec<MessageId>, Error> {
        let mut places = Vec::with_capacity(texts.len());
        for text in texts {
            let clock = self.tick_clock();
            let Some(channel) = self.channels.get_mut(key) else {
                return Err(Error::Storage);
            };
            let opaque = channel.opaque.get_or_insert_default();
            if let Some(place) = opaque.by_text.get(text) {
                places.push(*place);
                continue;
            }
            let id = opaque_place(clock)?;
            opaque.insert(text, id);
            let incarnation = channel.dropped;
            self.say(Fact::OpaqueId {
                channel: key.clone(),
                incarnation,
                text: text.clone(),
                id,
            });
            places.push(id);
        }
        Ok(places)
    }

    /// The text at a place, or the nearest before it: a mark unread stands just below a message.
    fn opaque_name(&self, key: &ChannelKey, id: MessageId) -> Option<Name> {
        let opaque = self.channels.get(key)?.opaque.as_ref()?;
        opaque
            .by_id
            .range(..=id)
            .next_back()
            .map(|(_, text)| text.clone())
    }

    fn unauthor(&mut self, key: &ChannelKey, ids: &[MessageId]) {
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        let row = MessageRow {
            unauthored: true,
            ..channel.message_row()
        };
        for id in ids {
            self.say(Fact::Message {
                channel: key.clone(),
                id: *id,
                row: row.clone(),
            });
        }
    }
}

fn distinct(users: &[UserKey]) -> Vec<&UserKey> {
    let mut users: Vec<&UserKey> = users.iter().collect();
    users.sort_unstable();
    users.dedup();
    users
}

fn set<T: PartialEq>(written: &mut Written<T>, value: Option<T>, clock: crate::clock::Clock) {
    if let Some(value) = value
        && value != written.value
    {
        *written = Written { clock, value };
    }
}

/// Only what differs, so that a setting never said stays never said.
fn news(before: &Settings, after: &Settings) -> Settings {
    let mut news = Settings::default();
    if before.space != after.space {
        news.space = after.space.clone();
    }
    if before.parent != after.parent {
        news.parent = after.parent.clone();
    }
    if before.receipts != after.receipts {
        news.receipts = after.receipts.clone();
    }
    news
}

pub(super) fn settings_reply(settings: &Settings) -> Reply {
    Reply::Settings {
        space: settings.space.value.clone(),
        parent: settings.parent.value.clone(),
        receipts: settings.receipts.value,
    }
}
