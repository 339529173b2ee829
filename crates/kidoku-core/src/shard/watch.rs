//! Watchers: connections that want to be told when a user's numbers change. Changes are collected
//! between ticks, so that a busy channel costs a watcher one event a tick and not one a message.

use super::count::{Counting, Purpose, Wanted};
use super::peer::{Body, CallId};
use super::{Shard, User};
use crate::clock::Clock;
use crate::id::{ChannelKey, ShardId, UserKey};
use crate::planted::{self, Bug};
use crate::reply::{Event, Reply};
use crate::request::Ticket;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A watched user.
#[derive(Debug, Default)]
struct Watch {
    watchers: Vec<Ticket>,
    /// Channels that changed since the last event.
    changed: BTreeSet<ChannelKey>,
    /// Something changed that is not of one channel.
    changed_all: bool,
    /// An event is due or being counted.
    busy: bool,
    /// The event being counted. One that a watch before this one began does not count for it: it may
    /// come after a later one, with older numbers.
    counting: Option<CallId>,
    /// Ticks to let pass before the next event is tried, after one that failed.
    pause: u32,
    /// The revision of the last event.
    rev: Clock,
}

/// Ticks between an event that could not be counted, because the store could not be read, and the
/// next try: about a second, so that a store that fails is not asked for every watch at every tick.
const RETRY_TICKS: u32 = 100;

/// All watches of a shard, and which shards want to hear of its channels.
#[derive(Debug, Default)]
pub(super) struct Watches {
    users: BTreeMap<UserKey, Watch>,
    /// Watched users by the channels they are in.
    by_channel: BTreeMap<ChannelKey, BTreeSet<UserKey>>,
    /// Shards with watched users in this shard's channels.
    subscribers: BTreeMap<ChannelKey, BTreeSet<ShardId>>,
    /// Subscribed channels that changed in this turn.
    noted: BTreeSet<ChannelKey>,
}

impl Watches {
    pub(super) fn any_due(&self) -> bool {
        self.users.values().any(Watch::due)
    }

    pub(super) fn take_due(&mut self) -> Vec<UserKey> {
        let mut due = Vec::new();
        for (user, watch) in &mut self.users {
            if !watch.due() {
                continue;
            }
            if watch.pause > 0 {
                watch.pause -= 1;
                continue;
            }
            watch.busy = true;
            due.push(user.clone());
        }
        due
    }

    /// The user of an event could not be loaded.
    fn event_put_off(&mut self, user: &UserKey) {
        if let Some(watch) = self.users.get_mut(user)
            && watch.counting.is_none()
        {
            watch.busy = false;
            watch.pause = RETRY_TICKS;
        }
    }

    /// An event could not be counted. Nobody was told of these channels, so they stay changed.
    fn event_failed(
        &mut self,
        user: &UserKey,
        number: CallId,
        changed: Vec<ChannelKey>,
        all: bool,
    ) {
        if let Some(watch) = self.event_done(user, number) {
            watch.pause = RETRY_TICKS;
            watch.changed_all |= all;
            watch.changed.extend(changed);
        }
    }

    /// The watch that this event is of, which waits for nothing now.
    fn event_done(&mut self, user: &UserKey, number: CallId) -> Option<&mut Watch> {
        let watch = self.users.get_mut(user)?;
        if watch.counting != Some(number) {
            return None;
        }
        watch.counting = None;
        watch.busy = false;
        Some(watch)
    }

    /// The user's own side changed, in one channel or (`None`) everywhere.
    pub(super) fn user_changed(&mut self, user: &UserKey, channel: Option<&ChannelKey>) {
        if self.users.is_empty() {
            return;
        }
        let watch = self.users.get_mut(user);
        let Some(watch) = watch.filter(|watch| watch.takes_changes()) else {
            return;
        };
        match channel {
            Some(channel) => {
                watch.changed.insert(channel.clone());
            }
            None => watch.changed_all = true,
        }
    }

    /// Something changed of which it is not known whom it concerns.
    pub(super) fn all_changed(&mut self) {
        for watch in self.users.values_mut() {
            watch.changed_all = true;
        }
    }

    pub(super) fn channel_changed(&mut self, channel: &ChannelKey) {
        for user in self.by_channel.get(channel).into_iter().flatten() {
            let watch = self.users.get_mut(user);
            if let Some(watch) = watch.filter(|watch| watch.takes_changes()) {
                watch.changed.insert(channel.clone());
            }
        }
    }

    /// A user goes out of memory. Who watches is told of what has changed all the same.
    pub(super) fn user_evicted(&mut self, user: &UserKey) {
        if planted::is(Bug::EvictedUntold)
            && let Some(watch) = self.users.get_mut(user)
        {
            watch.changed.clear();
            watch.changed_all = false;
        }
    }

    pub(super) fn subscribe(&mut self, channel: ChannelKey, shard: ShardId, on: bool) {
        if on {
            self.subscribers.entry(channel).or_default().insert(shard);
        } else if let Some(shards) = self.subscribers.get_mut(&channel) {
            shards.remove(&shard);
            if shards.is_empty() {
                self.subscribers.remove(&channel);
            }
        }
    }

    /// A channel of this shard changed.
    pub(super) fn note_change(&mut self, channel: &ChannelKey) {
        if !self.subscribers.is_empty() && self.subscribers.contains_key(channel) {
            self.noted.insert(channel.clone());
        }
    }
}

impl Watch {
    /// Changes are noted, for the next event.
    fn takes_changes(&self) -> bool {
        !self.busy || !planted::is(Bug::ChangedWhileCounted)
    }

    fn due(&self) -> bool {
        !self.busy && (self.changed_all || !self.changed.is_empty())
    }
}

impl Shard {
    pub(super) fn announce_changes(&mut self) {
        while let Some(channel) = self.watches.noted.pop_first() {
            let shards = self
                .watches
                .subscribers
                .get(&channel)
                .cloned()
                .unwrap_or_default();
            for shard in shards {
                if shard == self.config.id {
                    self.watches.channel_changed(&channel);
                } else {
                    self.send(
                        shard,
                        Body::ChannelChanged {
                            channel: channel.clone(),
                        },
                    );
                }
            }
        }
    }

    pub(super) fn watch(&mut self, ticket: Ticket, user: &UserKey, watcher: Ticket) {
        let watch = self.watches.users.entry(user.clone()).or_default();
        if !watch.watchers.contains(&watcher) {
            watch.watchers.push(watcher);
        }
        // The first event brings everything.
        watch.changed_all = true;
        self.subscribe_to_all(user);
        self.reply(ticket, Ok(Reply::Ok));
    }

    fn subscribe_to_all(&mut self, user: &UserKey) {
        let known = self.users.get(user).into_iter();
        let members: Vec<_> = known.flat_map(User::members).collect();
        for index in members {
            let Some(channel) = self.interner.key(index).cloned() else {
                continue;
            };
            let users = self.watches.by_channel.entry(channel.clone()).or_default();
            let first = users.is_empty();
            users.insert(user.clone());
            if first {
                let to = self.channel_shard(&channel);
                self.send_subscribe(to, channel, true);
            }
        }
    }

    fn send_subscribe(&mut self, to: ShardId, channel: ChannelKey, on: bool) {
        if to == self.config.id {
            self.watches.subscribe(channel, to, on);
        } else {
            self.send(to, Body::Subscribe { channel, on });
        }
    }

    pub(super) fn unwatch(&mut self, ticket: Ticket, user: &UserKey, watcher: Ticket) {
        self.reply(ticket, Ok(Reply::Ok));
        let Some(watch) = self.watches.users.get_mut(user) else {
            return;
        };
        watch.watchers.retain(|known| *known != watcher);
        if !watch.watchers.is_empty() {
            return;
        }
        self.watches.users.remove(user);
        let mut left = Vec::new();
        self.watches.by_channel.retain(|channel, users| {
            if users.remove(user) && users.is_empty() {
                left.push(channel.clone());
            }
            !users.is_empty()
        });
        for channel in left {
            let to = self.channel_shard(&channel);
            self.send_subscribe(to, channel, false);
        }
    }

    /// Counts what changed for the watchers of a user.
    pub(super) fn begin_event(&mut self, user: &UserKey) {
        self.subscribe_to_all(user);
        let number = self.new_call();
        let Some(watch) = self.watches.users.get_mut(user) else {
            return;
        };
        if watch.counting.is_some() {
            return;
        }
        watch.busy = true;
        watch.counting = Some(number);
        let mut changed = std::mem::take(&mut watch.changed);
        let all = std::mem::take(&mut watch.changed_all);
        if all {
            let members = self.users.get(user).into_iter().flat_map(User::members);
            changed.extend(members.filter_map(|index| self.interner.key(index).cloned()));
        }
        let changed: Vec<ChannelKey> = changed.into_iter().collect();
        let purpose = Purpose::Event { all, number };
        self.begin_count(None, user, purpose, &Wanted::All(&changed));
    }

    /// The store could not be read. It is tried again in a while.
    pub(super) fn fail_event(&mut self, counting: &Counting) {
        if let Purpose::Event { all, number } = counting.purpose {
            let asked = counting.asked_channels().cloned().collect();
            self.watches
                .event_failed(counting.user(), number, asked, all);
        }
    }

    /// The same, when not even the user could be loaded.
    pub(super) fn put_off_event(&mut self, user: &UserKey) {
        self.watches.event_put_off(user);
    }

    pub(super) fn finish_event(&mut self, counting: &Counting) {
        let user = counting.user();
        let Purpose::Event { all, number } = counting.purpose else {
            return;
        };
        let Some(watch) = self.watches.event_done(user, number) else {
            return;
        };
        let told = std::mem::replace(&mut watch.rev, counting.rev());
        let event = Arc::new(Event {
            user: user.clone(),
            rev: counting.rev(),
            all,
            channels: counting.changed_states(told),
            damaged: counting.damaged_channels(),
            badge: counting.badge(None).ok(),
        });
        for watcher in &watch.watchers {
            self.out.pushes.push((*watcher, Arc::clone(&event)));
        }
    }
}
