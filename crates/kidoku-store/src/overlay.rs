//! The overlay: facts that are in the log and not yet in the store, merged, in memory.
//!
//! Rows are grouped by partition, found by hash, and sorted inside it: an ack of a known state costs
//! one look-up and a short search. Rosters hold only who is on them until somebody reads them; what
//! they say is then taken from the state rows, so that an ack does not touch them.

use crate::key::{self, Key, put_fact_key, put_roster_key};
use crate::planted::{self, Bug};
use crate::value::{RosterRow, Row, roster_of};
use crate::{Entry, KeyRow};
use kidoku_core::fact::{Fact, FactKey, Incarnation, Merge, Part, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// What a row costs beside its key's and its heap bytes: its place, two thirds full, and the
/// allocation of the key.
const ROW_BYTES: usize = (size_of::<Row>() + size_of::<Box<[u8]>>()) * 3 / 2 + 16;

/// What a partition costs beside its name, which is there twice: its place in three collections.
const PARTITION_BYTES: usize =
    (size_of::<Rows>() + 2 * size_of::<(Box<[u8]>, usize)>()) * 3 / 2 + 32;

/// A partition of more rows than this is kept as a tree.
const FEW_ROWS_MAX: usize = 32;

/// A sorted map of merged rows that knows its size.
#[derive(Debug, Default)]
pub struct Overlay {
    /// Places in `partitions` by what the keys of a partition begin with; never iterated.
    places: HashMap<Box<[u8]>, usize>,
    /// The same, sorted.
    order: BTreeMap<Box<[u8]>, usize>,
    partitions: Vec<Rows>,
    rows: usize,
    bytes: usize,
    /// Kept from fact to fact, so that a fact of a known key allocates nothing for it.
    scratch: Vec<u8>,
}

/// The rows of a partition by their whole keys.
#[derive(Debug)]
enum Rows {
    /// Sorted. Most partitions are users with a few channels, for which a tree's node is too big.
    Few(Vec<(Box<[u8]>, Row)>),
    Many(BTreeMap<Box<[u8]>, Row>),
}

/// What a merge did to a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merged {
    New,
    Known,
}

impl Rows {
    fn get(&self, key: &[u8]) -> Option<&Row> {
        match self {
            Self::Few(rows) => {
                let at = rows
                    .binary_search_by(|(known, _)| (**known).cmp(key))
                    .ok()?;
                rows.get(at).map(|(_, row)| row)
            }
            Self::Many(rows) => rows.get(key),
        }
    }

    fn get_mut(&mut self, key: &[u8]) -> Option<&mut Row> {
        match self {
            Self::Few(rows) => {
                let at = rows
                    .binary_search_by(|(known, _)| (**known).cmp(key))
                    .ok()?;
                rows.get_mut(at).map(|(_, row)| row)
            }
            Self::Many(rows) => rows.get_mut(key),
        }
    }

    /// Adds a row whose key is not there yet.
    fn insert_new(&mut self, key: &[u8], row: Row) {
        match self {
            Self::Few(rows) if rows.len() < FEW_ROWS_MAX => {
                let at = rows.partition_point(|(known, _)| **known < *key);
                rows.insert(at, (Box::from(key), row));
            }
            Self::Few(rows) => {
                let mut many: BTreeMap<Box<[u8]>, Row> = std::mem::take(rows).into_iter().collect();
                many.insert(Box::from(key), row);
                *self = Self::Many(many);
            }
            Self::Many(rows) => {
                rows.insert(Box::from(key), row);
            }
        }
    }

    /// Rows from `from` on and below `end`.
    fn range<'a>(&'a self, from: &[u8], end: &[u8]) -> RowsRange<'a> {
        match self {
            Self::Few(rows) => {
                let first = rows.partition_point(|(key, _)| **key < *from);
                let last = rows.partition_point(|(key, _)| **key < *end);
                RowsRange::Few(rows.get(first..last).unwrap_or_default().iter())
            }
            Self::Many(rows) => {
                // A tree panics on a range that ends before it begins.
                let bounds = (Bound::Included(from), Bound::Excluded(end.max(from)));
                RowsRange::Many(rows.range::<[u8], _>(bounds))
            }
        }
    }
}

enum RowsRange<'a> {
    Few(std::slice::Iter<'a, (Box<[u8]>, Row)>),
    Many(std::collections::btree_map::Range<'a, Box<[u8]>, Row>),
}

impl<'a> Iterator for RowsRange<'a> {
    type Item = (&'a [u8], &'a Row);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(rows) => rows.next().map(|(key, row)| (&**key, row)),
            Self::Many(rows) => rows.next().map(|(key, row)| (&**key, row)),
        }
    }
}

impl Overlay {
    /// Merges a fact, and what it adds to a roster.
    pub fn merge(&mut self, fact: &Fact) {
        self.merge_parts(&fact.key(), fact.value());
    }

    /// Merges a fact in parts, and what it adds to a roster.
    pub fn merge_parts(&mut self, key: &FactKey<'_>, value: Value) {
        let roster = roster_of(key, &value);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        put_fact_key(&mut scratch, key);
        let merged = self.merge_row(&scratch, Row::Fact(value));
        if let Some((channel, row)) = roster {
            // The state part is read from the state row. The incarnation of a known mark is on the
            // roster already, but for that of a later one.
            if merged == Merged::New || row.marks != Incarnation::NEVER {
                scratch.clear();
                put_roster_key(&mut scratch, key.app, channel, key.owner);
                let row = RosterRow { state: None, ..row };
                self.merge_row(&scratch, Row::Roster(row));
            }
        }
        self.scratch = scratch;
    }

    fn merge_row(&mut self, key: &[u8], row: Row) -> Merged {
        let owner = key::owner_bytes(key);
        let place = match self.places.get(owner) {
            Some(place) => *place,
            None => self.add_partition(owner),
        };
        let Some(partition) = self.partitions.get_mut(place) else {
            return Merged::Known;
        };
        if let Some(known) = partition.get_mut(key) {
            let before = known.heap_bytes();
            known.merge(&row);
            self.bytes = self.bytes + known.heap_bytes() - before;
            return Merged::Known;
        }
        self.rows += 1;
        self.bytes += key.len() + row.heap_bytes() + ROW_BYTES;
        partition.insert_new(key, row);
        Merged::New
    }

    fn add_partition(&mut self, owner: &[u8]) -> usize {
        let place = self.partitions.len();
        self.partitions.push(Rows::Few(Vec::new()));
        self.places.insert(Box::from(owner), place);
        self.order.insert(Box::from(owner), place);
        self.bytes += 2 * owner.len() + PARTITION_BYTES;
        place
    }

    fn find(&self, key: &[u8]) -> Option<&Row> {
        let place = self.places.get(key::owner_bytes(key))?;
        self.partitions.get(*place)?.get(key)
    }

    /// One row.
    pub fn get(&self, key: &[u8]) -> Option<Cow<'_, Row>> {
        self.find(key).map(|row| self.whole(key, row))
    }

    /// Completes a row of a roster with what its user's state row says.
    fn whole<'a>(&self, key: &[u8], row: &'a Row) -> Cow<'a, Row> {
        let (Row::Roster(roster), Ok(Key::Roster { app, channel, user })) = (row, key::parse(key))
        else {
            return Cow::Borrowed(row);
        };
        let part = Part::State(channel);
        let state_key = key::fact_key(&FactKey {
            app,
            owner: user,
            part,
        });
        let mut roster = *roster;
        if let Some(Row::Fact(Value::State(state))) = self.find(&state_key)
            && !planted::is(Bug::RosterStale)
        {
            roster.merge(&RosterRow::of_state(state));
        }
        Cow::Owned(Row::Roster(roster))
    }

    /// Rows from `from` on and below `end`, by rising key.
    pub fn range<'a>(
        &'a self,
        from: &[u8],
        end: &[u8],
    ) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        // The partition of `from` begins before it, or it would not have all of its name there.
        let first = key::owner_bytes(from);
        let bounds = (Bound::Included(first), Bound::Excluded(end.max(first)));
        let partitions = self.order.range::<[u8], _>(bounds);
        let (from, end) = (from.to_vec(), end.to_vec());
        partitions
            .filter_map(|(_, place)| self.partitions.get(*place))
            .flat_map(move |rows| rows.range(&from, &end))
            .map(|(key, row)| Entry {
                key,
                row: self.whole(key, row),
            })
    }

    /// Copies of up to `limit` rows of a range.
    pub(crate) fn page(&self, from: &[u8], end: &[u8], limit: usize) -> Vec<KeyRow> {
        let rows = self.range(from, end).take(limit);
        rows.map(|entry| (entry.key.to_vec(), entry.row.into_owned()))
            .collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of memory, estimated.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
