//! What shards say to one another.

use super::query::{CountAnswer, CountQuery};
use crate::clock::Clock;
use crate::effect::ReceiptRow;
use crate::error::Error;
use crate::id::{ChannelKey, MessageId, Name, Position, UserKey};

/// What one shard tells another; opaque to everyone else.
#[derive(Clone, Debug)]
pub struct PeerMessage {
    /// The sender's clock: the receiver's later ticks are above it.
    pub(crate) clock: Clock,
    pub(crate) body: Body,
}

/// The number a shard gives a question, so that it knows the answer.
pub(crate) type CallId = u64;

/// A change at a user's shard, answered by [`Body::Done`].
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Done says 1 when the user joined now.
    Join { from: Position },
    /// Done says 1 when the user left now.
    Leave,
    /// The user wrote a message. Done says 0.
    Wrote {
        id: MessageId,
        ack: bool,
        known: bool,
        thread: bool,
    },
    /// A message, or an edit of it, names the user. Done says 0.
    Named {
        id: MessageId,
        known: bool,
        thread: bool,
        edit: bool,
    },
    /// The channel was dropped. Done says 0.
    Dropped { clock: Clock },
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// To the user's shard.
    Change {
        call: CallId,
        user: UserKey,
        channel: ChannelKey,
        change: Change,
    },
    /// To the user's shard; done says 1 when that changed.
    Role {
        call: CallId,
        user: UserKey,
        role: Name,
        held: bool,
        clock: Clock,
    },
    /// To the channel's shard; answered by `Counted`.
    Count {
        call: CallId,
        query: Box<CountQuery>,
    },
    Counted {
        call: CallId,
        /// In the order of the items.
        answers: Vec<Result<CountAnswer, Error>>,
    },
    /// To the channel's shard; answered by `TailIs`.
    Tail { call: CallId, channel: ChannelKey },
    TailIs {
        call: CallId,
        tail: Result<Position, Error>,
    },
    /// To the channel's shard, which has asked for it: what receipts show of a user now.
    Receipt {
        call: CallId,
        channel: ChannelKey,
        row: ReceiptRow,
        spaces: Vec<(Name, Position)>,
    },
    /// To the channel's shard: what it has of receipts may be out of date.
    ReceiptsStale { call: CallId, channel: ChannelKey },
    /// To all shards: tell me of changed receipts from now on, or not any more.
    WatchReceipts {
        call: CallId,
        channel: ChannelKey,
        on: bool,
    },
    /// To the channel's shard: the author of these messages was erased.
    Unauthor {
        call: CallId,
        channel: ChannelKey,
        ids: Vec<MessageId>,
    },
    /// To all shards: the channel's parent, `None` = ask again.
    ParentChanged {
        call: CallId,
        channel: ChannelKey,
        parent: Option<Option<Name>>,
        /// It was, or may have been, a thread of another channel before.
        moved: bool,
    },
    /// The answer to every question that has no other.
    Done {
        call: CallId,
        changed: Result<u64, Error>,
    },
    /// To the channel's shard: tell me, or not any more, when readers would see a change.
    Subscribe { channel: ChannelKey, on: bool },
    /// Readers of the channel would see a change.
    ChannelChanged { channel: ChannelKey },
}
