//! Erasure: removes from the store what is older than an erasure.
//!
//! Works in pages and from the outside in: what is found through a row goes before the row, so that
//! a purge that is broken off finds the rest when it is repeated.

use crate::key::{self, Key, Mark};
use crate::load::{PAGE_ROWS, parse};
use crate::value::Row;
use crate::{Entry, KeyRow, Store, StoreError};
use kidoku_core::clock::Clock;
use kidoku_core::fact::{FactKey, Incarnation, MessageRow, Part, Partition, Value};
use kidoku_core::id::{ChannelKey, MessageId, Position, UserKey};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Rows of the partition.
    pub rows: u64,
    /// The user's entries in the rosters of channels.
    pub rosters: u64,
    /// Messages that lost their author's name.
    pub authors: u64,
}

impl Purged {
    /// Adds another purge's numbers.
    pub(crate) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.rosters += other.rosters;
        self.authors += other.authors;
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Calls `each` for pages of the rows of a range that are older than `oldest`, then removes them.
/// Gives how many there were.
fn remove_older<S: Store + ?Sized>(
    store: &S,
    range: key::KeyRange,
    oldest: Incarnation,
    mut each: impl FnMut(&[KeyRow]) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let (mut from, end) = range;
    let mut removed = 0;
    loop {
        let mut page = store.range(&from, &end, PAGE_ROWS)?;
        let next = page
            .last()
            .filter(|_| page.len() >= PAGE_ROWS)
            .map(|(key, _)| key.clone());
        page.retain(|(_, row)| row.incarnation() < oldest);
        if !page.is_empty() {
            each(&page)?;
            let keys: Vec<Vec<u8>> = page.into_iter().map(|(key, _)| key).collect();
            store.remove(&keys)?;
            removed += count(keys.len());
        }
        let Some(mut next) = next else {
            return Ok(removed);
        };
        next.push(0);
        from = next;
    }
}

/// See [`Store::purge_user`].
pub(crate) fn user<S: Store + ?Sized>(
    store: &S,
    user: &UserKey,
    erased: Clock,
) -> Result<Purged, StoreError> {
    let mut purged = Purged::default();
    let range = key::erasable_range(&Partition::User(user.clone()));
    let rows = remove_older(store, range, erased, |page| {
        let mut channels = BTreeSet::new();
        let mut own = Vec::new();
        for (key, _) in page {
            let Key::Fact(FactKey { part, .. }) = parse(key)? else {
                continue;
            };
            match part {
                Part::State(channel) | Part::Mention(channel, _) => {
                    channels.insert(channel);
                }
                Part::Own(channel, id) => {
                    channels.insert(channel);
                    own.push((channel, id));
                }
                Part::UserErased
                | Part::Floor(_)
                | Part::Role(_)
                | Part::ChannelDropped
                | Part::Settings
                | Part::Trim
                | Part::Message(_)
                | Part::OpaqueId(_) => {}
            }
        }
        purged.authors += drop_authors(store, user, &own)?;
        purged.rosters += leave_rosters(store, user, &channels, erased)?;
        Ok(())
    })?;
    purged.rows = rows;
    Ok(purged)
}

/// Drops the user's name from messages that still bear it.
fn drop_authors<S: Store + ?Sized>(
    store: &S,
    user: &UserKey,
    own: &[(&str, MessageId)],
) -> Result<u64, StoreError> {
    let mut rows: Vec<KeyRow> = Vec::new();
    for (channel, id) in own {
        let part = Part::Message(*id);
        let key = key::fact_key(&FactKey {
            app: user.app_str(),
            owner: channel,
            part,
        });
        let Some(Row::Fact(Value::Message(row))) = store.get(&key)? else {
            continue;
        };
        let author = row
            .posted
            .as_ref()
            .and_then(|posted| posted.author.as_ref());
        if author.is_some_and(|author| author.as_str() == user.name()) {
            let incarnation = row.incarnation;
            let row = MessageRow {
                incarnation,
                unauthored: true,
                ..MessageRow::default()
            };
            rows.push((key, Row::Fact(Value::Message(Box::new(row)))));
        }
    }
    let group: Vec<Entry<'_>> = rows
        .iter()
        .map(|(key, row)| Entry {
            key: Cow::Borrowed(key),
            row: Cow::Borrowed(row),
        })
        .collect();
    store.apply(&group)?;
    Ok(count(rows.len()))
}

fn leave_rosters<S: Store + ?Sized>(
    store: &S,
    user: &UserKey,
    channels: &BTreeSet<&str>,
    erased: Clock,
) -> Result<u64, StoreError> {
    let mut keys = Vec::new();
    for channel in channels {
        let mut key = Vec::with_capacity(64);
        key::put_roster_key(&mut key, user.app_str(), channel, user.name());
        if store
            .get(&key)?
            .is_some_and(|row| row.incarnation() < erased)
        {
            keys.push(key);
        }
    }
    store.remove(&keys)?;
    Ok(count(keys.len()))
}

/// See [`Store::purge_channel`].
pub(crate) fn channel<S: Store + ?Sized>(
    store: &S,
    channel: &ChannelKey,
    dropped: Clock,
) -> Result<Purged, StoreError> {
    let range = key::erasable_range(&Partition::Channel(channel.clone()));
    let rows = remove_older(store, range, dropped, |_| Ok(()))?;
    Ok(Purged {
        rows,
        ..Purged::default()
    })
}

/// Removes a user's mentions and own messages in a channel that are older than the state row will
/// be: what a drop of the channel leaves behind in the user's partition.
pub(crate) fn marks<S: Store + ?Sized>(
    store: &S,
    user: &UserKey,
    channel: &str,
    oldest: Incarnation,
) -> Result<Purged, StoreError> {
    let mut purged = Purged::default();
    for mark in [Mark::Mention, Mark::Own] {
        let range = key::marks_above_range(user, mark, channel, Position::START);
        purged.rows += remove_older(store, range, oldest, |_| Ok(()))?;
    }
    Ok(purged)
}
