//! API keys: made once, shown once, stored as hashes, compared in constant time, one app each.
//!
//! A key reads `kd_<id>_<secret>`: 8 characters that name it in lists and logs, and 52 that stand
//! for 32 random bytes. `keys.json` in the data directory holds the SHA-256 of the secret; a slow
//! hash would add nothing, since nobody can guess 256 random bits. A running server follows changes
//! of the file within a second, so `kidoku key` works on the directory alone.

mod device;
mod file;
mod secret;

#[cfg(test)]
mod tests;

pub use device::{
    DeviceGrant, DeviceKeys, DeviceKeysError, TokenRefused, create_device_key_if_missing,
    device_key_path, unverified,
};
pub(crate) use file::make_private_dir;
pub use file::{KeyRecord, Lock, Table, read_root_key};
pub use secret::KeyText;

use kidoku_core::clock::Millis;
use kidoku_core::id::App;
use secret::Digest;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// What a valid key allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The app whose data may be used.
    pub app: App,
    /// The root key: may choose any app.
    pub root: bool,
    /// The key's public id, for logs and `key list`.
    pub key_id: String,
}

/// The HTTP header by which the root key chooses an app.
pub const APP_HEADER: &str = "kidoku-app";

/// Who may come in without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Nobody.
    Keyed,
    /// Everyone, into app `default`; the server listens on loopback only.
    Dev,
}

/// Why the keys can not be read or written.
#[derive(Debug)]
pub enum KeysError {
    /// The system refused.
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not a key file.
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The system gave no random bytes.
    NoRandomness,
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Corrupt { path, reason } => {
                write!(f, "{}: not a valid key file: {reason}", path.display())
            }
            Self::NoRandomness => f.write_str("the system gives no random bytes"),
        }
    }
}

impl std::error::Error for KeysError {}

/// How often the file is looked at for changes.
const RELOAD_INTERVAL_MS: u64 = 1_000;

/// All keys of a data directory. Shared by all cores; follows changes of the key file within a
/// second.
#[derive(Debug)]
pub struct Keys {
    dir: PathBuf,
    mode: AuthMode,
    devices: DeviceKeys,
    loaded: RwLock<Arc<Loaded>>,
    /// When the file was last looked at, in milliseconds since 1970.
    looked_ms: AtomicU64,
}

#[derive(Debug)]
struct Loaded {
    stamp: Option<file::Stamp>,
    table: Table,
}

impl Keys {
    /// Reads the keys of a data directory; none when there is no file yet.
    ///
    /// # Errors
    /// When the file can not be read or is damaged.
    pub fn open_dir(dir: &Path, mode: AuthMode) -> Result<Self, KeysError> {
        let loaded = load(dir)?;
        Ok(Self {
            dir: dir.to_path_buf(),
            mode,
            devices: DeviceKeys::default(),
            loaded: RwLock::new(Arc::new(loaded)),
            looked_ms: AtomicU64::new(now().0),
        })
    }

    /// With the keys by which devices are believed.
    #[must_use]
    pub fn with_device_keys(self, devices: DeviceKeys) -> Self {
        Self { devices, ..self }
    }

    /// Whom a device's token speaks for.
    ///
    /// # Errors
    /// See [`TokenRefused`].
    pub fn check_device(&self, token: &str) -> Result<DeviceGrant, TokenRefused> {
        self.devices.check(token, now())
    }

    /// What `presented` allows, optionally in a chosen app (only the root key may choose).
    /// `None` = not valid, with the same timing whatever is wrong.
    pub fn check(&self, presented: &str, app: Option<&str>) -> Option<Grant> {
        let now = now();
        self.reload_when_due(now);
        let loaded = self.current();
        grant(&loaded.table, now, presented, app)
    }

    /// True while the key behind a grant is neither revoked nor expired: for connections that were
    /// let in once and stay.
    pub fn is_in_force(&self, grant: &Grant) -> bool {
        if self.open().as_ref() == Some(grant) {
            return true;
        }
        let now = now();
        self.reload_when_due(now);
        let loaded = self.current();
        let record = loaded.table.find(&grant.key_id);
        record.is_some_and(|record| {
            record.is_valid_at(now)
                && record.root == grant.root
                && (record.root || record.app == grant.app)
        })
    }

    /// The grant of everyone on loopback under `--dev`; `None` otherwise.
    pub fn open(&self) -> Option<Grant> {
        (self.mode == AuthMode::Dev).then(|| Grant {
            app: App::default_app(),
            root: false,
            key_id: "dev".to_owned(),
        })
    }

    fn current(&self) -> Arc<Loaded> {
        // A table is replaced whole, so a panic elsewhere can not have left half of one.
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the file at most once a second, on one thread; a stat and, after a change, one
    /// small read. While the file can not be read the keys known before stay in force: a half
    /// finished repair by hand must not lock everyone out.
    fn reload_when_due(&self, now: Millis) {
        let looked = self.looked_ms.load(Ordering::Relaxed);
        if now.0.abs_diff(looked) < RELOAD_INTERVAL_MS {
            return;
        }
        let mine =
            self.looked_ms
                .compare_exchange(looked, now.0, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_err() || file::stamp(&self.dir) == self.current().stamp {
            return;
        }
        if let Ok(loaded) = load(&self.dir) {
            *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        }
    }
}

fn load(dir: &Path) -> Result<Loaded, KeysError> {
    // The stamp comes first: a change between the two shows as a change at the next look.
    let stamp = file::stamp(dir);
    Ok(Loaded {
        stamp,
        table: Table::read(dir)?,
    })
}

/// Checks a key against a table. An unknown id costs the same hash and comparison as a known one.
fn grant(table: &Table, now: Millis, presented: &str, app: Option<&str>) -> Option<Grant> {
    let parts = secret::split(presented);
    let (id, secret) = parts.unwrap_or(("", ""));
    let digest = Digest::of(secret);
    let record = table.find(id);
    let nobody = Digest::of("");
    let expected = record.map_or(&nobody, |record| &record.digest);
    let equal = bool::from(expected.bytes().ct_eq(digest.bytes()));
    let record = record.filter(|record| equal && parts.is_some() && record.is_valid_at(now))?;
    let chosen = match app {
        Some(name) => Some(App::new(name).ok()?),
        None => None,
    };
    let app = match chosen {
        Some(chosen) if record.root || chosen == record.app => chosen,
        Some(_) => return None,
        None => record.app.clone(),
    };
    Some(Grant {
        app,
        root: record.root,
        key_id: record.id.clone(),
    })
}

/// Wall time in milliseconds since 1970; 0 on a machine whose clock is before that.
pub(crate) fn now_s() -> i64 {
    i64::try_from(now().0 / 1_000).unwrap_or(i64::MAX)
}

/// The time.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The file that holds the root key's text.
pub fn root_key_path(dir: &Path) -> PathBuf {
    dir.join("root.key")
}

/// Makes the root key of a data directory that never had one and writes its text to `root.key`, for
/// the owner's eyes only. True when it was made now; a revoked root key is not made again.
///
/// # Errors
/// When a file can not be written or the key file is damaged.
pub fn create_root_if_missing(dir: &Path) -> Result<bool, KeysError> {
    let lock = Lock::take(dir)?;
    let mut table = Table::read(dir)?;
    if table.records().iter().any(|record| record.root) {
        return Ok(false);
    }
    let (record, text) = KeyRecord::new(App::default_app(), true, now(), None)?;
    table.add(record);
    // The text first: after a crash between the two writes the next start makes a new key and
    // overwrites it, while the other order would leave a root key that nobody knows.
    file::write_private(
        &root_key_path(dir),
        format!("{}\n", text.as_str()).as_bytes(),
    )?;
    table.write(dir, &lock)?;
    Ok(true)
}
