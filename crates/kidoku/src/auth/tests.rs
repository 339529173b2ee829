use super::secret::{Digest, hex, split};
use super::{
    AuthMode, KeyRecord, KeyText, Keys, KeysError, Lock, RELOAD_INTERVAL_MS, Table,
    create_root_if_missing, grant, now, read_root_key, root_key_path,
};
use crate::cmd::scratch::Scratch;
use kidoku_core::clock::Millis;
use kidoku_core::id::App;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;

const NOW: Millis = Millis(1_000_000);

fn app(name: &str) -> App {
    App::new(name).unwrap()
}

fn add(dir: &Path, record: KeyRecord) {
    let lock = Lock::take(dir).unwrap();
    let mut table = Table::read(dir).unwrap();
    table.add(record);
    table.write(dir, &lock).unwrap();
}

fn key(name: &str, root: bool, expires: Option<Millis>) -> (KeyRecord, KeyText) {
    KeyRecord::new(app(name), root, NOW, expires).unwrap()
}

/// A table that has been through the file once.
fn table_of(records: Vec<KeyRecord>) -> Table {
    let scratch = Scratch::new();
    for record in records {
        add(scratch.path(), record);
    }
    Table::read(scratch.path()).unwrap()
}

#[test]
fn a_key_opens_its_own_app_and_no_other() {
    let (record, text) = key("chat", false, None);
    let id = record.id.clone();
    let table = table_of(vec![record]);
    let granted = grant(&table, NOW, text.as_str(), None).unwrap();
    assert_eq!(
        (granted.app, granted.root, granted.key_id),
        (app("chat"), false, id)
    );
    assert!(grant(&table, NOW, text.as_str(), Some("chat")).is_some());
    assert!(grant(&table, NOW, text.as_str(), Some("mail")).is_none());
}

#[test]
fn the_root_key_may_choose_any_valid_app() {
    let (record, text) = key("default", true, None);
    let table = table_of(vec![record]);
    assert_eq!(
        grant(&table, NOW, text.as_str(), None).unwrap().app,
        app("default")
    );
    let chosen = grant(&table, NOW, text.as_str(), Some("mail")).unwrap();
    assert_eq!((chosen.app, chosen.root), (app("mail"), true));
    assert!(grant(&table, NOW, text.as_str(), Some("Not An App")).is_none());
}

#[test]
fn a_key_that_differs_in_any_character_is_refused() {
    let (record, text) = key("chat", false, None);
    let table = table_of(vec![record]);
    let good = text.as_str();
    for at in 0..good.len() {
        let mut bytes = good.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
        let tampered = String::from_utf8(bytes).unwrap();
        assert!(
            grant(&table, NOW, &tampered, None).is_none(),
            "character {at}"
        );
    }
    let shorter: String = good.chars().take(good.len() - 1).collect();
    let long = format!("kd_00000000_{}", "a".repeat(1 << 20));
    for wrong in [
        shorter.as_str(),
        &format!("{good}x"),
        &long,
        "",
        "kd_",
        "kd__",
        "kd_00000000_",
    ] {
        assert!(grant(&table, NOW, wrong, None).is_none());
    }
}

#[test]
fn the_empty_secret_never_matches_the_stand_in_of_an_unknown_id() {
    let table = Table::default();
    assert!(grant(&table, NOW, "kd_00000000_", None).is_none());
    assert!(grant(&table, NOW, "", None).is_none());
}

#[test]
fn a_key_is_valid_up_to_its_expiry_and_not_from_then_on() {
    let (record, text) = key("chat", false, Some(Millis(2_000_000)));
    let table = table_of(vec![record]);
    assert!(grant(&table, Millis(1_999_999), text.as_str(), None).is_some());
    assert!(grant(&table, Millis(2_000_000), text.as_str(), None).is_none());
}

#[test]
fn a_revoked_key_is_refused_and_still_listed() {
    let (record, text) = key("chat", false, None);
    let id = record.id.clone();
    let mut table = table_of(vec![record]);
    assert!(table.revoke(&id, Millis(5)));
    assert!(!table.revoke(&id, Millis(6)));
    assert!(!table.revoke("00000000", Millis(6)));
    let table = table_of(table.records().into_iter().cloned().collect());
    assert!(grant(&table, NOW, text.as_str(), None).is_none());
    assert_eq!(table.records()[0].revoked, Some(Millis(5)));
}

#[test]
fn the_file_holds_no_secret_and_only_its_owner_may_read_it() {
    let scratch = Scratch::new();
    let (record, text) = key("chat", false, Some(Millis(7)));
    add(scratch.path(), record.clone());
    let path = scratch.path().join("keys.json");
    let stored = fs::read_to_string(&path).unwrap();
    let (_, secret) = split(text.as_str()).unwrap();
    assert!(!stored.contains(secret));
    assert!(!format!("{record:?} {text:?}").contains(secret));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        Table::read(scratch.path()).unwrap().records(),
        vec![&record]
    );
}

#[test]
fn a_damaged_file_is_an_error_and_not_an_empty_table() {
    let (record, _) = key("chat", false, None);
    let scratch = Scratch::new();
    add(scratch.path(), record);
    let path = scratch.path().join("keys.json");
    let good = fs::read_to_string(&path).unwrap();
    let half: String = good.chars().take(good.len() / 2).collect();
    let other_version = good.replace("\"version\": 1", "\"version\": 2");
    for bad in [
        "",
        "{}",
        half.as_str(),
        other_version.as_str(),
        &good.replace("chat", "Chat"),
        &good.replace("chat", "chav"),
    ] {
        fs::write(&path, bad).unwrap();
        assert!(
            matches!(Table::read(scratch.path()), Err(KeysError::Corrupt { .. })),
            "{bad}"
        );
    }
}

#[test]
fn the_root_key_is_made_once_and_its_text_is_private() {
    let scratch = Scratch::new();
    let dir = scratch.path().join("data");
    assert!(create_root_if_missing(&dir).unwrap());
    let path = root_key_path(&dir);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = read_root_key(&dir).unwrap().unwrap();
    assert!(!create_root_if_missing(&dir).unwrap());
    assert_eq!(read_root_key(&dir).unwrap().unwrap(), text);
    let keys = Keys::open_dir(&dir, AuthMode::Keyed).unwrap();
    assert!(keys.check(&text, Some("any-app")).unwrap().root);
    assert!(keys.open().is_none());
    assert_eq!(read_root_key(scratch.path()).unwrap(), None);
}

#[test]
fn a_server_follows_the_file_within_a_second_and_keeps_its_keys_while_it_is_damaged() {
    let scratch = Scratch::new();
    let dir = scratch.path();
    let keys = Keys::open_dir(dir, AuthMode::Keyed).unwrap();
    let (record, text) = key("chat", false, None);
    let id = record.id.clone();
    add(dir, record);
    // As if the last look had been a second ago, instead of waiting for one.
    let due = || {
        keys.looked_ms
            .store(now().0 - RELOAD_INTERVAL_MS, Ordering::Relaxed)
    };
    due();
    assert!(keys.check(text.as_str(), None).is_some());
    fs::write(dir.join("keys.json"), "{").unwrap();
    due();
    assert!(keys.check(text.as_str(), None).is_some());
    fs::remove_file(dir.join("keys.json")).unwrap();
    let (mut again, _) = key("chat", false, None);
    again.revoked = Some(NOW);
    add(dir, again);
    due();
    assert!(
        keys.check(text.as_str(), None).is_none(),
        "key {id} is gone from the file"
    );
}

#[test]
fn under_dev_everyone_is_in_the_default_app_without_root_rights() {
    let scratch = Scratch::new();
    let granted = Keys::open_dir(scratch.path(), AuthMode::Dev)
        .unwrap()
        .open()
        .unwrap();
    assert_eq!((granted.app, granted.root), (App::default_app(), false));
}

#[test]
fn keys_have_their_form_and_are_all_different() {
    let mut seen: Vec<String> = (0..100)
        .map(|_| KeyText::random().unwrap().1.as_str().to_owned())
        .collect();
    for text in &seen {
        let (id, secret) = split(text).unwrap();
        assert_eq!((text.len(), id.len(), secret.len()), (64, 8, 52));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 100);
}

#[test]
fn a_digest_reads_back_from_its_digits_and_from_nothing_else() {
    let digest = Digest::of("abc");
    // SHA-256 of "abc", FIPS 180-2 appendix B.1.
    let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest.to_hex(), digits);
    assert_eq!(Digest::from_hex(digits), Some(digest));
    assert_eq!(hex(&[0, 255, 16]), "00ff10");
    for wrong in [
        "",
        "ba",
        "b",
        &format!("{digits}00"),
        &digits.replace('b', "g"),
    ] {
        assert_eq!(Digest::from_hex(wrong), None);
    }
}
