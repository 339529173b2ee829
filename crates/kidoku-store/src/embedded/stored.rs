//! What is stored under the keys of a group.
//!
//! A checkpoint brings many rows of the same partition: those of a user who has read in ten channels,
//! or of a channel that many have joined. Looked up one by one, each key asks every table that may
//! have it. So where a partition has several, its stored rows are read in order beside them, for as
//! long as they are not too far apart.

use super::engine::Engine;
use crate::{Entry, key};
use fjall::{UserKey, UserValue};
use std::cmp::Ordering;

/// Rows of one partition in a group from which on they are read in order. To begin costs about as
/// much as four look-ups.
const TOGETHER: usize = 6;

/// Rows of one partition read in order at most, before it is looked whether they are worth it.
const TOGETHER_MAX: usize = 1_024;

/// Stored rows passed over between two keys before they count as too far apart. With a twentieth of ten
/// million rows in a group, 32 took a tenth less processor than 16, and 64 a tenth more.
const PASSED_MAX: usize = 32;

/// Keys that are looked up one by one after some were too far apart.
const APART: usize = 64;

/// Looks up rising keys of a group.
pub(super) struct Stored<'a> {
    engine: &'a Engine,
    group: &'a [Entry<'a>],
    run: Option<Run>,
    /// Keys up to here are looked up one by one.
    apart_until: usize,
}

/// Stored rows, read in order.
struct Run {
    rows: fjall::Iter,
    /// The next of them; `None` = there are no more.
    next: Option<(UserKey, UserValue)>,
    /// Behind its last key in the group.
    end: usize,
}

/// What reading in order came to.
enum Found {
    Row(Option<UserValue>),
    TooFar,
}

impl Run {
    fn begin(engine: &Engine, group: &[Entry<'_>], first: usize, end: usize) -> Option<Self> {
        let (from, last) = (
            &*group.get(first)?.key,
            &*group.get(end.checked_sub(1)?)?.key,
        );
        let mut run = Self {
            rows: engine.rows.range(from..=last),
            next: None,
            end,
        };
        run.advance().ok()?;
        Some(run)
    }

    fn advance(&mut self) -> fjall::Result<()> {
        self.next = self.rows.next().map(fjall::Guard::into_inner).transpose()?;
        Ok(())
    }

    fn get(&mut self, key: &[u8]) -> fjall::Result<Found> {
        for _ in 0..PASSED_MAX {
            let Some((stored, value)) = &self.next else {
                return Ok(Found::Row(None));
            };
            match (**stored).cmp(key) {
                Ordering::Less => self.advance()?,
                Ordering::Equal => return Ok(Found::Row(Some(value.clone()))),
                Ordering::Greater => return Ok(Found::Row(None)),
            }
        }
        Ok(Found::TooFar)
    }
}

impl<'a> Stored<'a> {
    pub(super) fn new(engine: &'a Engine, group: &'a [Entry<'a>]) -> Self {
        Self {
            engine,
            group,
            run: None,
            apart_until: 0,
        }
    }

    /// The stored bytes of the entry at `index`, which has that key. Indexes must not fall.
    pub(super) fn get(&mut self, index: usize, key: &[u8]) -> fjall::Result<Option<UserValue>> {
        if self.run.as_ref().is_none_or(|run| run.end <= index) {
            self.run = self.begin_run(index);
        }
        if let Some(run) = &mut self.run {
            match run.get(key) {
                Ok(Found::Row(row)) => return Ok(row),
                Ok(Found::TooFar) => self.apart_until = index + APART,
                // One by one only the key is hit that needs what can not be read.
                Err(_) => self.apart_until = run.end,
            }
            self.run = None;
        }
        self.engine.rows.get(key)
    }

    fn begin_run(&self, first: usize) -> Option<Run> {
        if first < self.apart_until {
            return None;
        }
        let rest = self.group.get(first..)?;
        let owner = key::owner_bytes(&rest.first()?.key);
        // Only as far as keys rise, or what is passed would be missed.
        let follows = |pair: &&[Entry<'_>]| match pair {
            [one, next] => next.key.starts_with(owner) && one.key < next.key,
            _ => false,
        };
        let pairs = rest.windows(2).take(TOGETHER_MAX);
        let count = 1 + pairs.take_while(follows).count();
        if count < TOGETHER {
            return None;
        }
        Run::begin(self.engine, self.group, first, first + count)
    }
}
