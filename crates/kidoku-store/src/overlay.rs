//! The overlay: facts that are in the log and not yet in the store, merged, in memory.
//!
//! A row is found by the hash of its key, so an ack of a known state costs one look-up. Which rows
//! belong to a partition is noted when they come; their order is made when somebody reads it. Rosters
//! hold only who is on them until then; what they say is taken from the state rows, so that an ack
//! does not touch them.

mod partitions;
mod rows;
#[cfg(test)]
mod tests;

use crate::key::{self, Key, put_fact_key, put_roster_key};
use crate::planted::{self, Bug};
use crate::value::{RosterRow, Row, roster_of};
use crate::{Entry, KeyRow};
use kidoku_core::fact::{Fact, FactKey, Incarnation, Merge, Part, Value};
use partitions::Partitions;
use rows::{Place, Rows};
use std::borrow::Cow;

/// A sorted map of merged rows that knows its size.
#[derive(Debug, Default)]
pub struct Overlay {
    rows: Rows,
    partitions: Partitions,
    /// Kept from fact to fact, so that a fact of a known key allocates nothing for it.
    scratch: Vec<u8>,
}

/// What a merge did to a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merged {
    New,
    Known,
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
        let Some(row) = self.rows.merge(key, row) else {
            return Merged::Known;
        };
        let place = self.rows.add(key, row);
        self.partitions.add(key::owner_bytes(key), place);
        Merged::New
    }

    /// One row.
    pub fn get(&self, key: &[u8]) -> Option<Cow<'_, Row>> {
        self.rows.find(key).map(|row| self.whole(key, row))
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
        let mut roster = roster.clone();
        if let Some(Row::Fact(Value::State(state))) = self.rows.find(&state_key)
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
        let places = self.partitions.range(&self.rows, from, end);
        places.filter_map(|place| self.entry(place))
    }

    fn entry(&self, place: Place) -> Option<Entry<'_>> {
        let (key, row) = self.rows.at(place)?;
        let row = self.whole(key, row);
        Some(Entry { key, row })
    }

    /// Copies of up to `limit` rows of a range.
    pub(crate) fn page(&self, from: &[u8], end: &[u8], limit: usize) -> Vec<KeyRow> {
        let rows = self.range(from, end).take(limit);
        rows.map(|entry| (entry.key.to_vec(), entry.row.into_owned()))
            .collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    /// Bytes of memory, estimated.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.partitions.bytes()
    }
}
