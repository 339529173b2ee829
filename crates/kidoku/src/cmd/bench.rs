//! `kidoku bench`: measures this program beside others that do the same work.

use super::error::{CmdError, DATA, INTERNAL, IO, STOPPED, UNAVAILABLE, USAGE};
use super::out;
use crate::config::env;
use kidoku_bench::{BenchError, Options, Stop};
use std::fs;
use std::path::PathBuf;
use std::thread;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Measure Kidoku beside others that do the same work
///
/// Starts all servers itself, on free ports of loopback, with data of their own that is removed
/// afterwards. Whom it measures beside has to be installed; who is not is left out, and the report says so.
#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    /// What to measure [default: everything]; --list says what there is
    #[arg(value_name = "ROW")]
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
    /// Measure the Kidoku that runs there, alone, by its RESP port without TLS. Makes channels of its own
    /// and drops them afterwards
    #[arg(long, value_name = "HOST:PORT")]
    against: Option<String>,
    /// Say that what --against names may be flooded although it is not of this machine
    #[arg(long, requires = "against")]
    yes_i_own_this: bool,
    /// A file that holds the key for --against [default: KIDOKU_KEY]
    #[arg(long, value_name = "FILE", requires = "against")]
    key_file: Option<PathBuf>,
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
        let stop = Stop::default();
        wish_at_signals(&stop)?;
        let options = Options {
            rows: self.rows.clone(),
            rounds: self.rounds,
            seconds: self.seconds,
            warm_up_seconds: self.warm_up,
            out: self.out.clone(),
            data: self.data.clone().unwrap_or_else(std::env::temp_dir),
            program,
            against: self.against.clone(),
            key: self.key()?,
            is_owned: self.yes_i_own_this,
            beside: self.beside.clone(),
            server_cpus: self.server_cpus.clone(),
            client_cpus: self.client_cpus.clone(),
            stop,
        };
        let report = kidoku_bench::run(&options, &mut |line| out::complain(line))?;
        out::print(&report.text())
    }

    fn key(&self) -> Result<Option<String>, CmdError> {
        let Some(path) = &self.key_file else {
            return Ok(env::key());
        };
        let text = fs::read_to_string(path).map_err(|error| CmdError::file(path, &error))?;
        Ok(Some(text.trim().to_owned()))
    }
}

/// Ends the bench in order at an interrupt, so that no server is left behind.
fn wish_at_signals(stop: &Stop) -> Result<(), CmdError> {
    let failed = |error: std::io::Error| CmdError::new(INTERNAL, format!("signals: {error}"));
    let runtime = runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(failed)?;
    let inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    drop(inside);
    let stop = stop.clone();
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        stop.wish();
        out::complain("stopping what was started");
    });
    Ok(())
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
            BenchError::Stopped => STOPPED,
        };
        Self::new(exit_code, error.to_string())
    }
}
