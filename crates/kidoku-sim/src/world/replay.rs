//! What a start reads back from the log, as the server's does.

use super::disk::SimDisk;
use super::process::{Home, Setup};
use kidoku_core::clock::Clock;
use kidoku_core::fact::{Fact, codec};
use kidoku_log::{Log, LogOptions, Lsn, Recovery};
use kidoku_store::{Batch, Steps};
use std::sync::Arc;

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
        if !gathered.takes(lsn) {
            batches += usize::from(gathered.hand_over(steps));
        }
        let fact = codec::decode(record);
        let clock_in = || fact.as_ref().map_or(0, |fact| fact.clock_max().0);
        let clock = if clock == 0 { clock_in() } else { clock };
        clock_replayed = clock_replayed.max(clock);
        gathered.add(lsn, clock, record);
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
    batches += usize::from(gathered.hand_over(steps));
    Ok(Replayed {
        log,
        recovery,
        base,
        batches,
        clock_replayed,
    })
}

/// Recovered records on their way to the checkpoint.
#[derive(Default)]
struct Gathered {
    first: Lsn,
    last: Lsn,
    clock: u64,
    bytes: Vec<u8>,
    count: u64,
}

impl Gathered {
    fn takes(&self, lsn: Lsn) -> bool {
        self.count == 0 || self.last.next() == lsn
    }

    fn add(&mut self, lsn: Lsn, clock: u64, record: &[u8]) {
        if self.count == 0 {
            self.first = lsn;
        }
        self.last = lsn;
        self.clock = self.clock.max(clock);
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(record);
        self.count += 1;
    }

    /// True when there was anything.
    fn hand_over(&mut self, steps: &Steps) -> bool {
        if self.count == 0 {
            return false;
        }
        steps.replayed(Batch {
            first_lsn: self.first.0,
            last_lsn: self.last.0,
            clock: Clock(self.clock),
            bytes: Arc::from(self.bytes.as_slice()),
            count: self.count,
        });
        self.bytes.clear();
        self.count = 0;
        true
    }
}
