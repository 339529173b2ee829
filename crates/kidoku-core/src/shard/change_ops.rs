//! What others change of a user: joins and leaves, messages written, mentions, roles.
//!
//! Every function either does its job whole, or changes nothing and names the load it needs first.

use super::count::{Purpose, Wanted};
use super::interner::{ChannelIndex, Parent};
use super::peer::{Body, Change};
use super::pending::{Finish, Origin};
use super::user::Row;
use super::{Job, Shard};
use crate::clock::Millis;
use crate::effect::Load;
use crate::error::Error;
use crate::fact::{Era, Fact, Membership, StateRow};
use crate::id::{ChannelKey, MessageId, Name, Position, UserKey};
use crate::limits::ROLES_PER_USER_MAX;
use crate::request::Request;

impl Shard {
    pub(super) fn change(
        &mut self,
        origin: Origin,
        user: &UserKey,
        channel: &ChannelKey,
        change: &Change,
    ) -> Result<(), Load> {
        if !matches!(change, Change::Dropped { .. }) && !self.has_room(user, channel) {
            self.fail(origin, Error::TooManyChannels);
            return Ok(());
        }
        let mut channels = vec![channel.clone()];
        let changed = match change {
            Change::Join { from } => self.join(user, channel, *from)?,
            Change::Leave => {
                let left = self.leave(user, channel);
                if left > 0 {
                    let threads = self.followed_threads(user, channel);
                    for thread in &threads {
                        self.leave(user, thread);
                    }
                    channels.extend(threads);
                }
                left
            }
            Change::Wrote {
                id,
                ack,
                known,
                thread,
            } => {
                let from = auto_join(*id, *known, *thread, true);
                self.wrote(user, channel, *id, *ack, &from)?
            }
            Change::Named {
                id,
                known,
                thread,
                edit,
            } => {
                let kept = *edit && self.named_before(user, channel, *id)?;
                let from = auto_join(*id, *known || kept, *thread, *thread);
                self.named(user, channel, *id, &from)?
            }
            Change::Dropped { clock } => self.dropped(user, channel, *clock),
        };
        let call = self.new_call();
        let questions = self.receipt_questions(call, user, &channels);
        self.ask(call, questions, origin, Finish::Sum(changed));
        Ok(())
    }

    fn join(&mut self, user: &UserKey, channel: &ChannelKey, from: Position) -> Result<u64, Load> {
        let mut row = self.row(user, channel);
        if row.member {
            return Ok(0);
        }
        row.set_membership(Membership {
            member: true,
            from,
            ..Membership::default()
        });
        self.needs_nothing_below(&row, user, channel)?;
        let membership = Some(self.joined_from(from));
        self.put(
            user,
            channel,
            row,
            StateRow {
                membership,
                ..StateRow::default()
            },
        );
        Ok(1)
    }

    fn leave(&mut self, user: &UserKey, channel: &ChannelKey) -> u64 {
        let mut row = self.row(user, channel);
        if !row.member {
            return 0;
        }
        row.member = false;
        let clock = self.tick_clock();
        let membership = Some(Membership {
            clock,
            member: false,
            from: row.join_position_or_start(),
        });
        self.put(
            user,
            channel,
            row,
            StateRow {
                membership,
                ..StateRow::default()
            },
        );
        self.touch_parent(user, channel);
        1
    }

    /// The parent shows the numbers of the followed threads, of which this is one less.
    fn touch_parent(&mut self, user: &UserKey, channel: &ChannelKey) {
        let index = self.interner.find(channel);
        let parent = match index.map(|index| self.interner.parent(index)) {
            Some(Parent::Known(Some(parent))) => {
                ChannelKey::new(&channel.app(), parent.as_str()).ok()
            }
            Some(Parent::Unknown) => None,
            Some(Parent::Known(None)) | None => return,
        };
        let clock = self.tick_clock();
        if let Some(known) = self.users.get_mut(user) {
            known.touch(clock, parent.as_ref());
        }
        self.watches.user_changed(user, parent.as_ref());
    }

    /// True when a leave can not tell yet which threads it takes along.
    pub(super) fn threads_unknown(&self, user: &UserKey, channel: &ChannelKey) -> bool {
        let Some(known) = self.users.get(user) else {
            return false;
        };
        let left = self.interner.find(channel);
        let there = known.members().any(|index| Some(index) == left);
        let others = known.members().filter(|index| Some(*index) != left);
        there && { others }.any(|index| *self.interner.parent(index) == Parent::Unknown)
    }

    /// Asks the owners of the user's channels for their parents. The job is done after that, and
    /// other jobs of the user wait meanwhile.
    pub(super) fn learn_threads(&mut self, user: &UserKey, job: Job) {
        let blocked = self.blocked_users.entry(user.clone()).or_default();
        blocked.push_front(job);
        self.begin_count(None, user, Purpose::Threads, &Wanted::Channels(&[]));
    }

    /// The threads of a channel that the user is in.
    fn followed_threads(&self, user: &UserKey, channel: &ChannelKey) -> Vec<ChannelKey> {
        let Some(known) = self.users.get(user) else {
            return Vec::new();
        };
        let is_thread = |index: &ChannelIndex| match self.interner.parent(*index) {
            Parent::Known(Some(parent)) => parent.as_str() == channel.name(),
            Parent::Known(None) | Parent::Unknown => false,
        };
        let threads = known.members().filter(is_thread);
        threads
            .filter_map(|index| self.interner.key(index).cloned())
            .collect()
    }

    /// A row whose line went down needs what memory has forgotten above it.
    pub(super) fn needs_nothing_below(
        &self,
        row: &Row,
        user: &UserKey,
        channel: &ChannelKey,
    ) -> Result<(), Load> {
        if row.base() >= row.known_above {
            return Ok(());
        }
        let (user, channel) = (user.clone(), channel.clone());
        Err(Load::Detail {
            user,
            channel,
            above: row.base(),
        })
    }

    fn wrote(
        &mut self,
        user: &UserKey,
        channel: &ChannelKey,
        id: MessageId,
        ack: bool,
        auto: &AutoJoin,
    ) -> Result<u64, Load> {
        let mut row = self.row(user, channel);
        // What was said before has read up to itself then. To read so far again would take back a mark
        // unread since. Only of members and above the base is it known for sure, and there it matters.
        let again = row.member && row.base().is_before(id) && row.own.binary_search(&id).is_ok();
        let joins = auto.joins(&row);
        if joins {
            row.set_membership(Membership {
                member: true,
                from: auto.from,
                clock: Era::NEVER,
            });
        }
        let before = (row.cursor, row.public);
        if ack && !again {
            row.cursor.position = row.cursor.position.max(id.position());
            row.public = row.public.max(id.position());
        }
        self.needs_nothing_below(&row, user, channel)?;
        super::user::insert_sorted(&mut row.own, id);
        let own = Fact::Own {
            user: user.clone(),
            channel: channel.clone(),
            incarnation: row.incarnation,
            id,
        };
        let membership = joins.then(|| self.joined_from(auto.from));
        let acked = before != (row.cursor, row.public);
        if acked || joins {
            let cursor_at = if row.cursor == before.0 {
                Millis(0)
            } else {
                self.now
            };
            let (cursor, public) = (row.cursor, row.public);
            let news = StateRow {
                cursor,
                cursor_at,
                public,
                membership,
                ..StateRow::default()
            };
            self.put(user, channel, row, news);
        } else {
            self.put_quietly(user, channel, row);
        }
        // Behind the ack: a log that was cut between them must not have this alone, or the post sent
        // again would not ack.
        self.say(own);
        Ok(0)
    }

    /// True when the message has named the user already; asked only of those who have left, whom an
    /// edit that keeps a mention must not bring back.
    fn named_before(
        &self,
        user: &UserKey,
        channel: &ChannelKey,
        id: MessageId,
    ) -> Result<bool, Load> {
        let row = self.row(user, channel);
        if row.member || !row.record {
            return Ok(false);
        }
        if row.known_above.is_before(id) {
            return Ok(row.mentions.binary_search(&id).is_ok());
        }
        let (user, channel) = (user.clone(), channel.clone());
        Err(Load::Detail {
            user,
            channel,
            above: id.just_below(),
        })
    }

    fn named(
        &mut self,
        user: &UserKey,
        channel: &ChannelKey,
        id: MessageId,
        auto: &AutoJoin,
    ) -> Result<u64, Load> {
        let mut row = self.row(user, channel);
        let joins = auto.joins(&row);
        if joins {
            row.set_membership(Membership {
                member: true,
                from: auto.from,
                clock: Era::NEVER,
            });
        }
        self.needs_nothing_below(&row, user, channel)?;
        super::user::insert_sorted(&mut row.mentions, id);
        let incarnation = row.incarnation;
        let mention = (user.clone(), channel.clone());
        self.say(Fact::Mention {
            user: mention.0,
            channel: mention.1,
            incarnation,
            id,
        });
        if joins {
            let membership = Some(self.joined_from(auto.from));
            self.put(
                user,
                channel,
                row,
                StateRow {
                    membership,
                    ..StateRow::default()
                },
            );
        } else {
            self.put_quietly(user, channel, row);
        }
        Ok(0)
    }

    /// The channel was dropped: the row begins anew in a later incarnation.
    fn dropped(&mut self, user: &UserKey, channel: &ChannelKey, clock: Era) -> u64 {
        // Above every incarnation of the user too: the channel's shard may not have heard of those.
        let clock = clock.max(self.tick_clock());
        let (whose, at) = (user.clone(), channel.clone());
        let row = StateRow {
            incarnation: clock,
            ..StateRow::default()
        };
        self.say(Fact::State {
            user: whose,
            channel: at,
            row,
        });
        if self.users.contains(user) {
            let mut fresh = super::user::User::default().row(None);
            fresh.incarnation = clock;
            self.put_quietly(user, channel, fresh);
        } else {
            self.complete = false;
            self.watches.user_changed(user, Some(channel));
        }
        0
    }

    pub(super) fn set_role(
        &mut self,
        user: &UserKey,
        role: &Name,
        held: bool,
        clock: Era,
    ) -> Result<u64, Error> {
        let Some(known) = self.users.get_mut(user) else {
            return Ok(0);
        };
        let holds = known
            .roles
            .iter()
            .any(|mark| mark.role == *role && mark.held);
        if holds == held {
            return Ok(0);
        }
        if held && known.held_roles().len() >= ROLES_PER_USER_MAX {
            return Err(Error::TooManyRoles);
        }
        let clock = clock.max(self.clock.tick(self.now));
        known.merge_role(role, clock, held);
        known.touch(clock, None);
        let incarnation = known.erased;
        let (whose, role) = (user.clone(), role.clone());
        self.say(Fact::Role {
            user: whose,
            role,
            incarnation,
            clock,
            held,
        });
        self.watches.user_changed(user, None);
        Ok(1)
    }

    /// Sends a role change to each user's shard.
    pub(super) fn start_role(&mut self, job: Job) {
        let Job::Request(
            ticket,
            Request::Role {
                role, users, held, ..
            },
        ) = job
        else {
            return;
        };
        let (call, clock) = (self.new_call(), self.tick_clock());
        let questions = users.into_iter().map(|user| {
            let to = self.user_shard(&user);
            (
                to,
                Body::Role {
                    call,
                    user,
                    role: role.clone(),
                    held,
                    clock,
                },
            )
        });
        let questions = questions.collect();
        self.ask(call, questions, Origin::Caller(ticket), Finish::Sum(0));
    }
}

/// Whether, and from where, writing or being named joins somebody.
struct AutoJoin {
    wanted: bool,
    /// The message was known before: a retry joins only who never was there and never left.
    known: bool,
    from: Position,
}

impl AutoJoin {
    fn joins(&self, row: &Row) -> bool {
        self.wanted && !row.member && !(self.known && row.record)
    }
}

fn auto_join(id: MessageId, known: bool, thread: bool, wanted: bool) -> AutoJoin {
    let from = if thread {
        id.just_below()
    } else {
        id.position()
    };
    AutoJoin {
        wanted,
        known,
        from,
    }
}
