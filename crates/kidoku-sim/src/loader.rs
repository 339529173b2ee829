//! Answers loads from a plain list of facts, by folding the whole list each time.
//!
//! An implementation of its own, written from what [`Load`] and [`Loaded`] promise, so that a
//! store that answers otherwise is noticed.

use kidoku_core::clock::Clock;
use kidoku_core::effect::{ChannelData, Load, Loaded, ReceiptRow};
use kidoku_core::fact::{Fact, Floor, Incarnation, Merge, MessageRow, Settings, StateRow};
use kidoku_core::id::{ChannelKey, MessageId, Name, Position, UserKey};
use std::collections::{BTreeMap, BTreeSet};

/// Keeps of two incarnations the later, and merges inside one.
fn keep<K: Ord, T: Clone>(
    map: &mut BTreeMap<K, (Incarnation, T)>,
    key: K,
    incarnation: Incarnation,
    value: &T,
    merge: impl Fn(&mut T, &T),
) {
    let Some(known) = map.get_mut(&key) else {
        map.insert(key, (incarnation, value.clone()));
        return;
    };
    if incarnation > known.0 {
        *known = (incarnation, value.clone());
    } else if incarnation == known.0 {
        merge(&mut known.1, value);
    }
}

/// Facts by key, each key's facts merged into one.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    pub(crate) erased: BTreeMap<UserKey, Clock>,
    pub(crate) floors: BTreeMap<(UserKey, Option<Name>), (Incarnation, Floor)>,
    pub(crate) roles: BTreeMap<(UserKey, Name), (Incarnation, (Clock, bool))>,
    pub(crate) states: BTreeMap<(UserKey, ChannelKey), StateRow>,
    pub(crate) named: BTreeMap<(UserKey, ChannelKey, MessageId), Incarnation>,
    pub(crate) own: BTreeMap<(UserKey, ChannelKey, MessageId), Incarnation>,
    pub(crate) dropped: BTreeMap<ChannelKey, Clock>,
    pub(crate) settings: BTreeMap<ChannelKey, (Incarnation, Settings)>,
    pub(crate) trims: BTreeMap<ChannelKey, (Incarnation, (Position, Clock))>,
    pub(crate) messages: BTreeMap<(ChannelKey, MessageId), MessageRow>,
    pub(crate) texts: BTreeMap<(ChannelKey, Name), (Incarnation, MessageId)>,
}

impl Folded {
    pub(crate) fn fold(&mut self, fact: &Fact) {
        match fact {
            Fact::UserErased { user, clock } => {
                let known = self.erased.entry(user.clone()).or_default();
                *known = (*known).max(*clock);
            }
            Fact::Floor {
                user,
                space,
                incarnation,
                floor,
            } => {
                let key = (user.clone(), space.clone());
                keep(&mut self.floors, key, *incarnation, floor, Merge::merge);
            }
            Fact::Role {
                user,
                role,
                incarnation,
                clock,
                held,
            } => {
                let key = (user.clone(), role.clone());
                let merge = |known: &mut (Clock, bool), new: &(Clock, bool)| {
                    *known = (*known).max(*new);
                };
                keep(&mut self.roles, key, *incarnation, &(*clock, *held), merge);
            }
            Fact::State { user, channel, row } => {
                let known = self.states.entry((user.clone(), channel.clone()));
                known.and_modify(|known| known.merge(row)).or_insert(*row);
            }
            Fact::Mention {
                user,
                channel,
                incarnation,
                id,
            } => {
                let known = self
                    .named
                    .entry((user.clone(), channel.clone(), *id))
                    .or_default();
                *known = (*known).max(*incarnation);
            }
            Fact::Own {
                user,
                channel,
                incarnation,
                id,
            } => {
                let known = self
                    .own
                    .entry((user.clone(), channel.clone(), *id))
                    .or_default();
                *known = (*known).max(*incarnation);
            }
            Fact::ChannelDropped { .. }
            | Fact::Settings { .. }
            | Fact::Trim { .. }
            | Fact::Message { .. }
            | Fact::OpaqueId { .. } => self.fold_channel(fact),
        }
    }

    fn fold_channel(&mut self, fact: &Fact) {
        match fact {
            Fact::ChannelDropped { channel, clock } => {
                let known = self.dropped.entry(channel.clone()).or_default();
                *known = (*known).max(*clock);
            }
            Fact::Settings {
                channel,
                incarnation,
                settings,
            } => {
                keep(
                    &mut self.settings,
                    channel.clone(),
                    *incarnation,
                    settings,
                    Merge::merge,
                );
            }
            Fact::Trim {
                channel,
                incarnation,
                position,
                clock,
            } => {
                let merge = |known: &mut (Position, Clock), new: &(Position, Clock)| {
                    if new.0 > known.0 || (new.0 == known.0 && new.1 < known.1) {
                        *known = *new;
                    }
                };
                let value = (*position, *clock);
                keep(
                    &mut self.trims,
                    channel.clone(),
                    *incarnation,
                    &value,
                    merge,
                );
            }
            Fact::Message { channel, id, row } => {
                let known = self.messages.entry((channel.clone(), *id));
                known
                    .and_modify(|known| known.merge(row))
                    .or_insert_with(|| row.clone());
            }
            Fact::OpaqueId {
                channel,
                incarnation,
                text,
                id,
            } => {
                let key = (channel.clone(), text.clone());
                let merge = |known: &mut MessageId, new: &MessageId| *known = (*known).min(*new);
                keep(&mut self.texts, key, *incarnation, id, merge);
            }
            Fact::UserErased { .. }
            | Fact::Floor { .. }
            | Fact::Role { .. }
            | Fact::State { .. }
            | Fact::Mention { .. }
            | Fact::Own { .. } => {}
        }
    }

    pub(crate) fn erasure(&self, user: &UserKey) -> Clock {
        self.erased.get(user).copied().unwrap_or_default()
    }

    pub(crate) fn drop_clock(&self, channel: &ChannelKey) -> Clock {
        self.dropped.get(channel).copied().unwrap_or_default()
    }

    pub(crate) fn state(&self, user: &UserKey, channel: &ChannelKey) -> Option<&StateRow> {
        let row = self.states.get(&(user.clone(), channel.clone()))?;
        (row.incarnation >= self.erasure(user)).then_some(row)
    }

    /// Mentions and own messages of a user in a channel (or all of them) that are not stale.
    fn details(
        &self,
        user: &UserKey,
        wanted: impl Fn(&ChannelKey, MessageId) -> bool,
    ) -> Vec<Fact> {
        let current = |channel: &ChannelKey, incarnation: Incarnation| {
            let row = self
                .state(user, channel)
                .map(|row| row.incarnation)
                .unwrap_or_default();
            incarnation >= self.erasure(user).max(row)
        };
        let mut facts = Vec::new();
        for ((who, channel, id), incarnation) in &self.named {
            if who == user && wanted(channel, *id) && current(channel, *incarnation) {
                facts.push(Fact::Mention {
                    user: user.clone(),
                    channel: channel.clone(),
                    incarnation: *incarnation,
                    id: *id,
                });
            }
        }
        for ((who, channel, id), incarnation) in &self.own {
            if who == user && wanted(channel, *id) && current(channel, *incarnation) {
                facts.push(Fact::Own {
                    user: user.clone(),
                    channel: channel.clone(),
                    incarnation: *incarnation,
                    id: *id,
                });
            }
        }
        facts
    }

    fn user(&self, user: &UserKey) -> Vec<Fact> {
        let mut facts = Vec::new();
        let erasure = self.erasure(user);
        if erasure != Clock::NEVER {
            facts.push(Fact::UserErased {
                user: user.clone(),
                clock: erasure,
            });
        }
        for ((who, space), (incarnation, floor)) in &self.floors {
            if who == user && *incarnation >= erasure {
                facts.push(Fact::Floor {
                    user: user.clone(),
                    space: space.clone(),
                    incarnation: *incarnation,
                    floor: floor.clone(),
                });
            }
        }
        for ((who, role), (incarnation, (clock, held))) in &self.roles {
            if who == user && *incarnation >= erasure {
                facts.push(Fact::Role {
                    user: user.clone(),
                    role: role.clone(),
                    incarnation: *incarnation,
                    clock: *clock,
                    held: *held,
                });
            }
        }
        for ((who, channel), row) in &self.states {
            if who == user && row.incarnation >= erasure {
                facts.push(Fact::State {
                    user: user.clone(),
                    channel: channel.clone(),
                    row: *row,
                });
            }
        }
        facts.extend(self.details(user, |channel, id| {
            let row = self.state(user, channel).copied().unwrap_or_default();
            let join = row
                .membership
                .map(|membership| membership.from)
                .unwrap_or_default();
            row.cursor.position.max(join).is_before(id)
        }));
        facts
    }

    fn channel(&self, channel: &ChannelKey) -> ChannelData {
        let dropped = self.drop_clock(channel);
        let mut data = ChannelData {
            dropped,
            ..ChannelData::default()
        };
        for ((key, id), row) in &self.messages {
            if key != channel || row.incarnation < dropped {
                continue;
            }
            if let Some(posted) = &row.posted {
                data.tail = data.tail.max(id.position());
                if !row.deleted {
                    let list = if posted.silent {
                        &mut data.silent
                    } else {
                        &mut data.countable
                    };
                    list.push(*id);
                }
            }
            if row.deleted {
                data.deleted.push(*id);
            }
            let names = row
                .posted
                .as_ref()
                .is_some_and(|post| post.everyone || !post.roles.is_empty());
            if names || row.edit.is_some() {
                let (channel, row) = (channel.clone(), row.clone());
                data.facts.push(Fact::Message {
                    channel,
                    id: *id,
                    row,
                });
            }
        }
        data.facts.extend(self.channel_facts(channel));
        data
    }

    fn channel_facts(&self, channel: &ChannelKey) -> Vec<Fact> {
        let dropped = self.drop_clock(channel);
        let mut facts = Vec::new();
        if let Some((incarnation, settings)) = self.settings.get(channel)
            && *incarnation >= dropped
        {
            facts.push(Fact::Settings {
                channel: channel.clone(),
                incarnation: *incarnation,
                settings: settings.clone(),
            });
        }
        if let Some((incarnation, (position, clock))) = self.trims.get(channel)
            && *incarnation >= dropped
        {
            facts.push(Fact::Trim {
                channel: channel.clone(),
                incarnation: *incarnation,
                position: *position,
                clock: *clock,
            });
        }
        for ((key, text), (incarnation, id)) in &self.texts {
            if key == channel && *incarnation >= dropped {
                facts.push(Fact::OpaqueId {
                    channel: channel.clone(),
                    incarnation: *incarnation,
                    text: text.clone(),
                    id: *id,
                });
            }
        }
        facts
    }

    fn receipts(&self, channel: &ChannelKey, space: Option<&Name>) -> Vec<ReceiptRow> {
        let mut users: BTreeSet<&UserKey> = BTreeSet::new();
        for (user, key) in self.states.keys() {
            if key == channel && self.state(user, channel).is_some() {
                users.insert(user);
            }
        }
        for ((user, key, _), incarnation) in self.named.iter().chain(&self.own) {
            if key == channel && *incarnation >= self.erasure(user) {
                users.insert(user);
            }
        }
        let mut rows = Vec::new();
        for user in users {
            let row = self.state(user, channel).copied().unwrap_or_default();
            let mut public = row.public;
            for ((who, at), (incarnation, floor)) in &self.floors {
                let applies = at.is_none() || at.as_ref() == space;
                if who == user && applies && *incarnation >= self.erasure(user) {
                    public = public.max(floor.highest());
                }
            }
            let member = row.membership.is_some_and(|membership| membership.member);
            rows.push(ReceiptRow {
                user: user.clone(),
                member,
                public,
            });
        }
        rows
    }
}

/// What a store that was given `facts` answers to `load`.
pub fn answer(facts: &[Fact], load: &Load) -> Loaded {
    let mut folded = Folded::default();
    for fact in facts {
        folded.fold(fact);
    }
    match load {
        Load::User(user) => Loaded::Facts(folded.user(user)),
        Load::Detail {
            user,
            channel,
            above,
        } => {
            let mut facts = Vec::new();
            if let Some(row) = folded.state(user, channel) {
                let (user, channel) = (user.clone(), channel.clone());
                facts.push(Fact::State {
                    user,
                    channel,
                    row: *row,
                });
            }
            facts.extend(folded.details(user, |at, id| at == channel && above.is_before(id)));
            Loaded::Facts(facts)
        }
        Load::Channel(channel) => Loaded::Channel(Box::new(folded.channel(channel))),
        Load::Message { channel, id } => {
            let row = folded.messages.get(&(channel.clone(), *id));
            let row = row.filter(|row| row.incarnation >= folded.drop_clock(channel));
            let fact = row.map(|row| Fact::Message {
                channel: channel.clone(),
                id: *id,
                row: row.clone(),
            });
            Loaded::Facts(fact.into_iter().collect())
        }
        Load::Receipts { channel, space } => {
            Loaded::Receipts(folded.receipts(channel, space.as_ref()))
        }
    }
}
