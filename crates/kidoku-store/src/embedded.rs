//! The embedded store: fjall, an LSM tree, in a directory.
//!
//! One keyspace for rows, one for the few named values. fjall's own journal is written in batches
//! and synced once per checkpoint, by [`Store::sync`]: until then the log is the truth.

use crate::value::{Row, decode_row, encode_row, merge_value};
use crate::{Applied, Entry, KeyRow, Store, StoreError};
use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The version of keys and values, in the named value `format`. Another version is refused.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT: &str = "format";

/// Bytes of an uncompressed block. Loads read ranges of small rows, so twice fjall's default.
const BLOCK_BYTES: u32 = 8 * 1024;

/// Bytes of fjall's own memtable. Groups come merged, so a small one serves.
const MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;

/// Bytes of fjall's journal before it forces a flush.
const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How the embedded store is set up.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedOptions {
    /// Bytes of the cache of uncompressed blocks. Default 64 MiB.
    pub cache_bytes: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}

/// A store in a directory.
pub struct Embedded {
    db: Database,
    rows: Keyspace,
    meta: Keyspace,
    /// Held by whoever writes: a merge reads first, and must not miss another writer's row.
    writer: Mutex<()>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store in `path`, or makes an empty one.
    ///
    /// # Errors
    /// When the directory can't be made, read or locked, is damaged, or is of another version.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let db = Database::builder(path)
            .cache_size(options.cache_bytes)
            .manual_journal_persist(true)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .open()?;
        let rows = db.keyspace("rows", || {
            KeyspaceCreateOptions::default()
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                .max_memtable_size(MEMTABLE_BYTES)
        })?;
        let meta = db.keyspace("meta", KeyspaceCreateOptions::default)?;
        let store = Self {
            db,
            rows,
            meta,
            writer: Mutex::new(()),
        };
        store.check_format()?;
        Ok(store)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let expected = FORMAT_VERSION.to_be_bytes();
        match self.meta_get(FORMAT)? {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(StoreError::Format {
                found: found.escape_ascii().to_string(),
            }),
            None if self.rows.is_empty()? => {
                self.meta_put(FORMAT, &expected)?;
                self.sync()
            }
            None => Err(StoreError::Format {
                found: "none".to_owned(),
            }),
        }
    }

    fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes on disk, fjall's journal included.
    ///
    /// # Errors
    /// When the journal's size can't be read.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.db.disk_space()?)
    }
}

impl Store for Embedded {
    fn apply(&self, group: &[Entry<'_>]) -> Result<Applied, StoreError> {
        let _writer = self.writer();
        let mut applied = Applied::default();
        let mut batch = self.db.batch();
        for Entry { key, row } in group {
            // For a new key this touches the filters in memory and, nearly always, no block.
            let merged = match self.rows.get(key)? {
                Some(stored) => merge_value(key, &stored, row).unwrap_or_else(|_| {
                    applied.corrupt += 1;
                    Some(encode_row(key, row))
                }),
                None => Some(encode_row(key, row)),
            };
            if let Some(bytes) = merged {
                batch.insert(&self.rows, *key, bytes);
                applied.written += 1;
            }
        }
        batch.commit()?;
        Ok(applied)
    }

    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        let _writer = self.writer();
        let mut batch = self.db.batch();
        for key in keys {
            batch.remove(&self.rows, key.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let Some(bytes) = self.rows.get(key)? else {
            return Ok(None);
        };
        decode_row(key, &bytes)
            .map(Some)
            .map_err(|reason| StoreError::corrupt(key, reason))
    }

    fn range(&self, from: &[u8], end: &[u8], limit: usize) -> Result<Vec<KeyRow>, StoreError> {
        if from >= end {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for guard in self.rows.range(from..end).take(limit) {
            let (key, bytes) = guard.into_inner()?;
            match decode_row(&key, &bytes) {
                Ok(row) => rows.push((key.to_vec(), row)),
                Err(reason) => return Err(StoreError::corrupt(&key, reason)),
            }
        }
        Ok(rows)
    }

    fn meta_get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.meta.get(name)?.map(|value| value.to_vec()))
    }

    fn meta_put(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let _writer = self.writer();
        Ok(self.meta.insert(name, value)?)
    }
}
