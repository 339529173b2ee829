//! The numbers of a count, when all answers are in.

use super::{Counting, Purpose, Subject, cut_page};
use crate::clock::{Clock, Millis};
use crate::damaged::Damaged;
use crate::error::Error;
use crate::fact::MuteLevel;
use crate::id::{ChannelKey, Name};
use crate::reply::{Badge, ReadState, Reply};
use crate::request::Page;
use std::collections::{BTreeMap, BTreeSet};

/// Unread and mentions of the followed threads of each channel.
#[derive(Default)]
pub(super) struct Threads<'a> {
    sums: BTreeMap<&'a str, (u64, u64)>,
    /// Channels with a thread that can not be read.
    damaged: BTreeSet<&'a str>,
    /// What can not be read may be a thread of any channel.
    any_damaged: bool,
}

impl Threads<'_> {
    fn is_empty(&self) -> bool {
        self.sums.is_empty() && self.damaged.is_empty() && !self.any_damaged
    }

    /// Puts the sums of a channel's threads into its state.
    fn show(&self, channel: &str, state: &mut ReadState) {
        state.threads_damaged = self.any_damaged || self.damaged.contains(channel);
        if let Some((unread, mentions)) = self.sums.get(channel) {
            state.threads_unread = *unread;
            state.threads_mentions = *mentions;
        }
    }
}

impl Counting {
    /// A channel that can not be read, of which it is not known either whether it is a thread.
    pub(super) fn without_parent(&self) -> Option<&Damaged> {
        let damaged = self.subjects.iter().filter_map(|s| s.damaged.as_deref());
        damaged.into_iter().find(|damaged| damaged.parent.is_none())
    }

    /// Channels that can not be read.
    pub(in crate::shard) fn damaged_channels(&self) -> Vec<ChannelKey> {
        let damaged = self.subjects.iter().filter(|s| s.damaged.is_some());
        damaged.map(|subject| subject.channel.clone()).collect()
    }

    /// The answer; `None` when nobody has asked.
    pub(super) fn reply(&self) -> Result<Option<Reply>, Error> {
        let threads = self.threads();
        Ok(Some(match &self.purpose {
            Purpose::One => {
                let states = self.states(&threads)?;
                Reply::ReadState(Box::new(states.into_iter().next().unwrap_or_default()))
            }
            Purpose::Many => Reply::ReadStates(self.states(&threads)?),
            Purpose::State {
                since: None, next, ..
            } => self.page(&self.asked, next.clone(), &threads),
            Purpose::State {
                since: Some(since),
                page,
                ..
            } => self.since(*since, page, &threads),
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
        let state = |subject: &Subject| match &subject.damaged {
            Some(damaged) => Err(Error::Damaged(damaged.clone())),
            None => Ok(self.state_of(subject, threads)),
        };
        self.asked().map(state).collect()
    }

    /// A page of channels with their states, but for those that can not be read.
    fn page(&self, places: &[usize], next: Option<Name>, threads: &Threads<'_>) -> Reply {
        let mut channels = Vec::with_capacity(places.len());
        let mut damaged = Vec::new();
        for subject in places.iter().filter_map(|place| self.subjects.get(*place)) {
            let channel = subject.channel.clone();
            if subject.damaged.is_some() {
                damaged.push(channel);
            } else {
                channels.push((channel, self.state_of(subject, threads)));
            }
        }
        Reply::State {
            rev: self.rev(),
            channels,
            damaged,
            next,
        }
    }

    fn level(&self, subject: &Subject) -> MuteLevel {
        subject
            .preference
            .map_or(MuteLevel::None, |preference| preference.level_at(self.now))
    }

    pub(super) fn state_of(&self, subject: &Subject, threads: &Threads<'_>) -> ReadState {
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
            if !threads.is_empty() {
                threads.show(subject.channel.name(), &mut state);
            }
        }
        state
    }

    pub(super) fn threads(&self) -> Threads<'_> {
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
    pub(in crate::shard) fn rev(&self) -> Clock {
        let changed = self.subjects.iter().filter_map(|subject| {
            let answered = subject.answer.as_ref().map(|answer| answer.changed);
            answered.max(self.unmuted_at(subject))
        });
        changed
            .fold(self.user_changed, Clock::max)
            .min(self.evaluated)
    }

    /// When a mute ended by itself, which changes totals without a fact.
    pub(super) fn unmuted_at(&self, subject: &Subject) -> Option<Clock> {
        let until = subject.preference?.until;
        (until != Millis(0) && until <= self.now).then(|| Clock::at(until))
    }

    fn since(&self, since: Clock, page: &Page<Name>, threads: &Threads<'_>) -> Reply {
        let is_news = |subject: &Subject| {
            let answered = subject.answer.as_ref().map(|answer| answer.changed);
            let latest = answered.max(self.unmuted_at(subject)).unwrap_or_default();
            // Of what can not be read it is not known whether it changed, so it is told each time.
            latest > since || subject.damaged.is_some()
        };
        let mut places = self.asked_or(is_news);
        let name = |place: &usize| self.subjects.get(*place).map_or("", |s| s.channel.name());
        let next = cut_page(&mut places, page, name);
        self.page(&places, next, threads)
    }

    /// Places of the subjects that were asked for or for which something holds, and of the parents of
    /// those that are threads, as a parent shows the numbers of its threads.
    fn asked_or(&self, holds: impl Fn(&Subject) -> bool) -> Vec<usize> {
        let mut told: Vec<bool> = self.subjects.iter().map(holds).collect();
        for place in &self.asked {
            if let Some(told) = told.get_mut(*place) {
                *told = true;
            }
        }
        self.add_parents(&mut told);
        let places = told.iter().enumerate().filter(|(_, told)| **told);
        places.map(|(place, _)| place).collect()
    }

    /// The totals. There are none while one of the channels can not be read: which share of them it
    /// has is not known, nor even its space.
    pub(in crate::shard) fn badge(&self, space: Option<&Name>) -> Result<Badge, Error> {
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

    /// The asked channels, those that the revision of these numbers takes in beyond `told`, and the
    /// parents of all that are threads, with their states: a parent shows the numbers of its threads.
    pub(in crate::shard) fn changed_states(&self, told: Clock) -> Vec<(ChannelKey, ReadState)> {
        let threads = self.threads();
        // Of what can not be read it is not known whether it changed.
        let places = self.asked_or(|subject| {
            let answer = subject.answer.as_ref();
            subject.damaged.is_some() || answer.is_some_and(|answer| answer.changed > told)
        });
        let subjects = places.iter().filter_map(|place| self.subjects.get(*place));
        let sound = subjects.filter(|subject| subject.damaged.is_none());
        let state = |subject: &Subject| (subject.channel.clone(), self.state_of(subject, &threads));
        sound.map(state).collect()
    }
}
