//! The guards of all files of a store, in a directory beside it.

use super::{Guard, version};
use crate::rot::Rot;
use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

/// Ends the name of a guard's file.
const GUARD: &str = ".guard";

/// In the guards' directory from before the engine opens the store until its files are guarded as
/// they are then.
const OPENING: &str = "opening";

/// In the guards' directory: up to which lsn of the log the store was settled, and a hash of that.
const SETTLED: &str = "settled";

/// The engine's folder of keyspaces, each in a folder of its own.
const KEYSPACES: &str = "keyspaces";

/// The engine's file that says which version it is of, and what it says.
const VERSION: &str = "version";
const VERSION_BYTES: [u8; 4] = *b"FJL\x03";

/// What the engine's archives, which tables and versions are, end with, and how far before the end
/// it begins.
const ARCHIVE_MAGIC: &[u8; 4] = b"SFA!";
const ARCHIVE_END_BYTES: u64 = 38;

/// How much of each file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The first and the last 256 KiB: what the engine believes without asking. What lies between
    /// are blocks with checksums that it checks whenever it reads.
    Ends,
    /// Everything.
    All,
}

/// Tells a file from another of the same name. Rot leaves all of it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    bytes: u64,
    modified: (i64, i64),
    inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// How far the slow look at everything has come.
#[derive(Debug, Default)]
struct Walk {
    files: Vec<String>,
    stripe: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Guards {
    pub(super) store: PathBuf,
    dir: PathBuf,
    pub(super) rot: Rot,
    /// Files whose guards are as they should be.
    known: Mutex<HashMap<String, Identity>>,
    walk: Mutex<Walk>,
    /// Held by whoever makes guards: two would write the same file.
    maker: Mutex<()>,
    /// Held by whoever gives back a block: of two that find the same one rotten, the second finds it
    /// sound.
    mender: Mutex<()>,
}

/// A missing file is no error: the engine removes files at any time.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics half-way through a change, so a poisoned lock is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guards {
    /// Those of the store in a directory.
    pub(crate) fn of(store: &Path, rot: Rot) -> Self {
        let mut dir = store.as_os_str().to_owned();
        dir.push(".guards");
        Self {
            store: store.to_path_buf(),
            dir: PathBuf::from(dir),
            rot,
            known: Mutex::default(),
            mender: Mutex::default(),
            walk: Mutex::default(),
            maker: Mutex::default(),
        }
    }

    /// Where they lie.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn guard_path(&self, file: &str) -> PathBuf {
        self.dir.join(file.replace('/', "~") + GUARD)
    }

    /// The files of the store that are guarded, by their paths inside it. Journals are not: what is
    /// in them is in the log too.
    fn files(&self) -> io::Result<Vec<String>> {
        let mut files = Vec::new();
        let mut dirs = vec![String::new()];
        while let Some(dir) = dirs.pop() {
            let Some(entries) = if_there(fs::read_dir(self.store.join(&dir)))? else {
                continue;
            };
            for entry in entries {
                let entry = entry?;
                // The engine's names are plain ASCII.
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let path = if dir.is_empty() {
                    name.clone()
                } else {
                    format!("{dir}/{name}")
                };
                let Some(kind) = if_there(entry.file_type())? else {
                    continue;
                };
                if kind.is_dir() {
                    dirs.push(path);
                } else if !is_unguarded(&name) {
                    files.push(path);
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    pub(super) fn open(&self, file: &str) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        if_there(options.read(true).write(true).open(self.store.join(file)))
    }

    /// The guard of a file. A rotten one is removed, so that it is made again.
    pub(super) fn guard(&self, file: &str) -> io::Result<Option<Guard>> {
        let path = self.guard_path(file);
        let Some(bytes) = if_there(fs::read(&path))? else {
            return Ok(None);
        };
        let guard = Guard::decode(&bytes);
        if guard.is_none() {
            self.drop_bad_guard(file)?;
        }
        Ok(guard)
    }

    pub(super) fn drop_bad_guard(&self, file: &str) -> io::Result<()> {
        if_there(fs::remove_file(self.guard_path(file)))?;
        lock(&self.known).remove(file);
        self.rot.note(
            |report| report.guards_remade += 1,
            format!("the guard of store/{file} was rotten; the file is sound and gets a new one"),
        );
        Ok(())
    }

    /// Before the engine opens the store: looks at its files, and gives back what is rotten. False =
    /// what is left must not be shown to the engine, which believes it and may remove the rest.
    ///
    /// # Errors
    /// When a file can not be read or written.
    pub(crate) fn before_open(&self, look: Look) -> io::Result<bool> {
        fs::create_dir_all(&self.dir)?;
        let opening = self.dir.join(OPENING);
        if opening.exists() {
            // The last opening was broken off. The engine may have given the name of a file that it
            // removed to another one, which must not be changed back.
            self.drop_older_guards()?;
        }
        let files = self.files()?;
        for file in files.iter().filter(|file| version::is_written_once(file)) {
            self.look_at(file, look)?;
        }
        let currents = files.iter().filter(|file| version::is_current(file));
        let mut sound = self.has_its_parts(currents.clone().count())?;
        for file in currents {
            sound &= self.look_at_current(file)?;
        }
        File::create(opening)?.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        Ok(sound)
    }

    /// The engine takes a store without its version file for a new one, and removes a keyspace
    /// that has no current version.
    fn has_its_parts(&self, currents: usize) -> io::Result<bool> {
        let Some(entries) = if_there(fs::read_dir(self.store.join(KEYSPACES)))? else {
            return Ok(true);
        };
        let mut keyspaces = 0;
        for entry in entries {
            keyspaces += usize::from(entry?.file_type()?.is_dir());
        }
        let begun = if_there(fs::read(self.store.join(VERSION)))?;
        Ok(keyspaces == currents && begun.is_some_and(|bytes| bytes == VERSION_BYTES))
    }

    /// After the engine has opened the store.
    ///
    /// # Errors
    /// When a file can not be read or written.
    pub(crate) fn after_open(&self) -> io::Result<()> {
        self.renew()?;
        if_there(fs::remove_file(self.dir.join(OPENING)))?;
        Ok(())
    }

    fn drop_older_guards(&self) -> io::Result<()> {
        for file in self.files()? {
            let Some(guard) = if_there(fs::metadata(self.guard_path(&file)))? else {
                continue;
            };
            let Some(guarded) = if_there(fs::metadata(self.store.join(&file)))? else {
                continue;
            };
            if guarded.modified()? > guard.modified()? {
                if_there(fs::remove_file(self.guard_path(&file)))?;
            }
        }
        Ok(())
    }

    /// Looks at every file whose guard is sound, and gives back what is rotten. Tells how many
    /// blocks that was.
    ///
    /// # Errors
    /// When a file can not be read or written.
    pub(crate) fn mend_all(&self) -> io::Result<u64> {
        let mut mended = 0;
        for file in self.files()? {
            if version::is_written_once(&file) && self.is_known(&file)? {
                mended += self.look_at(&file, Look::All)?;
            }
        }
        Ok(mended)
    }

    fn is_known(&self, file: &str) -> io::Result<bool> {
        let metadata = if_there(fs::metadata(self.store.join(file)))?;
        let known = lock(&self.known).get(file).copied();
        Ok(known.is_some() && known == metadata.as_ref().map(Identity::of))
    }

    /// Tells how many blocks it gave back.
    fn look_at(&self, file: &str, look: Look) -> io::Result<u64> {
        let (Some(guard), Some(opened)) = (self.guard(file)?, self.open(file)?) else {
            return Ok(0);
        };
        let metadata = opened.metadata()?;
        if metadata.len() > guard.file_bytes() {
            // Of an earlier file of this name: they only grow while they are written.
            if_there(fs::remove_file(self.guard_path(file)))?;
            return Ok(0);
        }
        let last = guard.stripes().saturating_sub(1);
        let mut mended = 0;
        for stripe in 0..guard.stripes() {
            if look == Look::All || stripe == 0 || stripe == last {
                mended += self.mend_stripe(file, &opened, &guard, stripe)?;
            }
        }
        if self.guard_path(file).exists() {
            self.note_known(file, &opened)?;
        }
        Ok(mended)
    }

    /// Notes that the guard of a file is as it should be.
    pub(super) fn note_known(&self, file: &str, opened: &File) -> io::Result<()> {
        let identity = Identity::of(&opened.metadata()?);
        lock(&self.known).insert(file.to_owned(), identity);
        Ok(())
    }

    fn mend_stripe(
        &self,
        file: &str,
        opened: &File,
        guard: &Guard,
        stripe: usize,
    ) -> io::Result<u64> {
        // Until it is counted, so that whoever comes later and finds nothing rotten knows why.
        let _mender = lock(&self.mender);
        let mended = guard.mend_stripe(opened, stripe)?;
        if mended.blocks > 0 {
            self.rot.note(
                |report| report.blocks_mended += mended.blocks,
                format!(
                    "store/{file} had a rotten block (stripe {stripe}), which was given back; \
                     nothing is lost"
                ),
            );
        }
        if mended.lost > 0 {
            self.rot.note_once(
                |report| report.blocks_lost += mended.lost,
                format!(
                    "store/{file} has {} rotten blocks in stripe {stripe}, too many to give back",
                    mended.lost
                ),
            );
        }
        if mended.guard_is_bad {
            self.drop_bad_guard(file)?;
        }
        Ok(mended.blocks)
    }

    /// Makes the guards of files that are new, and removes those of files that are gone.
    ///
    /// # Errors
    /// When a file can not be read or written.
    pub(crate) fn renew(&self) -> io::Result<()> {
        let _maker = lock(&self.maker);
        let files = self.files()?;
        let mut changed = false;
        for file in &files {
            if !self.is_known(file)? {
                changed |= self.make(file)?;
            }
        }
        let wanted: Vec<PathBuf> = files.iter().map(|file| self.guard_path(file)).collect();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let is_guard = path.to_string_lossy().ends_with(GUARD);
            if is_guard && !wanted.contains(&path) {
                if_there(fs::remove_file(&path))?;
                changed = true;
            }
        }
        lock(&self.known).retain(|file, _| files.binary_search(file).is_ok());
        if changed {
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }

    /// Up to which lsn the store was settled; 0 = not known. A rotten one is not believed, and told.
    pub(crate) fn settled(&self) -> u64 {
        let Ok(bytes) = fs::read(self.dir.join(SETTLED)) else {
            return 0;
        };
        let whole = <[u8; 16]>::try_from(bytes.as_slice())
            .ok()
            .and_then(|bytes| {
                let (lsn, check) = bytes.split_first_chunk::<8>()?;
                (xxh3_64(lsn).to_le_bytes() == *check).then(|| u64::from_le_bytes(*lsn))
            });
        whole.unwrap_or_else(|| {
            self.rot.note_once(
                |report| report.guards_remade += 1,
                "store.guards/settled was rotten: all of the log is replayed, and it is made again"
                    .to_owned(),
            );
            0
        })
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When it can not be written.
    pub(crate) fn write_settled(&self, lsn: u64) -> io::Result<()> {
        let lsn = lsn.to_le_bytes();
        let part = self.dir.join(format!("{SETTLED}.part"));
        let mut written = File::create(&part)?;
        written.write_all(&[lsn, xxh3_64(&lsn).to_le_bytes()].concat())?;
        written.sync_all()?;
        fs::rename(&part, self.dir.join(SETTLED))?;
        File::open(&self.dir)?.sync_all()
    }

    /// False when the file is gone or still being written.
    fn make(&self, file: &str) -> io::Result<bool> {
        let Some(opened) = self.open(file)? else {
            return Ok(false);
        };
        if !is_whole(file, &opened)? {
            return Ok(false);
        }
        let identity = Identity::of(&opened.metadata()?);
        let guard = Guard::of(&opened)?;
        let now = if_there(fs::metadata(self.store.join(file)))?;
        if now.as_ref().map(Identity::of) != Some(identity) || guard.file_bytes() != identity.bytes
        {
            // It was replaced meanwhile; the next time gets it.
            return Ok(false);
        }
        let path = self.guard_path(file);
        let part = path.with_extension("part");
        let mut written = File::create(&part)?;
        written.write_all(&guard.encode())?;
        written.sync_all()?;
        fs::rename(&part, &path)?;
        lock(&self.known).insert(file.to_owned(), identity);
        Ok(true)
    }

    /// Looks at the next `stripes` stripes of 256 KiB, all files in turn and again from the first.
    ///
    /// # Errors
    /// When a file can not be read or written.
    pub(crate) fn look_on(&self, stripes: usize) -> io::Result<()> {
        let walk = &mut *lock(&self.walk);
        if walk.files.is_empty() {
            walk.files = self.files()?;
            walk.stripe = 0;
        }
        let mut left = stripes;
        while left > 0 {
            let Some(file) = walk.files.last().cloned() else {
                return Ok(());
            };
            let end = walk.stripe + left;
            let done = self.look_at_stripes(&file, walk.stripe..end)?;
            // A file without a stripe to look at still takes a moment.
            left -= done.clamp(1, left);
            walk.stripe += done;
            if walk.stripe < end {
                walk.files.pop();
                walk.stripe = 0;
            }
        }
        Ok(())
    }

    /// Tells how many of the stripes there are.
    fn look_at_stripes(&self, file: &str, stripes: Range<usize>) -> io::Result<usize> {
        if !version::is_written_once(file) || !self.is_known(file)? {
            return Ok(0);
        }
        let (Some(guard), Some(opened)) = (self.guard(file)?, self.open(file)?) else {
            return Ok(0);
        };
        let stripes = stripes.start..stripes.end.min(guard.stripes());
        let count = stripes.len();
        for stripe in stripes {
            self.mend_stripe(file, &opened, &guard, stripe)?;
        }
        if self.guard_path(file).exists() {
            // Giving back a block changes the time of the file, not what it is.
            self.note_known(file, &opened)?;
        }
        Ok(count)
    }
}

/// Journals, the lock, and what is there for a moment only.
fn is_unguarded(name: &str) -> bool {
    name.starts_with('.') || name.ends_with(".jnl") || name.ends_with(".tmp") || name == "lock"
}

/// Tables and versions are whole once their end is written.
fn is_whole(file: &str, opened: &File) -> io::Result<bool> {
    let is_archive = file.contains("/tables/") || version::is_version(file);
    if !is_archive {
        return Ok(true);
    }
    let Some(at) = opened.metadata()?.len().checked_sub(ARCHIVE_END_BYTES) else {
        return Ok(false);
    };
    let mut magic = [0; 4];
    opened.read_exact_at(&mut magic, at)?;
    Ok(magic == *ARCHIVE_MAGIC)
}
