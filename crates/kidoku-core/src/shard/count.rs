//! Counts, states, badges, explanations: the user's shard asks each channel's shard once, whatever
//! the number of channels, and puts the answers together.

mod explain;
mod numbers;
mod parents;
mod under_way;
mod wanted;

pub(super) use wanted::Wanted;

use super::interner::{ChannelIndex, Parent};
use super::peer::{Body, CallId};
use super::pending::Pending;
use super::query::{CountAnswer, CountItem, CountQuery};
use super::user::Row;
use super::{Shard, User};
use crate::clock::{Clock, Millis};
use crate::damaged::Damaged;
use crate::effect::Load;
use crate::error::Error;
use crate::fact::{Cursor, Preference, StateRow};
use crate::id::{ChannelKey, MessageId, Name, NameKind, ShardId, UserKey};
use crate::planted::{self, Bug};
use crate::request::{Page, Ticket};
use std::sync::Arc;

/// What the numbers are for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// One read state.
    One,
    /// Read states in the order asked.
    Many,
    /// A page of a user's channels, whole or since a revision.
    State {
        /// With a revision, asked for are the channels in which the user's own side changed after it.
        since: Option<Clock>,
        next: Option<Name>,
        page: Page<Name>,
    },
    Badge {
        space: Option<Name>,
    },
    Explain {
        page: Page<MessageId>,
        stored: Box<StateRow>,
    },
    /// For the watchers of the user.
    Event {
        /// Every channel the user is in is asked for.
        all: bool,
        /// Which event it is.
        number: CallId,
    },
    /// Of which channels the user's channels are threads; the numbers are of no interest.
    Threads,
}

/// One read state being counted.
#[derive(Debug)]
struct Subject {
    channel: ChannelKey,
    /// Its number when the count began; it may be another channel's by now.
    index: Option<ChannelIndex>,
    cursor: Cursor,
    preference: Option<Preference>,
    member: bool,
    answer: Option<CountAnswer>,
    /// Why there is no answer.
    damaged: Option<Box<Damaged>>,
}

/// What one shard answers.
#[derive(Debug)]
struct Part {
    shard: ShardId,
    /// Places of the subjects, in the order of the answers.
    subjects: Vec<usize>,
}

/// A count under way.
#[derive(Debug)]
pub(super) struct Counting {
    ticket: Option<Ticket>,
    user: UserKey,
    pub(super) purpose: Purpose,
    /// Places of the subjects that were asked for, in the order they were.
    asked: Vec<usize>,
    /// Sorted by channel.
    subjects: Vec<Subject>,
    /// Who has not answered yet.
    parts: Vec<Part>,
    /// Every change counted later than this has a later clock.
    evaluated: Clock,
    user_changed: Clock,
    now: Millis,
}

impl Shard {
    pub(super) fn count(
        &mut self,
        ticket: Ticket,
        user: &UserKey,
        purpose: Purpose,
        wanted: &Wanted<'_>,
    ) {
        self.begin_count(Some(ticket), user, purpose, wanted);
    }

    pub(super) fn begin_count(
        &mut self,
        ticket: Option<Ticket>,
        user: &UserKey,
        purpose: Purpose,
        wanted: &Wanted<'_>,
    ) {
        let evaluated = self.tick_clock();
        let mut counting = Counting {
            ticket,
            user: user.clone(),
            purpose,
            asked: Vec::new(),
            subjects: Vec::new(),
            parts: Vec::new(),
            evaluated,
            user_changed: evaluated,
            now: self.now,
        };
        let mut items = Vec::new();
        if let Some(known) = self.users.get(user) {
            counting.user_changed = known.changed.max(self.threads_moved);
            let chosen = self.chosen(known, wanted);
            counting.subjects.reserve_exact(chosen.len());
            for (channel, index) in chosen {
                let row = self.row_counted(user, known, &channel, index);
                let (subject, item) = subject_and_item(channel, index, row);
                if let Some(item) = item {
                    counting.ask(self.owner_of(&subject), item, &mut items);
                }
                counting.subjects.push(subject);
            }
            counting.asked = counting.places(wanted);
        }
        self.note_ended_mutes(&mut counting);
        self.send_count(counting, items);
    }

    fn row_counted(
        &self,
        user: &UserKey,
        known: &User,
        channel: &ChannelKey,
        index: Option<ChannelIndex>,
    ) -> Row {
        let mut row = match &self.detail {
            None => known.row(index),
            Some(_) => self.row(user, channel),
        };
        if planted::is(Bug::CountsShareCursors) {
            row.cursor = self.cursor_counted(user, channel).unwrap_or(row.cursor);
        }
        row
    }

    fn owner_of(&self, subject: &Subject) -> ShardId {
        let known = subject.index.and_then(|index| self.interner.owner(index));
        known.unwrap_or_else(|| self.channel_shard(&subject.channel))
    }

    fn send_count(&mut self, counting: Counting, items: Vec<Vec<CountItem>>) {
        if items.is_empty() {
            return self.counting_done(&counting);
        }
        let known = self.users.get(&counting.user);
        let roles: Arc<[Name]> = known
            .map(super::User::held_roles)
            .unwrap_or_default()
            .into();
        let floors: Arc<[_]> = known
            .map(|known| known.floors.clone())
            .unwrap_or_default()
            .into();
        let explain = match &counting.purpose {
            Purpose::Explain { page, .. } => Some(page.clone()),
            _ => None,
        };
        let (call, user) = (self.new_call(), counting.user.clone());
        let shards: Vec<ShardId> = counting.parts.iter().map(|part| part.shard).collect();
        self.pending
            .insert(call, Pending::Count(Box::new(counting)));
        for (shard, items) in shards.into_iter().zip(items) {
            let query = CountQuery {
                user: user.clone(),
                roles: Arc::clone(&roles),
                floors: Arc::clone(&floors),
                items,
                explain: explain.clone(),
            };
            self.send(
                shard,
                Body::Count {
                    call,
                    query: Box::new(query),
                },
            );
        }
    }

    /// One shard's answers are in.
    pub(super) fn counted(
        &mut self,
        from: ShardId,
        call: CallId,
        answers: Vec<Result<CountAnswer, Error>>,
    ) {
        let Some(Pending::Count(counting)) = self.pending.get_mut(&call) else {
            return;
        };
        let mut failed = None;
        let part = counting.parts.iter().position(|part| part.shard == from);
        let part = part.map(|part| counting.parts.swap_remove(part));
        let subjects = part.map(|part| part.subjects).unwrap_or_default();
        for (at, answer) in subjects.into_iter().zip(answers) {
            let Some(subject) = counting.subjects.get_mut(at) else {
                continue;
            };
            let parent = match &answer {
                Ok(answer) => Some(&answer.parent),
                Err(Error::Damaged(damaged)) => damaged.parent.as_ref(),
                Err(_) => None,
            };
            if let (Some(parent), Some(index)) = (parent, subject.index) {
                let (channel, parent) = (&subject.channel, Parent::Known(parent.clone()));
                self.interner.learn_at(index, channel, parent);
            }
            match answer {
                Ok(answer) => subject.answer = Some(answer),
                Err(Error::Damaged(damaged)) => subject.damaged = Some(damaged),
                // What fails for a reason that passes is asked for again, as a whole.
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            let Some(Pending::Count(counting)) = self.pending.remove(&call) else {
                return;
            };
            return self.counting_failed(&counting, error);
        }
        if counting.parts.is_empty()
            && let Some(Pending::Count(counting)) = self.pending.remove(&call)
        {
            self.counting_done(&counting);
        }
    }

    fn counting_failed(&mut self, counting: &Counting, error: Error) {
        match counting.ticket {
            Some(ticket) => self.reply(ticket, Err(error)),
            None if matches!(counting.purpose, Purpose::Threads) => {
                self.fail_first_blocked(&counting.user, error);
            }
            None => self.fail_event(counting),
        }
    }

    fn counting_done(&mut self, counting: &Counting) {
        if matches!(counting.purpose, Purpose::Threads) {
            // Of what a channel is a thread may be just what can not be read.
            return match counting.without_parent() {
                Some(damaged) => {
                    self.fail_first_blocked(
                        &counting.user,
                        Error::Damaged(Box::new(damaged.clone())),
                    );
                }
                None => self.unblock_user(&counting.user),
            };
        }
        match counting.ticket {
            Some(ticket) => {
                if let Some(reply) = counting.reply().transpose() {
                    self.reply(ticket, reply);
                }
            }
            None => self.finish_event(counting),
        }
    }

    pub(super) fn state(
        &mut self,
        ticket: Ticket,
        user: &UserKey,
        since: Option<Clock>,
        page: &Page<Name>,
    ) {
        let Some(known) = self.users.get_mut(user) else {
            return;
        };
        let changed = known.changed_since(since.filter(|since| *since >= self.threads_moved));
        if let (Some(_), Some(changed)) = (since, changed) {
            let purpose = Purpose::State {
                since,
                next: None,
                page: page.clone(),
            };
            return self.count(ticket, user, purpose, &Wanted::All(&changed));
        }
        // Which channels were left since then is not known any more, so all that were ever joined are
        // told, whether the user is still there or not.
        let mut listed = match since {
            Some(_) => known.channels().to_vec(),
            None => known.members().collect(),
        };
        self.interner.sort(&mut listed);
        let name = |index: &ChannelIndex| self.interner.key(*index).map_or("", ChannelKey::name);
        let next = cut_page(&mut listed, page, name);
        let purpose = Purpose::State {
            since: None,
            next,
            page: page.clone(),
        };
        self.count(ticket, user, purpose, &Wanted::Listed(&listed));
    }

    pub(super) fn explain(
        &mut self,
        ticket: Ticket,
        user: &UserKey,
        channel: &ChannelKey,
        page: &Page<MessageId>,
    ) -> Result<(), Load> {
        let detail = self
            .detail
            .as_ref()
            .filter(|d| d.user == *user && d.channel == *channel);
        let Some(detail) = detail else {
            let above = self.row(user, channel).known_above;
            let (user, channel) = (user.clone(), channel.clone());
            return Err(Load::Detail {
                user,
                channel,
                above,
            });
        };
        let stored = Box::new(detail.stored);
        let purpose = Purpose::Explain {
            page: page.clone(),
            stored,
        };
        self.count(
            ticket,
            user,
            purpose,
            &Wanted::Channels(std::slice::from_ref(channel)),
        );
        Ok(())
    }
}

/// What is kept of a row while it is counted, and what its channel's shard is asked of a member.
fn subject_and_item(
    channel: ChannelKey,
    index: Option<ChannelIndex>,
    row: Row,
) -> (Subject, Option<CountItem>) {
    let subject = Subject {
        channel: channel.clone(),
        index,
        cursor: row.cursor,
        preference: row.preference,
        member: row.member,
        answer: None,
        damaged: None,
    };
    let item = row.member.then(|| CountItem {
        channel,
        cursor: row.cursor,
        from: row.join_position_or_start(),
        mentions: row.mentions,
        own: row.own,
    });
    (subject, item)
}

/// Keeps one page of a sorted list; gives the name after which the next page begins.
fn cut_page<'n, T>(
    entries: &mut Vec<T>,
    page: &Page<Name>,
    name: impl Fn(&T) -> &'n str,
) -> Option<Name> {
    if let Some(after) = &page.after {
        let start = entries.partition_point(|entry| name(entry) <= after.as_str());
        entries.drain(..start);
    }
    if entries.len() <= page.limit {
        return None;
    }
    entries.truncate(page.limit);
    entries
        .last()
        .and_then(|last| Name::new(NameKind::Channel, name(last)).ok())
}

impl Counting {
    /// Asks a shard about the subject that comes next.
    fn ask(&mut self, shard: ShardId, item: CountItem, items: &mut Vec<Vec<CountItem>>) {
        let part = self.parts.iter().position(|part| part.shard == shard);
        let part = part.unwrap_or_else(|| {
            self.parts.push(Part {
                shard,
                subjects: Vec::new(),
            });
            items.push(Vec::new());
            items.len() - 1
        });
        self.parts[part].subjects.push(self.subjects.len());
        items[part].push(item);
    }

    /// Where the subjects are that were asked for.
    fn places(&self, wanted: &Wanted<'_>) -> Vec<usize> {
        match wanted {
            Wanted::Channels(keys) | Wanted::All(keys) => {
                keys.iter().filter_map(|key| self.place(key)).collect()
            }
            Wanted::Listed(listed) => {
                // Both are in the order of names.
                let mut listed = listed.iter().copied().peekable();
                let is_next = |subject: &Subject| listed.next_if(|i| Some(*i) == subject.index);
                let is_listed = self.subjects.iter().map(is_next).enumerate();
                let places = is_listed.filter(|(_, listed)| listed.is_some());
                places.map(|(place, _)| place).collect()
            }
        }
    }

    fn place(&self, channel: &ChannelKey) -> Option<usize> {
        self.subjects
            .binary_search_by(|subject| subject.channel.cmp(channel))
            .ok()
    }

    fn subject(&self, channel: &ChannelKey) -> Option<&Subject> {
        self.subjects.get(self.place(channel)?)
    }

    /// The subjects that were asked for, in that order.
    fn asked(&self) -> impl Iterator<Item = &Subject> {
        self.asked
            .iter()
            .filter_map(|place| self.subjects.get(*place))
    }

    /// The channels that were asked for.
    pub(super) fn asked_channels(&self) -> impl Iterator<Item = &ChannelKey> {
        self.asked().map(|subject| &subject.channel)
    }

    pub(super) fn user(&self) -> &UserKey {
        &self.user
    }
}
