//! Kidoku itself: a server process of the program that runs.

use super::process::{OwnDir, Process};
use super::{Kept, Peer};
use crate::error::BenchError;
use crate::setup::Setup;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// How long the admin port may take to answer.
const ADMIN_MAX: Duration = Duration::from_secs(20);

/// When Kidoku answers a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When it is on disk.
    Sync,
    /// At once.
    Memory,
}

impl Durability {
    fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Memory => "memory",
        }
    }
}

/// A running `kidoku serve`.
#[derive(Debug)]
pub(crate) struct Kidoku {
    process: Process,
    name: String,
    resp: SocketAddr,
    admin: SocketAddr,
}

impl Kidoku {
    /// Starts one with the default configuration but for its durability and these options.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(
        setup: &Setup,
        durability: Durability,
        options: &[&str],
    ) -> Result<Self, BenchError> {
        let name = format!("kidoku {}", durability.word());
        let dir = OwnDir::within(&setup.data, "kidoku")?;
        let mut command = Command::new(&setup.program);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("KIDOKU_") {
                command.env_remove(variable);
            }
        }
        command.args(["serve", "--dev", "--durability", durability.word()]);
        command.args(options).arg("--data-dir").arg(dir.path());
        for port in ["resp", "http", "admin", "cluster"] {
            command.args([format!("--{port}-listen"), "127.0.0.1:0".to_owned()]);
        }
        let mut process = Process::start(
            &name,
            command,
            dir,
            &setup.servers,
            "build it with `cargo build --release`",
        )?;
        let (resp, admin) = process.wait(|dir| {
            let text = fs::read_to_string(dir.join("addresses.json")).ok()?;
            addresses(&text)
        })?;
        Ok(Self {
            process,
            name,
            resp,
            admin,
        })
    }

    /// The value of a metric without labels.
    ///
    /// # Errors
    /// The admin port does not answer, or has no such metric.
    fn metric(&self, name: &str) -> Result<f64, BenchError> {
        let page = self.metrics().map_err(|error| {
            BenchError::Unavailable(format!("{}: no metrics: {error}", self.name))
        })?;
        value(&page, name)
            .ok_or_else(|| BenchError::Unavailable(format!("{}: no metric {name}", self.name)))
    }

    fn metrics(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(ADMIN_MAX))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Peer for Kidoku {
    fn address(&self) -> SocketAddr {
        self.resp
    }

    fn pid(&self) -> Option<u32> {
        Some(self.process.pid())
    }

    /// Settled when the store has all that the log has.
    fn is_settled(&self) -> Result<bool, BenchError> {
        let flushed = self.metric("kidoku_store_flushed_lsn")?;
        Ok(flushed >= self.metric("kidoku_log_appended_lsn")?)
    }

    fn kept_bytes(&self, kept: Kept) -> Result<f64, BenchError> {
        self.metric(match kept {
            Kept::States => "kidoku_user_bytes",
            Kept::Messages => "kidoku_channel_bytes",
        })
    }
}

/// Where a server listens, by the file it writes when it is ready.
fn addresses(text: &str) -> Option<(SocketAddr, SocketAddr)> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let address = |name: &str| json.get(name)?.as_str()?.parse().ok();
    Some((address("resp")?, address("admin")?))
}

/// The value of a metric without labels in a page of them.
fn value(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(' ')?;
        value.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_addresses_that_is_not_all_there_is_not_read() {
        let whole = r#"{"resp":"127.0.0.1:1","http":"127.0.0.1:2","admin":"127.0.0.1:3"}"#;
        assert!(addresses(whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(addresses(whole.get(..cut).unwrap()), None);
        }
    }

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let page = "# HELP a_b text\na_b_total 5\na_b 7.5\na_b{x=\"y\"} 9\n";
        assert_eq!(value(page, "a_b"), Some(7.5));
        assert_eq!(value(page, "a"), None);
    }
}
