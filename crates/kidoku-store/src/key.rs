//! Keys: bytes whose order is the order in which rows are read.
//!
//! | rows of | key |
//! |---|---|
//! | a user | `u` app NUL user NUL kind, then space, role, channel, or channel NUL id |
//! | a channel | `c` app NUL channel NUL kind, then opaque id or id |
//! | a channel's roster | `r` app NUL channel NUL user |
//!
//! Names have no control characters, so NUL ends one and sorts below all others. Message ids are
//! eight bytes, big-endian. The mark of an erasure is the first row of its partition, and state
//! rows come before mentions and own messages: a reader knows what is stale before it meets it.

use kidoku_core::fact::codec::DecodeError;
use kidoku_core::fact::{FactKey, Part, Partition};
use kidoku_core::id::{App, ChannelKey, MessageId, Position, UserKey};
use std::str;

const USER: u8 = b'u';
const CHANNEL: u8 = b'c';
const ROSTER: u8 = b'r';

/// The mark of an erasure, in both kinds of partition.
const ERASED: u8 = 0;
const FLOOR: u8 = 1;
const ROLE: u8 = 2;
const STATE: u8 = 3;
const MENTION: u8 = 4;
const OWN: u8 = 5;
const SETTINGS: u8 = 1;
const TRIM: u8 = 2;
const OPAQUE_ID: u8 = 3;
const MESSAGE: u8 = 4;

/// Above every byte that can follow a NUL of a mark's channel name: ends the range of one channel.
const AFTER_NUL: u8 = 1;

/// A parsed key. Its names are not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// Of a fact.
    Fact(FactKey<'a>),
    /// Of a roster row.
    Roster {
        /// The app.
        app: &'a str,
        /// Whose roster.
        channel: &'a str,
        /// Who is on it.
        user: &'a str,
    },
}

/// A range of keys: from the first, and below the second.
pub type KeyRange = (Vec<u8>, Vec<u8>);

fn put_owner(out: &mut Vec<u8>, space: u8, app: &str, owner: &str) {
    out.push(space);
    out.extend_from_slice(app.as_bytes());
    out.push(0);
    out.extend_from_slice(owner.as_bytes());
    out.push(0);
}

/// Appends the key of a fact.
pub fn put_fact_key(out: &mut Vec<u8>, key: &FactKey<'_>) {
    let space = if key.is_of_user() { USER } else { CHANNEL };
    put_owner(out, space, key.app, key.owner);
    let mut put = |kind: u8, name: &str| {
        out.push(kind);
        out.extend_from_slice(name.as_bytes());
    };
    let id = match key.part {
        Part::UserErased | Part::ChannelDropped => return put(ERASED, ""),
        Part::Floor(space) => return put(FLOOR, space.unwrap_or_default()),
        Part::Role(role) => return put(ROLE, role),
        Part::State(channel) => return put(STATE, channel),
        Part::Settings => return put(SETTINGS, ""),
        Part::Trim => return put(TRIM, ""),
        Part::OpaqueId(text) => return put(OPAQUE_ID, text),
        Part::Mention(channel, id) => {
            put(MENTION, channel);
            out.push(0);
            id
        }
        Part::Own(channel, id) => {
            put(OWN, channel);
            out.push(0);
            id
        }
        Part::Message(id) => {
            put(MESSAGE, "");
            id
        }
    };
    out.extend_from_slice(&id.get().to_be_bytes());
}

/// The key of a fact.
pub fn fact_key(key: &FactKey<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.app.len() + key.owner.len() + 48);
    put_fact_key(&mut out, key);
    out
}

/// Appends the key of a roster row.
pub fn put_roster_key(out: &mut Vec<u8>, app: &str, channel: &str, user: &str) {
    put_owner(out, ROSTER, app, channel);
    out.extend_from_slice(user.as_bytes());
}

/// What every key of a partition begins with.
pub fn partition_prefix(partition: &Partition) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    match partition {
        Partition::User(user) => put_owner(&mut out, USER, user.app_str(), user.name()),
        Partition::Channel(channel) => {
            put_owner(&mut out, CHANNEL, channel.app_str(), channel.name());
        }
    }
    out
}

/// All rows of a partition.
pub fn partition_range(partition: &Partition) -> KeyRange {
    let from = partition_prefix(partition);
    let mut end = from.clone();
    // The prefix ends with a NUL; the next owner's name goes on with a byte above it.
    end.pop();
    end.push(AFTER_NUL);
    (from, end)
}

fn kinds_range(prefix: Vec<u8>, from: u8, end: u8) -> KeyRange {
    let mut range = (prefix.clone(), prefix);
    range.0.push(from);
    range.1.push(end);
    range
}

/// The mark of a partition's erasure.
pub fn erasure_key(partition: &Partition) -> Vec<u8> {
    erasure_key_of(&partition_prefix(partition))
}

/// The mark of the erasure of the partition with a prefix.
pub(crate) fn erasure_key_of(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[ERASED]].concat()
}

/// A user's floors, roles and state rows.
pub(crate) fn user_rows_range(user: &UserKey) -> KeyRange {
    kinds_range(
        partition_prefix(&Partition::User(user.clone())),
        FLOOR,
        MENTION,
    )
}

/// Everything of a partition but the mark of its erasure.
pub(crate) fn erasable_range(partition: &Partition) -> KeyRange {
    let (mut from, end) = partition_range(partition);
    from.push(FLOOR);
    (from, end)
}

/// Settings, trim, opaque ids and messages of a channel.
pub(crate) fn channel_rows_range(channel: &ChannelKey) -> KeyRange {
    erasable_range(&Partition::Channel(channel.clone()))
}

/// Which of the two kinds of mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// [`Part::Mention`].
    Mention,
    /// [`Part::Own`].
    Own,
}

impl Mark {
    fn kind(self) -> u8 {
        match self {
            Self::Mention => MENTION,
            Self::Own => OWN,
        }
    }
}

/// All marks of one kind of a user.
pub(crate) fn marks_range(user: &UserKey, mark: Mark) -> KeyRange {
    let prefix = partition_prefix(&Partition::User(user.clone()));
    kinds_range(prefix, mark.kind(), mark.kind() + 1)
}

/// The marks of one kind of a user in one channel, above a position.
pub(crate) fn marks_above_range(
    user: &UserKey,
    mark: Mark,
    channel: &str,
    above: Position,
) -> KeyRange {
    let mut from = partition_prefix(&Partition::User(user.clone()));
    from.push(mark.kind());
    from.extend_from_slice(channel.as_bytes());
    let mut end = from.clone();
    end.push(AFTER_NUL);
    let Some(first) = above.0.checked_add(1) else {
        return (end.clone(), end);
    };
    from.push(0);
    from.extend_from_slice(&first.to_be_bytes());
    (from, end)
}

/// A channel's roster.
pub(crate) fn roster_range(channel: &ChannelKey) -> KeyRange {
    let mut from = Vec::with_capacity(64);
    put_roster_key(&mut from, channel.app_str(), channel.name(), "");
    let mut end = from.clone();
    end.pop();
    end.push(AFTER_NUL);
    (from, end)
}

/// All users, or all channels, of an app.
pub(crate) fn app_range(app: &App, users: bool) -> KeyRange {
    let mut from = vec![if users { USER } else { CHANNEL }];
    from.extend_from_slice(app.as_str().as_bytes());
    let mut end = from.clone();
    from.push(0);
    end.push(AFTER_NUL);
    (from, end)
}

/// The rows of every user, of every channel, and of every roster, in this order.
pub(crate) fn spaces() -> [KeyRange; 3] {
    [USER, CHANNEL, ROSTER].map(|space| (vec![space], vec![space + 1]))
}

/// The part of a key that names its partition: all rows with the same bytes here belong together.
pub(crate) fn owner_bytes(key: &[u8]) -> &[u8] {
    let nuls = key.iter().enumerate().filter(|(_, byte)| **byte == 0);
    match nuls.map(|(at, _)| at).nth(1) {
        Some(at) => key.get(..=at).unwrap_or(key),
        None => key,
    }
}

/// Whose partition a key belongs to, without the app.
pub(crate) fn owner_name(key: &[u8]) -> &[u8] {
    let mut parts = key.splitn(3, |byte| *byte == 0);
    parts.nth(1).unwrap_or_default()
}

/// Takes a key apart.
///
/// # Errors
/// When it is not of one of the forms above.
pub fn parse(key: &[u8]) -> Result<Key<'_>, DecodeError> {
    let (&space, rest) = key.split_first().ok_or(DecodeError::Truncated)?;
    let (app, rest) = name_and_rest(rest)?;
    let (owner, rest) = name_and_rest(rest)?;
    match space {
        USER => Ok(Key::Fact(FactKey {
            app,
            owner,
            part: user_part(rest)?,
        })),
        CHANNEL => Ok(Key::Fact(FactKey {
            app,
            owner,
            part: channel_part(rest)?,
        })),
        ROSTER => Ok(Key::Roster {
            app,
            channel: owner,
            user: text(rest)?,
        }),
        _ => Err(DecodeError::Kind),
    }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).map_err(|_| DecodeError::Text)
}

fn name_and_rest(bytes: &[u8]) -> Result<(&str, &[u8]), DecodeError> {
    let at = bytes
        .iter()
        .position(|byte| *byte == 0)
        .ok_or(DecodeError::Truncated)?;
    let (name, rest) = bytes.split_at(at);
    Ok((text(name)?, rest.get(1..).unwrap_or_default()))
}

fn id(bytes: &[u8]) -> Result<MessageId, DecodeError> {
    let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| DecodeError::Truncated)?;
    Ok(MessageId::new(u64::from_be_bytes(bytes))?)
}

fn nothing(rest: &[u8]) -> Result<(), DecodeError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(DecodeError::Trailing)
    }
}

fn user_part(bytes: &[u8]) -> Result<Part<'_>, DecodeError> {
    let (&kind, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    Ok(match kind {
        ERASED => {
            nothing(rest)?;
            Part::UserErased
        }
        FLOOR => Part::Floor(Some(text(rest)?).filter(|space| !space.is_empty())),
        ROLE => Part::Role(text(rest)?),
        STATE => Part::State(text(rest)?),
        MENTION => {
            let (channel, rest) = name_and_rest(rest)?;
            Part::Mention(channel, id(rest)?)
        }
        OWN => {
            let (channel, rest) = name_and_rest(rest)?;
            Part::Own(channel, id(rest)?)
        }
        _ => return Err(DecodeError::Kind),
    })
}

fn channel_part(bytes: &[u8]) -> Result<Part<'_>, DecodeError> {
    let (&kind, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    Ok(match kind {
        ERASED => {
            nothing(rest)?;
            Part::ChannelDropped
        }
        SETTINGS => {
            nothing(rest)?;
            Part::Settings
        }
        TRIM => {
            nothing(rest)?;
            Part::Trim
        }
        OPAQUE_ID => Part::OpaqueId(text(rest)?),
        MESSAGE => Part::Message(id(rest)?),
        _ => return Err(DecodeError::Kind),
    })
}
