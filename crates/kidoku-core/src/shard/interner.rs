//! Channel names as 4-byte numbers, with what a user's shard remembers of a channel it does not own.

use crate::id::{ChannelKey, Name};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// The number of a channel inside one shard. Reused after its last row is gone.
pub(crate) type ChannelIndex = u32;

/// Of which channel a channel is a thread, as far as this shard has been told. The owner tells it
/// with every count, and tells all shards when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    Unknown,
    Known(Option<Name>),
}

#[derive(Debug)]
struct Interned {
    key: ChannelKey,
    rows: u32,
    parent: Parent,
}

/// The interner of one shard.
#[derive(Debug)]
pub(crate) struct Interner {
    slots: Vec<Option<Interned>>,
    free: Vec<ChannelIndex>,
    index: HashMap<ChannelKey, ChannelIndex, FixedState>,
}

impl Interner {
    pub(crate) fn new(seed: u64) -> Self {
        let index = HashMap::with_hasher(FixedState::with_seed(seed));
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index,
        }
    }

    pub(crate) fn find(&self, key: &ChannelKey) -> Option<ChannelIndex> {
        self.index.get(key).copied()
    }

    /// The number of a channel, for one more row.
    pub(crate) fn acquire(&mut self, key: &ChannelKey) -> ChannelIndex {
        if let Some(index) = self.find(key) {
            if let Some(Some(interned)) = self.slots.get_mut(index as usize) {
                interned.rows += 1;
            }
            return index;
        }
        let fresh = Some(Interned {
            key: key.clone(),
            rows: 1,
            parent: Parent::Unknown,
        });
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(place) = self.slots.get_mut(index as usize) {
                    *place = fresh;
                }
                index
            }
            None => {
                self.slots.push(fresh);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert(key.clone(), index);
        index
    }

    /// One row less; the last one frees the number.
    pub(crate) fn release(&mut self, index: ChannelIndex) {
        let Some(place) = self.slots.get_mut(index as usize) else {
            return;
        };
        let Some(interned) = place.as_mut() else {
            return;
        };
        interned.rows -= 1;
        if interned.rows == 0 {
            self.index.remove(&interned.key);
            *place = None;
            self.free.push(index);
        }
    }

    pub(crate) fn key(&self, index: ChannelIndex) -> Option<&ChannelKey> {
        self.slots
            .get(index as usize)?
            .as_ref()
            .map(|interned| &interned.key)
    }

    pub(crate) fn parent(&self, index: ChannelIndex) -> &Parent {
        match self.slots.get(index as usize) {
            Some(Some(interned)) => &interned.parent,
            _ => &Parent::Unknown,
        }
    }

    pub(crate) fn learn(&mut self, key: &ChannelKey, parent: Parent) {
        let Some(index) = self.find(key) else { return };
        if let Some(Some(interned)) = self.slots.get_mut(index as usize) {
            interned.parent = parent;
        }
    }

    /// Bytes, about: slots, index entries and the names.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Interned>>() + self.index.capacity() * 64
    }
}
