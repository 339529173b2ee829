//! Running a torture that mounts file systems: in a mount and process namespace of its own, so that
//! the kernel unmounts, detaches and ends everything with it, however it ends.

use crate::server::TempDir;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says where inside the namespace the torture may work.
const DIR: &str = "TORTURE_SANDBOX";

/// Whether this process is the one in the namespace.
pub fn is_inside() -> bool {
    std::env::var_os(DIR).is_some()
}

/// Runs `inside` with a directory in which it may mount. Called a first time it starts this program
/// once more in the namespace, with the same arguments, and hands its last line on.
///
/// # Errors
/// What `inside` says. That it can not run here, but only in continuous integration: elsewhere it is
/// skipped, and the reason printed.
pub fn run(inside: impl FnOnce(&Path) -> Result<String, String>) -> Result<String, String> {
    if let Some(dir) = std::env::var_os(DIR) {
        return inside(&PathBuf::from(dir));
    }
    if let Err(why) = can_mount() {
        if std::env::var_os("CI").is_some_and(|value| value == "true") {
            return Err(format!("can not run here: {why}"));
        }
        return Ok(format!(
            "SKIPPED, which continuous integration may not: {why}"
        ));
    }
    let dir = TempDir::new();
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = namespace()
        .arg(this)
        .args(std::env::args().skip(1))
        .env(DIR, dir.path())
        .stdout(fs::File::create(dir.file("said")).map_err(|error| error.to_string())?)
        .status()
        .map_err(|error| error.to_string())?;
    let said = fs::read_to_string(dir.file("said")).unwrap_or_default();
    let last = said.lines().last().unwrap_or_default();
    let (_, last) = last.split_once(": ").unwrap_or(("", last));
    if status.success() {
        Ok(last.to_owned())
    } else if last.is_empty() {
        Err(format!("ended with {status}"))
    } else {
        Err(last.trim_start_matches("FAILED: ").to_owned())
    }
}

fn namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command
}

/// Whether loop mounts work for this user on this kernel.
fn can_mount() -> Result<(), String> {
    let dir = TempDir::new();
    let script =
        "truncate -s 16M image && mkfs.ext4 -q image && mkdir disk && mount -o loop image disk";
    let output = namespace()
        .args(["sh", "-c", script])
        .current_dir(dir.path())
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let error = String::from_utf8_lossy(&output.stderr);
        Err(format!("no loop mount: {}", error.trim()))
    }
}

/// Runs a program to its end.
///
/// # Errors
/// It does not end well.
pub fn call(words: &[&str]) -> Result<(), String> {
    let (program, rest) = words.split_first().ok_or("no words")?;
    let output = Command::new(program)
        .args(rest)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let error = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {}", words.join(" "), error.trim()))
    }
}

/// An ext4 file system in a file, mounted.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// Makes one of so many MiB, without a share kept for root.
    ///
    /// # Errors
    /// It can not be made or mounted.
    pub fn make(image: &Path, mount: &Path, mib: u64) -> Result<Self, String> {
        drop(fs::remove_file(image));
        call(&["truncate", "-s", &format!("{mib}M"), &text(image)])?;
        call(&["mkfs.ext4", "-q", "-m", "0", &text(image)])?;
        let disk = Self {
            image: image.to_path_buf(),
            mount: mount.to_path_buf(),
        };
        fs::create_dir_all(mount).map_err(|error| error.to_string())?;
        disk.mount()?;
        Ok(disk)
    }

    /// Mounts it, as at the start of a machine.
    ///
    /// # Errors
    /// It can not be mounted.
    pub fn mount(&self) -> Result<(), String> {
        call(&[
            "mount",
            "-o",
            "loop",
            &text(&self.image),
            &text(&self.mount),
        ])
    }

    /// Unmounts it.
    ///
    /// # Errors
    /// Somebody uses it.
    pub fn unmount(&self) -> Result<(), String> {
        call(&["umount", &text(&self.mount)])
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// The file it lies in.
    pub fn image(&self) -> &Path {
        &self.image
    }
}

/// A path as text.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
