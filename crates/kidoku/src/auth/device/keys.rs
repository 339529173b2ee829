//! Whose tokens are believed: the keys of each app, read from files.

use super::public_key;
use super::token::Verifier;
use crate::auth::KeysError;
use crate::auth::file::{Lock, write_private};
use crate::auth::secret::hex;
use crate::config::hidden::FileName;
use crate::config::{Config, DeviceConfig};
use kidoku_core::id::App;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The fewest bytes of a secret: as many as HS256's hash has, which RFC 7518 asks for.
const SECRET_BYTES_MIN: usize = 32;

/// A key file is small; a larger one is a slip.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Random bytes of a secret made here.
const SECRET_BYTES: usize = 32;

/// Why the keys of devices can not be used.
#[derive(Debug)]
pub enum DeviceKeysError {
    /// A file can not be read.
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file holds no key that could be used.
    Bad {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An app says something of its tokens and has no key for them.
    NoKey {
        /// Which app.
        app: App,
    },
}

impl fmt::Display for DeviceKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "a key of devices {}: {error}", FileName(path)),
            Self::Bad { path, reason } => {
                write!(f, "{}: {reason}", path.display())
            }
            Self::NoKey { app } => {
                let app = app.as_str();
                write!(
                    f,
                    "apps.{app}: jwt_audience and jwt_issuer need a key: jwt_hs256_secret_file or \
                     jwt_public_key_file"
                )
            }
        }
    }
}

impl std::error::Error for DeviceKeysError {}

/// The keys of all apps that have devices. None by default: no token is believed then.
#[derive(Debug, Default)]
pub struct DeviceKeys {
    pub(super) apps: BTreeMap<App, AppKeys>,
}

/// The keys of one app.
#[derive(Debug)]
pub(super) struct AppKeys {
    /// One or two, each with the one algorithm it is for.
    pub(super) verifiers: Vec<Verifier>,
    /// With which tokens can be made here.
    pub(super) secret: Option<Secret>,
    pub(super) audience: Option<String>,
    pub(super) issuer: Option<String>,
}

/// A shared secret. Its `Debug` does not show it.
pub(super) struct Secret(pub(super) Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl DeviceKeys {
    /// Reads the keys that the configuration names, and for an app `default` without any the
    /// `device.key` of the data directory, if there is one.
    ///
    /// # Errors
    /// When a file can not be read or holds no usable key, or an app has settings but no key.
    pub fn load(config: &Config) -> Result<Self, DeviceKeysError> {
        let mut apps = BTreeMap::new();
        let mut devices = config.devices.clone();
        let own = devices.entry(App::default_app()).or_default();
        let path = device_key_path(&config.data_dir);
        if !own.has_key() && path.exists() {
            own.hs256_secret_file = Some(path);
        }
        for (app, device) in devices {
            if device == DeviceConfig::default() {
                continue;
            }
            if !device.has_key() {
                return Err(DeviceKeysError::NoKey { app });
            }
            apps.insert(app, AppKeys::read(device)?);
        }
        Ok(Self { apps })
    }

    /// True when no app has a key.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }
}

impl AppKeys {
    fn read(device: DeviceConfig) -> Result<Self, DeviceKeysError> {
        let DeviceConfig {
            hs256_secret_file,
            public_key_file,
            audience,
            issuer,
        } = device;
        let mut keys = Self {
            verifiers: Vec::new(),
            secret: None,
            audience,
            issuer,
        };
        if let Some(path) = &hs256_secret_file {
            let secret = read_secret(path)?;
            keys.verifiers.push(Verifier::of_secret(&secret.0, &keys));
            keys.secret = Some(secret);
        }
        if let Some(path) = &public_key_file {
            let bad = |reason| DeviceKeysError::Bad {
                path: path.clone(),
                reason,
            };
            let pem = String::from_utf8(read_file(path)?)
                .map_err(|_| bad("it is not a text".to_owned()))?;
            let (algorithm, key) = public_key::read(&pem).map_err(bad)?;
            keys.verifiers.push(Verifier::new(algorithm, key, &keys));
        }
        Ok(keys)
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, DeviceKeysError> {
    let io = |error| DeviceKeysError::Io {
        path: path.to_path_buf(),
        error,
    };
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > FILE_BYTES_MAX {
        let reason = format!("it has {bytes} bytes, a key at most {FILE_BYTES_MAX}");
        return Err(DeviceKeysError::Bad {
            path: path.to_path_buf(),
            reason,
        });
    }
    fs::read(path).map_err(io)
}

/// The bytes of a file without the line ends that editors and `echo` put at its end.
fn read_secret(path: &Path) -> Result<Secret, DeviceKeysError> {
    let mut bytes = read_file(path)?;
    while bytes
        .last()
        .is_some_and(|last| matches!(last, b'\n' | b'\r'))
    {
        bytes.pop();
    }
    if bytes.len() < SECRET_BYTES_MIN {
        let length = bytes.len();
        let reason =
            format!("the secret has {length} bytes, at least {SECRET_BYTES_MIN} are needed");
        return Err(DeviceKeysError::Bad {
            path: path.to_path_buf(),
            reason,
        });
    }
    Ok(Secret(bytes))
}

/// The file that holds the secret of app `default` when the configuration names no key for it.
pub fn device_key_path(dir: &Path) -> PathBuf {
    dir.join("device.key")
}

/// Makes the secret for device tokens of app `default`, for the owner's eyes only, in a data
/// directory that has none. True when it was made now.
///
/// # Errors
/// When a file can not be written or the system gives no random bytes.
pub fn create_device_key_if_missing(dir: &Path) -> Result<bool, KeysError> {
    let _lock = Lock::take(dir)?;
    let path = device_key_path(dir);
    match fs::metadata(&path) {
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(KeysError::Io { path, error }),
    }
    let mut secret = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|_| KeysError::NoRandomness)?;
    write_private(&path, format!("{}\n", hex(&secret)).as_bytes())?;
    Ok(true)
}
