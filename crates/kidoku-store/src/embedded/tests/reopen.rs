//! Going on after a failed write.

use super::super::{Embedded, EmbeddedOptions, Store};
use super::Dir;
use crate::{Overlay, Pace, StoreError};
use kidoku_core::clock::Clock;
use std::fs;
use std::sync::atomic::Ordering;

fn journals(path: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".jnl"))
        .collect();
    names.sort();
    names
}

#[test]
fn after_a_failed_write_the_store_opens_itself_with_a_journal_of_its_own() {
    let dir = Dir::new();
    let path = dir.0.join("store");
    let store = Embedded::open(&path, EmbeddedOptions::default()).unwrap();
    store.meta_put("before", b"1").unwrap();
    store.sync().unwrap();
    let old = journals(&path);
    store.has_failed.store(true, Ordering::Release);
    assert_eq!(store.meta_get("before").unwrap().unwrap(), b"1");
    assert_eq!(store.reopened(), 0, "reading opens nothing");
    for round in 1..4_u8 {
        store.has_failed.store(true, Ordering::Release);
        store.meta_put("after", &[round]).unwrap();
        store.sync().unwrap();
        assert_eq!(store.reopened(), u64::from(round));
        assert_eq!(store.meta_get("before").unwrap().unwrap(), b"1");
    }
    let new = journals(&path);
    assert!(new.last() > old.last(), "{new:?} after {old:?}");
    drop(store);
    let store = Embedded::open(&path, EmbeddedOptions::default()).unwrap();
    assert_eq!(store.meta_get("before").unwrap().unwrap(), b"1");
    assert_eq!(store.meta_get("after").unwrap().unwrap(), [3]);
}

#[test]
fn while_the_disk_takes_nothing_the_store_can_still_be_read() {
    let dir = Dir::new();
    let path = dir.0.join("store");
    let store = Embedded::open(&path, EmbeddedOptions::default()).unwrap();
    store.meta_put("name", b"1").unwrap();
    store.sync().unwrap();
    store.has_failed.store(true, Ordering::Release);
    // A directory of the probe's name stands for a disk that takes no file.
    let obstacle = path.join("probe.tmp");
    fs::create_dir(&obstacle).unwrap();
    store.meta_put("name", b"2").unwrap_err();
    assert_eq!(store.meta_get("name").unwrap().unwrap(), b"1");
    fs::remove_dir(&obstacle).unwrap();
    store.meta_put("name", b"3").unwrap();
    assert_eq!(store.meta_get("name").unwrap().unwrap(), b"3");
}

#[test]
fn a_store_that_could_not_be_opened_again_at_once_is_opened_by_a_later_flush() {
    let dir = Dir::new();
    let path = dir.0.join("store");
    let store = Embedded::open(&path, EmbeddedOptions::default()).unwrap();
    store.meta_put("name", b"1").unwrap();
    store.sync().unwrap();
    // A directory in the place of a file stands for a disk that fails while the store is opened.
    let (file, aside) = (path.join("version"), path.join("aside"));
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    store.has_failed.store(true, Ordering::Release);
    let (overlay, pace) = (Overlay::default(), Pace::unhindered());
    let flush = || crate::flush(&store, &overlay, Clock::NEVER, &pace);
    flush().unwrap_err();
    assert!(matches!(
        store.meta_get("name"),
        Err(StoreError::NotReopened)
    ));
    flush().unwrap_err();
    fs::remove_dir(&file).unwrap();
    fs::rename(&aside, &file).unwrap();
    flush().unwrap();
    assert_eq!(store.meta_get("name").unwrap().unwrap(), b"1");
    assert_eq!(store.reopened(), 1);
}
