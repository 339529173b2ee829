//! Every input that was ever kept, the corpus and what once crashed, as plain tests: they need no
//! nightly toolchain, and a fault that fuzzing found stays found.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use kidoku_fuzz::TARGETS;
use kidoku_proto::command::COMMANDS;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Bytes of all inputs together: they are in everybody's clone.
const INPUT_BYTES_MAX: u64 = 512 << 10;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files of a folder, in order; none if there is no such folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let folders = ["corpus", "regressions"];
    let folders = folders.map(|folder| fuzz_dir().join(folder).join(target));
    folders.iter().flat_map(|dir| files(dir)).collect()
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let inputs = inputs(name);
    assert!(!inputs.is_empty(), "{name} has no inputs");
    for path in &inputs {
        let data = fs::read(path).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&data)));
        assert!(outcome.is_ok(), "{} fails", path.display());
    }
    // What is random in no way: nothing at all, one byte, and a long run of each of a few.
    (target.run)(&[]);
    for byte in [0, 1, b'*', b'{', 0x7f, 0xff] {
        (target.run)(&[byte]);
        (target.run)(&[byte; 600]);
    }
}

macro_rules! replays {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_replayed_and_has_a_row_and_a_file() {
            let replayed = BTreeSet::from([$(stringify!($name)),*]);
            let known: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(replayed, known);
            let rows = fs::read_to_string(fuzz_dir().join("targets.txt")).unwrap();
            let rows: BTreeSet<&str> = rows
                .lines()
                .filter(|line| !line.starts_with('#') && !line.is_empty())
                .map(|line| line.split(' ').next().unwrap())
                .collect();
            assert_eq!(rows, known, "targets.txt");
            let found: BTreeSet<String> = files(&fuzz_dir().join("fuzz_targets"))
                .iter()
                .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            assert_eq!(found, known.into_iter().map(str::to_owned).collect());
        }
    };
}

replays!(
    config,
    event_line,
    http_body,
    index_vs_set,
    log_recovery,
    merge_laws,
    record_decode,
    resp_command,
    resp_parse,
    shard_vs_model,
    token,
);

#[test]
fn the_inputs_stay_small_and_each_folder_is_of_a_target() {
    let mut bytes = 0;
    for folder in ["corpus", "regressions"] {
        for dir in files(&fuzz_dir().join(folder)) {
            let name = dir.file_name().unwrap().to_string_lossy().into_owned();
            if !dir.is_dir() {
                continue;
            }
            assert!(TARGETS.iter().any(|target| target.name == name), "{name}");
            for file in files(&dir) {
                bytes += fs::metadata(file).unwrap().len();
            }
        }
    }
    assert!(
        bytes <= INPUT_BYTES_MAX,
        "{bytes} bytes of inputs, at most {INPUT_BYTES_MAX}: minimise the corpus"
    );
}

/// The words of the command table, in libFuzzer's form.
fn dictionary() -> String {
    let mut words = BTreeSet::new();
    for spec in &COMMANDS {
        words.insert(spec.name);
        let split = |c: char| !(c.is_ascii_uppercase() || c == '-');
        words.extend(spec.syntax.split(split).filter(|word| word.len() > 1));
        words.extend(spec.example.split(' ').filter(|word| word.len() > 1));
    }
    let mut text = String::from("# Made from the command table; see the test beside this list.\n");
    for word in words {
        text.push_str(&format!("\"{word}\"\n"));
        // As an argument of a request.
        text.push_str(&format!("\"${}\\x0d\\x0a{word}\\x0d\\x0a\"\n", word.len()));
    }
    for count in 1..=8 {
        text.push_str(&format!("\"*{count}\\x0d\\x0a\"\n"));
    }
    text
}

#[test]
fn the_dictionary_of_commands_is_made_from_the_command_table() {
    let path = fuzz_dir().join("resp.dict");
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told from outside to write what it compares"
    )]
    if std::env::var("KIDOKU_BLESS").is_ok() {
        fs::write(&path, dictionary()).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(kept == dictionary(), "run it again with KIDOKU_BLESS=1");
}
