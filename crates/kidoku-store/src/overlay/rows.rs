//! Rows by key, in the order in which they came.

use crate::value::Row;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use kidoku_core::fact::Merge;
use std::hash::BuildHasher;

/// Where a row is. Rows stay where they are.
pub(super) type Place = u32;

/// What a row costs beside its key's and its heap bytes: its place here, among those of its partition
/// and in the table of hashes, all of them two thirds full, and the allocation of the key.
const ROW_BYTES: usize = (size_of::<Slot>() + 2 * size_of::<Place>() + 1) * 3 / 2 + 16;

#[derive(Debug)]
struct Slot {
    hash: u64,
    key: Box<[u8]>,
    row: Row,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Slot>,
    places: HashTable<Place>,
    /// Names are chosen by clients, who must not know what collides.
    hasher: RandomState,
    bytes: usize,
}

fn at(rows: &[Slot], place: Place) -> Option<&Slot> {
    rows.get(usize::try_from(place).ok()?)
}

impl Rows {
    fn place(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let is_it = |place: &Place| {
            at(&self.rows, *place).is_some_and(|row| row.hash == hash && *row.key == *key)
        };
        self.places.find(hash, is_it).copied()
    }

    /// The row of a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<&Row> {
        let place = self.place(self.hasher.hash_one(key), key)?;
        at(&self.rows, place).map(|row| &row.row)
    }

    /// The key and the row at a place.
    pub(super) fn at(&self, place: Place) -> Option<(&[u8], &Row)> {
        at(&self.rows, place).map(|row| (&*row.key, &row.row))
    }

    /// Merges into a known row; gives the row back when its key is new.
    pub(super) fn merge(&mut self, key: &[u8], row: Row) -> Option<Row> {
        let known = self.place(self.hasher.hash_one(key), key);
        let known = known.and_then(|place| self.rows.get_mut(usize::try_from(place).ok()?));
        let Some(known) = known else {
            return Some(row);
        };
        let before = known.row.heap_bytes();
        known.row.merge(&row);
        self.bytes = self.bytes + known.row.heap_bytes() - before;
        None
    }

    /// Adds a row whose key is not there yet.
    pub(super) fn add(&mut self, key: &[u8], row: Row) -> Place {
        let hash = self.hasher.hash_one(key);
        // There is no memory for so many as would not have a place.
        let place = Place::try_from(self.rows.len()).unwrap_or(Place::MAX);
        self.bytes += key.len() + row.heap_bytes() + ROW_BYTES;
        let key = Box::from(key);
        self.rows.push(Slot { hash, key, row });
        let rows = &self.rows;
        self.places.insert_unique(hash, place, |place| {
            at(rows, *place).map_or(0, |row| row.hash)
        });
        place
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of memory, estimated.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
