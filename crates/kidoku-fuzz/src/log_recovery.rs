//! Opening a log: of arbitrary bytes, and of a log that was written and then damaged. It never
//! panics, never gives out a record that was not written, and loses only what the damage touched.

use crate::draw::Draw;
use crate::memory_disk::MemoryDisk;
use kidoku_log::{Durability, Log, LogError, LogOptions, Lsn, Recovery};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

type Records = BTreeMap<u64, Vec<u8>>;

/// Bytes before the payload of a record.
const RECORD_HEADER_BYTES: usize = 8;
/// Damages of one log at most.
const DAMAGES_MAX: usize = 8;

/// Takes the input for a segment as it stands, or for a plan of what is written and damaged.
pub fn run(data: &[u8]) {
    let mut draw = Draw::new(data);
    if draw.flag() {
        arbitrary(&mut draw);
    } else {
        damaged(&mut draw);
    }
}

fn options(segment_bytes_max: u64) -> LogOptions {
    LogOptions {
        segment_bytes_max,
        durability: Durability::Sync,
    }
}

fn open(disk: &MemoryDisk) -> Result<(Log<MemoryDisk>, Recovery, Records), LogError> {
    let mut records = Records::new();
    let mut last = 0;
    let (log, recovery) = Log::open(disk.clone(), options(1 << 20), |lsn: Lsn, _, payload| {
        assert!(lsn.0 > last, "records come in rising order");
        last = lsn.0;
        records.insert(lsn.0, payload.to_vec());
    })?;
    assert_eq!(recovery.records, u64::try_from(records.len()).unwrap());
    Ok((log, recovery, records))
}

/// One or two segments of any bytes, with names that matter.
fn arbitrary(draw: &mut Draw<'_>) {
    let disk = MemoryDisk::default();
    let first = draw.pick(&[1_u64, 1, 1, 5, u64::MAX - 1, u64::MAX]);
    if draw.one_in(4) {
        let len = usize::from(draw.byte()) * 4;
        let bytes = draw.bytes(len).to_vec();
        disk.files().insert(format!("{first:020}.log"), bytes);
        let second = first.saturating_add(u64::from(draw.byte()));
        let rest = draw.rest().to_vec();
        disk.files().insert(format!("{second:020}.log"), rest);
    } else {
        let bytes = draw.rest().to_vec();
        disk.files().insert(format!("{first:020}.log"), bytes);
    }
    let bytes: usize = disk.files().values().map(Vec::len).sum();
    match open(&disk) {
        Ok((log, recovery, found)) => {
            let payload: usize = found.values().map(Vec::len).sum();
            assert!(payload <= bytes, "no byte is read twice");
            // Lsns at the very end can not be given on.
            if recovery.last.0 < u64::MAX / 2 {
                check_goes_on(&disk, log, &found);
            }
        }
        Err(LogError::Version { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// After an opening, an append and another opening everything found before is found again.
fn check_goes_on(disk: &MemoryDisk, mut log: Log<MemoryDisk>, before: &Records) {
    let next = log.next().0;
    let last = before.last_key_value().map_or(0, |(lsn, _)| *lsn);
    assert!(next > last, "no lsn is given twice");
    append(&mut log, &[b"more".to_vec()]);
    drop(log);
    let (_, recovery, found) = open(disk).expect("it has opened before");
    let mut expected = before.clone();
    expected.insert(next, b"more".to_vec());
    assert_eq!(found, expected);
    assert_eq!(recovery.torn, None, "what was torn is cut off");
}

fn append(log: &mut Log<MemoryDisk>, records: &[Vec<u8>]) {
    let mut group = Vec::new();
    for record in records {
        group.extend_from_slice(&u32::try_from(record.len()).unwrap().to_le_bytes());
        group.extend_from_slice(record);
    }
    let count = u32::try_from(records.len()).unwrap();
    log.append_group(&[&group], count, 7).unwrap();
    log.sync().unwrap();
}

/// Where a record stands.
#[derive(Debug)]
struct Place {
    lsn: u64,
    file: String,
    bytes: Range<usize>,
}

/// Writes a log as the input says. Payloads are digits and letters, all different, so that no record
/// can hold another.
fn write(draw: &mut Draw<'_>, disk: &MemoryDisk) -> (Records, Vec<Place>) {
    let segment_bytes_max = draw.pick(&[64_u64, 300, 1 << 20]);
    let (mut log, _) = Log::open(disk.clone(), options(segment_bytes_max), |_, _, _| {}).unwrap();
    let (mut records, mut places) = (Records::new(), Vec::new());
    for _ in 0..1 + draw.below(8) {
        let first = log.next().0;
        let group: Vec<Vec<u8>> = (first..)
            .take(1 + draw.below(5))
            .map(|lsn| {
                let letter = b'a' + draw.byte() % 26;
                let mut record = format!("{lsn}").into_bytes();
                record.resize(record.len() + usize::from(draw.byte() % 64), letter);
                record
            })
            .collect();
        append(&mut log, &group);
        let name = disk.files().keys().next_back().cloned().unwrap();
        let size = disk.files()[&name].len();
        let bytes: usize = group
            .iter()
            .map(|record| RECORD_HEADER_BYTES + record.len())
            .sum();
        let mut at = size - bytes;
        for (lsn, record) in (first..).zip(group) {
            let end = at + RECORD_HEADER_BYTES + record.len();
            let file = name.clone();
            places.push(Place {
                lsn,
                file,
                bytes: at..end,
            });
            records.insert(lsn, record);
            at = end;
        }
    }
    (records, places)
}

/// How a file was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Bytes are not what was written.
    Changed,
    /// The end is missing.
    Cut,
    /// Something stands behind the end.
    Longer,
    /// A write went to another place: good records stand where they do not belong.
    Misplaced,
}

/// Which bytes of which file are not what was written, or no longer there.
#[derive(Debug)]
struct Damage {
    file: String,
    bytes: Range<usize>,
    kind: Kind,
}

impl Damage {
    fn touches(&self, file: &str, bytes: &Range<usize>) -> bool {
        self.file == file && self.bytes.start < bytes.end && bytes.start < self.bytes.end
    }
}

/// Writes, damages once or more, and opens.
fn damaged(draw: &mut Draw<'_>) {
    let disk = MemoryDisk::default();
    let (records, places) = write(draw, &disk);
    let once = !draw.one_in(3);
    let mut damages = Vec::new();
    loop {
        damages.push(damage(draw, &disk));
        if once || draw.is_empty() || damages.len() == DAMAGES_MAX {
            break;
        }
    }
    let files: Vec<Vec<u8>> = disk.files().values().cloned().collect();
    let (log, recovery, found) = open(&disk).expect("damage is never a reason to refuse");
    if were_written(&records, &found, &files) {
        check_losses(&records, &places, &damages, &found, &recovery);
    }
    check_goes_on(&disk, log, &found);
}

/// What is given out was written. Which lsn it has is not as certain: the lsn is mixed into the
/// check, so that of a record whose check has rotted may be that of one which is lost. Records merge
/// in any order, so nothing comes of that.
///
/// A check has 32 bits, and fuzzing is long: by chance what is damaged may have a check that fits. That
/// is worked out here again from the bytes in the files, and then the answer is false.
fn were_written(records: &Records, found: &Records, files: &[Vec<u8>]) -> bool {
    let written: BTreeSet<&Vec<u8>> = records.values().collect();
    let mut others = found
        .iter()
        .filter(|(_, payload)| !written.contains(payload))
        .peekable();
    let all_were = others.peek().is_none();
    for (lsn, payload) in others {
        let fits = files.iter().any(|bytes| fits(bytes, *lsn, payload));
        assert!(fits, "{lsn} {payload:?} was not written");
    }
    all_were
}

/// True when the bytes hold this record with a check that fits, or all but one bit of it.
fn fits(bytes: &[u8], lsn: u64, payload: &[u8]) -> bool {
    let mut record = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    record.extend_from_slice(payload);
    let low = u32::try_from(lsn & u64::from(u32::MAX)).unwrap();
    let check = crc32fast::hash(&record) ^ low;
    record.splice(4..4, check.to_le_bytes());
    bytes.windows(record.len()).any(|there| {
        let differences = there.iter().zip(&record).map(|(a, b)| (a ^ b).count_ones());
        differences.sum::<u32>() <= 1
    })
}

/// What is lost is near what was damaged, and told.
fn check_losses(
    records: &Records,
    places: &[Place],
    damages: &[Damage],
    found: &Records,
    recovery: &Recovery,
) {
    let is_hit = |file: &str, bytes: Range<usize>| {
        let mut damages = damages.iter();
        damages.any(|damage| damage.touches(file, &bytes))
    };
    let is_found = |place: &Place| found.get(&place.lsn) == records.get(&place.lsn);
    // What was written to the wrong place may be taken for a flipped bit of what was there.
    let is_told = recovery.damage_count > 0 || recovery.torn.is_some() || recovery.mend_count > 0;
    // A cut between two frames looks like a log that was never longer.
    let is_cut = damages.iter().any(|damage| damage.kind == Kind::Cut);
    // One is undone, as far as it can be; several may put together what looks whole.
    let is_puzzle =
        damages.len() > 1 && damages.iter().any(|damage| damage.kind == Kind::Misplaced);
    for (index, place) in places.iter().enumerate() {
        if is_found(place) {
            continue;
        }
        assert!(is_told || is_cut, "{place:?} is lost in silence");
        if is_puzzle || is_hit(&place.file, place.bytes.clone()) {
            continue;
        }
        // A good record that stands alone between two damages may not be believed: with nothing
        // good beside it, it might be there by chance, or be another one whose check has rotted, and
        // a wrong record is worse than a lost one.
        let mut before = places[..index].iter().rev();
        let before = before.find(|before| before.file != place.file || is_found(before));
        let before = before.filter(|before| before.file == place.file);
        let before = before.map_or(0, |before| before.bytes.end);
        let next = places.get(index + 1).filter(|next| next.file == place.file);
        let behind = next.map_or(usize::MAX, |next| next.bytes.end);
        let is_alone = damages.len() > 1
            && is_hit(&place.file, before..place.bytes.start)
            && is_hit(&place.file, place.bytes.end..behind);
        assert!(is_alone, "{place:?} is lost and {damages:?} was damaged");
    }
}

/// Damages one file.
fn damage(draw: &mut Draw<'_>, disk: &MemoryDisk) -> Damage {
    let mut files = disk.files();
    let index = draw.below(files.len());
    let is_last = index + 1 == files.len();
    let (name, bytes) = files.iter_mut().nth(index).unwrap();
    let size = bytes.len();
    let place = |draw: &mut Draw<'_>| {
        (usize::from(draw.byte()) << 8 | usize::from(draw.byte())) % size.max(1)
    };
    let at = place(draw);
    let end = (at + 1 + usize::from(draw.byte())).min(size);
    let (kind, range) = match draw.below(6) {
        0 if at < end => {
            bytes[at] ^= 1 << (draw.byte() % 8);
            (Kind::Changed, at..at + 1)
        }
        1 => {
            bytes[at..end].fill(0);
            (Kind::Changed, at..end)
        }
        2 => {
            bytes[at..end].fill(draw.byte());
            (Kind::Changed, at..end)
        }
        3 if is_last => {
            bytes.truncate(at);
            (Kind::Cut, at..usize::MAX)
        }
        4 => {
            bytes.extend(std::iter::repeat_n(draw.byte(), end - at));
            (Kind::Longer, size..usize::MAX)
        }
        _ => {
            let from = place(draw);
            let copy = bytes[from..(from + end - at).min(size)].to_vec();
            let end = (at + copy.len()).min(size);
            bytes[at..end].copy_from_slice(&copy[..end - at]);
            (Kind::Misplaced, at..end)
        }
    };
    Damage {
        file: name.clone(),
        bytes: range,
        kind,
    }
}
