//! A model made of facts: what must be counted when these are all there are. Clocks stand where
//! the other models have ordinals.

use super::Model;
use super::channel::{Channel, Edit, Message};
use super::user::{Floor, Row};
use crate::loader::Folded;
use kidoku_core::fact::{Fact, MessageRow, StateRow};
use kidoku_core::id::{ChannelKey, MessageId, UserKey};
use kidoku_core::request::Request;

impl Model {
    /// The model of a set of facts, in whatever order and however often they come.
    pub fn of_facts<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Self {
        let mut folded = Folded::default();
        for fact in facts {
            folded.fold(fact);
        }
        let mut model = Self::new();
        model.take_users(&folded);
        model.take_channels(&folded);
        model
    }

    fn take_users(&mut self, folded: &Folded) {
        for ((user, channel), row) in &folded.states {
            if row.incarnation >= folded.erasure(user) {
                let entry = self.users.entry(user.clone()).or_default();
                entry.rows.insert(channel.clone(), row_of(row));
            }
        }
        for ((user, space), (incarnation, floor)) in &folded.floors {
            if *incarnation >= folded.erasure(user) {
                let entry = self.users.entry(user.clone()).or_default();
                entry
                    .floors
                    .extend(floor.entries().iter().map(|floor| Floor {
                        ordinal: floor.clock.0,
                        space: space.clone(),
                        position: floor.position.0,
                    }));
            }
        }
        for ((user, role), (incarnation, (_, held))) in &folded.roles {
            if *held && *incarnation >= folded.erasure(user) {
                let entry = self.users.entry(user.clone()).or_default();
                entry.roles.insert(role.clone());
            }
        }
        for (named, marks) in [(true, &folded.named), (false, &folded.own)] {
            for ((user, channel, id), incarnation) in marks {
                let row = folded.state(user, channel);
                let since = row.map(|row| row.incarnation).unwrap_or_default();
                if *incarnation < folded.erasure(user).max(since) {
                    continue;
                }
                let user = self.users.entry(user.clone()).or_default();
                let row = user.rows.entry(channel.clone()).or_default();
                if named {
                    row.named.insert(*id);
                } else {
                    row.own.insert(*id);
                }
            }
        }
    }

    fn take_channels(&mut self, folded: &Folded) {
        for ((channel, id), row) in &folded.messages {
            if row.incarnation >= folded.drop_clock(channel) {
                let message = message_of(channel, row);
                self.channel(channel).messages.insert(*id, message);
            }
        }
        for (channel, (incarnation, (position, _))) in &folded.trims {
            if *incarnation >= folded.drop_clock(channel) {
                self.channel(channel).trim = position.0;
            }
        }
        for (key, (incarnation, settings)) in &folded.settings {
            if *incarnation >= folded.drop_clock(key) {
                let channel = self.channel(key);
                channel.space.clone_from(&settings.space.value);
                channel.parent.clone_from(&settings.parent.value);
                channel.receipts = settings.receipts.value;
            }
        }
    }

    fn channel(&mut self, channel: &ChannelKey) -> &mut Channel {
        self.channels.entry(channel.clone()).or_default()
    }

    /// What an acknowledged request has left for ever and is not here; only of requests whose trace
    /// nothing but an erasure or a drop takes away.
    pub fn lacks(&self, request: &Request) -> Option<String> {
        let lacking = match request {
            Request::Post { channel, post } => {
                let posted = self.message_at(channel, post.id, |message| message.posted);
                let author = post.author.iter();
                let own = author
                    .clone()
                    .all(|author| self.row_at(author, channel, |row| row.own.contains(&post.id)));
                let mut named = post.mentions.users.iter();
                let named = named
                    .all(|user| self.row_at(user, channel, |row| row.named.contains(&post.id)));
                !(posted && own && named)
            }
            Request::Delete { channel, ids } => !ids
                .iter()
                .all(|id| self.message_at(channel, *id, |message| message.deleted)),
            Request::Edit {
                channel,
                id,
                version,
                ..
            } => !self.message_at(channel, *id, |message| {
                message.edit().is_some_and(|edit| edit.version >= *version)
            }),
            Request::Trim { channel, id } => self
                .channels
                .get(channel)
                .is_none_or(|channel| channel.trim < id.get()),
            Request::Ack {
                user,
                channel,
                id,
                era: None,
                private,
                ..
            } => !self.row_at(user, channel, |row| {
                // A later era may stand lower; inside one a position never falls.
                (row.cursor.0 > 0 || row.cursor.1 >= id.get())
                    && (*private || row.public >= id.get())
            }),
            Request::AckMany { user, acks } => !acks
                .iter()
                .all(|(channel, id)| self.row_at(user, channel, |row| row.public >= id.get())),
            _ => false,
        };
        lacking.then(|| format!("acknowledged and not there: {request:?}"))
    }

    fn message_at(
        &self,
        channel: &ChannelKey,
        id: MessageId,
        holds: impl Fn(&Message) -> bool,
    ) -> bool {
        let channel = self.channels.get(channel);
        channel
            .and_then(|channel| channel.messages.get(&id))
            .is_some_and(holds)
    }

    fn row_at(&self, user: &UserKey, channel: &ChannelKey, holds: impl Fn(&Row) -> bool) -> bool {
        let user = self.users.get(user);
        user.and_then(|user| user.rows.get(channel))
            .is_some_and(holds)
    }
}

fn row_of(row: &StateRow) -> Row {
    Row {
        cursor: (row.cursor.era.0, row.cursor.position.0),
        public: row.public.0,
        membership: row
            .membership
            .map(|membership| (membership.member, membership.from.0)),
        preference: row
            .preference
            .map(|preference| (preference.level, preference.until)),
        ..Row::default()
    }
}

fn message_of(channel: &ChannelKey, row: &MessageRow) -> Message {
    let mut message = Message {
        deleted: row.deleted,
        unauthored: row.unauthored,
        ..Message::default()
    };
    // The names come from keys that were checked, so none is left out.
    let user = |name: &str| UserKey::new(&channel.app(), name).ok();
    if let Some(posted) = &row.posted {
        message.posted = true;
        message.silent = posted.silent;
        message.everyone = posted.everyone;
        message.roles = posted.roles.iter().cloned().collect();
        let author = posted.author.as_ref();
        message.authors = author
            .and_then(|name| user(name.as_str()))
            .into_iter()
            .collect();
    }
    if let Some(edit) = &row.edit {
        message.edits.push(Edit {
            version: edit.version,
            everyone: edit.everyone,
            roles: edit.roles.iter().cloned().collect(),
            users: edit
                .mentions
                .iter()
                .filter_map(|name| user(name.as_str()))
                .collect(),
        });
    }
    message
}
