//! A Kidoku that runs already and was named by whoever started the bench. It is not ours: nothing of it is
//! started, stopped or changed but what the bench has made under a name of its own.

use super::{Kept, Peer};
use crate::error::BenchError;
use crate::setup::{Against, Setup};
use crate::wire::{Client, Value, command};
use std::fs;
use std::net::SocketAddr;

/// A Kidoku that was given.
#[derive(Debug)]
pub(crate) struct Given {
    against: Against,
    /// Its process, when it is one of this machine.
    pid: Option<u32>,
}

impl Given {
    /// Looks whether it answers, and is one.
    ///
    /// # Errors
    /// Nobody was named; nobody answers, or it is no Kidoku, or wants a key.
    pub(crate) fn find(setup: &Setup) -> Result<Self, BenchError> {
        let against = setup
            .against
            .clone()
            .ok_or_else(|| BenchError::Usage("no server was named to measure".to_owned()))?;
        let mut given = Self { against, pid: None };
        let info = given.info()?;
        if fact(&info, "kidoku_version").is_none() {
            let address = given.against.address;
            return Err(BenchError::Usage(format!("{address} is no Kidoku")));
        }
        given.pid = fact(&info, "process_id").and_then(|pid| pid.parse().ok());
        given.pid = given.pid.filter(|pid| given.is_here(*pid));
        Ok(given)
    }

    /// True when that process is the server: on loopback, and with the name of one. In a container the
    /// number would be that of somebody else.
    fn is_here(&self, pid: u32) -> bool {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        self.against.address.ip().is_loopback() && name.starts_with("kidoku")
    }

    fn info(&self) -> Result<String, BenchError> {
        let Against { address, key, .. } = &self.against;
        let asked = Client::connect(*address).and_then(|mut client| {
            if let Some(key) = key {
                client.ask(&command(&["AUTH", key]))?;
            }
            client.ask(&command(&["INFO"]))
        });
        let reply =
            asked.map_err(|error| BenchError::Unavailable(format!("{address}: {error}")))?;
        match Value::all(&reply).map(|values| values.into_iter().next()) {
            Ok(Some(Value::Text(text))) => Ok(text),
            Ok(Some(Value::Error(text))) if text.starts_with("NOAUTH") => Err(BenchError::Usage(
                format!("{address} wants a key: give it with KIDOKU_KEY or --key-file"),
            )),
            Ok(_) | Err(_) => {
                let text = reply.escape_ascii();
                Err(BenchError::Unavailable(format!("{address}: INFO: {text}")))
            }
        }
    }
}

impl Peer for Given {
    fn address(&self) -> SocketAddr {
        self.against.address
    }

    fn pid(&self) -> Option<u32> {
        self.pid
    }

    fn is_settled(&self) -> Result<bool, BenchError> {
        let info = self.info()?;
        let lsn = |name| fact(&info, name).and_then(|text| text.parse::<u64>().ok());
        Ok(lsn("flushed_lsn") >= lsn("appended_lsn"))
    }

    fn kept_bytes(&self, _: Kept) -> Result<f64, BenchError> {
        Err(BenchError::Usage(
            "what a server that runs already keeps is not all from here".to_owned(),
        ))
    }
}

fn fact<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}
