//! What is damaged in a store, row by row, and accepting that it is lost.

use super::rebuild::{LOST, decode_lost, encode_lost};
use super::{Embedded, Lost, is_rot};
use crate::key::KeyRange;
use crate::scan::first_readable;
use crate::value::{decode_row, encode_row, rest_of_damaged};
use crate::{Extent, Store, StoreError};
use std::collections::BTreeSet;
use std::io;
use std::sync::PoisonError;

/// Above every key.
const KEY_END: [u8; 1] = [u8::MAX];

/// Damaged places that are listed; all are counted.
const LISTED_MAX: usize = 1_000;

/// What a store that is built again had noted of what was lost before, from any of its tables: told
/// once too often is better than not at all.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// As under [`LOST`].
    pub(super) stretches: Vec<u8>,
    log: BTreeSet<String>,
    accepted: BTreeSet<String>,
}

impl Losses {
    /// True when the name is one of such a value.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) -> bool {
        let text = String::from_utf8_lossy(value);
        let lines = text.lines().map(str::to_owned);
        if name == LOST.as_bytes() {
            self.stretches.extend_from_slice(value);
        } else if name == LOG_LOSSES.as_bytes() {
            self.log.extend(lines);
        } else if name == ACCEPTED.as_bytes() {
            self.accepted.extend(lines);
        } else {
            return false;
        }
        true
    }
}

/// Lines as one value.
fn joined(lines: &BTreeSet<String>) -> Vec<u8> {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.join("\n").into_bytes()
}

/// The named value of what the log has lost: a count and a sentence on each line.
const LOG_LOSSES: &str = "log-losses";

/// Is given key and value of a damaged row before it goes.
pub type Keep<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> io::Result<()>;

/// The named value of what was accepted as lost.
const ACCEPTED: &str = "accepted";

/// What is damaged, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Rows looked at.
    pub rows: u64,
    /// Rows that can not be read.
    pub damaged: u64,
    /// Stretches of keys of which rows may be missing.
    pub stretches: u64,
    /// Of those, the ones that still lie in a file: only building the store again gets rid of them.
    pub unreadable: u64,
    /// Facts that the log has lost.
    pub facts_lost: u64,
    /// All that in words: the first 1,000.
    pub listed: Vec<String>,
    /// What was accepted as lost before: the latest 1,000.
    pub accepted: Vec<String>,
}

impl Repair {
    fn list(&mut self, text: String) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(text);
        }
    }

    /// True when something is damaged.
    pub fn is_damaged(&self) -> bool {
        self.damaged + self.stretches + self.facts_lost > 0
    }
}

impl Embedded {
    /// Looks at every row. Nothing is changed.
    ///
    /// # Errors
    /// When the engine can't read, for another reason than rot.
    pub fn survey(&self) -> Result<Repair, StoreError> {
        self.walk(|_, _| Ok(()))
    }

    /// Accepts what is lost: damaged rows keep what was merged into them since, or go; the
    /// stretches are taken as they are. `keep` is given each damaged row as it was. Numbers made of
    /// them may be wrong from now on, which each later opening notes; accepting once more, when
    /// nothing is damaged, ends that.
    ///
    /// # Errors
    /// When the engine can't read or write, or what `keep` answers.
    pub fn accept_loss(&self, keep: Keep<'_>) -> Result<Repair, StoreError> {
        let repair = self.walk(|key, stored| {
            keep(key, stored)?;
            match rest_of_damaged(key, stored) {
                Some(rest) => self.put_raw(key, &encode_row(key, &rest)),
                None => self.remove(&[key.to_vec()]),
            }
        })?;
        let mut accepted = repair.listed.clone();
        if repair.is_damaged() {
            accepted.extend(repair.accepted.iter().cloned());
            accepted.truncate(LISTED_MAX);
        }
        self.lost
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.meta_put(LOST, &[])?;
        self.meta_put(LOG_LOSSES, &[])?;
        self.meta_put(ACCEPTED, accepted.join("\n").as_bytes())?;
        self.sync()?;
        self.settle_files()?;
        Ok(repair)
    }

    fn walk(
        &self,
        mut damaged: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<Repair, StoreError> {
        let mut repair = Repair {
            accepted: self.read_accepted()?,
            ..Repair::default()
        };
        // A handle of its own, so that rows can be written meanwhile.
        let rows = self.read(|engine| Ok(engine.rows.clone()))?;
        let mut from = Vec::new();
        loop {
            let mut failed = None;
            for guard in rows.range(from.clone()..) {
                let (key, bytes) = match guard.into_inner() {
                    Ok(row) => row,
                    Err(error) if is_rot(&error) => {
                        failed = Some(error);
                        break;
                    }
                    Err(error) => return Err(error.into()),
                };
                from.clone_from(&key.to_vec());
                from.push(0);
                repair.rows += 1;
                if let Err(reason) = decode_row(&key, &bytes) {
                    repair.damaged += 1;
                    repair.list(StoreError::corrupt(&key, reason).to_string());
                    damaged(&key, &bytes)?;
                }
            }
            if failed.is_none() {
                break;
            }
            let next = first_readable(&from, &KEY_END, |key| {
                let first = rows.range(key.to_vec()..).next();
                first.is_none_or(|guard| guard.into_inner().is_ok())
            });
            repair.stretches += 1;
            repair.unreadable += 1;
            let lost = StoreError::corrupt_from(&from, Extent::UpTo(next.clone()));
            repair.list(lost.to_string());
            from = next.max([from.as_slice(), &[0]].concat());
        }
        let lost = self.lost.read().unwrap_or_else(PoisonError::into_inner);
        for (from, end) in lost.iter() {
            repair.stretches += 1;
            let lost = StoreError::corrupt_from(from, Extent::UpTo(end.clone()));
            repair.list(lost.to_string());
        }
        for (facts, text) in self.read_log_losses()? {
            repair.facts_lost += facts;
            repair.list(text);
        }
        Ok(repair)
    }

    fn read_accepted(&self) -> Result<Vec<String>, StoreError> {
        let bytes = self.meta_get(ACCEPTED)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Says what the log has lost, and what numbers may be wrong since a loss was accepted.
    pub(super) fn note_losses(&self) -> Result<(), StoreError> {
        for loss in self.read_log_losses()? {
            self.note_log_loss(&loss);
        }
        for text in self.read_accepted()? {
            let text = format!("accepted as lost, so numbers made of it may be wrong: {text}");
            self.rot().note(|report| report.accepted += 1, text);
        }
        Ok(())
    }

    /// Writes down what the log has lost, each a number of facts and a sentence that is the same
    /// each time: the log is cut, and then nothing else tells of it. What was accepted is left out.
    ///
    /// # Errors
    /// When the engine can't read or write.
    pub fn note_log_losses(&self, losses: &[(u64, String)]) -> Result<(), StoreError> {
        let accepted = self.read_accepted()?;
        let mut known = self.read_log_losses()?;
        let before = known.len();
        for loss in losses {
            let is_new = !known.contains(loss) && !accepted.contains(&loss.1);
            if is_new && known.len() < LISTED_MAX {
                known.push(loss.clone());
            }
        }
        let more = known.get(before..).unwrap_or_default();
        if more.is_empty() {
            return Ok(());
        }
        more.iter().for_each(|loss| self.note_log_loss(loss));
        let line = |(facts, text): &(u64, String)| format!("{facts} {text}");
        let lines: Vec<String> = known.iter().map(line).collect();
        self.meta_put(LOG_LOSSES, lines.join("\n").as_bytes())?;
        self.sync()?;
        self.settle_files()
    }

    fn note_log_loss(&self, (facts, text): &(u64, String)) {
        let text =
            format!("{text}; told until it is accepted with 'kidoku check --repair --apply'");
        self.rot().note(|report| report.facts_lost += facts, text);
    }

    fn read_log_losses(&self) -> Result<Vec<(u64, String)>, StoreError> {
        let bytes = self.meta_get(LOG_LOSSES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let loss = |line: &str| {
            let (facts, text) = line.split_once(' ')?;
            Some((facts.parse().ok()?, text.to_owned()))
        };
        Ok(text.lines().filter_map(loss).collect())
    }

    pub(super) fn read_lost(&self) -> Result<(), StoreError> {
        let lost = self
            .meta_get(LOST)?
            .map_or_else(Lost::new, |bytes| decode_lost(&bytes));
        for (from, end) in &lost {
            let lost = StoreError::corrupt_from(from, Extent::UpTo(end.clone()));
            let text = format!("{lost}; their owners get errors until it is repaired");
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

    /// Makes a row as one that rot has hit and that nothing below could give back: its own check does
    /// not fit. For tests; false = there is no such row.
    ///
    /// # Errors
    /// When the engine can't read or write.
    pub fn damage(&self, key: &[u8]) -> Result<bool, StoreError> {
        let stored = self.read(|engine| Ok(engine.rows.get(key)?))?;
        let Some(mut bytes) = stored.map(|bytes| bytes.to_vec()) else {
            return Ok(false);
        };
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        self.put_raw(key, &bytes)?;
        self.settle_files()?;
        Ok(true)
    }

    /// Takes over what another store has noted.
    pub(super) fn keep_losses(&self, losses: &Losses) -> Result<(), StoreError> {
        self.meta_put(LOG_LOSSES, &joined(&losses.log))?;
        self.meta_put(ACCEPTED, &joined(&losses.accepted))?;
        self.note_losses()
    }

    pub(super) fn put_raw(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write(|engine| Ok(engine.rows.insert(key, value)?))
    }
}
