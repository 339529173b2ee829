//! A disk in memory that fails, loses and damages things the way real ones do.
//!
//! What is synced stays. Of what is not, a power cut keeps any subset of sectors, the last one
//! spoiled now and then. A failed sync drops what it should have written: the bytes can still be
//! read, a later sync succeeds, and after a power cut they are not there. A file made or removed
//! without a sync of the directory may be undone by a power cut.

use crate::random::Random;
use kidoku_log::{Disk, SegmentFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that a disk writes whole or not at all. Smaller than a real one's, because the records here
/// are small too and have to be torn.
const SECTOR_BYTES: usize = 32;

/// How often what fails, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// A write fails, with a part of it written.
    pub write: u64,
    /// A sync of a file fails, and drops what it should have written.
    pub sync: u64,
    /// A file can not be made.
    pub create: u64,
    /// The directory can not be synced.
    pub sync_dir: u64,
    /// A file can not be removed.
    pub remove: u64,
    /// A power cut damages the last sector it keeps.
    pub spoil: u64,
}

/// How often each fault has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskTotals {
    /// Writes that failed.
    pub failed_writes: u64,
    /// Writes and creations refused because the disk was full.
    pub refused_full: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Creations, removals and directory syncs that failed.
    pub failed_directory: u64,
    /// Power cuts that took bytes away.
    pub torn: u64,
    /// Power cuts that undid a creation or a removal.
    pub undone: u64,
    /// Bits flipped.
    pub flipped: u64,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// What a reader sees.
    bytes: Vec<u8>,
    /// What a power cut leaves.
    durable: Vec<u8>,
    /// What the next sync writes.
    dirty: Vec<Range<usize>>,
    /// Bytes that a failed sync has dropped.
    dropped: bool,
    /// It was emptied, which is not certain before the next sync.
    emptied: bool,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, File>,
    /// Files that a power cut may bring back.
    removed: BTreeMap<String, File>,
    /// Files that a power cut may take away.
    made: BTreeSet<String>,
    faults: DiskFaults,
    full: bool,
    random: Random,
    totals: DiskTotals,
}

/// A directory in memory; clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

/// A file of a [`SimDisk`] being written.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    name: String,
}

fn injected(what: &str) -> io::Error {
    io::Error::other(format!("injected: {what}"))
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "injected: the disk is full")
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl File {
    fn sync(&mut self) {
        self.empty_for_certain();
        for range in std::mem::take(&mut self.dirty) {
            self.write_through(range);
        }
    }

    fn empty_for_certain(&mut self) {
        if std::mem::take(&mut self.emptied) {
            self.durable.clear();
        }
    }

    /// Makes a range durable; a gap before it is zeros.
    fn write_through(&mut self, range: Range<usize>) {
        let end = range.end.min(self.bytes.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        let range = range.start.min(end)..end;
        let (to, from) = (self.durable.get_mut(range.clone()), self.bytes.get(range));
        if let (Some(to), Some(from)) = (to, from) {
            to.copy_from_slice(from);
        }
    }

    /// What a power cut leaves of bytes under way: a part from the front, or any sectors.
    fn tear(&mut self, random: &mut Random, spoil: u64) -> bool {
        let torn = !self.dirty.is_empty() || self.dropped || self.emptied;
        if self.emptied && random.chance(50) {
            // Neither that it was emptied nor what came after.
            self.emptied = false;
            self.dirty.clear();
        }
        self.empty_for_certain();
        let prefix = random.chance(50);
        for range in std::mem::take(&mut self.dirty) {
            let mut start = range.start;
            while start < range.end {
                let end = (start + SECTOR_BYTES).min(range.end);
                if random.chance(50) {
                    let part = if random.chance(50) {
                        start + random.place(end - start + 1)
                    } else {
                        end
                    };
                    self.write_through(start..part);
                    if random.below(1_000) < spoil && part > start {
                        let at = start + random.place(part - start);
                        if let Some(byte) = self.durable.get_mut(at) {
                            *byte ^= 1 << random.below(8);
                        }
                    }
                } else if prefix {
                    break;
                }
                start = end;
            }
        }
        self.bytes.clone_from(&self.durable);
        self.dropped = false;
        torn
    }
}

impl State {
    fn fails(&mut self, rate: impl Fn(&DiskFaults) -> u64) -> bool {
        let per_mille = rate(&self.faults);
        per_mille > 0 && self.random.below(1_000) < per_mille
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).ok_or_else(missing)
    }

    fn sync_file(&mut self, name: &str) -> io::Result<()> {
        let fails = self.fails(|faults| faults.sync);
        let lost = self.random.chance(70);
        let file = self.file(name)?;
        if !fails {
            file.sync();
            return Ok(());
        }
        if lost && !file.dirty.is_empty() {
            // Some of it may have reached the disk; the rest never will.
            file.empty_for_certain();
            let mut dirty = std::mem::take(&mut file.dirty);
            if let Some(last) = dirty.pop() {
                dirty
                    .iter()
                    .for_each(|range| file.write_through(range.clone()));
                let middle = last.start + (last.end - last.start) / 2;
                file.write_through(last.start..middle);
            }
            file.dropped = true;
        }
        self.totals.failed_syncs += 1;
        Err(injected("sync"))
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            removed: BTreeMap::new(),
            made: BTreeSet::new(),
            faults: DiskFaults::default(),
            full: false,
            random: Random::new(0),
            totals: DiskTotals::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of what is driven ends the run, so nobody sees a half-changed state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how often what fails from now on.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.state().faults = faults;
    }

    /// Whether the disk is full.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Decides the faults to come.
    pub fn reseed(&self, seed: u64) {
        self.state().random = Random::new(seed);
    }

    /// How often each fault has happened.
    pub fn totals(&self) -> DiskTotals {
        self.state().totals
    }

    /// The process dies and the machine goes on: what was written stays. What a failed sync has
    /// dropped may still be shown or not, and is not on the disk either way.
    pub fn kill(&self) {
        let mut state = self.state();
        let State { files, random, .. } = &mut *state;
        let dropped = files
            .values_mut()
            .filter(|file| file.dropped && file.dirty.is_empty() && !file.emptied);
        for file in dropped {
            if random.chance(50) {
                file.bytes.clone_from(&file.durable);
                file.dropped = false;
            }
        }
    }

    /// The power goes.
    pub fn cut_power(&self) {
        let mut state = self.state();
        let State {
            files,
            removed,
            made,
            faults,
            random,
            totals,
            ..
        } = &mut *state;
        for file in files.values_mut() {
            totals.torn += u64::from(file.tear(random, faults.spoil));
        }
        for name in std::mem::take(made) {
            if random.chance(50) {
                totals.undone += u64::from(files.remove(&name).is_some());
            }
        }
        for (name, mut file) in std::mem::take(removed) {
            file.tear(random, 0);
            if random.chance(50) {
                files.entry(name).or_insert(file);
                totals.undone += 1;
            }
        }
    }

    /// Flips one bit of what is durable; false when there is nothing.
    pub fn flip_bit(&self, random: &mut Random) -> bool {
        let mut state = self.state();
        let total: usize = state.files.values().map(|file| file.durable.len()).sum();
        let mut at = random.place(total);
        for file in state.files.values_mut() {
            let length = file.durable.len();
            if let Some(byte) = file.durable.get_mut(at) {
                *byte ^= 1 << random.below(8);
                file.bytes.clone_from(&file.durable);
                state.totals.flipped += 1;
                return true;
            }
            at -= length;
        }
        false
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.state()
            .files
            .values()
            .map(|file| file.bytes.len())
            .sum()
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        if state.full {
            state.totals.refused_full += 1;
            return Err(full());
        }
        if state.fails(|faults| faults.create) {
            state.totals.failed_directory += 1;
            return Err(injected("create"));
        }
        if let Some(file) = state.files.get_mut(name) {
            file.bytes.clear();
            file.dirty.clear();
            file.emptied = true;
        } else {
            let old = state.removed.remove(name);
            let file = old.map_or_else(File::default, |old| File {
                durable: old.durable,
                emptied: true,
                ..File::default()
            });
            state.files.insert(name.to_owned(), file);
            state.made.insert(name.to_owned());
        }
        Ok(SimFile {
            disk: self.clone(),
            name: name.to_owned(),
        })
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        let length = self.state().file(name)?.bytes.len();
        u64::try_from(length).map_err(io::Error::other)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let mut state = self.state();
        let file = state.file(name)?;
        let bytes = file.bytes.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn truncate(&self, name: &str, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let mut state = self.state();
        if state.fails(|faults| faults.write) {
            state.totals.failed_writes += 1;
            return Err(injected("truncate"));
        }
        let file = state.file(name)?;
        file.bytes.truncate(size);
        file.durable.truncate(size);
        file.dirty.retain_mut(|range| {
            range.end = range.end.min(size);
            range.start < range.end
        });
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.state().sync_file(name)
    }

    fn rewrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.fails(|faults| faults.write) {
            state.totals.failed_writes += 1;
            return Err(injected("rewrite"));
        }
        let file = state.file(name)?;
        if !file.bytes.starts_with(bytes) {
            return Err(injected("a file is rewritten with other bytes than it has"));
        }
        file.dirty.insert(0, 0..bytes.len());
        state.sync_file(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.fails(|faults| faults.remove) {
            state.totals.failed_directory += 1;
            return Err(injected("remove"));
        }
        let file = state.files.remove(name).ok_or_else(missing)?;
        if !state.made.remove(name) {
            state.removed.insert(name.to_owned(), file);
        }
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.fails(|faults| faults.sync_dir) {
            state.totals.failed_directory += 1;
            return Err(injected("sync of the directory"));
        }
        state.made.clear();
        state.removed.clear();
        Ok(())
    }
}

impl SegmentFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let full_now = state.full;
        let fails = full_now || state.fails(|faults| faults.write);
        let written = if fails {
            state.random.place(bytes.len() + 1)
        } else {
            bytes.len()
        };
        if full_now {
            state.totals.refused_full += 1;
        } else if fails {
            state.totals.failed_writes += 1;
        }
        // A removed file can still be written, into nowhere.
        if let Ok(file) = state.file(&self.name) {
            let start = file.bytes.len();
            file.bytes.extend(bytes.iter().take(written));
            if written > 0 {
                file.dirty.push(start..start + written);
            }
        }
        match (full_now, fails) {
            (true, _) => Err(full()),
            (false, true) => Err(injected("write")),
            (false, false) => Ok(()),
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        match self.disk.state().sync_file(&self.name) {
            // Of a removed file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
