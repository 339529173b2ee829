//! Which rows belong to which partition, and in which order.

use super::rows::{Place, Rows};
use crate::key;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a partition costs beside its name, which is there twice: its place in three collections.
const PARTITION_BYTES: usize =
    (size_of::<Partition>() + 2 * size_of::<(Box<[u8]>, usize)>()) * 3 / 2 + 32;

/// New rows that are put where they belong one by one; more are sorted together.
const FEW: usize = 32;

/// The rows of a partition. Their order is made by whoever reads them, and most are written more often
/// than read.
type Partition = Mutex<Order>;

#[derive(Debug, Default)]
struct Order {
    places: Vec<Place>,
    /// So many from the first on have rising keys.
    sorted: usize,
}

impl Order {
    fn sort(&mut self, rows: &Rows) {
        let new = self.places.len() - self.sorted;
        if new > FEW {
            // Goes through what is sorted already only once.
            self.places
                .sort_by(|one, other| key_at(rows, *one).cmp(key_at(rows, *other)));
        } else {
            for at in self.sorted..self.places.len() {
                self.insert(rows, at);
            }
        }
        self.sorted = self.places.len();
    }

    /// Moves the one at `at` to where it belongs among those before it.
    fn insert(&mut self, rows: &Rows, at: usize) {
        let Some((place, before)) = self.places.get(..=at).and_then(<[Place]>::split_last) else {
            return;
        };
        let key = key_at(rows, *place);
        let target = before.partition_point(|place| key_at(rows, *place) < key);
        if let Some(moved) = self.places.get_mut(target..=at) {
            moved.rotate_right(1);
        }
    }

    /// Those from `from` on and below `end`.
    fn between(&mut self, rows: &Rows, from: &[u8], end: &[u8]) -> Vec<Place> {
        if self.sorted < self.places.len() {
            self.sort(rows);
        }
        let first = self
            .places
            .partition_point(|place| key_at(rows, *place) < from);
        let last = self
            .places
            .partition_point(|place| key_at(rows, *place) < end);
        self.places.get(first..last).unwrap_or_default().to_vec()
    }
}

fn key_at(rows: &Rows, place: Place) -> &[u8] {
    rows.at(place).map_or(&[], |(key, _)| key)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    partitions: Vec<Partition>,
    /// Indexes of `partitions` by what their keys begin with; never iterated.
    by_owner: HashMap<Box<[u8]>, usize, RandomState>,
    /// The same, sorted.
    order: BTreeMap<Box<[u8]>, usize>,
    bytes: usize,
}

impl Partitions {
    /// Adds a new row to its partition.
    pub(super) fn add(&mut self, owner: &[u8], place: Place) {
        let index = match self.by_owner.get(owner) {
            Some(index) => *index,
            None => self.begin(owner),
        };
        if let Some(partition) = self.partitions.get_mut(index) {
            let order = partition.get_mut().unwrap_or_else(PoisonError::into_inner);
            order.places.push(place);
        }
    }

    fn begin(&mut self, owner: &[u8]) -> usize {
        let index = self.partitions.len();
        self.partitions.push(Partition::default());
        self.by_owner.insert(Box::from(owner), index);
        self.order.insert(Box::from(owner), index);
        self.bytes += 2 * owner.len() + PARTITION_BYTES;
        index
    }

    /// Where the rows are from `from` on and below `end`, by rising key.
    pub(super) fn range<'a>(
        &'a self,
        rows: &'a Rows,
        from: &[u8],
        end: &[u8],
    ) -> impl Iterator<Item = Place> + use<'a> {
        // The partition of `from` begins before it, or it would not have all of its name there.
        let first = key::owner_bytes(from);
        let bounds = (Bound::Included(first), Bound::Excluded(end.max(first)));
        let (from, end) = (from.to_vec(), end.to_vec());
        self.order
            .range::<[u8], _>(bounds)
            .filter_map(|(_, index)| self.partitions.get(*index))
            .flat_map(move |partition| lock(partition).between(rows, &from, &end))
    }

    /// Bytes of memory beside those of the rows, estimated.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn lock(partition: &Partition) -> MutexGuard<'_, Order> {
    // Sorting that panics leaves the same rows behind.
    partition.lock().unwrap_or_else(PoisonError::into_inner)
}
