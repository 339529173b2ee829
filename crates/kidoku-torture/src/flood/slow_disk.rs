//! A disk that takes its time: `strace` holds up every sync of the server's log thread, and touches
//! no other thread.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What the log's thread is called, as far as the system keeps names.
const LOG_THREAD: &str = "log-writer";

/// The disk is slow while this lives.
#[derive(Debug)]
pub(super) struct SlowDisk {
    tracer: Child,
}

impl SlowDisk {
    /// Makes every sync of the server's log take so much longer.
    ///
    /// # Errors
    /// There is no `strace`, or it may not attach.
    pub(super) fn begin(pid: u32, delay: Duration) -> Result<Self, String> {
        let thread = log_thread(pid)?;
        let inject = format!("inject=fsync,fdatasync:delay_enter={}", delay.as_micros());
        let tracer = Command::new("strace")
            .args([
                "-qq",
                "-p",
                &thread,
                "-e",
                "trace=fsync,fdatasync",
                "-e",
                &inject,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        let slow = Self { tracer };
        let begun = Instant::now();
        let status = format!("/proc/{pid}/task/{thread}/status");
        let is_traced = || {
            let text = fs::read_to_string(&status).unwrap_or_default();
            text.lines()
                .find_map(|line| line.strip_prefix("TracerPid:"))
                .is_some_and(|tracer| tracer.trim() != "0")
        };
        while !is_traced() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err("strace does not attach to the log's thread".to_owned());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(slow)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // It goes with the server if it is not gone already.
        drop(self.tracer.kill());
        drop(self.tracer.wait());
    }
}

fn log_thread(pid: u32) -> Result<String, String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
    threads
        .filter_map(Result::ok)
        .map(|thread| thread.path())
        .find(|path| {
            fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == LOG_THREAD)
        })
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .ok_or_else(|| format!("process {pid} has no thread {LOG_THREAD}"))
}
