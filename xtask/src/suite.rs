//! Every check and every test, with the numbers at the end.

use crate::gates;
use crate::program::{self, cargo_path, command};
use crate::setup;
use std::time::{Duration, Instant};

/// What all gates together may take of a run on two cores.
const GATES_SHARE: Duration = Duration::from_secs(25 * 60);

/// What came out so far.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Steps that failed, by name.
    broken: Vec<String>,
    /// How long each step took, in order.
    took: Vec<(String, Duration)>,
}

impl Tally {
    /// Runs a check that is not a cargo test: it counts as one test.
    fn check<T>(&mut self, name: &str, check: impl FnOnce() -> Result<T, String>) {
        let begun = Instant::now();
        match check() {
            Ok(_) => self.passed += 1,
            Err(why) => {
                println!("    {why}");
                self.failed += 1;
                self.broken.push(why);
            }
        }
        self.took.push((name.to_owned(), begun.elapsed()));
    }

    /// Prints where the time went.
    fn print_times(&self) {
        println!("\nseconds  step");
        for (name, took) in &self.took {
            println!("{:7.1}  {name}", took.as_secs_f64());
        }
        let gates = self
            .took
            .iter()
            .filter(|(name, _)| name.starts_with("gate "));
        let gates: Duration = gates.map(|(_, took)| *took).sum();
        println!(
            "{:7.1}  all gates, of the {} that they may take",
            gates.as_secs_f64(),
            GATES_SHARE.as_secs()
        );
    }

    /// Adds up one line of `cargo test`: `test result: ok. 3 passed; 0 failed; 0 ignored; ...`.
    fn line(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        let mut before = 0;
        for word in rest.split(|c: char| c.is_whitespace() || c == ';') {
            match word {
                "passed" => self.passed += before,
                "failed" => self.failed += before,
                "ignored" => self.ignored += before,
                _ => before = word.parse().unwrap_or(before),
            }
        }
    }
}

/// Installs what is needed and runs everything; goes on after a failure, to show all of them.
///
/// # Errors
/// Which steps failed.
pub(crate) fn run() -> Result<(), String> {
    let begun = Instant::now();
    setup::run()?;
    let mut tally = Tally::default();
    tally.took.push(("setup".to_owned(), begun.elapsed()));
    tally.check("format", || program::cargo(&["fmt", "--all", "--check"]));
    tally.check("clippy", clippy);
    test(&mut tally);
    tally.check("documentation", document);
    tally.check("build for the gates", gates::build);
    for gate in gates::GATES {
        tally.check(&format!("gate {}", gate.name), || gate.run());
    }
    tally.print_times();
    println!(
        "\nall checks and tests: {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    for why in &tally.broken {
        println!("broken: {why}");
    }
    if tally.ignored > 0 {
        println!("{} ignored", tally.ignored);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 && tally.broken.is_empty() {
        Ok(())
    } else {
        Err("see above".to_owned())
    }
}

fn clippy() -> Result<(), String> {
    program::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ])
}

fn test(tally: &mut Tally) {
    let begun = Instant::now();
    let failed_before = tally.failed;
    let args = ["test", "--workspace", "--locked", "--no-fail-fast"];
    let outcome = program::run_lines("cargo test", &mut command(&cargo_path(), &args), |l| {
        tally.line(l)
    });
    if let Err(why) = outcome {
        // The tests that failed are in the sum already; a build that failed has no sum.
        tally.failed = tally.failed.max(failed_before + 1);
        tally.broken.push(why);
    }
    tally.took.push(("tests".to_owned(), begun.elapsed()));
}

fn document() -> Result<(), String> {
    let args = ["doc", "--workspace", "--no-deps", "--locked", "--quiet"];
    program::run(
        "cargo doc",
        command(&cargo_path(), &args).env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// Writes the generated files again: the tests that compare them write instead when told so.
///
/// # Errors
/// The tests could not be built, or something but the files is wrong.
pub(crate) fn generate() -> Result<(), String> {
    let args = [
        "test",
        "--package",
        "kidoku",
        "--test",
        "it",
        "--",
        "generated::",
        "transcripts::",
    ];
    program::run(
        "generate",
        command(&cargo_path(), &args).env("KIDOKU_BLESS", "1"),
    )
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn the_result_lines_of_all_test_programs_are_added_up() {
        let mut tally = Tally::default();
        tally.line("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.line("running 3 tests");
        tally.line("test result: FAILED. 2 passed; 1 failed; 0 ignored; finished in 0.00s");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (14, 1, 1));
    }
}
