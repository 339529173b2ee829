//! The embedded store: fjall, an LSM tree, in a directory.
//!
//! One keyspace for rows, one for the few named values. fjall's own journal is written in batches
//! and synced once per checkpoint, by [`Store::sync`]: until then the log is the truth.

mod engine;

use crate::value::{Row, decode_row, encode_row, merge_value};
use crate::{Applied, Entry, KeyRow, Store, StoreError};
use engine::Engine;
use fjall::PersistMode;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

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
///
/// After a failed write or sync it opens its database again by itself, at the next write for which
/// the disk has room. What was written since the last sync has to be written once more; reads go on
/// meanwhile, but for the moment of opening.
pub struct Embedded {
    path: PathBuf,
    options: EmbeddedOptions,
    /// `None` = it was closed after a failure and could not be opened yet.
    engine: RwLock<Option<Engine>>,
    /// Held by whoever writes: a merge reads first, and must not miss another writer's row.
    writer: Mutex<()>,
    /// A write failed; the database takes no other before it is opened again.
    has_failed: AtomicBool,
    reopened: AtomicU64,
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
        let store = Self {
            path: path.to_path_buf(),
            options,
            engine: RwLock::new(Some(Engine::open(path, options.cache_bytes)?)),
            writer: Mutex::new(()),
            has_failed: AtomicBool::new(false),
            reopened: AtomicU64::new(0),
        };
        store.check_format()?;
        Ok(store)
    }

    /// How many times the database was opened again after a failure.
    pub fn reopened(&self) -> u64 {
        self.reopened.load(Ordering::Relaxed)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let expected = FORMAT_VERSION.to_be_bytes();
        match self.meta_get(FORMAT)? {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(StoreError::Format {
                found: found.escape_ascii().to_string(),
            }),
            None if self.is_empty()? => {
                self.meta_put(FORMAT, &expected)?;
                self.sync()
            }
            None => Err(StoreError::Format {
                found: "none".to_owned(),
            }),
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        read(engine.as_ref().ok_or(StoreError::NotReopened)?)
    }

    fn write<T>(
        &self,
        write: impl FnOnce(&Engine) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_failed.load(Ordering::Acquire) {
            self.reopen()?;
        }
        let result = self.read(write);
        if let Err(StoreError::Engine(_)) = &result {
            self.has_failed.store(true, Ordering::Release);
        }
        result
    }

    /// Opens the database again. While the disk takes nothing the old one stays, for those who read.
    fn reopen(&self) -> Result<(), StoreError> {
        engine::probe(&self.path).map_err(fjall::Error::Io)?;
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        // One process can not open it twice, so the old one goes first.
        *engine = None;
        engine::begin_journal(&self.path).map_err(fjall::Error::Io)?;
        *engine = Some(Engine::open(&self.path, self.options.cache_bytes)?);
        self.has_failed.store(false, Ordering::Release);
        self.reopened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes on disk, fjall's journal included.
    ///
    /// # Errors
    /// When the journal's size can't be read.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.read(|engine| Ok(engine.db.disk_space()?))
    }
}

impl Store for Embedded {
    fn apply(&self, group: &[Entry<'_>]) -> Result<Applied, StoreError> {
        self.write(|engine| {
            engine.wait_for_room()?;
            let mut applied = Applied::default();
            let mut batch = engine.db.batch();
            for Entry { key, row } in group {
                // For a new key this touches the filters in memory and, nearly always, no block.
                let merged = match engine.rows.get(key)? {
                    Some(stored) => merge_value(key, &stored, row).unwrap_or_else(|_| {
                        applied.corrupt += 1;
                        Some(encode_row(key, row))
                    }),
                    None => Some(encode_row(key, row)),
                };
                if let Some(bytes) = merged {
                    batch.insert(&engine.rows, *key, bytes);
                    applied.written += 1;
                }
            }
            batch.commit()?;
            Ok(applied)
        })
    }

    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        self.write(|engine| {
            engine.wait_for_room()?;
            let mut batch = engine.db.batch();
            for key in keys {
                batch.remove(&engine.rows, key.as_slice());
            }
            Ok(batch.commit()?)
        })
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.write(|engine| Ok(engine.db.persist(PersistMode::SyncAll)?))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let Some(bytes) = self.read(|engine| Ok(engine.rows.get(key)?))? else {
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
        self.read(|engine| {
            let mut rows = Vec::new();
            for guard in engine.rows.range(from..end).take(limit) {
                let (key, bytes) = guard.into_inner()?;
                match decode_row(&key, &bytes) {
                    Ok(row) => rows.push((key.to_vec(), row)),
                    Err(reason) => return Err(StoreError::corrupt(&key, reason)),
                }
            }
            Ok(rows)
        })
    }

    fn meta_get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.read(|engine| Ok(engine.meta.get(name)?))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn meta_put(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(|engine| Ok(engine.meta.insert(name, value)?))
    }
}

#[cfg(test)]
mod tests {
    use super::{Embedded, EmbeddedOptions, Store};
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory that goes with the test.
    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("kidoku-embedded-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn journals(path: &std::path::Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".jnl"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn after_a_failed_write_the_store_opens_itself_with_a_journal_of_its_own() {
        let dir = Dir::new();
        let path = dir.0.join("store");
        let store = Embedded::open(&path, EmbeddedOptions::default()).unwrap();
        store.meta_put("before", b"1").unwrap();
        store.sync().unwrap();
        let old = journals(&path);
        store.has_failed.store(true, Ordering::Release);
        assert_eq!(store.meta_get("before").unwrap().unwrap(), b"1");
        assert_eq!(store.reopened(), 0, "reading opens nothing");
        for round in 1..4_u8 {
            store.has_failed.store(true, Ordering::Release);
            store.meta_put("after", &[round]).unwrap();
            store.sync().unwrap();
            assert_eq!(store.reopened(), u64::from(round));
            assert_eq!(store.meta_get("before").unwrap().unwrap(), b"1");
        }
        let new = journals(&path);
        assert!(new.last() > old.last(), "{new:?} after {old:?}");
        drop(store);
        let store = Embedded::open(&path, EmbeddedOptions::default()).unwrap();
        assert_eq!(store.meta_get("before").unwrap().unwrap(), b"1");
        assert_eq!(store.meta_get("after").unwrap().unwrap(), [3]);
    }

    #[test]
    fn while_the_disk_takes_nothing_the_store_can_still_be_read() {
        let dir = Dir::new();
        let path = dir.0.join("store");
        let store = Embedded::open(&path, EmbeddedOptions::default()).unwrap();
        store.meta_put("name", b"1").unwrap();
        store.sync().unwrap();
        store.has_failed.store(true, Ordering::Release);
        // A directory of the probe's name stands for a disk that takes no file.
        let obstacle = path.join("probe.tmp");
        fs::create_dir(&obstacle).unwrap();
        store.meta_put("name", b"2").unwrap_err();
        assert_eq!(store.meta_get("name").unwrap().unwrap(), b"1");
        fs::remove_dir(&obstacle).unwrap();
        store.meta_put("name", b"3").unwrap();
        assert_eq!(store.meta_get("name").unwrap().unwrap(), b"3");
    }
}
