//! The simulator: built in a profile of its own, in which a panic of what it drives is a finding and
//! not the end.

use crate::gates::{Outcome, Turn, last_line};
use crate::program::{self, command};
use crate::root;
use std::path::PathBuf;

/// Seeds on every commit.
const SEEDS: &str = "20000";

fn build(features: &[&str]) -> Result<(), String> {
    let words = ["build", "--locked", "--profile", "sim"];
    program::cargo(&[&words[..], &["--package", "kidoku-sim"], features].concat())
}

fn path() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    target.join("sim").join("kidoku-sim")
}

fn simulate(features: &[&str], words: &[&str]) -> Outcome {
    build(features)?;
    let program = path();
    let title = format!("sim {}", words.join(" "));
    last_line(&title, &mut command(&program.to_string_lossy(), words))
}

/// On every commit: the same seeds.
///
/// # Errors
/// The seed that failed, and how.
pub(crate) fn gate() -> Outcome {
    simulate(&[], &["run", "--seeds", SEEDS])
}

/// Puts known faults in, each of which has to be found.
///
/// # Errors
/// Those that were not.
pub(crate) fn teeth() -> Outcome {
    simulate(&["--features", "planted"], &["teeth"])
}

/// In a long run: other seeds, for as long as told.
///
/// # Errors
/// As [`gate`].
pub(crate) fn turn(turn: &Turn) -> Outcome {
    // Far enough apart that turns do not repeat one another's.
    let first = (turn.seed % 1_000_000_000) * 10_000_000;
    let (first, seconds) = (first.to_string(), turn.seconds.to_string());
    simulate(&[], &["run", "--first", &first, "--seconds", &seconds])
}

/// `cargo xtask sim ...`.
///
/// # Errors
/// As [`gate`].
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    simulate(&[], &[&["run"], options].concat()).map(|_| ())
}
