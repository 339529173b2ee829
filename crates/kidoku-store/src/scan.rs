//! Reading everything, for export and check.

use crate::key::{self, Key, KeyRange};
use crate::load::{PAGE_ROWS, fact, parse};
use crate::{Layers, StoreError};
use kidoku_core::clock::Clock;
use kidoku_core::fact::{Fact, FactKey, Incarnation, Partition};
use kidoku_core::id::App;
use std::collections::BTreeMap;

/// A page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// Live facts of whole partitions, erasure marks included.
    pub facts: Vec<Fact>,
    /// After which partition the next page begins; `None` = this was the last.
    pub next: Option<Partition>,
}

/// The partition being read, and what makes facts of it stale.
struct Current {
    partition: Partition,
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
    /// When the store can't be read or a row is damaged.
    pub fn scan(
        &self,
        app: &App,
        after: Option<&Partition>,
        limit: usize,
    ) -> Result<ScanPage, StoreError> {
        let mut page = ScanPage {
            facts: Vec::new(),
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
        loop {
            let rows = self.page(&from, &end, PAGE_ROWS)?;
            for (key, row) in rows.rows {
                let fact = fact(&key, row)?;
                let known = current.take().filter(|known| is_of(&key, &known.partition));
                let known = match known {
                    Some(known) => known,
                    None => {
                        if page.facts.len() >= limit && page.next.is_some() {
                            return Ok(true);
                        }
                        let partition = fact.partition();
                        Current {
                            partition,
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
            }
            let Some(next) = rows.next else {
                return Ok(false);
            };
            from = next;
        }
    }
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
