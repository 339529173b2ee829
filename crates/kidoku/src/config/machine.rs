//! What the machine offers: the defaults that depend on it.

use std::fs;

/// Assumed when the machine does not say how much memory it has.
const MEMORY_BYTES_UNKNOWN: u64 = 4 << 30;

/// Cores this process may use; at least 1.
pub fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| u64::try_from(cores.get()).unwrap_or(1))
}

/// A quarter of the memory this process may use: the rest is for the log, the overlay, the store's
/// cache, connections and the page cache.
pub fn memory_quarter() -> u64 {
    memory_bytes() / 4
}

fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_of(&text));
    // A container's limit, where there is one, is lower than what the machine has.
    let container = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let machine = machine.unwrap_or(MEMORY_BYTES_UNKNOWN);
    container.map_or(machine, |limit: u64| limit.min(machine))
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
pub(crate) fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
