//! What a bench is asked for, and what it refuses.

use crate::error::BenchError;
use crate::machine::place::{self, Cpus};
use crate::setup::Setup;
use std::path::PathBuf;
use std::time::Duration;

/// What a bench is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The rows to measure; all when there is none.
    pub rows: Vec<String>,
    /// How many times each server is measured under each load, at least 1.
    pub rounds: usize,
    /// Seconds of each measurement, above 0.
    pub seconds: f64,
    /// Seconds before each measurement that are not counted.
    pub warm_up_seconds: f64,
    /// Where the report goes.
    pub out: Option<PathBuf>,
    /// Where servers have their data.
    pub data: PathBuf,
    /// The program of the server.
    pub program: PathBuf,
    /// Beside whom Kidoku is measured; all that are installed when not given.
    pub beside: Option<Vec<String>>,
    /// Processors of servers, like `0-2`; `any` = wherever the system likes. Not given: all but the last.
    pub server_cpus: Option<String>,
    /// Processors of the load generator. Not given: the last.
    pub client_cpus: Option<String>,
}

/// Whom Kidoku can be measured beside; `none` is nobody.
const PEERS: [&str; 4] = ["redis", "postgres", "go-lru", "none"];

/// The most that a measurement may take, a day: longer is a slip of the keyboard.
const SECONDS_MAX: f64 = 86_400.0;

impl Options {
    /// What all rows are measured with.
    ///
    /// # Errors
    /// What is out of its range, or can not be had.
    pub(crate) fn setup(&self) -> Result<Setup, BenchError> {
        if self.rounds == 0 {
            return Err(BenchError::Usage("--rounds is at least 1".to_owned()));
        }
        self.check_beside()?;
        let (servers, client) = self.places().map_err(BenchError::Usage)?;
        Ok(Setup {
            program: self.program.clone(),
            data: self.data.clone(),
            servers,
            client,
            rounds: self.rounds,
            warm_up: duration("--warm-up", self.warm_up_seconds, 0.0)?,
            duration: duration("--seconds", self.seconds, 0.05)?,
            beside: self.beside.clone(),
        })
    }

    fn check_beside(&self) -> Result<(), BenchError> {
        let is_unknown = |name: &&String| !PEERS.contains(&name.as_str());
        match self.beside.iter().flatten().find(is_unknown) {
            None => Ok(()),
            Some(name) => Err(BenchError::Usage(format!(
                "--beside knows no {name:?}; there are {}",
                PEERS.join(", ")
            ))),
        }
    }

    fn places(&self) -> Result<(Cpus, Cpus), String> {
        let (servers, client) = Cpus::allowed().split();
        let chosen = |given: &Option<String>, default: Cpus| match given.as_deref() {
            None => Ok(default),
            Some("any") => Ok(Cpus::default()),
            Some(list) => Cpus::parse(list),
        };
        let places = (
            chosen(&self.server_cpus, servers)?,
            chosen(&self.client_cpus, client)?,
        );
        place::check(&places.0)?;
        place::check(&places.1)?;
        Ok(places)
    }
}

fn duration(name: &str, seconds: f64, least: f64) -> Result<Duration, BenchError> {
    if !(least..=SECONDS_MAX).contains(&seconds) {
        return Err(BenchError::Usage(format!(
            "{name} is from {least} to {SECONDS_MAX} and not {seconds}"
        )));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_out_of_range_are_refused_and_named() {
        assert_eq!(
            duration("--seconds", 1.5, 0.05),
            Ok(Duration::from_millis(1_500))
        );
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            let text = duration("--seconds", wrong, 0.05).unwrap_err().to_string();
            assert!(text.starts_with("--seconds is from 0.05"), "{text}");
        }
    }
}
