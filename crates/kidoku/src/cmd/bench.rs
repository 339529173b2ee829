//! `kidoku bench`: measures this program beside others that do the same work.

use super::error::{CmdError, DATA, INTERNAL, IO, UNAVAILABLE, USAGE};
use super::out;
use kidoku_bench::{BenchError, Options};
use std::path::PathBuf;

/// Measure Kidoku beside others that do the same work
///
/// Starts all servers itself, on free ports of loopback, with data of their own that is removed
/// afterwards. Needs what it measures beside: Redis for most rows.
#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// What to measure [default: everything]; --list says what there is
    rows: Vec<String>,
    /// Say what can be measured, and do nothing
    #[arg(long)]
    list: bool,
    /// How many times each server is measured under each load, in turns
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Length of each measurement
    #[arg(long, value_name = "S", default_value_t = 3.0)]
    seconds: f64,
    /// What goes before each measurement and is not counted
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    warm_up: f64,
    /// Write the report, all figures and the raw latencies into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where servers have their data [default: the system's place for temporary files]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Measure beside these only: redis, postgres, go-lru, or none [default: all that are installed]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    beside: Option<Vec<String>>,
    /// Processors of the servers, like 0-2, or any [default: all but the last]
    #[arg(long, value_name = "LIST")]
    server_cpus: Option<String>,
    /// Processors of the load generator, or any [default: the last]
    #[arg(long, value_name = "LIST")]
    client_cpus: Option<String>,
}

impl Bench {
    pub(super) fn run(&self) -> Result<(), CmdError> {
        if self.list {
            return list();
        }
        let program = std::env::current_exe()
            .map_err(|error| CmdError::new(INTERNAL, format!("this program: {error}")))?;
        let options = Options {
            rows: self.rows.clone(),
            rounds: self.rounds,
            seconds: self.seconds,
            warm_up_seconds: self.warm_up,
            out: self.out.clone(),
            data: self.data.clone().unwrap_or_else(std::env::temp_dir),
            program,
            beside: self.beside.clone(),
            server_cpus: self.server_cpus.clone(),
            client_cpus: self.client_cpus.clone(),
        };
        let report = kidoku_bench::run(&options, &mut |line| out::complain(line))?;
        out::print(&report.text())
    }
}

fn list() -> Result<(), CmdError> {
    let rows = kidoku_bench::rows();
    let lines: String = rows
        .iter()
        .map(|(name, about)| format!("{name:<10}{about}\n"))
        .collect();
    out::print(&lines)
}

impl From<BenchError> for CmdError {
    fn from(error: BenchError) -> Self {
        let exit_code = match &error {
            BenchError::Usage(_) => USAGE,
            BenchError::Unavailable(_) => UNAVAILABLE,
            BenchError::Failed(_) => DATA,
            BenchError::Io(_) => IO,
        };
        Self::new(exit_code, error.to_string())
    }
}
