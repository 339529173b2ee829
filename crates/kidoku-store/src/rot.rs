//! What was found rotten in a store, and what became of it: for the operator.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sentences that are kept; of more only the sums are.
const NOTES_MAX: usize = 100;

/// Sums and sentences about rot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotReport {
    /// Bad blocks of files that are good again: nothing is lost.
    pub blocks_mended: u64,
    /// Bad blocks that could not be given back.
    pub blocks_lost: u64,
    /// Guards that were rotten themselves, and made again.
    pub guards_remade: u64,
    /// Rows found damaged: reading them is an error until they are repaired.
    pub rows_damaged: u64,
    /// Facts that the log has lost, this time or earlier, until that is accepted.
    pub facts_lost: u64,
    /// Rows and stretches accepted as lost earlier: reading goes on without them.
    pub accepted: u64,
    /// Times the store was set aside and built again from what could be read.
    pub rebuilt: u64,
    /// What happened, in the order it did: the first 100.
    pub notes: Vec<String>,
}

impl RotReport {
    /// True when there was nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where everything that finds rot writes it down.
#[derive(Clone, Debug, Default)]
pub struct Rot(Arc<Mutex<RotReport>>);

impl Rot {
    fn report_mut(&self) -> MutexGuard<'_, RotReport> {
        // Nothing panics half-way through a change, so a poisoned lock is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`RotReport::blocks_mended`] alone.
    pub(crate) fn blocks_mended(&self) -> u64 {
        self.report_mut().blocks_mended
    }

    /// What there is so far.
    pub fn report(&self) -> RotReport {
        self.report_mut().clone()
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut RotReport), text: String) {
        let mut report = self.report_mut();
        change(&mut report);
        if report.notes.len() < NOTES_MAX {
            report.notes.push(text);
        }
    }

    /// As [`Self::note`], but for what is met again and again: the same text counts once.
    pub(crate) fn note_once(&self, change: impl FnOnce(&mut RotReport), text: String) {
        if !self.report_mut().notes.contains(&text) {
            self.note(change, text);
        }
    }
}
