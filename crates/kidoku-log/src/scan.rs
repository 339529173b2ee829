//! Reads one segment: gives out every record that is whole, and steps over what is damaged.
//!
//! A frame header says where its frame ends and which lsns it holds, but no record depends on it:
//! records carry their own check with their lsn in it. So when a header is damaged its records are
//! read without it, and when a record is damaged the next whole one is searched for, byte by byte.
//! A single flipped bit in either is taken back before that.

use crate::Lsn;
use crate::format::{
    Candidate, FRAME_HEADER_BYTES, FrameHeader, RECORD_BYTES_MIN, SEGMENT_HEADER_BYTES,
    SegmentHeader, parse_segment_header,
};
use crate::mend::{mended_header, mended_record};
use crate::planted::{self, Bug};
use crate::wide;

/// What goes on for so long is no write to the wrong place, but what was written here.
const MISPLACED_BYTES_MAX: usize = 64 << 10;
/// How far behind what may be in the wrong place the right records are looked for: a block of common
/// disks, which holds some whatever stood at its begin.
const LOOK_AHEAD_BYTES: usize = 4_096;

/// Takes a record: its lsn, the clock of its frame or 0 when the frame header is gone, its bytes.
pub(crate) type OnRecord<'f> = &'f mut dyn FnMut(Lsn, u64, &[u8]);

/// A damaged stretch with whole records or frames behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    pub(crate) records_lost: u64,
}

/// What a segment held.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Records given out.
    pub(crate) records: u64,
    /// The lsn after the last whole record.
    pub(crate) next: Lsn,
    /// The clock of the last whole frame header, or the one handed in.
    pub(crate) clock: u64,
    /// Damaged stretches, in order.
    pub(crate) damage: Vec<Stretch>,
    /// Where a flipped bit was taken back: the offsets of the records and headers.
    pub(crate) mended: Vec<usize>,
    /// From where on nothing is whole any more.
    pub(crate) tail: Option<usize>,
    /// Where the last frame begins, as far as its header could be read.
    pub(crate) last_frame: usize,
}

/// The damaged stretch being stepped over.
#[derive(Clone, Copy)]
struct Bad {
    from: usize,
    /// The lsn of the first record that may be lost in it.
    expected: Lsn,
}

/// A search for something whole behind a damaged place.
#[derive(Clone, Copy)]
struct Searched {
    /// Where records may be lost from.
    from: usize,
    /// Where something was found.
    found: usize,
}

enum Part<'a> {
    Frame(FrameHeader),
    Record { lsn: Lsn, record: Candidate<'a> },
}

struct Found<'a> {
    offset: usize,
    part: Part<'a>,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    /// The first lsn that the next segment holds: what comes from there on here was given up, and
    /// written again there.
    limit: Option<Lsn>,
    at: usize,
    expected: Lsn,
    bad: Option<Bad>,
    /// The latest search.
    searched: Option<Searched>,
    /// A frame is never empty, so that a header right behind another is in a wrong place.
    follows_header: bool,
    /// The first lsn behind the latest frame: of it and what follows no clock is known.
    clock_until: Lsn,
    scanned: Scanned,
}

/// Reads the segment that begins with `first`. The error is a format version that is not ours.
pub(crate) fn scan_segment(
    bytes: &[u8],
    first: Lsn,
    limit: Option<Lsn>,
    clock: u64,
    on_record: OnRecord<'_>,
) -> Result<Scanned, u32> {
    let bad = match parse_segment_header(bytes, first) {
        SegmentHeader::Version(crate::format::FORMAT_VERSION) => None,
        SegmentHeader::Version(other) => return Err(other),
        SegmentHeader::Damaged => Some(Bad {
            from: 0,
            expected: first,
        }),
    };
    let mut scanner = Scanner {
        bytes,
        limit,
        at: SEGMENT_HEADER_BYTES.min(bytes.len()),
        expected: first,
        bad,
        searched: None,
        follows_header: false,
        clock_until: first,
        scanned: Scanned {
            records: 0,
            next: first,
            clock,
            damage: Vec::new(),
            mended: Vec::new(),
            tail: None,
            last_frame: 0,
        },
    };
    scanner.read(on_record);
    Ok(scanner.scanned)
}

impl<'a> Scanner<'a> {
    fn read(&mut self, on_record: OnRecord<'_>) {
        // The very last lsn is no record's: nothing could follow it.
        while self.at < self.bytes.len() && self.expected.next() > self.expected {
            if let Some(found) = self.part_at(self.at, false) {
                self.settle(&found, on_record);
                continue;
            }
            if self.mend(on_record) {
                continue;
            }
            if let Some(found) = self.search_on() {
                self.settle(&found, on_record);
                continue;
            }
            break;
        }
        if self.at < self.bytes.len() {
            self.mark_bad();
        }
        self.scanned.tail = self.bad.map(|bad| bad.from);
        self.scanned.next = self.bad.map_or(self.expected, |bad| bad.expected);
    }

    fn mark_bad(&mut self) {
        self.bad.get_or_insert(Bad {
            from: self.at,
            expected: self.expected,
        });
    }

    /// From where on records may be lost. What a search has found a short way back may have been
    /// written to the wrong place, and what was lost before that place may be still to come.
    fn doubtful_from(&self) -> usize {
        match self.searched {
            Some(searched) if self.at - searched.found <= MISPLACED_BYTES_MAX => searched.from,
            Some(_) | None => self.at,
        }
    }

    /// True a short way behind what a search has found.
    fn is_doubtful(&self) -> bool {
        self.doubtful_from() < self.at
    }

    /// The whole frame header or record that begins at `offset`.
    ///
    /// Where the reader is, only the very next one will do. Behind that, in a search, what is whole
    /// may also be a good record in a wrong place, or one whose check has rotted so that it looks
    /// like another one: so what stands behind it is asked too.
    fn part_at(&self, offset: usize, is_searching: bool) -> Option<Found<'a>> {
        let bytes = self.bytes.get(offset..)?;
        // Of the bytes stepped over, a lost record took at least nine; one more when the lsn of the
        // record before them was not its own.
        let lost_max = if is_searching {
            wide((offset - self.doubtful_from()) / RECORD_BYTES_MIN + 1)
        } else {
            0
        };
        if let Some(header) = FrameHeader::parse(bytes)
            && header.first >= self.expected
            && header.first <= self.expected.plus(lost_max)
            && if is_searching {
                self.is_believed(&header, offset)
            } else {
                !self.follows_header
            }
        {
            let part = Part::Frame(header);
            return Some(Found { offset, part });
        }
        let record = Candidate::read(bytes)?;
        let lost = record.lsn_beyond(self.expected, lost_max)?;
        let lsn = self.expected.plus(lost);
        if lsn.next() == lsn {
            return None;
        }
        let behind = offset + record.bytes();
        // What looks like another one than is due, right where that is due, may be that with a
        // flipped bit in its check.
        let may_be_alone = offset > self.at;
        if is_searching && !self.is_record_believed(behind, lsn, lost_max, may_be_alone) {
            return None;
        }
        let part = Part::Record { lsn, record };
        Some(Found { offset, part })
    }

    /// True when a whole header in a damaged stretch is believed to stand where it was written: its
    /// first record follows.
    fn is_believed(&self, header: &FrameHeader, offset: usize) -> bool {
        let records = offset + FRAME_HEADER_BYTES;
        self.has_neighbour(records, header.first)
            && !self.is_outvoted(header.first, records, header.first)
    }

    /// True when what looks like the record of this lsn in a damaged stretch is believed to be that.
    /// `behind` is where it ends.
    fn is_record_believed(
        &self,
        behind: usize,
        lsn: Lsn,
        lost_max: u64,
        may_be_alone: bool,
    ) -> bool {
        let next = lsn.next();
        if !self.has_neighbour(behind, next) {
            // With many lsns that fit, a chance hit is likelier.
            if !may_be_alone || lsn > self.expected.next() {
                return false;
            }
            // Another record right behind it says that one of the two is not what it looks like.
            let bytes = self.bytes.get(behind..).unwrap_or_default();
            let most = lost_max.saturating_add(2);
            if FrameHeader::parse(bytes).is_some()
                || Candidate::read(bytes)
                    .is_some_and(|other| other.lsn_beyond(self.expected, most).is_some())
            {
                return false;
            }
        }
        !self.is_outvoted(lsn, behind, next)
    }

    /// True when records that would be lost if this lsn is believed to come next are found behind it,
    /// and more of them in a row than here: then what stands here was written to the wrong place.
    /// `behind` and `next` are where it ends and what follows it there.
    fn is_outvoted(&self, lsn: Lsn, behind: usize, next: Lsn) -> bool {
        let lost = lsn.0.saturating_sub(self.expected.0);
        if lost == 0 {
            return false;
        }
        let (end, after) = self.run(behind, next);
        if end - behind > MISPLACED_BYTES_MAX {
            return false;
        }
        let here = after.0 - lsn.0;
        // The first one that is of here has the other votes.
        let near = lost
            .saturating_mul(2)
            .saturating_add(wide(LOOK_AHEAD_BYTES));
        let ahead = self.bytes.len().min(end.saturating_add(LOOK_AHEAD_BYTES));
        let other = (end..ahead).find_map(|offset| {
            let record = Candidate::read(self.bytes.get(offset..)?)?;
            let lsn = self.expected.plus(record.lsn_beyond(self.expected, near)?);
            Some((lsn, offset + record.bytes()))
        });
        other.is_some_and(|(first, behind)| {
            let (_, after) = self.run(behind, first.next());
            first <= lsn && after.0 - first.0 > here
        })
    }

    /// Follows whole records and headers without a gap from `offset`, where this lsn is due, until
    /// they end or go on for longer than a write to the wrong place. Returns where that is, and the lsn that is due there.
    fn run(&self, offset: usize, lsn: Lsn) -> (usize, Lsn) {
        let (mut at, mut due) = (offset, lsn);
        while at - offset <= MISPLACED_BYTES_MAX
            && let Some(next) = self.whole_at(at, due)
        {
            (at, due) = next;
        }
        (at, due)
    }

    /// Where the whole header or record of this lsn at `offset` ends, and the lsn behind it.
    fn whole_at(&self, offset: usize, lsn: Lsn) -> Option<(usize, Lsn)> {
        let bytes = self.bytes.get(offset..)?;
        if FrameHeader::parse(bytes).is_some_and(|header| header.first == lsn) {
            return Some((offset + FRAME_HEADER_BYTES, lsn));
        }
        let record = Candidate::read(bytes)?;
        record.lsn_beyond(lsn, 0)?;
        Some((offset + record.bytes(), lsn.next()))
    }

    /// True when at `offset` there is the record or frame of this lsn, or the end.
    fn has_neighbour(&self, offset: usize, lsn: Lsn) -> bool {
        offset == self.bytes.len() || self.whole_at(offset, lsn).is_some()
    }

    /// Goes on with the header or record that is due here, when a single flipped bit hides it.
    fn mend(&mut self, on_record: OnRecord<'_>) -> bool {
        // Behind a damaged stretch it is not certain what is due.
        if self.bad.is_some() || planted::is(Bug::StopsAtBadRecord) {
            return false;
        }
        let offset = self.at;
        let bytes = self.bytes.get(offset..).unwrap_or_default();
        if let Some(header) = mended_header(bytes)
            && header.first == self.expected
            && !self.follows_header
        {
            self.scanned.mended.push(offset);
            let part = Part::Frame(header);
            self.settle(&Found { offset, part }, on_record);
            return true;
        }
        let lsn = self.expected;
        let Some(mended) = mended_record(bytes, lsn) else {
            return false;
        };
        let behind = offset + mended.len();
        // Where another record may be due, that one can look like this one with a flipped bit, and
        // so can the one behind it: then only a whole one speaks for it.
        let in_place = self.whole_at(behind, lsn.next()).is_some()
            || !self.is_doubtful()
                && (behind == self.bytes.len() || self.has_mended_neighbour(behind, lsn.next()));
        let Some(record) = Candidate::read(&mended).filter(|_| in_place) else {
            return false;
        };
        self.scanned.mended.push(offset);
        let part = Part::Record { lsn, record };
        self.settle(&Found { offset, part }, on_record);
        true
    }

    /// As [`Self::has_neighbour`], where a bit of the neighbour has flipped too.
    fn has_mended_neighbour(&self, offset: usize, lsn: Lsn) -> bool {
        let bytes = self.bytes.get(offset..).unwrap_or_default();
        mended_header(bytes).is_some_and(|header| header.first == lsn)
            || mended_record(bytes, lsn).is_some()
    }

    fn search_on(&self) -> Option<Found<'a>> {
        if planted::is(Bug::StopsAtBadRecord) {
            return None;
        }
        self.search()
    }

    fn search(&self) -> Option<Found<'a>> {
        // Behind what was written to the wrong place, another one may stand where this one is due.
        let first = self.at + usize::from(!self.is_doubtful());
        (first..self.bytes.len()).find_map(|offset| self.part_at(offset, true))
    }

    fn settle(&mut self, found: &Found<'_>, on_record: OnRecord<'_>) {
        if found.offset > self.at {
            self.mark_bad();
            self.searched = Some(Searched {
                from: self.doubtful_from(),
                found: found.offset,
            });
        }
        let lsn = match &found.part {
            Part::Frame(header) => header.first,
            Part::Record { lsn, .. } => *lsn,
        };
        if let Some(bad) = self.bad.take()
            && self.limit.is_none_or(|limit| bad.expected < limit)
        {
            let reached = self.limit.map_or(lsn, |limit| limit.min(lsn));
            self.scanned.damage.push(Stretch {
                offset: bad.from,
                bytes: found.offset - bad.from,
                records_lost: reached.0.saturating_sub(bad.expected.0),
            });
        }
        self.follows_header = matches!(found.part, Part::Frame(_));
        match &found.part {
            Part::Frame(header) => {
                self.at = found.offset + FRAME_HEADER_BYTES;
                self.scanned.last_frame = found.offset;
                self.expected = header.first;
                self.scanned.clock = header.clock;
                self.clock_until = header.first.plus(u64::from(header.count));
            }
            Part::Record { lsn, record } => {
                if self.limit.is_none_or(|limit| *lsn < limit) {
                    let is_known = *lsn < self.clock_until;
                    let clock = if is_known { self.scanned.clock } else { 0 };
                    on_record(*lsn, clock, record.payload);
                    self.scanned.records += 1;
                }
                self.at = found.offset + record.bytes();
                self.expected = lsn.next();
            }
        }
    }
}
