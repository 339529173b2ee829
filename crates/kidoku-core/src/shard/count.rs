//! Counts, states, badges, explanations: the user's shard asks each channel's shard once, whatever
//! the number of channels, and puts the answers together.

mod explain;
mod parents;
mod under_way;

use super::Shard;
use super::interner::{ChannelIndex, Parent};
use super::peer::{Body, CallId};
use super::pending::Pending;
use super::query::{CountAnswer, CountItem, CountQuery};
use crate::clock::{Clock, Millis};
use crate::damaged::Damaged;
use crate::effect::Load;
use crate::error::Error;
use crate::fact::{Cursor, MuteLevel, Preference, StateRow};
use crate::id::{ChannelKey, MessageId, Name, NameKind, ShardId, UserKey};
use crate::planted::{self, Bug};
use crate::reply::{Badge, ReadState, Reply};
use crate::request::{Page, Ticket};
use std::collections::{BTreeMap, BTreeSet};
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
        since: Option<Since>,
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

/// A state since a revision.
#[derive(Debug)]
pub(super) struct Since {
    pub(super) rev: Clock,
    /// Channels in which the user's own side changed.
    pub(super) changed: Vec<ChannelKey>,
}

/// Which channels are counted.
pub(super) enum Wanted<'a> {
    /// These, and the threads of these.
    Channels(&'a [ChannelKey]),
    /// All the user is in, and these.
    All(&'a [ChannelKey]),
}

/// One read state being counted.
#[derive(Debug)]
struct Subject {
    channel: ChannelKey,
    cursor: Cursor,
    preference: Option<Preference>,
    member: bool,
    answer: Option<CountAnswer>,
    /// Why there is no answer.
    damaged: Option<Box<Damaged>>,
}

/// Unread and mentions of the followed threads of each channel.
#[derive(Default)]
struct Threads<'a> {
    sums: BTreeMap<&'a str, (u64, u64)>,
    /// Channels with a thread that can not be read.
    damaged: BTreeSet<&'a str>,
    /// What can not be read may be a thread of any channel.
    any_damaged: bool,
}

/// A count under way.
#[derive(Debug)]
pub(super) struct Counting {
    ticket: Option<Ticket>,
    user: UserKey,
    pub(super) purpose: Purpose,
    asked: Vec<ChannelKey>,
    /// Sorted by channel.
    subjects: Vec<Subject>,
    /// Which subjects each shard answers, in the order of its answers.
    parts: BTreeMap<ShardId, Vec<usize>>,
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
        let channels = self.wanted_channels(user, wanted);
        let known = self.users.get(user);
        let mut counting = Counting {
            ticket,
            user: user.clone(),
            purpose,
            asked: match wanted {
                Wanted::Channels(asked) | Wanted::All(asked) => asked.to_vec(),
            },
            subjects: Vec::with_capacity(channels.len()),
            parts: BTreeMap::new(),
            evaluated,
            user_changed: known
                .map_or(evaluated, |known| known.changed)
                .max(self.threads_moved),
            now: self.now,
        };
        let mut items: BTreeMap<ShardId, Vec<CountItem>> = BTreeMap::new();
        for channel in channels {
            let mut row = self.row(user, &channel);
            if planted::is(Bug::CountsShareCursors) {
                row.cursor = self.cursor_counted(user, &channel).unwrap_or(row.cursor);
            }
            if row.member {
                let shard = self.channel_shard(&channel);
                counting
                    .parts
                    .entry(shard)
                    .or_default()
                    .push(counting.subjects.len());
                items.entry(shard).or_default().push(CountItem {
                    channel: channel.clone(),
                    cursor: row.cursor,
                    from: row.join_position_or_start(),
                    mentions: row.mentions,
                    own: row.own,
                });
            }
            let (cursor, preference, member) = (row.cursor, row.preference, row.member);
            counting.subjects.push(Subject {
                channel,
                cursor,
                preference,
                member,
                answer: None,
                damaged: None,
            });
        }
        self.note_ended_mutes(&mut counting);
        self.send_count(counting, items);
    }

    fn send_count(&mut self, counting: Counting, items: BTreeMap<ShardId, Vec<CountItem>>) {
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
        self.pending
            .insert(call, Pending::Count(Box::new(counting)));
        for (shard, items) in items {
            let (user, roles, floors) = (user.clone(), Arc::clone(&roles), Arc::clone(&floors));
            let query = CountQuery {
                user,
                roles,
                floors,
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

    /// The channels to ask about: those wanted, and those that are or may be threads of them.
    fn wanted_channels(&self, user: &UserKey, wanted: &Wanted<'_>) -> Vec<ChannelKey> {
        let Some(known) = self.users.get(user) else {
            return Vec::new();
        };
        let key = |index: &ChannelIndex| self.interner.key(*index).cloned();
        let members = known.member_channels();
        let asked: BTreeSet<&ChannelKey> = match wanted {
            Wanted::Channels(asked) | Wanted::All(asked) => asked.iter().collect(),
        };
        let mut channels: Vec<ChannelKey> =
            asked.iter().map(|channel| (*channel).clone()).collect();
        let parents: BTreeSet<&str> = asked.iter().map(|channel| channel.name()).collect();
        let more = members
            .iter()
            .filter(|index| match (wanted, self.interner.parent(**index)) {
                (Wanted::All(_), _) | (_, Parent::Unknown) => true,
                (_, Parent::Known(Some(parent))) => parents.contains(parent.as_str()),
                (_, Parent::Known(None)) => false,
            });
        let more: Vec<ChannelKey> = more
            .filter_map(key)
            .filter(|channel| !asked.contains(channel))
            .collect();
        channels.extend(more);
        channels.sort_unstable();
        channels
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
        let subjects = counting.parts.remove(&from).unwrap_or_default();
        for (at, answer) in subjects.into_iter().zip(answers) {
            let Some(subject) = counting.subjects.get_mut(at) else {
                continue;
            };
            let parent = match &answer {
                Ok(answer) => Some(&answer.parent),
                Err(Error::Damaged(damaged)) => damaged.parent.as_ref(),
                Err(_) => None,
            };
            if let Some(parent) = parent {
                self.interner
                    .learn(&subject.channel, Parent::Known(parent.clone()));
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
        if let (Some(rev), Some(changed)) = (since, changed) {
            let asked = changed.clone();
            let since = Some(Since { rev, changed });
            let purpose = Purpose::State {
                since,
                next: None,
                page: page.clone(),
            };
            return self.count(ticket, user, purpose, &Wanted::All(&asked));
        }
        // Which channels were left since then is not known any more, so all that were ever joined are
        // told, whether the user is still there or not.
        let listed = match since {
            Some(_) => known.channels().to_vec(),
            None => known.member_channels(),
        };
        let mut channels: Vec<ChannelKey> = listed
            .iter()
            .filter_map(|index| self.interner.key(*index).cloned())
            .collect();
        channels.sort_unstable();
        let next = cut_page(&mut channels, page, ChannelKey::name);
        let purpose = Purpose::State {
            since: None,
            next,
            page: page.clone(),
        };
        self.count(ticket, user, purpose, &Wanted::Channels(&channels));
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

/// Keeps one page of a sorted list; gives the name after which the next page begins.
fn cut_page<T>(entries: &mut Vec<T>, page: &Page<Name>, name: impl Fn(&T) -> &str) -> Option<Name> {
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
    fn subject(&self, channel: &ChannelKey) -> Option<&Subject> {
        let at = self
            .subjects
            .binary_search_by(|subject| subject.channel.cmp(channel))
            .ok()?;
        self.subjects.get(at)
    }

    /// A channel that can not be read, of which it is not known either whether it is a thread.
    fn without_parent(&self) -> Option<&Damaged> {
        let damaged = self.subjects.iter().filter_map(|s| s.damaged.as_deref());
        damaged.into_iter().find(|damaged| damaged.parent.is_none())
    }

    /// Channels that can not be read.
    pub(super) fn damaged_channels(&self) -> Vec<ChannelKey> {
        let damaged = self.subjects.iter().filter(|s| s.damaged.is_some());
        damaged.map(|subject| subject.channel.clone()).collect()
    }

    fn is_damaged(&self, channel: &ChannelKey) -> bool {
        self.subject(channel).is_some_and(|s| s.damaged.is_some())
    }

    /// The answer; `None` when nobody has asked.
    fn reply(&self) -> Result<Option<Reply>, Error> {
        let threads = self.threads();
        Ok(Some(match &self.purpose {
            Purpose::One => {
                let states = self.states(&threads)?;
                Reply::ReadState(Box::new(states.into_iter().next().unwrap_or_default()))
            }
            Purpose::Many => Reply::ReadStates(self.states(&threads)?),
            Purpose::State {
                since: None, next, ..
            } => self.page(self.asked.clone(), next.clone()),
            Purpose::State {
                since: Some(since),
                page,
                ..
            } => self.since(since, page),
            Purpose::Badge { space } => Reply::Badge(Box::new(self.badge(space.as_ref())?)),
            Purpose::Explain { stored, .. } => {
                self.states(&threads)?;
                Reply::Explanation(Box::new(self.explanation(stored)))
            }
            Purpose::Event { .. } | Purpose::Threads => return Ok(None),
        }))
    }

    /// The states that were asked for one by one, in that order.
    fn states(&self, threads: &Threads<'_>) -> Result<Vec<ReadState>, Error> {
        let state = |channel: &ChannelKey| {
            let damaged = self.subject(channel).and_then(|s| s.damaged.as_ref());
            match damaged {
                Some(damaged) => Err(Error::Damaged(damaged.clone())),
                None => Ok(self.state_of(channel, threads)),
            }
        };
        self.asked.iter().map(state).collect()
    }

    /// A page of channels with their states, but for those that can not be read.
    fn page(&self, channels: Vec<ChannelKey>, next: Option<Name>) -> Reply {
        let threads = self.threads();
        let (damaged, sound): (Vec<_>, Vec<_>) = channels
            .into_iter()
            .partition(|channel| self.is_damaged(channel));
        let states = sound.into_iter().map(|channel| {
            let state = self.state_of(&channel, &threads);
            (channel, state)
        });
        Reply::State {
            rev: self.rev(),
            channels: states.collect(),
            damaged,
            next,
        }
    }

    fn level(&self, subject: &Subject) -> MuteLevel {
        subject
            .preference
            .map_or(MuteLevel::None, |preference| preference.level_at(self.now))
    }

    fn state_of(&self, channel: &ChannelKey, threads: &Threads<'_>) -> ReadState {
        let Some(subject) = self.subject(channel) else {
            return ReadState::default();
        };
        let mut state = ReadState {
            cursor: subject.cursor.position,
            era: subject.cursor.era,
            muted: self.level(subject),
            member: subject.member,
            ..ReadState::default()
        };
        if let Some(answer) = &subject.answer {
            state.unread = answer.unread;
            state.mentions = answer.mentions;
            state.first_unread = answer.first_unread;
            state.last = answer.last;
            let name = channel.name();
            state.threads_damaged = threads.any_damaged || threads.damaged.contains(name);
            if let Some((unread, mentions)) = threads.sums.get(name) {
                state.threads_unread = *unread;
                state.threads_mentions = *mentions;
            }
        }
        state
    }

    fn threads(&self) -> Threads<'_> {
        let mut threads = Threads::default();
        for subject in &self.subjects {
            if let Some(damaged) = &subject.damaged {
                match &damaged.parent {
                    Some(Some(parent)) => {
                        threads.damaged.insert(parent.as_str());
                    }
                    Some(None) => {}
                    None => threads.any_damaged = true,
                }
            }
            let Some(answer) = &subject.answer else {
                continue;
            };
            if let Some(parent) = &answer.parent {
                let (unread, mentions) = threads.sums.entry(parent.as_str()).or_default();
                *unread += answer.unread;
                *mentions += answer.mentions;
            }
        }
        threads
    }

    /// The last change among what was counted; at most `evaluated`, so that no later change can
    /// have a clock at or below it.
    pub(super) fn rev(&self) -> Clock {
        let changed = self.subjects.iter().filter_map(|subject| {
            let answered = subject.answer.as_ref().map(|answer| answer.changed);
            answered.max(self.unmuted_at(subject))
        });
        changed
            .fold(self.user_changed, Clock::max)
            .min(self.evaluated)
    }

    /// When a mute ended by itself, which changes totals without a fact.
    fn unmuted_at(&self, subject: &Subject) -> Option<Clock> {
        let until = subject.preference?.until;
        (until != Millis(0) && until <= self.now).then(|| Clock::at(until))
    }

    fn since(&self, since: &Since, page: &Page<Name>) -> Reply {
        let mut changed: BTreeSet<&ChannelKey> = since.changed.iter().collect();
        for subject in &self.subjects {
            let answered = subject.answer.as_ref().map(|answer| answer.changed);
            let latest = answered.max(self.unmuted_at(subject)).unwrap_or_default();
            // Of what can not be read it is not known whether it changed, so it is told each time.
            let is_damaged = subject.damaged.is_some();
            if latest > since.rev || is_damaged || changed.contains(&subject.channel) {
                changed.insert(&subject.channel);
            }
        }
        let parents = self.parents_of(&changed);
        changed.extend(parents);
        let subjects = self.subjects.iter().map(|subject| &subject.channel);
        let own_or_thread = subjects.filter(|channel| changed.contains(channel));
        let mut channels: Vec<ChannelKey> = own_or_thread.cloned().collect();
        channels.sort_unstable();
        let next = cut_page(&mut channels, page, ChannelKey::name);
        self.page(channels, next)
    }

    /// The totals. There are none while one of the channels can not be read: which share of them it
    /// has is not known, nor even its space.
    pub(super) fn badge(&self, space: Option<&Name>) -> Result<Badge, Error> {
        if let Some(damaged) = self.subjects.iter().find_map(|s| s.damaged.as_ref()) {
            return Err(Error::Damaged(damaged.clone()));
        }
        let mut badge = Badge {
            rev: self.rev(),
            ..Badge::default()
        };
        for subject in &self.subjects {
            let Some(answer) = &subject.answer else {
                continue;
            };
            if space.is_some() && answer.space.as_ref() != space {
                continue;
            }
            badge.unread += answer.unread;
            badge.mentions += answer.mentions;
            badge.channels += u64::from(answer.unread > 0);
            match self.level(subject) {
                MuteLevel::None => {
                    badge.unmuted_unread += answer.unread;
                    badge.unmuted_mentions += answer.mentions;
                    badge.unmuted_channels += u64::from(answer.unread > 0);
                }
                MuteLevel::Mentions => {
                    badge.unmuted_mentions += answer.direct;
                    badge.unmuted_channels += u64::from(answer.direct > 0);
                }
                MuteLevel::All => {}
            }
        }
        Ok(badge)
    }

    pub(super) fn user(&self) -> &UserKey {
        &self.user
    }

    pub(super) fn asked(&self) -> &[ChannelKey] {
        &self.asked
    }

    /// The asked channels, those that the revision of these numbers takes in beyond `told`, and the
    /// parents of all that are threads, with their states: a parent shows the numbers of its threads.
    pub(super) fn changed_states(&self, told: Clock) -> Vec<(ChannelKey, ReadState)> {
        let threads = self.threads();
        let mut channels: BTreeSet<&ChannelKey> = self.asked.iter().collect();
        let news = self.subjects.iter().filter(|subject| {
            let answer = subject.answer.as_ref();
            // Of what can not be read it is not known whether it changed.
            subject.damaged.is_some() || answer.is_some_and(|answer| answer.changed > told)
        });
        channels.extend(news.map(|subject| &subject.channel));
        let parents = self.parents_of(&channels);
        channels.extend(parents);
        channels
            .into_iter()
            .filter(|channel| !self.is_damaged(channel))
            .map(|channel| (channel.clone(), self.state_of(channel, &threads)))
            .collect()
    }
}
