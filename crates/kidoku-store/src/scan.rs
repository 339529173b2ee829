//! Reading everything, for export and check.
//!
//! What is damaged is left out with the whole partition it is in, and said: what comes is whole.

use crate::error::{damaged_row, place};
use crate::key::{self, Key, KeyRange};
use crate::layers::Page;
use crate::load::{PAGE_ROWS, fact, parse};
use crate::value::Row;
use crate::{Extent, Layers, StoreError};
use kidoku_core::clock::Clock;
use kidoku_core::damaged::Damaged;
use kidoku_core::fact::{Fact, FactKey, Incarnation, Partition};
use kidoku_core::id::{App, ChannelKey, UserKey};
use std::collections::BTreeMap;

/// A page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// Live facts of whole partitions, erasure marks included.
    pub facts: Vec<Fact>,
    /// What was left out: at most so much as makes the page full.
    pub skipped: Vec<Skipped>,
    /// After which partition the next page begins; `None` = this was the last.
    pub next: Option<Partition>,
}

/// Something that a scan left out because it can not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// One user or channel.
    Owner(Damaged),
    /// All users, or all channels, of a stretch: from where to where, in words.
    Stretch {
        /// The first that may be in it.
        from: String,
        /// The first behind it.
        to: String,
    },
}

/// Longer than any key.
const KEY_BYTES_MAX: usize = 512;

/// Partitions that a page leaves out before it counts as full.
const SKIPPED_MAX: usize = 256;

/// The partition being read, and what makes facts of it stale.
struct Current {
    partition: Partition,
    /// Where its facts begin in the page.
    begin: usize,
    erased: Clock,
    /// Incarnations of state rows, but for those that are 0.
    states: BTreeMap<String, Incarnation>,
}

impl Current {
    fn is_live(&mut self, fact: &Fact) -> bool {
        let incarnation = fact.incarnation();
        match fact {
            Fact::UserErased { clock, .. } | Fact::ChannelDropped { clock, .. } => {
                self.erased = *clock;
                true
            }
            Fact::State { channel, .. } => {
                if incarnation > Clock::NEVER {
                    self.states.insert(channel.name().to_owned(), incarnation);
                }
                incarnation >= self.erased
            }
            Fact::Mention { channel, .. } | Fact::Own { channel, .. } => {
                let state = self.states.get(channel.name()).copied().unwrap_or_default();
                incarnation >= self.erased.max(state)
            }
            Fact::Floor { .. }
            | Fact::Role { .. }
            | Fact::Settings { .. }
            | Fact::Trim { .. }
            | Fact::Message { .. }
            | Fact::OpaqueId { .. } => incarnation >= self.erased,
        }
    }
}

impl Layers {
    /// A page of the live facts of an app: partition by partition, users first, each partition
    /// whole, and no more partitions after the one that brings `limit` facts.
    ///
    /// # Errors
    /// When the store can't be read. What is damaged is no error, see [`ScanPage::skipped`].
    pub fn scan(
        &self,
        app: &App,
        after: Option<&Partition>,
        limit: usize,
    ) -> Result<ScanPage, StoreError> {
        let mut page = ScanPage {
            facts: Vec::new(),
            skipped: Vec::new(),
            next: None,
        };
        for range in ranges(app, after) {
            if self.scan_range(range, limit, &mut page)? {
                return Ok(page);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// True when the page is full.
    fn scan_range(
        &self,
        range: KeyRange,
        limit: usize,
        page: &mut ScanPage,
    ) -> Result<bool, StoreError> {
        let (mut from, end) = range;
        let mut current: Option<Current> = None;
        while from < end {
            let (rows, hole) = self.rows_until_hole(&from, &end)?;
            for (key, row) in rows.rows {
                if !take(&key, row, limit, page, &mut current)? {
                    return Ok(true);
                }
            }
            match (hole, rows.next) {
                (Some(hole), _) => {
                    // What came of the partition that the hole is in is not all of it.
                    let prefix = |known: &Current| key::partition_prefix(&known.partition);
                    if let Some(known) = current.take()
                        && hole.key.starts_with(&prefix(&known))
                    {
                        page.facts.truncate(known.begin);
                    }
                    from = self.skip(&hole, &end, page)?;
                    if page.skipped.len() >= SKIPPED_MAX && page.next.is_some() {
                        return Ok(true);
                    }
                }
                (None, Some(next)) => from = next,
                (None, None) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Rows of a range up to what can not be read, if there is such a thing in it.
    fn rows_until_hole(&self, from: &[u8], end: &[u8]) -> Result<(Page, Option<Hole>), StoreError> {
        let mut hole: Option<Hole> = None;
        loop {
            let end = hole.as_ref().map_or(end, |hole| &hole.key);
            match self.page(from, end, PAGE_ROWS) {
                // More rows come before it, so it is met again.
                Ok(page) if page.next.is_some() => return Ok((page, None)),
                Ok(page) => return Ok((page, hole)),
                // It lies before the one that is known, so this ends.
                Err(StoreError::Corrupt { key, extent, .. }) => {
                    let key = key.max(from.to_vec());
                    hole = Some(Hole { key, extent });
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Skipping.
impl Layers {
    /// Leaves out what can not be read, with all of the partitions that it touches. Says where to go
    /// on.
    fn skip(&self, hole: &Hole, end: &[u8], page: &mut ScanPage) -> Result<Vec<u8>, StoreError> {
        let owner = owner_range(&hole.key);
        if let Some((owner, _)) = &owner {
            let row = match hole.extent {
                Extent::Row => damaged_row(&hole.key),
                Extent::UpTo(_) | Extent::Unknown => None,
            };
            page.leave_out(row.unwrap_or_else(|| owner.clone()));
        }
        let behind = owner.map_or_else(
            || [hole.key.as_slice(), &[0]].concat(),
            |(_, behind)| behind,
        );
        let to = match &hole.extent {
            Extent::Row => return Ok(behind),
            Extent::UpTo(to) => to.clone(),
            Extent::Unknown => first_readable(&hole.key, end, |key| self.page(key, end, 1).is_ok()),
        };
        if to <= behind {
            return Ok(behind);
        }
        // The partition that is met first behind the hole may begin in it.
        let first = self.page(&to, end, 1).ok();
        let first = first.and_then(|first| first.rows.into_iter().next());
        let cut = first.and_then(|(key, _)| {
            let begins_behind = to.as_slice() <= key::owner_bytes(&key);
            owner_range(&key).filter(|_| !begins_behind)
        });
        page.skipped.push(Skipped::Stretch {
            from: place(&hole.key),
            to: place(&to),
        });
        Ok(match cut {
            Some((owner, behind)) => {
                page.leave_out(owner);
                behind
            }
            None => to,
        })
    }
}

/// A key above all that can not be read from `from` on, and at most the first that can, found byte
/// by byte: the engine does not say what a block that it can not read would have held.
pub(crate) fn first_readable(
    from: &[u8],
    end: &[u8],
    is_readable: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    let is_readable = |key: &[u8]| key >= end || is_readable(key.max(from));
    let mut found = Vec::new();
    while !is_readable(&found) && found.len() < KEY_BYTES_MAX {
        let (mut low, mut high) = (0, u8::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            // All keys that begin so are below this one.
            let above = [found.as_slice(), &[middle + 1]].concat();
            if is_readable(&above) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        found.push(low);
    }
    found.max(from.to_vec()).min(end.to_vec())
}

impl ScanPage {
    fn leave_out(&mut self, damaged: Damaged) {
        self.next = Some(damaged.owner.clone());
        self.skipped.push(Skipped::Owner(damaged));
    }
}

/// Where reading is not possible.
struct Hole {
    key: Vec<u8>,
    extent: Extent,
}

/// The partition a key is in, and where it ends.
fn owner_range(key: &[u8]) -> Option<(Damaged, Vec<u8>)> {
    let owner = key::owner_bytes(key).strip_suffix(&[0])?;
    let mut parts = owner.splitn(2, |byte| *byte == 0);
    let [space, app @ ..] = parts.next()? else {
        return None;
    };
    let app = App::new(str::from_utf8(app).ok()?).ok()?;
    let name = str::from_utf8(parts.next()?).ok()?;
    let owner = match space {
        b'u' => Partition::User(UserKey::new(&app, name).ok()?),
        _ => Partition::Channel(ChannelKey::new(&app, name).ok()?),
    };
    let (_, behind) = key::partition_range(&owner);
    Some((Damaged::some_rows(owner), behind))
}

/// Adds a row to the page. False when the page is full without it.
fn take(
    key: &[u8],
    row: Row,
    limit: usize,
    page: &mut ScanPage,
    current: &mut Option<Current>,
) -> Result<bool, StoreError> {
    let fact = fact(key, row)?;
    let known = current.take().filter(|known| is_of(key, &known.partition));
    let known = match known {
        Some(known) => known,
        None => {
            if page.facts.len() >= limit && page.next.is_some() {
                return Ok(false);
            }
            Current {
                partition: fact.partition(),
                begin: page.facts.len(),
                erased: Clock::NEVER,
                states: BTreeMap::new(),
            }
        }
    };
    let known = current.insert(known);
    page.next = Some(known.partition.clone());
    if known.is_live(&fact) {
        page.facts.push(fact);
    }
    Ok(true)
}

/// True when a key of a fact is in the partition.
fn is_of(key: &[u8], partition: &Partition) -> bool {
    let Ok(Key::Fact(FactKey { app, owner, .. })) = parse(key) else {
        return false;
    };
    let (theirs, name) = match partition {
        Partition::User(user) => (user.app_str(), user.name()),
        Partition::Channel(channel) => (channel.app_str(), channel.name()),
    };
    (app, owner) == (theirs, name)
}

/// What is left to read: of users, then of channels.
fn ranges(app: &App, after: Option<&Partition>) -> Vec<KeyRange> {
    let users = key::app_range(app, true);
    let channels = key::app_range(app, false);
    match after {
        None => vec![users, channels],
        Some(after) => {
            let (_, from) = key::partition_range(after);
            match after {
                Partition::User(_) => vec![(from, users.1), channels],
                Partition::Channel(_) => vec![(from, channels.1)],
            }
        }
    }
}
