//! The bytes of a segment: its header, frames, records. See `docs/internals/format.md`.
//!
//! All numbers are little-endian. Every part carries its own check, so that a damaged header costs
//! no record and a damaged record costs only itself.

use crate::error::GroupError;
use crate::planted::{self, Bug};
use crate::{Lsn, length};

/// Bytes of one record at most: 1 MiB, seven times the largest fact. A bound is what lets recovery
/// tell a damaged length from a long record.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Bytes of one group at most: 1 GiB, so that its length fits the frame header's 32 bits.
pub const GROUP_BYTES_MAX: usize = 1 << 30;

pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const SEGMENT_HEADER_BYTES: usize = 24;
pub(crate) const FRAME_HEADER_BYTES: usize = 32;
pub(crate) const RECORD_HEADER_BYTES: usize = 8;
/// A record is at least its header and one byte.
pub(crate) const RECORD_BYTES_MIN: usize = RECORD_HEADER_BYTES + 1;
/// Bytes of the length before each record of a group, as callers hand it over.
pub(crate) const LENGTH_BYTES: usize = 4;

const SEGMENT_MAGIC: &[u8; 8] = b"KIDOKULG";
/// Not text, so that names, which have no control characters, can not look like it.
const FRAME_MAGIC: &[u8; 4] = &[0xf7, b'K', b'F', 0x01];
const NAME_DIGITS: usize = 20;
const NAME_END: &str = ".log";

/// The file name of the segment that begins with `first`.
pub(crate) fn segment_name(first: Lsn) -> String {
    format!("{:0width$}{NAME_END}", first.0, width = NAME_DIGITS)
}

/// The first lsn of the segment of this name; `None` for a file that is not the log's.
pub(crate) fn parse_segment_name(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(NAME_END)?;
    if digits.len() != NAME_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|first| *first > 0).map(Lsn)
}

pub(crate) fn segment_header(first: Lsn) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    header[..8].copy_from_slice(SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&first.0.to_le_bytes());
    let check = crc32fast::hash(&header[..20]);
    header[20..].copy_from_slice(&check.to_le_bytes());
    header
}

/// What the first bytes of a segment say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    /// Whole, and of this version.
    Version(u32),
    /// Cut off or changed.
    Damaged,
}

pub(crate) fn parse_segment_header(bytes: &[u8], first: Lsn) -> SegmentHeader {
    let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
        return SegmentHeader::Damaged;
    };
    let whole = header.starts_with(SEGMENT_MAGIC)
        && u32_at(header, 20) == Some(crc32fast::hash(&header[..20]));
    match (whole, u32_at(header, 8), u64_at(header, 12)) {
        (true, Some(version), _) if version != FORMAT_VERSION => SegmentHeader::Version(version),
        (true, Some(version), Some(lsn)) if lsn == first.0 => SegmentHeader::Version(version),
        _ => SegmentHeader::Damaged,
    }
}

/// What precedes the records of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of all records with their headers.
    pub(crate) payload_bytes: u32,
    /// Number of records.
    pub(crate) count: u32,
    /// The lsn of the first record.
    pub(crate) first: Lsn,
    /// The caller's clock when the group was written.
    pub(crate) clock: u64,
}

impl FrameHeader {
    fn to_bytes(self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.clock.to_le_bytes());
        let check = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, if there is a whole one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        if !header.starts_with(FRAME_MAGIC) || u32_at(header, 28)? != crc32fast::hash(&header[..28])
        {
            return None;
        }
        Some(Self {
            payload_bytes: u32_at(header, 4)?,
            count: u32_at(header, 8)?,
            first: Lsn(u64_at(header, 12)?),
            clock: u64_at(header, 20)?,
        })
    }
}

/// Appends a frame of length-prefixed records to `out`, adding the checksums. Returns the number of
/// records. On an error, `out` is as it was.
pub(crate) fn write_frame(
    out: &mut Vec<u8>,
    first: Lsn,
    clock: u64,
    parts: &[&[u8]],
) -> Result<u32, GroupError> {
    let start = out.len();
    if parts.iter().map(|part| part.len()).sum::<usize>() > GROUP_BYTES_MAX {
        return Err(GroupError::TooLong);
    }
    let result = write_records(out, first, parts).and_then(|count| {
        let payload = out.len() - start - FRAME_HEADER_BYTES;
        if payload > GROUP_BYTES_MAX {
            return Err(GroupError::TooLong);
        }
        let payload_bytes = u32::try_from(payload).map_err(|_| GroupError::TooLong)?;
        let header = FrameHeader {
            payload_bytes,
            count,
            first,
            clock,
        };
        out[start..start + FRAME_HEADER_BYTES].copy_from_slice(&header.to_bytes());
        Ok(count)
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn write_records(out: &mut Vec<u8>, first: Lsn, parts: &[&[u8]]) -> Result<u32, GroupError> {
    // Short records are the rule; longer ones need less than this.
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    out.reserve(FRAME_HEADER_BYTES + bytes + bytes / 4);
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    let mut count = 0;
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            let record = split_record(&mut rest)?;
            let (length, payload) = record.split_at(LENGTH_BYTES);
            let check = record_check(record, first.plus(u64::from(count)));
            out.extend_from_slice(length);
            out.extend_from_slice(&check.to_le_bytes());
            out.extend_from_slice(payload);
            count += 1;
        }
    }
    if count == 0 {
        Err(GroupError::Empty)
    } else {
        Ok(count)
    }
}

/// Takes one record, with its length before it, off the front of `rest`.
pub(crate) fn split_record<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], GroupError> {
    let prefix = rest
        .first_chunk::<LENGTH_BYTES>()
        .ok_or(GroupError::CutShort)?;
    let prefix = u32::from_le_bytes(*prefix);
    if prefix == 0 || length(prefix) > RECORD_BYTES_MAX {
        return Err(GroupError::RecordLength(prefix));
    }
    let (record, after) = rest
        .split_at_checked(LENGTH_BYTES + length(prefix))
        .ok_or(GroupError::CutShort)?;
    *rest = after;
    Ok(record)
}

/// Counts the length-prefixed records of a group.
pub(crate) fn count_records(bytes: &[u8]) -> Result<u64, GroupError> {
    let mut rest = bytes;
    let mut count = 0;
    while !rest.is_empty() {
        split_record(&mut rest)?;
        count += 1;
    }
    Ok(count)
}

/// The check of a record: the CRC of its length and payload, with the low half of its lsn mixed in,
/// so that a record is valid in its own place only. Mixed in by exclusive or and not by one more
/// round of the CRC, because recovery, when it finds a record behind a damaged stretch, must be able
/// to compute which lsn it has.
fn record_check(length_and_payload: &[u8], lsn: Lsn) -> u32 {
    crc32fast::hash(length_and_payload) ^ low_half(lsn.0)
}

fn low_half(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Something that has the form of a record and is one, if it has the right lsn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) payload: &'a [u8],
    low_lsn: u32,
}

impl<'a> Candidate<'a> {
    /// Reads what may be a record from the start of `bytes`.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let payload_bytes = length(u32_at(bytes, 0)?);
        // A stretch of zeros, which is what a file system leaves of lost blocks, is no record.
        if payload_bytes == 0 || payload_bytes > RECORD_BYTES_MAX {
            return None;
        }
        let check = u32_at(bytes, LENGTH_BYTES)?;
        let payload = bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + payload_bytes)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[..LENGTH_BYTES]);
        crc.update(payload);
        Some(Self {
            payload,
            low_lsn: check ^ crc.finalize(),
        })
    }

    /// How far the lsn that this record's check fits is beyond `expected`; `None` when more than
    /// `most`. For something that is no record the answer is as good as random in 2^32.
    pub(crate) fn lsn_beyond(self, expected: Lsn, most: u64) -> Option<u64> {
        if planted::is(Bug::TornTaken) {
            return Some(0);
        }
        let beyond = u64::from(self.low_lsn.wrapping_sub(low_half(expected.0)));
        (beyond <= most).then_some(beyond)
    }

    /// By which bits the check differs from that of this payload at this lsn; 0 = it is the record.
    pub(crate) fn difference(self, lsn: Lsn) -> u32 {
        self.low_lsn ^ low_half(lsn.0)
    }

    /// Bytes on disk.
    pub(crate) fn bytes(self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u64::from_le_bytes(*chunk))
}
