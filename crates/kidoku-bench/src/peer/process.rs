//! A process that is started, waited for and stopped, with a directory that goes with it.

use crate::error::BenchError;
use crate::machine::place::{Cpus, Placed};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to be ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long it may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(20);
/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(5);
/// Bytes of what a server said that are shown when it fails.
const SHOWN_BYTES: usize = 2_000;

/// A directory that was made here, and is removed with its value.
#[derive(Debug)]
pub(crate) struct OwnDir(PathBuf);

impl OwnDir {
    /// A fresh one in `place`.
    ///
    /// # Errors
    /// There is no such place, or it may not be written to.
    pub(crate) fn within(place: &Path, name: &str) -> Result<Self, BenchError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!(
            "kidoku-bench-{}-{number}-{name}",
            std::process::id()
        ));
        // Fails when there is one already: it is not ours to use, nor to remove.
        fs::create_dir(&path).map_err(|error| BenchError::file(&path, &error))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for OwnDir {
    fn drop(&mut self) {
        // Left behind where it can not be removed; it has a name that says whose it was.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A running process; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    dir: OwnDir,
}

impl Process {
    /// Starts a program on the processors of servers, with its output in a file of its directory.
    ///
    /// # Errors
    /// It is not there. `install` says what to do then.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        dir: OwnDir,
        cpus: &Cpus,
        install: &str,
    ) -> Result<Self, BenchError> {
        let path = dir.path().join("out");
        let failed = |error| BenchError::file(&path, &error);
        let out = File::create(&path).map_err(failed)?;
        let both = out.try_clone().map_err(failed)?;
        let _placed = Placed::on(cpus);
        let child = command
            // Not of the terminal's group: an interrupt is for the bench, which stops it in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(both)
            .spawn()
            .map_err(|error| {
                let program = command.get_program().to_string_lossy();
                BenchError::Unavailable(match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        format!("{program} is not installed: {install}")
                    }
                    _ => format!("{program}: {error}"),
                })
            })?;
        Ok(Self {
            name: name.to_owned(),
            child,
            dir,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` has something.
    ///
    /// # Errors
    /// It ended, or is not ready in time; with the last it said.
    pub(crate) fn wait<T>(&mut self, ready: impl Fn(&Path) -> Option<T>) -> Result<T, BenchError> {
        let begun = Instant::now();
        loop {
            if let Some(value) = ready(self.dir.path()) {
                return Ok(value);
            }
            let fate = match self.child.try_wait() {
                Ok(Some(status)) => format!("it ended with {status}"),
                Ok(None) if begun.elapsed() < READY_MAX => {
                    sleep(GLANCE);
                    continue;
                }
                Ok(None) => format!("it is not ready after {} s", READY_MAX.as_secs()),
                Err(error) => error.to_string(),
            };
            let (name, said) = (&self.name, self.said());
            return Err(BenchError::Unavailable(format!("{name}: {fate}: {said}")));
        }
    }

    /// The end of what it printed.
    fn said(&self) -> String {
        let text = fs::read(self.dir.path().join("out")).unwrap_or_default();
        let start = text.len().saturating_sub(SHOWN_BYTES);
        let end = text.get(start..).unwrap_or_default();
        String::from_utf8_lossy(end).trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to do.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _sent = kill_process(pid, Signal::TERM);
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > STOP_MAX {
                drop(self.child.kill());
                drop(self.child.wait());
                return;
            }
            sleep(GLANCE);
        }
    }
}

/// A port of loopback that nobody listens on now.
///
/// # Errors
/// There is none.
pub(crate) fn free_port() -> Result<u16, BenchError> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.map(|address| address.port())
        .map_err(|error| BenchError::Unavailable(format!("no free port of loopback: {error}")))
}

/// True when somebody listens on a port of loopback.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> OwnDir {
        OwnDir::within(&std::env::temp_dir(), "test").unwrap()
    }

    #[test]
    fn a_missing_program_says_how_to_get_it() {
        let command = Command::new("kidoku-no-such-program");
        let started = Process::start("x", command, dir(), &Cpus::default(), "apt-get install x");
        let text = started.unwrap_err().to_string();
        assert_eq!(
            text,
            "kidoku-no-such-program is not installed: apt-get install x"
        );
    }

    #[test]
    fn a_server_that_ends_says_why() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no room; exit 3"]);
        let mut process = Process::start("x", command, dir(), &Cpus::default(), "").unwrap();
        let waited = process.wait(|_| None::<()>);
        let text = waited.unwrap_err().to_string();
        assert!(text.contains("exit status: 3: no room"), "{text}");
    }

    #[test]
    fn a_process_goes_with_its_value_and_so_does_its_directory() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let process = Process::start("x", command, dir(), &Cpus::default(), "").unwrap();
        let (path, pid) = (process.dir.path().to_path_buf(), process.pid());
        assert!(path.exists() && Path::new(&format!("/proc/{pid}")).exists());
        drop(process);
        assert!(!path.exists() && !Path::new(&format!("/proc/{pid}")).exists());
    }
}
