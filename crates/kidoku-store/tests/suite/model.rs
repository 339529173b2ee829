//! What loads must answer, by brute force over all facts ever seen: a plain map and plain filters,
//! nothing of the store's own code.

use kidoku_core::clock::Clock;
use kidoku_core::effect::{ChannelData, Load, Loaded, ReceiptRow};
use kidoku_core::fact::{Fact, Merge, Partition, StateRow, Value};
use kidoku_core::id::{App, ChannelKey, Name, Position, UserKey};
use std::collections::BTreeMap;

pub(crate) struct Model {
    live: Vec<(Partition, Fact)>,
    erased: BTreeMap<Partition, Clock>,
}

impl Model {
    pub(crate) fn of(facts: &[Fact]) -> Self {
        let mut merged: BTreeMap<String, (Fact, Value)> = BTreeMap::new();
        for fact in facts {
            let value = fact.value();
            merged
                .entry(format!("{:?}", fact.key()))
                .and_modify(|(_, known)| known.merge(&value))
                .or_insert_with(|| (fact.clone(), value.clone()));
        }
        let merged: Vec<Fact> = merged
            .into_values()
            .map(|(fact, value)| Fact::join(fact.key(), value).unwrap())
            .collect();
        let mut erased = BTreeMap::new();
        let mut states = BTreeMap::new();
        for fact in &merged {
            match fact {
                Fact::UserErased { clock, .. } | Fact::ChannelDropped { clock, .. } => {
                    erased.insert(fact.partition(), *clock);
                }
                Fact::State { user, channel, row } => {
                    states.insert((user.clone(), channel.clone()), row.incarnation);
                }
                _ => {}
            }
        }
        let is_live = |fact: &Fact| {
            let state = match fact {
                Fact::Mention { user, channel, .. } | Fact::Own { user, channel, .. } => states
                    .get(&(user.clone(), channel.clone()))
                    .copied()
                    .unwrap_or_default(),
                _ => Clock::NEVER,
            };
            let erased = erased.get(&fact.partition()).copied().unwrap_or_default();
            fact.incarnation() >= erased.max(state)
        };
        let live = merged.into_iter().filter(is_live);
        Self {
            live: live.map(|fact| (fact.partition(), fact)).collect(),
            erased,
        }
    }

    /// The live facts of an app, in no order.
    pub(crate) fn live(&self, app: &App) -> Vec<Fact> {
        let of_app = |partition: &Partition| match partition {
            Partition::User(user) => user.app() == *app,
            Partition::Channel(channel) => channel.app() == *app,
        };
        let live = self.live.iter().filter(|(partition, _)| of_app(partition));
        live.map(|(_, fact)| fact.clone()).collect()
    }

    fn live_of(&self, wanted: &Partition) -> Vec<Fact> {
        let live = self
            .live
            .iter()
            .filter(|(partition, _)| partition == wanted);
        live.map(|(_, fact)| fact.clone()).collect()
    }

    fn marks_above(facts: &[Fact], above: impl Fn(&ChannelKey) -> Position) -> Vec<Fact> {
        let above = |fact: &&Fact| match fact {
            Fact::Mention { channel, id, .. } | Fact::Own { channel, id, .. } => {
                id.get() > above(channel).0
            }
            _ => false,
        };
        facts.iter().filter(above).cloned().collect()
    }

    pub(crate) fn load(&self, load: &Load) -> Loaded {
        match load {
            Load::User(user) => {
                let facts = self.live_of(&Partition::User(user.clone()));
                let live_states: Vec<(ChannelKey, StateRow)> = facts
                    .iter()
                    .filter_map(|fact| match fact {
                        Fact::State { channel, row, .. } => Some((channel.clone(), *row)),
                        _ => None,
                    })
                    .collect();
                let line = |channel: &ChannelKey| {
                    let row = live_states.iter().find(|(of, _)| of == channel);
                    let row = row.map(|(_, row)| *row).unwrap_or_default();
                    row.cursor
                        .position
                        .max(row.membership.unwrap_or_default().from)
                };
                let marks = Self::marks_above(&facts, line);
                let is_mark = |fact: &Fact| {
                    matches!(fact, Fact::Mention { .. } | Fact::Own { .. })
                        || matches!(
                            fact,
                            Fact::UserErased {
                                clock: Clock::NEVER,
                                ..
                            }
                        )
                };
                let rest = facts.into_iter().filter(|fact| !is_mark(fact));
                Loaded::Facts(rest.chain(marks).collect())
            }
            Load::Detail {
                user,
                channel: wanted,
                above,
            } => {
                let facts = self.live_of(&Partition::User(user.clone()));
                let of_channel = facts.into_iter().filter(|fact| match fact {
                    Fact::State { channel, .. } => channel == wanted,
                    Fact::Mention { channel, id, .. } | Fact::Own { channel, id, .. } => {
                        channel == wanted && id.get() > above.0
                    }
                    _ => false,
                });
                Loaded::Facts(of_channel.collect())
            }
            Load::Channel(channel) => Loaded::Channel(Box::new(self.load_channel(channel))),
            Load::Message {
                channel,
                id: wanted,
            } => {
                let facts = self
                    .live_of(&Partition::Channel(channel.clone()))
                    .into_iter();
                let is_it = |fact: &Fact| matches!(fact, Fact::Message { id, .. } if id == wanted);
                Loaded::Facts(facts.filter(is_it).collect())
            }
            Load::Receipts { channel, space } => {
                Loaded::Receipts(self.load_receipts(channel, space.as_ref()))
            }
        }
    }

    fn load_channel(&self, channel: &ChannelKey) -> ChannelData {
        let partition = Partition::Channel(channel.clone());
        let mut data = ChannelData {
            dropped: self.erased.get(&partition).copied().unwrap_or_default(),
            ..ChannelData::default()
        };
        for fact in self.live_of(&partition) {
            let Fact::Message { id, row, .. } = &fact else {
                if !matches!(fact, Fact::ChannelDropped { .. }) {
                    data.facts.push(fact);
                }
                continue;
            };
            let posted = row.posted.clone();
            if posted.is_some() && data.tail.0 < id.get() {
                data.tail = id.position();
            }
            let list = match (row.deleted, &posted) {
                (true, _) => Some(&mut data.deleted),
                (false, Some(posted)) if posted.silent => Some(&mut data.silent),
                (false, Some(_)) => Some(&mut data.countable),
                (false, None) => None,
            };
            list.into_iter().for_each(|list| list.push(*id));
            let posted = posted.unwrap_or_default();
            if posted.everyone || !posted.roles.is_empty() || row.edit.is_some() {
                data.facts.push(fact);
            }
        }
        for list in [&mut data.countable, &mut data.silent, &mut data.deleted] {
            list.sort_unstable();
        }
        data
    }

    fn load_receipts(&self, of: &ChannelKey, of_space: Option<&Name>) -> Vec<ReceiptRow> {
        let mut rows: BTreeMap<UserKey, StateRow> = BTreeMap::new();
        for fact in self.live(&of.app()) {
            match fact {
                Fact::State { user, channel, row } if channel == *of => {
                    rows.insert(user, row);
                }
                Fact::Mention { user, channel, .. } | Fact::Own { user, channel, .. }
                    if channel == *of =>
                {
                    rows.entry(user).or_default();
                }
                _ => {}
            }
        }
        let row = |(user, row): (UserKey, StateRow)| {
            let mut public = row.public;
            for fact in self.live_of(&Partition::User(user.clone())) {
                let Fact::Floor { space, floor, .. } = fact else {
                    continue;
                };
                if space.is_none() || space.as_ref() == of_space {
                    public = public.max(floor.highest());
                }
            }
            let member = row.membership.unwrap_or_default().member;
            ReceiptRow {
                user,
                member,
                public,
            }
        };
        rows.into_iter().map(row).collect()
    }
}

/// Facts in one order, and without authors: whether an erasure has already dropped a name depends on
/// how far the checkpoint is.
pub(crate) fn comparable(facts: Vec<Fact>) -> Vec<Fact> {
    let mut facts: Vec<Fact> = facts
        .into_iter()
        .map(|mut fact| {
            if let Fact::Message { row, .. } = &mut fact {
                row.unauthored = true;
                row.normalize();
            }
            fact
        })
        .collect();
    facts.sort_by_cached_key(|fact| format!("{:?}", fact.key()));
    facts
}

pub(crate) fn comparable_load(loaded: Loaded) -> Loaded {
    match loaded {
        Loaded::Facts(facts) => Loaded::Facts(comparable(facts)),
        Loaded::Channel(mut data) => {
            data.facts = comparable(data.facts);
            Loaded::Channel(data)
        }
        Loaded::Receipts(rows) => Loaded::Receipts(rows),
    }
}
