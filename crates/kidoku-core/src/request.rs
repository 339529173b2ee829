//! What may be asked of a shard. The edge has checked every name, number and length before one of
//! these is built, so a request is valid as it stands.

use crate::clock::{Clock, Millis};
use crate::fact::{Era, Fact, MuteLevel, Receipts};
use crate::id::{App, ChannelKey, MessageId, Name, ShardId, UserKey};
use crate::planted::{self, Bug};

/// Where a new member's unread starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinAt {
    /// After the highest id ever posted, deleted or not.
    Tail,
    /// Before the first message.
    Start,
    /// After this id.
    After(MessageId),
}

/// A new message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Its id.
    pub id: MessageId,
    /// Its author, if it has one.
    pub author: Option<UserKey>,
    /// True = posting does not ack the message for its author (bots, API).
    pub noack: bool,
    /// True = counts nothing (join and leave notices).
    pub silent: bool,
    /// Whom it names.
    pub mentions: MentionList,
}

/// Whom a message names. Duplicates are allowed and count once.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MentionList {
    /// Everyone in the channel.
    pub everyone: bool,
    /// The holders of these roles.
    pub roles: Vec<Name>,
    /// These users.
    pub users: Vec<UserKey>,
}

/// A page of a list: up to `limit` entries after `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// 1 to [`PAGE_ENTRIES_MAX`](crate::limits::PAGE_ENTRIES_MAX).
    pub limit: usize,
    /// The last entry of the page before, or the beginning.
    pub after: Option<T>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            limit: crate::limits::PAGE_ENTRIES_DEFAULT,
            after: None,
        }
    }
}

/// One request; the table in the README says what each does and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named as in the command table")]
pub enum Request {
    /// Answers [`Reply::Number`](crate::reply::Reply::Number): users that joined now.
    Join {
        channel: ChannelKey,
        users: Vec<UserKey>,
        at: JoinAt,
    },
    /// Answers the number that left now.
    Leave {
        channel: ChannelKey,
        users: Vec<UserKey>,
    },
    /// Answers 1 for a new message, 0 for one already known.
    Post { channel: ChannelKey, post: Post },
    /// Answers the number newly deleted.
    Delete {
        channel: ChannelKey,
        ids: Vec<MessageId>,
    },
    /// Answers 1 when applied, 0 when an edit at least as new is known.
    Edit {
        channel: ChannelKey,
        id: MessageId,
        version: u64,
        mentions: MentionList,
    },
    /// Answers 1 when the cursor moved, 0 when not; with `count`, the read state.
    Ack {
        user: UserKey,
        channel: ChannelKey,
        id: MessageId,
        era: Option<Era>,
        private: bool,
        count: bool,
    },
    /// Answers the number of cursors that moved.
    AckMany {
        user: UserKey,
        acks: Vec<(ChannelKey, MessageId)>,
    },
    /// Answers the badge.
    AckAll {
        user: UserKey,
        upto: MessageId,
        space: Option<Name>,
    },
    /// Answers the read state.
    MarkUnread {
        user: UserKey,
        channel: ChannelKey,
        id: MessageId,
    },
    /// Answers OK. `until` 0 = no end.
    Mute {
        user: UserKey,
        channel: ChannelKey,
        level: MuteLevel,
        until: Millis,
    },
    /// Answers the read states, in the order asked.
    Count {
        user: UserKey,
        channels: Vec<ChannelKey>,
    },
    /// Answers the user's channels, all or those changed after `since`.
    State {
        user: UserKey,
        since: Option<Clock>,
        page: Page<Name>,
    },
    /// Answers the totals.
    Badge { user: UserKey, space: Option<Name> },
    /// Answers how many members have read a message, and with `list` a page of who.
    Seen {
        channel: ChannelKey,
        id: MessageId,
        list: Option<Page<Name>>,
    },
    /// Changes what is `Some` and answers the settings; an inner `None` clears.
    Channel {
        channel: ChannelKey,
        space: Option<Option<Name>>,
        parent: Option<Option<Name>>,
        receipts: Option<Receipts>,
    },
    /// Answers the number of users for whom that changed.
    Role {
        app: App,
        role: Name,
        users: Vec<UserKey>,
        held: bool,
    },
    /// Follows or unfollows a thread; answers the number changed.
    Follow {
        user: UserKey,
        thread: ChannelKey,
        on: bool,
    },
    /// Takes an id and all below out of every count; answers the number of messages that went.
    Trim { channel: ChannelKey, id: MessageId },
    /// Answers which line counts and the ids that make the number.
    Explain {
        user: UserKey,
        channel: ChannelKey,
        page: Page<MessageId>,
    },
    /// Erases a user; answers what went.
    Erase { user: UserKey },
    /// Drops a channel; answers what went.
    Drop { channel: ChannelKey },
    /// Merges facts as they stand, with no side effect; answers 1 when something changed.
    Merge { fact: Fact },
    /// Device events of the user go to `watcher` until told otherwise; answers OK.
    Watch { user: UserKey, watcher: Ticket },
    /// Ends a watch; answers OK.
    Unwatch { user: UserKey, watcher: Ticket },
    /// Gives each opaque id its place in the channel, a new one to those not seen before.
    Resolve {
        channel: ChannelKey,
        texts: Vec<Name>,
    },
    /// The opaque ids at the given places.
    Names {
        channel: ChannelKey,
        ids: Vec<MessageId>,
    },
}

/// Who waits for a reply or for events: made by the caller, given back untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The core that asked.
    pub core: ShardId,
    /// What it calls the asker.
    pub id: u64,
}

/// Which of two kinds of shard a request goes to first. A connection may send requests of one
/// class without waiting; before one of the other class it waits until all before are applied, so
/// that a pipeline has the effect of one command after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The owner of the channel.
    Channel,
    /// The owner of the user.
    User,
}

impl Request {
    /// The class of the request.
    pub fn class(&self) -> Class {
        match self {
            Self::Join { .. }
            | Self::Leave { .. }
            | Self::Post { .. }
            | Self::Delete { .. }
            | Self::Edit { .. }
            | Self::Seen { .. }
            | Self::Channel { .. }
            | Self::Role { .. }
            | Self::Follow { .. }
            | Self::Trim { .. }
            | Self::Drop { .. }
            | Self::Resolve { .. }
            | Self::Names { .. } => Class::Channel,
            Self::Ack { .. }
            | Self::AckMany { .. }
            | Self::AckAll { .. }
            | Self::MarkUnread { .. }
            | Self::Mute { .. }
            | Self::Count { .. }
            | Self::State { .. }
            | Self::Badge { .. }
            | Self::Explain { .. }
            | Self::Erase { .. }
            | Self::Watch { .. }
            | Self::Unwatch { .. } => Class::User,
            Self::Merge { fact } => match fact.partition() {
                crate::fact::Partition::User(_) => Class::User,
                crate::fact::Partition::Channel(_) => Class::Channel,
            },
        }
    }

    /// The shard that coordinates the request.
    pub fn owner(&self, placement: &crate::placement::Placement) -> ShardId {
        match self {
            Self::Join { channel, .. }
            | Self::Leave { channel, .. }
            | Self::Post { channel, .. }
            | Self::Delete { channel, .. }
            | Self::Edit { channel, .. }
            | Self::Seen { channel, .. }
            | Self::Channel { channel, .. }
            | Self::Follow {
                thread: channel, ..
            }
            | Self::Trim { channel, .. }
            | Self::Drop { channel }
            | Self::Resolve { channel, .. }
            | Self::Names { channel, .. } => placement.of_channel(channel),
            Self::MarkUnread { channel, .. } if planted::is(Bug::WrongShard) => {
                placement.of_channel(channel)
            }
            Self::Ack { user, .. }
            | Self::AckMany { user, .. }
            | Self::AckAll { user, .. }
            | Self::MarkUnread { user, .. }
            | Self::Mute { user, .. }
            | Self::Count { user, .. }
            | Self::State { user, .. }
            | Self::Badge { user, .. }
            | Self::Explain { user, .. }
            | Self::Erase { user }
            | Self::Watch { user, .. }
            | Self::Unwatch { user, .. } => placement.of_user(user),
            Self::Role { app, role, .. } => placement.of_role(app, role),
            Self::Merge { fact } => match fact.partition() {
                crate::fact::Partition::User(user) => placement.of_user(&user),
                crate::fact::Partition::Channel(channel) => placement.of_channel(&channel),
            },
        }
    }
}
