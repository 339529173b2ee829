//! Measures a release build of the server beside Debian's Redis on this machine, in one run, turn
//! by turn, and writes `docs/performance.md`.
//!
//! Everything runs on loopback, on free ports, for a bounded number of requests; only what was
//! started here is stopped.

mod load;
mod measure;
mod page;
mod restart;
mod server;

use crate::program;

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// What the page is made from.
    Full,
    /// A tenth, to see that it works; writes nothing.
    Quick,
}

/// How many turns each figure is the median of.
const ROUNDS: usize = 5;

/// Requests of one run of `redis-benchmark`: as many as there are users, so that most acks move a
/// cursor.
const REQUESTS: u32 = 100_000;

/// Runs of a turn with a pipeline, which are short.
const PIPELINED_RUNS: u32 = 4;

/// Builds, measures, writes.
///
/// # Errors
/// What could not be built, started, asked or written.
pub(crate) fn run(size: Size) -> Result<(), String> {
    program::cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "kidoku",
        "--package",
        "kidoku-torture",
        "--bins",
    ])?;
    let figures = measure::all(size)?;
    let page = page::page(&figures) + &restart::section(size)?;
    println!("\n{page}");
    if size == Size::Full {
        let path = crate::root().join("docs/performance.md");
        std::fs::write(&path, page).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("written to {}", path.display());
    }
    Ok(())
}
