//! The data directory: made for the owner only, used by one server at a time.

use super::{Addresses, StorageFault};
use crate::auth::make_private_dir;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Held locked while a server runs; the system lets go of it when the process ends in any way.
const LOCK: &str = "server.lock";
const ADDRESSES: &str = "addresses.json";

/// A data directory that is ours.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    /// Unlocked when dropped.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if there is none, and locks it.
    pub(super) fn take(path: &Path) -> Result<Self, StorageFault> {
        let fault = |path: &Path| {
            let path = path.to_path_buf();
            move |error| StorageFault::Directory { path, error }
        };
        make_private_dir(path).map_err(fault(path))?;
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(fault(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StorageFault::InUse {
                    path: path.to_path_buf(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(fault(&lock_path)(error)),
        }
        let taken = Self {
            path: path.to_path_buf(),
            _lock: lock,
        };
        // A server that was killed leaves its addresses behind; nobody is there now.
        taken.remove_addresses().map_err(fault(path))?;
        Ok(taken)
    }

    /// Says where the server listens. The file appears whole.
    pub(super) fn write_addresses(&self, addresses: &Addresses) -> Result<(), StorageFault> {
        let path = self.path.join(ADDRESSES);
        let part = self.path.join(format!("{ADDRESSES}.part"));
        let write = || {
            let mut text = serde_json::to_vec(addresses)?;
            text.push(b'\n');
            File::create(&part)?.write_all(&text)?;
            fs::rename(&part, &path)
        };
        write().map_err(|error| StorageFault::Directory {
            path: path.clone(),
            error,
        })
    }

    /// Takes back what [`Self::write_addresses`] said.
    pub(super) fn remove_addresses(&self) -> io::Result<()> {
        match fs::remove_file(self.path.join(ADDRESSES)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
