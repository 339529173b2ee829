//! Facts: the only thing that is logged, stored, exported and merged. Numbers are derived from them.
//!
//! A fact belongs to one partition, a user or a channel, and has a key inside it. Two facts of one
//! key merge into one: the same twice is the same once, and any order gives the same result. The
//! laws are property tests beside each type.
//!
//! An erasure (of a user, or a channel that is dropped) is a clock value. Every fact carries the
//! [`Incarnation`] it was made in, the latest erasure its maker knew; a fact of an earlier
//! incarnation than the partition's is gone for good, in whatever order the two arrive.

pub mod bytes;
pub mod channel;
pub mod codec;
#[cfg(any(test, feature = "proptest"))]
#[expect(
    clippy::unwrap_used,
    reason = "only tests use it, and the names in it are constants"
)]
pub mod strategy;
#[cfg(test)]
mod tests;
pub mod user;
pub mod value;

use crate::clock::Clock;
use crate::id::{ChannelKey, MessageId, Name, Position, UserKey};
pub use channel::{Edit, MessageRow, Posted, Receipts, Settings, Written};
pub use user::{Cursor, Era, Floor, FloorEntry, Membership, MuteLevel, Preference, StateRow};
pub use value::{FactKey, Part, Value};

/// The latest erasure that the maker of a fact knew of; 0 = none.
pub type Incarnation = Clock;

/// Merges what another owner, another time or a retry knows into this value.
///
/// Every implementation is idempotent, commutative and associative.
pub trait Merge {
    /// Takes in `other`.
    fn merge(&mut self, other: &Self);
}

/// One fact, with the partition and key it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Everything of this user made before the clock is gone. Merges by max.
    UserErased {
        /// Whose data.
        user: UserKey,
        /// The new incarnation.
        clock: Clock,
    },
    /// "Mark all read" of a user, everywhere or in one space.
    Floor {
        /// Whose.
        user: UserKey,
        /// Only channels of this space, or all.
        space: Option<Name>,
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// The entries.
        floor: Floor,
    },
    /// Whether a user holds a role. Last writer by clock; at one clock, holding wins.
    Role {
        /// Who.
        user: UserKey,
        /// Which role.
        role: Name,
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// When it was said.
        clock: Clock,
        /// True = holds it.
        held: bool,
    },
    /// What is known of a user in a channel, all but mentions and own messages.
    State {
        /// Who.
        user: UserKey,
        /// Where.
        channel: ChannelKey,
        /// The merged parts.
        row: StateRow,
    },
    /// A message (or an edit of it) names the user directly. Set union. It counts only while the
    /// channel's facts agree: the message is live and countable, and its latest edit, if any, still
    /// names the user.
    Mention {
        /// Who is named.
        user: UserKey,
        /// Where.
        channel: ChannelKey,
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// In which message.
        id: MessageId,
    },
    /// The user wrote the message, so it is never counted for them. Set union.
    Own {
        /// The author.
        user: UserKey,
        /// Where.
        channel: ChannelKey,
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// Which message.
        id: MessageId,
    },
    /// Everything of this channel made before the clock is gone. Merges by max.
    ChannelDropped {
        /// Which channel.
        channel: ChannelKey,
        /// The new incarnation.
        clock: Clock,
    },
    /// A channel's settings.
    Settings {
        /// Which channel.
        channel: ChannelKey,
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// The settings.
        settings: Settings,
    },
    /// Retention: this id and all below are out of every count. Merges by max of the position, and
    /// then by min of the time.
    Trim {
        /// Which channel.
        channel: ChannelKey,
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// Up to and including.
        position: Position,
        /// When the trim was asked for.
        clock: Clock,
    },
    /// What is known of a message.
    Message {
        /// Which channel.
        channel: ChannelKey,
        /// Which message.
        id: MessageId,
        /// The merged parts.
        row: MessageRow,
    },
    /// The place of an opaque id in the channel's order. Merges by min: the first arrival counts.
    OpaqueId {
        /// Which channel.
        channel: ChannelKey,
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// The caller's id: 1 to 128 bytes.
        text: Name,
        /// The numeric id it stands for inside Kidoku.
        id: MessageId,
    },
}

/// The unit that is loaded, evicted and owned as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// Everything of one user.
    User(UserKey),
    /// Everything of one channel.
    Channel(ChannelKey),
}

impl Fact {
    /// The partition this fact belongs to.
    pub fn partition(&self) -> Partition {
        match self {
            Self::UserErased { user, .. }
            | Self::Floor { user, .. }
            | Self::Role { user, .. }
            | Self::State { user, .. }
            | Self::Mention { user, .. }
            | Self::Own { user, .. } => Partition::User(user.clone()),
            Self::ChannelDropped { channel, .. }
            | Self::Settings { channel, .. }
            | Self::Trim { channel, .. }
            | Self::Message { channel, .. }
            | Self::OpaqueId { channel, .. } => Partition::Channel(channel.clone()),
        }
    }

    /// The incarnation the fact was made in; an erasure is the incarnation it begins.
    pub fn incarnation(&self) -> Incarnation {
        match self {
            Self::UserErased { clock, .. } | Self::ChannelDropped { clock, .. } => *clock,
            Self::Floor { incarnation, .. }
            | Self::Role { incarnation, .. }
            | Self::Mention { incarnation, .. }
            | Self::Own { incarnation, .. }
            | Self::Settings { incarnation, .. }
            | Self::Trim { incarnation, .. }
            | Self::OpaqueId { incarnation, .. } => *incarnation,
            Self::State { row, .. } => row.incarnation,
            Self::Message { row, .. } => row.incarnation,
        }
    }

    /// The highest clock in the fact. Whoever makes the next one has to be above it: the later of two
    /// memberships, eras or settings counts, and an opaque id has its place by the clock it came at.
    pub fn clock_max(&self) -> Clock {
        let inside = match self {
            Self::UserErased { clock, .. }
            | Self::ChannelDropped { clock, .. }
            | Self::Role { clock, .. }
            | Self::Trim { clock, .. } => *clock,
            Self::Floor { floor, .. } => floor
                .entries()
                .last()
                .map_or(Clock::NEVER, |entry| entry.clock),
            Self::State { row, .. } => {
                let membership = row.membership.map(|membership| membership.clock);
                let preference = row.preference.map(|preference| preference.clock);
                let later = membership.max(preference).unwrap_or_default();
                row.cursor.era.max(later)
            }
            Self::Settings { settings, .. } => settings
                .space
                .clock
                .max(settings.parent.clock)
                .max(settings.receipts.clock),
            // The id is the clock without its lowest bit, which is one of the owner.
            Self::OpaqueId { id, .. } => Clock(id.get() << 1),
            Self::Mention { .. } | Self::Own { .. } | Self::Message { .. } => Clock::NEVER,
        };
        inside.max(self.incarnation())
    }
}
