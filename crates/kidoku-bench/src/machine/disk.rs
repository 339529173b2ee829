//! What a process writes, and what the disk below a directory is.

use super::family;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Syncs that are tried.
const SYNCS: usize = 50;

/// Bytes that a process and its children have caused to be written to a disk, by whole pages; 0 on a
/// file system in memory.
pub(crate) fn written_bytes(pid: u32) -> u64 {
    family(pid)
        .into_iter()
        .filter_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("write_bytes:"))?;
            line.trim().parse::<u64>().ok()
        })
        .sum()
}

/// The kind of file system a directory is on, as the system names it.
pub(crate) fn file_system(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    kind_of(&mounts, &dir)
}

/// The kind of the mount with the longest path above `dir`; of two on one path, the later.
fn kind_of(mounts: &str, dir: &Path) -> String {
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        dir.starts_with(path).then_some((path.len(), kind))
    });
    above
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

/// How long one sync of a small append takes in a directory: the middle one of some.
///
/// # Errors
/// The directory can not be written to.
pub(crate) fn sync_time(dir: &Path) -> io::Result<Duration> {
    let path = dir.join("sync-probe");
    let mut file = File::options().write(true).create_new(true).open(&path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0; 512])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times.get(SYNCS / 2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_above_decides() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n\
                      /dev/vdb /data xfs rw 0 0\nnone /data btrfs rw 0 0\n";
        let kind = |path: &str| kind_of(mounts, Path::new(path));
        assert_eq!(kind("/home/x"), "ext4");
        assert_eq!(kind("/dev/shm/x"), "tmpfs");
        assert_eq!(kind("/dev/shmx"), "ext4");
        assert_eq!(kind("/data"), "btrfs");
    }
}
