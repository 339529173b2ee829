//! Memory of a process and its children.

use super::family;
use std::fs;

/// Bytes in memory that are a process's own, with its children. What several of them share counts once
/// for each that has it only where the system does not tell the shares.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    family(pid)
        .into_iter()
        .map(|pid| {
            let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}"));
            let shares = read("smaps_rollup")
                .ok()
                .and_then(|text| kib(&text, "Pss:"));
            let whole = || read("status").ok().and_then(|text| kib(&text, "VmRSS:"));
            shares.or_else(whole).unwrap_or(0) * 1_024
        })
        .sum()
}

/// The number of a line `name: number kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_taken_shows() {
        let pid = std::process::id();
        let before = resident_bytes(pid);
        let taken = vec![1_u8; 64 << 20];
        let after = resident_bytes(pid);
        assert_eq!(taken.iter().filter(|byte| **byte == 1).count(), 64 << 20);
        assert!(after >= before + (48 << 20), "{before} {after}");
    }

    #[test]
    fn lines_are_found_by_their_whole_name() {
        let text = "Pss_Dirty:   12 kB\nPss:         34 kB\n";
        assert_eq!(kib(text, "Pss:"), Some(34));
        assert_eq!(kib(text, "Rss:"), None);
    }
}
