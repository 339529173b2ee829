//! Getting things into memory and out again: jobs wait here for their user or channel.

use super::channel::Channel;
use super::peer::{Body, CallId};
use super::pending::Origin;
use super::query::CountQuery;
use super::user::{Row, User, insert_sorted};
use super::{Detail, Job, Shard, Subject};
use crate::clock::Clock;
use crate::effect::{ChannelData, Load, LoadFailed, Loaded};
use crate::error::Error;
use crate::fact::{Fact, StateRow};
use crate::id::{ChannelKey, MessageId, Name, ShardId, UserKey};
use crate::request::{Page, Ticket};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What goes on when a load is answered.
#[derive(Debug)]
pub(super) enum Waiter {
    /// The jobs blocked on this user.
    User(UserKey),
    /// The jobs blocked on this channel.
    Channel(ChannelKey),
    /// The first job blocked on this user wants this row in full.
    Detail(UserKey),
    /// One more channel of a count is there.
    Gather(u64),
    /// The receipts of a channel are wanted.
    Receipts(ChannelKey),
    /// The author of a message is wanted.
    Seen {
        ticket: Ticket,
        channel: ChannelKey,
        id: MessageId,
        list: Option<Page<Name>>,
    },
    /// One more row of a user that is being erased.
    Erase(CallId),
    /// Everyone with a row in a channel that is being dropped.
    Drop(Ticket, ChannelKey),
}

impl Waiter {
    fn may_join(&self) -> bool {
        match self {
            Self::User(_) | Self::Channel(_) | Self::Detail(_) | Self::Gather(_) => true,
            Self::Receipts(_) | Self::Seen { .. } | Self::Erase(_) | Self::Drop(..) => false,
        }
    }
}

/// A load under way.
#[derive(Debug, Default)]
pub(super) struct Loading {
    current: Vec<Waiter>,
    /// Those who need what was said since it was asked: it is asked for once more.
    next: Vec<Waiter>,
}

/// A count that waits for channels to be loaded.
#[derive(Debug)]
pub(super) struct Gather {
    from: ShardId,
    call: CallId,
    query: Box<CountQuery>,
    left: usize,
    failed: BTreeMap<ChannelKey, Error>,
}

/// Slots the eviction hand passes in one tick, so that a tick stays short.
const EVICTION_STEPS: usize = 1_024;

impl Shard {
    /// Does a job now, or as soon as its user or channel is in memory. Jobs of one user, and of one
    /// channel, are done in the order of their arrival.
    pub(super) fn start(&mut self, job: Job) {
        match job.subject() {
            Subject::User(user) => self.start_user(user, job),
            Subject::Channel(channel) => self.start_channel(channel, job),
            Subject::Nobody => self.start_role(job),
        }
    }

    fn start_user(&mut self, user: UserKey, job: Job) {
        if let Some(queue) = self.blocked_users.get_mut(&user) {
            queue.push_back(job);
            return;
        }
        if !self.users.contains(&user) && !works_unloaded(&job) {
            if !self.complete {
                self.blocked_users
                    .insert(user.clone(), VecDeque::from([job]));
                return self.load(Load::User(user.clone()), Waiter::User(user));
            }
            let changed = self.tick_clock();
            self.users
                .insert(user.clone(), User::new(Clock::NEVER, changed));
        }
        if let Err(need) = self.do_user(&job) {
            // Jobs may already wait behind this one, when it is run from the queue.
            self.blocked_users
                .entry(user.clone())
                .or_default()
                .push_front(job);
            self.load(need, Waiter::Detail(user));
        } else {
            self.users.reweigh(&user);
        }
    }

    fn start_channel(&mut self, channel: ChannelKey, job: Job) {
        if let Some(queue) = self.blocked_channels.get_mut(&channel) {
            queue.push_back(job);
            return;
        }
        if !self.channels.contains(&channel) && !works_unloaded(&job) {
            if !self.complete {
                self.blocked_channels
                    .insert(channel.clone(), VecDeque::from([job]));
                return self.load(Load::Channel(channel.clone()), Waiter::Channel(channel));
            }
            let changed = self.tick_clock();
            self.channels.insert(
                channel.clone(),
                Channel {
                    changed,
                    ..Channel::default()
                },
            );
        }
        self.do_channel(&channel, job);
    }

    /// Asks for data. A waiter joins the same load under way only where nothing can have been said
    /// of that data since, because whoever would say it is blocked meanwhile.
    pub(super) fn load(&mut self, load: Load, waiter: Waiter) {
        let loading = self.loads.entry(load.clone()).or_default();
        if loading.current.is_empty() {
            loading.current.push(waiter);
            self.stats.loads += 1;
            self.out.loads.push(load);
        } else if waiter.may_join() {
            loading.current.push(waiter);
        } else {
            loading.next.push(waiter);
        }
    }

    /// Runs what waited behind a user.
    pub(super) fn unblock_user(&mut self, user: &UserKey) {
        for job in self.blocked_users.remove(user).unwrap_or_default() {
            self.start(job);
        }
    }

    /// Runs what waited behind a channel.
    pub(super) fn unblock_channel(&mut self, channel: &ChannelKey) {
        for job in self.blocked_channels.remove(channel).unwrap_or_default() {
            self.start(job);
        }
    }

    pub(super) fn loaded(&mut self, load: &Load, data: Result<Loaded, LoadFailed>) {
        let Loading {
            current: waiters,
            next,
        } = self.loads.remove(load).unwrap_or_default();
        for waiter in next {
            self.load(load.clone(), waiter);
        }
        let data = match data {
            Ok(data) => data,
            Err(failed) => {
                return waiters
                    .into_iter()
                    .for_each(|waiter| self.load_failed(load, waiter, &failed));
            }
        };
        match (load, &data) {
            (Load::User(user), Loaded::Facts(facts)) => {
                let built = self.build_user(facts);
                self.users.insert(user.clone(), built);
            }
            (Load::Channel(channel), Loaded::Channel(data)) => {
                let built = self.build_channel(data);
                self.channels.insert(channel.clone(), built);
            }
            _ => {}
        }
        for waiter in waiters {
            self.go_on(load, waiter, &data);
        }
    }

    fn go_on(&mut self, load: &Load, waiter: Waiter, data: &Loaded) {
        match waiter {
            Waiter::User(user) => self.unblock_user(&user),
            Waiter::Channel(channel) => self.unblock_channel(&channel),
            Waiter::Detail(user) => self.with_detail(load, &user, data),
            Waiter::Gather(id) => self.gathered(id, None),
            Waiter::Receipts(channel) => self.receipts_loaded(&channel, data),
            Waiter::Seen {
                ticket,
                channel,
                id,
                list,
            } => {
                self.author_loaded(ticket, channel, id, list, data);
            }
            Waiter::Erase(call) => self.erase_loaded(call, load, data),
            Waiter::Drop(ticket, channel) => self.drop_loaded(ticket, &channel, data),
        }
    }

    /// What the first of a user's blocked jobs has waited for can not be had. The others may not
    /// need it.
    pub(super) fn fail_first_blocked(&mut self, user: &UserKey, error: Error) {
        let mut queue = self.blocked_users.remove(user).unwrap_or_default();
        if let Some(job) = queue.pop_front() {
            self.fail_job(job, error);
        }
        queue.into_iter().for_each(|job| self.start(job));
    }

    fn load_failed(&mut self, load: &Load, waiter: Waiter, failed: &LoadFailed) {
        let error = failed.error();
        match waiter {
            Waiter::User(user) => {
                for job in self.blocked_users.remove(&user).unwrap_or_default() {
                    self.fail_job(job, error.clone());
                }
            }
            Waiter::Detail(user) => self.fail_first_blocked(&user, error),
            Waiter::Channel(channel) => {
                for job in self.blocked_channels.remove(&channel).unwrap_or_default() {
                    self.fail_job(job, error.clone());
                }
            }
            Waiter::Gather(id) => {
                let failed = match load {
                    Load::Channel(channel) => Some((channel.clone(), error)),
                    Load::User(_)
                    | Load::Detail { .. }
                    | Load::Message { .. }
                    | Load::Receipts { .. } => None,
                };
                self.gathered(id, failed);
            }
            Waiter::Receipts(channel) => self.receipts_failed(&channel, failed),
            Waiter::Seen { ticket, .. } => self.reply(ticket, Err(error)),
            Waiter::Erase(call) => self.erase_failed(call, error),
            Waiter::Drop(ticket, channel) => {
                self.fail(Origin::Caller(ticket), error);
                self.unblock_channel(&channel);
            }
        }
    }

    /// Runs the first blocked job of a user with the row it asked for, then the others.
    fn with_detail(&mut self, load: &Load, user: &UserKey, data: &Loaded) {
        let mut queue = self.blocked_users.remove(user).unwrap_or_default();
        if let (Load::Detail { channel, above, .. }, Loaded::Facts(facts)) = (load, data) {
            let (mut row, stored) = self.build_row(user, channel, facts);
            row.known_above = *above;
            self.detail = Some(Detail {
                user: user.clone(),
                channel: channel.clone(),
                row,
                stored,
            });
        }
        if let Some(job) = queue.pop_front() {
            self.start(job);
        }
        self.detail = None;
        match self.blocked_users.get_mut(user) {
            Some(blocked) => blocked.append(&mut queue),
            None => queue.into_iter().for_each(|job| self.start(job)),
        }
    }

    fn build_row(&self, user: &UserKey, channel: &ChannelKey, facts: &[Fact]) -> (Row, StateRow) {
        let mut row = self
            .users
            .get(user)
            .map_or_else(|| User::default().row(None), |known| known.row(None));
        let mut stored = StateRow {
            incarnation: row.incarnation,
            ..StateRow::default()
        };
        for fact in facts {
            match fact {
                Fact::State {
                    channel: at,
                    row: state,
                    ..
                } if at == channel => stored = *state,
                Fact::Mention {
                    channel: at, id, ..
                } if at == channel => {
                    insert_sorted(&mut row.mentions, *id);
                }
                Fact::Own {
                    channel: at, id, ..
                } if at == channel => {
                    insert_sorted(&mut row.own, *id);
                }
                _ => {}
            }
        }
        row.absorb(&stored);
        (row, stored)
    }

    fn build_user(&mut self, facts: &[Fact]) -> User {
        let mut user = User::new(Clock::NEVER, self.tick_clock());
        for fact in facts {
            self.observe(fact);
            if let Fact::UserErased { clock, .. } = fact {
                user.erased = user.erased.max(*clock);
            }
        }
        let mut rows: BTreeMap<&ChannelKey, Row> = BTreeMap::new();
        for fact in facts {
            match fact {
                Fact::Floor { space, floor, .. } => user.merge_floor(space.as_ref(), floor),
                Fact::Role {
                    role, clock, held, ..
                } => {
                    user.merge_role(role, *clock, *held);
                }
                Fact::State { channel, row, .. } => {
                    rows.entry(channel)
                        .or_insert_with(|| user.row(None))
                        .absorb(row);
                }
                Fact::Mention { channel, id, .. } => {
                    let row = rows.entry(channel).or_insert_with(|| user.row(None));
                    insert_sorted(&mut row.mentions, *id);
                }
                Fact::Own { channel, id, .. } => {
                    let row = rows.entry(channel).or_insert_with(|| user.row(None));
                    insert_sorted(&mut row.own, *id);
                }
                _ => {}
            }
        }
        for (channel, row) in rows {
            let index = self.interner.acquire(channel);
            user.put(index, row);
        }
        user
    }

    fn build_channel(&mut self, data: &ChannelData) -> Channel {
        for fact in &data.facts {
            self.observe(fact);
        }
        self.clock.observe(data.dropped);
        let changed = self.tick_clock();
        Channel::from_data(data, changed)
    }

    /// Later clocks of this shard are above every clock it has seen.
    pub(super) fn observe(&mut self, fact: &Fact) {
        self.clock.observe(fact.clock_max());
    }

    /// Answers a count when all its channels are in memory, but for those that `failed` to load.
    pub(super) fn gather(
        &mut self,
        from: ShardId,
        call: CallId,
        query: Box<CountQuery>,
        failed: BTreeMap<ChannelKey, Error>,
    ) {
        let mut missing: BTreeSet<ChannelKey> = BTreeSet::new();
        let mut answers = Vec::with_capacity(query.items.len());
        for item in &query.items {
            answers.push(match self.channels.get_mut(&item.channel) {
                Some(channel) => Ok(query.count(item, channel)),
                None if self.complete => Ok(query.count(item, &Channel::default())),
                None => match failed.get(&item.channel) {
                    Some(error) => Err(error.clone()),
                    None => {
                        missing.insert(item.channel.clone());
                        continue;
                    }
                },
            });
        }
        if missing.is_empty() {
            return self.send(from, Body::Counted { call, answers });
        }
        self.last_call += 1;
        let id = self.last_call;
        let left = missing.len();
        self.gathers.insert(
            id,
            Gather {
                from,
                call,
                query,
                left,
                failed,
            },
        );
        for channel in missing {
            let load = Load::Channel(channel.clone());
            if !self.blocked_channels.contains_key(&channel) {
                self.blocked_channels
                    .insert(channel.clone(), VecDeque::new());
                self.load(load.clone(), Waiter::Channel(channel));
            }
            self.load(load, Waiter::Gather(id));
        }
    }

    /// One more channel of a count is there, or can not be loaded, which is no fault of the others.
    fn gathered(&mut self, id: u64, failed: Option<(ChannelKey, Error)>) {
        let Some(gather) = self.gathers.get_mut(&id) else {
            return;
        };
        gather.left -= 1;
        gather.failed.extend(failed);
        if gather.left > 0 {
            return;
        }
        if let Some(gather) = self.gathers.remove(&id) {
            self.gather(gather.from, gather.call, gather.query, gather.failed);
        }
    }

    pub(super) fn over_budget(&self) -> bool {
        self.users.bytes() + self.channels.bytes() > self.config.memory_bytes_max
    }

    /// Forgets what was not used for longest until the budget holds, a bounded number of steps at a
    /// time. Nothing is written: every fact went to the log when it was made.
    pub(super) fn evict(&mut self) {
        let mut steps = EVICTION_STEPS;
        while self.over_budget() && steps > 0 {
            steps = steps.saturating_sub(16);
            let user_turn = self.users.bytes() >= self.channels.bytes();
            let evicted = if user_turn {
                self.evict_user()
            } else {
                self.evict_channel()
            };
            if evicted {
                self.stats.evictions += 1;
                self.complete = false;
            }
        }
    }

    fn evict_user(&mut self) -> bool {
        let blocked = &self.blocked_users;
        let Some(user) = self.users.coldest(64, |user| !blocked.contains_key(user)) else {
            return false;
        };
        self.forget_user(&user);
        self.watches.user_evicted(&user);
        true
    }

    pub(super) fn forget_user(&mut self, key: &UserKey) {
        let Some(user) = self.users.remove(key) else {
            return;
        };
        for index in user.channels() {
            self.interner.release(*index);
        }
    }

    fn evict_channel(&mut self) -> bool {
        let pinned: BTreeSet<&ChannelKey> = self
            .gathers
            .values()
            .flat_map(|gather| gather.query.items.iter().map(|item| &item.channel))
            .chain(self.blocked_channels.keys())
            .chain(self.receipts_loading.keys())
            .collect();
        let coldest = self
            .channels
            .coldest(64, |channel| !pinned.contains(channel));
        let Some(channel) = coldest else { return false };
        self.forget_channel(&channel);
        true
    }

    pub(super) fn forget_channel(&mut self, key: &ChannelKey) {
        let Some(channel) = self.channels.remove(key) else {
            return;
        };
        if channel.receipts.is_some() {
            self.unwatch_receipts(key);
        }
    }
}

/// Facts that are merged as they stand, and the drop of a channel for a user who is not in memory,
/// need no loading.
fn works_unloaded(job: &Job) -> bool {
    matches!(
        job,
        Job::Request(_, crate::request::Request::Merge { .. })
            | Job::Peer(
                _,
                Body::Change {
                    change: super::peer::Change::Dropped { .. },
                    ..
                }
            )
    )
}
