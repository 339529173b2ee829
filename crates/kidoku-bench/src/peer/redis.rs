//! Redis with the settings of `bench/peers`, and its log of writes in each of the three ways.

use super::process::{OwnDir, Process, free_port, listens};
use super::{Kept, Peer};
use crate::error::BenchError;
use crate::number::figure;
use crate::setup::Setup;
use crate::wire::{Client, command};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

/// What Redis keeps of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendOnly {
    /// Nothing: a restart finds it empty.
    Off,
    /// In its log, synced every second.
    EverySecond,
    /// In its log, synced before it answers.
    Always,
}

impl AppendOnly {
    fn word(self) -> &'static str {
        match self {
            Self::Off => "appendonly off",
            Self::EverySecond => "everysec",
            Self::Always => "always",
        }
    }

    fn lines(self) -> &'static str {
        match self {
            Self::Off => "appendonly no\n",
            Self::EverySecond => "appendonly yes\nappendfsync everysec\n",
            Self::Always => "appendonly yes\nappendfsync always\n",
        }
    }
}

/// A running `redis-server`.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    name: String,
    address: SocketAddr,
}

/// How it is set up for this work.
const SETTINGS: &str = include_str!("../../../../bench/peers/redis/redis.conf");

/// How many times a port is tried that somebody else has taken meanwhile.
const TRIES: usize = 3;

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub(crate) fn start(setup: &Setup, append_only: AppendOnly) -> Result<Self, BenchError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::try_start(setup, append_only) {
                Err(BenchError::Unavailable(text))
                    if tries < TRIES && text.contains("Address already in use") => {}
                outcome => return outcome,
            }
        }
    }

    fn try_start(setup: &Setup, append_only: AppendOnly) -> Result<Self, BenchError> {
        let name = format!("redis {}", append_only.word());
        let dir = OwnDir::within(&setup.data, "redis")?;
        let port = free_port()?;
        let path = dir.path().join("redis.conf");
        let text = configuration(port, &dir, append_only);
        fs::write(&path, text).map_err(|error| BenchError::file(&path, &error))?;
        let mut command = Command::new("redis-server");
        command.arg(&path);
        let process = Process::start(
            &name,
            command,
            dir,
            &setup.servers,
            "apt-get install redis-server",
        )?;
        let mut redis = Self {
            process,
            name,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        };
        redis
            .process
            .wait(|_| listens(port).then_some(()))
            .and_then(|()| redis.info())
            .and_then(|info| redis.is_ours(&info))?;
        Ok(redis)
    }

    /// What it says of itself.
    fn info(&self) -> Result<String, BenchError> {
        let asked = Client::connect(self.address)
            .and_then(|mut client| client.ask(&command(&["INFO", "everything"])));
        let reply = asked
            .map_err(|error| BenchError::Unavailable(format!("{}: no INFO: {error}", self.name)))?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    }

    /// Makes sure that who answers is the process started here: what it holds will be overwritten.
    fn is_ours(&self, info: &str) -> Result<(), BenchError> {
        if fact(info, "process_id") == Some(u64::from(self.process.pid())) {
            return Ok(());
        }
        let (name, address) = (&self.name, self.address);
        Err(BenchError::Unavailable(format!(
            "{name}: another process answers on {address}: Address already in use"
        )))
    }
}

impl Peer for Redis {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn pid(&self) -> Option<u32> {
        Some(self.process.pid())
    }

    /// Settled when no rewrite of the log runs or waits, and nothing waits for a sync.
    fn is_settled(&self) -> Result<bool, BenchError> {
        let info = self.info()?;
        let busy = [
            "aof_rewrite_in_progress",
            "aof_rewrite_scheduled",
            "aof_pending_bio_fsync",
            "aof_buffer_length",
        ];
        Ok(busy.iter().all(|name| fact(&info, name).unwrap_or(0) == 0))
    }

    fn kept_bytes(&self, _: Kept) -> Result<f64, BenchError> {
        let used = fact(&self.info()?, "used_memory");
        let missing = || BenchError::Unavailable(format!("{}: no used_memory", self.name));
        used.map(figure).ok_or_else(missing)
    }
}

/// The settings of `bench/peers`, and behind them, where the last one counts, what is chosen here.
fn configuration(port: u16, dir: &OwnDir, append_only: AppendOnly) -> String {
    format!(
        "{SETTINGS}\nbind 127.0.0.1\nport {port}\ndaemonize no\nmaxclients 50000\ndir {}\n{}",
        dir.path().display(),
        append_only.lines()
    )
}

/// A number of `INFO`.
pub(super) fn fact(info: &str, name: &str) -> Option<u64> {
    info.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        value.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_by_their_whole_name() {
        let info = "# Persistence\r\naof_buffer_length:12\r\naof_buffer_length_max:9\r\n";
        assert_eq!(fact(info, "aof_buffer_length"), Some(12));
        assert_eq!(fact(info, "aof_buffer"), None);
    }
}
