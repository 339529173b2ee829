//! A fact taken apart: the key that says what it is about, and the value that merges.
//!
//! The log, the overlay and the store keep keys and values; shards speak of whole facts.

use super::codec::DecodeError;
use super::{Fact, Floor, Incarnation, Merge, MessageRow, Settings, StateRow};
use crate::clock::Clock;
use crate::id::{
    App, ChannelKey, MessageId, Name, NameKind, Position, UserKey, check_app, check_name,
};

/// What a fact is about. Borrows its names, which are not checked: [`Fact::join`] does that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactKey<'a> {
    /// The app of everything in the fact.
    pub app: &'a str,
    /// The user or channel whose partition it is in.
    pub owner: &'a str,
    /// Where in the partition.
    pub part: Part<'a>,
}

/// Where in its partition a fact stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// [`Fact::UserErased`].
    UserErased,
    /// [`Fact::Floor`], of a space or of everything.
    Floor(Option<&'a str>),
    /// [`Fact::Role`], by role.
    Role(&'a str),
    /// [`Fact::State`], by channel.
    State(&'a str),
    /// [`Fact::Mention`], by channel and message.
    Mention(&'a str, MessageId),
    /// [`Fact::Own`], by channel and message.
    Own(&'a str, MessageId),
    /// [`Fact::ChannelDropped`].
    ChannelDropped,
    /// [`Fact::Settings`].
    Settings,
    /// [`Fact::Trim`].
    Trim,
    /// [`Fact::Message`], by message.
    Message(MessageId),
    /// [`Fact::OpaqueId`], by its text.
    OpaqueId(&'a str),
}

impl FactKey<'_> {
    /// True when the owner is a user.
    pub fn is_of_user(&self) -> bool {
        match self.part {
            Part::UserErased
            | Part::Floor(_)
            | Part::Role(_)
            | Part::State(_)
            | Part::Mention(..)
            | Part::Own(..) => true,
            Part::ChannelDropped
            | Part::Settings
            | Part::Trim
            | Part::Message(_)
            | Part::OpaqueId(_) => false,
        }
    }

    /// Checks every name.
    ///
    /// # Errors
    /// [`DecodeError::Name`] with the rule that is broken.
    pub fn check(&self) -> Result<(), DecodeError> {
        check_app(self.app)?;
        let kind = if self.is_of_user() {
            NameKind::User
        } else {
            NameKind::Channel
        };
        check_name(kind, self.owner)?;
        match self.part {
            Part::Floor(Some(space)) => check_name(NameKind::Space, space)?,
            Part::Role(role) => check_name(NameKind::Role, role)?,
            Part::State(name)
            | Part::Mention(name, _)
            | Part::Own(name, _)
            | Part::OpaqueId(name) => check_name(NameKind::Channel, name)?,
            Part::UserErased
            | Part::Floor(None)
            | Part::ChannelDropped
            | Part::Settings
            | Part::Trim
            | Part::Message(_) => {}
        }
        Ok(())
    }
}

/// What a fact says. Two values of one key merge into one; the merge of a later incarnation with an
/// earlier one is the later one whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of [`Fact::UserErased`] and [`Fact::ChannelDropped`]. Merges by max.
    Erased(Clock),
    /// Of [`Fact::Floor`].
    Floor {
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// The entries.
        floor: Floor,
    },
    /// Of [`Fact::Role`]. Last writer by clock; at one clock, holding wins.
    Role {
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// When it was said.
        clock: Clock,
        /// True = holds it.
        held: bool,
    },
    /// Of [`Fact::State`].
    State(Box<StateRow>),
    /// Of [`Fact::Mention`] and [`Fact::Own`]: the key says it all.
    Mark(Incarnation),
    /// Of [`Fact::Settings`].
    Settings {
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// The settings.
        settings: Box<Settings>,
    },
    /// Of [`Fact::Trim`]. Merges by max of the position, and then by min of the time.
    Trim {
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// Up to and including.
        position: Position,
        /// When the trim was asked for.
        clock: Clock,
    },
    /// Of [`Fact::Message`].
    Message(Box<MessageRow>),
    /// Of [`Fact::OpaqueId`]. Merges by min.
    OpaqueId {
        /// See [`Incarnation`].
        incarnation: Incarnation,
        /// The numeric id.
        id: MessageId,
    },
}

impl Value {
    /// The incarnation the value was made in; an erasure is the incarnation it begins.
    pub fn incarnation(&self) -> Incarnation {
        match self {
            Self::Erased(incarnation)
            | Self::Floor { incarnation, .. }
            | Self::Role { incarnation, .. }
            | Self::Mark(incarnation)
            | Self::Settings { incarnation, .. }
            | Self::Trim { incarnation, .. }
            | Self::OpaqueId { incarnation, .. } => *incarnation,
            Self::State(row) => row.incarnation,
            Self::Message(row) => row.incarnation,
        }
    }

    /// True when a value of this kind can stand at `part`.
    pub fn fits(&self, part: Part<'_>) -> bool {
        matches!(
            (self, part),
            (Self::Erased(_), Part::UserErased | Part::ChannelDropped)
                | (Self::Floor { .. }, Part::Floor(_))
                | (Self::Role { .. }, Part::Role(_))
                | (Self::State(_), Part::State(_))
                | (Self::Mark(_), Part::Mention(..) | Part::Own(..))
                | (Self::Settings { .. }, Part::Settings)
                | (Self::Trim { .. }, Part::Trim)
                | (Self::Message(_), Part::Message(_))
                | (Self::OpaqueId { .. }, Part::OpaqueId(_))
        )
    }

    /// Merges two values of one kind and one incarnation.
    fn merge_within(&mut self, other: &Self) {
        match (self, other) {
            (Self::Floor { floor, .. }, Self::Floor { floor: theirs, .. }) => floor.merge(theirs),
            (
                Self::Role { clock, held, .. },
                Self::Role {
                    clock: at,
                    held: holds,
                    ..
                },
            ) => {
                (*clock, *held) = (*clock, *held).max((*at, *holds));
            }
            (Self::State(row), Self::State(theirs)) => row.merge(theirs),
            (
                Self::Settings { settings, .. },
                Self::Settings {
                    settings: theirs, ..
                },
            ) => {
                settings.merge(theirs);
            }
            (
                Self::Trim {
                    position, clock, ..
                },
                Self::Trim {
                    position: up_to,
                    clock: at,
                    ..
                },
            ) => {
                if (*up_to, std::cmp::Reverse(*at)) > (*position, std::cmp::Reverse(*clock)) {
                    (*position, *clock) = (*up_to, *at);
                }
            }
            (Self::Message(row), Self::Message(theirs)) => row.merge(theirs),
            (Self::OpaqueId { id, .. }, Self::OpaqueId { id: theirs, .. }) => {
                *id = (*id).min(*theirs);
            }
            // Erasures and marks of one incarnation are equal. Two kinds never share a key: what is
            // read is checked with `fits` first.
            (_, _) => {}
        }
    }
}

impl Merge for Value {
    fn merge(&mut self, other: &Self) {
        match self.incarnation().cmp(&other.incarnation()) {
            std::cmp::Ordering::Less => self.clone_from(other),
            std::cmp::Ordering::Equal => self.merge_within(other),
            std::cmp::Ordering::Greater => {}
        }
        if let Self::Message(row) = self {
            row.normalize();
        }
    }
}

impl Fact {
    /// The key of this fact. User and channel of one fact are of one app.
    pub fn key(&self) -> FactKey<'_> {
        let (app, owner, part) = match self {
            Self::UserErased { user, .. } => (user.app_str(), user.name(), Part::UserErased),
            Self::Floor { user, space, .. } => {
                let space = space.as_ref().map(Name::as_str);
                (user.app_str(), user.name(), Part::Floor(space))
            }
            Self::Role { user, role, .. } => {
                (user.app_str(), user.name(), Part::Role(role.as_str()))
            }
            Self::State { user, channel, .. } => {
                debug_assert_eq!(user.app_str(), channel.app_str(), "a fact is of one app");
                (user.app_str(), user.name(), Part::State(channel.name()))
            }
            Self::Mention {
                user, channel, id, ..
            } => (
                user.app_str(),
                user.name(),
                Part::Mention(channel.name(), *id),
            ),
            Self::Own {
                user, channel, id, ..
            } => (user.app_str(), user.name(), Part::Own(channel.name(), *id)),
            Self::ChannelDropped { channel, .. } => {
                (channel.app_str(), channel.name(), Part::ChannelDropped)
            }
            Self::Settings { channel, .. } => (channel.app_str(), channel.name(), Part::Settings),
            Self::Trim { channel, .. } => (channel.app_str(), channel.name(), Part::Trim),
            Self::Message { channel, id, .. } => {
                (channel.app_str(), channel.name(), Part::Message(*id))
            }
            Self::OpaqueId { channel, text, .. } => (
                channel.app_str(),
                channel.name(),
                Part::OpaqueId(text.as_str()),
            ),
        };
        FactKey { app, owner, part }
    }

    /// The value of this fact.
    pub fn value(&self) -> Value {
        match self {
            Self::UserErased { clock, .. } | Self::ChannelDropped { clock, .. } => {
                Value::Erased(*clock)
            }
            Self::Floor {
                incarnation, floor, ..
            } => Value::Floor {
                incarnation: *incarnation,
                floor: floor.clone(),
            },
            Self::Role {
                incarnation,
                clock,
                held,
                ..
            } => Value::Role {
                incarnation: *incarnation,
                clock: *clock,
                held: *held,
            },
            Self::State { row, .. } => Value::State(Box::new(*row)),
            Self::Mention { incarnation, .. } | Self::Own { incarnation, .. } => {
                Value::Mark(*incarnation)
            }
            Self::Settings {
                incarnation,
                settings,
                ..
            } => Value::Settings {
                incarnation: *incarnation,
                settings: Box::new(settings.clone()),
            },
            Self::Trim {
                incarnation,
                position,
                clock,
                ..
            } => Value::Trim {
                incarnation: *incarnation,
                position: *position,
                clock: *clock,
            },
            Self::Message { row, .. } => Value::Message(Box::new(row.clone())),
            Self::OpaqueId {
                incarnation, id, ..
            } => Value::OpaqueId {
                incarnation: *incarnation,
                id: *id,
            },
        }
    }

    /// Puts a key and a value together.
    ///
    /// # Errors
    /// [`DecodeError::Name`] when a name breaks a rule, [`DecodeError::Kind`] when the value is not
    /// of the key's kind.
    pub fn join(key: FactKey<'_>, value: Value) -> Result<Self, DecodeError> {
        let app = App::new(key.app)?;
        if key.is_of_user() {
            Self::join_user(&app, UserKey::new(&app, key.owner)?, key.part, value)
        } else {
            Self::join_channel(ChannelKey::new(&app, key.owner)?, key.part, value)
        }
    }

    fn join_user(
        app: &App,
        user: UserKey,
        part: Part<'_>,
        value: Value,
    ) -> Result<Self, DecodeError> {
        Ok(match (part, value) {
            (Part::UserErased, Value::Erased(clock)) => Self::UserErased { user, clock },
            (Part::Floor(space), Value::Floor { incarnation, floor }) => {
                let space = space
                    .map(|space| Name::new(NameKind::Space, space))
                    .transpose()?;
                Self::Floor {
                    user,
                    space,
                    incarnation,
                    floor,
                }
            }
            (
                Part::Role(role),
                Value::Role {
                    incarnation,
                    clock,
                    held,
                },
            ) => {
                let role = Name::new(NameKind::Role, role)?;
                Self::Role {
                    user,
                    role,
                    incarnation,
                    clock,
                    held,
                }
            }
            (Part::State(channel), Value::State(row)) => Self::State {
                user,
                channel: ChannelKey::new(app, channel)?,
                row: *row,
            },
            (Part::Mention(channel, id), Value::Mark(incarnation)) => Self::Mention {
                user,
                channel: ChannelKey::new(app, channel)?,
                incarnation,
                id,
            },
            (Part::Own(channel, id), Value::Mark(incarnation)) => Self::Own {
                user,
                channel: ChannelKey::new(app, channel)?,
                incarnation,
                id,
            },
            (_, _) => return Err(DecodeError::Kind),
        })
    }

    fn join_channel(
        channel: ChannelKey,
        part: Part<'_>,
        value: Value,
    ) -> Result<Self, DecodeError> {
        Ok(match (part, value) {
            (Part::ChannelDropped, Value::Erased(clock)) => Self::ChannelDropped { channel, clock },
            (
                Part::Settings,
                Value::Settings {
                    incarnation,
                    settings,
                },
            ) => Self::Settings {
                channel,
                incarnation,
                settings: *settings,
            },
            (
                Part::Trim,
                Value::Trim {
                    incarnation,
                    position,
                    clock,
                },
            ) => Self::Trim {
                channel,
                incarnation,
                position,
                clock,
            },
            (Part::Message(id), Value::Message(row)) => Self::Message {
                channel,
                id,
                row: *row,
            },
            (Part::OpaqueId(text), Value::OpaqueId { incarnation, id }) => {
                let text = Name::new(NameKind::Channel, text)?;
                Self::OpaqueId {
                    channel,
                    incarnation,
                    text,
                    id,
                }
            }
            (_, _) => return Err(DecodeError::Kind),
        })
    }
}
