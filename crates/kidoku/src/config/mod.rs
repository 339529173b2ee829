//! One typed tree of settings: built-in default < file < environment < flag.
//!
//! [`table`] is the one list of settings: it feeds the parser, the flags, the names in the
//! environment, `config default`, `config doc` and the reference page. Three steps, three types:
//! [`parse::Layer`] (texts with their origin) becomes a [`build::Draft`] (typed, in range), which
//! becomes a [`Config`] (whole and consistent). Nothing outside this module reads the environment.

pub mod build;
pub mod doc;
pub mod env;
pub mod error;
pub(crate) mod hidden;
pub mod machine;
pub mod nearest;
pub mod parse;
pub mod table;

#[cfg(test)]
mod tests;

pub use error::ConfigError;

use kidoku_core::id::App;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// When a reply may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// After its facts are on disk, synced.
    #[default]
    Sync,
    /// At once. A crash of the machine or the process loses the last moments.
    Memory,
}

impl Durability {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Memory => "memory",
        }
    }
}

/// One listening port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// Address and port; port 0 = any free one.
    pub listen: SocketAddr,
    /// Open connections over all cores; one more is refused.
    pub connections_max: usize,
    /// It speaks TLS when there is a certificate.
    pub tls: bool,
}

/// The files of TLS, which are read again while the server runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate and those between it and its authority; `None` = no TLS.
    pub cert: Option<PathBuf>,
    /// The key of the certificate.
    pub key: Option<PathBuf>,
    /// The authorities whose certificates clients need to have one of; `None` = they need none.
    pub client_ca: Option<PathBuf>,
}

/// The log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment over this many bytes is closed and a new one begun.
    pub segment_bytes: u64,
}

/// The checkpoint, which moves facts from the log to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointConfig {
    /// The overlay is flushed at the latest this long after its first fact, in milliseconds.
    pub interval_ms: u64,
    /// The overlay is flushed when it holds this many bytes.
    pub overlay_bytes: usize,
    /// Rows of a flush from which on they are written to tables of their own.
    pub table_rows: usize,
}

/// What an app's message ids are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IdMode {
    /// Any rising numbers.
    #[default]
    Numeric,
    /// Numbers whose upper bits are a time; an id more than 60 s ahead of the clock is refused.
    Snowflake {
        /// The time of id 0, in milliseconds since 1970-01-01 UTC.
        epoch_ms: u64,
    },
    /// Any strings; Kidoku orders them by arrival.
    Opaque,
}

/// The settings of one app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AppConfig {
    /// What its message ids are.
    pub ids: IdMode,
}

/// How the tokens of an app's devices are checked.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeviceConfig {
    /// A file with the secret of HS256, at least 32 bytes.
    pub hs256_secret_file: Option<PathBuf>,
    /// A PEM file with a public key; its kind says whether tokens are ES256, EdDSA or RS256.
    pub public_key_file: Option<PathBuf>,
    /// What `aud` must name; `None` = a token has no `aud`.
    pub audience: Option<String>,
    /// What `iss` must be; `None` = anything or nothing.
    pub issuer: Option<String>,
}

impl DeviceConfig {
    /// True when a key is named.
    pub fn has_key(&self) -> bool {
        self.hs256_secret_file.is_some() || self.public_key_file.is_some()
    }
}

/// The settings in force: checked, whole, never changed while running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where log, store and keys are kept.
    pub data_dir: PathBuf,
    /// Threads that serve, one shard each.
    pub cores: u16,
    /// Bytes of users and channels kept in memory, over all cores.
    pub memory_bytes: usize,
    /// When a reply may leave.
    pub durability: Durability,
    /// True = no key needed, app `default`, loopback only.
    pub dev: bool,
    /// The Redis protocol.
    pub resp: ListenConfig,
    /// The HTTP interface.
    pub http: ListenConfig,
    /// Health and metrics.
    pub admin: ListenConfig,
    /// Other nodes.
    pub cluster: ListenConfig,
    /// Bytes free on the disk below which writes are refused; never more than a twentieth of it.
    pub disk_free_bytes_min: u64,
    /// TLS of the ports that have it.
    pub tls: TlsConfig,
    /// The log.
    pub log: LogConfig,
    /// The checkpoint.
    pub checkpoint: CheckpointConfig,
    /// Live streams of devices over all cores; one more is refused.
    pub streams_max: usize,
    /// Apps with settings of their own.
    pub apps: BTreeMap<App, AppConfig>,
    /// Apps with settings of their own for device tokens.
    pub devices: BTreeMap<App, DeviceConfig>,
}

impl Config {
    /// All defaults, with data in `data_dir`.
    pub fn with_data_dir(data_dir: &Path) -> Self {
        let mut config = build::defaults();
        config.data_dir = data_dir.to_path_buf();
        config
    }

    /// The settings of an app; one that has none of its own gets the defaults.
    pub fn app(&self, app: &App) -> AppConfig {
        self.apps.get(app).copied().unwrap_or_default()
    }

    /// The settings of an app for device tokens.
    pub fn device(&self, app: &App) -> DeviceConfig {
        self.devices.get(app).cloned().unwrap_or_default()
    }
}
