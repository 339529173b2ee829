//! Bytes of a user's values.

use super::{DecodeError, read_clock};
use crate::clock::{Clock, Millis};
use crate::fact::bytes::{Reader, put_varint};
use crate::fact::user::FloorEntry;
use crate::fact::{Cursor, Floor, Membership, MuteLevel, Preference, StateRow, Value};
use crate::id::Position;

pub(super) fn put_floor(incarnation: Clock, floor: &Floor, out: &mut Vec<u8>) {
    put_varint(out, incarnation.0);
    put_varint(out, floor.entries().len() as u64);
    for entry in floor.entries() {
        put_varint(out, entry.clock.0);
        put_varint(out, entry.position.0);
    }
}

pub(super) fn read_floor(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
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

pub(super) fn put_role(incarnation: Clock, clock: Clock, held: bool, out: &mut Vec<u8>) {
    out.push(u8::from(held));
    put_varint(out, incarnation.0);
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
    /// With a membership: it is "in". Without one: the row is one that is listed.
    pub(super) const MEMBER: u8 = 1 << 7;
}

fn state_flags(row: &StateRow) -> u8 {
    let public_is_cursor = row.public == row.cursor.position && row.public != Position::START;
    let public = row.public != Position::START && !public_is_cursor;
    let member = row
        .membership
        .map_or(row.listed, |membership| membership.member);
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

pub(super) fn put_state(row: &StateRow, out: &mut Vec<u8>) {
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

pub(super) fn read_state(reader: &mut Reader<'_>) -> Result<StateRow, DecodeError> {
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
    let listed = membership.is_none() && has(state_flag::MEMBER);
    let row = StateRow {
        incarnation,
        cursor,
        cursor_at,
        public,
        membership,
        preference,
        listed,
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
