//! Rows that a flush has merged and not yet written.
//!
//! Put into the engine one by one, each of a million rows is written to the engine's journal, sorted in
//! among those in its memory, and read out of there into a table. Here they come almost in order, so many
//! of them are kept together and written to a table at once, which takes less time and fewer bytes (decision
//! record 0011); few of them go the usual way, as a table for a handful of rows would have to be
//! merged with others soon.

use super::engine::Engine;
use crate::Pace;

/// Bytes kept, from which on they are written although there may be more to come. The group that goes
/// beyond it is kept too.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Where a row is among the bytes.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    key: u32,
    value: u32,
}

/// See the module. A key may be there once.
#[derive(Debug, Default)]
pub(super) struct Staged {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Staged {
    /// Adds a row.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.places.push(Place {
            at: self.bytes.len(),
            key: length(key),
            value: length(value),
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
    }

    /// True when they should be written before more come.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES_MAX
    }

    fn row(&self, place: Place) -> (&[u8], &[u8]) {
        let rest = self.bytes.get(place.at..).unwrap_or_default();
        let (key, rest) = rest.split_at(wide(place.key).min(rest.len()));
        (key, rest.get(..wide(place.value)).unwrap_or_default())
    }

    /// Writes all of them, to tables if there are so many.
    ///
    /// # Errors
    /// When the engine can not; then any part of them may be written.
    pub(super) fn write(
        mut self,
        engine: &Engine,
        table_rows_min: usize,
        pace: &Pace<'_>,
    ) -> fjall::Result<()> {
        let mut places = std::mem::take(&mut self.places);
        if places.len() < table_rows_min {
            return engine.write_batch(places.into_iter().map(|place| self.row(place)));
        }
        // They are some stretches that are in order, which this sort makes use of.
        places.sort_by(|one, other| self.row(*one).0.cmp(self.row(*other).0));
        // The engine wants rising keys; of the same one the last counts, as it would in a batch.
        places.dedup_by(|next, kept| {
            let same = self.row(*next).0 == self.row(*kept).0;
            if same {
                *kept = *next;
            }
            same
        });
        let rows = places.into_iter().map(|place| {
            pace.did(1);
            self.row(place)
        });
        engine.write_table(rows)
    }
}

fn wide(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
