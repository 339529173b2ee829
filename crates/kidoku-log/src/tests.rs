mod damage;
mod history;

use crate::disk::{Disk, SegmentFile};
use crate::fake_disk::{FakeDisk, Faults, Random};
use crate::format::{segment_header, segment_name};
use crate::{FsDisk, GroupError, Log, LogError, LogOptions, Lsn, RECORD_BYTES_MAX, Recovery};

/// Length-prefixed records, as callers hand them over.
pub(crate) fn records<T: AsRef<[u8]>>(payloads: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in payloads {
        let payload = payload.as_ref();
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(payload);
    }
    bytes
}

pub(crate) type Records = Vec<(u64, Vec<u8>)>;

fn open(disk: &FakeDisk, options: LogOptions) -> (Log<FakeDisk>, Recovery, Records) {
    let mut found = Records::new();
    let take = |lsn: Lsn, _clock, bytes: &[u8]| found.push((lsn.0, bytes.to_vec()));
    let (log, recovery) = Log::open(disk.clone(), options, take).unwrap();
    (log, recovery, found)
}

pub(crate) fn read(disk: &FakeDisk) -> (Recovery, Records) {
    let (_, recovery, found) = open(disk, LogOptions::default());
    (recovery, found)
}

fn append<T: AsRef<[u8]>>(log: &mut Log<FakeDisk>, payloads: &[T], clock: u64) {
    let count = u32::try_from(payloads.len()).unwrap();
    log.append_group(&[&records(payloads)], count, clock)
        .unwrap();
    log.sync().unwrap();
}

fn numbered(payloads: &[&str]) -> Records {
    (1..)
        .zip(payloads.iter().map(|payload| payload.as_bytes().to_vec()))
        .collect()
}

const SMALL: [&str; 9] = [
    "a",
    "bb",
    "ccc",
    "dddd",
    "\0\0\0",
    "f",
    "gggggggggggggg",
    "h",
    "i",
];

/// A log of nine records in four frames in one segment.
fn small_log() -> (FakeDisk, String) {
    let disk = FakeDisk::new(1);
    let (mut log, ..) = open(&disk, LogOptions::default());
    append(&mut log, &SMALL[..3], 10);
    append(&mut log, &SMALL[3..4], 11);
    append(&mut log, &SMALL[4..8], 12);
    append(&mut log, &SMALL[8..], 13);
    (disk, segment_name(Lsn(1)))
}

#[test]
fn what_was_appended_comes_back_in_order_with_its_clock() {
    let (disk, _) = small_log();
    let mut found = Vec::new();
    let take = |lsn: Lsn, clock, bytes: &[u8]| found.push((lsn.0, clock, bytes.to_vec()));
    let (log, recovery) = Log::open(disk, LogOptions::default(), take).unwrap();
    let clocks = [10, 10, 10, 11, 12, 12, 12, 12, 13];
    let expected: Vec<_> = numbered(&SMALL)
        .into_iter()
        .zip(clocks)
        .map(|((lsn, bytes), clock)| (lsn, clock, bytes))
        .collect();
    assert_eq!(found, expected);
    assert_eq!((log.next(), log.committed()), (Lsn(10), Lsn(9)));
    assert_eq!(
        (recovery.records, recovery.last, recovery.clock_max),
        (9, Lsn(9), 13)
    );
    assert_eq!(
        (recovery.records_lost, recovery.damage_count, recovery.torn),
        (0, 0, None)
    );
}

#[test]
fn an_empty_directory_is_an_empty_log_and_stays_empty_until_something_is_appended() {
    let disk = FakeDisk::new(1);
    let (log, recovery, found) = open(&disk, LogOptions::default());
    assert_eq!(
        (log.next(), recovery.last, found.len()),
        (Lsn(1), Lsn::NONE, 0)
    );
    assert!(disk.names().is_empty());
}

#[test]
fn parts_are_one_group_with_one_write_and_one_sync() {
    let disk = FakeDisk::new(1);
    let (mut log, ..) = open(&disk, LogOptions::default());
    append(&mut log, &["a"], 1);
    let before = disk.calls();
    let (one, two) = (records(&["b", "c"]), records(&["d"]));
    assert_eq!(log.append_group(&[&one, &[], &two], 3, 1).unwrap(), Lsn(4));
    log.sync().unwrap();
    assert_eq!(disk.calls(), (before.0 + 1, before.1 + 1));
    assert_eq!(read(&disk).1, numbered(&["a", "b", "c", "d"]));
}

#[test]
fn segments_rotate_at_their_size_and_are_cut_whole() {
    let disk = FakeDisk::new(1);
    let options = LogOptions {
        segment_bytes_max: 200,
        ..LogOptions::default()
    };
    let (mut log, ..) = open(&disk, options);
    let payloads: Vec<String> = (1..=20)
        .map(|number| format!("record number {number}"))
        .collect();
    for payload in &payloads {
        append(&mut log, &[payload], 1);
    }
    // 200 bytes hold the header and three frames of one record of some 16 bytes.
    assert_eq!(log.segments(), 7);
    assert_eq!(disk.names().len(), 7);
    for name in disk.names() {
        assert!(disk.bytes(&name).len() <= 200);
    }
    assert_eq!(log.cut(Lsn(2)).unwrap(), 0);
    assert_eq!(log.cut(Lsn(3)).unwrap(), 1);
    assert_eq!(log.cut(Lsn(3)).unwrap(), 0);
    assert_eq!(log.cutter().cut(Lsn(11)).unwrap(), 2);
    let (recovery, found) = read(&disk);
    assert_eq!(found.first().unwrap().0, 10);
    assert_eq!((found.len(), recovery.records_lost), (11, 0));
    assert_eq!(log.cut(Lsn(u64::MAX)).unwrap(), 3);
    assert_eq!(log.segments(), 1);
    // After a restart too the newest stays, because its name keeps the next lsn.
    let (log, _, found) = open(&disk, options);
    assert_eq!((log.next(), found.len()), (Lsn(21), 2));
    assert_eq!(log.cut(Lsn(20)).unwrap(), 0);
}

#[test]
fn the_next_lsn_survives_when_the_newest_segment_is_empty() {
    let disk = FakeDisk::new(1);
    disk.set_bytes(&segment_name(Lsn(500)), Vec::new());
    let (mut log, _, found) = open(&disk, LogOptions::default());
    assert_eq!((log.next(), found.len()), (Lsn(500), 0));
    append(&mut log, &["x"], 1);
    assert_eq!(read(&disk).1, [(500, b"x".to_vec())]);
}

#[test]
fn a_lost_segment_in_the_middle_is_reported_and_the_others_are_read() {
    let disk = FakeDisk::new(1);
    let options = LogOptions {
        segment_bytes_max: 1,
        ..LogOptions::default()
    };
    let (mut log, ..) = open(&disk, options);
    for payload in ["a", "b", "c"] {
        append(&mut log, &[payload], 1);
    }
    let pruned = FakeDisk::new(1);
    for lsn in [1, 3] {
        pruned.set_bytes(&segment_name(Lsn(lsn)), disk.bytes(&segment_name(Lsn(lsn))));
    }
    pruned.set_bytes("notes.txt", b"not the log's".to_vec());
    pruned.set_bytes("00000000000000000000.log", b"no lsn is 0".to_vec());
    let (recovery, found) = read(&pruned);
    assert_eq!(found, [(1, b"a".to_vec()), (3, b"c".to_vec())]);
    assert_eq!((recovery.records_lost, recovery.torn), (1, None));
}

#[test]
fn a_segment_of_a_newer_format_is_refused_and_not_touched() {
    let (disk, name) = small_log();
    let mut bytes = disk.bytes(&name);
    bytes[8] = 2;
    let check = crc32fast::hash(&bytes[..20]);
    bytes[20..24].copy_from_slice(&check.to_le_bytes());
    disk.set_bytes(&name, bytes.clone());
    let error = Log::open(disk.clone(), LogOptions::default(), |_, _, _| {}).unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Version {
                segment: Lsn(1),
                found: 2
            }
        ),
        "{error}"
    );
    assert_eq!(disk.bytes(&name), bytes);
}

#[test]
fn groups_that_are_not_well_formed_are_refused_and_harm_nothing() {
    let disk = FakeDisk::new(1);
    let (mut log, ..) = open(&disk, LogOptions::default());
    append(&mut log, &["a"], 1);
    let mut check =
        |bytes: &[u8], count, expected: GroupError| match log.append_group(&[bytes], count, 1) {
            Err(LogError::Group(error)) => assert_eq!(error, expected),
            other => panic!("{other:?}"),
        };
    check(&[], 0, GroupError::Empty);
    check(&[1, 0, 0], 1, GroupError::CutShort);
    check(&[2, 0, 0, 0, b'x'], 1, GroupError::CutShort);
    check(&[0, 0, 0, 0], 1, GroupError::RecordLength(0));
    check(
        &records(&["x", "y"]),
        1,
        GroupError::Count { said: 1, found: 2 },
    );
    let long = vec![7; RECORD_BYTES_MAX + 1];
    let said = u32::try_from(long.len()).unwrap();
    check(&records(&[&long]), 1, GroupError::RecordLength(said));
    append(&mut log, &[&long[1..]], 1);
    let (_, found) = read(&disk);
    assert_eq!(found.len(), 2);
    assert_eq!(found[1], (2, long[1..].to_vec()));
}

#[test]
fn a_failed_append_poisons_the_log_until_it_is_opened_again() {
    for fault in [
        Faults {
            append: 1_000,
            ..Faults::NEVER
        },
        Faults {
            sync: 1_000,
            ..Faults::NEVER
        },
    ] {
        let disk = FakeDisk::new(9);
        let (mut log, ..) = open(&disk, LogOptions::default());
        append(&mut log, &["a"], 1);
        disk.set_faults(fault);
        let group = records(&["b"]);
        let failed = log.append_group(&[&group], 1, 1).and_then(|_| log.sync());
        assert!(matches!(failed, Err(LogError::Io(_))));
        assert!(log.is_poisoned());
        assert!(matches!(
            log.append_group(&[&group], 1, 1),
            Err(LogError::Poisoned)
        ));
        assert!(matches!(log.sync(), Err(LogError::Poisoned)));
        disk.set_faults(Faults::ALWAYS);
        assert!(log.reopen().is_err() && log.is_poisoned());
        disk.set_faults(Faults::NEVER);
        log.reopen().unwrap();
        assert_eq!((log.next(), log.committed()), (Lsn(2), Lsn(1)));
        append(&mut log, &["b2", "c"], 1);
        disk.power_cut();
        let (recovery, found) = read(&disk);
        assert_eq!(found, numbered(&["a", "b2", "c"]));
        assert_eq!(
            (recovery.records_lost, recovery.damage_count, recovery.torn),
            (0, 0, None)
        );
    }
}

#[test]
fn a_real_directory_keeps_a_log() {
    let dir = std::env::temp_dir().join(format!("kidoku-log-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&dir));
    let options = LogOptions {
        segment_bytes_max: 100,
        ..LogOptions::default()
    };
    for round in 0..3_u64 {
        let mut found = 0;
        let disk = FsDisk::open(dir.join("log")).unwrap();
        let (mut log, recovery) = Log::open(disk, options, |_, _, _| found += 1).unwrap();
        assert_eq!((found, recovery.last.0), (round * 10, round * 10));
        for _ in 0..10 {
            log.append_group(&[&records(&["some record"])], 1, 1)
                .unwrap();
            log.sync().unwrap();
        }
    }
    let last = dir.join("log").join(segment_name(Lsn(30)));
    let mut bytes = std::fs::read(&last).unwrap();
    bytes.pop();
    std::fs::write(&last, &bytes).unwrap();
    let disk = FsDisk::open(dir.join("log")).unwrap();
    let (log, recovery) = Log::open(disk, options, |_, _, _| {}).unwrap();
    assert_eq!((recovery.last, recovery.torn.is_some()), (Lsn(29), true));
    assert!(std::fs::metadata(&last).unwrap().len() < u64::try_from(bytes.len()).unwrap());
    assert_eq!(log.cut(Lsn(28)).unwrap(), 28);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_a_failed_sync_gave_up_is_on_the_disk_once_a_restart_has_shown_it() {
    for seed in 1..20 {
        let disk = FakeDisk::new(seed);
        let (mut log, _, _) = open(&disk, LogOptions::default());
        let group = records(&["shown"]);
        log.append_group(&[&group], 1, 0).unwrap();
        disk.set_faults(Faults::ALWAYS);
        log.sync().unwrap_err();
        // Killed, while the power stays: the system still shows the bytes, and says of a sync that it
        // succeeded.
        drop(log);
        disk.set_faults(Faults::NEVER);
        assert_eq!(read(&disk).1, numbered(&["shown"]));
        // From here on answers rest on them.
        disk.power_cut();
        assert_eq!(read(&disk).1, numbered(&["shown"]), "seed {seed}");
    }
}

#[test]
fn on_a_real_disk_a_segment_that_was_never_certain_is_made_again_under_its_name() {
    let dir = std::env::temp_dir().join(format!("kidoku-log-again-{}", std::process::id()));
    let disk = FsDisk::open(&dir).unwrap();
    let name = segment_name(Lsn(1));
    for written in [&b"half of a gr"[..], b"a group"] {
        let mut file = disk.create(&name).unwrap();
        file.append(written).unwrap();
        assert_eq!(std::fs::read(dir.join(&name)).unwrap(), written);
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_bytes_are_those_of_the_format_document() {
    let disk = FakeDisk::new(1);
    let (mut log, ..) = open(&disk, LogOptions::default());
    append(&mut log, &["ab", "c"], 0x0102);
    let mut expected = segment_header(Lsn(1)).to_vec();
    assert_eq!(expected[..20], *b"KIDOKULG\x01\0\0\0\x01\0\0\0\0\0\0\0");
    expected
        .extend_from_slice(b"\xf7KF\x01\x13\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0");
    let check = crc32fast::hash(&expected[24..]);
    expected.extend_from_slice(&check.to_le_bytes());
    for (lsn, record) in [(1_u32, &b"\x02\0\0\0ab"[..]), (2, b"\x01\0\0\0c")] {
        expected.extend_from_slice(&record[..4]);
        expected.extend_from_slice(&(crc32fast::hash(record) ^ lsn).to_le_bytes());
        expected.extend_from_slice(&record[4..]);
    }
    assert_eq!(disk.bytes(&segment_name(Lsn(1))), expected);
    assert_eq!(disk.names(), ["00000000000000000001.log"]);
}
