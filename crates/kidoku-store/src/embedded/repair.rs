//! What is damaged in a store, row by row, and accepting that it is lost.

use super::rebuild::{LOST, decode_lost, encode_lost};
use super::{Embedded, Lost};
use crate::key::KeyRange;
use crate::value::{decode_row, encode_row, rest_of_damaged};
use crate::{Store, StoreError};
use std::sync::PoisonError;

/// Damaged places that are listed; all are counted.
const LISTED_MAX: usize = 1_000;

/// What is damaged, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Rows looked at.
    pub rows: u64,
    /// Rows that can not be read.
    pub damaged: u64,
    /// Stretches of keys of which rows may be missing.
    pub stretches: u64,
    /// Those rows and stretches by their keys, escaped: the first 1,000.
    pub listed: Vec<String>,
}

impl Repair {
    fn list(&mut self, text: String) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(text);
        }
    }
}

impl Embedded {
    /// Looks at every row. Nothing is changed.
    ///
    /// # Errors
    /// When the engine can't read.
    pub fn survey(&self) -> Result<Repair, StoreError> {
        self.walk(|_, _| Ok(()))
    }

    /// Accepts what is lost: damaged rows keep what was merged into them since, or go; the
    /// stretches are taken as they are. Numbers made of them may be wrong from now on, and nobody
    /// is told any more.
    ///
    /// # Errors
    /// When the engine can't read or write.
    pub fn accept_loss(&self) -> Result<Repair, StoreError> {
        let repair = self.walk(|key, stored| match rest_of_damaged(key, stored) {
            Some(rest) => self.put_raw(key, &encode_row(key, &rest)),
            None => self.remove(&[key.to_vec()]),
        })?;
        self.lost
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.meta_put(LOST, &[])?;
        self.sync()?;
        self.settle_files()?;
        Ok(repair)
    }

    fn walk(
        &self,
        damaged: impl Fn(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<Repair, StoreError> {
        let mut repair = Repair::default();
        // A handle of its own, so that rows can be written meanwhile.
        let rows = self.read(|engine| Ok(engine.rows.clone()))?;
        for guard in rows.iter() {
            let (key, bytes) = guard.into_inner()?;
            repair.rows += 1;
            if let Err(reason) = decode_row(&key, &bytes) {
                repair.damaged += 1;
                repair.list(StoreError::corrupt(&key, reason).to_string());
                damaged(&key, &bytes)?;
            }
        }
        let lost = self.lost.read().unwrap_or_else(PoisonError::into_inner);
        for (from, end) in lost.iter() {
            repair.stretches += 1;
            repair.list(format!(
                "rows from {} to {} may be missing",
                from.escape_ascii(),
                end.escape_ascii()
            ));
        }
        Ok(repair)
    }

    pub(super) fn read_lost(&self) -> Result<(), StoreError> {
        let lost = self
            .meta_get(LOST)?
            .map_or_else(Lost::new, |bytes| decode_lost(&bytes));
        for (from, end) in &lost {
            let text = format!(
                "rows from {} to {} may be missing; their owners get errors until it is repaired",
                from.escape_ascii(),
                end.escape_ascii()
            );
            self.rot().note(|report| report.rows_damaged += 1, text);
        }
        *self.lost.write().unwrap_or_else(PoisonError::into_inner) = lost;
        Ok(())
    }

    pub(super) fn add_lost(&self, more: &[KeyRange]) -> Result<(), StoreError> {
        let mut lost = self.lost.write().unwrap_or_else(PoisonError::into_inner);
        lost.extend_from_slice(more);
        let bytes = encode_lost(&lost);
        drop(lost);
        self.meta_put(LOST, &bytes)
    }

    pub(super) fn put_raw(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write(|engine| Ok(engine.rows.insert(key, value)?))
    }
}
