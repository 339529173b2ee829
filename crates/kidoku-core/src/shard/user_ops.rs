//! What a user asks of their shard: acks, mark unread, mute.
//!
//! Every function either does its job whole, or changes nothing and names the load it needs first.

use super::count::{Purpose, Wanted};
use super::peer::{Body, Change};
use super::pending::{Finish, Origin, Pending};
use super::user::{From, Row};
use super::{Job, Shard};
use crate::clock::Millis;
use crate::effect::Load;
use crate::error::Error;
use crate::fact::{
    Cursor, Era, Fact, Floor, FloorEntry, Membership, MuteLevel, Preference, StateRow,
};
use crate::id::{ChannelKey, MessageId, Name, Position, ShardId, UserKey};
use crate::limits::CHANNELS_PER_USER_MAX;
use crate::planted::{self, Bug};
use crate::reply::Reply;
use crate::request::{Request, Ticket};

/// An ack as asked for.
struct Ack<'a> {
    channel: &'a ChannelKey,
    id: MessageId,
    era: Option<Era>,
    private: bool,
}

/// How far a list of acks is done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AckProgress {
    done: usize,
    moved: u64,
}

/// Why an ack was not done.
enum NotAcked {
    Refused(Error),
    /// Nothing was changed: once more when this is there.
    Needs(Load),
}

impl Shard {
    pub(super) fn do_user(&mut self, job: &Job) -> Result<(), Load> {
        match job {
            Job::Request(ticket, request) => self.do_user_request(*ticket, request),
            Job::Peer(
                from,
                Body::Change {
                    call,
                    user,
                    channel,
                    change,
                },
            ) => {
                if matches!(change, Change::Leave) && self.threads_unknown(user, channel) {
                    self.learn_threads(user, job.clone());
                    return Ok(());
                }
                self.change(Origin::Peer(*from, *call), user, channel, change)
            }
            Job::Peer(
                from,
                Body::Role {
                    call,
                    user,
                    role,
                    held,
                    clock,
                },
            ) => {
                let changed = self.set_role(user, role, *held, *clock);
                self.send(
                    *from,
                    Body::Done {
                        call: *call,
                        changed,
                    },
                );
                Ok(())
            }
            Job::ReadState(ticket, user, channel) => {
                let wanted = Wanted::Channels(std::slice::from_ref(channel));
                self.count(*ticket, user, Purpose::One, &wanted);
                Ok(())
            }
            Job::AckRest(ticket, user, acks, progress) => {
                self.ack_many(*ticket, user, acks, *progress)
            }
            Job::MuteAt(ticket, request, tail) => {
                self.mute(*ticket, request, Some(*tail));
                Ok(())
            }
            Job::Event(user) => {
                self.begin_event(user);
                Ok(())
            }
            Job::Peer(..) => Ok(()),
        }
    }

    fn do_user_request(&mut self, ticket: Ticket, request: &Request) -> Result<(), Load> {
        match request {
            Request::Ack {
                user,
                channel,
                id,
                era,
                private,
                count,
            } => {
                let ack = Ack {
                    channel,
                    id: *id,
                    era: *era,
                    private: *private,
                };
                return self.ack(ticket, user, &ack, *count);
            }
            Request::AckMany { user, acks } => {
                let progress = AckProgress::default();
                return self.ack_many(ticket, user, acks, progress);
            }
            Request::AckAll { user, upto, space } => {
                self.ack_all(ticket, user, *upto, space.as_ref());
            }
            Request::MarkUnread { user, channel, id } => {
                return self.mark_unread(ticket, user, channel, *id);
            }
            Request::Mute { .. } => self.mute(ticket, request, None),
            Request::Count { user, channels } => {
                self.count(ticket, user, Purpose::Many, &Wanted::Channels(channels));
            }
            Request::State { user, since, page } => self.state(ticket, user, *since, page),
            Request::Badge { user, space } => {
                let purpose = Purpose::Badge {
                    space: space.clone(),
                };
                self.count(ticket, user, purpose, &Wanted::All(&[]));
            }
            Request::Explain {
                user,
                channel,
                page,
            } => {
                return self.explain(ticket, user, channel, page);
            }
            Request::Erase { user } => self.erase(ticket, user),
            Request::Watch { user, watcher } => self.watch(ticket, user, *watcher),
            Request::Unwatch { user, watcher } => self.unwatch(ticket, user, *watcher),
            Request::Merge { fact } => self.merge_user_fact(ticket, fact),
            _ => {}
        }
        Ok(())
    }

    /// The row of a user in a channel; in full when this job has asked for that.
    pub(super) fn row(&self, user: &UserKey, channel: &ChannelKey) -> Row {
        if let Some(detail) = &self.detail
            && detail.user == *user
            && detail.channel == *channel
        {
            return detail.row.clone();
        }
        let index = self.interner.find(channel);
        self.users.get(user).map_or_else(
            || super::user::User::default().row(None),
            |known| known.row(index),
        )
    }

    /// Puts a row back and says what is new in it.
    pub(super) fn put(&mut self, user: &UserKey, channel: &ChannelKey, row: Row, news: StateRow) {
        let state = StateRow {
            incarnation: row.incarnation,
            ..news
        };
        self.say(Fact::State {
            user: user.clone(),
            channel: channel.clone(),
            row: state,
        });
        self.put_quietly(user, channel, row);
    }

    pub(super) fn put_quietly(&mut self, user: &UserKey, channel: &ChannelKey, row: Row) {
        // From now on the row in memory is newer than what was loaded for this job.
        self.detail = None;
        let index = self.interner.acquire(channel);
        let clock = self.tick_clock();
        let fresh = match self.users.get_mut(user) {
            Some(known) => {
                known.touch(clock, Some(channel));
                known.put(index, row)
            }
            None => false,
        };
        if !fresh {
            self.interner.release(index);
        }
        self.watches.user_changed(user, Some(channel));
    }

    pub(super) fn has_room(&self, user: &UserKey, channel: &ChannelKey) -> bool {
        let Some(known) = self.users.get(user) else {
            return true;
        };
        self.has_row(user, channel) || known.row_count() < CHANNELS_PER_USER_MAX
    }

    fn has_row(&self, user: &UserKey, channel: &ChannelKey) -> bool {
        let index = self.interner.find(channel);
        let known = self.users.get(user);
        known.is_some_and(|known| index.is_some_and(|index| known.has_row(index)))
    }

    /// Tells who asked for it what receipts show of the user now; the questions to wait for.
    pub(super) fn receipt_questions(
        &self,
        call: u64,
        user: &UserKey,
        channels: &[ChannelKey],
    ) -> Vec<(ShardId, Body)> {
        let watched = channels
            .iter()
            .filter(|channel| self.receipts_watched.contains(channel));
        watched
            .map(|channel| self.receipt_question(call, user, channel))
            .collect()
    }

    fn ack(
        &mut self,
        ticket: Ticket,
        user: &UserKey,
        ack: &Ack<'_>,
        count: bool,
    ) -> Result<(), Load> {
        let moved = match self.ack_one(user, ack) {
            Ok(moved) => moved,
            Err(NotAcked::Needs(load)) => return Err(load),
            Err(NotAcked::Refused(error)) => {
                self.reply(ticket, Err(error));
                return Ok(());
            }
        };
        let finish = if count {
            Finish::Job(Job::ReadState(ticket, user.clone(), ack.channel.clone()))
        } else {
            Finish::Sum(u64::from(moved))
        };
        if self.receipts_watched.is_empty() {
            self.ask(0, Vec::new(), Origin::Caller(ticket), finish);
            return Ok(());
        }
        let call = self.new_call();
        let questions = self.receipt_questions(call, user, std::slice::from_ref(ack.channel));
        self.ask(call, questions, Origin::Caller(ticket), finish);
        Ok(())
    }

    /// Does the acks that are left. Where one needs a load, the rest becomes a job of its own, so
    /// that those done before are counted once.
    fn ack_many(
        &mut self,
        ticket: Ticket,
        user: &UserKey,
        acks: &[(ChannelKey, MessageId)],
        mut progress: AckProgress,
    ) -> Result<(), Load> {
        let start = progress.done;
        for (channel, id) in acks.iter().skip(start) {
            let ack = Ack {
                channel,
                id: *id,
                era: None,
                private: false,
            };
            match self.ack_one(user, &ack) {
                Ok(moved) => progress.moved += u64::from(moved),
                Err(NotAcked::Needs(load)) if progress.done == start => return Err(load),
                Err(NotAcked::Needs(_)) => {
                    self.start(Job::AckRest(ticket, user.clone(), acks.to_vec(), progress));
                    return Ok(());
                }
                Err(NotAcked::Refused(error)) => {
                    self.reply(ticket, Err(error));
                    return Ok(());
                }
            }
            progress.done += 1;
        }
        let call = self.new_call();
        let channels: Vec<ChannelKey> = acks.iter().map(|(channel, _)| channel.clone()).collect();
        let questions = self.receipt_questions(call, user, &channels);
        // Each answer says 0, so the sum is the number that moved.
        self.ask(
            call,
            questions,
            Origin::Caller(ticket),
            Finish::Sum(progress.moved),
        );
        Ok(())
    }

    /// Moves one cursor; true = it moved.
    fn ack_one(&mut self, user: &UserKey, ack: &Ack<'_>) -> Result<bool, NotAcked> {
        if ack.era.is_none()
            && !ack.private
            && let Some(moved) = self.ack_plain(user, ack)
        {
            return Ok(moved);
        }
        let mut row = self.row(user, ack.channel);
        let mut era = ack.era.unwrap_or(row.cursor.era);
        if planted::is(Bug::EraIgnored) {
            era = row.cursor.era;
        }
        if era < row.cursor.era {
            return Ok(false);
        }
        self.clock.observe(era);
        let cursor = row.cursor.max(Cursor {
            era,
            position: ack.id.position(),
        });
        let moved = cursor != row.cursor;
        let public = if ack.private && !planted::is(Bug::PrivateShown) {
            row.public
        } else {
            row.public.max(ack.id.position())
        };
        if !moved && public == row.public {
            return Ok(false);
        }
        if !self.has_room(user, ack.channel) {
            return Err(NotAcked::Refused(Error::TooManyChannels));
        }
        (row.cursor, row.public) = (cursor, public);
        let membership = (moved && !row.member).then(|| self.joined_from(ack.id.position()));
        if let Some(membership) = membership {
            row.set_membership(membership);
        }
        // A new era, or coming back below the old join, lowers the line.
        self.needs_nothing_below(&row, user, ack.channel)
            .map_err(NotAcked::Needs)?;
        let cursor_at = if moved { self.now } else { Millis(0) };
        let news = StateRow {
            cursor,
            cursor_at,
            public,
            membership,
            ..StateRow::default()
        };
        self.put(user, ack.channel, row, news);
        Ok(moved)
    }

    /// The hot path: a member's plain row moves forward in place.
    fn ack_plain(&mut self, user: &UserKey, ack: &Ack<'_>) -> Option<bool> {
        let index = self.interner.find(ack.channel)?;
        let clock = self.clock.tick(self.now);
        let known = self.users.get_mut(user)?;
        if !known.ack_plain(index, ack.id)? {
            return Some(false);
        }
        known.touch(clock, Some(ack.channel));
        let position = ack.id.position();
        let row = StateRow {
            incarnation: known.erased,
            cursor: Cursor {
                era: Era::NEVER,
                position,
            },
            cursor_at: self.now,
            public: position,
            listed: true,
            ..StateRow::default()
        };
        self.say(Fact::State {
            user: user.clone(),
            channel: ack.channel.clone(),
            row,
        });
        self.watches.user_changed(user, Some(ack.channel));
        Some(true)
    }

    pub(super) fn joined_from(&mut self, from: Position) -> Membership {
        Membership {
            clock: self.tick_clock(),
            member: true,
            from,
        }
    }

    fn ack_all(&mut self, ticket: Ticket, user: &UserKey, upto: MessageId, space: Option<&Name>) {
        let clock = self.tick_clock();
        let floor = Floor::new(FloorEntry {
            clock,
            position: upto.position(),
        });
        let mut channels = Vec::new();
        if let Some(known) = self.users.get_mut(user) {
            known.merge_floor(space, &floor);
            known.touch(clock, None);
            let incarnation = known.erased;
            channels = known.channels().to_vec();
            let (user, space) = (user.clone(), space.cloned());
            self.say(Fact::Floor {
                user,
                space,
                incarnation,
                floor,
            });
        }
        self.watches.user_changed(user, None);
        let finish = Finish::Job(Job::Request(
            ticket,
            Request::Badge {
                user: user.clone(),
                space: None,
            },
        ));
        let call = self.new_call();
        let mut questions = Vec::new();
        if !self.receipts_watched.is_empty() {
            let keys = channels
                .iter()
                .filter_map(|index| self.interner.key(*index).cloned());
            questions = self.receipt_questions(call, user, &keys.collect::<Vec<_>>());
        }
        self.ask(call, questions, Origin::Caller(ticket), finish);
    }

    /// A new era with a lower position. What lies between it and the old line has been forgotten,
    /// and where the join was, so the row is loaded in full first.
    fn mark_unread(
        &mut self,
        ticket: Ticket,
        user: &UserKey,
        channel: &ChannelKey,
        id: MessageId,
    ) -> Result<(), Load> {
        let mut row = self.row(user, channel);
        let position = id.just_below();
        let forgets = planted::is(Bug::ReloadForgetsMentions);
        if !forgets && (row.from == From::Forgotten || position < row.known_above) {
            let (user, channel) = (user.clone(), channel.clone());
            return Err(Load::Detail {
                user,
                channel,
                above: position,
            });
        }
        if !self.has_room(user, channel) {
            self.reply(ticket, Err(Error::TooManyChannels));
            return Ok(());
        }
        self.clock.observe(row.cursor.era);
        row.cursor = Cursor {
            era: self.tick_clock(),
            position,
        };
        let news = StateRow {
            cursor: row.cursor,
            cursor_at: self.now,
            ..StateRow::default()
        };
        self.put(user, channel, row, news);
        self.users.reweigh(user);
        let wanted = Wanted::Channels(std::slice::from_ref(channel));
        self.count(ticket, user, Purpose::One, &wanted);
        Ok(())
    }

    /// `tail` is known on the second try, for someone who is not in the channel.
    fn mute(&mut self, ticket: Ticket, request: &Request, tail: Option<Position>) {
        let Request::Mute {
            user,
            channel,
            level,
            until,
        } = request
        else {
            return;
        };
        let mut row = self.row(user, channel);
        if !row.member && tail.is_none() {
            let call = self.new_call();
            self.pending
                .insert(call, Pending::Tail(ticket, request.clone()));
            let to = self.channel_shard(channel);
            return self.send(
                to,
                Body::Tail {
                    call,
                    channel: channel.clone(),
                },
            );
        }
        if !self.has_room(user, channel) {
            return self.reply(ticket, Err(Error::TooManyChannels));
        }
        let membership = match tail {
            Some(tail) if !row.member => Some(self.joined_from(tail)),
            _ => None,
        };
        if let Some(membership) = membership {
            row.set_membership(membership);
        }
        let preference = Preference {
            clock: self.tick_clock(),
            level: *level,
            until: *until,
        };
        // Without a level there is nothing to remember: a later preference has a later clock.
        row.preference = (*level != MuteLevel::None).then_some(preference);
        let news = StateRow {
            membership,
            preference: Some(preference),
            ..StateRow::default()
        };
        self.put(user, channel, row, news);
        let call = self.new_call();
        let questions = self.receipt_questions(call, user, std::slice::from_ref(channel));
        self.ask(
            call,
            questions,
            Origin::Caller(ticket),
            Finish::Reply(Reply::Ok),
        );
    }
}
