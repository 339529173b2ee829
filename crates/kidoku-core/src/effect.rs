//! What goes into a shard and what comes out: plain values, so that the server, the simulator and
//! the tests drive the same state machine.

use crate::clock::Clock;
use crate::damaged::Damaged;
use crate::error::Error;
use crate::fact::Fact;
use crate::id::{ChannelKey, MessageId, Name, Position, ShardId, UserKey};
use crate::reply::{Event, Reply};
use crate::request::{Request, Ticket};
use crate::shard::PeerMessage;
use std::sync::Arc;

/// One thing that happens to a shard.
#[derive(Debug)]
pub enum Input {
    /// Somebody asks. Answered by exactly one entry of [`Effects::replies`], now or later.
    Request {
        /// Given back with the reply.
        ticket: Ticket,
        /// What is asked.
        request: Request,
    },
    /// Another shard says something. Messages from one shard arrive in the order sent, none is
    /// lost, none comes twice.
    Peer {
        /// Which shard.
        from: ShardId,
        /// What it says.
        message: PeerMessage,
    },
    /// The answer to an entry of [`Effects::loads`]. It holds every fact that this shard emitted
    /// before it asked.
    Loaded {
        /// What was asked.
        load: Load,
        /// What is there.
        data: Result<Loaded, LoadFailed>,
    },
    /// Time passes: sends what is due to watchers, and evicts down to the memory budget. Wanted
    /// every few milliseconds while [`Shard::wants_tick`](crate::shard::Shard::wants_tick).
    Tick,
}

/// Why a load gave nothing. What waited for the data is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadFailed {
    /// The store could not be read: a disk that fails, or a server that ends.
    Unreadable,
    /// A row of what was asked for is damaged; everything else can be read.
    Damaged(Box<Damaged>),
}

impl LoadFailed {
    /// The error for those who waited.
    pub fn error(&self) -> Error {
        match self {
            Self::Unreadable => Error::Storage,
            Self::Damaged(damaged) => Error::Damaged(damaged.clone()),
        }
    }
}

/// What a shard needs from the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// [`Loaded::Facts`]: the user's erasure, floors, roles, all state rows, and of each channel the
    /// mentions and own messages above the later of cursor and join.
    User(UserKey),
    /// [`Loaded::Facts`]: one state row with all mentions and own messages above a position.
    Detail {
        /// Who.
        user: UserKey,
        /// Where.
        channel: ChannelKey,
        /// Only ids above this are wanted.
        above: Position,
    },
    /// [`Loaded::Channel`].
    Channel(ChannelKey),
    /// [`Loaded::Facts`]: the one message's row, if there is one.
    Message {
        /// Where.
        channel: ChannelKey,
        /// Which.
        id: MessageId,
    },
    /// [`Loaded::Receipts`].
    Receipts {
        /// Where.
        channel: ChannelKey,
        /// The channel's space, whose floors count too.
        space: Option<Name>,
    },
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Facts in no particular order.
    Facts(Vec<Fact>),
    /// A whole channel.
    Channel(Box<ChannelData>),
    /// One row for each user who has a state row, mention or own message in the channel, sorted by
    /// user: everyone a drop has to reach.
    Receipts(Vec<ReceiptRow>),
}

/// A channel as loaded: ids apart from facts, so that a million plain messages cost 8 bytes each on
/// the way. Stale incarnations are left out already.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChannelData {
    /// When the channel was last dropped.
    pub dropped: Clock,
    /// Live messages that count, rising.
    pub countable: Vec<MessageId>,
    /// Live silent messages, rising.
    pub silent: Vec<MessageId>,
    /// Tombstones, rising.
    pub deleted: Vec<MessageId>,
    /// The highest id ever posted, deleted or not; 0 = none.
    pub tail: Position,
    /// Settings, trim, opaque ids, and the rows of those messages (deleted ones too) that name
    /// everyone or a role or that have an edit.
    pub facts: Vec<Fact>,
}

/// What receipts need to know of one user in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Who.
    pub user: UserKey,
    /// True = in the channel.
    pub member: bool,
    /// The public position, raised by the user's floors.
    pub public: Position,
}

/// What a shard wants done. The caller empties it after each turn, in this order: facts to the log,
/// then messages, replies, pushes and loads. A reply may leave once every fact that was handed to
/// the log before it, by this shard or by a shard whose message it has seen, is durable.
#[derive(Debug, Default)]
pub struct Effects {
    /// To the log, in order.
    pub facts: Vec<Fact>,
    /// To other shards, in order.
    pub messages: Vec<(ShardId, PeerMessage)>,
    /// To those who asked.
    pub replies: Vec<(Ticket, Result<Reply, Error>)>,
    /// To those who watch.
    pub pushes: Vec<(Ticket, Arc<Event>)>,
    /// To the store.
    pub loads: Vec<Load>,
}

impl Effects {
    /// True when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
            && self.messages.is_empty()
            && self.replies.is_empty()
            && self.pushes.is_empty()
            && self.loads.is_empty()
    }
}
