//! A directory in memory for the log: files as byte strings, and nothing ever fails.

use kidoku_log::{Disk, SegmentFile};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

type Files = BTreeMap<String, Vec<u8>>;

/// Clones share their files.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk {
    files: Arc<Mutex<Files>>,
}

/// A file of it that is being written.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    disk: MemoryDisk,
    name: String,
}

impl MemoryDisk {
    pub(crate) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap()
    }

    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        let mut files = self.files();
        let file = files.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(work(file))
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        self.files().insert(name.to_owned(), Vec::new());
        let (disk, name) = (self.clone(), name.to_owned());
        Ok(MemoryFile { disk, name })
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.with(name, |bytes| u64::try_from(bytes.len()).unwrap())
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        self.with(name, |bytes| {
            buffer.copy_from_slice(&bytes[from..from + buffer.len()]);
        })
    }

    fn truncate(&self, name: &str, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).unwrap();
        self.with(name, |bytes| bytes.truncate(size))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.with(name, |_| ())
    }

    fn rewrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(name, |file| {
            assert!(file.starts_with(bytes), "other bytes than the file has");
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk
            .with(&self.name, |file| file.extend_from_slice(bytes))
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}
