//! Taking a server down: first what brings work in, then what does it, then what keeps it.

use super::Running;
use crate::engine::mailbox::Envelope;
use crate::engine::shared::{Phase, Shared};
use crate::engine::storage::StorageError;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long those who are being answered may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Between two looks at who is left, and after the last answer so that it gets out.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// How long the last checkpoint may take; what it leaves is replayed from the log.
const CHECKPOINT_TIME: Duration = Duration::from_secs(10);

/// Why a stop was not clean.
#[derive(Debug)]
pub enum StopError {
    /// The log could not be synced. What was acknowledged is safe all the same.
    Storage(StorageError),
    /// A core's thread has panicked.
    CorePanicked,
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::CorePanicked => f.write_str("a core's thread has panicked"),
        }
    }
}

impl std::error::Error for StopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            Self::CorePanicked => None,
        }
    }
}

/// Has everybody take nothing new.
pub(super) fn drain(shared: &Shared) {
    let began = shared.phase.send_if_modified(|phase| {
        let running = *phase == Phase::Running;
        if running {
            *phase = Phase::Draining;
        }
        running
    });
    if began {
        for core in shared.placement.all() {
            shared.post(core, Envelope::Job(Box::new(|core| core.drain_askers())));
        }
    }
}

impl Running {
    /// Waits until everything taken is answered, a few seconds at most, and stops: the log is
    /// synced, the store brought up to date as far as time allows.
    ///
    /// # Errors
    /// When the stop was not clean. What was acknowledged is on disk all the same.
    pub fn wait(mut self) -> Result<(), StopError> {
        drain(&self.shared);
        let deadline = Instant::now() + DRAIN_TIME;
        while self.is_busy() && Instant::now() < deadline {
            std::thread::sleep(DRAIN_STEP);
        }
        std::thread::sleep(DRAIN_STEP);
        let panicked = self.halt();
        let stored = match self.storage.take() {
            Some(storage) => storage.close(CHECKPOINT_TIME),
            None => Ok(()),
        };
        stored.map_err(StopError::Storage)?;
        if panicked {
            Err(StopError::CorePanicked)
        } else {
            Ok(())
        }
    }

    fn is_busy(&self) -> bool {
        let shared = &self.shared;
        shared.resp_connections.load(Ordering::Relaxed) > 0
            || shared.calls.iter().any(|calls| !calls.is_empty())
    }

    /// Ends the cores. True = one has panicked.
    fn halt(&mut self) -> bool {
        self.shared.phase.send_replace(Phase::Halted);
        let ended: Vec<_> = self
            .cores
            .drain(..)
            .map(std::thread::JoinHandle::join)
            .collect();
        // A stale file only makes clients try in vain until the next start.
        drop(self.data_dir.remove_addresses());
        ended.iter().any(Result::is_err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.halt();
    }
}
