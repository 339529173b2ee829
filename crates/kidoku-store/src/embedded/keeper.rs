//! The thread that guards what the engine writes by itself, and looks for rot.

use crate::guard::Guards;
use crate::rot::Rot;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a file that a compaction has written may be without a guard.
const STEP: Duration = Duration::from_secs(1);

/// Stripes of 256 KiB looked at in a step: 8 MiB a second, which no disk feels, and a store of
/// 5 GB in ten minutes.
const STRIPES: usize = 32;

/// How long rot that the guards could not give back is not looked for again in all files.
const MEND_PAUSE: Duration = Duration::from_secs(60);

/// A running keeper; stops when dropped, after a last look at the files.
pub(super) struct Keeper {
    guards: Arc<Guards>,
    rot: Rot,
    thread: Mutex<Option<(SyncSender<()>, JoinHandle<()>)>>,
    /// When everything was looked at in vain.
    in_vain: Mutex<Option<Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics half-way through a change, so a poisoned lock is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    pub(super) fn new(guards: Guards, rot: Rot) -> Self {
        Self {
            guards: Arc::new(guards),
            rot,
            thread: Mutex::default(),
            in_vain: Mutex::default(),
        }
    }

    pub(super) fn guards(&self) -> &Guards {
        &self.guards
    }

    pub(super) fn rot(&self) -> Rot {
        self.rot.clone()
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(super) fn start(&self) -> io::Result<()> {
        let (stop, stopped) = sync_channel(0);
        let guards = Arc::clone(&self.guards);
        let rot = self.rot.clone();
        let builder = std::thread::Builder::new().name("kidoku-keep".to_owned());
        let thread = builder.spawn(move || run(&guards, &rot, &stopped))?;
        *lock(&self.thread) = Some((stop, thread));
        Ok(())
    }

    /// Blocks given back so far.
    pub(super) fn blocks_mended(&self) -> u64 {
        self.rot.blocks_mended()
    }

    /// Looks at everything at once, for a reader that has met rot and knows how many blocks were given
    /// back before it began to read. True = it may try again: one was given back, now or by somebody
    /// else meanwhile.
    pub(super) fn mend_now(&self, before: u64) -> bool {
        let in_vain = &mut *lock(&self.in_vain);
        if self.blocks_mended() > before {
            return true;
        }
        if in_vain.is_some_and(|time| time.elapsed() < MEND_PAUSE) {
            return false;
        }
        let mended = match self.guards.mend_all() {
            Ok(count) => count > 0 || self.blocks_mended() > before,
            Err(error) => {
                tell(&self.rot, Err(error));
                false
            }
        };
        *in_vain = (!mended).then(Instant::now);
        mended
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Some((stop, thread)) = lock(&self.thread).take() else {
            return;
        };
        drop(stop);
        // A thread that panicked has said so by itself.
        drop(thread.join());
        tell(&self.rot, self.guards.renew());
    }
}

fn run(guards: &Guards, rot: &Rot, stopped: &Receiver<()>) {
    loop {
        tell(rot, guards.renew().and_then(|()| guards.look_on(STRIPES)));
        match stopped.recv_timeout(STEP) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Guards are a second line of defence: that one is missing is told and stops nothing.
fn tell(rot: &Rot, result: io::Result<()>) {
    if let Err(error) = result {
        rot.note_once(|_| {}, format!("the guards of the store: {error}"));
    }
}
