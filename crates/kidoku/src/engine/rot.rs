//! What was found rotten in log and store, in words for the operator.

use kidoku_log::Recovery;
use kidoku_store::{Rot, RotReport};

/// Sentences that are shown; all are counted.
const NOTES_MAX: usize = 100;

/// What was found rotten since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Pieces of log and store that were given back: nothing is lost.
    pub repaired: u64,
    /// Records, rows and blocks that can not be read.
    pub lost: u64,
    /// What and where: the first hundred.
    pub notes: Vec<String>,
}

/// Where it is gathered: what the log's recovery found, and what the store finds as it goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watcher {
    log: Found,
    store: Rot,
}

impl Watcher {
    pub(crate) fn new(recovery: &Recovery, store: Rot) -> Self {
        Self {
            log: of_log(recovery),
            store,
        }
    }

    /// Everything so far.
    pub(crate) fn found(&self) -> Found {
        let RotReport {
            blocks_mended,
            blocks_lost,
            guards_remade,
            rows_damaged,
            rebuilt: _,
            notes,
        } = self.store.report();
        let mut found = self.log.clone();
        found.repaired += blocks_mended + guards_remade;
        found.lost += blocks_lost + rows_damaged;
        found.notes.extend(notes);
        found.notes.truncate(NOTES_MAX);
        found
    }
}

fn of_log(recovery: &Recovery) -> Found {
    let mut found = Found {
        repaired: recovery.mend_count,
        lost: recovery.records_lost,
        notes: Vec::new(),
    };
    for mend in &recovery.mends {
        found.notes.push(format!(
            "log/{:020}.log had a flipped bit in what begins at byte {}, which was taken back; \
             nothing is lost",
            mend.segment.0, mend.offset
        ));
    }
    for damage in &recovery.damage {
        let what = match damage.records_lost {
            0 => {
                found.repaired += 1;
                "nothing is lost".to_owned()
            }
            1 => "1 fact is lost".to_owned(),
            many => format!("{many} facts are lost"),
        };
        found.notes.push(format!(
            "log/{:020}.log can not be read from byte {} on for {} bytes; {what}",
            damage.segment.0, damage.offset, damage.bytes
        ));
    }
    found.notes.truncate(NOTES_MAX);
    found
}
