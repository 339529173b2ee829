//! What a flush stages: not seen before it is written, and then like anything else.

use super::super::*;
use super::Dir;
use crate::key::put_roster_key;
use crate::value::RosterRow;
use kidoku_core::clock::Clock;
use std::borrow::Cow;

/// More than are worth a table.
const MANY: u64 = 40_000;

fn open(dir: &Dir) -> Embedded {
    let options = EmbeddedOptions {
        table_rows_min: 16_384,
        ..EmbeddedOptions::default()
    };
    Embedded::open(&dir.0.join("store"), options).unwrap()
}

fn key(user: u64) -> Vec<u8> {
    let mut key = Vec::new();
    put_roster_key(&mut key, "app", "c", &format!("u{user:05}"));
    key
}

fn entries(users: impl Iterator<Item = u64>, mark: u64) -> Vec<Entry<'static>> {
    users
        .map(|user| Entry {
            key: Cow::Owned(key(user)),
            row: Cow::Owned(Row::Roster(RosterRow(Clock(mark)))),
        })
        .collect()
}

fn mark(store: &Embedded, user: u64) -> Option<u64> {
    store
        .get(&key(user))
        .unwrap()
        .map(|row| row.incarnation().0)
}

fn tables(dir: &Dir) -> usize {
    let keyspaces = std::fs::read_dir(dir.0.join("store/keyspaces")).unwrap();
    let tables = keyspaces.map(|keyspace| {
        let tables = std::fs::read_dir(keyspace.unwrap().path().join("tables"));
        tables.unwrap().count()
    });
    tables.sum()
}

#[test]
fn staged_rows_are_seen_once_they_are_written_and_win_over_older_ones() {
    let dir = Dir::new();
    let store = open(&dir);
    // Some in a table, and some in memory.
    store.apply(&entries(0..100, 5)).unwrap();
    store.settle_files().unwrap();
    store.apply(&entries(100..200, 5)).unwrap();
    // The second group is of keys below the first.
    store.begin().unwrap();
    store
        .stage(&entries(MANY / 2..MANY, 9), &Pace::unhindered())
        .unwrap();
    store
        .stage(&entries(0..MANY / 2, 9), &Pace::unhindered())
        .unwrap();
    assert_eq!(mark(&store, 50), Some(5));
    assert_eq!(mark(&store, MANY - 1), None);
    let before = tables(&dir);
    store.write_staged(&Pace::unhindered()).unwrap();
    assert!(tables(&dir) > before);
    for user in [0, 50, 150, 250, MANY / 2, MANY - 1] {
        assert_eq!(mark(&store, user), Some(9), "{user}");
    }
    let rows = store.range(&[], &[u8::MAX], usize::MAX).unwrap();
    assert_eq!(rows.len(), usize::try_from(MANY).unwrap());
    // And what is written later wins over them.
    store.apply(&entries(150..151, 12)).unwrap();
    store.remove(&[key(151)]).unwrap();
    assert_eq!((mark(&store, 150), mark(&store, 151)), (Some(12), None));
}

#[test]
fn rows_written_to_tables_are_there_without_the_journal() {
    let dir = Dir::new();
    let store = open(&dir);
    store.begin().unwrap();
    store
        .stage(&entries(0..MANY, 9), &Pace::unhindered())
        .unwrap();
    store.write_staged(&Pace::unhindered()).unwrap();
    drop(store);
    let store = Embedded::open_settled(&dir.0.join("store"), EmbeddedOptions::default()).unwrap();
    assert_eq!(
        (mark(&store, 0), mark(&store, MANY - 1)),
        (Some(9), Some(9))
    );
}

#[test]
fn what_was_staged_before_a_flush_began_is_forgotten() {
    let dir = Dir::new();
    let store = open(&dir);
    store.begin().unwrap();
    store
        .stage(&entries(0..MANY, 9), &Pace::unhindered())
        .unwrap();
    store.begin().unwrap();
    store
        .stage(&entries(0..10, 3), &Pace::unhindered())
        .unwrap();
    store.write_staged(&Pace::unhindered()).unwrap();
    assert_eq!((mark(&store, 5), mark(&store, 500)), (Some(3), None));
}
