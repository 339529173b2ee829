//! Replies of requests that overlap: each has to be what brute force counts from facts, of which every
//! owner's are taken as they stood at one moment between the request and its reply.
//!
//! A user's side is taken first and then each channel's; nothing promises that they are of one moment.
//! So a reply is explained when there is a moment of the user and, for every channel, a moment not before
//! it, with exactly these numbers. What had been said before the request came is in all of them: a reply
//! from before an acknowledged write is explained by none. Of badges, which add channels up, each number
//! is held between the least and the most that the moments allow.
//!
//! Two things are known beside their owner, and get there by messages that a write waits for: whose
//! thread a channel is, and how far others have read. Of them moments count from the beginning of the
//! oldest write that was under way when the request came.

use super::check::{Answer, is_failure};
use super::process::Process;
use super::rot::Damage;
use super::run::World;
use crate::model::Model;
use crate::workload;
use kidoku_core::clock::Millis;
use kidoku_core::fact::{Fact, MuteLevel, Partition};
use kidoku_core::id::{ChannelKey, MessageId, Name, UserKey};
use kidoku_core::reply::{Badge, Explanation, ReadState, Reply};
use kidoku_core::request::{Page, Request};
use std::collections::BTreeSet;

/// What an owner knew, and while how many facts had been emitted.
struct Side {
    model: Model,
    first: usize,
    last: usize,
}

/// Everything an owner knew between two moments.
fn sides(life: &Process, of: &Partition, from: usize, to: usize) -> Vec<Side> {
    let is_of = |fact: &&Fact| fact.partition() == *of;
    let before = life.emitted.get(..from).unwrap_or_default();
    let mut facts: Vec<&Fact> = life.base.iter().chain(before).filter(is_of).collect();
    let mut sides = Vec::new();
    let mut first = from;
    for (at, fact) in life.emitted.iter().enumerate().take(to).skip(from) {
        if is_of(&fact) {
            sides.push(Side {
                model: Model::of_facts(facts.iter().copied()),
                first,
                last: at,
            });
            facts.push(fact);
            first = at + 1;
        }
    }
    sides.push(Side {
        model: Model::of_facts(facts),
        first,
        last: to,
    });
    sides
}

/// A channel between a request and its reply.
struct Place {
    channel: ChannelKey,
    sides: Vec<Side>,
    /// The same from the oldest write on that was under way.
    known: Vec<Side>,
}

/// What a reply is explained by.
struct Moments<'a> {
    now: Millis,
    user: &'a UserKey,
    users: Vec<Side>,
    places: Vec<Place>,
    damage: &'a Damage,
}

/// When a request came, when its reply was given, and when the oldest write began that was under
/// way when it came; counted in facts emitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) begun: usize,
    pub(super) known: usize,
    pub(super) answered: usize,
}

fn places(life: &Process, span: Span) -> Vec<Place> {
    let place = |channel: ChannelKey| {
        let of = Partition::Channel(channel.clone());
        Place {
            channel,
            sides: sides(life, &of, span.begun, span.answered),
            known: sides(life, &of, span.known, span.answered),
        }
    };
    workload::channels().into_iter().map(place).collect()
}

/// Without its threads' numbers, and without a mute that ends by itself.
fn plain(state: &ReadState, timed: bool) -> ReadState {
    let mut state = state.clone();
    (state.threads_unread, state.threads_mentions) = (0, 0);
    state.threads_damaged = false;
    if timed {
        state.muted = MuteLevel::None;
    }
    state
}

fn numbers(badge: &Badge, timed: bool) -> [u64; 6] {
    let unmuted = if timed {
        [0; 3]
    } else {
        [
            badge.unmuted_unread,
            badge.unmuted_mentions,
            badge.unmuted_channels,
        ]
    };
    let [unread, mentions, channels] = unmuted;
    [
        badge.unread,
        badge.mentions,
        badge.channels,
        unread,
        mentions,
        channels,
    ]
}

impl Moments<'_> {
    /// Some moment of the user explains it.
    fn any(&self, explains: impl Fn(&Side) -> bool) -> bool {
        self.users.iter().any(explains)
    }

    fn place(&self, channel: &ChannelKey) -> Option<&Place> {
        self.places.iter().find(|place| place.channel == *channel)
    }

    /// What is counted with the user as of `user`, at every moment of a channel from there on.
    fn with<'m>(&self, user: &'m Side, sides: &'m [Side]) -> impl Iterator<Item = Model> + use<'m> {
        let sides = sides.iter().filter(|side| user.first <= side.last);
        sides.map(|side| user.model.beside(&side.model))
    }

    fn explains_state(&self, user: &Side, channel: &ChannelKey, came: &ReadState) -> bool {
        let Some(place) = self.place(channel) else {
            return false;
        };
        if self.is_hidden(user, channel) {
            return false;
        }
        let timed = user.model.mute_ends(self.user, channel).is_some();
        let due = plain(came, timed);
        let is_due =
            |model: Model| plain(&model.read_state(self.now, self.user, channel), timed) == due;
        self.with(user, &place.sides).any(is_due) && self.explains_threads(user, channel, came)
    }

    /// Nothing can be said of the user in the channel, for damage.
    fn is_hidden(&self, user: &Side, channel: &ChannelKey) -> bool {
        self.damage.channels.contains_key(channel) && user.model.is_member(self.user, channel)
    }

    /// Some of the threads can not be read. Settings of what is damaged stay as they are.
    fn hides_threads(&self, user: &Side, channel: &ChannelKey) -> bool {
        let is_member = |thread: &ChannelKey| user.model.is_member(self.user, thread);
        self.damage.hides_threads(channel, is_member, |thread| {
            let side = self.place(thread)?.sides.first()?;
            side.model.parent_of(thread)
        })
    }

    /// The sums over threads: each thread at a moment of its own.
    fn explains_threads(&self, user: &Side, parent: &ChannelKey, came: &ReadState) -> bool {
        let mut sums = BTreeSet::from([(0, 0)]);
        if !came.member {
            return (came.threads_unread, came.threads_mentions) == (0, 0) && !came.threads_damaged;
        }
        if self.hides_threads(user, parent) != came.threads_damaged {
            return false;
        }
        for place in self.places.iter().filter(|place| place.channel != *parent) {
            let mut parts = BTreeSet::new();
            for model in self.with(user, &place.sides) {
                let is_thread = model.parent_of(&place.channel) == Some(parent.name());
                if is_thread && !self.is_hidden(user, &place.channel) {
                    let state = model.read_state(self.now, self.user, &place.channel);
                    parts.insert((state.unread, state.mentions));
                }
            }
            // What the user's shard knows of it may be older than the user's moment.
            let mut known = place.known.iter();
            if self.is_hidden(user, &place.channel)
                || known.any(|side| side.model.parent_of(&place.channel) != Some(parent.name()))
            {
                parts.insert((0, 0));
            }
            let with_part = |sum: &(u64, u64)| {
                let sum = *sum;
                let added = parts
                    .iter()
                    .map(move |part| (sum.0 + part.0, sum.1 + part.1));
                added.collect::<Vec<_>>()
            };
            sums = sums.iter().flat_map(with_part).collect();
        }
        sums.contains(&(came.threads_unread, came.threads_mentions))
    }

    fn explains_states(&self, channels: &[ChannelKey], came: &[ReadState]) -> bool {
        self.any(|user| {
            let mut pairs = channels.iter().zip(came);
            pairs.all(|(channel, state)| self.explains_state(user, channel, state))
        })
    }

    fn explains_listing(
        &self,
        page: &Page<Name>,
        (came, damaged): (&[(ChannelKey, ReadState)], &[ChannelKey]),
        next: Option<&Name>,
    ) -> bool {
        self.any(|user| {
            let due = user.model.state(self.now, self.user, page);
            let Reply::State {
                channels,
                next: due,
                ..
            } = due
            else {
                return false;
            };
            let names = channels.iter().map(|(channel, _)| channel);
            let (hidden, names): (Vec<_>, Vec<_>) =
                names.partition(|channel| self.is_hidden(user, channel));
            let mut pairs = came.iter();
            hidden.into_iter().eq(damaged)
                && names
                    .into_iter()
                    .eq(came.iter().map(|(channel, _)| channel))
                && due.as_ref() == next
                && pairs.all(|(channel, state)| self.explains_state(user, channel, state))
        })
    }

    fn explains_badge(&self, space: Option<&Name>, came: &Badge) -> bool {
        self.any(|user| {
            let mut joined = self.places.iter().map(|place| &place.channel);
            if joined.any(|channel| self.is_hidden(user, channel)) {
                return false;
            }
            let mut timed = self.places.iter().map(|place| &place.channel);
            let timed = timed.any(|channel| user.model.mute_ends(self.user, channel).is_some());
            let (mut least, mut most) = ([0; 6], [0; 6]);
            for place in &self.places {
                let badges = self.with(user, &place.sides);
                let badges = badges.map(|model| model.badge(self.now, self.user, space));
                let (mut low, mut high) = ([u64::MAX; 6], [0; 6]);
                for badge in badges {
                    let numbers = numbers(&badge, timed);
                    for at in 0..numbers.len() {
                        low[at] = low[at].min(numbers[at]);
                        high[at] = high[at].max(numbers[at]);
                    }
                }
                for at in 0..low.len() {
                    least[at] += low[at];
                    most[at] += high[at];
                }
            }
            let came = numbers(came, timed);
            (0..came.len()).all(|at| least[at] <= came[at] && came[at] <= most[at])
        })
    }

    fn explains_explanation(
        &self,
        channel: &ChannelKey,
        page: &Page<MessageId>,
        came: &Explanation,
    ) -> bool {
        let Some(place) = self.place(channel) else {
            return false;
        };
        self.any(|user| {
            let timed = user.model.mute_ends(self.user, channel).is_some();
            let is_due = |model: Model| {
                let mut due = model.explain(self.now, self.user, channel, page);
                let mut came = came.clone();
                due.set_at = came.set_at;
                if !due.state.member {
                    due.line = came.line;
                    due.part = came.part;
                    due.floor = came.floor;
                    due.join = came.join;
                    due.trim = came.trim;
                }
                due.state = plain(&due.state, timed);
                came.state = plain(&came.state, timed);
                due == came
            };
            !self.is_hidden(user, channel)
                && self.with(user, &place.sides).any(is_due)
                && self.explains_threads(user, channel, &came.state)
        })
    }
}

/// Who has read a message: at one moment of the channel, and at moments of each user of their own.
fn explains_receipts(
    life: &Process,
    span: Span,
    (channel, id, list): (&ChannelKey, MessageId, Option<&Page<Name>>),
    came: &Answer,
) -> bool {
    let of = Partition::Channel(channel.clone());
    let users: Vec<(UserKey, Vec<Side>)> = workload::users()
        .into_iter()
        .map(|user| {
            let of = Partition::User(user.clone());
            let known = sides(life, &of, span.known, span.answered);
            (user, known)
        })
        .collect();
    let explains = |place: &Side| {
        let due = place.model.seen(channel, id, list);
        let (count, members, listed, next) = match (&due, came) {
            (
                Ok(_),
                Ok(Reply::Seen {
                    count,
                    members,
                    users,
                    next,
                }),
            ) => (*count, *members, users.as_ref(), next),
            (due, came) => return due == came,
        };
        let (mut read, mut joined) = ([0, 0], [0, 0]);
        let mut list_fits = true;
        for (user, sides) in &users {
            let (mut reads, mut joins) = (BTreeSet::new(), BTreeSet::new());
            for side in sides {
                let model = side.model.beside(&place.model);
                if let Ok(Reply::Seen { count, members, .. }) = model.seen(channel, id, None) {
                    reads.insert(count);
                    joins.insert(members);
                }
            }
            for (sum, set) in [(&mut read, &reads), (&mut joined, &joins)] {
                sum[0] += set.first().copied().unwrap_or_default();
                sum[1] += set.last().copied().unwrap_or_default();
            }
            if let (Some(listed), Some(page)) = (listed, list) {
                let is_listed = listed.contains(user);
                let before = page.after.as_ref();
                let in_page = before.is_none_or(|after| user.name() > after.as_str())
                    && next
                        .as_ref()
                        .is_none_or(|next| user.name() <= next.as_str());
                let may = reads.contains(&1) && in_page;
                let must = !reads.contains(&0) && in_page;
                list_fits &= if is_listed { may } else { !must };
            }
        }
        let within = |sum: [u64; 2], number: u64| sum[0] <= number && number <= sum[1];
        within(read, count) && within(joined, members) && list_fits
    };
    let places = sides(life, &of, span.begun, span.answered);
    places.iter().any(explains)
}

impl World {
    /// Of requests that overlap: the answer is one that some moments explain.
    pub(super) fn check_overlapping(
        &mut self,
        damage: &Damage,
        request: &Request,
        span: Span,
        came: &Answer,
    ) -> Result<(), String> {
        let Some(life) = self.lives.first().and_then(Option::as_ref) else {
            return Ok(());
        };
        if is_failure(came) {
            return Ok(());
        }
        let is_explained = match request {
            Request::Seen { channel, id, list } => {
                let asked = (channel, *id, list.as_ref());
                explains_receipts(life, span, asked, came)
            }
            Request::Ack { user, .. }
            | Request::AckAll { user, .. }
            | Request::MarkUnread { user, .. }
            | Request::Count { user, .. }
            | Request::State { user, .. }
            | Request::Badge { user, .. }
            | Request::Explain { user, .. } => {
                let of = Partition::User(user.clone());
                let moments = Moments {
                    now: self.now,
                    user,
                    users: sides(life, &of, span.begun, span.answered),
                    places: places(life, span),
                    damage,
                };
                match (request, came) {
                    (
                        Request::Ack { channel, .. } | Request::MarkUnread { channel, .. },
                        Ok(Reply::ReadState(state)),
                    ) => moments.any(|user| moments.explains_state(user, channel, state)),
                    (Request::Count { channels, .. }, Ok(Reply::ReadStates(states))) => {
                        moments.explains_states(channels, states)
                    }
                    (
                        Request::State {
                            since: None, page, ..
                        },
                        Ok(Reply::State {
                            channels,
                            damaged,
                            next,
                            ..
                        }),
                    ) => moments.explains_listing(page, (channels, damaged), next.as_ref()),
                    (Request::Badge { space, .. }, Ok(Reply::Badge(badge))) => {
                        moments.explains_badge(space.as_ref(), badge)
                    }
                    (Request::AckAll { .. }, Ok(Reply::Badge(badge))) => {
                        moments.explains_badge(None, badge)
                    }
                    (Request::Explain { channel, page, .. }, Ok(Reply::Explanation(explained))) => {
                        moments.explains_explanation(channel, page, explained)
                    }
                    (_, _) => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        self.totals.replies_explained += 1;
        self.totals.answers_beside_rot += u64::from(!damage.is_none());
        if is_explained {
            return Ok(());
        }
        Err(format!(
            "no moments within {span:?} explain the reply to {request:?}\n  came {came:?}"
        ))
    }
}
