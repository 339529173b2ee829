//! Reads one segment: gives out every record that is whole, and steps over what is damaged.
//!
//! A frame header says where its frame ends and which lsns it holds, but no record depends on it:
//! records carry their own check with their lsn in it. So when a header is damaged its records are
//! read without it, and when a record is damaged the next whole one is searched for, byte by byte.
//! A single flipped bit in either is taken back before that.

use crate::Lsn;
use crate::format::{
    Candidate, FRAME_HEADER_BYTES, FrameHeader, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES,
    SegmentHeader, parse_segment_header,
};
use crate::mend::{mended_header, mended_record};
use crate::planted::{self, Bug};
use crate::{length, wide};

/// Takes a record: its lsn, the clock of its frame, its bytes.
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

/// The frame being read.
#[derive(Clone, Copy)]
struct Span {
    /// Offset just behind its last record.
    end: usize,
    /// The lsn after its last record.
    next: Lsn,
}

/// The damaged stretch being stepped over.
#[derive(Clone, Copy)]
struct Bad {
    from: usize,
    /// The lsn of the first record that may be lost in it.
    expected: Lsn,
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
    frame: Option<Span>,
    bad: Option<Bad>,
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
        frame: None,
        bad,
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
    scanner.run(on_record);
    Ok(scanner.scanned)
}

impl<'a> Scanner<'a> {
    fn run(&mut self, on_record: OnRecord<'_>) {
        while self.at < self.bytes.len() {
            self.leave_frame();
            if let Some(found) = self.part_at(self.at) {
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
            self.mark_bad();
            if planted::is(Bug::StopsAtBadRecord) {
                break;
            }
            self.at = match self.frame {
                Some(frame) if frame.end < self.bytes.len() => frame.end,
                Some(_) | None => break,
            };
        }
        self.scanned.tail = self.bad.map(|bad| bad.from);
        self.scanned.next = self.bad.map_or(self.expected, |bad| bad.expected);
    }

    fn leave_frame(&mut self) {
        let Some(frame) = self.frame.filter(|frame| frame.end <= self.at) else {
            return;
        };
        if self.expected < frame.next {
            self.mark_bad();
            self.expected = frame.next;
        }
        self.frame = None;
    }

    fn mark_bad(&mut self) {
        self.bad.get_or_insert(Bad {
            from: self.at,
            expected: self.expected,
        });
    }

    /// The whole frame header or record that begins at `offset`.
    fn part_at(&self, offset: usize) -> Option<Found<'a>> {
        let end = self
            .frame
            .map_or(self.bytes.len(), |frame| frame.end.min(self.bytes.len()));
        let bytes = self.bytes.get(offset..end)?;
        // Of the bytes stepped over, a lost record took at least nine; one more may have begun
        // before them.
        let bad_bytes = offset - self.bad.map_or(self.at, |bad| bad.from);
        let lost_max = wide(bad_bytes / (RECORD_HEADER_BYTES + 1) + 1);
        if let Some(header) = FrameHeader::parse(bytes)
            && header.first >= self.expected
            && header.first <= self.expected.plus(lost_max)
            && self.may_begin(offset, &header, bad_bytes > 0)
        {
            return Some(Found {
                offset,
                part: Part::Frame(header),
            });
        }
        let record = Candidate::read(bytes)?;
        // Where nothing is damaged only the very next record will do.
        let lost_max = if bad_bytes == 0 { 0 } else { lost_max };
        let lost = record.lsn_beyond(self.expected, lost_max)?;
        let lsn = self.expected.plus(lost);
        if self.frame.is_some_and(|frame| lsn >= frame.next) {
            return None;
        }
        // With many lsns that fit, a chance hit is likelier: ask its neighbour too.
        if lost > 1 && !self.has_neighbour(offset + record.bytes(), end, lsn.next()) {
            return None;
        }
        Some(Found {
            offset,
            part: Part::Record { lsn, record },
        })
    }

    /// True when a whole header is believed to stand where it was written. Where nothing is damaged,
    /// it is. A write that went to the wrong place may leave a header in a damaged stretch, and its
    /// length would hide what lies behind; so there its first record has to follow, and a frame that
    /// ends too late ends where a later one begins.
    fn may_begin(&self, offset: usize, header: &FrameHeader, is_searching: bool) -> bool {
        let is_next = self.frame.is_none_or(|frame| header.first >= frame.next);
        if !is_searching {
            return self.frame.is_none();
        }
        let records = offset + FRAME_HEADER_BYTES;
        is_next && self.has_neighbour(records, self.bytes.len(), header.first)
    }

    /// True when at `offset` there is the record or frame of this lsn, or the end.
    fn has_neighbour(&self, offset: usize, end: usize, lsn: Lsn) -> bool {
        let bytes = self.bytes.get(offset..end).unwrap_or_default();
        bytes.is_empty()
            || FrameHeader::parse(bytes).is_some_and(|header| header.first == lsn)
            || Candidate::read(bytes).is_some_and(|record| record.lsn_beyond(lsn, 0).is_some())
    }

    /// Goes on with the header or record that is due here, when a single flipped bit hides it.
    fn mend(&mut self, on_record: OnRecord<'_>) -> bool {
        // Behind a damaged stretch it is not certain what is due.
        if self.bad.is_some() || planted::is(Bug::StopsAtBadRecord) {
            return false;
        }
        let offset = self.at;
        let end = self
            .frame
            .map_or(self.bytes.len(), |frame| frame.end.min(self.bytes.len()));
        let bytes = self.bytes.get(offset..end).unwrap_or_default();
        if self.frame.is_none()
            && let Some(header) = mended_header(bytes)
            && header.first == self.expected
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
        let in_place = self.has_neighbour(behind, end, lsn.next())
            || self.has_mended_neighbour(behind, end, lsn.next());
        let Some(record) = Candidate::read(&mended).filter(|_| in_place) else {
            return false;
        };
        self.scanned.mended.push(offset);
        let part = Part::Record { lsn, record };
        self.settle(&Found { offset, part }, on_record);
        true
    }

    /// As [`Self::has_neighbour`], where a bit of the neighbour has flipped too.
    fn has_mended_neighbour(&self, offset: usize, end: usize, lsn: Lsn) -> bool {
        let bytes = self.bytes.get(offset..end).unwrap_or_default();
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
        let end = self
            .frame
            .map_or(self.bytes.len(), |frame| frame.end.min(self.bytes.len()));
        (self.at + 1..end).find_map(|offset| self.part_at(offset))
    }

    fn settle(&mut self, found: &Found<'_>, on_record: OnRecord<'_>) {
        if found.offset > self.at {
            self.mark_bad();
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
        match &found.part {
            Part::Frame(header) => {
                self.at = found.offset + FRAME_HEADER_BYTES;
                self.scanned.last_frame = found.offset;
                self.expected = header.first;
                self.scanned.clock = header.clock;
                self.frame = Some(Span {
                    end: self.at.saturating_add(length(header.payload_bytes)),
                    next: header.first.plus(u64::from(header.count)),
                });
            }
            Part::Record { lsn, record } => {
                if self.limit.is_none_or(|limit| *lsn < limit) {
                    on_record(*lsn, self.scanned.clock, record.payload);
                    self.scanned.records += 1;
                }
                self.at = found.offset + record.bytes();
                self.expected = lsn.next();
            }
        }
    }
}
