//! A server of the test's own, on free ports and a data directory that goes with it.

use crate::wire::Client;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A directory that is removed with its value.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A fresh one among the temporary files.
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir()).unwrap()
    }

    /// A fresh one in another place.
    ///
    /// # Errors
    /// There is no such place, or it may not be written to.
    pub fn within(place: &Path) -> std::io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!("kidoku-it-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// A fresh one in memory, where there is such a place.
    pub fn in_memory() -> Self {
        Self::within(Path::new("/dev/shm")).unwrap_or_default()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Default for TempDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A directory left behind fails no test.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The server's binary: the one built beside the program that runs.
pub fn binary() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let dir = here.parent().unwrap();
    // A test program lies one folder deeper.
    let dir = if dir.ends_with("deps") {
        dir.parent().unwrap()
    } else {
        dir
    };
    dir.join("kidoku")
}

/// The `kidoku` binary with arguments, its environment free of settings.
pub fn kidoku(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KIDOKU_") {
            command.env_remove(name);
        }
    }
    command
}

/// A value for `--checkpoint-table-rows` with which each flush is written to a table of its own, or none
/// of those that these loads make.
pub fn table_rows(each: bool) -> &'static str {
    if each { "1" } else { "1000000" }
}

/// Runs a subcommand to its end and says what it printed if it failed.
pub fn run(args: &[&str]) -> Output {
    let output = kidoku(args).output().unwrap();
    assert!(
        output.status.success(),
        "kidoku {args:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A running `kidoku serve`; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: PathBuf,
    own_dir: Option<TempDir>,
    resp: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    /// With `--dev`, two cores and a fresh data directory.
    pub fn dev() -> Self {
        Self::with(&["--dev"])
    }

    /// With these arguments and a fresh data directory.
    pub fn with(args: &[&str]) -> Self {
        let dir = TempDir::new();
        let mut server = Self::on(dir.path(), args);
        server.own_dir = Some(dir);
        server
    }

    /// The same with a data directory in memory where there is such a place, so that what is
    /// measured is not the disk.
    pub fn off_the_disk(args: &[&str]) -> Self {
        let dir = TempDir::in_memory();
        let mut server = Self::on(dir.path(), args);
        server.own_dir = Some(dir);
        server
    }

    /// On a data directory that outlives the server.
    pub fn on(dir: &Path, args: &[&str]) -> Self {
        Self::start(dir, args, &[]).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same with an environment.
    ///
    /// # Errors
    /// The server ended instead of serving, or is not ready in time.
    pub fn start(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Result<Self, String> {
        let addresses = dir.join("addresses.json");
        if addresses.exists() {
            fs::remove_file(&addresses).unwrap();
        }
        let log = File::create(dir.join("serve.out")).unwrap();
        let mut child = serve_command(dir, args)
            .envs(environment.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let text = loop {
            if let Ok(text) = fs::read_to_string(&addresses)
                && text.trim_end().ends_with('}')
            {
                break text;
            }
            if let Some(status) = child.try_wait().unwrap() {
                return Err(format!("the server ended with {status}: {}", said(dir)));
            }
            if begun.elapsed() > PATIENCE {
                drop(child.kill());
                return Err(format!("the server is not ready: {}", said(dir)));
            }
            sleep(Duration::from_millis(5));
        };
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let address = |name: &str| json[name].as_str().unwrap().parse().unwrap();
        let (resp, http, admin) = (address("resp"), address("http"), address("admin"));
        Ok(Self {
            child,
            dir: dir.to_path_buf(),
            own_dir: None,
            resp,
            http,
            admin,
        })
    }

    /// Where it takes RESP.
    pub fn resp_address(&self) -> SocketAddr {
        self.resp
    }

    /// Where it takes HTTP.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Where health and metrics are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A RESP3 connection.
    pub fn client(&self) -> Client {
        let mut client = Client::connect(self.resp);
        client.command(&["HELLO", "3"]);
        client
    }

    /// Bytes of memory the process has in use.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    /// Asks it to stop and waits; the data directory stays for the caller.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = self.pid().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "the server does not stop: {}",
                said(&self.dir)
            );
            sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`: no chance to write anything more.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already, and there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Seconds of processor that a process has used; 0 when it is gone.
pub fn cpu_seconds(pid: u32) -> f64 {
    // As on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold spaces.
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / TICKS_PER_SECOND
}

/// `kidoku serve` on free ports.
pub fn serve_command(dir: &Path, args: &[&str]) -> Command {
    let mut command = kidoku(&["serve", "--data-dir", dir.to_str().unwrap()]);
    for listen in [
        "--resp-listen",
        "--http-listen",
        "--admin-listen",
        "--cluster-listen",
    ] {
        if !args.contains(&listen) {
            command.args([listen, "127.0.0.1:0"]);
        }
    }
    if !args.contains(&"--cores") {
        command.args(["--cores", "2"]);
    }
    command.args(args);
    command
}

/// What a server in `dir` printed.
pub fn said(dir: &Path) -> String {
    fs::read_to_string(dir.join("serve.out")).unwrap_or_default()
}
