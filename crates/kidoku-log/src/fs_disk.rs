//! The log's directory on a real file system.

use crate::disk::{Disk, SegmentFile};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// EIO, the same number on every Unix: how a bad sector, or a block that fails the file system's own
/// checksum, is reported.
const INPUT_OUTPUT_ERROR: i32 = 5;

/// A directory of the file system.
#[derive(Debug)]
pub struct FsDisk {
    dir: PathBuf,
}

impl FsDisk {
    /// Opens the directory, and makes it if there is none.
    ///
    /// # Errors
    /// When it can not be made.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_path(parent)?;
        }
        Ok(Self { dir })
    }
}

/// Makes a file durable, or the entries of a directory.
fn sync_path(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Disk for FsDisk {
    type File = FsFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // The log's own names are plain ASCII; any other name is not the log's.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<FsFile> {
        // Appending and truncating at once is refused by the standard library, so in two steps.
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.dir.join(name))?;
        file.set_len(0)?;
        Ok(FsFile { file })
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.dir.join(name))?.len())
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut file = File::open(self.dir.join(name))?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
            .map_err(|error| match error.raw_os_error() {
                Some(INPUT_OUTPUT_ERROR) => io::Error::new(io::ErrorKind::InvalidData, error),
                Some(_) | None => error,
            })
    }

    fn truncate(&self, name: &str, size: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.dir.join(name))?;
        file.set_len(size)?;
        file.sync_all()
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        sync_path(&self.dir.join(name))
    }

    fn rewrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.dir.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_path(&self.dir)
    }
}

/// A file of an [`FsDisk`], open for appending.
#[derive(Debug)]
pub struct FsFile {
    file: File,
}

impl SegmentFile for FsFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
