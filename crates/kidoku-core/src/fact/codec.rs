//! Bytes of a fact, for the log and for other processes, and of a value, for the store.
//!
//! A fact is a kind byte, its names and its value; a value alone is a kind byte and the rest. The
//! kind byte is also the version: a kind whose bytes change gets a new kind byte, and the old one
//! stays readable. `docs/internals/format-store.md` has the table.
//!
//! Reading trusts nothing: not lengths, order, names or ids. What decodes is a valid fact, has one
//! encoding, and encodes to the same bytes again.

use super::bytes::{Reader, put_text, put_varint};
use super::user::FloorEntry;
use super::{
    Cursor, Edit, Fact, FactKey, Floor, Membership, MessageRow, MuteLevel, Part, Posted,
    Preference, Receipts, Settings, StateRow, Value, Written,
};
use crate::clock::{Clock, Millis};
use crate::error::Error;
use crate::id::{MessageId, Name, NameKind, Position};
use std::fmt;

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

fn put_floor(incarnation: Clock, floor: &Floor, out: &mut Vec<u8>) {
    put_varint(out, incarnation.0);
    put_varint(out, floor.entries().len() as u64);
    for entry in floor.entries() {
        put_varint(out, entry.clock.0);
        put_varint(out, entry.position.0);
    }
}

fn read_floor(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let incarnation = read_clock(reader)?;
    let count = reader.count(2)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let clock = read_clock(reader)?;
        entries.push(FloorEntry {
            clock,
            position: Position(reader.varint()?),
        });
    }
    let floor = Floor::from_entries(entries).ok_or(DecodeError::Order)?;
    Ok(Value::Floor { incarnation, floor })
}

fn put_role(incarnation: Clock, clock: Clock, held: bool, out: &mut Vec<u8>) {
    out.push(u8::from(held));
    put_varint(out, incarnation.0);
    put_varint(out, clock.0);
}

fn put_trim(incarnation: Clock, position: Position, clock: Clock, out: &mut Vec<u8>) {
    put_varint(out, incarnation.0);
    put_varint(out, position.0);
    put_varint(out, clock.0);
}

/// Flags of a state row: which numbers follow. An absent number is 0.
mod state_flag {
    pub(super) const INCARNATION: u8 = 1;
    pub(super) const ERA: u8 = 1 << 1;
    pub(super) const CURSOR_AT: u8 = 1 << 2;
    /// A public position follows: it is neither 0 nor the cursor's.
    pub(super) const PUBLIC: u8 = 1 << 3;
    /// The public position is the cursor's, which is not 0: an ack that is not private.
    pub(super) const PUBLIC_IS_CURSOR: u8 = 1 << 4;
    pub(super) const MEMBERSHIP: u8 = 1 << 5;
    pub(super) const PREFERENCE: u8 = 1 << 6;
    /// The membership is "in"; only with a membership.
    pub(super) const MEMBER: u8 = 1 << 7;
}

fn state_flags(row: &StateRow) -> u8 {
    let public_is_cursor = row.public == row.cursor.position && row.public != Position::START;
    let public = row.public != Position::START && !public_is_cursor;
    let member = row.membership.is_some_and(|membership| membership.member);
    [
        (row.incarnation != Clock::NEVER, state_flag::INCARNATION),
        (row.cursor.era != Clock::NEVER, state_flag::ERA),
        (row.cursor_at != Millis(0), state_flag::CURSOR_AT),
        (public, state_flag::PUBLIC),
        (public_is_cursor, state_flag::PUBLIC_IS_CURSOR),
        (row.membership.is_some(), state_flag::MEMBERSHIP),
        (row.preference.is_some(), state_flag::PREFERENCE),
        (member, state_flag::MEMBER),
    ]
    .into_iter()
    .fold(
        0,
        |flags, (set, flag)| if set { flags | flag } else { flags },
    )
}

fn put_state(row: &StateRow, out: &mut Vec<u8>) {
    let flags = state_flags(row);
    out.push(flags);
    put_varint(out, row.cursor.position.0);
    for (flag, number) in [
        (state_flag::INCARNATION, row.incarnation.0),
        (state_flag::ERA, row.cursor.era.0),
        (state_flag::CURSOR_AT, row.cursor_at.0),
        (state_flag::PUBLIC, row.public.0),
    ] {
        if flags & flag != 0 {
            put_varint(out, number);
        }
    }
    if let Some(membership) = row.membership {
        put_varint(out, membership.clock.0);
        put_varint(out, membership.from.0);
    }
    if let Some(preference) = row.preference {
        put_varint(out, preference.clock.0);
        out.push(match preference.level {
            MuteLevel::None => 0,
            MuteLevel::Mentions => 1,
            MuteLevel::All => 2,
        });
        put_varint(out, preference.until.0);
    }
}

fn read_state(reader: &mut Reader<'_>) -> Result<StateRow, DecodeError> {
    let flags = reader.byte()?;
    let has = |flag: u8| flags & flag != 0;
    let position = Position(reader.varint()?);
    let mut number = |flag: u8| if has(flag) { reader.varint() } else { Ok(0) };
    let incarnation = Clock(number(state_flag::INCARNATION)?);
    let era = Clock(number(state_flag::ERA)?);
    let cursor_at = Millis(number(state_flag::CURSOR_AT)?);
    let public = Position(number(state_flag::PUBLIC)?);
    let public = if has(state_flag::PUBLIC_IS_CURSOR) {
        position
    } else {
        public
    };
    let membership = if has(state_flag::MEMBERSHIP) {
        let clock = read_clock(reader)?;
        let member = has(state_flag::MEMBER);
        Some(Membership {
            clock,
            member,
            from: Position(reader.varint()?),
        })
    } else {
        None
    };
    let preference = if has(state_flag::PREFERENCE) {
        Some(read_preference(reader)?)
    } else {
        None
    };
    let cursor = Cursor { era, position };
    let row = StateRow {
        incarnation,
        cursor,
        cursor_at,
        public,
        membership,
        preference,
    };
    // A row has one encoding: numbers that are 0 are absent, and so on.
    if state_flags(&row) == flags {
        Ok(row)
    } else {
        Err(DecodeError::Flags)
    }
}

fn read_preference(reader: &mut Reader<'_>) -> Result<Preference, DecodeError> {
    let clock = read_clock(reader)?;
    let level = match reader.byte()? {
        0 => MuteLevel::None,
        1 => MuteLevel::Mentions,
        2 => MuteLevel::All,
        _ => return Err(DecodeError::Flags),
    };
    Ok(Preference {
        clock,
        level,
        until: Millis(reader.varint()?),
    })
}

fn put_settings(incarnation: Clock, settings: &Settings, out: &mut Vec<u8>) {
    put_varint(out, incarnation.0);
    for name in [&settings.space, &settings.parent] {
        put_varint(out, name.clock.0);
        // No name is empty, so that stands for none.
        put_text(out, name.value.as_ref().map_or("", Name::as_str));
    }
    put_varint(out, settings.receipts.clock.0);
    out.push(match settings.receipts.value {
        Receipts::Off => 0,
        Receipts::Count => 1,
        Receipts::List => 2,
    });
}

fn read_settings(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    let incarnation = read_clock(reader)?;
    let space = read_written_name(NameKind::Space, reader)?;
    let parent = read_written_name(NameKind::Channel, reader)?;
    let clock = read_clock(reader)?;
    let value = match reader.byte()? {
        0 => Receipts::Off,
        1 => Receipts::Count,
        2 => Receipts::List,
        _ => return Err(DecodeError::Flags),
    };
    let receipts = Written { clock, value };
    let settings = Box::new(Settings {
        space,
        parent,
        receipts,
    });
    Ok(Value::Settings {
        incarnation,
        settings,
    })
}

fn read_written_name(
    kind: NameKind,
    reader: &mut Reader<'_>,
) -> Result<Written<Option<Name>>, DecodeError> {
    let clock = read_clock(reader)?;
    let text = reader.text()?;
    let value = if text.is_empty() {
        None
    } else {
        Some(Name::new(kind, text)?)
    };
    Ok(Written { clock, value })
}

/// Flags of a message row.
mod message_flag {
    pub(super) const POSTED: u8 = 1;
    pub(super) const SILENT: u8 = 1 << 1;
    pub(super) const EVERYONE: u8 = 1 << 2;
    pub(super) const AUTHOR: u8 = 1 << 3;
    pub(super) const ROLES: u8 = 1 << 4;
    pub(super) const EDIT: u8 = 1 << 5;
    pub(super) const DELETED: u8 = 1 << 6;
    pub(super) const UNAUTHORED: u8 = 1 << 7;
}

fn message_flags(row: &MessageRow) -> u8 {
    let posted = row.posted.as_ref();
    [
        (posted.is_some(), message_flag::POSTED),
        (
            posted.is_some_and(|posted| posted.silent),
            message_flag::SILENT,
        ),
        (
            posted.is_some_and(|posted| posted.everyone),
            message_flag::EVERYONE,
        ),
        (
            posted.is_some_and(|posted| posted.author.is_some()),
            message_flag::AUTHOR,
        ),
        (
            posted.is_some_and(|posted| !posted.roles.is_empty()),
            message_flag::ROLES,
        ),
        (row.edit.is_some(), message_flag::EDIT),
        (row.deleted, message_flag::DELETED),
        (row.unauthored, message_flag::UNAUTHORED),
    ]
    .into_iter()
    .fold(
        0,
        |flags, (set, flag)| if set { flags | flag } else { flags },
    )
}

fn put_message(row: &MessageRow, out: &mut Vec<u8>) {
    out.push(message_flags(row));
    put_varint(out, row.incarnation.0);
    if let Some(posted) = &row.posted {
        if let Some(author) = &posted.author {
            put_text(out, author.as_str());
        }
        if !posted.roles.is_empty() {
            put_names(&posted.roles, out);
        }
    }
    if let Some(edit) = &row.edit {
        put_varint(out, edit.version);
        out.push(u8::from(edit.everyone));
        put_names(&edit.roles, out);
        put_names(&edit.mentions, out);
    }
}

fn read_message(reader: &mut Reader<'_>) -> Result<MessageRow, DecodeError> {
    let flags = reader.byte()?;
    let has = |flag: u8| flags & flag != 0;
    let incarnation = read_clock(reader)?;
    let author = if has(message_flag::AUTHOR) {
        Some(Name::new(NameKind::User, reader.text()?)?)
    } else {
        None
    };
    let roles = if has(message_flag::ROLES) {
        read_names(NameKind::Role, reader)?
    } else {
        Vec::new()
    };
    let (silent, everyone) = (has(message_flag::SILENT), has(message_flag::EVERYONE));
    let posted = has(message_flag::POSTED).then_some(Posted {
        silent,
        author,
        everyone,
        roles,
    });
    let edit = if has(message_flag::EDIT) {
        Some(read_edit(reader)?)
    } else {
        None
    };
    let (deleted, unauthored) = (has(message_flag::DELETED), has(message_flag::UNAUTHORED));
    let row = MessageRow {
        incarnation,
        posted,
        edit,
        deleted,
        unauthored,
    };
    // A row has one encoding: no part of a post without the post, and so on.
    if message_flags(&row) == flags {
        Ok(row)
    } else {
        Err(DecodeError::Flags)
    }
}

fn read_edit(reader: &mut Reader<'_>) -> Result<Edit, DecodeError> {
    Ok(Edit {
        version: reader.varint()?,
        everyone: read_bool(reader)?,
        roles: read_names(NameKind::Role, reader)?,
        mentions: read_names(NameKind::User, reader)?,
    })
}

fn put_names(names: &[Name], out: &mut Vec<u8>) {
    put_varint(out, names.len() as u64);
    for name in names {
        put_text(out, name.as_str());
    }
}

fn read_names(kind: NameKind, reader: &mut Reader<'_>) -> Result<Vec<Name>, DecodeError> {
    let count = reader.count(2)?;
    let mut names: Vec<Name> = Vec::with_capacity(count);
    for _ in 0..count {
        let name = Name::new(kind, reader.text()?)?;
        if names.last().is_some_and(|last| *last >= name) {
            return Err(DecodeError::Order);
        }
        names.push(name);
    }
    Ok(names)
}
