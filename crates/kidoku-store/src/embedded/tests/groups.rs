//! Groups of rows, dense and sparse, in order and not.

use super::super::*;
use crate::key::put_roster_key;
use crate::random::Random;
use crate::value::RosterRow;
use kidoku_core::clock::Clock;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;

const ROUNDS: u64 = 60;
const CHANNELS: u64 = 4;
const USERS: u64 = 3_000;
/// Rounds between two tables, so that rows are found in memory and in files.
const ROUNDS_PER_TABLE: u64 = 7;

fn key(channel: u64, user: u64) -> Vec<u8> {
    let mut key = Vec::new();
    put_roster_key(
        &mut key,
        "app",
        &format!("c{channel}"),
        &format!("u{user:05}"),
    );
    key
}

/// Some users of some channels: all of a stretch, every so many-th, or a few anywhere.
fn keys(random: &mut Random) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    for channel in 0..CHANNELS {
        let step = [1, 2, 15, 18, 40, 700][usize::try_from(random.below(6)).unwrap()];
        let first = random.below(USERS);
        let count = random.below(400);
        keys.extend((0..count).map(|n| key(channel, first + n * step)));
    }
    keys
}

#[test]
fn rows_are_merged_into_what_is_stored_however_a_group_lies_among_it() {
    let dir = std::env::temp_dir().join(format!("kidoku-groups-{}", std::process::id()));
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).unwrap();
    let store = Embedded::open(&dir.join("store"), EmbeddedOptions::default()).unwrap();
    let mut random = Random(1);
    let mut expected: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut rows: Vec<_> = keys(&mut random)
            .into_iter()
            .map(|key| (key, random.below(1_000) + 1))
            .collect();
        if round % 5 == 4 {
            // No checkpoint does so; what it costs is time, not rows.
            for _ in 0..rows.len() {
                let all = u64::try_from(rows.len()).unwrap();
                let pair = [random.below(all), random.below(all)];
                let [one, other] = pair.map(|at| usize::try_from(at).unwrap());
                rows.swap(one, other);
            }
        }
        let group: Vec<Entry<'_>> = rows
            .iter()
            .map(|(key, mark)| Entry {
                key: Cow::Borrowed(key),
                row: Cow::Owned(Row::Roster(RosterRow(Clock(*mark)))),
            })
            .collect();
        store.apply(&group).unwrap();
        for (key, mark) in rows {
            let known = expected.entry(key).or_default();
            *known = mark.max(*known);
        }
        if round % ROUNDS_PER_TABLE == 0 {
            store.settle_files().unwrap();
        }
    }
    let found = store.range(&[], &[u8::MAX], usize::MAX).unwrap();
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|(key, row)| (key, row.incarnation().0))
        .collect();
    assert_eq!(found, expected);
    drop(store);
    fs::remove_dir_all(&dir).unwrap();
}
