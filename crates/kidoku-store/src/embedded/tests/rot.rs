//! Rot in the files of a store.

use super::super::*;
use crate::key::{self, erasure_key};
use crate::{KeyRow, Layers, Overlay, Skipped};
use kidoku_core::clock::Clock;
use kidoku_core::fact::{Fact, Partition};
use kidoku_core::id::{App, UserKey};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

const USERS: u64 = 4_000;

/// A directory that goes with its value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("kidoku-rot-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// A copy of another one.
    fn copy_of(&self, other: &Self) {
        drop(fs::remove_dir_all(&self.0));
        copy(&other.0, &self.0);
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut dirs = vec![self.0.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if fs::metadata(&path).unwrap().len() > 0 {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    fn table(&self) -> PathBuf {
        self.table_of("1")
    }

    fn table_of(&self, keyspace: &str) -> PathBuf {
        let mut tables = self.files();
        let part = format!("/keyspaces/{keyspace}/tables/");
        tables.retain(|path| path.to_string_lossy().contains(&part));
        tables.sort_by_key(|path| fs::metadata(path).unwrap().len());
        tables.pop().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn user(number: u64) -> UserKey {
    UserKey::new(&App::default_app(), &format!("user-{number:05}")).unwrap()
}

fn user_erasure(number: u64) -> Vec<u8> {
    erasure_key(&Partition::User(user(number)))
}

fn overlay(numbers: impl Iterator<Item = u64>, clock: u64) -> Overlay {
    let mut overlay = Overlay::default();
    for number in numbers {
        // Spread, so that a block does not shrink to nothing.
        let clock = Clock((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8 | clock);
        let user = user(number);
        overlay.merge(&Fact::UserErased { user, clock });
    }
    overlay
}

fn fill(store: &Embedded, overlay: &Overlay) {
    let group: Vec<Entry<'_>> = overlay.range(&[], &[u8::MAX]).collect();
    store.apply(&group).unwrap();
    store.sync().unwrap();
}

fn open(scratch: &Scratch) -> Arc<Embedded> {
    Arc::new(Embedded::open_settled(&scratch.store(), EmbeddedOptions::default()).unwrap())
}

fn accept(store: &Embedded) -> Repair {
    store.accept_loss(&mut |_, _| Ok(())).unwrap()
}

fn sound() -> (Scratch, Vec<KeyRow>) {
    let name = format!("sound-{:?}", std::thread::current().id());
    let scratch = Scratch::new(&name);
    let store = open(&scratch);
    fill(&store, &overlay(0..USERS, 1));
    store.settle_files().unwrap();
    let rows = store.range(&[], &[u8::MAX], usize::MAX).unwrap();
    assert_eq!(rows.len(), usize::try_from(USERS).unwrap());
    drop(store);
    (scratch, rows)
}

/// Whether a file is a version, or the guard of one, after which there is a later one. Nobody reads it.
fn is_superseded(file: &Path, all: &[PathBuf]) -> bool {
    let version = |path: &Path| {
        let name = path.to_str()?.trim_end_matches(".guard").to_owned();
        let (keyspace, number) = name.rsplit_once('v')?;
        Some((keyspace.to_owned(), number.parse::<u64>().ok()?))
    };
    let Some((keyspace, number)) = version(file) else {
        return false;
    };
    let mut others = all.iter().filter_map(|other| version(other));
    others.any(|(other, later)| other == keyspace && later > number)
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 4;
    let modified = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(&byte, at).unwrap();
    // Rot leaves no trace in the times.
    file.set_modified(modified).unwrap();
}

#[test]
fn one_rotten_bit_of_any_file_costs_nothing_and_is_told() {
    let (sound, rows) = sound();
    let rotten = Scratch::new("rotten");
    for file in sound.files() {
        let name = file.strip_prefix(&sound.0).unwrap();
        let length = fs::metadata(&file).unwrap().len();
        let is_scratch = name.extension().is_some_and(|ending| ending == "jnl");
        let is_scratch = is_scratch || is_superseded(&file, &sound.files());
        for at in [0, length / 2, length - 1] {
            rotten.copy_of(&sound);
            flip(&rotten.0.join(name), at);
            let store = open(&rotten);
            let found = store.range(&[], &[u8::MAX], usize::MAX).unwrap();
            assert!(found == rows, "{name:?} at {at}");
            store.keeper.guards().look_on(1_000).unwrap();
            assert_eq!(store.settled_lsn(), 0, "{name:?} at {at}");
            let report = store.rot().report();
            assert_eq!(
                report.is_empty(),
                is_scratch,
                "{name:?} at {at}: {report:?}"
            );
            assert_eq!(
                (report.blocks_lost, report.rebuilt),
                (0, 0),
                "{name:?} at {at}"
            );
        }
    }
}

#[test]
fn a_version_written_again_is_not_taken_back_to_what_its_guard_was_made_of() {
    let (scratch, rows) = sound();
    let mut versions = scratch.files();
    versions.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        path.starts_with(scratch.store()) && name.starts_with('v') && name != "version"
    });
    assert!(versions.len() >= 3, "{versions:?}");
    // What a failed write leaves behind under a version's number, and its guard.
    versions.iter().for_each(|path| flip(path, 20));
    Guards::of(&scratch.store(), Rot::default())
        .renew()
        .unwrap();
    versions.iter().for_each(|path| flip(path, 20));
    let store = open(&scratch);
    assert!(store.range(&[], &[u8::MAX], usize::MAX).unwrap() == rows);
    assert!(
        store.rot().report().is_empty(),
        "{:?}",
        store.rot().report()
    );
}

#[test]
fn a_block_that_rots_while_the_store_is_open_is_given_back_to_the_reader() {
    let (scratch, rows) = sound();
    let store = open(&scratch);
    flip(&scratch.table(), 2_000);
    assert!(store.range(&[], &[u8::MAX], usize::MAX).unwrap() == rows);
    assert_eq!(store.rot().report().blocks_mended, 1);
}

#[test]
fn a_block_that_many_readers_find_rotten_at_once_is_given_back_once_and_to_all() {
    let (scratch, rows) = sound();
    let store = open(&scratch);
    for round in 0..4 {
        flip(&scratch.table(), 2_000 + round);
        std::thread::scope(|scope| {
            let look_on = || store.keeper.guards().look_on(1_000).unwrap();
            scope.spawn(look_on);
            for _ in 0..3 {
                scope.spawn(|| {
                    assert!(store.range(&[], &[u8::MAX], usize::MAX).unwrap() == rows);
                });
            }
        });
        let report = store.rot().report();
        assert_eq!((report.blocks_mended, report.blocks_lost), (round + 1, 0));
    }
}

#[test]
fn what_is_not_settled_is_not_there_after_a_start_and_what_is_written_later_wins() {
    let (scratch, rows) = sound();
    let store = open(&scratch);
    fill(&store, &overlay(USERS..USERS + 10, 1));
    drop(store);
    let store = open(&scratch);
    assert_eq!(store.range(&[], &[u8::MAX], usize::MAX).unwrap(), rows);
    // A row that is written again must be read back: its number comes after those of the tables.
    fill(&store, &overlay(0..1, u64::MAX >> 8));
    let row = store.get(&user_erasure(0)).unwrap().unwrap();
    assert_eq!(row.incarnation(), Clock(u64::MAX >> 8));
    store.settle_files().unwrap();
    drop(store);
    let store = open(&scratch);
    let row = store.get(&user_erasure(0)).unwrap().unwrap();
    assert_eq!(row.incarnation(), Clock(u64::MAX >> 8));
}

#[test]
fn guards_are_made_by_several_threads_at_once_without_a_failure() {
    let (scratch, _) = sound();
    let store = open(&scratch);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..5_u64 {
                    let user = USERS + thread * 100 + round;
                    fill(store, &overlay(user..user + 1, 1));
                    store.settle_files().unwrap();
                    store.keeper.guards().renew().unwrap();
                }
            });
        }
    });
    assert!(store.rot().report().is_empty());
}

#[test]
fn the_settled_lsn_is_kept_and_a_rotten_one_is_not_believed() {
    let (scratch, _) = sound();
    let store = open(&scratch);
    assert_eq!(store.settled_lsn(), 0);
    store.settle(4_711).unwrap();
    assert_eq!(store.settled_lsn(), 4_711);
    drop(store);
    let path = scratch.0.join("store.guards/settled");
    for at in 0..fs::metadata(&path).unwrap().len() {
        let store = open(&scratch);
        assert_eq!(store.settled_lsn(), 4_711);
        drop(store);
        flip(&path, at);
        let store = open(&scratch);
        assert_eq!(store.settled_lsn(), 0, "byte {at}");
        assert_eq!(store.rot().report().guards_remade, 1, "byte {at}");
        store.settle(4_711).unwrap();
    }
    let store = open(&scratch);
    store.forget_settled_lsn().unwrap();
    assert_eq!(store.settled_lsn(), 0);
}

#[test]
fn a_damaged_row_is_an_error_for_its_owner_alone_until_it_is_accepted() {
    let (scratch, _) = sound();
    let store = open(&scratch);
    store
        .put_raw(&user_erasure(7), b"nothing that was written")
        .unwrap();
    for number in 0..20 {
        let found = store.get(&user_erasure(number));
        assert_eq!(found.is_err(), number == 7, "{number}: {found:?}");
    }
    // What is merged in is kept and does not make it readable.
    fill(&store, &overlay(7..8, 1));
    assert!(store.get(&user_erasure(7)).is_err());
    store.settle_files().unwrap();
    drop(store);
    let store = open(&scratch);
    let survey = store.survey().unwrap();
    assert_eq!(
        (survey.rows, survey.damaged, survey.stretches),
        (USERS, 1, 0)
    );
    assert!(survey.listed[0].contains("user-00007"), "{survey:?}");
    assert!(
        store.get(&user_erasure(7)).is_err(),
        "a survey changes nothing"
    );
    assert!(store.rot().report().notes[0].contains("user-00007"));
    assert_eq!(accept(&store).damaged, 1);
    assert!(store.get(&user_erasure(7)).unwrap().is_some());
    assert_eq!(store.survey().unwrap().damaged, 0);
}

#[test]
fn a_store_that_does_not_open_is_built_again_from_what_can_be_read() {
    let (scratch, rows) = sound();
    let table = scratch.table();
    // Two blocks of one stripe: more than a guard gives back.
    flip(&table, 10_000);
    flip(&table, 20_000);
    let keyspace = table.parent().unwrap().parent().unwrap();
    fs::write(keyspace.join("current"), b"nonsense").unwrap();
    fs::remove_dir_all(scratch.0.join("store.guards")).unwrap();
    fs::create_dir(scratch.0.join("store.guards")).unwrap();
    let store = open(&scratch);
    let report = store.rot().report();
    assert_eq!(report.rebuilt, 1, "{report:?}");
    let mut errors = 0;
    for (key, row) in &rows {
        match store.get(key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(row)),
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 0 && errors < 1_500, "{errors} of {}", rows.len());
    assert!(store.get(&user_erasure(USERS)).unwrap().is_none());
    let aside: Vec<_> = fs::read_dir(&scratch.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("store.damaged-"))
        .collect();
    assert_eq!(aside.len(), 2, "store and guards: {aside:?}");
    drop(store);
    // It is still known at the next start, and gone once it is accepted.
    let store = open(&scratch);
    assert!(store.rot().report().rows_damaged > 0);
    assert!(store.range(&[], &[u8::MAX], 10_000).is_err());
    assert_scan_is_whole(&store, &rows);
    let stretches = accept(&store).stretches;
    assert!(
        (1..=2).contains(&stretches),
        "blocks may be neighbours: {stretches}"
    );
    let left = store.range(&[], &[u8::MAX], 10_000).unwrap().len();
    assert_eq!(left, rows.len() - errors);
    drop(store);
    // It is told until that is ended too.
    let store = open(&scratch);
    assert_eq!(store.rot().report().accepted, stretches);
    assert_eq!(accept(&store).accepted.len() as u64, stretches);
    drop(store);
    assert!(open(&scratch).rot().report().is_empty());
}

/// What a scan gives is what is there, and what it leaves out is named by its owner or lies in a
/// stretch; returns how many owners it leaves out.
fn assert_scan_is_whole(store: &Arc<Embedded>, rows: &[KeyRow]) -> (usize, usize) {
    let layers = Layers::new(Arc::clone(store) as Arc<dyn Store>);
    let (mut found, mut owners, mut stretches) = (Vec::new(), Vec::new(), 0);
    let mut after = None;
    loop {
        let page = layers
            .scan(&App::default_app(), after.as_ref(), 500)
            .unwrap();
        found.extend(page.facts.iter().map(|fact| fact.partition()));
        for skipped in page.skipped {
            match skipped {
                Skipped::Owner(damaged) => owners.push(damaged.owner),
                Skipped::Stretch { .. } => stretches += 1,
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let readable = rows
        .iter()
        .filter(|(key, _)| store.get(key).is_ok_and(|row| row.is_some()));
    let owner = |key: &[u8]| match key::parse(key).unwrap() {
        key::Key::Fact(key) => {
            Partition::User(UserKey::new(&App::default_app(), key.owner).unwrap())
        }
        key::Key::Roster { .. } => unreachable!("there are users only"),
    };
    let mut due: Vec<Partition> = readable.map(|(key, _)| owner(key)).collect();
    due.retain(|owner| !owners.contains(owner));
    // The engine reads two rows ahead, so that many before a bad block can be had one by one only.
    assert!(due.len() - found.len() <= 2 * stretches, "{owners:?}");
    due.retain(|owner| stretches == 0 || found.contains(owner));
    assert!(found == due, "{} found, {} due", found.len(), due.len());
    (owners.len(), stretches)
}

#[test]
fn a_scan_leaves_out_what_is_damaged_and_names_it() {
    let (scratch, rows) = sound();
    let store = open(&scratch);
    assert_eq!(assert_scan_is_whole(&store, &rows), (0, 0));
    for number in [0, 7, 8, USERS - 1] {
        assert!(store.damage(&user_erasure(number)).unwrap());
    }
    assert!(!store.damage(&user_erasure(USERS)).unwrap());
    assert_eq!(assert_scan_is_whole(&store, &rows), (4, 0));
}

#[test]
fn a_block_that_can_not_be_given_back_costs_what_is_in_it_until_it_is_accepted() {
    let (scratch, rows) = sound();
    // The first block, where no row tells what it begins with, and one in the middle.
    for at in [300, 20_000] {
        let rotten = Scratch::new("block");
        rotten.copy_of(&scratch);
        let guards = rotten.0.join("store.guards");
        let store = open(&rotten);
        fs::remove_dir_all(&guards).unwrap();
        fs::create_dir(&guards).unwrap();
        flip(&rotten.table(), at);
        let (owners, stretches) = assert_scan_is_whole(&store, &rows);
        assert!(owners <= 2 && stretches == 1, "{at}: {owners} {stretches}");
        let survey = store.survey().unwrap();
        assert_eq!((survey.damaged, survey.unreadable), (0, 1), "{survey:?}");
        let lost = rows.len() - usize::try_from(survey.rows).unwrap();
        assert!(lost > 0 && lost < 1_500, "{at}: {lost} lost");
        drop(store);
        let built = Embedded::open_rebuilt(&rotten.store(), EmbeddedOptions::default());
        let store = Arc::new(built.unwrap());
        assert_eq!(accept(&store).stretches, 1);
        let left = store.range(&[], &[u8::MAX], 10_000).unwrap().len();
        let least = rows.len() - lost;
        assert!((least..rows.len()).contains(&left), "{left} of {least}");
        assert_eq!(assert_scan_is_whole(&store, &rows), (0, 0));
    }
}

#[test]
fn a_keyspace_that_the_engine_would_remove_is_never_shown_to_it() {
    let (scratch, rows) = sound();
    for lost in ["store/version", "store/keyspaces/1/current"] {
        let copied = Scratch::new("parts");
        copied.copy_of(&scratch);
        fs::remove_file(copied.0.join(lost)).unwrap();
        let store = open(&copied);
        assert_eq!(store.rot().report().rebuilt, 1, "{lost}");
        assert_eq!(
            store.range(&[], &[u8::MAX], usize::MAX).unwrap(),
            rows,
            "{lost}"
        );
    }
    let (_, end) = key::partition_range(&Partition::User(user(3)));
    assert!(end > user_erasure(3));
}

#[test]
fn named_values_that_can_not_be_read_do_not_keep_a_store_from_opening() {
    let (scratch, rows) = sound();
    flip(&scratch.table_of("2"), 50);
    let guards = scratch.0.join("store.guards");
    fs::remove_dir_all(&guards).unwrap();
    fs::create_dir(&guards).unwrap();
    let store = open(&scratch);
    assert_eq!(store.rot().report().rebuilt, 1);
    assert!(store.range(&[], &[u8::MAX], usize::MAX).unwrap() == rows);
    assert_eq!(store.survey().unwrap().stretches, 0);
}

#[test]
fn what_the_log_has_lost_is_told_until_it_is_accepted_and_then_flagged() {
    let (scratch, _) = sound();
    let losses = [(1, "one".to_owned()), (2, "two".to_owned())];
    for _ in 0..2 {
        let store = open(&scratch);
        store.note_log_losses(&losses).unwrap();
        let report = store.rot().report();
        assert_eq!((report.facts_lost, report.notes.len()), (3, 2));
    }
    let store = open(&scratch);
    let repair = accept(&store);
    assert_eq!((repair.facts_lost, repair.is_damaged()), (3, true));
    drop(store);
    let store = open(&scratch);
    // The log may still have the place.
    store.note_log_losses(&losses).unwrap();
    let report = store.rot().report();
    assert_eq!((report.facts_lost, report.accepted), (0, 2));
    drop(store);
    // A store that is built again still knows.
    fs::remove_file(scratch.0.join("store/version")).unwrap();
    let store = open(&scratch);
    let report = store.rot().report();
    assert_eq!((report.rebuilt, report.accepted), (1, 2));
}
