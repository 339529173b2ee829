//! Watches how much room the disk has, and has writes refused before there is none.
//!
//! A disk that is full to the last byte can not be left again by the server's own means: the log is
//! cut only after the store has taken what is in it, and the store needs room for that. So writes
//! are refused a little earlier, and what is left serves the checkpoint.

use super::shared::Shared;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// The largest part of the file system that is kept free, whatever was said: one in so many. So a
/// small disk can be used as well.
const SHARE: u64 = 20;

/// Writes are taken again when there is so much more than the least: one part in so many.
const MARGIN: u64 = 8;

/// Room on the disk at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes that the server may still use.
    pub(crate) free: u64,
    /// Bytes below which writes are refused.
    pub(crate) least: u64,
}

impl Room {
    /// Of a file system with so many bytes in all; `wanted` = what the configuration says.
    fn new(free: u64, total: u64, wanted: u64) -> Self {
        Self {
            free,
            least: wanted.min(total / SHARE),
        }
    }

    /// Whether writes are refused now, given whether they were. Not at the same figure both ways, or
    /// they would go to and fro with every cut of the log.
    fn is_low(self, was_low: bool) -> bool {
        if was_low {
            self.free < self.least.saturating_add(self.least / MARGIN)
        } else {
            self.free < self.least
        }
    }
}

/// The thread that looks. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct SpaceWatch {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SpaceWatch {
    /// Looks once, and from then on until dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(dir: PathBuf, wanted: u64, shared: Weak<Shared>) -> io::Result<Self> {
        look(&dir, wanted, &shared);
        let (stop, stopped) = mpsc::channel::<()>();
        let run = move || {
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                look(&dir, wanted, &shared);
            }
        };
        let thread = std::thread::Builder::new().name("disk-space".to_owned());
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread.spawn(run)?),
        })
    }
}

impl Drop for SpaceWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so by itself.
            drop(thread.join());
        }
    }
}

fn look(dir: &Path, wanted: u64, shared: &Weak<Shared>) {
    let Some(shared) = shared.upgrade() else {
        return;
    };
    // A disk that does not even say how full it is tells the log so too.
    if let Ok(found) = rustix::fs::statvfs(dir) {
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        let room = Room::new(free, total, wanted);
        shared.publish_room(room, room.is_low(shared.is_low_on_space()));
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_wanted_is_kept_free_and_of_a_small_disk_a_twentieth() {
        let least = |total, wanted| Room::new(0, total, wanted).least;
        assert_eq!(least(300 * MIB, 512 * MIB), 15 * MIB);
        assert_eq!(least(4 << 40, 512 * MIB), 512 * MIB);
        assert_eq!(least(300 * MIB, 7), 7);
    }

    #[test]
    fn writes_are_refused_below_the_least_and_taken_again_somewhat_above() {
        let room = |free| Room::new(free, 1 << 40, 800);
        assert!(!room(800).is_low(false));
        assert!(room(799).is_low(false));
        assert!(room(899).is_low(true));
        assert!(!room(900).is_low(true));
    }
}
