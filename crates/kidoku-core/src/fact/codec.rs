//! Bytes of a fact, for the log and for other processes, and of a value, for the store.
//!
//! A fact is a kind byte, its names and its value; a value alone is a kind byte and the rest. The
//! kind byte is also the version: a kind whose bytes change gets a new kind byte, and the old one
//! stays readable. `docs/internals/format-store.md` has the table.
//!
//! Reading trusts nothing: not lengths, order, names or ids. What decodes is a valid fact, has one
//! encoding, and encodes to the same bytes again.

mod channel;
mod user;

use super::bytes::{Reader, put_text, put_varint};
use super::{Fact, FactKey, Part, Value};
use crate::clock::Clock;
use crate::error::Error;
use crate::id::{MessageId, Position};
use channel::{put_message, put_settings, put_trim, read_message, read_settings};
use std::fmt;
use user::{put_floor, put_role, put_state, read_floor, read_state};

/// Why bytes are not a fact or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end too early.
    Truncated,
    /// There are more bytes than the fact has.
    Trailing,
    /// The kind byte is of no known kind, or not of the kind that the key asks for.
    Kind,
    /// A flag or level that does not exist.
    Flags,
    /// A number over its limit or not in its shortest form.
    Number,
    /// A list out of order or with duplicates.
    Order,
    /// A text that is not UTF-8.
    Text,
    /// A hash that is not that of the bytes.
    Hash,
    /// A name or id that breaks a rule.
    Name(Error),
}

impl From<Error> for DecodeError {
    fn from(error: Error) -> Self {
        Self::Name(error)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end too early"),
            Self::Trailing => f.write_str("there are bytes after the end"),
            Self::Kind => f.write_str("the kind is unknown or not the expected one"),
            Self::Flags => f.write_str("a flag is unknown"),
            Self::Number => f.write_str("a number is too large or not in its shortest form"),
            Self::Order => f.write_str("a list is not sorted and distinct"),
            Self::Text => f.write_str("a text is not utf-8"),
            Self::Hash => f.write_str("the hash is not that of the bytes"),
            Self::Name(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DecodeError {}

const USER_ERASED: u8 = 1;
const FLOOR: u8 = 2;
const ROLE: u8 = 3;
const STATE: u8 = 4;
const MENTION: u8 = 5;
const OWN: u8 = 6;
const CHANNEL_DROPPED: u8 = 7;
const SETTINGS: u8 = 8;
const TRIM: u8 = 9;
const MESSAGE: u8 = 10;
const OPAQUE_ID: u8 = 11;

/// Appends the bytes of a fact. The user and the channel of one fact must be of one app, which is
/// written once.
pub fn encode(fact: &Fact, out: &mut Vec<u8>) {
    put_key(&fact.key(), out);
    match fact {
        Fact::UserErased { clock, .. } | Fact::ChannelDropped { clock, .. } => {
            put_varint(out, clock.0);
        }
        Fact::Floor {
            incarnation, floor, ..
        } => put_floor(*incarnation, floor, out),
        Fact::Role {
            incarnation,
            clock,
            held,
            ..
        } => put_role(*incarnation, *clock, *held, out),
        Fact::State { row, .. } => put_state(row, out),
        Fact::Mention { incarnation, .. } | Fact::Own { incarnation, .. } => {
            put_varint(out, incarnation.0);
        }
        Fact::Settings {
            incarnation,
            settings,
            ..
        } => put_settings(*incarnation, settings, out),
        Fact::Trim {
            incarnation,
            position,
            clock,
            ..
        } => {
            put_trim(*incarnation, *position, *clock, out);
        }
        Fact::Message { row, .. } => put_message(row, out),
        Fact::OpaqueId {
            incarnation, id, ..
        } => {
            put_varint(out, incarnation.0);
            put_varint(out, id.get());
        }
    }
}

/// Reads a fact; all of `bytes` must be used up.
///
/// # Errors
/// When the bytes are not exactly one valid fact.
pub fn decode(bytes: &[u8]) -> Result<Fact, DecodeError> {
    let (key, value) = read_parts(bytes)?;
    Fact::join(key, value)
}

/// Reads a fact as key and value, without an allocation for its key; all of `bytes` must be used up
/// and every name is checked.
///
/// # Errors
/// When the bytes are not exactly one valid fact.
pub fn decode_parts(bytes: &[u8]) -> Result<(FactKey<'_>, Value), DecodeError> {
    let (key, value) = read_parts(bytes)?;
    key.check()?;
    Ok((key, value))
}

/// Reads only the key of a fact, and checks neither its names nor that a value follows.
///
/// # Errors
/// When the bytes do not begin with the key of a fact.
pub fn decode_key(bytes: &[u8]) -> Result<FactKey<'_>, DecodeError> {
    read_key(&mut Reader::new(bytes)).map(|(_, key)| key)
}

fn read_parts(bytes: &[u8]) -> Result<(FactKey<'_>, Value), DecodeError> {
    let mut reader = Reader::new(bytes);
    let (kind, key) = read_key(&mut reader)?;
    let value = read_value(kind, &mut reader)?;
    reader.finish()?;
    Ok((key, value))
}

/// Appends the bytes of a value.
pub fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Erased(clock) => {
            out.push(USER_ERASED);
            put_varint(out, clock.0);
        }
        Value::Floor { incarnation, floor } => {
            out.push(FLOOR);
            put_floor(*incarnation, floor, out);
        }
        Value::Role {
            incarnation,
            clock,
            held,
        } => {
            out.push(ROLE);
            put_role(*incarnation, *clock, *held, out);
        }
        Value::State(row) => {
            out.push(STATE);
            put_state(row, out);
        }
        Value::Mark(incarnation) => {
            out.push(MENTION);
            put_varint(out, incarnation.0);
        }
        Value::Settings {
            incarnation,
            settings,
        } => {
            out.push(SETTINGS);
            put_settings(*incarnation, settings, out);
        }
        Value::Trim {
            incarnation,
            position,
            clock,
        } => {
            out.push(TRIM);
            put_trim(*incarnation, *position, *clock, out);
        }
        Value::Message(row) => {
            out.push(MESSAGE);
            put_message(row, out);
        }
        Value::OpaqueId { incarnation, id } => {
            out.push(OPAQUE_ID);
            put_varint(out, incarnation.0);
            put_varint(out, id.get());
        }
    }
}

/// Reads a value; all of `bytes` must be used up.
///
/// # Errors
/// When the bytes are not exactly one valid value.
pub fn decode_value(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(bytes);
    let kind = reader.byte()?;
    // A value alone has one kind byte for both erasures and one for both marks.
    if kind == CHANNEL_DROPPED || kind == OWN {
        return Err(DecodeError::Kind);
    }
    let value = read_value(kind, &mut reader)?;
    reader.finish()?;
    Ok(value)
}

fn put_key(key: &FactKey<'_>, out: &mut Vec<u8>) {
    let kind = match key.part {
        Part::UserErased => USER_ERASED,
        Part::Floor(_) => FLOOR,
        Part::Role(_) => ROLE,
        Part::State(_) => STATE,
        Part::Mention(..) => MENTION,
        Part::Own(..) => OWN,
        Part::ChannelDropped => CHANNEL_DROPPED,
        Part::Settings => SETTINGS,
        Part::Trim => TRIM,
        Part::Message(_) => MESSAGE,
        Part::OpaqueId(_) => OPAQUE_ID,
    };
    out.push(kind);
    put_text(out, key.app);
    put_text(out, key.owner);
    match key.part {
        Part::UserErased | Part::ChannelDropped | Part::Settings | Part::Trim => {}
        // No space has an empty name, so that stands for none.
        Part::Floor(space) => put_text(out, space.unwrap_or_default()),
        Part::Role(name) | Part::State(name) | Part::OpaqueId(name) => put_text(out, name),
        Part::Mention(channel, id) | Part::Own(channel, id) => {
            put_text(out, channel);
            put_varint(out, id.get());
        }
        Part::Message(id) => put_varint(out, id.get()),
    }
}

fn read_key<'a>(reader: &mut Reader<'a>) -> Result<(u8, FactKey<'a>), DecodeError> {
    let kind = reader.byte()?;
    if !(USER_ERASED..=OPAQUE_ID).contains(&kind) {
        return Err(DecodeError::Kind);
    }
    let app = reader.text()?;
    let owner = reader.text()?;
    let part = match kind {
        USER_ERASED => Part::UserErased,
        FLOOR => Part::Floor(Some(reader.text()?).filter(|space| !space.is_empty())),
        ROLE => Part::Role(reader.text()?),
        STATE => Part::State(reader.text()?),
        MENTION => Part::Mention(reader.text()?, read_id(reader)?),
        OWN => Part::Own(reader.text()?, read_id(reader)?),
        CHANNEL_DROPPED => Part::ChannelDropped,
        SETTINGS => Part::Settings,
        TRIM => Part::Trim,
        MESSAGE => Part::Message(read_id(reader)?),
        OPAQUE_ID => Part::OpaqueId(reader.text()?),
        _ => return Err(DecodeError::Kind),
    };
    Ok((kind, FactKey { app, owner, part }))
}

fn read_value(kind: u8, reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Ok(match kind {
        USER_ERASED | CHANNEL_DROPPED => Value::Erased(read_clock(reader)?),
        FLOOR => read_floor(reader)?,
        ROLE => {
            let held = read_bool(reader)?;
            Value::Role {
                held,
                incarnation: read_clock(reader)?,
                clock: read_clock(reader)?,
            }
        }
        STATE => Value::State(Box::new(read_state(reader)?)),
        MENTION | OWN => Value::Mark(read_clock(reader)?),
        SETTINGS => read_settings(reader)?,
        TRIM => Value::Trim {
            incarnation: read_clock(reader)?,
            position: Position(reader.varint()?),
            clock: read_clock(reader)?,
        },
        MESSAGE => Value::Message(Box::new(read_message(reader)?)),
        OPAQUE_ID => Value::OpaqueId {
            incarnation: read_clock(reader)?,
            id: read_id(reader)?,
        },
        _ => return Err(DecodeError::Kind),
    })
}

fn read_clock(reader: &mut Reader<'_>) -> Result<Clock, DecodeError> {
    reader.varint().map(Clock)
}

fn read_id(reader: &mut Reader<'_>) -> Result<MessageId, DecodeError> {
    Ok(MessageId::new(reader.varint()?)?)
}

fn read_bool(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Flags),
    }
}
