//! What the log needs of a directory. Implemented by the file system and by simulated disks.

use std::io;

/// One directory that belongs to one log.
pub trait Disk: Send + Sync + 'static {
    /// A file being written.
    type File: SegmentFile;

    /// Names of the files in the directory, in any order.
    ///
    /// # Errors
    /// When the directory can not be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file; if there is one of this name, by emptying it. A new one is certain to be
    /// found after a power cut only after [`Self::sync_dir`], and an old one to be empty only after
    /// [`SegmentFile::sync_data`].
    ///
    /// # Errors
    /// Why it failed.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Size of a file in bytes.
    ///
    /// # Errors
    /// When there is none or it can not be looked at.
    fn size(&self, name: &str) -> io::Result<u64>;

    /// Fills `buffer` with the file's bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the medium can not give these bytes back: a bad sector.
    /// Any other error says that the file can not be read at all.
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Cuts a file to `size` bytes, durably.
    ///
    /// # Errors
    /// Why it failed.
    fn truncate(&self, name: &str, size: u64) -> io::Result<()>;

    /// Makes all bytes of a file durable, whoever wrote them.
    ///
    /// # Errors
    /// Why it failed.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Writes `bytes`, with which the file begins, over themselves, and makes them durable. More
    /// than [`Self::sync`]: after a failed sync a system may go on showing bytes that it has given
    /// up, and say of a later sync that it succeeded; only writing them again gets them to the disk.
    ///
    /// # Errors
    /// Why it failed; what was durable before still is.
    fn rewrite(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file. It is certain to be gone after a power cut only after [`Self::sync_dir`].
    ///
    /// # Errors
    /// Why it failed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all creations and removals so far durable.
    ///
    /// # Errors
    /// Why it failed.
    fn sync_dir(&self) -> io::Result<()>;
}

/// A file that is only ever written at its end.
pub trait SegmentFile: Send + 'static {
    /// Writes all bytes at the end.
    ///
    /// # Errors
    /// Why it failed; any part of the bytes may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all bytes written so far durable.
    ///
    /// # Errors
    /// Why it failed; any part of what was not durable before may be lost, now or later, even if a
    /// later call succeeds.
    fn sync_data(&mut self) -> io::Result<()>;
}
