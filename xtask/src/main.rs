//! Developer commands, all behind `cargo xtask`: one entry for people and for continuous
//! integration. Depends on nothing but the standard library, so that it builds in seconds on a
//! fresh machine. It never touches what the server does; it only runs programs and writes docs.
#![expect(
    clippy::print_stdout,
    reason = "a developer command talks to the terminal"
)]

mod conformance;
mod fuzz;
mod gates;
mod perf;
mod program;
mod setup;
mod sim;
mod suite;
mod supply;
#[cfg(test)]
mod tidy;
mod torture;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test          install what the tests need, then run every check and every test
  ci            the same, under the name continuous integration uses
  setup         only install what the tests need
  gates [NAME]  only the gates: crashes, faults, floods, conformance (part of `test`)
  torture --minutes N [--report FILE] [NAME ...]
                the gates in turn, each with fresh seeds and for longer, until the time is over; adds to
                the totals in FILE (target/torture.md)
  sim [--seed N | --seeds N | --minutes M] [--first N]
                run the simulator; a seed that fails is run again without all that it does not need
  fuzz [TARGET] [--minutes N]
                fuzz one target or all, 10 minutes if not said; `fuzz keep` takes what was
                found into the corpus
  tidy          only the checks of layout and style (part of `test`)
  gen           write the generated files again (docs/reference, transcripts)
  sbom [FILE]   write what the server is made of as CycloneDX (target/kidoku.cdx.json)
  perf [quick]  measure and write docs/performance.md
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test" | "ci"] => suite::run(),
        ["setup"] => setup::run(),
        ["gates", names @ ..] => gates::run(names),
        ["torture", options @ ..] => torture::run(options),
        ["sim", options @ ..] => sim::run(options),
        ["fuzz", words @ ..] => fuzz::run(words),
        ["tidy"] => program::cargo(&["test", "--package", "xtask"]),
        ["gen"] => suite::generate(),
        ["sbom"] => supply::write_bill("target/kidoku.cdx.json"),
        ["sbom", file] => supply::write_bill(file),
        ["perf"] => perf::run(perf::Size::Full),
        ["perf", "quick"] => perf::run(perf::Size::Quick),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("not a command: {:?}\n\n{USAGE}", args.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("\nfailed: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
