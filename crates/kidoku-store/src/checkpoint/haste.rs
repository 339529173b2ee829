//! When an idle machine writes behind, and how much of a flush has to be done by now on a busy one.

use super::CheckpointOptions;
use crate::pace::{float, part};
use std::time::Duration;

/// The part of the time that the next overlay takes to be due, and of the room there is for it, in which
/// a flush is done. The other half is for a machine that gets busier meanwhile.
const PART: f64 = 0.5;

/// When nothing has come for so long, there is nobody to go out of the way of.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(1);

/// Bytes of overlay from which on an idle machine writes them and settles the store. Fewer wait for their
/// interval, so that a message now and then does not become a write each: memory cards wear.
pub(super) const IDLE_BYTES_MIN: usize = 1024 * 1024;

/// What a flush is in a hurry for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Haste {
    /// Since it began.
    pub(super) elapsed: Duration,
    /// Of the overlay that fills meanwhile.
    pub(super) active_bytes: usize,
    /// In the log, of the facts in there.
    pub(super) active_log_bytes: usize,
    /// Somebody waits for it, there is no more room, or nobody is there to notice.
    pub(super) at_once: bool,
}

impl Haste {
    /// The part of the flush, from 0 to 1, that has to be done by now.
    pub(super) fn wanted(&self, options: &CheckpointOptions) -> f64 {
        if self.at_once {
            return 1.0;
        }
        let time = part(
            self.elapsed.as_secs_f64(),
            options.flush_interval.as_secs_f64(),
        );
        let room = part(float(self.active_bytes), float(options.overlay_bytes_max));
        let log = part(float(self.active_log_bytes), float(options.log_bytes_max));
        (time.max(room).max(log) / PART).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_HASTE: Haste = Haste {
        elapsed: Duration::ZERO,
        active_bytes: 0,
        active_log_bytes: 0,
        at_once: false,
    };

    fn wanted(haste: Haste) -> f64 {
        let options = CheckpointOptions {
            overlay_bytes_max: 1_000,
            log_bytes_max: 2_000,
            flush_interval: Duration::from_secs(10),
            ..CheckpointOptions::default()
        };
        haste.wanted(&options)
    }

    #[test]
    fn a_flush_is_done_in_half_of_the_time_and_of_the_room() {
        assert_eq!(wanted(NO_HASTE), 0.0);
        let elapsed = |secs| Haste {
            elapsed: Duration::from_secs(secs),
            ..NO_HASTE
        };
        assert_eq!(
            [1, 5, 50].map(|secs| wanted(elapsed(secs))),
            [0.2, 1.0, 1.0]
        );
        let room = |active_bytes| Haste {
            active_bytes,
            ..elapsed(1)
        };
        assert_eq!(
            [0, 250, 500].map(|bytes| wanted(room(bytes))),
            [0.2, 0.5, 1.0]
        );
        let log = |active_log_bytes| Haste {
            active_log_bytes,
            ..elapsed(1)
        };
        assert_eq!(
            [0, 500, 1_000].map(|bytes| wanted(log(bytes))),
            [0.2, 0.5, 1.0]
        );
    }

    #[test]
    fn whoever_waits_does_not_wait_for_rests() {
        let haste = Haste {
            at_once: true,
            ..NO_HASTE
        };
        assert_eq!(wanted(haste), 1.0);
    }

    #[test]
    fn without_an_interval_there_are_no_rests() {
        let options = CheckpointOptions {
            flush_interval: Duration::ZERO,
            ..CheckpointOptions::default()
        };
        assert_eq!(NO_HASTE.wanted(&options), 1.0);
    }
}
