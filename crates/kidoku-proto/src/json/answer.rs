//! Answers that go out, made from the core's replies.

use crate::resp::reply::IdNames;
use kidoku_core::fact::Receipts;
use kidoku_core::id::{ChannelKey, MessageId, Name, Position, UserKey};
use kidoku_core::reply;
use serde::Serialize;

/// How the message ids of an answer are written.
#[derive(Clone, Copy)]
pub struct Ids<'a> {
    /// The callers' own ids, in an app whose ids are opaque; `None` = ids are numbers.
    pub names: Option<&'a dyn IdNames>,
}

impl std::fmt::Debug for Ids<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ids")
            .field("opaque", &self.names.is_some())
            .finish()
    }
}

impl Ids<'_> {
    fn text(&self, channel: &ChannelKey, id: MessageId) -> String {
        let name = self.names.and_then(|names| names.name(channel, id));
        name.map_or_else(|| id.get().to_string(), str::to_owned)
    }

    fn texts(&self, channel: &ChannelKey, ids: &[MessageId]) -> Vec<String> {
        ids.iter().map(|id| self.text(channel, *id)).collect()
    }

    /// `0` = before the first message, in every kind of ids.
    fn position(&self, channel: &ChannelKey, position: Position) -> String {
        MessageId::new(position.0).map_or_else(|_| "0".to_owned(), |id| self.text(channel, id))
    }
}

/// How many things were changed by a request; 0 = all of it was known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Changed {
    /// The number.
    pub changed: u64,
}

/// A user's numbers in one channel. For someone who is not a member all numbers are 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReadState {
    /// Messages that count, own ones excluded.
    pub unread: u64,
    /// Those of them that name the user, directly, by role or everyone.
    pub mentions: u64,
    /// The oldest message that counts.
    pub first_unread: Option<String>,
    /// Read up to and including this message; `0` = none.
    pub cursor: String,
    /// Give it back with an ack.
    pub era: String,
    /// The newest message.
    pub last: Option<String>,
    /// The mute level in force: `NONE`, `MENTIONS` or `ALL`.
    pub muted: &'static str,
    /// True = in the channel.
    pub member: bool,
    /// Sum of unread over the followed threads of the channel.
    pub threads_unread: u64,
    /// Sum of mentions over the followed threads of the channel.
    pub threads_mentions: u64,
    /// Only there, and then true, when a followed thread that is, or may be, one of this channel can
    /// not be read: the two sums above may be too low.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_damaged: Option<bool>,
}

impl ReadState {
    /// The read state of a user in `channel`.
    pub fn new(channel: &ChannelKey, state: &reply::ReadState, ids: &Ids<'_>) -> Self {
        Self {
            unread: state.unread,
            mentions: state.mentions,
            first_unread: state.first_unread.map(|id| ids.text(channel, id)),
            cursor: ids.position(channel, state.cursor),
            era: state.era.0.to_string(),
            last: state.last.map(|id| ids.text(channel, id)),
            muted: state.muted.as_str(),
            member: state.member,
            threads_unread: state.threads_unread,
            threads_mentions: state.threads_mentions,
            threads_damaged: state.threads_damaged.then_some(true),
        }
    }
}

/// The answer to an ack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Acked {
    /// 1 = the cursor moved, 0 = it was there already or the era is old.
    Changed(Changed),
    /// With `count`: the read state after the ack.
    ReadState(ReadState),
}

/// A channel with its read state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelState {
    /// Which channel.
    pub channel: String,
    /// The numbers.
    #[serde(flatten)]
    pub state: ReadState,
}

/// A page of a user's read states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct State {
    /// The revision these numbers belong to. Of several pages the first one's is the one to ask with
    /// as `since` next time.
    pub rev: String,
    /// The channels, sorted by name.
    pub channels: Vec<ChannelState>,
    /// Only there when there are some: channels that are left out, because what is stored of them is
    /// damaged. Sorted by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Vec<String>>,
    /// Give it as `after` for the next page; null = this was the last.
    pub next: Option<String>,
}

impl State {
    /// A page from its parts.
    pub fn new(
        rev: kidoku_core::clock::Clock,
        channels: &[(ChannelKey, reply::ReadState)],
        damaged: &[ChannelKey],
        next: Option<&Name>,
        ids: &Ids<'_>,
    ) -> Self {
        let entry = |(channel, state): &(ChannelKey, reply::ReadState)| ChannelState {
            channel: channel.name().to_owned(),
            state: ReadState::new(channel, state, ids),
        };
        Self {
            rev: rev.0.to_string(),
            channels: channels.iter().map(entry).collect(),
            damaged: damaged_names(damaged),
            next: next.map(|name| name.as_str().to_owned()),
        }
    }
}

/// The names of channels that can not be read, if there are any.
pub fn damaged_names(damaged: &[ChannelKey]) -> Option<Vec<String>> {
    let names = damaged.iter().map(|channel| channel.name().to_owned());
    (!damaged.is_empty()).then(|| names.collect())
}

/// A user's totals. Each channel and followed thread counts once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Badge {
    /// Sum of unread.
    pub unread: u64,
    /// Sum of mentions.
    pub mentions: u64,
    /// Channels with unread.
    pub channels: u64,
    /// Sum of unread without what is muted.
    pub unmuted_unread: u64,
    /// Sum of mentions without what is muted.
    pub unmuted_mentions: u64,
    /// Channels with something in the two numbers above.
    pub unmuted_channels: u64,
    /// The revision these numbers belong to.
    pub rev: String,
}

impl From<&reply::Badge> for Badge {
    fn from(badge: &reply::Badge) -> Self {
        Self {
            unread: badge.unread,
            mentions: badge.mentions,
            channels: badge.channels,
            unmuted_unread: badge.unmuted_unread,
            unmuted_mentions: badge.unmuted_mentions,
            unmuted_channels: badge.unmuted_channels,
            rev: badge.rev.0.to_string(),
        }
    }
}

/// Who has read a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Seen {
    /// Members who have read it, its author excluded.
    pub count: u64,
    /// Members, its author excluded.
    pub members: u64,
    /// With `list`: who has read it, sorted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<String>>,
    /// With `list`: give it as `after` for the next page; null = this was the last.
    pub next: Option<String>,
}

impl Seen {
    /// An answer from its parts.
    pub fn new(count: u64, members: u64, users: Option<&[UserKey]>, next: Option<&Name>) -> Self {
        let names = |users: &[UserKey]| users.iter().map(|user| user.name().to_owned()).collect();
        Self {
            count,
            members,
            users: users.map(names),
            next: next.map(|name| name.as_str().to_owned()),
        }
    }
}

/// Settings of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Settings {
    /// The space the channel belongs to.
    pub space: Option<String>,
    /// The channel of which it is a thread.
    pub parent: Option<String>,
    /// What members see of who has read what: `OFF`, `COUNT` or `LIST`.
    pub receipts: &'static str,
}

impl Settings {
    /// Settings from their parts.
    pub fn new(space: Option<&Name>, parent: Option<&Name>, receipts: Receipts) -> Self {
        let text = |name: &Name| name.as_str().to_owned();
        Self {
            space: space.map(text),
            parent: parent.map(text),
            receipts: receipts.as_str(),
        }
    }
}

/// Why a number is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The read state that is explained.
    pub state: ReadState,
    /// Messages above this one count; `0` = all.
    pub line: String,
    /// What set the line: `nothing`, `trim`, `join`, `space_floor`, `floor` or `cursor`.
    pub part: &'static str,
    /// When that was set, in milliseconds since 1970; null = not known.
    pub set_at: Option<u64>,
    /// The highest ack-all newer than the era; `0` = none.
    pub floor: String,
    /// Where the membership starts; `0` = at the beginning.
    pub join: String,
    /// The channel's trim; `0` = none.
    pub trim: String,
    /// The ids that make `unread`, one page of them, rising.
    pub unread_ids: Vec<String>,
    /// Those of the page that also make `mentions`.
    pub mention_ids: Vec<String>,
    /// Own messages above the line, which do not count: how many.
    pub own: u64,
    /// Give it as `after` for the next page; null = this was the last.
    pub next: Option<String>,
}

impl Explanation {
    /// The explanation of a user's numbers in `channel`.
    pub fn new(channel: &ChannelKey, why: &reply::Explanation, ids: &Ids<'_>) -> Self {
        Self {
            state: ReadState::new(channel, &why.state, ids),
            line: ids.position(channel, why.line),
            part: why.part.as_str(),
            set_at: why.set_at.map(|time| time.0),
            floor: ids.position(channel, why.floor),
            join: ids.position(channel, why.join),
            trim: ids.position(channel, why.trim),
            unread_ids: ids.texts(channel, &why.unread_ids),
            mention_ids: ids.texts(channel, &why.mention_ids),
            own: why.own,
            next: why.next.map(|id| ids.text(channel, id)),
        }
    }
}

/// The receipt of an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Erased {
    /// When, in milliseconds since 1970.
    pub erased_at: u64,
    /// Read states that went.
    pub channels: u64,
    /// Mentions that went.
    pub mentions: u64,
    /// Messages that went or lost their author.
    pub messages: u64,
}

/// A line of events that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailedLine {
    /// Which line, from 1.
    pub line: u64,
    /// The error word.
    pub code: &'static str,
    /// What, which field, and the limit.
    pub detail: String,
}

/// What became of a stream of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventsReport {
    /// Lines read, blank ones not counted.
    pub lines: u64,
    /// Lines that were accepted; they are durable.
    pub applied: u64,
    /// Lines that changed something; the others were known already.
    pub changed: u64,
    /// Lines that were refused.
    pub failed: u64,
    /// The first 100 lines that were refused, in order.
    pub errors: Vec<FailedLine>,
}
