//! What a start reads back from the log, as the server's does.

use super::disk::SimDisk;
use super::process::{Home, Setup};
use kidoku_core::fact::{Fact, codec};
use kidoku_log::{Log, LogOptions, Recovery};
use kidoku_store::{Gathered, Steps};

/// What opening the log gave.
pub(super) struct Replayed {
    pub(super) log: Log<SimDisk>,
    pub(super) recovery: Recovery,
    /// The facts found, behind those that were known.
    pub(super) base: Vec<Fact>,
    /// Batches handed to the checkpoint.
    pub(super) batches: usize,
    /// The highest clock of all records, also of those whose frame header is gone.
    pub(super) clock_replayed: u64,
}

/// Opens the log and hands what is in it to the checkpoint.
///
/// # Errors
/// The disk refuses, or what was written does not read back.
pub(super) fn replay(
    home: &Home,
    setup: &Setup,
    steps: &Steps,
    mut base: Vec<Fact>,
) -> Result<Replayed, String> {
    let options = LogOptions {
        segment_bytes_max: setup.segment_bytes_max,
        ..LogOptions::default()
    };
    let mut gathered = Gathered::default();
    let (mut batches, mut unreadable, mut clock_replayed) = (0, 0_u64, 0);
    let opened = Log::open(home.disk.clone(), options, |lsn, clock, record| {
        if !gathered.goes_on_with(lsn.0) {
            batches += usize::from(hand_over(&mut gathered, steps));
        }
        let fact = codec::decode(record);
        let clock_in = || fact.as_ref().map_or(0, |fact| fact.clock_max().0);
        let clock = if clock == 0 { clock_in() } else { clock };
        clock_replayed = clock_replayed.max(clock);
        gathered.add(lsn.0, clock, record);
        match fact {
            Ok(fact) => base.push(fact),
            Err(_) => unreadable += 1,
        }
    });
    let (log, recovery) = opened.map_err(|error| error.to_string())?;
    if unreadable > 0 {
        return Err(format!(
            "fault: {unreadable} recovered records do not decode"
        ));
    }
    batches += usize::from(hand_over(&mut gathered, steps));
    Ok(Replayed {
        log,
        recovery,
        base,
        batches,
        clock_replayed,
    })
}

/// Hands recovered records over to the checkpoint. True when there was anything.
fn hand_over(gathered: &mut Gathered, steps: &Steps) -> bool {
    let batch = gathered.take();
    batch.map(|batch| steps.replayed(batch)).is_some()
}
