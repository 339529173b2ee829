//! Rows by key, in the order in which they came.

use crate::planted::{self, Bug};
use crate::value::Row;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use kidoku_core::fact::codec::{decode_value, encode_value};
use kidoku_core::fact::{Incarnation, Merge, Value};
use std::borrow::Cow;
use std::hash::BuildHasher;

/// Where a row is. Rows stay where they are.
pub(super) type Place = u32;

/// What a row costs beside its key's and its heap bytes: its place here and in the table of hashes, two
/// thirds full, and the allocation of the key.
const ROW_BYTES: usize = (size_of::<Slot>() + size_of::<Place>() + 1) * 3 / 2 + 16;

/// What the allocation of a state's bytes costs beside them.
const STATE_BYTES: usize = 8;

#[derive(Debug)]
struct Slot {
    hash: u32,
    held: Held,
    key: Box<[u8]>,
}

#[derive(Debug)]
enum Held {
    /// A state, of which there are more than of anything else. As bytes it takes a quarter.
    State {
        value: Box<[u8]>,
        /// The latest incarnation of the user's marks in the channel, for the roster.
        marks: Incarnation,
        /// The roster may not have the user yet, or of an earlier incarnation.
        enters: bool,
    },
    Row(Row),
}

impl Held {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::State { value, .. } => value.len() + STATE_BYTES,
            Self::Row(row) => row.heap_bytes(),
        }
    }

    fn row(&self) -> Option<Cow<'_, Row>> {
        match self {
            // They were written here, so they can be read.
            Self::State { value, .. } => decode_value(value).ok().map(Row::Fact).map(Cow::Owned),
            Self::Row(row) => Some(Cow::Borrowed(row)),
        }
    }
}

/// What became of a row that was merged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// Its key is new.
    New(Place),
    /// A state's key is known, and the roster must have it from now on.
    Enters(Place),
    Known,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rows {
    slots: Vec<Slot>,
    places: HashTable<Place>,
    /// Names are chosen by clients, who must not know what collides.
    hasher: RandomState,
    bytes: usize,
    /// Kept from state to state.
    scratch: Vec<u8>,
}

fn at(slots: &[Slot], place: Place) -> Option<&Slot> {
    slots.get(usize::try_from(place).ok()?)
}

/// A slot keeps half of its hash, which has to be enough to find it by: the table wants the upper bits
/// and the lower ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Rows {
    fn hash(&self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        u32::try_from(hash >> 32).unwrap_or_default()
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<Place> {
        let is_it = |place: &Place| {
            at(&self.slots, *place).is_some_and(|slot| slot.hash == hash && *slot.key == *key)
        };
        self.places.find(spread(hash), is_it).copied()
    }

    /// Where the row of a key is.
    pub(super) fn place(&self, key: &[u8]) -> Option<Place> {
        self.find(self.hash(key), key)
    }

    /// The key of the row at a place.
    pub(super) fn key(&self, place: Place) -> &[u8] {
        at(&self.slots, place).map_or(&[], |slot| &slot.key)
    }

    /// The row at a place.
    pub(super) fn row(&self, place: Place) -> Option<Cow<'_, Row>> {
        at(&self.slots, place)?.held.row()
    }

    /// The latest incarnation of a user's marks in a channel, of which the state is at a place.
    pub(super) fn marks(&self, place: Place) -> Incarnation {
        match at(&self.slots, place).map(|slot| &slot.held) {
            Some(Held::State { marks, .. }) => *marks,
            _ => Incarnation::NEVER,
        }
    }

    /// True when the roster must have the user whose state is at a place.
    pub(super) fn enters(&self, place: Place) -> bool {
        let held = at(&self.slots, place).map(|slot| &slot.held);
        matches!(held, Some(Held::State { enters: true, .. }))
    }

    /// Notes with a user's state in a channel that there is a mark. `None` = there is no state.
    pub(super) fn mark(&mut self, state: &[u8], incarnation: Incarnation) -> Option<Merged> {
        let place = self.place(state)?;
        let slot = self.slots.get_mut(usize::try_from(place).ok()?)?;
        let Held::State { marks, enters, .. } = &mut slot.held else {
            return None;
        };
        *marks = incarnation.max(*marks);
        // Of the first incarnation it is on the roster.
        if *enters || incarnation == Incarnation::NEVER {
            return Some(Merged::Known);
        }
        *enters = true;
        Some(Merged::Enters(place))
    }

    /// Merges a row in.
    pub(super) fn merge(&mut self, key: &[u8], row: Row) -> Merged {
        let hash = self.hash(key);
        let place = self.find(hash, key);
        let Some(known) = place.and_then(|place| self.slots.get_mut(usize::try_from(place).ok()?))
        else {
            return Merged::New(self.add(hash, key, row));
        };
        let before = known.held.heap_bytes();
        let mut merged = Merged::Known;
        match (&mut known.held, row) {
            (Held::State { value, enters, .. }, Row::Fact(new)) => {
                if !*enters && !is_listed(&new) {
                    *enters = true;
                    merged = place.map_or(merged, Merged::Enters);
                }
                merge_state(value, new, &mut self.scratch);
            }
            (Held::Row(known), row) => known.merge(&row),
            // The two never share a key.
            (Held::State { .. }, Row::Roster(_)) => {}
        }
        self.bytes = self.bytes + known.held.heap_bytes() - before;
        merged
    }

    fn add(&mut self, hash: u32, key: &[u8], row: Row) -> Place {
        // There is no memory for so many as would not have a place.
        let place = Place::try_from(self.slots.len()).unwrap_or(Place::MAX);
        let held = match row {
            Row::Fact(state @ Value::State(_)) => {
                self.scratch.clear();
                encode_value(&state, &mut self.scratch);
                Held::State {
                    value: Box::from(self.scratch.as_slice()),
                    marks: Incarnation::NEVER,
                    enters: !is_listed(&state),
                }
            }
            row => Held::Row(row),
        };
        self.bytes += key.len() + held.heap_bytes() + ROW_BYTES;
        let key = Box::from(key);
        self.slots.push(Slot { hash, held, key });
        let slots = &self.slots;
        self.places.insert_unique(spread(hash), place, |place| {
            at(slots, *place).map_or(0, |slot| spread(slot.hash))
        });
        place
    }

    /// Bytes of memory, estimated.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Whether a value is a state of somebody whom the roster has.
fn is_listed(value: &Value) -> bool {
    matches!(value, Value::State(row) if row.listed || planted::is(Bug::AllListed))
}

/// Merges a state into the bytes of another.
fn merge_state(value: &mut Box<[u8]>, new: Value, scratch: &mut Vec<u8>) {
    let merged = match decode_value(value) {
        Ok(mut known) => {
            known.merge(&new);
            known
        }
        Err(_) => new,
    };
    scratch.clear();
    encode_value(&merged, scratch);
    if scratch.len() == value.len() {
        value.copy_from_slice(scratch);
    } else {
        *value = Box::from(scratch.as_slice());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_no_more_than_a_line_of_the_cache() {
        assert!(size_of::<Slot>() <= 64, "{}", size_of::<Slot>());
    }
}
