//! Writing a frozen overlay to the store.
//!
//! In groups of whole partitions, users first: what is stale is known by the time the rosters come,
//! and is never written. Everything may be repeated, so a flush that fails is begun again, and a
//! crash in the middle is repaired by replaying the log.

use crate::key::{self, Key};
use crate::load::parse;
use crate::planted::{self, Bug};
use crate::value::Row;
use crate::{Applied, Entry, Overlay, Pace, Purged, Store, StoreError};
use kidoku_core::clock::Clock;
use kidoku_core::fact::codec::DecodeError;
use kidoku_core::fact::{FactKey, Incarnation, Part, Partition, Value};
use kidoku_core::id::{App, ChannelKey, UserKey};
use std::collections::BTreeMap;

/// A group is closed at the next partition once it has so many rows.
const GROUP_ROWS: usize = 4_096;

/// A partition of more rows is cut into groups of so many.
const GROUP_ROWS_MAX: usize = 16_384;

/// The named value of the highest clock in the store.
const CLOCK: &str = "clock";

/// The highest clock value that a flush has recorded; new clock values have to be above it.
///
/// # Errors
/// When the store can't be read.
pub(crate) fn stored_clock(store: &dyn Store) -> Result<Clock, StoreError> {
    let Some(bytes) = store.meta_get(CLOCK)? else {
        return Ok(Clock::NEVER);
    };
    match <[u8; 8]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ok(Clock(u64::from_be_bytes(bytes))),
        Err(_) => Err(StoreError::corrupt(
            CLOCK.as_bytes(),
            DecodeError::Truncated,
        )),
    }
}

/// What a flush did.
#[derive(Clone, Debug, Default)]
pub struct Flushed {
    /// Rows merged.
    pub applied: Applied,
    /// Rows removed by erasures.
    pub purged: Purged,
    /// Rows not written, as they were older than an erasure.
    pub stale: u64,
    /// A damaged row that a purge met.
    pub damage: Option<String>,
}

/// Merges an overlay into the store, removes what its erasures ask for, records the highest clock
/// value and syncs, as fast as it is told to. Safe to repeat, whole or in part.
///
/// # Errors
/// When the store can't be read, written or synced.
pub fn flush(
    store: &dyn Store,
    overlay: &Overlay,
    clock: Clock,
    pace: &Pace<'_>,
) -> Result<Flushed, StoreError> {
    let mut flush = Flush {
        store,
        pace,
        flushed: Flushed::default(),
        group: Vec::with_capacity(GROUP_ROWS * 2),
        erased_users: BTreeMap::new(),
        erasures: Vec::new(),
    };
    // What is stored is read first, which a store that failed can only do once it is open again.
    store.begin()?;
    for (from, end) in key::spaces() {
        flush.space(overlay.range(&from, &end))?;
    }
    // A purge reads what was written.
    store.write_staged(pace)?;
    flush.purge()?;
    if clock > stored_clock(store)? && !planted::is(Bug::ClockForgotten) {
        store.meta_put(CLOCK, &clock.0.to_be_bytes())?;
    }
    if !planted::is(Bug::CutBeforeSync) {
        store.sync()?;
    }
    Ok(flush.flushed)
}

struct Flush<'a> {
    store: &'a dyn Store,
    pace: &'a Pace<'a>,
    flushed: Flushed,
    group: Vec<Entry<'a>>,
    /// Users with stale rows in the overlay: their roster entries may be stale too.
    erased_users: BTreeMap<String, Clock>,
    /// The erasures in the overlay.
    erasures: Vec<(Partition, Clock)>,
}

/// What makes rows of the current partition stale.
#[derive(Default)]
struct Staleness {
    erased: Clock,
    /// Incarnations of the state rows in the overlay, but for those that are 0.
    states: BTreeMap<String, Incarnation>,
}

impl<'a> Flush<'a> {
    fn space(&mut self, rows: impl Iterator<Item = Entry<'a>>) -> Result<(), StoreError> {
        let mut owner = Vec::new();
        let mut staleness = Staleness::default();
        for entry in rows {
            // It ends with what no name has in it.
            if owner.is_empty() || !entry.key.starts_with(&owner) {
                owner.clear();
                owner.extend_from_slice(key::owner_bytes(&entry.key));
                if self.group.len() >= GROUP_ROWS {
                    self.stage()?;
                }
                staleness = self.staleness_of(&owner, &entry)?;
            }
            if self.is_stale(&entry, &mut staleness)? {
                self.flushed.stale += 1;
                continue;
            }
            self.group.push(entry);
            if self.group.len() >= GROUP_ROWS_MAX {
                self.stage()?;
            }
        }
        self.stage()
    }

    fn stage(&mut self) -> Result<(), StoreError> {
        let applied = self.store.stage(&self.group, self.pace)?;
        self.flushed.applied.written += applied.written;
        self.flushed.applied.corrupt += applied.corrupt;
        self.group.clear();
        Ok(())
    }

    /// Reads the erasure of the partition that begins with `first`.
    fn staleness_of(&mut self, owner: &[u8], first: &Entry<'a>) -> Result<Staleness, StoreError> {
        let Key::Fact(fact_key) = parse(&first.key)? else {
            return Ok(Staleness::default());
        };
        let mut erased = self
            .stored_incarnation(&key::erasure_key_of(owner))?
            .unwrap_or_default();
        if matches!(fact_key.part, Part::UserErased | Part::ChannelDropped) {
            erased = erased.max(first.row.incarnation());
            let partition = partition_of(&fact_key)
                .map_err(|reason| StoreError::corrupt(&first.key, reason))?;
            self.erasures.push((partition, erased));
        }
        Ok(Staleness {
            erased,
            ..Staleness::default()
        })
    }

    /// The incarnation of a stored row. A damaged row counts as absent: it is about to be replaced,
    /// and counted when that is done.
    fn stored_incarnation(&self, key: &[u8]) -> Result<Option<Incarnation>, StoreError> {
        match self.store.get(key) {
            Ok(row) => Ok(row.map(|row| row.incarnation())),
            Err(StoreError::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_stale(
        &mut self,
        entry: &Entry<'a>,
        staleness: &mut Staleness,
    ) -> Result<bool, StoreError> {
        if planted::is(Bug::TombstoneLost)
            && let Row::Fact(Value::Message(row)) = &*entry.row
            && row.deleted
            && row.posted.is_none()
        {
            return Ok(true);
        }
        let incarnation = entry.row.incarnation();
        let erased = staleness.erased;
        if matches!(&*entry.row, Row::Fact(Value::State(_)))
            && incarnation.max(erased) == Clock::NEVER
        {
            // Nearly every row is one of these, and its key is not needed.
            return Ok(false);
        }
        let fact_key = match parse(&entry.key)? {
            Key::Fact(fact_key) => fact_key,
            Key::Roster { app, user, .. } => {
                let known = self.erased_users.get(&user_name(app, user));
                return Ok(known.is_some_and(|erased| incarnation < *erased));
            }
        };
        let stale = match fact_key.part {
            Part::UserErased | Part::ChannelDropped => false,
            Part::State(channel) => {
                if incarnation > Clock::NEVER && incarnation >= erased {
                    self.purge_marks(entry, &fact_key, channel)?;
                    staleness.states.insert(channel.to_owned(), incarnation);
                }
                incarnation < erased
            }
            Part::Mention(channel, _) | Part::Own(channel, _) => {
                let state = staleness.states.get(channel).copied().unwrap_or_default();
                incarnation < erased.max(state)
            }
            Part::Floor(_)
            | Part::Role(_)
            | Part::Settings
            | Part::Trim
            | Part::Message(_)
            | Part::OpaqueId(_) => incarnation < erased,
        };
        if stale && fact_key.is_of_user() && incarnation < erased {
            self.erased_users
                .insert(user_name(fact_key.app, fact_key.owner), erased);
        }
        Ok(stale)
    }

    /// When a state row begins a new incarnation of the user in the channel, removes what is left of
    /// the one before. Done before the row is written, after which nothing would show the need.
    fn purge_marks(
        &mut self,
        entry: &Entry<'a>,
        fact_key: &FactKey<'_>,
        channel: &str,
    ) -> Result<(), StoreError> {
        let incarnation = entry.row.incarnation();
        if self
            .stored_incarnation(&entry.key)?
            .is_some_and(|stored| stored >= incarnation)
        {
            return Ok(());
        }
        let user = user_of(fact_key).map_err(|reason| StoreError::corrupt(&entry.key, reason))?;
        let purged = crate::purge::marks(self.store, &user, channel, incarnation);
        self.note_purged(purged)
    }

    fn purge(&mut self) -> Result<(), StoreError> {
        for (partition, clock) in std::mem::take(&mut self.erasures) {
            let purged = match &partition {
                Partition::User(user) => self.store.purge_user(user, clock),
                Partition::Channel(channel) => self.store.purge_channel(channel, clock),
            };
            self.note_purged(purged)?;
        }
        Ok(())
    }

    /// A purge that meets a damaged row is reported and given up: it must not keep everything else
    /// out of the store.
    fn note_purged(&mut self, purged: Result<Purged, StoreError>) -> Result<(), StoreError> {
        match purged {
            Ok(purged) => self.flushed.purged.add(purged),
            Err(error @ StoreError::Corrupt { .. }) => {
                self.flushed.damage = Some(error.to_string())
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn user_name(app: &str, user: &str) -> String {
    format!("{app}\0{user}")
}

fn user_of(key: &FactKey<'_>) -> Result<UserKey, DecodeError> {
    Ok(UserKey::new(&App::new(key.app)?, key.owner)?)
}

fn partition_of(key: &FactKey<'_>) -> Result<Partition, DecodeError> {
    if key.is_of_user() {
        return Ok(Partition::User(user_of(key)?));
    }
    Ok(Partition::Channel(ChannelKey::new(
        &App::new(key.app)?,
        key.owner,
    )?))
}
