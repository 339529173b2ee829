//! The twin in Go, built here from the sources that are a part of this program.

use super::process::{OwnDir, Process, listens};
use super::redis::fact;
use super::{Kept, Peer};
use crate::error::BenchError;
use crate::number::figure;
use crate::setup::Setup;
use crate::wire::{Client, command};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// How the twin keeps a user's read states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// An object for each, as first described.
    Map,
    /// An array without pointers.
    Slice,
}

impl Layout {
    fn word(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Slice => "slice",
        }
    }
}

macro_rules! source {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../../../bench/peers/go-lru/", $name)),
        )
    };
}

/// All that `go build` needs.
const SOURCES: [(&str, &str); 14] = [
    source!("batch.go"),
    source!("commands.go"),
    source!("go.mod"),
    source!("info.go"),
    source!("main.go"),
    source!("partition.go"),
    source!("record.go"),
    source!("resp.go"),
    source!("run.go"),
    source!("server.go"),
    source!("service.go"),
    source!("states.go"),
    source!("table.go"),
    source!("tails.go"),
];

/// The running twin.
#[derive(Debug)]
pub(crate) struct Golru {
    process: Process,
    name: String,
    address: SocketAddr,
}

impl Golru {
    /// Builds and starts it, with these options.
    ///
    /// # Errors
    /// There is no Go, or it does not build or start.
    pub(crate) fn start(
        setup: &Setup,
        layout: Layout,
        options: &[&str],
    ) -> Result<Self, BenchError> {
        let name = format!("go-lru {}", layout.word());
        let dir = OwnDir::within(&setup.data, "go-lru")?;
        let program = build(dir.path())?;
        let data = dir.path().join("data");
        let mut command = Command::new(program);
        command
            .args(["-listen", "127.0.0.1:0", "-layout", layout.word(), "-dir"])
            .arg(&data)
            .args(options);
        let mut process = Process::start(&name, command, dir, &setup.servers, "")?;
        let address: SocketAddr = process.wait(|dir| {
            let text = fs::read_to_string(dir.join("data/address")).ok()?;
            text.strip_suffix('\n')?.parse().ok()
        })?;
        process.wait(|_| listens(address.port()).then_some(()))?;
        Ok(Self {
            process,
            name,
            address,
        })
    }
}

impl Golru {
    fn ask(&self, word: &str) -> Result<String, BenchError> {
        let asked = Client::connect(self.address)
            .and_then(|mut client| client.ask(&command(&[word])))
            .map_err(|error| BenchError::Failed(format!("{}: {word}: {error}", self.name)))?;
        Ok(String::from_utf8_lossy(&asked).into_owned())
    }
}

/// Builds the twin in a directory.
fn build(dir: &Path) -> Result<std::path::PathBuf, BenchError> {
    let sources = dir.join("source");
    fs::create_dir(&sources).map_err(|error| BenchError::file(&sources, &error))?;
    for (name, text) in SOURCES {
        let path = sources.join(name);
        fs::write(&path, text).map_err(|error| BenchError::file(&path, &error))?;
    }
    let program = dir.join("golru");
    let output = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(&sources)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| {
        BenchError::Unavailable(match error.kind() {
            std::io::ErrorKind::NotFound => {
                "go is not installed: see https://go.dev/doc/install".to_owned()
            }
            _ => format!("go: {error}"),
        })
    })?;
    if output.status.success() {
        return Ok(program);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(BenchError::Unavailable(format!(
        "go-lru does not build: {}",
        said.trim()
    )))
}

impl Peer for Golru {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn pid(&self) -> Option<u32> {
        Some(self.process.pid())
    }

    /// Makes it commit what it would commit within half a minute.
    fn is_settled(&self) -> Result<bool, BenchError> {
        let reply = self.ask("COMMIT")?;
        if reply == "+OK\r\n" {
            return Ok(true);
        }
        let text = reply.escape_debug();
        Err(BenchError::Failed(format!("{}: COMMIT: {text}", self.name)))
    }

    fn kept_bytes(&self, _: Kept) -> Result<f64, BenchError> {
        let used = fact(&self.ask("INFO")?, "live_memory");
        let missing = || BenchError::Unavailable(format!("{}: no live_memory", self.name));
        used.map(figure).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn all_sources_of_the_twin_are_a_part_of_this_program() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/peers/go-lru");
        let there: BTreeSet<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".go") && !name.ends_with("_test.go") || name == "go.mod")
            .collect();
        let here: BTreeSet<String> = SOURCES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(here, there);
    }
}
