//! Builds a store again from what can be read of one that does not open.
//!
//! Goes through the tables one by one and merges every row of every one: rows only ever merge, so
//! neither the order of the tables nor which of them counted matters. What stands in blocks that
//! can not be read is not known, so the stretch of keys between their neighbours is remembered, and
//! reading in it is an error until somebody accepts the loss. The old files stay.

use super::repair::Losses;
use super::{Embedded, EmbeddedOptions, Journal, Lost};
use crate::key::{self, KeyRange};
use crate::scan::first_readable;
use crate::value::{Row, decode_row, merge_damaged, rest_of_damaged};
use crate::{Entry, Store, StoreError};
use lsm_tree::{Cache, Checksum, InternalValue, Table, UserKey, ValueType};
use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rows merged at a time.
const GROUP_ROWS: usize = 4_096;

/// Bytes of the cache that the engine wants for reading a table.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// The keyspace of named values has none that is a row; these are the ones that are there.
const CLOCK: &[u8] = b"clock";

/// What was read of the old store.
#[derive(Debug, Default)]
struct Read {
    rows: u64,
    lost: Vec<KeyRange>,
    clock: u64,
    /// What was known to be lost before.
    losses: Losses,
}

/// Sets the store in `path` aside and builds a new one from it.
///
/// # Errors
/// When files can not be moved, or the new store can not be made or written.
pub(super) fn rebuild(
    path: &Path,
    options: EmbeddedOptions,
    guards: &Path,
    notes: &[String],
) -> Result<Embedded, StoreError> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = seconds.map_or(0, |since| since.as_secs());
    let aside = PathBuf::from(format!("{}.damaged-{seconds}", path.display()));
    let aside_guards = PathBuf::from(format!("{}.guards", aside.display()));
    fs::rename(path, &aside)?;
    if guards.exists() {
        fs::rename(guards, aside_guards)?;
    }
    let store = Embedded::open_with(path, options, Journal::Read)?;
    let rot = store.rot();
    for note in notes {
        rot.note(|_| {}, note.clone());
    }
    let mut read = Read::default();
    for table in tables(&aside, NAMED)? {
        read_table(&table, &store, &mut read)?;
    }
    // These are keys of another keyspace. What they named is asked for again, or told by the files.
    read.lost.clear();
    for table in tables(&aside, ROWS)? {
        read_table(&table, &store, &mut read)?;
    }
    if read.clock > 0 {
        store.meta_put("clock", &read.clock.to_be_bytes())?;
    }
    read.lost.extend(decode_lost(&read.losses.stretches));
    store.add_lost(&read.lost)?;
    store.keep_losses(&read.losses)?;
    store.sync()?;
    store.settle_files()?;
    let text = format!(
        "the store could not be read and was built again from {} rows that could be read and the log; {} \
         stretches of it could not be read: their owners get errors until they are accepted as lost; \
         the old files are in {}",
        read.rows,
        read.lost.len(),
        aside.display()
    );
    let lost = u64::try_from(read.lost.len()).unwrap_or(u64::MAX);
    rot.note(
        |report| {
            report.rebuilt += 1;
            report.blocks_lost += lost;
        },
        text,
    );
    Ok(store)
}

/// The directories of the keyspaces of rows and of named values.
const ROWS: &str = "1";
const NAMED: &str = "2";

/// The tables of a keyspace.
fn tables(store: &Path, keyspace: &str) -> io::Result<Vec<PathBuf>> {
    let dir = store.join("keyspaces").join(keyspace).join("tables");
    match fs::read_dir(&dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Reads a table into the new store. Of one whose own index can not be read, no key is known.
fn read_table(path: &Path, store: &Embedded, read: &mut Read) -> Result<(), StoreError> {
    let cache = Arc::new(Cache::with_capacity_bytes(CACHE_BYTES));
    let table = Table::recover(
        path.to_path_buf(),
        Checksum::from_raw(0),
        0,
        0,
        cache,
        None,
        false,
        false,
    );
    let Ok(table) = table else {
        read.lost.push((Vec::new(), vec![u8::MAX]));
        return Ok(());
    };
    let behind = |key: &[u8]| [key, &[0]].concat();
    let end = behind(table.metadata.key_range.max());
    let mut from = table.metadata.key_range.min().to_vec();
    let mut group = Vec::new();
    while from < end {
        let mut is_whole = true;
        for item in table.range(UserKey::from(from.clone())..) {
            let Ok(item) = item else {
                is_whole = false;
                break;
            };
            from = behind(&item.key.user_key);
            take(&item, store, read, &mut group)?;
            if group.len() >= GROUP_ROWS {
                apply(store, &mut group)?;
            }
        }
        if is_whole {
            break;
        }
        let next = first_readable(&from, &end, |key| {
            let first = table.range(UserKey::from(key.to_vec())..).next();
            first.is_none_or(|item| item.is_ok())
        });
        let next = next.max(behind(&from));
        read.lost.push((from, next.clone()));
        from = next;
    }
    apply(store, &mut group)
}

/// Adds a row to the group. A damaged one is lost by itself.
fn take(
    item: &InternalValue,
    store: &Embedded,
    read: &mut Read,
    group: &mut Vec<(Vec<u8>, Row)>,
) -> Result<(), StoreError> {
    let (at, bytes) = (&item.key.user_key, &item.value);
    if item.key.value_type != ValueType::Value {
        return Ok(());
    }
    if **at == *CLOCK {
        if let Ok(clock) = <[u8; 8]>::try_from(&**bytes) {
            read.clock = read.clock.max(u64::from_be_bytes(clock));
        }
        return Ok(());
    }
    if read.losses.take(at, bytes) {
        return Ok(());
    }
    if key::parse(at).is_err() {
        return Ok(());
    }
    read.rows += 1;
    match decode_row(at, bytes) {
        Ok(row) => group.push((at.to_vec(), row)),
        Err(_) => match rest_of_damaged(at, bytes) {
            Some(rest) => {
                if let Some(marked) = merge_damaged(at, &[], &rest) {
                    store.put_raw(at, &marked)?;
                }
            }
            None => {
                let mut end = at.to_vec();
                end.push(0);
                read.lost.push((at.to_vec(), end));
            }
        },
    }
    Ok(())
}

fn apply(store: &Embedded, group: &mut Vec<(Vec<u8>, Row)>) -> Result<(), StoreError> {
    // One after another, as the same key may be there twice and a batch reads before it writes.
    group.sort_by(|one, other| one.0.cmp(&other.0));
    let entries: Vec<Entry<'_>> = group
        .iter()
        .map(|(key, row)| Entry {
            key: Cow::Borrowed(key),
            row: Cow::Borrowed(row),
        })
        .collect();
    for run in runs(&entries) {
        store.apply(run)?;
    }
    group.clear();
    Ok(())
}

/// Cuts where a key comes again.
fn runs<'e, 'r>(entries: &'e [Entry<'r>]) -> Vec<&'e [Entry<'r>]> {
    let mut runs = Vec::new();
    let mut from = 0;
    for at in 1..=entries.len() {
        let again = match (entries.get(at - 1), entries.get(at)) {
            (Some(one), Some(next)) => one.key == next.key,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        if again {
            runs.extend(entries.get(from..at));
            from = at;
        }
    }
    runs
}

/// The named value with the stretches of keys that are lost.
pub(super) const LOST: &str = "lost";

/// Reads it.
pub(super) fn decode_lost(bytes: &[u8]) -> Lost {
    let mut lost = Lost::new();
    let mut rest = bytes;
    while let (Some(from), Some(end)) = (take_key(&mut rest), take_key(&mut rest)) {
        lost.push((from, end));
    }
    lost
}

fn take_key(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (key, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(key.to_vec())
}

/// Its bytes.
pub(super) fn encode_lost(lost: &[KeyRange]) -> Vec<u8> {
    let mut out = Vec::new();
    for key in lost.iter().flat_map(|(from, end)| [from, end]) {
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(key);
    }
    out
}
