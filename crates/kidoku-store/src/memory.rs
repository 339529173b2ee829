//! A store in memory, for tests and for servers that keep nothing.

use crate::value::{Row, decode_row, encode_row, merge_damaged, merge_value, rest_of_damaged};
use crate::{Applied, Entry, KeyRow, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows as bytes in a sorted map: the same codec and merge as on disk.
#[derive(Debug, Default)]
pub struct Memory {
    maps: Mutex<Maps>,
}

#[derive(Debug, Default)]
struct Maps {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    meta: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Flips a bit in every row.
    #[cfg(test)]
    pub(crate) fn damage(&self) {
        for bytes in self.maps().rows.values_mut() {
            bytes[0] ^= 0x40;
        }
    }

    fn maps(&self) -> MutexGuard<'_, Maps> {
        // Each change below is one map operation, so a poisoned lock is still whole.
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn apply(&self, group: &[Entry<'_>]) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        let rows = &mut self.maps().rows;
        for Entry { key, row } in group {
            let merged = match rows.get(&**key) {
                Some(stored) => merge_value(key, stored, row).unwrap_or_else(|_| {
                    applied.corrupt += u64::from(rest_of_damaged(key, stored).is_none());
                    merge_damaged(key, stored, row)
                }),
                None => Some(encode_row(key, row)),
            };
            if let Some(bytes) = merged {
                rows.insert(key.to_vec(), bytes);
                applied.written += 1;
            }
        }
        Ok(applied)
    }

    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        let rows = &mut self.maps().rows;
        for key in keys {
            rows.remove(key);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let maps = self.maps();
        let row = maps
            .rows
            .get(key)
            .map(|bytes| decode_row(key, bytes))
            .transpose();
        row.map_err(|reason| StoreError::corrupt(key, reason))
    }

    fn range(&self, from: &[u8], end: &[u8], limit: usize) -> Result<Vec<KeyRow>, StoreError> {
        // A tree panics on a range that ends before it begins.
        let end = end.max(from).to_vec();
        let maps = self.maps();
        maps.rows
            .range(from.to_vec()..end)
            .take(limit)
            .map(|(key, bytes)| match decode_row(key, bytes) {
                Ok(row) => Ok((key.clone(), row)),
                Err(reason) => Err(StoreError::corrupt(key, reason)),
            })
            .collect()
    }

    fn meta_get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.maps().meta.get(name).cloned())
    }

    fn meta_put(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.maps().meta.insert(name.to_owned(), value.to_vec());
        Ok(())
    }
}
