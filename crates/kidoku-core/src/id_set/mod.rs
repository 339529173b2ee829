//! The message index: a sorted set of message ids in compressed chunks, with exact rank.
//!
//! Ids nearly always arrive in rising order, so the newest ones are a plain sorted array (the tail)
//! and everything older is frozen into chunks of up to 256 ids of 0.4 (a sequence) to 6 bytes each.
//! How many ids are above a position, the number every unread count comes from, costs O(log ids) at
//! any depth.
//!
//! The set knows nothing of channels, authors or deletes: callers put in what counts and take out
//! what no longer does.

mod chunk;
mod frozen;
mod prefix;
#[cfg(test)]
mod tests;

use crate::id::{MessageId, Position};
use chunk::{CHUNK_IDS_MAX, Chunk, ChunkIds};
use frozen::Frozen;

/// Ids in the plain tail before they are frozen. An id is coded at most 256 / 64 = 4 times while
/// its chunk fills; a longer tail would cost quiet channels 8 bytes for each of its ids.
const TAIL_IDS_MAX: usize = 64;

/// A sorted set of message ids. Empty, it is 32 bytes and owns no heap memory.
#[derive(Clone, Debug, Default)]
pub struct IdSet {
    /// Ids below the tail. `None` rather than empty, so that a short set is only its tail.
    frozen: Option<Box<Frozen>>,
    /// The highest ids, rising, fewer than [`TAIL_IDS_MAX`]; may be empty when `frozen` is not.
    tail: Vec<u64>,
}

impl IdSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// A set of ids that rise strictly: faster than inserting one by one. An id that does not rise
    /// is inserted all the same, at the price of a late insert.
    pub fn from_sorted(ids: impl IntoIterator<Item = MessageId>) -> Self {
        let mut set = Self::new();
        let mut run: Vec<u64> = Vec::new();
        let mut late = Vec::new();
        let mut last = 0;
        for id in ids {
            if id.get() <= last {
                late.push(id);
                continue;
            }
            last = id.get();
            if run.len() == CHUNK_IDS_MAX {
                set.freeze(&run);
                run.clear();
            }
            run.push(last);
        }
        if run.len() < TAIL_IDS_MAX {
            run.shrink_to_fit();
            set.tail = run;
        } else {
            set.freeze(&run);
        }
        for id in late {
            set.insert(id);
        }
        set
    }

    /// Adds an id; true when it is new. At the end: amortised tens of nanoseconds. Elsewhere: one
    /// chunk is coded anew.
    pub fn insert(&mut self, id: MessageId) -> bool {
        let id = id.get();
        let above_frozen = match self.tail.first() {
            Some(first) => *first <= id || self.frozen_last().is_none_or(|last| last < id),
            None => self.frozen_last().is_none_or(|last| last < id),
        };
        if !above_frozen {
            return self.frozen.as_mut().is_some_and(|frozen| frozen.insert(id));
        }
        if self.tail.last().is_none_or(|last| *last < id) {
            self.tail.push(id);
        } else if let Err(at) = self.tail.binary_search(&id) {
            self.tail.insert(at, id);
        } else {
            return false;
        }
        if self.tail.len() == TAIL_IDS_MAX {
            // Given back whole, not cleared: most channels go quiet right after some message.
            let ids = std::mem::take(&mut self.tail);
            self.freeze(&ids);
        }
        true
    }

    /// Removes an id; true when it was there.
    pub fn remove(&mut self, id: MessageId) -> bool {
        let id = id.get();
        if let Ok(at) = self.tail.binary_search(&id) {
            self.tail.remove(at);
            if self.tail.is_empty() {
                self.tail = Vec::new();
            }
            return true;
        }
        let removed = self.frozen.as_mut().is_some_and(|frozen| frozen.remove(id));
        self.drop_empty_frozen();
        removed
    }

    /// True when the id is in the set.
    pub fn contains(&self, id: MessageId) -> bool {
        let id = id.get();
        if self.tail.first().is_some_and(|first| *first <= id) {
            return self.tail.binary_search(&id).is_ok();
        }
        self.frozen
            .as_ref()
            .is_some_and(|frozen| frozen.contains(id))
    }

    /// Number of ids.
    pub fn len(&self) -> u64 {
        self.frozen.as_ref().map_or(0, |frozen| frozen.len()) + wide(self.tail.len())
    }

    /// True when there is no id.
    pub fn is_empty(&self) -> bool {
        self.frozen.is_none() && self.tail.is_empty()
    }

    /// How many ids are above the position, exactly.
    pub fn count_above(&self, position: Position) -> u64 {
        self.above(position).0
    }

    /// The ids above the position, in rising order, and how many they are: the work of finding the
    /// place is done once for both.
    pub fn above(&self, position: Position) -> (u64, IdsAbove<'_>) {
        let tail = &self.tail[self.tail_up_to(position)..];
        let behind = || self.tail.first().is_none_or(|first| *first > position.0);
        let Some(frozen) = self.frozen.as_ref().filter(|_| behind()) else {
            return (wide(tail.len()), IdsAbove::in_tail(tail));
        };
        let (at, index) = frozen.place_above(position.0);
        let count = frozen.len() - frozen.count_before(at, index) + wide(tail.len());
        (count, IdsAbove::new(&frozen.chunks()[at..], index, tail))
    }

    /// The lowest id above the position.
    pub fn first_above(&self, position: Position) -> Option<MessageId> {
        self.iter_above(position).next()
    }

    /// The ids above the position, in rising order.
    pub fn iter_above(&self, position: Position) -> IdsAbove<'_> {
        self.above(position).1
    }

    /// The highest id.
    pub fn last(&self) -> Option<MessageId> {
        let last = self.tail.last().copied().or_else(|| self.frozen_last());
        last.and_then(message_id)
    }

    /// The lowest id.
    pub fn first(&self) -> Option<MessageId> {
        let frozen = self.frozen.as_ref().and_then(|frozen| frozen.first());
        frozen
            .or_else(|| self.tail.first().copied())
            .and_then(message_id)
    }

    /// The highest id that is at or below the position.
    pub fn last_at_or_below(&self, position: Position) -> Option<MessageId> {
        let id = match self.tail_up_to(position).checked_sub(1) {
            Some(at) => self.tail.get(at).copied(),
            None => self
                .frozen
                .as_ref()
                .and_then(|frozen| frozen.last_at_or_below(position.0)),
        };
        id.and_then(message_id)
    }

    /// Removes every id at or below the position and says how many there were. Whole chunks are
    /// dropped without being read.
    pub fn remove_up_to(&mut self, position: Position) -> u64 {
        let in_tail = self.tail_up_to(position);
        self.tail.drain(..in_tail);
        if in_tail > 0 {
            self.tail.shrink_to_fit();
        }
        let in_frozen = self
            .frozen
            .as_mut()
            .map_or(0, |frozen| frozen.remove_up_to(position.0));
        self.drop_empty_frozen();
        in_frozen + wide(in_tail)
    }

    /// Bytes this set takes, itself and what it owns on the heap; what the allocator adds is not
    /// included. O(1).
    pub fn memory_bytes(&self) -> usize {
        let frozen = self
            .frozen
            .as_ref()
            .map_or(0, |frozen| size_of::<Frozen>() + frozen.heap_bytes());
        size_of::<Self>() + frozen + self.tail.capacity() * size_of::<u64>()
    }

    fn frozen_last(&self) -> Option<u64> {
        self.frozen.as_ref().and_then(|frozen| frozen.last())
    }

    fn tail_up_to(&self, position: Position) -> usize {
        self.tail.partition_point(|id| *id <= position.0)
    }

    fn freeze(&mut self, ids: &[u64]) {
        self.frozen.get_or_insert_default().append(ids);
    }

    fn drop_empty_frozen(&mut self) {
        if self.frozen.as_ref().is_some_and(|frozen| frozen.is_empty()) {
            self.frozen = None;
        }
    }
}

/// The ids of an [`IdSet`] above a position, in rising order.
#[derive(Clone, Debug)]
pub struct IdsAbove<'a> {
    current: Option<ChunkIds<'a>>,
    later: std::slice::Iter<'a, Chunk>,
    tail: std::slice::Iter<'a, u64>,
}

impl<'a> IdsAbove<'a> {
    fn in_tail(tail: &'a [u64]) -> Self {
        Self::new(&[], 0, tail)
    }

    /// From id number `index` of the first chunk on, and then the tail.
    fn new(chunks: &'a [Chunk], index: usize, tail: &'a [u64]) -> Self {
        let (current, later) = match chunks.split_first() {
            Some((chunk, later)) => (Some(chunk.ids_from(index)), later),
            None => (None, &[][..]),
        };
        Self {
            current,
            later: later.iter(),
            tail: tail.iter(),
        }
    }
}

impl Iterator for IdsAbove<'_> {
    type Item = MessageId;

    fn next(&mut self) -> Option<MessageId> {
        loop {
            let Some(current) = &mut self.current else {
                return self.tail.next().copied().and_then(message_id);
            };
            if let Some(id) = current.next() {
                return message_id(id);
            }
            self.current = self.later.next().map(|chunk| chunk.ids_from(0));
        }
    }
}

/// Every number in a set came from a [`MessageId`], so this is never `None`.
fn message_id(value: u64) -> Option<MessageId> {
    MessageId::new(value).ok()
}

/// A length as a 64-bit number, without loss.
fn wide(len: usize) -> u64 {
    len as u64
}
