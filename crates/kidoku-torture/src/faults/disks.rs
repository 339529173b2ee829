//! File systems that are really full, and one that really turns read-only.

use super::Settings;
use super::subject::{Subject, Totals, count, lanes, look, start, under_load};
use crate::load::Lane;
use crate::random::Random;
use crate::sandbox::{Disk, call, text};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// MiB of the file system.
const DISK_MIB: u64 = 256;

/// How long it is full.
const HOLD: Duration = Duration::from_millis(1_500);

/// How long the server may take to notice that there is no room.
const NOTICE_MAX: Duration = Duration::from_secs(10);

/// Runs it.
///
/// # Errors
/// What did not hold.
pub(super) fn run(dir: &Path, settings: &Settings) -> Result<String, String> {
    let mut random = Random::new(settings.seed);
    let mut totals = Totals::default();
    let disk = Disk::make(&dir.join("image"), &dir.join("disk"), DISK_MIB)?;
    let data = disk.path().join("data");
    fs::create_dir_all(&data).map_err(|error| error.to_string())?;
    let mut lanes = lanes(&mut random);
    let mut full = 0;
    for _ in 0..settings.rounds {
        for floor in [Floor::None, Floor::Usual] {
            filled(&disk, &data, floor, &mut lanes, &mut totals)?;
            full += 1;
        }
    }
    read_only(&disk, &data, &mut lanes, &mut totals)?;
    count(&lanes, &mut totals);
    Ok(format!(
        "{full} full disks, 1 read-only disk, {} acknowledged, {} refused or open, {} claims compared, \
         {} reads answered, 0 lost, slowest recovery {:.1} s",
        totals.sure,
        totals.refused,
        totals.claims,
        totals.reads,
        totals.slowest.as_secs_f64(),
    ))
}

/// How much room the server keeps free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Floor {
    /// None: it meets the end of the disk.
    None,
    /// What it keeps when nothing is said.
    Usual,
}

/// The disk is full, the server is killed while it is, the room comes back.
fn filled(
    disk: &Disk,
    data: &Path,
    floor: Floor,
    lanes: &mut [Lane],
    totals: &mut Totals,
) -> Result<(), String> {
    let options: &[&str] = match floor {
        Floor::None => &["--disk-free-bytes-min", "1"],
        Floor::Usual => &[],
    };
    let say = |what: &str, why: String| format!("{floor:?} kept free, {what}: {why}");
    let mut server = start(data, options, &[])?;
    look(&server, lanes, totals).map_err(|why| say("before", why))?;
    under_load(&server, lanes, totals, |subject, totals, _| {
        for _ in 0..2 {
            subject.recovers_from(totals, |subject, totals| {
                let _ballast = Ballast::fill(disk, floor)?;
                totals.faults += 1;
                is_full(subject, floor)
            })?;
        }
        Ok(())
    })
    .map_err(|why| say("full", why))?;
    server.kill();
    // And once more it is full, and the server dies of it.
    let mut server = start(data, options, &[])?;
    look(&server, lanes, totals).map_err(|why| say("after a kill", why))?;
    let mut ballast = None;
    under_load(&server, lanes, totals, |subject, _, _| {
        ballast = Some(Ballast::fill(disk, floor)?);
        is_full(subject, floor)
    })
    .map_err(|why| say("full again", why))?;
    server.kill();
    // Whether it starts without room is not promised; that it does harm then is what may not be.
    drop(start(data, options, &[]));
    drop(ballast);
    let mut server = start(data, options, &[])?;
    look(&server, lanes, totals).map_err(|why| say("after a kill while full", why))?;
    server.kill();
    totals.restarts += 3;
    Ok(())
}

fn is_full(subject: &mut Subject<'_>, floor: Floor) -> Result<(), String> {
    subject.until("writes are refused", NOTICE_MAX, |subject| {
        Ok(subject.write()?.is_none() && !subject.reasons()?.is_empty())
    })?;
    let reasons = subject.reasons()?;
    // Where no room is kept free, the server's own look may come before the first write that fails.
    let expected: &[&str] = match floor {
        Floor::None => &["No space left", "the disk has 0 bytes left"],
        Floor::Usual => &["the disk has "],
    };
    if !expected.iter().any(|reason| reasons.contains(reason)) {
        return Err(format!("/readyz says {reasons:?} and none of {expected:?}"));
    }
    if floor == Floor::Usual {
        // What was taken before finds room in the store.
        let before = subject.metric("kidoku_store_flush_failures_total")?;
        std::thread::sleep(HOLD);
        let after = subject.metric("kidoku_store_flush_failures_total")?;
        if before != after {
            return Err("the room that is kept free did not do for the store".to_owned());
        }
    } else {
        std::thread::sleep(HOLD);
    }
    Ok(())
}

/// A file that takes up the room; goes with its value.
struct Ballast(PathBuf);

impl Ballast {
    /// To the last byte, or until less is left than the server keeps free.
    fn fill(disk: &Disk, floor: Floor) -> Result<Self, String> {
        let ballast = Self(disk.path().join("ballast"));
        if floor == Floor::Usual {
            let free = free_mib(disk.path())?;
            let size = format!("{}M", free.saturating_sub(DISK_MIB / 30));
            call(&["fallocate", "-l", &size, &text(&ballast.0)])?;
            return Ok(ballast);
        }
        let mut file = File::create(&ballast.0).map_err(|error| error.to_string())?;
        // In ever smaller pieces, and again: the server takes and leaves room meanwhile.
        for size in [1 << 20, 1 << 16, 1 << 12, 1 << 12, 1 << 12] {
            let piece = vec![1_u8; size];
            while file.write_all(&piece).is_ok() {}
        }
        drop(file.sync_all());
        Ok(ballast)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

fn free_mib(path: &Path) -> Result<u64, String> {
    let output = std::process::Command::new("df")
        .args(["--output=avail", "-BM", &text(path)])
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = said.lines().last().unwrap_or_default();
    let number = last.trim().trim_end_matches('M').parse();
    number.map_err(|_| format!("df: {said}"))
}

/// The file system gives up, as one does after an error of its own: everything that writes fails
/// from then on. Only a new mount ends that, so here a restart is part of the cure.
fn read_only(
    disk: &Disk,
    data: &Path,
    lanes: &mut [Lane],
    totals: &mut Totals,
) -> Result<(), String> {
    let mut server = start(data, &[], &[])?;
    look(&server, lanes, totals)?;
    let count = lanes.len();
    under_load(&server, lanes, totals, |subject, totals, signals| {
        std::thread::sleep(HOLD);
        // In the very moment in which ext4 gives up, a sync under way may say that all is well and
        // lose everything: of 240 tries of a program that only writes and syncs, 14 did (Linux 6.18).
        // No server can know, so nothing is under way here then.
        signals.pause(count)?;
        subject.is_quiet()?;
        call(&["mount", "-o", "remount,abort", &text(disk.path())])?;
        signals.resume();
        subject.until("writes are refused", NOTICE_MAX, |subject| {
            Ok(subject.write()?.is_none() && !subject.reasons()?.is_empty())
        })?;
        totals.faults += 1;
        subject.takes_nothing(HOLD)
    })
    .map_err(|why| format!("read-only: {why}"))?;
    server.kill();
    disk.unmount()?;
    // Replays the journal and clears the mark of the error; 1 = something was put right.
    drop(call(&["e2fsck", "-p", &text(disk.image())]));
    disk.mount()?;
    let server = start(data, &[], &[])?;
    look(&server, lanes, totals).map_err(|why| format!("after read-only: {why}"))?;
    totals.restarts += 1;
    Ok(())
}
