//! PostgreSQL with a cluster of its own, made and removed by the script of `bench/peers`.

use super::process::{OwnDir, free_port};
use super::{Kept, Peer};
use crate::error::BenchError;
use crate::machine::place::{Cpus, Placed};
use crate::setup::Setup;
use crate::wire::postgres::{opening, rows};
use crate::wire::{Client, Framing};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The script, and what it looks for beside itself.
const FILES: [(&str, &str); 3] = [
    (
        "cluster.sh",
        include_str!("../../../../bench/peers/postgres/cluster.sh"),
    ),
    (
        "schema.sql",
        include_str!("../../../../bench/peers/postgres/schema.sql"),
    ),
    (
        "postgresql.fragment.conf",
        include_str!("../../../../bench/peers/postgres/postgresql.fragment.conf"),
    ),
];

/// The work as prepared statements, for every session to say first.
pub(crate) const STATEMENTS: &str = include_str!("../../../../bench/peers/postgres/statements.sql");

/// Where Debian has the programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// The share of memory in its settings, for a machine that is its own, and the one beside others.
const BUFFERS: (&str, &str) = ("shared_buffers = 6GB", "shared_buffers = 2GB");

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Postgres {
    dir: OwnDir,
    address: SocketAddr,
    pid: u32,
}

impl Postgres {
    /// Makes and starts one.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub(crate) fn start(setup: &Setup) -> Result<Self, BenchError> {
        if !Path::new(PROGRAMS).join("initdb").exists() {
            let text = "postgres is not installed: apt-get install postgresql-15";
            return Err(BenchError::Unavailable(text.to_owned()));
        }
        let dir = OwnDir::within(&setup.data, "postgres")?;
        for (name, text) in FILES {
            let path = dir.path().join(name);
            let text = text.replace(BUFFERS.0, BUFFERS.1);
            fs::write(&path, text).map_err(|error| BenchError::file(&path, &error))?;
        }
        let port = free_port()?;
        let mut cluster = Self {
            dir,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            pid: 0,
        };
        let made = cluster.script(&["make"], &[&port.to_string()], &setup.servers);
        made.map_err(BenchError::Unavailable)?;
        cluster.pid = cluster.postmaster().ok_or_else(|| {
            BenchError::Unavailable("postgres: it started and has no process".to_owned())
        })?;
        Ok(cluster)
    }

    /// The directory of the cluster, beside the script.
    fn cluster(&self) -> PathBuf {
        self.dir.path().join("cluster")
    }

    /// Runs the script on the cluster.
    fn script(&self, before: &[&str], after: &[&str], cpus: &Cpus) -> Result<(), String> {
        let _placed = Placed::on(cpus);
        let output = Command::new("sh")
            .arg(self.dir.path().join("cluster.sh"))
            .args(before)
            .arg(self.cluster())
            .args(after)
            .stdin(Stdio::null())
            // The server it starts keeps what it inherits open, so nothing may wait for the end of it.
            .stdout(Stdio::null())
            .stderr(self.log().map_err(|error| error.to_string())?)
            .status()
            .map_err(|error| format!("sh: {error}"))?;
        if output.success() {
            return Ok(());
        }
        let said = fs::read_to_string(self.dir.path().join("script.log")).unwrap_or_default();
        Err(format!("postgres: cluster.sh {before:?}: {}", said.trim()))
    }

    fn log(&self) -> std::io::Result<fs::File> {
        fs::File::create(self.dir.path().join("script.log"))
    }

    /// The first line of the file that says which process has the cluster.
    fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.cluster().join("data/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }
}

impl Peer for Postgres {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    /// What it writes behind its answers are checkpoints minutes apart: they are not waited for, and their
    /// cost is not in its figures.
    fn is_settled(&self) -> Result<bool, BenchError> {
        Ok(true)
    }

    /// Its table and indexes, on disk.
    fn kept_bytes(&self, kept: Kept) -> Result<f64, BenchError> {
        let table = match kept {
            Kept::States => "read_state",
            Kept::Messages => "message",
        };
        let sql = format!("SELECT pg_total_relation_size('{table}')");
        let asked = Client::framed(self.address, Framing::Postgres).and_then(|mut client| {
            let mut answer = Vec::new();
            for (request, _) in opening("postgres", "peers", &sql) {
                answer = client.ask(&request)?;
            }
            Ok(answer)
        });
        let answer = asked.map_err(|error| BenchError::Failed(format!("{sql}: {error}")))?;
        let rows = rows(&answer);
        let bytes = rows.first().and_then(|row| row.first()?.parse().ok());
        bytes.ok_or_else(|| BenchError::Failed(format!("{sql}: {}", answer.escape_ascii())))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // What is left is in a directory with a name that says whose it was.
        drop(self.script(&["remove"], &[], &Cpus::default()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_memory_is_in_the_settings_to_be_made_smaller() {
        let settings = FILES.iter().find(|(name, _)| name.ends_with(".conf"));
        assert!(settings.unwrap().1.contains(BUFFERS.0));
    }
}
