//! Answers beside damaged rows: an error for who needs one, which names it, and for everybody else
//! what would be answered without.
//!
//! Rows rot while a process is down, so whatever it loads it finds damaged, from its start on.

use super::check::{Answer, compare, is_failure};
use super::rot::{About, Damage, Meets};
use super::run::World;
use crate::model::Model;
use kidoku_core::clock::Millis;
use kidoku_core::error::Error;
use kidoku_core::fact::Partition;
use kidoku_core::id::{ChannelKey, UserKey};
use kidoku_core::reply::{Event, ReadState, Reply};
use kidoku_core::request::Request;
use std::collections::BTreeSet;

/// What is due to a request beside damage.
#[derive(Debug)]
pub(super) struct Due {
    /// The answer; `None` where it is not modelled. What is damaged is left out of it.
    answer: Option<Answer>,
    /// Whom an error has to name one of, when there is one.
    named: BTreeSet<Partition>,
    /// Whether there is one.
    refused: Meets,
    /// Something was left out.
    partial: bool,
}

/// A request, and what the model knew before and after it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) now: Millis,
    pub(super) before: &'a Model,
    pub(super) after: &'a Model,
    pub(super) request: &'a Request,
}

impl Due {
    fn refuse(&mut self, named: impl IntoIterator<Item = Partition>) {
        let before = self.named.len();
        self.named.extend(named);
        if self.named.len() > before {
            self.refused = Meets::Must;
        }
    }

    fn may_refuse(&mut self, named: impl IntoIterator<Item = Partition>) {
        let before = self.named.len();
        self.named.extend(named);
        if self.named.len() > before && self.refused == Meets::Not {
            self.refused = Meets::May;
        }
    }

    /// Compares with what came. True = it is the error that is due.
    pub(super) fn check(self, request: &Request, came: &Answer) -> Result<bool, String> {
        if let Err(Error::Damaged(damaged)) = came {
            if self.named.contains(&damaged.owner) {
                return Ok(true);
            }
            return Err(format!(
                "{request:?} is refused and needs no damaged row but of {:?}: {damaged:?}",
                self.named
            ));
        }
        if self.refused == Meets::Must {
            return Err(format!(
                "{request:?} needs {:?}, of which a row is damaged, and answers {came:?}",
                self.named
            ));
        }
        match self.answer {
            Some(due) => compare(request, due, came).map(|()| false),
            None => Ok(false),
        }
    }
}

impl Damage {
    /// What is due to a request, of which the model says `answer`.
    pub(super) fn due(
        &self,
        asked: Asked<'_>,
        answer: Option<Answer>,
        said: impl Fn(&UserKey, &ChannelKey) -> bool,
    ) -> Due {
        let mut due = Due {
            answer,
            named: BTreeSet::new(),
            refused: Meets::Not,
            partial: false,
        };
        due.refuse(self.hits(&About::needed(asked.request)));
        self.writes(asked, &mut due);
        self.receipts(asked, &mut due, said);
        if let Some(Ok(mut reply)) = due.answer.take() {
            self.counts(asked, &mut reply, &mut due);
            due.answer = Some(Ok(reply));
        }
        due
    }

    /// Whom a change needs beyond those that it can not begin without.
    fn writes(&self, asked: Asked<'_>, due: &mut Due) {
        match asked.request {
            // Where somebody is joined who was not there.
            Request::Mute { user, channel, .. } if !asked.before.is_member(user, channel) => {
                due.refuse(self.hits(&About::channels([channel])));
            }
            Request::Leave { channel, users } => {
                for user in users {
                    due.refuse(self.may_be_threads(asked.before, user, channel));
                }
            }
            Request::Follow {
                user,
                thread,
                on: false,
            } => due.refuse(self.may_be_threads(asked.before, user, thread)),
            Request::Edit { mentions, .. } => {
                let named = self.hits(&About::users(&mentions.users));
                // The edit in force is told again, an older one is not.
                if due.answer == Some(Ok(Reply::Number(1))) {
                    due.refuse(named);
                } else {
                    due.may_refuse(named);
                }
            }
            Request::Erase { user } => {
                let channels = asked.before.wrote_in(user);
                due.refuse(self.hits(&About::channels(&channels)));
            }
            _ => {}
        }
    }

    /// A leave takes threads along, so it has to know which they are.
    fn may_be_threads(&self, model: &Model, user: &UserKey, left: &ChannelKey) -> Vec<Partition> {
        if !model.is_member(user, left) {
            return Vec::new();
        }
        let channels = self.without_parent(model, user).into_iter();
        channels.map(Partition::Channel).collect()
    }

    fn receipts(
        &self,
        asked: Asked<'_>,
        due: &mut Due,
        said: impl Fn(&UserKey, &ChannelKey) -> bool,
    ) {
        let (channel, space) = match asked.request {
            // What is hidden is not looked at.
            Request::Seen { channel, .. } if !matches!(due.answer, Some(Err(_))) => {
                (channel, asked.before.space_of(channel))
            }
            Request::Drop { channel } => (channel, None),
            _ => return,
        };
        let there = |user: &UserKey| said(user, channel);
        let mut named = vec![Partition::Channel(channel.clone())];
        let meets = self.readers(asked.before, channel, space, there);
        if matches!(asked.request, Request::Drop { .. }) {
            // It says of whom; and somebody may be being loaded for another reason.
            let users = self.users.iter().filter(|user| there(user));
            let users: Vec<Partition> = users.cloned().map(Partition::User).collect();
            named.extend(users.iter().cloned());
            due.may_refuse(users);
        }
        match meets {
            Meets::Must => due.refuse(named),
            Meets::May => due.may_refuse(named),
            Meets::Not => {}
        }
    }

    /// Takes what is damaged out of numbers.
    fn counts(&self, asked: Asked<'_>, reply: &mut Reply, due: &mut Due) {
        match (asked.request, reply) {
            (
                Request::Ack { user, channel, .. } | Request::MarkUnread { user, channel, .. },
                Reply::ReadState(state),
            ) => self.one(asked, user, (channel, state), due),
            (Request::Count { user, channels }, Reply::ReadStates(states)) => {
                for place in channels.iter().zip(states) {
                    self.one(asked, user, place, due);
                }
            }
            (Request::Explain { user, channel, .. }, Reply::Explanation(explanation)) => {
                self.one(asked, user, (channel, &mut explanation.state), due);
            }
            (
                Request::State { user, .. },
                Reply::State {
                    channels, damaged, ..
                },
            ) => {
                for (channel, state) in &mut *channels {
                    if self.channels.contains_key(channel) {
                        due.partial = true;
                        damaged.push(channel.clone());
                    } else {
                        self.one(asked, user, (channel, state), due);
                    }
                }
                channels.retain(|(channel, _)| !self.channels.contains_key(channel));
            }
            (Request::Badge { user, .. } | Request::AckAll { user, .. }, Reply::Badge(_)) => {
                due.refuse(self.hits(&About::channels(&asked.after.joined(user))));
            }
            _ => {}
        }
    }

    fn one(
        &self,
        asked: Asked<'_>,
        user: &UserKey,
        (channel, state): (&ChannelKey, &mut ReadState),
        due: &mut Due,
    ) {
        if !state.member {
            return;
        }
        due.refuse(self.hits(&About::channels([channel])));
        for thread in asked.after.threads(channel) {
            if self.channels.contains_key(&thread) {
                let hidden = asked.after.read_state(asked.now, user, &thread);
                state.threads_unread -= hidden.unread;
                state.threads_mentions -= hidden.mentions;
            }
        }
        let is_member = |thread: &ChannelKey| asked.after.is_member(user, thread);
        state.threads_damaged =
            self.hides_threads(channel, is_member, |thread| asked.after.parent_of(thread));
        due.partial |= state.threads_damaged;
    }
}

impl World {
    /// Every answer: none is an error without a reason, and an error for damage names some of it that
    /// the request may need.
    pub(super) fn check_refusal(
        &mut self,
        damage: &Damage,
        id: u64,
        came: &Answer,
    ) -> Result<(), String> {
        let Some(request) = self.calls.get(&id).map(|call| call.request.clone()) else {
            return Ok(());
        };
        match came {
            Err(Error::Storage) if self.plan.store.read == 0 => {
                Err(format!("{request:?} is refused, and the store can be read"))
            }
            Err(Error::Damaged(damaged)) => {
                if !self.may_name(damage, &request, &damaged.owner) {
                    return Err(format!(
                        "{request:?} is refused, and needs no damaged row of {damaged:?}"
                    ));
                }
                self.totals.refused_for_rot += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// With one request at a time: exactly the error, or exactly the numbers, that are due.
    pub(super) fn check_beside(
        &mut self,
        damage: &Damage,
        request: &Request,
        came: &Answer,
    ) -> Result<(), String> {
        if *came == Err(Error::Storage) {
            self.checks.is_not_sure();
            return Ok(());
        }
        let before = &self.checks.model;
        let mut after = before.clone();
        let answer = after.apply(self.now, request);
        let asked = Asked {
            now: self.now,
            before,
            after: &after,
            request,
        };
        let due = damage.due(asked, answer, |user, channel| self.has_said(user, channel));
        let partial = due.partial;
        if due.check(request, came)? {
            // What it did in spite of that is read from the facts.
            self.checks.is_not_sure();
            return Ok(());
        }
        self.checks.model = after;
        self.totals.replies_checked += 1;
        self.totals.answers_beside_rot += 1;
        self.totals.answers_in_part += u64::from(partial);
        Ok(())
    }

    /// Of requests that overlap, what is sure all the same: without those whom it needs nothing is
    /// answered.
    pub(super) fn check_needed(
        &mut self,
        damage: &Damage,
        request: &Request,
        came: &Answer,
    ) -> Result<(), String> {
        let hits = damage.hits(&About::needed(request));
        if is_failure(came) || hits.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{request:?} needs {hits:?}, of which a row is damaged, and answers {came:?}"
        ))
    }

    /// At rest: as with one request at a time.
    pub(super) fn check_at_rest(
        &mut self,
        damage: &Damage,
        model: &Model,
        (question, answer): (&Request, Option<Answer>),
        came: &Answer,
    ) -> Result<(), String> {
        let asked = Asked {
            now: self.now,
            before: model,
            after: model,
            request: question,
        };
        let due = damage.due(asked, answer, |user, channel| self.has_said(user, channel));
        let partial = due.partial;
        let refused = due.check(question, came)?;
        if !damage.is_none() && !refused {
            self.totals.answers_beside_rot += 1;
            self.totals.answers_in_part += u64::from(partial);
        }
        Ok(())
    }

    /// An event leaves out what is damaged, says so, and has no totals then.
    pub(super) fn check_event_beside(&self, event: &Event) -> Result<(), String> {
        let damage = self.damage();
        if damage.users.contains(&event.user) {
            return Err("nothing can be said of its user".to_owned());
        }
        let sound = |channel: &&ChannelKey| !damage.channels.contains_key(*channel);
        if let Some(channel) = event.damaged.iter().find(sound) {
            return Err(format!("{channel:?} is not damaged"));
        }
        if event.badge.is_some() != event.damaged.is_empty() {
            return Err("there are totals if and only if nothing is damaged".to_owned());
        }
        let mut states = event.channels.iter();
        match states.find(|(channel, state)| state.member && !sound(&channel)) {
            Some((channel, _)) => Err(format!("nothing can be said of {channel:?}")),
            None => Ok(()),
        }
    }
}
