//! What a shard answers.

use crate::clock::{Clock, Millis};
use crate::fact::{Era, MuteLevel, Receipts};
use crate::id::{ChannelKey, MessageId, Name, Position, UserKey};

/// A user's numbers in one channel. For someone who is not a member all numbers are 0.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ReadState {
    /// Live countable messages above the line, own ones excluded.
    pub unread: u64,
    /// Distinct live messages above the line that name the user, directly, by role or everyone.
    pub mentions: u64,
    /// The oldest message that counts.
    pub first_unread: Option<MessageId>,
    /// The cursor's position; 0 = none.
    pub cursor: Position,
    /// The cursor's era; give it back with an ack.
    pub era: Era,
    /// The newest live message.
    pub last: Option<MessageId>,
    /// The mute level in force.
    pub muted: MuteLevel,
    /// True = in the channel.
    pub member: bool,
    /// The same two numbers summed over the followed threads of this channel.
    pub threads_unread: u64,
    /// See `threads_unread`.
    pub threads_mentions: u64,
    /// True = a followed thread that is, or may be, one of this channel can not be read, so that the
    /// two sums above may be too low.
    pub threads_damaged: bool,
}

/// A user's totals. Each channel and followed thread counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Badge {
    /// Sum of unread.
    pub unread: u64,
    /// Sum of mentions.
    pub mentions: u64,
    /// Channels with unread.
    pub channels: u64,
    /// The same without what is muted.
    pub unmuted_unread: u64,
    /// The same without what is muted; of channels muted to `MENTIONS`, direct mentions only.
    pub unmuted_mentions: u64,
    /// Channels with something in the two numbers above.
    pub unmuted_channels: u64,
    /// The revision these numbers belong to.
    pub rev: Clock,
}

/// Which part of a read state set the line from which messages count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinePart {
    /// Nothing: all messages count.
    Nothing,
    /// The channel's retention.
    Trim,
    /// The join.
    Join,
    /// An ack-all of one space.
    SpaceFloor,
    /// An ack-all.
    Floor,
    /// The cursor: an ack or a mark unread.
    Cursor,
}

impl LinePart {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Trim => "trim",
            Self::Join => "join",
            Self::SpaceFloor => "space_floor",
            Self::Floor => "floor",
            Self::Cursor => "cursor",
        }
    }
}

/// Why a number is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The read state being explained.
    pub state: ReadState,
    /// Messages above this position count.
    pub line: Position,
    /// Which part set the line.
    pub part: LinePart,
    /// When that part was set; `None` = not known.
    pub set_at: Option<Millis>,
    /// The channel's highest floor for this user that is newer than the era, 0 = none.
    pub floor: Position,
    /// Where the membership starts; 0 = at the beginning.
    pub join: Position,
    /// The channel's trim; 0 = none.
    pub trim: Position,
    /// The ids that make `unread`, one page of them, rising.
    pub unread_ids: Vec<MessageId>,
    /// Those of the page that also make `mentions`.
    pub mention_ids: Vec<MessageId>,
    /// Own messages above the line, which do not count: how many.
    pub own: u64,
    /// Where the next page begins; `None` = this was the last.
    pub next: Option<MessageId>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named as in the command table")]
pub enum Reply {
    Ok,
    Number(u64),
    ReadState(Box<ReadState>),
    ReadStates(Vec<ReadState>),
    State {
        rev: Clock,
        channels: Vec<(ChannelKey, ReadState)>,
        /// Channels of this page that are left out, because what is stored of them is damaged.
        damaged: Vec<ChannelKey>,
        next: Option<Name>,
    },
    Badge(Box<Badge>),
    Seen {
        count: u64,
        members: u64,
        users: Option<Vec<UserKey>>,
        next: Option<Name>,
    },
    Settings {
        space: Option<Name>,
        parent: Option<Name>,
        receipts: Receipts,
    },
    Explanation(Box<Explanation>),
    /// Receipt of erasure: when, and how much went.
    Erased {
        clock: Clock,
        channels: u64,
        mentions: u64,
        messages: u64,
    },
    Resolved(Vec<MessageId>),
    Names(Vec<Option<Name>>),
}

/// What a watched user's devices are told: absolute numbers, never "+1".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose numbers.
    pub user: UserKey,
    /// Devices drop an event whose revision is not above the one they have.
    pub rev: Clock,
    /// True = `channels` holds every channel the user is in: what a new watcher is told first.
    pub all: bool,
    /// The channels that changed.
    pub channels: Vec<(ChannelKey, ReadState)>,
    /// Channels the user is in of which nothing can be told, because what is stored of them is
    /// damaged.
    pub damaged: Vec<ChannelKey>,
    /// The totals after the change; `None` = a channel is damaged, so there are none.
    pub badge: Option<Badge>,
}
