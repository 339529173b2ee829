//! What a bench is asked for, and what it refuses.

use crate::error::BenchError;
use crate::machine::place::{self, Cpus};
use crate::setup::{Against, Setup};
use crate::stop::Stop;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    /// A Kidoku that runs already, as `HOST:PORT` of its RESP port: then it alone is measured.
    pub against: Option<String>,
    /// The key for it.
    pub key: Option<String>,
    /// True when whoever asks says that they may load what is not of this machine.
    pub is_owned: bool,
    /// Beside whom Kidoku is measured; all that are installed when not given.
    pub beside: Option<Vec<String>>,
    /// Processors of servers, like `0-2`; `any` = wherever the system likes. Not given: all but the last.
    pub server_cpus: Option<String>,
    /// Processors of the load generator. Not given: the last.
    pub client_cpus: Option<String>,
    /// How it is ended early.
    pub stop: Stop,
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
            settles: true,
            beside: self.beside.clone(),
            against: self.against()?,
            stop: self.stop.clone(),
        })
    }

    /// The server that was named.
    fn against(&self) -> Result<Option<Against>, BenchError> {
        let Some(name) = &self.against else {
            return Ok(None);
        };
        let address = address(name, self.is_owned)?;
        Ok(Some(Against {
            address,
            key: self.key.clone(),
            prefix: prefix(),
        }))
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

/// What stands in front of all names on a server that is not ours: nobody has used it before.
fn prefix() -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let time = time.map_or(0, |time| time.as_nanos());
    format!("kidoku-bench-{:x}-{time:x}:", std::process::id())
}

/// The address of a server, if it may be loaded.
fn address(name: &str, is_owned: bool) -> Result<SocketAddr, BenchError> {
    let found = name.to_socket_addrs().map_err(|error| {
        BenchError::Usage(format!(
            "{name:?} is no address like 127.0.0.1:7400: {error}"
        ))
    })?;
    let found: Vec<SocketAddr> = found.collect();
    let foreign = found.iter().find(|address| !address.ip().is_loopback());
    if let Some(foreign) = foreign.filter(|_| !is_owned) {
        return Err(BenchError::Usage(format!(
            "{foreign} is not of this machine, and a benchmark floods what it measures: with \
             --yes-i-own-this you say that you may do that"
        )));
    }
    let none = || BenchError::Usage(format!("{name:?} has no address"));
    found.first().copied().ok_or_else(none)
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
    fn only_loopback_is_loaded_unless_it_is_owned() {
        for name in [
            "127.0.0.1:7400",
            "127.9.9.9:1",
            "[::1]:7400",
            "localhost:7400",
        ] {
            assert!(address(name, false).is_ok(), "{name}");
        }
        for name in ["192.0.2.1:7400", "0.0.0.0:7400", "[2001:db8::1]:7400"] {
            let text = address(name, false).unwrap_err().to_string();
            assert!(text.contains("--yes-i-own-this"), "{text}");
            assert!(address(name, true).is_ok(), "{name}");
        }
        for name in ["", "127.0.0.1", "127.0.0.1:x"] {
            assert!(
                matches!(address(name, true), Err(BenchError::Usage(_))),
                "{name}"
            );
        }
    }

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
