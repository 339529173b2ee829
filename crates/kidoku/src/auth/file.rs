//! `keys.json`: read whole, written whole by a temporary file that replaces it.

use super::secret::{Digest, ID_CHARS, KeyText};
use super::{KeysError, root_key_path};
use kidoku_core::clock::Millis;
use kidoku_core::id::App;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The form of the file; a later one gets a new number.
const VERSION: u32 = 1;

/// One key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public name.
    pub id: String,
    /// Its app; of a root key, the one used when none is chosen.
    pub app: App,
    /// May choose any app.
    pub root: bool,
    /// When it was made.
    pub created: Millis,
    /// Not valid any more from this time on; `None` = no end.
    pub expires: Option<Millis>,
    /// When it was revoked; `None` = it was not.
    pub revoked: Option<Millis>,
    pub(crate) digest: Digest,
}

impl KeyRecord {
    /// Makes a new key; its text is known only here and now.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(
        app: App,
        root: bool,
        created: Millis,
        expires: Option<Millis>,
    ) -> Result<(Self, KeyText), KeysError> {
        let (id, text) = KeyText::random()?;
        let digest = text.digest();
        Ok((
            Self {
                id,
                app,
                root,
                created,
                expires,
                revoked: None,
                digest,
            },
            text,
        ))
    }

    /// True when neither revoked nor expired.
    pub fn is_valid_at(&self, now: Millis) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }
}

/// All keys of a data directory.
#[derive(Clone, Debug, Default)]
pub struct Table {
    by_id: BTreeMap<String, KeyRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTable {
    version: u32,
    /// The SHA-256 of the keys; without it, whoever edited the file by hand has taken it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
    keys: Vec<StoredKey>,
}

/// A key that a flipped bit gives to another app, or another time to end, still has the form of a
/// key. So there is a hash over all of them.
fn check_of(keys: &[StoredKey]) -> Result<String, String> {
    let text = serde_json::to_string(keys).map_err(|error| error.to_string())?;
    Ok(Digest::of(&text).to_hex())
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    app: String,
    root: bool,
    secret_sha256: String,
    created_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_ms: Option<u64>,
}

impl Table {
    /// Reads the keys of a data directory; none when there is no file.
    ///
    /// # Errors
    /// When the file can not be read or is damaged.
    pub fn read(dir: &Path) -> Result<Self, KeysError> {
        let path = path(dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(KeysError::Io { path, error }),
        };
        Self::parse(&text).map_err(|reason| KeysError::Corrupt { path, reason })
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let stored: StoredTable =
            serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if stored.version != VERSION {
            return Err(format!(
                "it has version {}, this program reads {VERSION}",
                stored.version
            ));
        }
        if let Some(check) = &stored.check
            && *check != check_of(&stored.keys)?
        {
            return Err(
                "its keys do not fit its line \"check\": bring back a copy of the file, or, \
                        if you have changed it yourself, take that line out"
                    .to_owned(),
            );
        }
        let mut table = Self::default();
        for key in stored.keys {
            let record = record_of(key)?;
            if table.by_id.contains_key(&record.id) {
                return Err(format!("key {} is there twice", record.id));
            }
            table.add(record);
        }
        Ok(table)
    }

    /// Replaces the file. Whoever reads it meanwhile sees the old one or the new one, whole.
    ///
    /// # Errors
    /// When it can not be written.
    pub fn write(&self, dir: &Path, _lock: &Lock) -> Result<(), KeysError> {
        let path = path(dir);
        let keys: Vec<StoredKey> = self.by_id.values().map(stored_of).collect();
        let corrupt = |reason| KeysError::Corrupt {
            path: path.clone(),
            reason,
        };
        let mut text = serde_json::to_vec_pretty(&StoredTable {
            version: VERSION,
            check: Some(check_of(&keys).map_err(corrupt)?),
            keys,
        })
        .map_err(|error| corrupt(error.to_string()))?;
        text.push(b'\n');
        write_private(&path, &text)
    }

    /// Adds a key.
    pub fn add(&mut self, record: KeyRecord) {
        self.by_id.insert(record.id.clone(), record);
    }

    /// The key of an id.
    pub fn find(&self, id: &str) -> Option<&KeyRecord> {
        self.by_id.get(id)
    }

    /// Marks a key as revoked; it stays in lists. False when there is none or it was already.
    pub fn revoke(&mut self, id: &str, now: Millis) -> bool {
        match self.by_id.get_mut(id) {
            Some(record) if record.revoked.is_none() => {
                record.revoked = Some(now);
                true
            }
            _ => false,
        }
    }

    /// All keys, the oldest first.
    pub fn records(&self) -> Vec<&KeyRecord> {
        let mut all: Vec<&KeyRecord> = self.by_id.values().collect();
        all.sort_by(|left, right| (left.created, &left.id).cmp(&(right.created, &right.id)));
        all
    }
}

fn record_of(key: StoredKey) -> Result<KeyRecord, String> {
    if key.id.len() != ID_CHARS {
        return Err(format!(
            "a key id has {ID_CHARS} characters, '{}' has not",
            key.id
        ));
    }
    let digest = Digest::from_hex(&key.secret_sha256).ok_or_else(|| {
        format!(
            "secret_sha256 of key {} is not 64 hexadecimal digits",
            key.id
        )
    })?;
    let app = App::new(&key.app).map_err(|error| format!("key {}: {error}", key.id))?;
    Ok(KeyRecord {
        id: key.id,
        app,
        root: key.root,
        created: Millis(key.created_ms),
        expires: key.expires_ms.map(Millis),
        revoked: key.revoked_ms.map(Millis),
        digest,
    })
}

fn stored_of(record: &KeyRecord) -> StoredKey {
    StoredKey {
        id: record.id.clone(),
        app: record.app.as_str().to_owned(),
        root: record.root,
        secret_sha256: record.digest.to_hex(),
        created_ms: record.created.0,
        expires_ms: record.expires.map(|time| time.0),
        revoked_ms: record.revoked.map(|time| time.0),
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("keys.json")
}

/// Tells one version of the file from another without reading it. The file is replaced, never
/// changed in place, so a new one has a new inode even within one tick of the file system's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

/// The stamp of the key file; `None` when there is none.
pub(crate) fn stamp(dir: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path(dir)).ok()?;
    let modified = metadata.modified().ok();
    Some(Stamp {
        modified,
        bytes: metadata.len(),
        inode: metadata.ino(),
    })
}

/// Held while the key file is read, changed and written, so that two commands at once do not lose
/// each other's change. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for its turn. Makes the directory when missing.
    ///
    /// # Errors
    /// When the directory or the lock file can not be made.
    pub fn take(dir: &Path) -> Result<Self, KeysError> {
        let path = dir.join("keys.lock");
        let io = |error| KeysError::Io {
            path: path.clone(),
            error,
        };
        make_private_dir(dir).map_err(io)?;
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        file.lock().map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// Writes a file that only its owner may read, whole or not at all, also over a crash.
///
/// # Errors
/// When the system refuses.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let io = |error| KeysError::Io {
        path: path.to_path_buf(),
        error,
    };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // A left-over of a crash may have other rights; the mode below is only for new files.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.sync_all().map_err(io)?;
    fs::rename(&temporary, path).map_err(io)?;
    // Without this the new name may be lost by a power cut although the bytes are safe.
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)
}

/// Reads the text of the root key, if this directory has one.
///
/// # Errors
/// When the file is there and can not be read.
pub fn read_root_key(dir: &Path) -> Result<Option<String>, KeysError> {
    let path = root_key_path(dir);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeysError::Io { path, error }),
    }
}

/// Makes a directory, and those above it, that only its owner may enter: log and store hold names.
/// One that is there stays as it is.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
