//! `kidoku bench`: what it refuses, and that cost does not grow with what a request is about.

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

/// Costs are those of a slow build and three short rounds, but what was read from end to end would cost
/// hundreds of times as much with a thousand times as much to read.
#[test]
fn cost_does_not_grow_with_channels_members_or_messages() {
    let data = TempDir::new();
    let words = [
        "scale",
        "--rounds",
        "3",
        "--seconds",
        "0.3",
        "--warm-up",
        "0.1",
    ];
    let output = bench(&words, data.path());
    let report = text(&output.stdout);
    assert!(output.status.success(), "{report}{}", text(&output.stderr));
    let verdicts: Vec<&str> = report
        .lines()
        .filter(|line| line.contains("; aim: "))
        .collect();
    assert_eq!(verdicts.len(), 3, "{report}");
    assert!(
        verdicts.iter().all(|line| line.ends_with(", met")),
        "{report}"
    );
}
