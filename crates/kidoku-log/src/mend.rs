//! Takes back a single flipped bit.
//!
//! A CRC-32 does not only show that one bit of what it covers has flipped, it also shows which: each
//! place changes the check in its own way. So one rotten bit costs nothing, in a record of up to 4 KiB. What was changed in more places is left alone: it looks like one flipped bit only by a
//! chance of about one in 2^32 for each of its bits, and what stands behind it has to fit besides.

use crate::Lsn;
use crate::format::{Candidate, FRAME_HEADER_BYTES, FrameHeader, LENGTH_BYTES, RECORD_BYTES_MAX};
use crate::length;

/// The reflected polynomial of the CRC: what the check changes by when the last bit flips.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// Bytes of a record in which a bit is taken back, at most. Each bit of it is a chance that something
/// else looks like one flipped bit: with these, one in 100,000.
const MENDED_BYTES_MAX: usize = 4_096;

/// Bits of the length of a record.
const LENGTH_BITS: usize = 32;

/// The bit, counted through the bytes from the first one's lowest, whose flip explains that the check
/// of `size` bytes differs by `difference`; `None` when no single one does.
fn flipped_bit(size: usize, difference: u32) -> Option<usize> {
    let mut effect = POLYNOMIAL;
    // The last byte's highest bit goes into the check last.
    for bit in (0..size * 8).rev() {
        if effect == difference {
            return Some(bit);
        }
        let low = effect & 1 != 0;
        effect >>= 1;
        if low {
            effect ^= POLYNOMIAL;
        }
    }
    None
}

fn flip(bytes: &mut [u8], bit: usize) {
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
}

/// The bytes of the record at the start of `bytes` with one bit taken back, when with it they are the
/// record of this lsn.
pub(crate) fn mended_record(bytes: &[u8], lsn: Lsn) -> Option<Vec<u8>> {
    let bytes = bytes.get(..MENDED_BYTES_MAX).unwrap_or(bytes);
    mended_content(bytes, lsn).or_else(|| mended_length(bytes, lsn))
}

/// The bit is in the payload or in the check.
fn mended_content(bytes: &[u8], lsn: Lsn) -> Option<Vec<u8>> {
    let whole = Candidate::read(bytes)?.bytes();
    let bytes = bytes.get(..whole)?;
    let difference = Candidate::read(bytes)?.difference(lsn);
    let mut mended = bytes.to_vec();
    if difference.is_power_of_two() {
        let bit = difference.trailing_zeros();
        flip(&mut mended, LENGTH_BYTES * 8 + usize::try_from(bit).ok()?);
    } else {
        // The check covers length and payload and stands between them.
        let bit = flipped_bit(whole - LENGTH_BYTES, difference)?;
        let in_length = bit < LENGTH_BITS;
        if in_length {
            return None;
        }
        flip(&mut mended, bit + LENGTH_BYTES * 8);
    }
    is_record(&mended, lsn).then_some(mended)
}

/// The bit is in the length, so the record ends elsewhere.
fn mended_length(bytes: &[u8], lsn: Lsn) -> Option<Vec<u8>> {
    let found = u32::from_le_bytes(*bytes.first_chunk()?);
    (0..LENGTH_BITS).find_map(|bit| {
        let size = length(found ^ (1 << bit));
        if size == 0 || size > RECORD_BYTES_MAX {
            return None;
        }
        let mut mended = bytes.get(..2 * LENGTH_BYTES + size)?.to_vec();
        flip(&mut mended, bit);
        is_record(&mended, lsn).then_some(mended)
    })
}

fn is_record(bytes: &[u8], lsn: Lsn) -> bool {
    Candidate::read(bytes)
        .is_some_and(|record| record.bytes() == bytes.len() && record.difference(lsn) == 0)
}

/// The frame header at the start of `bytes` with one bit taken back, when with it it is one.
pub(crate) fn mended_header(bytes: &[u8]) -> Option<FrameHeader> {
    let mut header = *bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
    let (body, check) = header.split_last_chunk::<4>()?;
    let difference = u32::from_le_bytes(*check) ^ crc32fast::hash(body);
    let bit = if difference.is_power_of_two() {
        body.len() * 8 + usize::try_from(difference.trailing_zeros()).ok()?
    } else {
        flipped_bit(body.len(), difference)?
    };
    flip(&mut header, bit);
    FrameHeader::parse(&header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{RECORD_HEADER_BYTES, write_frame};

    fn frame() -> Vec<u8> {
        let mut out = Vec::new();
        let records = crate::tests::records(&["a record with some text in it"]);
        write_frame(&mut out, Lsn(70_000), 9, &[&records]).unwrap();
        out
    }

    #[test]
    fn every_flipped_bit_of_a_record_or_header_is_taken_back() {
        let frame = frame();
        let (header, record) = frame.split_at(FRAME_HEADER_BYTES);
        for bit in 0..record.len() * 8 {
            let mut rotten = record.to_vec();
            flip(&mut rotten, bit);
            // More follows: a wrong length must not stop at the end by luck.
            rotten.extend_from_slice(&[0x55; 300]);
            assert_eq!(
                mended_record(&rotten, Lsn(70_000)).as_deref(),
                Some(record),
                "bit {bit}"
            );
            assert_eq!(mended_record(&rotten, Lsn(70_001)), None, "bit {bit}");
        }
        for bit in 0..header.len() * 8 {
            let mut rotten = header.to_vec();
            flip(&mut rotten, bit);
            assert_eq!(
                mended_header(&rotten),
                FrameHeader::parse(header),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_flipped_bit_is_taken_back_in_the_longest_record_there_may_be_and_in_no_longer_one() {
        for (bytes, is_mended) in [(MENDED_BYTES_MAX, true), (MENDED_BYTES_MAX + 1, false)] {
            let text = "x".repeat(bytes - RECORD_HEADER_BYTES);
            let mut frame = Vec::new();
            let records = crate::tests::records(&[text]);
            write_frame(&mut frame, Lsn(9), 1, &[&records]).unwrap();
            let mut rotten = frame.split_off(FRAME_HEADER_BYTES);
            let whole = rotten.clone();
            flip(&mut rotten, 8 * 1_000);
            let mended = mended_record(&rotten, Lsn(9));
            assert_eq!(mended == Some(whole), is_mended, "{bytes} bytes");
            assert_eq!(mended.is_some(), is_mended, "{bytes} bytes");
        }
    }

    #[test]
    fn two_flipped_bits_are_never_taken_for_one() {
        let frame = frame();
        let record = &frame[FRAME_HEADER_BYTES..];
        // The length is left alone: another length is another record, and a chance of its own.
        for first in RECORD_HEADER_BYTES * 8..record.len() * 8 {
            for second in first + 1..record.len() * 8 {
                let mut rotten = record.to_vec();
                flip(&mut rotten, first);
                flip(&mut rotten, second);
                assert_eq!(
                    mended_record(&rotten, Lsn(70_000)),
                    None,
                    "bits {first} and {second}"
                );
            }
        }
    }
}
