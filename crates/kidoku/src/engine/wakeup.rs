//! When the log's thread is woken for what a core has appended.
//!
//! A sync takes as long for one record as for hundreds, so a core first does all that it finds to do: the
//! thread is woken when the core is about to sleep, and if it never does, every so often.

use super::journal::Journal;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The longest that something is appended and the log's thread not woken for it.
const PATIENCE: Duration = Duration::from_micros(500);

thread_local! {
    /// Since when this core has appended something that the log's thread may not know of.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// This core has appended something.
pub(super) fn note(journal: &dyn Journal) {
    if SINCE.get().is_none() {
        SINCE.set(Some(Instant::now()));
    }
    look(journal);
}

/// A turn begins.
pub(super) fn look(journal: &dyn Journal) {
    if SINCE.get().is_some_and(|since| since.elapsed() >= PATIENCE) {
        wake(journal);
    }
}

/// There is nothing more to do for now.
pub(super) fn wake(journal: &dyn Journal) {
    if SINCE.take().is_some() {
        journal.begin();
    }
}
