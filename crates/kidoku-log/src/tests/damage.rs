//! Opening a log that is cut off or changed.

use super::*;
use crate::format::{Candidate, FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES};
use std::collections::BTreeSet;

/// The log of `disk` takes more and gives everything back at the next opening.
fn check_goes_on(disk: &FakeDisk, before: &Records) {
    let (mut log, _, found) = open(disk, LogOptions::default());
    assert_eq!(&found, before);
    let next = log.next().0;
    append(&mut log, &["more"], 20);
    let (recovery, found) = read(disk);
    let mut expected = before.clone();
    expected.push((next, b"more".to_vec()));
    assert_eq!(found, expected);
    assert_eq!(recovery.torn, None);
    assert_eq!(recovery.clock_max, 20);
}

#[test]
fn a_log_cut_off_at_any_byte_opens_with_the_records_before_the_cut() {
    let (disk, name) = small_log();
    let whole = disk.bytes(&name);
    let mut longest = 0;
    for size in 0..whole.len() {
        let cut = FakeDisk::new(1);
        cut.set_bytes(&name, whole[..size].to_vec());
        let (recovery, found) = read(&cut);
        assert_eq!(found, numbered(&SMALL)[..found.len()], "cut at {size}");
        assert_eq!(
            (recovery.records_lost, recovery.damage_count),
            (0, 0),
            "cut at {size}"
        );
        assert!(found.len() >= longest && found.len() < SMALL.len());
        longest = found.len();
        check_goes_on(&cut, &found);
    }
    assert_eq!(longest, SMALL.len() - 1);
}

#[test]
fn a_flipped_bit_costs_nothing_wherever_it_is() {
    let (disk, name) = small_log();
    let whole = disk.bytes(&name);
    let all = numbered(&SMALL);
    for bit in 0..whole.len() * 8 {
        let flipped = disk.copy();
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        flipped.set_bytes(&name, bytes);
        let (recovery, found) = read(&flipped);
        assert_eq!(found, all, "bit {bit}");
        assert_eq!((recovery.torn, recovery.clock_max), (None, 13), "bit {bit}");
        // The segment header tells nothing that its name does not.
        let in_segment_header = bit < SEGMENT_HEADER_BYTES * 8;
        let damaged = u64::from(in_segment_header);
        assert_eq!(
            (
                recovery.records_lost,
                recovery.damage_count,
                recovery.mend_count
            ),
            (0, damaged, 1 - damaged),
            "bit {bit}"
        );
        check_goes_on(&flipped, &found);
    }
}

#[test]
fn a_flipped_bit_in_each_record_and_header_costs_nothing() {
    let (disk, name) = small_log();
    let whole = disk.bytes(&name);
    let mut bytes = whole.clone();
    let frames = (0..whole.len()).filter(|at| whole[*at..].starts_with(b"\xf7KF"));
    for frame in frames.collect::<Vec<_>>() {
        bytes[frame + 20] ^= 2;
        let header = FrameHeader::parse(&whole[frame..]).unwrap();
        let mut at = frame + FRAME_HEADER_BYTES;
        for _ in 0..header.count {
            bytes[at + 8] ^= 0x20;
            at += Candidate::read(&whole[at..]).unwrap().bytes();
        }
    }
    disk.set_bytes(&name, bytes);
    let (recovery, found) = read(&disk);
    assert_eq!(found, numbered(&SMALL));
    assert_eq!((recovery.mend_count, recovery.records_lost), (13, 0));
}

#[test]
fn two_flipped_bits_cost_at_most_the_record_they_are_in() {
    let (disk, name) = small_log();
    let whole = disk.bytes(&name);
    let all = numbered(&SMALL);
    for bit in 0..(whole.len() - 1) * 8 {
        let flipped = disk.copy();
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes[bit / 8 + 1] ^= 1 << (bit % 8);
        flipped.set_bytes(&name, bytes);
        let (recovery, found) = read(&flipped);
        assert!(
            found.iter().all(|record| all.contains(record)),
            "bit {bit}: {found:?}"
        );
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "bit {bit}");
        let lost = u64::try_from(all.len() - found.len()).unwrap();
        // Two may be neighbours: the last of one and the first of the next.
        assert!(lost <= 2, "bit {bit}: {found:?}");
        if recovery.torn.is_none() {
            assert_eq!(recovery.records_lost, lost, "bit {bit}");
        }
        let told = recovery.damage_count + recovery.mend_count;
        assert!(told > 0 || recovery.torn.is_some(), "bit {bit}");
    }
}

#[test]
fn a_damaged_header_costs_no_record() {
    let (disk, name) = small_log();
    let whole = disk.bytes(&name);
    let frames: Vec<usize> = (0..whole.len())
        .filter(|at| whole[*at..].starts_with(b"\xf7KF"))
        .collect();
    assert_eq!(frames.len(), 4);
    for start in std::iter::once(0).chain(frames) {
        let size = if start == 0 {
            SEGMENT_HEADER_BYTES
        } else {
            FRAME_HEADER_BYTES
        };
        let damaged = disk.copy();
        let mut bytes = whole.clone();
        bytes[start..start + size].fill(0xaa);
        damaged.set_bytes(&name, bytes);
        let (recovery, found) = read(&damaged);
        assert_eq!(found, numbered(&SMALL), "header at {start}");
        let damage = &recovery.damage[0];
        assert_eq!((recovery.records_lost, recovery.damage_count), (0, 1));
        assert_eq!(
            (damage.offset, damage.records_lost),
            (u64::try_from(start).unwrap(), 0)
        );
    }
}

#[test]
fn a_record_whose_frame_header_is_gone_says_that_its_clock_is_not_known() {
    let (disk, name) = small_log();
    let clocks = |disk: &FakeDisk| {
        let mut clocks = Vec::new();
        let note = |_, clock, _: &[u8]| clocks.push(clock);
        let (_, recovery) = Log::open(disk.clone(), LogOptions::default(), note).unwrap();
        (clocks, recovery.clock_max)
    };
    let (whole, clock_max) = clocks(&disk);
    assert!(whole.iter().all(|clock| *clock > 0));
    let bytes = disk.bytes(&name);
    let frames = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"\xf7KF"));
    let mut last = 0;
    for start in frames.collect::<Vec<_>>() {
        let header = FrameHeader::parse(&bytes[start..]).unwrap();
        let mut damaged = bytes.clone();
        damaged[start..start + FRAME_HEADER_BYTES].fill(0xaa);
        disk.set_bytes(&name, damaged);
        let (mut due, (found, found_max)) = (whole.clone(), clocks(&disk));
        let first = usize::try_from(header.first.0 - 1).unwrap();
        due[first..first + usize::try_from(header.count).unwrap()].fill(0);
        assert_eq!(found, due, "header at {start}");
        last = header.clock;
        let others = due.iter().max().copied().unwrap();
        assert_eq!(found_max, others, "header at {start}");
    }
    assert_eq!(last, clock_max);
}

#[test]
fn a_start_that_fails_leaves_a_torn_tail_for_the_next_one_to_report() {
    let (disk, name) = small_log();
    let whole = disk.bytes(&name);
    let mut torn = whole.clone();
    torn.extend_from_slice(&[0xaa; 50]);
    disk.set_bytes(&name, torn.clone());
    let nobody = |_, _, _: &[u8]| {};
    disk.set_faults(Faults::ALWAYS);
    let failed = Log::open(disk.clone(), LogOptions::default(), nobody);
    assert!(matches!(failed, Err(LogError::Io(_))));
    assert_eq!(disk.bytes(&name), torn);
    disk.set_faults(Faults::NEVER);
    let (recovery, found) = read(&disk);
    assert_eq!(found, numbered(&SMALL));
    let tail = recovery.torn.map(|torn| (torn.offset, torn.bytes));
    assert_eq!(tail, Some((u64::try_from(whole.len()).unwrap(), 50)));
    assert_eq!(disk.bytes(&name), whole);
    assert_eq!(read(&disk).0.torn, None);
}

/// A log of 40 frames of 25 records in one segment.
fn large_log() -> (FakeDisk, String, Records) {
    let disk = FakeDisk::new(1);
    let (mut log, ..) = open(&disk, LogOptions::default());
    let mut all = Records::new();
    for frame in 0..40_u64 {
        let payloads: Vec<String> = (0..25)
            .map(|record| format!("frame {frame}, record {record}"))
            .collect();
        append(&mut log, &payloads, frame);
        for payload in payloads {
            all.push((u64::try_from(all.len()).unwrap() + 1, payload.into_bytes()));
        }
    }
    (disk, segment_name(Lsn(1)), all)
}

#[test]
fn a_damaged_stretch_costs_the_records_it_touches() {
    let (disk, name, all) = large_log();
    let whole = disk.bytes(&name);
    let mut random = Random(5);
    for length in [1, 40, 100, 512, 4_096, 9_000] {
        for fill in [Some(0), Some(0xff), None] {
            let start = random.below(whole.len() - length - 2_000);
            let mut bytes = whole.clone();
            for byte in &mut bytes[start..start + length] {
                *byte = fill.unwrap_or_else(|| random.next().to_le_bytes()[0]);
            }
            disk.set_bytes(&name, bytes);
            let (recovery, found) = read(&disk.copy());
            assert!(found.iter().all(|record| all.contains(record)));
            let lost = all.len() - found.len();
            assert_eq!(recovery.records_lost, u64::try_from(lost).unwrap());
            // A record of this log takes 27 bytes or more.
            assert!(
                lost <= length / 27 + 2,
                "{lost} records lost in {length} bytes"
            );
            assert_eq!(recovery.torn, None);
        }
    }
}

#[test]
fn random_bit_rot_never_gives_a_wrong_record() {
    let (disk, name, all) = large_log();
    let whole = disk.bytes(&name);
    let known: BTreeSet<_> = all.into_iter().collect();
    let mut random = Random(77);
    for _ in 0..200 {
        let mut bytes = whole.clone();
        let flips = 1 + random.below(60);
        for _ in 0..flips {
            let bit = random.below(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        disk.set_bytes(&name, bytes);
        let (_, found) = read(&disk.copy());
        assert!(found.iter().all(|record| known.contains(record)));
        assert!(
            found.len() >= known.len() - flips,
            "{} of {flips} flips",
            found.len()
        );
    }
}

#[test]
fn garbage_and_zeros_behind_the_end_are_cut_off() {
    let (disk, name) = small_log();
    let whole = disk.bytes(&name);
    let mut random = Random(3);
    let garbage: Vec<u8> = (0..20_000)
        .map(|_| random.next().to_le_bytes()[0])
        .collect();
    for tail in [vec![0; 4_096], garbage, whole[..40].to_vec()] {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&tail);
        disk.set_bytes(&name, bytes);
        let (recovery, found) = read(&disk);
        assert_eq!(found, numbered(&SMALL));
        let torn = recovery.torn.unwrap();
        assert_eq!(torn.offset, u64::try_from(whole.len()).unwrap());
        assert_eq!(disk.bytes(&name), whole);
    }
}

#[test]
fn a_bad_sector_costs_the_records_in_it_and_nothing_is_cut_off() {
    let (disk, name, all) = large_log();
    let size = disk.bytes(&name).len();
    disk.set_unreadable(&name, 10_000..10_100);
    let (recovery, found) = read(&disk);
    assert_eq!(recovery.unreadable_bytes, 4_096);
    assert!(found.len() > all.len() - 170 && found.iter().all(|record| all.contains(record)));
    disk.set_unreadable(&name, size - 100..size);
    let (mut log, recovery, found) = open(&disk, LogOptions::default());
    assert!(recovery.torn.is_some() && found.len() < all.len());
    assert_eq!(disk.bytes(&name).len(), size);
    // The lsns that could not be read are not given again, so they come back with the sector.
    append(&mut log, &["more"], 50);
    disk.set_unreadable(&name, 0..0);
    let (_, found) = read(&disk);
    assert_eq!(found[..all.len()], all);
    assert_eq!(found.last().unwrap().1, b"more");
}

#[test]
fn a_frame_header_in_the_wrong_place_costs_only_what_it_was_written_over() {
    let (disk, name, all) = large_log();
    let whole = disk.bytes(&name);
    let frames: Vec<usize> = (0..whole.len())
        .filter(|at| whole[*at..].starts_with(b"\xf7KF"))
        .collect();
    // The end of a frame and the header of the next are written again a little further on: over
    // that header itself, whose copy then says that its frame ends later than it does.
    let (before, after) = (200, FRAME_HEADER_BYTES + 8);
    let from = frames[10] - before;
    for shift in 1..before {
        let mut bytes = whole.clone();
        bytes.copy_within(from..frames[10] + after, from + shift);
        disk.set_bytes(&name, bytes);
        let (_, found) = read(&disk.copy());
        assert!(found.iter().all(|record| all.contains(record)));
        let lost = all.len() - found.len();
        // A record of this log takes 27 bytes or more.
        assert!(
            lost <= (before + after) / 27 + 2,
            "{lost} lost, shift {shift}"
        );
    }
}

#[test]
fn what_is_left_of_a_lost_record_is_handed_over_and_the_last_group_may_be_unfinished() {
    let disk = FakeDisk::new(1);
    let (mut log, _, _) = open(&disk, LogOptions::default());
    append(&mut log, &["one", "two", "three"], 10);
    append(&mut log, &["the first", "the second", "the third"], 20);
    drop(log);
    let (_, all) = read(&disk);
    let name = disk.list().unwrap().pop().unwrap();
    let whole = disk.bytes(&name);
    let mut frames = (0..whole.len()).rev();
    let is_frame = |at: &usize| whole[*at..].starts_with(b"\xf7KF");
    let last_frame = frames.find(is_frame).unwrap();
    let mut seen = [false; 2];
    for at in 0..whole.len() - 3 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x11;
        let broken = disk.copy();
        broken.set_bytes(&name, bytes.clone());
        let (recovery, found) = read(&broken);
        for damage in recovery.damage.iter().filter(|one| one.records_lost > 0) {
            assert!(found.len() < all.len());
            let (from, size) = (
                usize::try_from(damage.offset).unwrap(),
                usize::try_from(damage.bytes).unwrap(),
            );
            assert_eq!(damage.remains, bytes[from..from + size], "byte {at}");
            assert_eq!(damage.may_be_unfinished, from >= last_frame, "byte {at}");
            seen[usize::from(damage.may_be_unfinished)] = true;
        }
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn a_record_that_its_damaged_neighbour_looks_like_is_given_out() {
    let disk = FakeDisk::new(1);
    let (mut log, ..) = open(&disk, LogOptions::default());
    append(&mut log, &["one", "two"], 1);
    append(&mut log, &["three"], 1);
    append(&mut log, &["four"], 1);
    append(&mut log, &["five", "six"], 1);
    let name = segment_name(Lsn(1));
    let mut bytes = disk.bytes(&name);
    let place = |text: &[u8]| {
        bytes
            .windows(text.len())
            .position(|window| window == text)
            .unwrap()
    };
    let (three, four) = (place(b"three"), place(b"four"));
    // The check of the third is that of a fourth, and no frame header says where it belongs.
    bytes[three - 4] ^= 3 ^ 4;
    for header in [three, four] {
        bytes[header - 8 - FRAME_HEADER_BYTES..][..8].fill(0xaa);
    }
    disk.set_bytes(&name, bytes);
    let (recovery, found) = read(&disk);
    let texts = [(1, "one"), (2, "two"), (4, "four"), (5, "five"), (6, "six")];
    let texts = texts.map(|(lsn, text)| (lsn, text.as_bytes().to_vec()));
    assert_eq!(found, texts);
    assert_eq!(recovery.records_lost, 1);
}

#[test]
fn a_write_to_the_wrong_place_costs_only_what_it_was_written_over() {
    let (disk, name, all) = large_log();
    let whole = disk.bytes(&name);
    let mut random = Random(11);
    for length in [60, 512, 4_096] {
        for _ in 0..20 {
            let span = whole.len() - length - SEGMENT_HEADER_BYTES;
            let from = SEGMENT_HEADER_BYTES + random.below(span);
            // Near by, where the lsns could be right, as often as anywhere.
            let to = match random.below(2) {
                0 => SEGMENT_HEADER_BYTES + random.below(span),
                _ => (from + random.below(4 * length)).saturating_sub(2 * length),
            };
            let to = to.clamp(SEGMENT_HEADER_BYTES, whole.len() - length);
            let mut bytes = whole.clone();
            bytes.copy_within(from..from + length, to);
            disk.set_bytes(&name, bytes);
            let (recovery, found) = read(&disk.copy());
            assert!(found.iter().all(|record| all.contains(record)));
            let lost = all.len() - found.len();
            // A record of this log takes 25 bytes or more.
            assert!(lost <= length / 25 + 2, "{lost} lost: {from} to {to}");
            assert!(lost == 0 || recovery.damage_count > 0 || recovery.torn.is_some());
        }
    }
}
