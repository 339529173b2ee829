//! Channel names as 4-byte numbers, with what a user's shard remembers of a channel it does not own.

use crate::id::{ChannelKey, Name, ShardId};
use crate::placement::Placement;
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
    start: NameStart,
    rows: u32,
    owner: ShardId,
    parent: Parent,
}

/// The first bytes of a channel's name, filled up with zeros, which no name has: channels of one app
/// are nearly always in the order of these, and then nothing else has to be looked at to sort them.
type NameStart = [u8; 16];

fn start_of(name: &str) -> NameStart {
    let mut start = NameStart::default();
    let name = name.as_bytes();
    let length = name.len().min(start.len());
    start[..length].copy_from_slice(&name[..length]);
    start
}

/// The interner of one shard.
#[derive(Debug)]
pub(crate) struct Interner {
    slots: Vec<Option<Interned>>,
    free: Vec<ChannelIndex>,
    index: HashMap<ChannelKey, ChannelIndex, FixedState>,
    placement: Placement,
}

impl Interner {
    pub(crate) fn new(seed: u64, placement: Placement) -> Self {
        let index = HashMap::with_hasher(FixedState::with_seed(seed));
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index,
            placement,
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
            start: start_of(key.name()),
            rows: 1,
            owner: self.placement.of_channel(key),
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

    fn get(&self, index: ChannelIndex) -> Option<&Interned> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(crate) fn key(&self, index: ChannelIndex) -> Option<&ChannelKey> {
        self.get(index).map(|interned| &interned.key)
    }

    /// The shard that owns the channel.
    pub(crate) fn owner(&self, index: ChannelIndex) -> Option<ShardId> {
        self.get(index).map(|interned| interned.owner)
    }

    pub(crate) fn parent(&self, index: ChannelIndex) -> &Parent {
        self.get(index)
            .map_or(&Parent::Unknown, |interned| &interned.parent)
    }

    pub(crate) fn learn(&mut self, key: &ChannelKey, parent: Parent) {
        if let Some(index) = self.find(key) {
            self.learn_at(index, key, parent);
        }
    }

    /// The same for a channel that had this number a while ago; it may be another's by now.
    pub(crate) fn learn_at(&mut self, index: ChannelIndex, key: &ChannelKey, parent: Parent) {
        if let Some(Some(interned)) = self.slots.get_mut(index as usize)
            && interned.key == *key
        {
            interned.parent = parent;
        }
    }

    /// Puts channels of one app into the order of their names.
    pub(crate) fn sort(&self, indexes: &mut [ChannelIndex]) {
        indexes.sort_by_cached_key(|index| {
            let interned = self.get(*index);
            interned.map(|interned| (interned.start, interned.key.joined()))
        });
    }

    /// Bytes, about: slots, index entries and the names.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Interned>>() + self.index.capacity() * 64
    }
}
