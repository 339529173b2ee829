//! Servers under measurement: started on free ports in a directory of their own, stopped when
//! dropped.

use crate::root;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to be ready or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The kernel's unit of CPU time in `/proc/PID/stat`, on Linux on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// A server process.
pub(crate) struct Server {
    child: Child,
    dir: PathBuf,
    pub(crate) name: &'static str,
    /// Where it takes RESP.
    pub(crate) port: u16,
    /// Where it tells its metrics, if it does.
    pub(crate) admin: Option<String>,
}

/// A fresh directory for a server, beside the build: the temporary ones may be in memory.
fn fresh_dir(name: &str) -> Result<PathBuf, String> {
    let dir = root().join(format!("target/perf/{}-{name}", std::process::id()));
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    Ok(dir)
}

/// A release build of the program.
pub(crate) fn kidoku_path() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    target.join("release/kidoku")
}

impl Server {
    /// `kidoku serve` with the default durability.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn kidoku() -> Result<Self, String> {
        let dir = fresh_dir("kidoku")?;
        let mut command = Command::new(kidoku_path());
        command
            .args(["serve", "--dev", "--durability", "sync", "--data-dir"])
            .arg(&dir);
        for listen in ["resp", "http", "admin", "cluster"] {
            command.args([format!("--{listen}-listen"), "127.0.0.1:0".to_owned()]);
        }
        let child = start(&mut command, &dir)?;
        let addresses = dir.join("addresses.json");
        let mut server = Self {
            child,
            dir,
            name: "kidoku (sync)",
            port: 0,
            admin: None,
        };
        let text = server.wait(|| {
            fs::read_to_string(&addresses)
                .ok()
                .filter(|text| text.trim_end().ends_with('}'))
        })?;
        let address = |name: &str| {
            let rest = text.split_once(&format!("\"{name}\""))?.1;
            Some(rest.split('"').nth(1)?.to_owned())
        };
        let port = address("resp").and_then(|at| at.rsplit(':').next()?.parse().ok());
        server.port = port.ok_or("no RESP address")?;
        server.admin = address("admin");
        Ok(server)
    }

    /// `redis-server`, with everything written and synced before the reply, or nothing written.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn redis(name: &'static str, synced: bool) -> Result<Self, String> {
        let dir = fresh_dir(if synced { "redis-synced" } else { "redis" })?;
        let port = free_port()?;
        let yes_no = if synced { "yes" } else { "no" };
        let mut command = Command::new("redis-server");
        command
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--appendonly", yes_no, "--appendfsync", "always", "--dir"])
            .arg(&dir);
        let child = start(&mut command, &dir)?;
        let mut server = Self {
            child,
            dir,
            name,
            port,
            admin: None,
        };
        server.wait(|| TcpStream::connect(("127.0.0.1", port)).ok())?;
        Ok(server)
    }

    /// The directory it keeps its data in.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Seconds of CPU that the process has used, user and system, all threads.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // The name in parentheses may hold spaces; fields 14 and 15 of the whole are the times.
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|t| t.parse::<f64>().ok())
            .sum();
        ticks / TICKS_PER_SECOND
    }

    /// Bytes of memory in use.
    pub(crate) fn resident_bytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap_or_default();
        let kib = line
            .split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse::<f64>().ok());
        kib.unwrap_or_default() * 1024.0
    }

    fn wait<T>(&mut self, ready: impl Fn() -> Option<T>) -> Result<T, String> {
        let begun = Instant::now();
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = fs::read_to_string(self.dir.join("out")).unwrap_or_default();
                return Err(format!("{} ended with {status}: {said}", self.name));
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{} is not ready", self.name));
            }
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; a directory left behind is under target.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn start(command: &mut Command, dir: &Path) -> Result<Child, String> {
    let out = fs::File::create(dir.join("out")).map_err(|e| e.to_string())?;
    let err = out.try_clone().map_err(|e| e.to_string())?;
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|e| format!("{program}: {e}"))
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}
