//! A disk in memory that fails, loses and damages things the way real ones do. For tests.
//!
//! What is synced stays. Of what is not, a power cut keeps a random part from the front, with its
//! last sector spoiled now and then. Creations and removals not synced are undone from the newest
//! back, as a journaling file system does. A failed sync drops what it should have synced: later
//! syncs succeed and do not bring it back (as Linux does since the "fsyncgate" discussion of 2018).

use crate::disk::{Disk, SegmentFile};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

/// xorshift64: enough for tests, and the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn hits(&mut self, per_mille: usize) -> bool {
        per_mille > 0 && self.below(1_000) < per_mille
    }
}

#[derive(Clone, Debug, Default)]
struct FakeFile {
    bytes: Vec<u8>,
    synced: usize,
    /// A sync failed: nothing behind `synced` will ever be durable.
    dropped: bool,
}

#[derive(Debug)]
enum DirChange {
    Created(String),
    Emptied(String, FakeFile),
    Removed(String, FakeFile),
}

/// How often what fails, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) append: usize,
    pub(crate) sync: usize,
    pub(crate) create: usize,
    /// How often a power cut spoils the last sector of what it keeps.
    pub(crate) spoil: usize,
}

impl Faults {
    pub(crate) const ALWAYS: Self = Self {
        append: 1_000,
        sync: 1_000,
        create: 1_000,
        spoil: 0,
    };
    pub(crate) const NEVER: Self = Self {
        append: 0,
        sync: 0,
        create: 0,
        spoil: 0,
    };
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, FakeFile>,
    unsynced_changes: Vec<DirChange>,
    faults: Faults,
    random: Random,
    unreadable: Option<(String, std::ops::Range<usize>)>,
    appends: u64,
    syncs: u64,
}

/// A directory in memory; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct FakeDisk(Arc<Mutex<State>>);

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, format!("injected: {what}"))
}

impl FakeDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            unsynced_changes: Vec::new(),
            faults: Faults::NEVER,
            random: Random(seed | 1),
            unreadable: None,
            appends: 0,
            syncs: 0,
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// A disk of its own with the same durable content.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new(1);
        let files = self.with(|state| state.files.clone());
        copy.with(|state| state.files = files);
        copy
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.with(|state| state.faults = faults);
    }

    pub(crate) fn set_unreadable(&self, name: &str, range: std::ops::Range<usize>) {
        self.with(|state| state.unreadable = Some((name.to_owned(), range)));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.with(|state| state.files.keys().cloned().collect())
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.with(|state| state.files[name].bytes.clone())
    }

    pub(crate) fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let synced = bytes.len();
        self.with(|state| {
            state.files.insert(
                name.to_owned(),
                FakeFile {
                    bytes,
                    synced,
                    dropped: false,
                },
            )
        });
    }

    /// Appends and syncs so far.
    pub(crate) fn calls(&self) -> (u64, u64) {
        self.with(|state| (state.appends, state.syncs))
    }

    /// Cuts the power and switches it on again, without faults.
    pub(crate) fn power_cut(&self) {
        self.with(|state| {
            let spoil = state.faults.spoil;
            state.faults = Faults::NEVER;
            let kept = state.random.below(state.unsynced_changes.len() + 1);
            while state.unsynced_changes.len() > kept {
                match state.unsynced_changes.pop() {
                    Some(DirChange::Created(name)) => drop(state.files.remove(&name)),
                    Some(DirChange::Removed(name, file) | DirChange::Emptied(name, file)) => {
                        drop(state.files.insert(name, file));
                    }
                    None => {}
                }
            }
            state.unsynced_changes.clear();
            for file in state.files.values_mut() {
                let unsynced = file.bytes.len() - file.synced;
                let kept = file.synced + state.random.below(unsynced + 1);
                file.bytes.truncate(kept);
                if kept > file.synced && state.random.hits(spoil) {
                    let from = file.synced.max(kept.saturating_sub(512));
                    for byte in &mut file.bytes[from..] {
                        *byte = if state.random.hits(500) { 0 } else { *byte };
                    }
                }
                file.synced = kept;
                file.dropped = false;
            }
        });
    }
}

impl Disk for FakeDisk {
    type File = FakeHandle;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<FakeHandle> {
        self.with(|state| {
            if state.random.hits(state.faults.create) {
                return Err(broken("create"));
            }
            let change = match state.files.insert(name.to_owned(), FakeFile::default()) {
                Some(old) => DirChange::Emptied(name.to_owned(), old),
                None => DirChange::Created(name.to_owned()),
            };
            state.unsynced_changes.push(change);
            Ok(FakeHandle {
                disk: self.clone(),
                name: name.to_owned(),
            })
        })
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(u64::try_from(self.bytes(name).len()).unwrap())
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = usize::try_from(offset).unwrap()..;
        let range = range.start..range.start + buffer.len();
        self.with(|state| {
            if let Some((bad, bytes)) = &state.unreadable
                && bad == name
                && bytes.start < range.end
                && range.start < bytes.end
            {
                return Err(io::ErrorKind::InvalidData.into());
            }
            buffer.copy_from_slice(&state.files[name].bytes[range]);
            Ok(())
        })
    }

    fn truncate(&self, name: &str, size: u64) -> io::Result<()> {
        self.with(|state| {
            let file = state.files.get_mut(name).unwrap();
            file.bytes.truncate(usize::try_from(size).unwrap());
            file.synced = file.bytes.len();
            Ok(())
        })
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        FakeHandle {
            disk: self.clone(),
            name: name.to_owned(),
        }
        .sync_data()
    }

    fn rewrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(|state| {
            if state.random.hits(state.faults.sync) {
                return Err(broken("rewrite"));
            }
            let file = state.files.get_mut(name).unwrap();
            assert!(
                file.bytes.starts_with(bytes),
                "a file is rewritten as it is"
            );
            file.synced = file.synced.max(bytes.len());
            file.dropped = false;
            state.unsynced_changes.retain(|change| match change {
                DirChange::Emptied(emptied, _) => emptied != name,
                DirChange::Created(_) | DirChange::Removed(..) => true,
            });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|state| {
            let file = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
            state
                .unsynced_changes
                .push(DirChange::Removed(name.to_owned(), file));
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.with(|state| {
            if state.random.hits(state.faults.sync) {
                return Err(broken("sync of the directory"));
            }
            // Emptying a file is made durable by syncing the file, not its directory.
            state
                .unsynced_changes
                .retain(|change| matches!(change, DirChange::Emptied(..)));
            Ok(())
        })
    }
}

/// A file of a [`FakeDisk`] being written.
#[derive(Debug)]
pub(crate) struct FakeHandle {
    disk: FakeDisk,
    name: String,
}

impl SegmentFile for FakeHandle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.with(|state| {
            state.appends += 1;
            let fails = state.random.hits(state.faults.append);
            let kept = if fails {
                state.random.below(bytes.len() + 1)
            } else {
                bytes.len()
            };
            let file = state.files.get_mut(&self.name).unwrap();
            file.bytes.extend_from_slice(&bytes[..kept]);
            if fails { Err(broken("append")) } else { Ok(()) }
        })
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.with(|state| {
            state.syncs += 1;
            let fails = state.random.hits(state.faults.sync);
            let file = state.files.get_mut(&self.name).unwrap();
            if fails {
                file.dropped = true;
                return Err(broken("sync"));
            }
            if !file.dropped {
                file.synced = file.bytes.len();
            }
            state.unsynced_changes.retain(|change| match change {
                DirChange::Emptied(name, _) => *name != self.name,
                DirChange::Created(_) | DirChange::Removed(..) => true,
            });
            Ok(())
        })
    }
}
