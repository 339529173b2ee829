//! The directory of frozen chunks: finds, changes, splits and joins them.
//!
//! Invariants: no chunk is empty; chunks are in rising order and do not overlap; `counts` has one
//! entry per chunk; `total` and `heap_words` are the sums over the chunks.

use super::chunk::{CHUNK_IDS_MAX, Chunk};
use super::prefix::PrefixCounts;
use super::wide;

/// Two neighbours are joined when together they have at most this many ids. Half of what a split
/// leaves in two chunks, so that a chunk is not split and joined in turns.
const JOINED_IDS_MAX: usize = CHUNK_IDS_MAX / 2;

/// All chunks but the plain tail.
#[derive(Clone, Debug, Default)]
pub(super) struct Frozen {
    chunks: Vec<Chunk>,
    counts: PrefixCounts,
    total: u64,
    heap_words: usize,
}

impl Frozen {
    pub(super) fn len(&self) -> u64 {
        self.total
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.chunks.first().map(Chunk::first)
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.chunks.last().map(Chunk::last)
    }

    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>()
            + self.counts.heap_bytes()
            + self.heap_words * size_of::<u64>()
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.chunk_of(id)
            .is_some_and(|at| self.chunks[at].contains(id))
    }

    /// How many ids come before number `index` of a chunk; the chunk may be one past the last.
    pub(super) fn count_before(&self, chunk: usize, index: usize) -> u64 {
        self.counts.sum_of_first(chunk) + wide(index)
    }

    /// The chunk and the number inside it of the first id above `position`. The chunk may be one
    /// past the last.
    pub(super) fn place_above(&self, position: u64) -> (usize, usize) {
        let Some(at) = self.chunk_of(position) else {
            return (0, 0);
        };
        let index = self.chunks[at].count_up_to(position);
        if index == self.chunks[at].len() {
            (at + 1, 0)
        } else {
            (at, index)
        }
    }

    /// The highest id that is at most `position`.
    pub(super) fn last_at_or_below(&self, position: u64) -> Option<u64> {
        let chunk = &self.chunks[self.chunk_of(position)?];
        chunk.get(chunk.count_up_to(position).checked_sub(1)?)
    }

    /// Adds rising ids that are all above every id here.
    pub(super) fn append(&mut self, ids: &[u64]) {
        if let Some(last) = self.chunks.last()
            && last.len() + ids.len() <= CHUNK_IDS_MAX
        {
            let mut all = Vec::with_capacity(CHUNK_IDS_MAX);
            last.decode_into(&mut all);
            all.extend_from_slice(ids);
            self.replace(self.chunks.len() - 1, &all);
            return;
        }
        for run in ids.chunks(CHUNK_IDS_MAX) {
            let chunk = Chunk::encode(run);
            self.total += wide(chunk.len());
            self.heap_words += chunk.heap_words();
            self.counts.push(chunk.len());
            self.chunks.push(chunk);
        }
    }

    /// Adds an id that is below the highest id here. False when it was here before.
    pub(super) fn insert(&mut self, id: u64) -> bool {
        let at = self.chunk_of(id);
        let index = at.unwrap_or(0);
        let Some(chunk) = self.chunks.get(index) else {
            self.append(&[id]);
            return true;
        };
        if chunk.contains(id) {
            return false;
        }
        if at.is_none() && chunk.len() == CHUNK_IDS_MAX {
            // A history that arrives backwards fills chunks from the front instead of halving them.
            self.splice(0..0, &[&[id]]);
            return true;
        }
        let mut ids = Vec::with_capacity(CHUNK_IDS_MAX + 1);
        chunk.decode_into(&mut ids);
        ids.insert(ids.partition_point(|other| *other < id), id);
        if ids.len() <= CHUNK_IDS_MAX {
            self.replace(index, &ids);
        } else {
            let (left, right) = ids.split_at(ids.len() / 2);
            self.splice(index..index + 1, &[left, right]);
        }
        true
    }

    /// Removes an id. False when it was not here.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some(at) = self.chunk_of(id) else {
            return false;
        };
        if !self.chunks[at].contains(id) {
            return false;
        }
        let mut ids = Vec::with_capacity(CHUNK_IDS_MAX);
        self.chunks[at].decode_into(&mut ids);
        ids.retain(|other| *other != id);
        self.shrink(at, ids);
        true
    }

    /// Removes every id that is at most `position`, and says how many there were.
    pub(super) fn remove_up_to(&mut self, position: u64) -> u64 {
        let before = self.total;
        let (whole, index) = self.place_above(position);
        if index > 0 {
            let rest: Vec<u64> = self.chunks[whole].ids_from(index).collect();
            self.replace(whole, &rest);
        }
        if whole > 0 {
            self.splice(0..whole, &[]);
        }
        before - self.total
    }

    /// The chunk that holds `id` if any does: the last one that starts at or below it.
    fn chunk_of(&self, id: u64) -> Option<usize> {
        self.chunks
            .partition_point(|chunk| chunk.first() <= id)
            .checked_sub(1)
    }

    /// Puts the ids that are left of a chunk in its place; joins it with a neighbour when both are
    /// small, so that deletes do not leave many tiny chunks behind.
    fn shrink(&mut self, at: usize, mut ids: Vec<u64>) {
        let fits = |other: Option<&Chunk>| {
            other.is_some_and(|chunk| chunk.len() + ids.len() <= JOINED_IDS_MAX)
        };
        if ids.is_empty() {
            self.splice(at..at + 1, &[]);
        } else if fits(self.chunks.get(at + 1)) {
            self.chunks[at + 1].decode_into(&mut ids);
            self.splice(at..at + 2, &[&ids]);
        } else if at > 0 && fits(self.chunks.get(at - 1)) {
            let mut joined = Vec::with_capacity(JOINED_IDS_MAX);
            self.chunks[at - 1].decode_into(&mut joined);
            joined.append(&mut ids);
            self.splice(at - 1..at + 1, &[&joined]);
        } else {
            self.replace(at, &ids);
        }
    }

    /// Encodes one chunk anew, in place.
    fn replace(&mut self, at: usize, ids: &[u64]) {
        let new = Chunk::encode(ids);
        let old = std::mem::replace(&mut self.chunks[at], new);
        let new = &self.chunks[at];
        self.counts.replace(at, old.len(), new.len());
        self.total = self.total + wide(new.len()) - wide(old.len());
        self.heap_words = self.heap_words + new.heap_words() - old.heap_words();
    }

    /// Puts new chunks in the place of a range of old ones.
    fn splice(&mut self, range: std::ops::Range<usize>, runs: &[&[u64]]) {
        for old in &self.chunks[range.clone()] {
            self.total -= wide(old.len());
            self.heap_words -= old.heap_words();
        }
        let new: Vec<Chunk> = runs.iter().map(|ids| Chunk::encode(ids)).collect();
        for chunk in &new {
            self.total += wide(chunk.len());
            self.heap_words += chunk.heap_words();
        }
        self.chunks.splice(range, new);
        if self.chunks.capacity() / 4 > self.chunks.len() {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
        self.counts.rebuild(self.chunks.iter().map(Chunk::len));
    }
}
