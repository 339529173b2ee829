//! The list of segments, shared by the log, which adds to it, and by whoever removes old ones.

use crate::Lsn;
use crate::disk::Disk;
use crate::format::segment_name;
use crate::planted::{self, Bug};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// First lsns of all segments, rising. Only the log touches the newest entry; cutting takes from the
/// other end and never takes the newest, whose name keeps the next lsn.
#[derive(Debug)]
pub(crate) struct Segments {
    firsts: Mutex<Vec<Lsn>>,
}

impl Segments {
    pub(crate) fn new(firsts: Vec<Lsn>) -> Arc<Self> {
        Arc::new(Self {
            firsts: Mutex::new(firsts),
        })
    }

    pub(crate) fn add(&self, first: Lsn) {
        let mut firsts = self.lock();
        // A segment that never held anything certain is made again under its own name.
        if firsts.last() != Some(&first) {
            firsts.push(first);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Lsn>> {
        // No code that holds the lock can leave the list half changed.
        self.firsts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes segments that are no longer needed, from any thread, while the log goes on.
#[derive(Debug)]
pub struct Cutter<D> {
    pub(crate) disk: Arc<D>,
    pub(crate) segments: Arc<Segments>,
}

impl<D> Clone for Cutter<D> {
    fn clone(&self) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            segments: Arc::clone(&self.segments),
        }
    }
}

impl<D: Disk> Cutter<D> {
    /// Removes every segment whose last lsn is at most `up_to`, but never the newest, and returns
    /// how many that were.
    ///
    /// # Errors
    /// When a file can not be removed; it and the ones after it are tried again next time.
    pub fn cut(&self, up_to: Lsn) -> io::Result<usize> {
        let mut removed = 0;
        while let Some(first) = self.oldest_below(up_to) {
            // Oldest first, so that a crash in between leaves a log without holes.
            match self.disk.remove(&segment_name(first)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.segments.lock().retain(|other| *other != first);
            removed += 1;
        }
        if removed > 0 {
            self.disk.sync_dir()?;
        }
        Ok(removed)
    }

    fn oldest_below(&self, up_to: Lsn) -> Option<Lsn> {
        let firsts = self.segments.lock();
        let (first, next) = (*firsts.first()?, *firsts.get(1)?);
        let early = planted::is(Bug::CutTooEarly) && first <= up_to;
        (early || next.previous() <= up_to).then_some(first)
    }
}
