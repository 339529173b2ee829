//! Remembers how far an import got: `DATA_DIR/imports/<hash of path, server and app>.json`.
//!
//! A lost or damaged state costs nothing but sending the file from its beginning again, so it is
//! written without fsync and read with forgiveness.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// How far an import got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Everything up to this line is settled; 0 = nothing.
    pub(super) line: u64,
    /// Lines of those that failed.
    pub(super) failed: u64,
    /// Failures shown in this run.
    pub(super) shown: u64,
    /// An earlier run was interrupted, so what comes next may have been applied already.
    pub(super) resumed: bool,
}

/// Where the state of one file's import to one server and app is kept.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: Fingerprint,
}

/// Tells whether a file is the one that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    file: String,
    target: String,
    bytes: u64,
    modified_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    file: Fingerprint,
    line: u64,
    failed: u64,
}

impl Place {
    /// The place for a file as it is now.
    pub(super) fn of(data_dir: &Path, file: &Path, target: &str) -> io::Result<Self> {
        let canonical = fs::canonicalize(file)?;
        let metadata = fs::metadata(&canonical)?;
        let modified = metadata
            .modified()?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(canonical.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(target.as_bytes());
        let name: String = hash
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let file = Fingerprint {
            file: canonical.to_string_lossy().into_owned(),
            target: target.to_owned(),
            bytes: metadata.len(),
            modified_ms: u64::try_from(modified.as_millis()).unwrap_or(u64::MAX),
        };
        Ok(Self {
            path: data_dir.join("imports").join(format!("{name}.json")),
            file,
        })
    }

    /// Where to begin: after what an earlier run of the same file has settled, or at the beginning.
    pub(super) fn begin(&self, restart: bool) -> State {
        if restart {
            self.forget();
            return State::default();
        }
        let stored = fs::read(&self.path).ok();
        let stored: Option<Stored> = stored.and_then(|text| serde_json::from_slice(&text).ok());
        match stored {
            Some(stored) if stored.file == self.file => State {
                line: stored.line,
                failed: stored.failed,
                shown: 0,
                resumed: true,
            },
            _ => State::default(),
        }
    }

    /// Notes how far the import got. A disk that is full must not stop an import that the server
    /// still takes, so a failure here only means that more is sent again.
    pub(super) fn save(&self, state: &State) {
        let stored = Stored {
            file: self.file.clone(),
            line: state.line,
            failed: state.failed,
        };
        let _saved = self.replace(&stored);
    }

    fn replace(&self, stored: &Stored) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let temporary = self.path.with_extension("new");
        fs::write(&temporary, serde_json::to_vec(stored)?)?;
        fs::rename(&temporary, &self.path)
    }

    /// The import is complete, or is to begin again.
    pub(super) fn forget(&self) {
        // It is not there when the import was short.
        let _removed = fs::remove_file(&self.path);
    }
}
