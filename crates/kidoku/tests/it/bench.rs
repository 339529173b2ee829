//! `kidoku bench`: what it refuses.

use kidoku_torture::server::{TempDir, kidoku};
use std::path::Path;
use std::process::Output;

fn bench(words: &[&str], data: &Path) -> Output {
    let data = data.to_str().unwrap();
    let words = [&["bench"], words, &["--data", data]].concat();
    kidoku(&words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_is_not_of_this_machine_is_not_loaded_unless_it_is_owned() {
    let data = TempDir::new();
    let output = bench(&["ack", "--against", "192.0.2.1:7400"], data.path());
    assert_eq!(output.status.code(), Some(64));
    let complained = text(&output.stderr);
    assert!(complained.contains("--yes-i-own-this"), "{complained}");
    assert_eq!(text(&output.stdout), "");
}
