//! Bytes of a channel's values.

use super::{DecodeError, read_bool, read_clock};
use crate::clock::Clock;
use crate::fact::bytes::{Reader, put_text, put_varint};
use crate::fact::{Edit, MessageRow, Posted, Receipts, Settings, Value, Written};
use crate::id::{Name, NameKind, Position};

pub(super) fn put_trim(incarnation: Clock, position: Position, clock: Clock, out: &mut Vec<u8>) {
    put_varint(out, incarnation.0);
    put_varint(out, position.0);
    put_varint(out, clock.0);
}

pub(super) fn put_settings(incarnation: Clock, settings: &Settings, out: &mut Vec<u8>) {
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

pub(super) fn read_settings(reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
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

pub(super) fn put_message(row: &MessageRow, out: &mut Vec<u8>) {
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

pub(super) fn read_message(reader: &mut Reader<'_>) -> Result<MessageRow, DecodeError> {
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
