//! A table of owned things by key, with second-chance eviction. Slots are found through a hash
//! table of 4-byte indexes, so a key is held once.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hash};

/// Something whose heap use can be told.
pub(crate) trait Weigh {
    /// Bytes on the heap, from capacities, plus the size of the value itself.
    fn weight(&self) -> usize;
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    /// As last weighed; the sum over all entries is `Table::bytes`.
    weight: usize,
    /// Set on use, cleared when the eviction hand passes: evicted on the second pass.
    used: bool,
}

/// Keys to values; iteration order is never shown.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    slots: Vec<Option<Entry<K, V>>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: FixedState,
    hand: usize,
    bytes: usize,
}

/// Bytes an entry costs besides its value: the index slot (4 bytes at a load of 7/8, and a control
/// byte) and the key's own allocation, two counters and about 24 bytes of name.
const ENTRY_OVERHEAD_BYTES: usize = 48;

impl<K: Eq + Hash + Clone, V: Weigh> Table<K, V> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            hand: 0,
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Bytes of all entries, as last weighed.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn find(&self, key: &K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let slots = &self.slots;
        self.index
            .find(hash, |slot| {
                entry(slots, *slot).is_some_and(|e| e.key == *key)
            })
            .copied()
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.find(key).is_some()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.find(key)
            .and_then(|slot| entry(&self.slots, slot))
            .map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.find(key)?;
        let entry = self.slots.get_mut(slot as usize)?.as_mut()?;
        entry.used = true;
        Some(&mut entry.value)
    }

    /// Puts a value in, in place of any other of that key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        let weight = value.weight() + ENTRY_OVERHEAD_BYTES;
        let hash = self.hasher.hash_one(&key);
        let fresh = Some(Entry {
            key,
            value,
            weight,
            used: true,
        });
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = fresh;
                }
                slot
            }
            None => {
                self.slots.push(fresh);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.bytes += weight;
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, slot, |slot| {
            entry(slots, *slot).map_or(0, |entry| hasher.hash_one(&entry.key))
        });
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let hash = self.hasher.hash_one(key);
        let slots = &self.slots;
        let found = self
            .index
            .find_entry(hash, |slot| {
                entry(slots, *slot).is_some_and(|e| e.key == *key)
            })
            .ok()?;
        let (slot, _) = found.remove();
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.bytes -= entry.weight;
        Some(entry.value)
    }

    /// Weighs an entry anew after a change.
    pub(crate) fn reweigh(&mut self, key: &K) {
        let Some(slot) = self.find(key) else { return };
        let Some(Some(entry)) = self.slots.get_mut(slot as usize) else {
            return;
        };
        let weight = entry.value.weight() + ENTRY_OVERHEAD_BYTES;
        self.bytes = self.bytes - entry.weight + weight;
        entry.weight = weight;
    }

    /// Sums something over all values; the order can not matter for a sum.
    pub(crate) fn sum(&self, each: impl Fn(&V) -> u64) -> u64 {
        self.slots
            .iter()
            .flatten()
            .map(|entry| each(&entry.value))
            .sum()
    }

    /// Moves the hand over at most `steps` slots and gives the first key not used since the last
    /// pass for which `evictable` holds.
    pub(crate) fn coldest(&mut self, steps: usize, evictable: impl Fn(&K) -> bool) -> Option<K> {
        for _ in 0..steps.min(self.slots.len() * 2) {
            self.hand = if self.hand + 1 < self.slots.len() {
                self.hand + 1
            } else {
                0
            };
            let Some(Some(entry)) = self.slots.get_mut(self.hand) else {
                continue;
            };
            if entry.used {
                entry.used = false;
            } else if evictable(&entry.key) {
                return Some(entry.key.clone());
            }
        }
        None
    }
}

fn entry<K, V>(slots: &[Option<Entry<K, V>>], slot: u32) -> Option<&Entry<K, V>> {
    slots.get(slot as usize).and_then(Option::as_ref)
}
