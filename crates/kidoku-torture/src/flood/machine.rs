//! Who runs where: the server on one core and everything that loads it on the other, so that what
//! is measured is the server and not a fight for time.

use std::process::Command;
use std::time::Duration;

/// The core of the server.
pub(super) const SERVER_CORE: &str = "0";
/// The core of everything else.
pub(super) const LOAD_CORE: &str = "1";

/// Puts all threads of a process on a core. Threads started later follow.
///
/// # Errors
/// The machine has only one core, or no `taskset`.
pub(super) fn pin(pid: u32, core: &str) -> Result<(), String> {
    run("taskset", &["-a", "-c", "-p", core, &pid.to_string()])
}

/// What a second of `/proc` is divided into.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor since a process began and since the machine started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// What the server has used.
    server_s: f64,
    /// How long nobody had anything to do on the server's core.
    idle_s: f64,
}

impl Usage {
    /// As it is now.
    pub(super) fn now(pid: u32) -> Self {
        let cores = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let name = format!("cpu{SERVER_CORE} ");
        let core = cores.lines().find_map(|line| line.strip_prefix(&name));
        // Fields: user, nice, system, idle, waiting for a disk.
        let idle = ticks(core.unwrap_or_default(), 3, 2);
        Self {
            server_s: crate::server::cpu_seconds(pid),
            idle_s: idle,
        }
    }

    /// Seconds of processor that the server used since `before`.
    pub(super) fn server_since(self, before: Self) -> f64 {
        self.server_s - before.server_s
    }

    /// Seconds since `before` that its core was the server's: it ran, or nobody did. What other
    /// programs took of the core is no fault of the server.
    pub(super) fn to_use_since(self, before: Self) -> f64 {
        self.server_since(before) + (self.idle_s - before.idle_s)
    }
}

/// The sum of some fields of a line of `/proc`, in seconds.
fn ticks(line: &str, skip: usize, take: usize) -> f64 {
    let fields = line.split_whitespace().skip(skip).take(take);
    let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// Where the weight of everything in this terminal's session stands.
const WEIGHT: &str = "/proc/self/autogroup";

/// A greater share of the machine, until it goes.
#[derive(Debug)]
pub(super) struct Forward(());

/// Asks for more of the machine than what else runs on it, so that a build beside it is not taken
/// for a slow server. Not everybody may; then the measurement needs a quiet machine.
pub(super) fn step_forward() -> Forward {
    drop(std::fs::write(WEIGHT, "-15"));
    Forward(())
}

impl Drop for Forward {
    fn drop(&mut self) {
        // Whatever else the session does afterwards has its usual share.
        drop(std::fs::write(WEIGHT, "0"));
    }
}

/// Lowers the number of files that a process may have open.
///
/// # Errors
/// There is no `prlimit`.
pub(super) fn limit_files(pid: u32, most: usize) -> Result<(), String> {
    let limit = format!("--nofile={most}:{most}");
    run("prlimit", &["--pid", &pid.to_string(), &limit])
}

/// Puts this thread behind all others of its core, so that a flood does not make the client that
/// is measured beside it wait for its turn.
///
/// # Errors
/// There is no `renice`.
pub(super) fn stand_back() -> Result<(), String> {
    let own = std::fs::read_link("/proc/thread-self").map_err(|error| error.to_string())?;
    let thread = own.file_name().unwrap_or_default().to_string_lossy();
    run("renice", &["-n", "15", "-p", &thread])
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program} {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// The value that a hundredth of the durations lies above.
pub(super) fn p99(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    let at = durations.len().saturating_sub(1) * 99 / 100;
    durations.get(at).copied().unwrap_or_default()
}

/// The middle one of some figures.
pub(super) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// A count as a figure to reckon with.
pub(super) fn figure(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
