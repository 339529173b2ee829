//! Guards: what takes back a rotten block of a file of the store.
//!
//! A guard lies beside the store and holds, for one file, a hash of each block and the exclusive-or
//! of each stripe of blocks. The hashes say which block is bad, and the others of its stripe with
//! the exclusive-or give it back. So one bad block in each 256 KiB costs nothing, for a sixtieth of
//! the space. The files are those of the engine below, which are written once and never changed; what
//! holds of the few that are, [`version`] says.

mod dir;
#[cfg(test)]
mod tests;
mod version;

pub(crate) use dir::{Guards, Look};

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a block: that of common disks, and what they lose at once.
const BLOCK_BYTES: usize = 4_096;

/// Blocks of a stripe.
const STRIPE_BLOCKS: usize = 64;

const STRIPE_BYTES: usize = BLOCK_BYTES * STRIPE_BLOCKS;

const MAGIC: &[u8; 8] = b"KIDOKUGD";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 20;
const HASH_BYTES: usize = 4;

/// What a file should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    bytes: u64,
    /// One for each block.
    hashes: Vec<u32>,
    /// One for each stripe, with the hash of each beside it.
    parities: Vec<Vec<u8>>,
}

/// What was wrong with a stretch of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mended {
    /// Bad blocks that are good again.
    pub(super) blocks: u64,
    /// Bad blocks that are still bad.
    pub(super) lost: u64,
    /// The file is sound and its guard is not.
    pub(super) guard_is_bad: bool,
}

fn hash(bytes: &[u8]) -> u32 {
    let [a, b, c, d, ..] = xxh3_64(bytes).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

fn add(parity: &mut [u8], block: &[u8]) {
    for (sum, byte) in parity.iter_mut().zip(block) {
        *sum ^= byte;
    }
}

/// The exclusive-or of blocks; the last of a file may be shorter, as if it ended with zeros.
fn parity<'a>(blocks: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut sum = Vec::new();
    for block in blocks {
        if sum.len() < block.len() {
            sum.resize(block.len(), 0);
        }
        add(&mut sum, block);
    }
    sum
}

/// Reads a stripe; the last one of a file may be shorter.
fn read_stripe(file: &File, stripe: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.resize(STRIPE_BYTES, 0);
    let offset = wide(stripe * STRIPE_BYTES);
    let mut filled = 0;
    while filled < buffer.len() {
        let at = offset + wide(filled);
        match file.read_at(&mut buffer[filled..], at) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(())
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl Guard {
    /// Of a file as it is now.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let mut guard = Self {
            bytes: 0,
            hashes: Vec::new(),
            parities: Vec::new(),
        };
        let mut buffer = Vec::new();
        for stripe in 0.. {
            read_stripe(file, stripe, &mut buffer)?;
            if buffer.is_empty() {
                break;
            }
            guard.bytes += wide(buffer.len());
            guard.hashes.extend(buffer.chunks(BLOCK_BYTES).map(hash));
            guard.parities.push(parity(buffer.chunks(BLOCK_BYTES)));
            if buffer.len() < STRIPE_BYTES {
                break;
            }
        }
        Ok(guard)
    }

    /// True when both say the same of the blocks of the file.
    pub(super) fn is_of_same(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.hashes == other.hashes
    }

    /// Bytes of the file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn stripes(&self) -> usize {
        self.parities.len()
    }

    /// Checks one stripe of the file against this, and gives its bad block back.
    pub(super) fn mend_stripe(&self, file: &File, stripe: usize) -> io::Result<Mended> {
        let mut buffer = Vec::new();
        read_stripe(file, stripe, &mut buffer)?;
        let (mended, block) = self.check_stripe(stripe, &buffer);
        if let Some((at, block)) = block {
            // In place, so that a reader that has the file open sees it too.
            file.write_all_at(&block, wide(at))?;
            file.sync_all()?;
        }
        Ok(mended)
    }

    /// What the file was when this was made of it, from what it is now. `None` = too much is bad.
    pub(super) fn mend_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut whole = bytes.to_vec();
        whole.resize(usize::try_from(self.bytes).ok()?, 0);
        for stripe in 0..self.stripes() {
            let from = stripe * STRIPE_BYTES;
            let end = (from + STRIPE_BYTES).min(whole.len());
            let (mended, block) = self.check_stripe(stripe, whole.get(from..end)?);
            if mended.lost > 0 {
                return None;
            }
            if let Some((at, block)) = block {
                whole.get_mut(at..at + block.len())?.copy_from_slice(&block);
            }
        }
        Some(whole)
    }

    /// Checks a stripe. With its bad block, if there is one, as it should be, and where in the file
    /// that begins.
    fn check_stripe(&self, stripe: usize, bytes: &[u8]) -> (Mended, Option<(usize, Vec<u8>)>) {
        let first = stripe * STRIPE_BLOCKS;
        let last = (first + STRIPE_BLOCKS).min(self.hashes.len());
        let hashes = self.hashes.get(first..last).unwrap_or_default();
        let mut mended = Mended::default();
        let blocks: Vec<&[u8]> = bytes.chunks(BLOCK_BYTES).collect();
        let bad: Vec<usize> = hashes
            .iter()
            .enumerate()
            .filter(|(at, expected)| blocks.get(*at).map(|block| hash(block)) != Some(**expected))
            .map(|(at, _)| at)
            .collect();
        let known = self.parities.get(stripe).map(Vec::as_slice);
        let [at] = bad.as_slice() else {
            mended.lost = wide(bad.len());
            let sum = parity(blocks.iter().copied());
            mended.guard_is_bad = bad.is_empty() && known != Some(sum.as_slice());
            return (mended, None);
        };
        let block_at = (first + at) * BLOCK_BYTES;
        let block = known.and_then(|known| {
            let others = blocks.iter().enumerate().filter(|(other, _)| other != at);
            let mut block = known.to_vec();
            others.for_each(|(_, other)| add(&mut block, other));
            let left = usize::try_from(self.bytes).ok()?.checked_sub(block_at)?;
            block.truncate(left);
            (hashes.get(*at) == Some(&hash(&block))).then_some((block_at, block))
        });
        match block {
            Some(_) => mended.blocks = 1,
            None => mended.lost = 1,
        }
        (mended, block)
    }

    /// The bytes of a guard's own file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        for hash in &self.hashes {
            out.extend_from_slice(&hash.to_le_bytes());
        }
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        for parity in &self.parities {
            out.extend_from_slice(parity);
        }
        out
    }

    /// Reads a guard; `None` = damaged. The exclusive-ors have no check of their own: what is made
    /// with them is checked by the hash of the block.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        if !header.starts_with(MAGIC) || header[8..12] != FORMAT_VERSION.to_le_bytes() {
            return None;
        }
        let file_bytes = u64::from_le_bytes(*header.last_chunk()?);
        let blocks = usize::try_from(file_bytes).ok()?.div_ceil(BLOCK_BYTES);
        let body_bytes = blocks.checked_mul(HASH_BYTES)?.checked_add(HEADER_BYTES)?;
        let (body, rest) = bytes.split_at_checked(body_bytes)?;
        let (check, mut rest) = rest.split_first_chunk::<8>()?;
        if xxh3_64(body).to_le_bytes() != *check {
            return None;
        }
        let (chunks, _) = body.get(HEADER_BYTES..)?.as_chunks::<HASH_BYTES>();
        let hashes: Vec<u32> = chunks
            .iter()
            .map(|chunk| u32::from_le_bytes(*chunk))
            .collect();
        let mut parities = Vec::new();
        while !rest.is_empty() {
            let last = rest.len() < BLOCK_BYTES;
            let (parity, after) = rest.split_at(if last { rest.len() } else { BLOCK_BYTES });
            parities.push(parity.to_vec());
            rest = after;
        }
        let whole = parities.len() == blocks.div_ceil(STRIPE_BLOCKS);
        whole.then_some(Self {
            bytes: file_bytes,
            hashes,
            parities,
        })
    }
}
