//! The overlay: facts that are in the log and not yet in the store, merged, in memory.

use crate::key::{put_fact_key, put_roster_key};
use crate::value::{Row, roster_of};
use crate::{Entry, KeyRow};
use kidoku_core::fact::{Fact, FactKey, Merge, Value};
use std::collections::BTreeMap;
use std::ops::Bound;

/// What a row costs beside its key's and its heap bytes: its place in the tree, two thirds full, and
/// the allocation of the key.
const ROW_BYTES: usize = (size_of::<Row>() + size_of::<Box<[u8]>>()) * 3 / 2 + 16;

/// A sorted map of merged rows that knows its size.
#[derive(Debug, Default)]
pub struct Overlay {
    rows: BTreeMap<Box<[u8]>, Row>,
    bytes: usize,
    /// Kept from fact to fact, so that a fact of a known key allocates nothing for it.
    scratch: Vec<u8>,
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
        self.merge_row(&scratch, Row::Fact(value));
        if let Some((channel, row)) = roster {
            scratch.clear();
            put_roster_key(&mut scratch, key.app, channel, key.owner);
            self.merge_row(&scratch, Row::Roster(row));
        }
        self.scratch = scratch;
    }

    fn merge_row(&mut self, key: &[u8], row: Row) {
        if let Some(known) = self.rows.get_mut(key) {
            let before = known.heap_bytes();
            known.merge(&row);
            self.bytes = self.bytes + known.heap_bytes() - before;
        } else {
            self.bytes += key.len() + row.heap_bytes() + ROW_BYTES;
            self.rows.insert(Box::from(key), row);
        }
    }

    /// One row.
    pub fn get(&self, key: &[u8]) -> Option<&Row> {
        self.rows.get(key)
    }

    /// Rows from `from` on and below `end`, by rising key.
    pub fn range<'a>(
        &'a self,
        from: &[u8],
        end: &[u8],
    ) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        // A tree panics on a range that ends before it begins.
        let end = end.max(from);
        self.rows
            .range::<[u8], _>((Bound::Included(from), Bound::Excluded(end)))
            .map(|(key, row)| Entry { key, row })
    }

    /// Copies of up to `limit` rows of a range.
    pub(crate) fn page(&self, from: &[u8], end: &[u8], limit: usize) -> Vec<KeyRow> {
        let rows = self.range(from, end).take(limit);
        rows.map(|entry| (entry.key.to_vec(), entry.row.clone()))
            .collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of memory, estimated.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
