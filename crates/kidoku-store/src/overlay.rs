//! The overlay: facts that are in the log and not yet in the store, merged, in memory.
//!
//! A row is found by the hash of its key, so an ack of a known state costs one look-up. Which rows
//! belong to a partition is noted when they come; their order is made when somebody reads it. What a
//! roster has of a user is read from the user's state row, and not at all for those whom it has in the
//! store, so that an ack does not touch it; it has a row of its own only for marks of a user without a state
//! row here.

mod partitions;
mod rows;
#[cfg(test)]
mod tests;

use crate::key::{self, Key, put_fact_key, put_roster_key};
use crate::value::{RosterRow, Row, roster_of};
use crate::{Entry, KeyRow};
use kidoku_core::fact::{Fact, FactKey, Incarnation, Merge, Part, Value};
use partitions::{Item, Partitions};
use rows::{Merged, Place, Rows};
use std::borrow::Cow;

/// A sorted map of merged rows that knows its size.
#[derive(Debug, Default)]
pub struct Overlay {
    rows: Rows,
    partitions: Partitions,
    /// Rows of rosters that are not read from a state row.
    rosters: usize,
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
        let merged = self.merge_row(&scratch, Row::Fact(value));
        match roster {
            Some((channel, _)) if matches!(key.part, Part::State(_)) => {
                self.enter_if(merged, &mut scratch, key, channel);
            }
            // The incarnation of a known mark is on the roster already, but for that of a later one.
            Some((channel, row)) if merged != Merged::Known || row.0 != Incarnation::NEVER => {
                self.mark(&mut scratch, key, channel, row);
            }
            _ => {}
        }
        self.scratch = scratch;
    }

    /// Notes on the roster that a user has a state row, if the roster may not know.
    fn enter_if(
        &mut self,
        merged: Merged,
        scratch: &mut Vec<u8>,
        key: &FactKey<'_>,
        channel: &str,
    ) {
        let (Merged::New(place) | Merged::Enters(place)) = merged else {
            return;
        };
        if !self.rows.enters(place) {
            return;
        }
        scratch.clear();
        put_roster_key(scratch, key.app, channel, key.owner);
        if self.rosters == 0 || self.rows.place(scratch).is_none() {
            self.partitions
                .add(key::owner_bytes(scratch), Item::Roster(place));
        }
    }

    /// Notes on the roster that a user has a mark.
    fn mark(&mut self, scratch: &mut Vec<u8>, key: &FactKey<'_>, channel: &str, row: RosterRow) {
        scratch.clear();
        put_fact_key(scratch, &state_key(key.app, key.owner, channel));
        if let Some(merged) = self.rows.mark(scratch, row.0) {
            return self.enter_if(merged, scratch, key, channel);
        }
        scratch.clear();
        put_roster_key(scratch, key.app, channel, key.owner);
        if matches!(self.merge_row(scratch, Row::Roster(row)), Merged::New(_)) {
            self.rosters += 1;
        }
    }

    fn merge_row(&mut self, key: &[u8], row: Row) -> Merged {
        let merged = self.rows.merge(key, row);
        if let Merged::New(place) = merged {
            self.partitions.add(key::owner_bytes(key), Item::Row(place));
        }
        merged
    }

    /// One row.
    pub fn get(&self, key: &[u8]) -> Option<Cow<'_, Row>> {
        if let Some(place) = self.rows.place(key) {
            return self.whole(key, place);
        }
        let Ok(Key::Roster { app, channel, user }) = key::parse(key) else {
            return None;
        };
        let state = self.state(app, channel, user)?;
        if !self.rows.enters(state) {
            return None;
        }
        self.roster(state).map(Cow::Owned)
    }

    /// The row at a place; one of a roster with what its user's state row says.
    fn whole(&self, key: &[u8], place: Place) -> Option<Cow<'_, Row>> {
        let row = self.rows.row(place)?;
        let Row::Roster(roster) = &*row else {
            return Some(row);
        };
        let Ok(Key::Roster { app, channel, user }) = key::parse(key) else {
            return Some(row);
        };
        let state = self.state(app, channel, user);
        let Some(Row::Roster(mut whole)) = state.and_then(|place| self.roster(place)) else {
            return Some(row);
        };
        whole.merge(roster);
        Some(Cow::Owned(Row::Roster(whole)))
    }

    /// Where a user's state row is.
    fn state(&self, app: &str, channel: &str, user: &str) -> Option<Place> {
        self.rows
            .place(&key::fact_key(&state_key(app, user, channel)))
    }

    /// What a roster has of the user whose state is at a place.
    fn roster(&self, state: Place) -> Option<Row> {
        let marks = self.rows.marks(state);
        let row = self.rows.row(state)?;
        Some(Row::Roster(RosterRow(row.incarnation().max(marks))))
    }

    /// Rows from `from` on and below `end`, by rising key.
    pub fn range<'a>(
        &'a self,
        from: &[u8],
        end: &[u8],
    ) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let items = self.partitions.range(&self.rows, from, end);
        items.filter_map(|item| self.entry(item))
    }

    fn entry(&self, item: Item) -> Option<Entry<'_>> {
        match item {
            Item::Row(place) => {
                let key = self.rows.key(place);
                let row = self.whole(key, place)?;
                let key = Cow::Borrowed(key);
                Some(Entry { key, row })
            }
            Item::Roster(state) => {
                let key = Cow::Owned(roster_key(self.rows.key(state))?);
                let row = self.roster(state).map(Cow::Owned)?;
                Some(Entry { key, row })
            }
        }
    }

    /// Copies of up to `limit` rows of a range.
    pub(crate) fn page(&self, from: &[u8], end: &[u8], limit: usize) -> Vec<KeyRow> {
        let rows = self.range(from, end).take(limit);
        rows.map(|entry| (entry.key.into_owned(), entry.row.into_owned()))
            .collect()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory, estimated.
    pub fn bytes(&self) -> usize {
        self.rows.bytes() + self.partitions.bytes()
    }
}

fn state_key<'a>(app: &'a str, user: &'a str, channel: &'a str) -> FactKey<'a> {
    FactKey {
        app,
        owner: user,
        part: Part::State(channel),
    }
}

/// The key of what a roster has of a user, by the key of the state row.
fn roster_key(state: &[u8]) -> Option<Vec<u8>> {
    match key::parse(state) {
        Ok(Key::Fact(FactKey {
            app,
            owner,
            part: Part::State(channel),
        })) => {
            let mut key = Vec::with_capacity(state.len());
            put_roster_key(&mut key, app, channel, owner);
            Some(key)
        }
        _ => None,
    }
}
