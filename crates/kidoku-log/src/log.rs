//! The log itself: appends groups to the newest segment, rotates, and keeps its word about what is
//! durable.
//!
//! After any failed write or sync the segment is poisoned: what the kernel kept of it is unknown,
//! and a sync that succeeds later says nothing about it. [`Log::reopen`] starts a new segment at the
//! first lsn that is not committed, and recovery takes that segment's word from there on.

use crate::Lsn;
use crate::cut::{Cutter, Segments};
use crate::disk::{Disk, SegmentFile};
use crate::error::{GroupError, LogError};
use crate::format::{SEGMENT_HEADER_BYTES, segment_header, segment_name, write_frame};
use crate::planted::{self, Bug};
use crate::recovery::{Recovery, list_segments, recover};
use crate::wide;
use std::sync::Arc;
use std::{fmt, io};

/// When a record counts as kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk: a power cut loses nothing.
    #[default]
    Sync,
    /// When it is with the operating system: the process may crash, the machine may not.
    Memory,
}

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Bytes of a segment, after which a new one is begun. A single group may be longer. Default
    /// 64 MiB: recovery reads one segment into memory at a time.
    pub segment_bytes_max: u64,
    /// When a record counts as kept. Default [`Durability::Sync`].
    pub durability: Durability,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes_max: 64 << 20,
            durability: Durability::Sync,
        }
    }
}

/// The segment being written.
struct Current<F> {
    file: F,
    bytes: u64,
}

/// An append-only log of records in one directory.
pub struct Log<D: Disk> {
    disk: Arc<D>,
    options: LogOptions,
    segments: Arc<Segments>,
    /// None until something is appended, so that opening alone leaves no file behind.
    current: Option<Current<D::File>>,
    /// Something failed; nothing is written until [`Self::reopen`].
    poisoned: bool,
    next: Lsn,
    committed: Lsn,
    /// Kept to be filled again.
    frame: Vec<u8>,
}

/// Bytes of the frame buffer that are kept from one group to the next.
const FRAME_KEPT_BYTES: usize = 1 << 20;

impl<D: Disk> fmt::Debug for Log<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("next", &self.next)
            .field("committed", &self.committed)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

impl<D: Disk> Log<D> {
    /// Opens the log of a directory. Every record in it is handed to `on_record`, in rising order,
    /// with its lsn and the clock given when its group was written, which is 0 where damage has taken
    /// it: then it is for the caller to find out how high the record's clock is. Damage is stepped
    /// over and reported, never a reason to refuse.
    ///
    /// # Errors
    /// When the disk refuses to list or read at all, or a segment is of a newer format.
    pub fn open(
        disk: D,
        options: LogOptions,
        mut on_record: impl FnMut(Lsn, u64, &[u8]),
    ) -> Result<(Self, Recovery), LogError> {
        let firsts = list_segments(&disk)?;
        let recovery = recover(&disk, &firsts, &mut on_record)?;
        let log = Self {
            disk: Arc::new(disk),
            options,
            segments: Segments::new(firsts),
            current: None,
            poisoned: false,
            next: recovery.last.next(),
            committed: recovery.last,
            frame: Vec::new(),
        };
        Ok((log, recovery))
    }

    /// How this log is kept.
    pub fn options(&self) -> LogOptions {
        self.options
    }

    /// The lsn that the next record gets.
    pub fn next(&self) -> Lsn {
        self.next
    }

    /// The last lsn that is certain: synced, or only written with [`Durability::Memory`].
    pub fn committed(&self) -> Lsn {
        self.committed
    }

    /// True after a failed write or sync, until [`Self::reopen`] succeeds.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Number of segments, the one being written included.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Appends a group of records as one frame, with one write, and returns the lsn of the last.
    /// `parts`, one after another, are the records, each with its length (u32, little-endian, 1 to
    /// [`crate::RECORD_BYTES_MAX`]) before it; no record spans two parts. `clock` is given back by
    /// recovery. The group is certain only after [`Self::sync`].
    ///
    /// # Errors
    /// [`LogError::Group`] when the records are not well formed: nothing happened.
    /// [`LogError::Io`] when writing failed: the log is poisoned.
    /// [`LogError::Poisoned`] when it was before.
    pub fn append_group(
        &mut self,
        parts: &[&[u8]],
        count: u32,
        clock: u64,
    ) -> Result<Lsn, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        self.frame.clear();
        self.frame.shrink_to(FRAME_KEPT_BYTES);
        let found = write_frame(&mut self.frame, self.next, clock, parts)?;
        if found != count {
            return Err(GroupError::Count {
                said: count.into(),
                found: found.into(),
            }
            .into());
        }
        let result = self.write_buffer();
        self.poison_on_error(result)?;
        self.next = self.next.plus(u64::from(count));
        Ok(self.next.previous())
    }

    /// Commits everything appended: makes it durable, or with [`Durability::Memory`] just takes note.
    ///
    /// # Errors
    /// [`LogError::Io`] when it failed: the log is poisoned, and nothing appended since the last
    /// commit is certain. [`LogError::Poisoned`] when it was before.
    pub fn sync(&mut self) -> Result<(), LogError> {
        match self.options.durability {
            Durability::Sync => self.sync_to_disk(),
            Durability::Memory if self.poisoned => Err(LogError::Poisoned),
            Durability::Memory => {
                self.committed = self.next.previous();
                Ok(())
            }
        }
    }

    /// Makes everything appended to the newest segment durable, whatever the durability: for a
    /// clean stop.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub fn sync_to_disk(&mut self) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let result = self.sync_current();
        self.poison_on_error(result)
    }

    /// Starts a new segment after a failure. What was appended and not committed is given up: its
    /// lsns are given again, from [`Self::next`] on. May be tried again and again. Does nothing
    /// when the log is not poisoned.
    ///
    /// # Errors
    /// When the new segment can not be made: the log stays poisoned.
    pub fn reopen(&mut self) -> Result<(), LogError> {
        if !self.poisoned {
            return Ok(());
        }
        self.current = None;
        self.next = self.committed.next();
        self.current = Some(self.create_segment()?);
        self.poisoned = false;
        Ok(())
    }

    /// Removes whole segments whose last lsn is at most `up_to`, never the newest; returns how many.
    ///
    /// # Errors
    /// When a file can not be removed.
    pub fn cut(&self, up_to: Lsn) -> io::Result<usize> {
        self.cutter().cut(up_to)
    }

    /// A handle that cuts from another thread.
    pub fn cutter(&self) -> Cutter<D> {
        Cutter {
            disk: Arc::clone(&self.disk),
            segments: Arc::clone(&self.segments),
        }
    }

    /// Writes the frame in `self.frame`, to a new segment if the current one is full.
    fn write_buffer(&mut self) -> io::Result<()> {
        let bytes = wide(self.frame.len());
        let full = |current: &Current<D::File>| {
            current.bytes > wide(SEGMENT_HEADER_BYTES)
                && current.bytes.saturating_add(bytes) > self.options.segment_bytes_max
        };
        let mut current = match self.current.take() {
            Some(current) if !full(&current) => current,
            Some(current) => {
                self.current = Some(current);
                if self.options.durability == Durability::Sync {
                    self.sync_current()?;
                }
                self.create_segment()?
            }
            None => self.create_segment()?,
        };
        let result = current.file.append(&self.frame);
        current.bytes += bytes;
        self.current = Some(current);
        result
    }

    fn sync_current(&mut self) -> io::Result<()> {
        // Nothing was appended since the log was opened, or since the last commit.
        if let Some(current) = &mut self.current
            && (self.committed != self.next.previous()
                || self.options.durability == Durability::Memory)
        {
            let synced = current.file.sync_data();
            if planted::is(Bug::SyncAgain) && synced.is_err() {
                current.file.sync_data()?;
            } else {
                synced?;
            }
        }
        self.committed = self.next.previous();
        Ok(())
    }

    /// Makes the segment that begins with the next lsn. If there is one already, nothing in it is
    /// certain, or its lsns would not be given again; it is emptied and not removed, because it also
    /// says that nothing in the segment before it counts from this lsn on.
    fn create_segment(&self) -> io::Result<Current<D::File>> {
        let mut file = self.disk.create(&segment_name(self.next))?;
        file.append(&segment_header(self.next))?;
        if self.options.durability == Durability::Sync && !planted::is(Bug::DirectoryNotSynced) {
            self.disk.sync_dir()?;
        }
        self.segments.add(self.next);
        Ok(Current {
            file,
            bytes: wide(SEGMENT_HEADER_BYTES),
        })
    }

    fn poison_on_error(&mut self, result: io::Result<()>) -> Result<(), LogError> {
        self.poisoned = result.is_err();
        result.map_err(LogError::Io)
    }
}
