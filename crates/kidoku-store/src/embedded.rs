//! The embedded store: fjall, an LSM tree, in a directory.
//!
//! One keyspace for rows, one for the few named values. A flush writes to fjall's own journal, or many
//! rows to tables, see [`EmbeddedOptions::table_rows_min`]. The journal is synced once per checkpoint, by
//! [`Store::sync`], and never read again by another process: the log is the truth until
//! [`Store::settle`] has put everything into tables and made their guards.

mod engine;
mod journal;
mod keeper;
mod rebuild;
mod repair;
mod staged;
mod stored;
#[cfg(test)]
mod tests;

use crate::guard::{Guards, Look};
use crate::key::KeyRange;
use crate::pace::STEPS_TO_MERGE;
use crate::rot::Rot;
use crate::value::{Row, decode_row, encode_row, merge_damaged, merge_value, rest_of_damaged};
use crate::{Applied, Entry, Extent, KeyRow, Pace, Store, StoreError};
use engine::Engine;
use fjall::{PersistMode, UserValue};
use keeper::Keeper;
use kidoku_core::fact::codec::DecodeError;
pub use repair::{Keep, Repair};
use staged::Staged;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::{fmt, io};
use stored::Stored;

/// The version of keys and values, in the named value `format`. Another version is refused.
pub const FORMAT_VERSION: u32 = 2;

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
    /// Rows of a flush from which on they are written to tables of their own. Default 65,536.
    pub table_rows_min: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 * 1024 * 1024,
            table_rows_min: 65_536,
        }
    }
}

/// Stretches of keys of which rows may be missing.
type Lost = Vec<KeyRange>;

/// What becomes of the engine's journal at opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Journal {
    Read,
    Empty,
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
    /// What a flush has merged and not yet written.
    staged: Mutex<Staged>,
    /// A write failed; the database takes no other before it is opened again.
    has_failed: AtomicBool,
    reopened: AtomicU64,
    lost: RwLock<Lost>,
    /// Last, so that it sees the files as the engine leaves them.
    keeper: Keeper,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store in `path`, or makes an empty one, with all that was synced. Rotten blocks are
    /// given back before. A store that does not open for rot is set aside, and built again from what
    /// can be read of it.
    ///
    /// # Errors
    /// When the directory can't be made, read, written or locked, or is of another version.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        Self::open_with(path, options, Journal::Read)
    }

    /// Opens the store as [`Self::open`] does, with all that was settled: whoever does so has the
    /// rest in the log. The engine's journal, in which one rotten bit can cost anything, is not read.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_settled(path: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        Self::open_with(path, options, Journal::Empty)
    }

    /// Sets a store aside that opens and can not be read everywhere, and builds it again from what can
    /// be read. The old files stay beside it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_rebuilt(path: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let guards = Guards::of(path, Rot::default());
        rebuild::rebuild(path, options, guards.dir(), &[])
    }

    fn open_with(
        path: &Path,
        options: EmbeddedOptions,
        journal: Journal,
    ) -> Result<Self, StoreError> {
        let rot = Rot::default();
        let guards = Guards::of(path, rot.clone());
        // A store that was never guarded was never settled either: its journal counts.
        let was_guarded = guards.dir().exists();
        if was_guarded && journal == Journal::Empty {
            journal::empty(path)?;
        }
        if !guards.before_open(Look::Ends)? {
            return rebuild::rebuild(path, options, guards.dir(), &rot.report().notes);
        }
        let mut opened = Engine::open(path, options.cache_bytes);
        if opened.as_ref().is_err_and(is_rot) {
            guards.mend_all()?;
            opened = Engine::open(path, options.cache_bytes);
        }
        let engine = match opened {
            Err(error) if is_rot(&error) => {
                let mut notes = rot.report().notes;
                notes.push(format!("the store does not open: {error}"));
                return rebuild::rebuild(path, options, guards.dir(), &notes);
            }
            opened => opened?,
        };
        let store = Self {
            path: path.to_path_buf(),
            options,
            engine: RwLock::new(Some(engine)),
            writer: Mutex::new(()),
            staged: Mutex::default(),
            has_failed: AtomicBool::new(false),
            reopened: AtomicU64::new(0),
            lost: RwLock::default(),
            keeper: Keeper::new(guards, rot.clone()),
        };
        let formatted = store.check_format();
        if let Err(StoreError::Engine(error)) = &formatted
            && is_rot(error)
        {
            let mut notes = rot.report().notes;
            notes.push(format!("the store does not say its format: {error}"));
            let guards = store.keeper.guards().dir().to_path_buf();
            drop(store);
            return rebuild::rebuild(path, options, &guards, &notes);
        }
        formatted?;
        store.read_lost()?;
        store.note_losses()?;
        if !was_guarded {
            store.settle_files()?;
        }
        store.keeper.guards().after_open()?;
        store.keeper.start()?;
        Ok(store)
    }

    /// The highest lsn with which the store was settled: of a log that reaches so far, what comes up
    /// to there need not be replayed. 0 = it is not known.
    pub fn settled_lsn(&self) -> u64 {
        self.keeper.guards().settled()
    }

    /// Forgets it: the log is another one.
    ///
    /// # Errors
    /// When that can't be written.
    pub fn forget_settled_lsn(&self) -> Result<(), StoreError> {
        Ok(self.keeper.guards().write_settled(0)?)
    }

    fn settle_files(&self) -> Result<(), StoreError> {
        self.write(|engine| Ok(engine.write_tables()?))?;
        Ok(self.keeper.guards().renew()?)
    }

    /// What was found rotten, and what became of it.
    pub fn rot(&self) -> Rot {
        self.keeper.rot()
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
                // Guards of an earlier store in this place say nothing of this one.
                self.forget_settled_lsn()?;
                self.meta_put(FORMAT, &expected)?;
                self.sync()?;
                // From here on the engine's journal is not needed to open the store.
                self.settle_files()
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
        if !self.keeper.guards().before_open(Look::Ends)? {
            // The next start builds it again.
            return Err(StoreError::NotReopened);
        }
        *engine = Some(Engine::open(&self.path, self.options.cache_bytes)?);
        self.keeper.guards().after_open()?;
        self.has_failed.store(false, Ordering::Release);
        self.reopened.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Reads from the engine, and when it finds a block rotten, once more after it was given back.
    fn read_sound<T>(
        &self,
        read: impl Fn(&Engine) -> fjall::Result<T>,
    ) -> Result<fjall::Result<T>, StoreError> {
        let before = self.keeper.blocks_mended();
        self.read(|engine| {
            Ok(match read(engine) {
                Err(error) if is_rot(&error) && self.keeper.mend_now(before) => read(engine),
                result => result,
            })
        })
    }

    /// Rows of these stretches may be missing: reading there is an error.
    fn check_lost(&self, from: &[u8], end: Option<&[u8]>) -> Result<(), StoreError> {
        let lost = self.lost.read().unwrap_or_else(PoisonError::into_inner);
        let hit = lost.iter().find(|(lost_from, lost_end)| {
            let begins_before = end.map_or(&**lost_from <= from, |end| &**lost_from < end);
            begins_before && from < &**lost_end
        });
        match hit {
            Some((lost_from, lost_end)) => Err(StoreError::corrupt_from(
                from.max(lost_from),
                Extent::UpTo(lost_end.clone()),
            )),
            None => Ok(()),
        }
    }

    /// Writes down that a row is damaged.
    fn damaged(&self, key: &[u8], reason: DecodeError) -> StoreError {
        let error = StoreError::corrupt(key, reason);
        let text = format!("{error}; its owner gets an error until it is repaired");
        self.keeper
            .rot()
            .note_once(|report| report.rows_damaged += 1, text);
        error
    }

    /// What can not be read for rot is a damaged row, which stops nothing that does not need it.
    fn rotten(&self, key: &[u8], extent: Extent, error: fjall::Error) -> StoreError {
        if !is_rot(&error) {
            return error.into();
        }
        let error = StoreError::corrupt_from(key, extent);
        let text = format!("{error}; their owners get errors until it is repaired");
        self.keeper
            .rot()
            .note_once(|report| report.rows_damaged += 1, text);
        error
    }

    /// The first key of a range from which on it can not be read.
    fn unreadable_from(&self, from: &[u8], end: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.read(|engine| {
            let mut next = from.to_vec();
            for guard in engine.rows.range(from..end) {
                let Ok((key, _)) = guard.into_inner() else {
                    break;
                };
                next = key.to_vec();
                next.push(0);
            }
            Ok(next)
        })
    }

    /// What is to be stored under a key once a row is merged in; `None` = what is there. True = the
    /// row there was found damaged.
    fn merged(
        &self,
        key: &[u8],
        row: &Row,
        mut stored: impl FnMut() -> fjall::Result<Option<UserValue>>,
    ) -> Result<(Option<Vec<u8>>, bool), StoreError> {
        let before = self.keeper.blocks_mended();
        let stored = match stored() {
            Err(error) if is_rot(&error) && self.keeper.mend_now(before) => stored(),
            stored => stored,
        };
        let (stored, reason) = match stored {
            Ok(None) => return Ok((Some(encode_row(key, row)), false)),
            Ok(Some(stored)) => match merge_value(key, &stored, row) {
                Ok(merged) => return Ok((merged, false)),
                Err(reason) => (stored.to_vec(), reason),
            },
            Err(error) if is_rot(&error) => (Vec::new(), DecodeError::Hash),
            Err(error) => return Err(error.into()),
        };
        self.damaged(key, reason);
        let is_new = rest_of_damaged(key, &stored).is_none();
        Ok((merge_damaged(key, &stored, row), is_new))
    }

    fn staged(&self) -> MutexGuard<'_, Staged> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Merges the rows of a group into what is stored, and stages those that this changes.
    fn merge_group(
        &self,
        engine: &Engine,
        group: &[Entry<'_>],
        staged: &mut Staged,
        pace: &Pace<'_>,
    ) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        let mut stored = Stored::new(engine, group);
        for (index, Entry { key, row }) in group.iter().enumerate() {
            let (merged, is_damaged) = self.merged(key, row, || stored.get(index, key))?;
            applied.corrupt += u64::from(is_damaged);
            if let Some(bytes) = merged {
                staged.push(key, &bytes);
                applied.written += 1;
            }
            pace.did(STEPS_TO_MERGE);
        }
        Ok(applied)
    }

    /// Bytes on disk, fjall's journal included.
    ///
    /// # Errors
    /// When the journal's size can't be read.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.read(|engine| Ok(engine.db.disk_space()?))
    }
}

/// Whether the engine says that bytes are not what it wrote.
fn is_rot(error: &fjall::Error) -> bool {
    match error {
        fjall::Error::Storage(fjall::LsmError::Io(error)) | fjall::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
        ),
        fjall::Error::Storage(_) => true,
        _ => false,
    }
}

impl Store for Embedded {
    fn begin(&self) -> Result<(), StoreError> {
        *self.staged() = Staged::default();
        self.write(|_| Ok(()))
    }

    fn apply(&self, group: &[Entry<'_>]) -> Result<Applied, StoreError> {
        self.write(|engine| {
            let (mut staged, pace) = (Staged::default(), Pace::unhindered());
            let applied = self.merge_group(engine, group, &mut staged, &pace)?;
            staged.write(engine, self.options.table_rows_min, &pace)?;
            Ok(applied)
        })
    }

    fn stage(&self, group: &[Entry<'_>], pace: &Pace<'_>) -> Result<Applied, StoreError> {
        let applied =
            self.write(|engine| self.merge_group(engine, group, &mut self.staged(), pace))?;
        if self.staged().is_full() {
            self.write_staged(pace)?;
        }
        Ok(applied)
    }

    fn write_staged(&self, pace: &Pace<'_>) -> Result<(), StoreError> {
        let staged = std::mem::take(&mut *self.staged());
        self.write(|engine| Ok(staged.write(engine, self.options.table_rows_min, pace)?))
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

    fn settle(&self, lsn: u64) -> Result<(), StoreError> {
        self.settle_files()?;
        Ok(self.keeper.guards().write_settled(lsn)?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        self.check_lost(key, None)?;
        let found = self.read_sound(|engine| engine.rows.get(key))?;
        let Some(bytes) = found.map_err(|error| self.rotten(key, Extent::Row, error))? else {
            return Ok(None);
        };
        decode_row(key, &bytes)
            .map(Some)
            .map_err(|reason| self.damaged(key, reason))
    }

    fn range(&self, from: &[u8], end: &[u8], limit: usize) -> Result<Vec<KeyRow>, StoreError> {
        if from >= end {
            return Ok(Vec::new());
        }
        self.check_lost(from, Some(end))?;
        let found = self.read_sound(|engine| {
            let guards = engine.rows.range(from..end).take(limit);
            guards
                .map(fjall::Guard::into_inner)
                .collect::<fjall::Result<Vec<_>>>()
        })?;
        let found = match found {
            Err(error) if is_rot(&error) => {
                let from = self.unreadable_from(from, end)?;
                return Err(self.rotten(&from, Extent::Unknown, error));
            }
            found => found?,
        };
        let mut rows = Vec::new();
        for (key, bytes) in found {
            match decode_row(&key, &bytes) {
                Ok(row) => rows.push((key.to_vec(), row)),
                Err(reason) => return Err(self.damaged(&key, reason)),
            }
        }
        Ok(rows)
    }

    fn meta_get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.read_sound(|engine| engine.meta.get(name))??;
        Ok(value.map(|value| value.to_vec()))
    }

    fn meta_put(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(|engine| Ok(engine.meta.insert(name, value)?))
    }
}
