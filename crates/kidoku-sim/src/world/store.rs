//! A store in memory that fails, and that loses in a crash what was not synced.
//!
//! Rows are bytes, with the codec and the merge of the real stores. One store may have several
//! owners; it then never loses its power, as a distributed store does not.

use crate::random::Random;
use kidoku_core::fact::Fact;
use kidoku_store::key::{Key, parse};
use kidoku_store::value::{
    Row, decode_row, encode_row, merge_damaged, merge_value, rest_of_damaged,
};
use kidoku_store::{Applied, Entry, Extent, KeyRow, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often what fails, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFaults {
    /// A group is merged in part only, or a removal or a named value is refused.
    pub write: u64,
    /// A sync fails, and what was not synced may be gone.
    pub sync: u64,
    /// A read fails.
    pub read: u64,
}

/// How often each fault has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreTotals {
    /// Writes that failed.
    pub failed_writes: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// Rows that a crash took back.
    pub lost_rows: u64,
    /// Rows that have rotted.
    pub rotten_rows: u64,
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug)]
struct State {
    /// Named values are rows too, under a key no row has.
    rows: Rows,
    /// What is really there of rows that have rotted; `rows` has what they should be.
    rotten: Rows,
    /// What was there, or not, before each change since the last sync.
    before: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Everything since the last sync is lost, or nothing.
    rosters_whole: bool,
    /// It has several owners, and takes nothing back that one of them may have seen.
    shared: bool,
    faults: StoreFaults,
    random: Random,
    totals: StoreTotals,
}

/// See the module.
#[derive(Debug)]
pub struct SimStore(Mutex<State>);

/// Above every key of a row.
const META: u8 = 0xff;

impl State {
    fn fails(&mut self, rate: impl Fn(&StoreFaults) -> u64) -> bool {
        let per_mille = rate(&self.faults);
        per_mille > 0 && self.random.below(1_000) < per_mille
    }

    fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        let old = match value {
            Some(value) => self.rows.insert(key.to_vec(), value),
            None => self.rows.remove(key),
        };
        self.before.push((key.to_vec(), old));
    }

    /// Takes back some of the changes since the last sync; the others stay as uncertain as before.
    fn lose(&mut self) {
        let mut from = self.random.place(self.before.len() + 1);
        let in_order = self.rosters_whole || self.random.chance(50);
        if self.rosters_whole {
            from = 0;
        }
        let mut chosen: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        let mut kept = Vec::new();
        for (at, (key, old)) in std::mem::take(&mut self.before)
            .into_iter()
            .enumerate()
            .rev()
        {
            let known = chosen.get(&key).copied();
            let lost = match known {
                Some(lost) => lost,
                None => {
                    let lost = self.random.chance(50);
                    chosen.insert(key.clone(), lost);
                    lost
                }
            };
            if if in_order { at < from } else { !lost } {
                kept.push((key, old));
                continue;
            }
            self.totals.lost_rows += 1;
            match old {
                Some(old) => self.rows.insert(key, old),
                None => self.rows.remove(&key),
            };
        }
        kept.reverse();
        self.before = kept;
        let rows = &self.rows;
        self.rotten.retain(|key, _| rows.contains_key(key));
    }

    /// What is there under a key.
    fn bytes<'a>(&'a self, key: &[u8], sound: &'a [u8]) -> &'a [u8] {
        self.rotten.get(key).map_or(sound, Vec::as_slice)
    }

    /// Merges into a row that has rotted: as the real stores do it, and as it should have been.
    fn merge_rotten(&mut self, key: &[u8], row: &Row) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(found) = self.rotten.get(key) else {
            return Ok(None);
        };
        let merged =
            merge_value(key, found, row).unwrap_or_else(|_| merge_damaged(key, found, row));
        if let Some(bytes) = merged {
            self.rotten.insert(key.to_vec(), bytes);
        }
        let sound = self.rows.get(key).map(|sound| merge_value(key, sound, row));
        sound
            .transpose()
            .map(Option::flatten)
            .map_err(|reason| StoreError::Corrupt {
                key: key.to_vec(),
                extent: Extent::Row,
                reason,
            })
    }

    fn refuse_write(&mut self) -> Result<(), StoreError> {
        if self.fails(|faults| faults.write) {
            self.totals.failed_writes += 1;
            return Err(StoreError::Closed);
        }
        Ok(())
    }

    fn refuse_read(&mut self) -> Result<(), StoreError> {
        if self.fails(|faults| faults.read) {
            self.totals.failed_reads += 1;
            return Err(StoreError::Closed);
        }
        Ok(())
    }
}

impl SimStore {
    /// An empty store.
    pub fn new() -> Self {
        Self(Mutex::new(State {
            rows: Rows::new(),
            rotten: Rows::new(),
            before: Vec::new(),
            rosters_whole: false,
            shared: false,
            faults: StoreFaults::default(),
            random: Random::new(0),
            totals: StoreTotals::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of what is driven ends the run, so nobody sees a half-changed state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how often what fails from now on.
    pub fn set_faults(&self, faults: StoreFaults) {
        self.state().faults = faults;
    }

    /// Decides the faults to come.
    pub fn reseed(&self, seed: u64) {
        self.state().random = Random::new(seed);
    }

    /// A crash takes back everything since the last sync, or nothing, so that a row and its roster
    /// entry stay together: where the log rots too, nothing would bring the one back that is missing.
    pub fn lose_all_or_nothing(&self) {
        self.state().rosters_whole = true;
    }

    /// It has several owners: a failed sync takes nothing back, because no owner would know of what
    /// another one has to write again.
    pub fn share(&self) {
        self.state().shared = true;
    }

    /// How often each fault has happened.
    pub fn totals(&self) -> StoreTotals {
        self.state().totals
    }

    /// The power goes: of the rows written since the last sync, any may be as they were before.
    pub fn cut_power(&self) {
        let mut state = self.state();
        if state.random.chance(70) {
            state.lose();
        }
        state.before.clear();
    }

    /// A bit of some row flips, for good.
    pub fn rot(&self, random: &mut Random) {
        let mut state = self.state();
        let keys: Vec<&Vec<u8>> = state.rows.keys().filter(|key| !is_meta(key)).collect();
        let Some(key) = random.pick(&keys).map(|key| (*key).clone()) else {
            return;
        };
        if state.rotten.len() >= ROTTEN_ROWS_MAX || state.rotten.contains_key(&key) {
            return;
        }
        let mut bytes = state.rows.get(&key).cloned().unwrap_or_default();
        let bit = random.place(bytes.len() * 8);
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        state.totals.rotten_rows += 1;
        state.rotten.insert(key, bytes);
    }

    /// The keys of the rows that have rotted.
    pub fn rotten_keys(&self) -> Vec<Vec<u8>> {
        self.state().rotten.keys().cloned().collect()
    }

    /// Every fact it should hold, merged by key.
    ///
    /// # Errors
    /// A row that can not be read back as it was written.
    pub fn facts(&self) -> Result<Vec<Fact>, String> {
        let state = self.state();
        let mut facts = Vec::new();
        for (key, bytes) in state.rows.iter().filter(|(key, _)| !is_meta(key)) {
            let unreadable = |reason| format!("a stored row does not decode: {reason:?}");
            let (Key::Fact(parts), Row::Fact(value)) = (
                parse(key).map_err(unreadable)?,
                decode_row(key, bytes).map_err(unreadable)?,
            ) else {
                continue;
            };
            facts.push(Fact::join(parts, value).map_err(unreadable)?);
        }
        Ok(facts)
    }
}

impl Default for SimStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Rows that rot in one world at most: with many of them hardly anybody is left whom they must not
/// touch.
const ROTTEN_ROWS_MAX: usize = 2;

fn is_meta(key: &[u8]) -> bool {
    key.first() == Some(&META)
}

fn meta_key(name: &str) -> Vec<u8> {
    let mut key = vec![META];
    key.extend_from_slice(name.as_bytes());
    key
}

fn row_of(key: &[u8], bytes: &[u8]) -> Result<Row, StoreError> {
    // What it gives back is what it was given, or has rotted.
    decode_row(key, bytes).map_err(|reason| StoreError::Corrupt {
        key: key.to_vec(),
        extent: Extent::Row,
        reason,
    })
}

impl Store for SimStore {
    fn apply(&self, group: &[Entry<'_>]) -> Result<Applied, StoreError> {
        let mut state = self.state();
        let fails = !group.is_empty() && state.fails(|faults| faults.write);
        let kept = if fails {
            state.random.place(group.len())
        } else {
            group.len()
        };
        let mut applied = Applied::default();
        for Entry { key, row } in group.iter().take(kept) {
            if let Some(found) = state.rotten.get(&**key) {
                applied.corrupt += u64::from(rest_of_damaged(key, found).is_none());
                let sound = state.merge_rotten(key, row)?;
                if let Some(bytes) = sound {
                    state.put(key, Some(bytes));
                }
                continue;
            }
            let merged = match state.rows.get(&**key) {
                Some(stored) => {
                    merge_value(key, stored, row).map_err(|reason| StoreError::Corrupt {
                        key: key.to_vec(),
                        extent: Extent::Row,
                        reason,
                    })?
                }
                None => Some(encode_row(key, row)),
            };
            if let Some(bytes) = merged {
                state.put(key, Some(bytes));
                applied.written += 1;
            }
        }
        if fails {
            state.totals.failed_writes += 1;
            return Err(StoreError::Closed);
        }
        Ok(applied)
    }

    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut state = self.state();
        state.refuse_write()?;
        for key in keys {
            state.put(key, None);
            state.rotten.remove(key);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.fails(|faults| faults.sync) {
            state.totals.failed_syncs += 1;
            // As a store that had to be opened again: what is gone can not be read either.
            if !state.shared && state.random.chance(40) {
                state.lose();
            }
            return Err(StoreError::Closed);
        }
        state.before.clear();
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let mut state = self.state();
        state.refuse_read()?;
        let bytes = state.rows.get(key);
        let bytes = bytes.map(|bytes| state.bytes(key, bytes));
        bytes.map(|bytes| row_of(key, bytes)).transpose()
    }

    fn range(&self, from: &[u8], end: &[u8], limit: usize) -> Result<Vec<KeyRow>, StoreError> {
        let mut state = self.state();
        state.refuse_read()?;
        // A tree panics on a range that ends before it begins.
        let end = end.max(from).to_vec();
        let rows = state.rows.range(from.to_vec()..end);
        rows.filter(|(key, _)| !is_meta(key))
            .take(limit)
            .map(|(key, bytes)| Ok((key.clone(), row_of(key, state.bytes(key, bytes))?)))
            .collect()
    }

    fn meta_get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut state = self.state();
        state.refuse_read()?;
        Ok(state.rows.get(&meta_key(name)).cloned())
    }

    fn meta_put(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut state = self.state();
        state.refuse_write()?;
        state.put(&meta_key(name), Some(value.to_vec()));
        Ok(())
    }
}
