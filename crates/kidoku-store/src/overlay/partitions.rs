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

/// What an item costs, two thirds full.
const ITEM_BYTES: usize = size_of::<Item>() * 3 / 2;

/// New rows that are put where they belong one by one; more are sorted together.
const FEW: usize = 32;

/// A row of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The row at a place.
    Row(Place),
    /// What a channel's roster has of the user whose state is at a place.
    Roster(Place),
}

impl Item {
    /// What its key has behind the name of its partition, which is so many bytes long.
    fn rest(self, rows: &Rows, owner: usize) -> &[u8] {
        match self {
            Self::Row(place) => rows.key(place).get(owner..).unwrap_or_default(),
            Self::Roster(place) => key::owner_name(rows.key(place)),
        }
    }
}

/// The rows of a partition. Their order is made by whoever reads them, and most are written more often
/// than read.
type Partition = Mutex<Order>;

#[derive(Debug, Default)]
struct Order {
    items: Vec<Item>,
    /// So many from the first on have rising keys.
    sorted: usize,
}

impl Order {
    fn sort(&mut self, rows: &Rows, owner: usize) {
        let new = self.items.len() - self.sorted;
        if new > FEW {
            // Goes through what is sorted already only once.
            self.items
                .sort_by(|one, other| one.rest(rows, owner).cmp(other.rest(rows, owner)));
        } else {
            for at in self.sorted..self.items.len() {
                self.insert(rows, owner, at);
            }
        }
        self.sorted = self.items.len();
    }

    /// Moves the one at `at` to where it belongs among those before it.
    fn insert(&mut self, rows: &Rows, owner: usize, at: usize) {
        let Some((item, before)) = self.items.get(..=at).and_then(<[Item]>::split_last) else {
            return;
        };
        let rest = item.rest(rows, owner);
        let target = before.partition_point(|item| item.rest(rows, owner) < rest);
        if let Some(moved) = self.items.get_mut(target..=at) {
            moved.rotate_right(1);
        }
    }

    /// Those from `from` on and below `end`, of the partition with this name.
    fn between(&mut self, rows: &Rows, owner: &[u8], from: &[u8], end: &[u8]) -> Vec<Item> {
        if self.sorted < self.items.len() {
            self.sort(rows, owner.len());
        }
        let first = self.first_from(rows, owner, from);
        let last = self.first_from(rows, owner, end);
        self.items.get(first..last).unwrap_or_default().to_vec()
    }

    /// How many keys are below this one.
    fn first_from(&self, rows: &Rows, owner: &[u8], key: &[u8]) -> usize {
        match key.strip_prefix(owner) {
            Some(rest) => self
                .items
                .partition_point(|item| item.rest(rows, owner.len()) < rest),
            None if key < owner => 0,
            None => self.items.len(),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    partitions: Vec<Partition>,
    /// Indexes of `partitions` by what their keys begin with; never iterated.
    by_owner: HashMap<Box<[u8]>, usize, RandomState>,
    /// The same, sorted.
    order: BTreeMap<Box<[u8]>, usize>,
    items: usize,
    bytes: usize,
}

impl Partitions {
    /// Adds a new row to its partition.
    pub(super) fn add(&mut self, owner: &[u8], item: Item) {
        let index = match self.by_owner.get(owner) {
            Some(index) => *index,
            None => self.begin(owner),
        };
        if let Some(partition) = self.partitions.get_mut(index) {
            let order = partition.get_mut().unwrap_or_else(PoisonError::into_inner);
            order.items.push(item);
            self.items += 1;
            self.bytes += ITEM_BYTES;
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

    /// The rows from `from` on and below `end`, by rising key.
    pub(super) fn range<'a>(
        &'a self,
        rows: &'a Rows,
        from: &[u8],
        end: &[u8],
    ) -> impl Iterator<Item = Item> + use<'a> {
        // The partition of `from` begins before it, or it would not have all of its name there.
        let first = key::owner_bytes(from);
        let bounds = (Bound::Included(first), Bound::Excluded(end.max(first)));
        let (from, end) = (from.to_vec(), end.to_vec());
        self.order
            .range::<[u8], _>(bounds)
            .filter_map(|(owner, index)| Some((owner, self.partitions.get(*index)?)))
            .flat_map(move |(owner, partition)| lock(partition).between(rows, owner, &from, &end))
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.items
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
