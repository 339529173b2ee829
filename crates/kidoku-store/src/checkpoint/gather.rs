//! Records of the log, one by one, on their way into batches.

use super::Batch;
use kidoku_core::clock::Clock;
use std::sync::Arc;

/// A batch in the making: records whose lsns follow one another.
#[derive(Debug, Default)]
pub struct Gathered {
    first_lsn: u64,
    last_lsn: u64,
    clock: u64,
    bytes: Vec<u8>,
    count: u64,
}

impl Gathered {
    /// True when the record with this lsn may be in the same batch.
    pub fn goes_on_with(&self, lsn: u64) -> bool {
        self.count == 0 || self.last_lsn.checked_add(1) == Some(lsn)
    }

    /// Bytes of it so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a record; `clock` is the highest that was given out when it was written.
    pub fn add(&mut self, lsn: u64, clock: u64, record: &[u8]) {
        if self.count == 0 {
            self.first_lsn = lsn;
        }
        self.last_lsn = lsn;
        self.clock = self.clock.max(clock);
        // The log bounds a record's length far below 4 GiB.
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(record);
        self.count += 1;
    }

    /// Takes the batch out, if there is anything in it. The clock stays: what comes later was written
    /// later.
    pub fn take(&mut self) -> Option<Batch> {
        if self.count == 0 {
            return None;
        }
        let batch = Batch {
            first_lsn: self.first_lsn,
            last_lsn: self.last_lsn,
            clock: Clock(self.clock),
            bytes: Arc::from(self.bytes.as_slice()),
            count: self.count,
        };
        self.bytes.clear();
        self.count = 0;
        Some(batch)
    }
}
