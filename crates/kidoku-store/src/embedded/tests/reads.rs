//! What a read costs.

use super::super::*;
use crate::Overlay;
use crate::key::erasure_key;
use kidoku_core::clock::Clock;
use kidoku_core::fact::{Fact, Partition};
use kidoku_core::id::{App, UserKey};
use std::fs;

/// Rows of one table.
const TABLE_ROWS: u64 = 50_000;
/// Tables written; more than fjall leaves unmerged.
const TABLES: u64 = 6;
/// Reads measured.
const READS: u64 = 2_000;
/// What a read may fetch: a block of filter in each of two levels or so. A whole filter of 50,000 rows
/// has 60,000.
const READ_BYTES_MAX: u64 = 16 * 1024;

fn user(number: u64) -> UserKey {
    UserKey::new(&App::default_app(), &format!("u{number:08}")).unwrap()
}

fn overlay(numbers: impl Iterator<Item = u64>) -> Overlay {
    let mut overlay = Overlay::default();
    for number in numbers {
        let clock = Clock(1);
        let user = user(number);
        overlay.merge(&Fact::UserErased { user, clock });
    }
    overlay
}

/// Bytes that this thread has read from files, cached or not.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_read_that_the_cache_can_not_serve_fetches_blocks_and_not_the_filter_of_a_whole_table() {
    let dir = std::env::temp_dir().join(format!("kidoku-reads-{}", std::process::id()));
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).unwrap();
    let cache_bytes = 64 * 1024;
    let store = Embedded::open(
        &dir.join("store"),
        EmbeddedOptions {
            cache_bytes,
            ..EmbeddedOptions::default()
        },
    )
    .unwrap();
    for table in 0..TABLES {
        // Of the whole range each, so that they have to be merged.
        let overlay = overlay((0..TABLE_ROWS).map(|row| 2 * (row * TABLES + table)));
        let group: Vec<Entry<'_>> = overlay.range(&[], &[u8::MAX]).collect();
        store.apply(&group).unwrap();
        store.settle_files().unwrap();
    }
    let before = bytes_read();
    for number in 0..READS {
        // Far from one another, and between those that are there.
        let absent = 2 * (number * 7_919 % (TABLE_ROWS * TABLES)) + 1;
        let key = erasure_key(&Partition::User(user(absent)));
        assert_eq!(store.get(&key).unwrap(), None);
    }
    let each = (bytes_read() - before) / READS;
    drop(store);
    drop(fs::remove_dir_all(&dir));
    assert!(each <= READ_BYTES_MAX, "{each} bytes");
}
