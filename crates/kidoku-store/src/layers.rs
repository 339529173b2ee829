//! The store with the overlays above it, read as one.
//!
//! A row may be in the active overlay, in the frozen one that is being written to the store, and in
//! the store; what counts is the merge of the three. Overlays are read before the store: a row that
//! moves down meanwhile is then seen twice, which is harmless, and never missed.

use crate::planted::{self, Bug};
use crate::value::Row;
use crate::{KeyRow, Overlay, Store, StoreError};
use kidoku_core::fact::{Fact, FactKey, Merge, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store, and what is not in it yet.
pub struct Layers {
    store: Arc<dyn Store>,
    overlays: Mutex<Overlays>,
}

#[derive(Default)]
struct Overlays {
    active: Overlay,
    frozen: Option<Arc<Overlay>>,
}

impl Overlays {
    fn frozen_for_reading(&self) -> Option<Arc<Overlay>> {
        let frozen = self.frozen.as_ref();
        frozen
            .filter(|_| !planted::is(Bug::FrozenForgotten))
            .cloned()
    }
}

/// Some rows of a range.
#[derive(Debug)]
pub(crate) struct Page {
    /// By rising key.
    pub(crate) rows: Vec<KeyRow>,
    /// Where the next page begins; `None` = this was the last.
    pub(crate) next: Option<Vec<u8>>,
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let overlays = self.overlays();
        f.debug_struct("Layers")
            .field("active_bytes", &overlays.active.bytes())
            .field(
                "frozen_bytes",
                &overlays.frozen.as_ref().map(|frozen| frozen.bytes()),
            )
            .finish_non_exhaustive()
    }
}

impl Layers {
    /// A store with nothing above it yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            overlays: Mutex::default(),
        }
    }

    /// The store below.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn overlays(&self) -> MutexGuard<'_, Overlays> {
        // Nothing below panics half-way through a change, so a poisoned lock is still whole.
        self.overlays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Merges one fact into the active overlay.
    pub fn merge(&self, fact: &Fact) {
        self.overlays().active.merge(fact);
    }

    /// Merges facts into the active overlay, emptying `facts`. Gives its bytes after.
    pub(crate) fn merge_all(&self, facts: &mut Vec<(FactKey<'_>, Value)>) -> usize {
        let active = &mut self.overlays().active;
        for (key, value) in facts.drain(..) {
            active.merge_parts(&key, value);
        }
        active.bytes()
    }

    /// Makes the active overlay the frozen one, which must have been dropped before; `None` when
    /// there is nothing to freeze or the last one is still there.
    pub fn freeze(&self) -> Option<Arc<Overlay>> {
        let overlays = &mut *self.overlays();
        if overlays.frozen.is_some() || overlays.active.is_empty() {
            return None;
        }
        overlays.frozen = Some(Arc::new(std::mem::take(&mut overlays.active)));
        overlays.frozen.clone()
    }

    /// Drops the frozen overlay, once the store has it.
    pub fn drop_frozen(&self) {
        // A big overlay takes a while to free, which nobody should wait for under the lock.
        let frozen = self.overlays().frozen.take();
        drop(frozen);
    }

    /// Rows and bytes of both overlays.
    pub(crate) fn overlay_size(&self) -> (usize, usize) {
        let overlays = self.overlays();
        let frozen = overlays
            .frozen
            .as_ref()
            .map_or((0, 0), |frozen| (frozen.len(), frozen.bytes()));
        (
            overlays.active.len() + frozen.0,
            overlays.active.bytes() + frozen.1,
        )
    }

    /// One row.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let (mut row, frozen) = {
            let overlays = self.overlays();
            (
                overlays.active.get(key).map(Cow::into_owned),
                overlays.frozen_for_reading(),
            )
        };
        let frozen = frozen.as_ref().and_then(|frozen| frozen.get(key));
        merge_option(&mut row, frozen.map(Cow::into_owned));
        merge_option(&mut row, self.store.get(key)?);
        Ok(row)
    }

    /// About `limit` rows of a range.
    pub(crate) fn page(&self, from: &[u8], end: &[u8], limit: usize) -> Result<Page, StoreError> {
        if from >= end {
            return Ok(Page {
                rows: Vec::new(),
                next: None,
            });
        }
        let (active, frozen) = {
            let overlays = self.overlays();
            (
                overlays.active.page(from, end, limit),
                overlays.frozen_for_reading(),
            )
        };
        let frozen = frozen
            .map(|frozen| frozen.page(from, end, limit))
            .unwrap_or_default();
        let stored = match self.store.range(from, end, limit) {
            Err(StoreError::Corrupt { .. }) if planted::is(Bug::DamagedAsEmpty) => Vec::new(),
            stored => stored?,
        };
        // A full layer may have more rows right after its last: what others have beyond that has to
        // wait for the next page.
        let full = [&active, &frozen, &stored]
            .into_iter()
            .filter(|rows| rows.len() >= limit);
        let last = full
            .filter_map(|rows| rows.last())
            .map(|(key, _)| key)
            .min()
            .cloned();
        let mut rows = merge_rows(stored, [active, frozen]);
        if let Some(last) = &last {
            rows.truncate(rows.partition_point(|(key, _)| key <= last));
        }
        let next = last.map(|mut last| {
            last.push(0);
            last
        });
        Ok(Page { rows, next })
    }
}

fn merge_option(row: &mut Option<Row>, other: Option<Row>) {
    match (row.as_mut(), other) {
        (Some(row), Some(other)) => row.merge(&other),
        (None, other) => *row = other,
        (Some(_), None) => {}
    }
}

fn merge_rows(stored: Vec<KeyRow>, overlays: [Vec<KeyRow>; 2]) -> Vec<KeyRow> {
    if overlays.iter().all(Vec::is_empty) {
        return stored;
    }
    let mut rows: BTreeMap<Vec<u8>, Row> = stored.into_iter().collect();
    for (key, row) in overlays.into_iter().flatten() {
        match rows.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(row);
            }
            Entry::Occupied(mut known) => known.get_mut().merge(&row),
        }
    }
    rows.into_iter().collect()
}
