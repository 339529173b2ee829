//! Values: what a row holds, its merge and its bytes.
//!
//! The bytes are those of [`kidoku_core::fact::codec::encode_value`], or of a roster row, followed
//! by four bytes of a hash over key and value. The engine below has checksums of its own for its
//! blocks; these four bytes also find a value that stands under another row's key.

use kidoku_core::clock::Clock;
use kidoku_core::fact::bytes::{Reader, put_varint};
use kidoku_core::fact::codec::{DecodeError, decode_value, encode_value};
use kidoku_core::fact::{FactKey, Incarnation, Merge, MessageRow, Part, StateRow, Value};
use std::mem::discriminant;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::key::Key;
use crate::planted::{self, Bug};

/// What a row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// The merged facts of one key.
    Fact(Value),
    /// That a user has rows in a channel, in the channel's roster.
    Roster(RosterRow),
}

/// That a user has rows in a channel, in the channel's roster: the latest incarnation of any of them.
/// Derived from the user's State, Mention and Own facts, so that receipts and a drop find everyone with a
/// row in the channel without reading all users. What the rows say is not in it, as an ack
/// would else have to write two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RosterRow(pub Incarnation);

impl Merge for RosterRow {
    fn merge(&mut self, other: &Self) {
        self.0 = self.0.max(other.0);
    }
}

impl Row {
    /// The incarnation of what the row holds.
    pub fn incarnation(&self) -> Incarnation {
        match self {
            Self::Fact(value) => value.incarnation(),
            Self::Roster(row) => row.0,
        }
    }

    /// True when a row of this kind can stand at `key`.
    fn fits(&self, key: &Key<'_>) -> bool {
        match (self, key) {
            (Self::Fact(value), Key::Fact(FactKey { part, .. })) => value.fits(*part),
            (Self::Roster(_), Key::Roster { .. }) => true,
            (Self::Fact(_), Key::Roster { .. }) | (Self::Roster(_), Key::Fact(_)) => false,
        }
    }

    /// True when both are of the same kind.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fact(one), Self::Fact(other)) => discriminant(one) == discriminant(other),
            (Self::Roster(_), Self::Roster(_)) => true,
            (Self::Fact(_), Self::Roster(_)) | (Self::Roster(_), Self::Fact(_)) => false,
        }
    }

    /// Bytes on the heap, estimated, for the overlay's account.
    pub(crate) fn heap_bytes(&self) -> usize {
        let value = match self {
            Self::Fact(value) => value,
            Self::Roster(_) => return 0,
        };
        match value {
            Value::Erased(_)
            | Value::Role { .. }
            | Value::Mark(_)
            | Value::Trim { .. }
            | Value::OpaqueId { .. } => 0,
            Value::Floor { floor, .. } => floor.entries().len() * 16,
            Value::State(_) => size_of::<StateRow>(),
            Value::Settings { .. } => 128,
            Value::Message(row) => message_heap_bytes(row),
        }
    }
}

/// A name's shared allocation: counts, text and rounding.
const NAME_BYTES: usize = 48;

fn message_heap_bytes(row: &MessageRow) -> usize {
    let posted = row.posted.as_ref();
    let names = posted.map_or(0, |posted| {
        posted.roles.len() + usize::from(posted.author.is_some())
    }) + row
        .edit
        .as_ref()
        .map_or(0, |edit| edit.roles.len() + edit.mentions.len());
    size_of::<MessageRow>() + names * NAME_BYTES
}

impl Merge for Row {
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Fact(value), Self::Fact(other)) => value.merge(other),
            (Self::Roster(row), Self::Roster(other)) => row.merge(other),
            // The two never share a key: what is read is checked against its key first.
            (Self::Fact(_), Self::Roster(_)) | (Self::Roster(_), Self::Fact(_)) => {}
        }
    }
}

/// The kind byte of a roster row; fact values have those of the fact codec, all below.
const ROSTER: u8 = 0x20;

const CHECK_BYTES: usize = 4;

fn check(key: &[u8], body: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = xxh3_64_with_seed(body, xxh3_64(key)).to_be_bytes();
    [a, b, c, d]
}

/// The bytes of a row under a key.
pub fn encode_row(key: &[u8], row: &Row) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    match row {
        Row::Fact(value) => encode_value(value, &mut out),
        Row::Roster(row) => put_roster(*row, &mut out),
    }
    let check = check(key, &out);
    out.extend_from_slice(&check);
    out
}

/// Reads the row under a key.
///
/// # Errors
/// When the bytes are not exactly a row of the key's kind, or their hash is another.
pub fn decode_row(key: &[u8], bytes: &[u8]) -> Result<Row, DecodeError> {
    let row = decode_any(key, bytes)?;
    if row.fits(&crate::key::parse(key)?) {
        Ok(row)
    } else {
        Err(DecodeError::Kind)
    }
}

/// The same of any kind of row.
fn decode_any(key: &[u8], bytes: &[u8]) -> Result<Row, DecodeError> {
    let (body, found) = bytes.split_last_chunk().ok_or(DecodeError::Truncated)?;
    if check(key, body) != *found {
        return Err(DecodeError::Hash);
    }
    Ok(match body.first() {
        Some(&ROSTER) => Row::Roster(read_roster(body)?),
        _ => Row::Fact(decode_value(body)?),
    })
}

/// Merges a row into the stored bytes of its key; `None` when nothing changes.
///
/// # Errors
/// When the stored bytes are damaged.
pub fn merge_value(key: &[u8], stored: &[u8], new: &Row) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut row = decode_any(key, stored)?;
    // The new one fits its key.
    if !row.is_like(new) {
        return Err(DecodeError::Kind);
    }
    row.merge(new);
    let merged = encode_row(key, &row);
    Ok((merged != stored).then_some(merged))
}

/// Mixed into the check of a row of which something is missing: reading it finds it damaged.
const DAMAGED: [u8; CHECK_BYTES] = [0xd3, 0x5a, 0x96, 0x2c];

fn mark_damaged(bytes: &mut [u8]) {
    if let Some(check) = bytes.last_chunk_mut::<CHECK_BYTES>() {
        check
            .iter_mut()
            .zip(DAMAGED)
            .for_each(|(byte, mark)| *byte ^= mark);
    }
}

/// What is left of a row that was found damaged: what has been merged into it since. `None` when
/// nothing has.
pub fn rest_of_damaged(key: &[u8], stored: &[u8]) -> Option<Row> {
    let mut bytes = stored.to_vec();
    mark_damaged(&mut bytes);
    decode_row(key, &bytes).ok()
}

/// Merges a row into stored bytes that are damaged, which they stay: what they said is not known, so
/// that no number may be made of the new row alone. `None` when nothing changes.
pub fn merge_damaged(key: &[u8], stored: &[u8], new: &Row) -> Option<Vec<u8>> {
    let mut row = new.clone();
    if let Some(rest) = rest_of_damaged(key, stored) {
        row.merge(&rest);
    }
    let mut merged = encode_row(key, &row);
    if !planted::is(Bug::DamageForgotten) {
        mark_damaged(&mut merged);
    }
    (merged != stored).then_some(merged)
}

fn put_roster(row: RosterRow, out: &mut Vec<u8>) {
    out.push(ROSTER);
    put_varint(out, row.0.0);
}

fn read_roster(body: &[u8]) -> Result<RosterRow, DecodeError> {
    let mut reader = Reader::new(body);
    reader.byte()?;
    let incarnation = Clock(reader.varint()?);
    reader.finish()?;
    Ok(RosterRow(incarnation))
}

/// What a fact adds to the roster of the channel it is about, if any.
pub(crate) fn roster_of<'a>(key: &FactKey<'a>, value: &Value) -> Option<(&'a str, RosterRow)> {
    match (key.part, value) {
        (Part::State(channel), Value::State(row)) => Some((channel, RosterRow(row.incarnation))),
        (Part::Mention(channel, _) | Part::Own(channel, _), Value::Mark(incarnation)) => {
            Some((channel, RosterRow(*incarnation)))
        }
        (_, _) => None,
    }
}
