//! A library that stands between the server and the C library and fails file calls on demand, and
//! the file through which it is told what to do.
#![expect(
    clippy::host_endian_bytes,
    reason = "the other side of the file is C on the same machine"
)]

use crate::server::TempDir;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// The library's text; built on the spot, with the C compiler that Rust links with.
const SOURCE: &str = include_str!("shim.c");

/// Bytes of the control file.
const CONTROL_BYTES: u64 = 64;

/// Kinds of calls.
pub mod calls {
    /// Writing to a file.
    pub const WRITE: u32 = 1;
    /// Syncing a file or a directory.
    pub const SYNC: u32 = 2;
    /// Opening for writing, or making.
    pub const OPEN: u32 = 4;
    /// All that change something.
    pub const ALL: u32 = 63;
}

/// Where files lie.
pub mod places {
    /// In the log.
    pub const LOG: u32 = 1;
    /// In the store.
    pub const STORE: u32 = 2;
    /// In both.
    pub const ALL: u32 = 3;
}

/// The input/output error of a failing medium.
pub const EIO: i32 = 5;
/// No space left on the device.
pub const ENOSPC: i32 = 28;
/// A read-only file system.
pub const EROFS: i32 = 30;

/// Which calls are to fail.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which [`calls`].
    pub calls: u32,
    /// In which [`places`].
    pub places: u32,
    /// With this error.
    pub error: i32,
    /// So many go through first.
    pub skip: u64,
    /// So many fail then.
    pub fail: u64,
    /// A write that fails takes half of its bytes first, and the next one fails.
    pub half: bool,
}

/// The library, and the file that commands it.
#[derive(Debug)]
pub struct Shim {
    library: String,
    control_path: String,
    control: File,
}

impl Shim {
    /// Builds it in a directory.
    ///
    /// # Errors
    /// There is no C compiler, or it refuses.
    pub fn build(dir: &TempDir) -> Result<Self, String> {
        let (source, library) = (dir.file("shim.c"), dir.file("shim.so"));
        let say = |error: std::io::Error| error.to_string();
        fs::write(&source, SOURCE).map_err(say)?;
        let output = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .map_err(|error| format!("cc: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let control_path = dir.file("control");
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&control_path)
            .map_err(say)?;
        control.set_len(CONTROL_BYTES).map_err(say)?;
        Ok(Self {
            library: text(&library),
            control_path: text(&control_path),
            control,
        })
    }

    /// What has to be in the server's environment.
    pub fn environment(&self) -> [(&str, &str); 2] {
        [
            ("LD_PRELOAD", &self.library),
            ("FAULT_CONTROL", &self.control_path),
        ]
    }

    /// Lets calls fail from now on, counting from here.
    pub fn arm(&self, fault: &Fault) {
        self.disarm();
        let error = fault.error.to_ne_bytes();
        self.put(4, &fault.calls.to_ne_bytes());
        self.put(8, &fault.places.to_ne_bytes());
        self.put(12, &error);
        self.put(20, &u32::from(fault.half).to_ne_bytes());
        self.put(24, &fault.skip.to_ne_bytes());
        self.put(32, &fault.fail.to_ne_bytes());
        self.put(40, &[0; 16]);
        self.put(0, &1_u32.to_ne_bytes());
    }

    /// Lets every call through.
    pub fn disarm(&self) {
        self.put(0, &0_u32.to_ne_bytes());
    }

    /// Whether syncs do nothing and say that all is well.
    pub fn lie(&self, lies: bool) {
        self.put(16, &u32::from(lies).to_ne_bytes());
    }

    /// Calls that have failed since the last arming.
    pub fn failed(&self) -> u64 {
        self.get(48)
    }

    /// Writes and syncs of the log through a handle whose sync had failed; ever.
    pub fn reused(&self) -> u64 {
        self.get(56)
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.control.write_all_at(bytes, at).unwrap();
    }

    fn get(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
