//! Opening a log: every segment in order, every whole record in order, and what was found wrong.

use crate::disk::Disk;
use crate::error::LogError;
use crate::format::{RECORD_BYTES_MIN, parse_segment_name, segment_name};
use crate::planted::{self, Bug};
use crate::scan::{OnRecord, Scanned, scan_segment};
use crate::{Lsn, wide};
use std::io;

/// Damaged stretches that are kept with their place; of more only the sums are.
const DAMAGE_LIST_MAX: usize = 1_000;

/// Bytes of a damaged stretch that are kept.
const REMAINS_BYTES_MAX: usize = 4_096;

/// Bytes of all damaged stretches that are kept.
const REMAINS_SUM_MAX: usize = 1 << 20;

/// How much is asked of the disk at once.
const READ_BYTES: usize = 1 << 20;
/// How much is given up when a part of the disk can not be read: one block of common disks.
const BLOCK_BYTES: usize = 4_096;

/// A stretch of a segment that is not what was written, with whole records behind it, here or in a
/// later segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment: its first lsn, which is also its file's name.
    pub segment: Lsn,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Records lost by it: 0 when only a header was hit.
    pub records_lost: u64,
    /// It lies in the last group of the log. That one may never have been synced, and then nobody was
    /// told of it: a power cut that lets a disk keep a later part of a write and not an earlier one
    /// looks like this.
    pub may_be_unfinished: bool,
    /// What stands there, from `offset` on, for whoever can make something of it: the first
    /// 4 KiB, when a record is lost, of the first stretches.
    pub remains: Vec<u8>,
}

/// An end of the last segment that was not written to the end. It has been cut off, unless the disk
/// refused to read something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment: its first lsn.
    pub segment: Lsn,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// A record or frame header in which a single flipped bit was found and taken back: nothing is lost.
/// The file stays as it is, until it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mend {
    /// The segment: its first lsn, which is also its file's name.
    pub segment: Lsn,
    /// Where in the file the record or header begins, in bytes.
    pub offset: u64,
}

/// What opening a log found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Number of segments.
    pub segments: usize,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Number of records given out.
    pub records: u64,
    /// The lsn before the next one to be given: that of the last whole record, or higher when bytes
    /// that could not be read may hold more.
    pub last: Lsn,
    /// The highest clock of any frame; 0 without one.
    pub clock_max: u64,
    /// Damaged stretches: the first 1,000.
    pub damage: Vec<Damage>,
    /// Number of damaged stretches, the unlisted ones included.
    pub damage_count: u64,
    /// Records lost in all of them.
    pub records_lost: u64,
    /// Flipped bits taken back: the first 1,000.
    pub mends: Vec<Mend>,
    /// Number of flipped bits taken back, the unlisted ones included.
    pub mend_count: u64,
    /// Bytes that the disk refused to read, rounded up to blocks of 4 KiB.
    pub unreadable_bytes: u64,
    /// The torn end, if there was one.
    pub torn: Option<TornTail>,
}

impl Recovery {
    fn add_damage(&mut self, damage: Damage) {
        self.damage_count += 1;
        self.records_lost += damage.records_lost;
        if self.damage.len() < DAMAGE_LIST_MAX {
            self.damage.push(damage);
        }
    }

    /// The beginning of a damaged stretch, while there is room for such.
    fn remains(&self, stretch: &[u8], records_lost: u64) -> Vec<u8> {
        let kept: usize = self.damage.iter().map(|damage| damage.remains.len()).sum();
        let room = REMAINS_SUM_MAX.saturating_sub(kept).min(REMAINS_BYTES_MAX);
        if records_lost == 0 {
            return Vec::new();
        }
        stretch.get(..room).unwrap_or(stretch).to_vec()
    }

    fn add_segment(&mut self, segment: Lsn, bytes: &[u8], limit: Option<Lsn>, scanned: &Scanned) {
        let size = bytes.len();
        self.records += scanned.records;
        self.clock_max = self.clock_max.max(scanned.clock);
        // A segment is named after the lsn that comes next, so this holds for an empty one too.
        let next = limit.map_or(scanned.next, |limit| limit.min(scanned.next));
        self.last = self.last.max(next.previous());
        self.mend_count += wide(scanned.mended.len());
        let room = DAMAGE_LIST_MAX.saturating_sub(self.mends.len());
        let mends = scanned.mended.iter().take(room).map(|offset| Mend {
            segment,
            offset: wide(*offset),
        });
        self.mends.extend(mends);
        for stretch in &scanned.damage {
            let end = stretch.offset + stretch.bytes;
            let hit = bytes.get(stretch.offset..end).unwrap_or_default();
            let remains = self.remains(hit, stretch.records_lost);
            self.add_damage(Damage {
                remains,
                segment,
                offset: wide(stretch.offset),
                bytes: wide(stretch.bytes),
                records_lost: stretch.records_lost,
                may_be_unfinished: limit.is_none() && stretch.offset >= scanned.last_frame,
            });
        }
        let tail = scanned.tail.unwrap_or(size);
        match limit {
            // What is bad at the end of an older segment is the remains of a failed write, unless
            // the next segment shows that records are missing.
            Some(limit) if scanned.next < limit => {
                let records_lost = limit.0 - scanned.next.0;
                let remains = self.remains(bytes.get(tail..).unwrap_or_default(), records_lost);
                self.add_damage(Damage {
                    segment,
                    offset: wide(tail),
                    bytes: wide(size - tail),
                    records_lost,
                    may_be_unfinished: false,
                    remains,
                });
            }
            None if tail < size => {
                self.torn = Some(TornTail {
                    segment,
                    offset: wide(tail),
                    bytes: wide(size - tail),
                });
            }
            Some(_) | None => {}
        }
    }
}

/// The first lsns of the segments on the disk, rising.
pub(crate) fn list_segments<D: Disk>(disk: &D) -> io::Result<Vec<Lsn>> {
    let names = disk.list()?;
    let mut segments: Vec<Lsn> = names
        .iter()
        .filter_map(|name| parse_segment_name(name))
        .collect();
    segments.sort_unstable();
    Ok(segments)
}

/// Reads all segments, gives out their records, cuts off the torn tail of the last.
pub(crate) fn recover<D: Disk>(
    disk: &D,
    segments: &[Lsn],
    on_record: OnRecord<'_>,
) -> Result<Recovery, LogError> {
    let mut recovery = Recovery {
        segments: segments.len(),
        ..Recovery::default()
    };
    let mut bytes = Vec::new();
    for (index, first) in segments.iter().enumerate() {
        let limit = segments.get(index + 1).copied();
        recovery.unreadable_bytes += read_segment(disk, *first, &mut bytes)?;
        recovery.bytes += wide(bytes.len());
        let scanned = scan_segment(&bytes, *first, limit, recovery.clock_max, &mut *on_record)
            .map_err(|found| LogError::Version {
                segment: *first,
                found,
            })?;
        recovery.add_segment(*first, &bytes, limit, &scanned);
    }
    keep(disk, segments, &bytes, &recovery)?;
    if !segments.is_empty() {
        disk.sync_dir()?;
    }
    // Last of all that can fail, so that a start that fails leaves the damage to the next to report.
    // What could not be read may be good: it stays, and the segment after it says where it ends.
    if let Some(torn) = recovery.torn
        && recovery.unreadable_bytes == 0
    {
        disk.truncate(&segment_name(torn.segment), torn.offset)?;
    }
    // The lsns that the unreadable bytes may hold are not given again.
    recovery.last = recovery
        .last
        .plus(recovery.unreadable_bytes / wide(RECORD_BYTES_MIN));
    Ok(recovery)
}

/// Makes certain what was read: from now on it counts as kept.
///
/// A process that was killed may have left written what it did not come to sync. Worse, a sync of the
/// last segment may have failed before, and what the system then shows is not on the disk, whatever a
/// later sync says. So the last segment is written over itself. Those before it are certain: each was
/// synced before the next one was begun, or the next one says from where on it does not count.
fn keep<D: Disk>(
    disk: &D,
    segments: &[Lsn],
    last_bytes: &[u8],
    recovery: &Recovery,
) -> io::Result<()> {
    let Some((last, before)) = segments.split_last() else {
        return Ok(());
    };
    for first in before {
        disk.sync(&segment_name(*first))?;
    }
    if recovery.unreadable_bytes > 0 {
        // What could not be read must not be written over.
        return disk.sync(&segment_name(*last));
    }
    let whole = recovery
        .torn
        .map_or(wide(last_bytes.len()), |torn| torn.offset);
    let whole = usize::try_from(whole).map_err(io::Error::other)?;
    let bytes = last_bytes.get(..whole).unwrap_or(last_bytes);
    if planted::is(Bug::ShownNotKept) {
        return disk.sync(&segment_name(*last));
    }
    disk.rewrite(&segment_name(*last), bytes)
}

/// Reads a whole segment; what the medium can not give back is zeros. Returns how many bytes that
/// is. Any other error, like missing permission, ends it: the records are there, just not for us.
fn read_segment<D: Disk>(disk: &D, first: Lsn, bytes: &mut Vec<u8>) -> io::Result<u64> {
    let name = segment_name(first);
    let size = usize::try_from(disk.size(&name)?).map_err(io::Error::other)?;
    bytes.clear();
    bytes.resize(size, 0);
    let mut unreadable = 0;
    let mut offset = 0;
    for part in bytes.chunks_mut(READ_BYTES) {
        let part_bytes = wide(part.len());
        if !read_part(disk, &name, offset, part)? {
            let mut block_offset = offset;
            for block in part.chunks_mut(BLOCK_BYTES) {
                if !read_part(disk, &name, block_offset, block)? {
                    block.fill(0);
                    unreadable += wide(block.len());
                }
                block_offset += wide(block.len());
            }
        }
        offset += part_bytes;
    }
    Ok(unreadable)
}

/// False when the medium can not give back the bytes.
fn read_part<D: Disk>(disk: &D, name: &str, offset: u64, part: &mut [u8]) -> io::Result<bool> {
    match disk.read_at(name, offset, part) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
        Err(error) => Err(error),
    }
}
