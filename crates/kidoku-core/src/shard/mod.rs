//! The shard state machine: owns the users and channels of its slots, and does for them everything
//! that a request asks.
//!
//! A request goes to the shard that owns its channel or its user; what it means for others goes on
//! as messages between shards. A shard's memory is a cache folded from facts: whatever is not there
//! is loaded, and anything may be forgotten at any time. Nothing here does I/O or knows the time,
//! and no iteration order depends on a hash.

mod change_ops;
mod channel;
mod channel_ops;
mod count;
mod erase;
mod interner;
mod load;
mod merge;
mod peer;
mod pending;
mod query;
mod readers;
mod receipts;
mod table;
#[cfg(test)]
mod tests;
mod user;
mod user_ops;
mod watch;
#[cfg(test)]
mod watch_tests;

use crate::clock::{Clock, ClockSource, Millis};
use crate::effect::{Effects, Input, Load};
use crate::error::Error;
use crate::fact::Fact;
use crate::id::{ChannelKey, MessageId, Position, ShardId, UserKey};
use crate::placement::Placement;
use crate::reply::Reply;
use crate::request::{Request, Ticket};
use channel::Channel;
use interner::Interner;
use load::{Gather, Loading};
pub use peer::PeerMessage;
use peer::{Body, CallId};
use pending::Pending;
use receipts::ReceiptsLoading;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use table::Table;
use user::{Row, User};
use watch::Watches;

/// How a shard is set up.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Which one it is.
    pub id: ShardId,
    /// Which users and channels belong to whom.
    pub placement: Placement,
    /// Seeds the hash tables, so that nobody outside can choose colliding names.
    pub hash_seed: u64,
    /// Bytes of users and channels to keep in memory; what is over is evicted on ticks.
    pub memory_bytes_max: usize,
    /// True = store and log are empty, so that nothing needs loading until the first eviction.
    pub fresh: bool,
    /// The highest clock found in store and log: later clocks are above it.
    pub clock_seen: Clock,
    /// Whose number its clocks carry: another one for every shard of every owner of the same data.
    pub clock_owner: ShardId,
}

/// Plain counters and gauges of one shard, read when metrics are scraped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Users in memory.
    pub users: u64,
    /// Channels in memory.
    pub channels: u64,
    /// Read states (user and channel pairs) in memory.
    pub read_states: u64,
    /// Live messages in the index in memory.
    pub messages: u64,
    /// Bytes of users in memory, estimated from capacities.
    pub user_bytes: u64,
    /// Bytes of channels in memory, estimated from capacities.
    pub channel_bytes: u64,
    /// Facts emitted.
    pub facts: u64,
    /// Requests taken.
    pub requests: u64,
    /// Loads asked for.
    pub loads: u64,
    /// Users and channels evicted.
    pub evictions: u64,
    /// Messages that arrived below their channel's tail.
    pub late_messages: u64,
    /// Requests waiting for a load or for another shard.
    pub waiting: u64,
    /// Messages sent to other shards.
    pub peer_messages: u64,
}

/// Something to do for one user or one channel, as soon as that is in memory.
#[derive(Clone, Debug)]
enum Job {
    Request(Ticket, Request),
    Peer(ShardId, Body),
    /// Answers the read state after a change.
    ReadState(Ticket, UserKey, ChannelKey),
    /// The acks of a list that are not done yet.
    AckRest(
        Ticket,
        UserKey,
        Vec<(ChannelKey, MessageId)>,
        user_ops::AckProgress,
    ),
    /// The second half of muting a channel the user is not in.
    MuteAt(Ticket, Request, Position),
    /// Tells the watchers of a user what has changed.
    Event(UserKey),
}

/// Who owns what a job is about.
enum Subject {
    User(UserKey),
    Channel(ChannelKey),
    Nobody,
}

/// A row with everything below its line, for the one job that asked for it.
#[derive(Debug)]
struct Detail {
    user: UserKey,
    channel: ChannelKey,
    row: Row,
    stored: crate::fact::StateRow,
}

/// One shard.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    clock: ClockSource,
    now: Millis,
    users: Table<UserKey, User>,
    channels: Table<ChannelKey, Channel>,
    interner: Interner,
    /// Jobs that wait until their user is loaded, in order of arrival.
    blocked_users: BTreeMap<UserKey, VecDeque<Job>>,
    blocked_channels: BTreeMap<ChannelKey, VecDeque<Job>>,
    loads: BTreeMap<Load, Loading>,
    gathers: BTreeMap<u64, Gather>,
    pending: BTreeMap<CallId, Pending>,
    /// Channels of any shard whose owner wants to hear of changed receipts.
    receipts_watched: BTreeSet<ChannelKey>,
    receipts_loading: BTreeMap<ChannelKey, ReceiptsLoading>,
    watches: Watches,
    detail: Option<Detail>,
    /// Messages of this shard to itself, done before `apply` returns.
    local: VecDeque<Body>,
    /// When a thread last went away from its parent, of whose numbers a sync by revision would miss
    /// the change.
    threads_moved: Clock,
    /// Everything there is is in memory.
    complete: bool,
    last_call: CallId,
    out: Effects,
    stats: Stats,
}

impl Shard {
    /// An empty shard.
    pub fn new(config: ShardConfig) -> Self {
        let mut clock = ClockSource::new(config.clock_owner);
        clock.observe(config.clock_seen);
        Self {
            clock,
            now: Millis(0),
            users: Table::new(config.hash_seed),
            channels: Table::new(config.hash_seed.rotate_left(17)),
            interner: Interner::new(config.hash_seed.rotate_left(34), config.placement),
            blocked_users: BTreeMap::new(),
            blocked_channels: BTreeMap::new(),
            loads: BTreeMap::new(),
            gathers: BTreeMap::new(),
            pending: BTreeMap::new(),
            receipts_watched: BTreeSet::new(),
            receipts_loading: BTreeMap::new(),
            watches: Watches::default(),
            detail: None,
            local: VecDeque::new(),
            threads_moved: Clock::NEVER,
            complete: config.fresh,
            last_call: 0,
            out: Effects::default(),
            stats: Stats::default(),
            config,
        }
    }

    /// Takes one input and adds to `effects`. `now` decides until when something is muted and what
    /// times are shown; merging never depends on it.
    pub fn apply(&mut self, now: Millis, input: Input, effects: &mut Effects) {
        self.now = now;
        std::mem::swap(&mut self.out, effects);
        match input {
            Input::Request { ticket, request } => {
                self.stats.requests += 1;
                self.start(Job::Request(ticket, request));
            }
            Input::Peer { from, message } => {
                self.clock.observe(message.clock);
                self.receive(from, message.body);
            }
            Input::Loaded { load, data } => self.loaded(&load, data),
            Input::Tick => self.tick(),
        }
        while let Some(body) = self.local.pop_front() {
            self.receive(self.config.id, body);
        }
        self.announce_changes();
        std::mem::swap(&mut self.out, effects);
    }

    /// True while the shard wants [`Input::Tick`] every few milliseconds.
    pub fn wants_tick(&self) -> bool {
        self.over_budget() || self.watches.any_due()
    }

    /// The highest clock made or seen; goes into the log so that a restart begins above it.
    pub fn clock_seen(&self) -> Clock {
        self.clock.last()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Stats {
            users: count(self.users.len()),
            channels: count(self.channels.len()),
            read_states: self.users.sum(|user| count(user.row_count())),
            messages: self.channels.sum(Channel::messages),
            user_bytes: count(self.users.bytes() + self.interner.bytes()),
            channel_bytes: count(self.channels.bytes()),
            waiting: count(self.pending.len() + self.loads.len()),
            ..self.stats
        }
    }

    fn tick(&mut self) {
        self.evict();
        for user in self.watches.take_due() {
            self.start(Job::Event(user));
        }
    }

    fn tick_clock(&mut self) -> Clock {
        self.clock.tick(self.now)
    }

    fn say(&mut self, fact: Fact) {
        self.stats.facts += 1;
        self.out.facts.push(fact);
    }

    fn reply(&mut self, ticket: Ticket, reply: Result<Reply, Error>) {
        self.out.replies.push((ticket, reply));
    }

    fn send(&mut self, to: ShardId, body: Body) {
        if to == self.config.id {
            self.local.push_back(body);
        } else {
            self.stats.peer_messages += 1;
            self.out.messages.push((
                to,
                PeerMessage {
                    clock: self.clock.last(),
                    body,
                },
            ));
        }
    }

    fn user_shard(&self, user: &UserKey) -> ShardId {
        self.config.placement.of_user(user)
    }

    fn channel_shard(&self, channel: &ChannelKey) -> ShardId {
        self.config.placement.of_channel(channel)
    }

    /// Does a message of a peer: answers go to what waits for them, all else becomes a job.
    fn receive(&mut self, from: ShardId, body: Body) {
        match body {
            Body::Done { call, changed } => self.done(call, changed),
            Body::Counted { call, answers } => self.counted(from, call, answers),
            Body::TailIs { call, tail } => self.tail_is(call, tail),
            Body::Count { call, query } => self.gather(from, call, query, BTreeMap::new()),
            Body::Receipt {
                call,
                channel,
                row,
                spaces,
            } => {
                self.receipt(from, call, &channel, row, &spaces);
            }
            Body::ReceiptsStale { call, channel } => self.receipts_stale(from, call, &channel),
            Body::WatchReceipts { call, channel, on } => {
                self.watch_receipts(from, call, channel, on);
            }
            Body::ParentChanged {
                call,
                channel,
                parent,
                moved,
            } => {
                self.parent_changed(from, call, &channel, parent, moved);
            }
            Body::Subscribe { channel, on } => self.watches.subscribe(channel, from, on),
            Body::ChannelChanged { channel } => self.watches.channel_changed(&channel),
            Body::Change { .. } | Body::Role { .. } | Body::Tail { .. } | Body::Unauthor { .. } => {
                self.start(Job::Peer(from, body));
            }
        }
    }
}

impl Job {
    fn subject(&self) -> Subject {
        match self {
            Self::Request(_, request) | Self::MuteAt(_, request, _) => request_subject(request),
            Self::ReadState(_, user, _) | Self::AckRest(_, user, ..) | Self::Event(user) => {
                Subject::User(user.clone())
            }
            Self::Peer(_, Body::Change { user, .. } | Body::Role { user, .. }) => {
                Subject::User(user.clone())
            }
            Self::Peer(_, Body::Tail { channel, .. } | Body::Unauthor { channel, .. }) => {
                Subject::Channel(channel.clone())
            }
            Self::Peer(..) => Subject::Nobody,
        }
    }
}

fn request_subject(request: &Request) -> Subject {
    match request {
        Request::Join { channel, .. }
        | Request::Leave { channel, .. }
        | Request::Post { channel, .. }
        | Request::Delete { channel, .. }
        | Request::Edit { channel, .. }
        | Request::Seen { channel, .. }
        | Request::Channel { channel, .. }
        | Request::Follow {
            thread: channel, ..
        }
        | Request::Trim { channel, .. }
        | Request::Drop { channel }
        | Request::Resolve { channel, .. }
        | Request::Names { channel, .. } => Subject::Channel(channel.clone()),
        Request::Ack { user, .. }
        | Request::AckMany { user, .. }
        | Request::AckAll { user, .. }
        | Request::MarkUnread { user, .. }
        | Request::Mute { user, .. }
        | Request::Count { user, .. }
        | Request::State { user, .. }
        | Request::Badge { user, .. }
        | Request::Explain { user, .. }
        | Request::Erase { user }
        | Request::Watch { user, .. }
        | Request::Unwatch { user, .. } => Subject::User(user.clone()),
        Request::Role { .. } => Subject::Nobody,
        Request::Merge { fact } => match fact.partition() {
            crate::fact::Partition::User(user) => Subject::User(user),
            crate::fact::Partition::Channel(channel) => Subject::Channel(channel),
        },
    }
}

fn count_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Ids of opaque texts: a clock value without its top bit's worth of owner, so that it stays below
/// 2^63 and rises with arrival.
fn opaque_place(clock: Clock) -> Result<MessageId, Error> {
    MessageId::new(clock.0 >> 1)
}
