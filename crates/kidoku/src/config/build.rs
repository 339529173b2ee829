//! Second and third step: texts become typed values in range, and those a whole configuration.

use super::error::{ConfigError, Origin};
use super::parse::{Entry, Layer, app_key};
use super::table::{EPOCH_MS_MAX, FIELDS, Field, ID_MODES, Kind};
use super::{
    AppConfig, CheckpointConfig, Config, DeviceConfig, Durability, IdMode, ListenConfig, LogConfig,
    TlsConfig, env, parse,
};
use kidoku_core::id::{App, parse_decimal};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Typed values, each in range; not yet checked against each other.
#[derive(Debug)]
pub struct Draft {
    config: Config,
    apps: BTreeMap<String, AppDraft>,
}

#[derive(Debug, Default)]
struct AppDraft {
    ids: Option<String>,
    epoch_ms: Option<u64>,
    device: DeviceConfig,
}

/// Reads file, environment and flags, and builds the configuration.
///
/// # Errors
/// The first thing wrong, with its place.
pub fn load(config_file: Option<&Path>, flags: Layer) -> Result<Config, ConfigError> {
    let named = config_file.map(Path::to_path_buf).or_else(env::config_file);
    let file = named.map_or_else(|| Ok(Layer::new()), |path| parse::file(&path))?;
    let environment = parse::variables(env::all())?;
    from_layers(vec![file, environment, flags])
}

/// Builds a configuration from layers, the last one strongest. Every value is checked, also one
/// that a stronger layer hides.
///
/// # Errors
/// The first value out of its range, or two that do not go together.
pub fn from_layers(layers: Vec<Layer>) -> Result<Config, ConfigError> {
    let mut draft = Draft {
        config: defaults(),
        apps: BTreeMap::new(),
    };
    for entry in layers.into_iter().flatten() {
        draft.take(&entry)?;
    }
    draft.finish()
}

/// All defaults.
pub(crate) fn defaults() -> Config {
    let mut config = blank();
    for field in FIELDS {
        let set = field.kind.set(&mut config, field.default);
        debug_assert!(set.is_ok(), "the default of {} is not valid", field.key);
    }
    config
}

/// A configuration to be filled from the table; holds no value that means anything.
fn blank() -> Config {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listen = ListenConfig {
        listen: nowhere,
        connections_max: 0,
        tls: false,
    };
    Config {
        data_dir: PathBuf::new(),
        cores: 1,
        memory_bytes: 0,
        durability: Durability::Sync,
        dev: false,
        resp: listen,
        http: listen,
        admin: listen,
        cluster: listen,
        disk_free_bytes_min: 0,
        tls: TlsConfig::default(),
        log: LogConfig { segment_bytes: 0 },
        checkpoint: CheckpointConfig {
            interval_ms: 0,
            overlay_bytes: 0,
            table_rows: 0,
        },
        streams_max: 0,
        apps: BTreeMap::new(),
        devices: BTreeMap::new(),
    }
}

impl Draft {
    fn take(&mut self, entry: &Entry) -> Result<(), ConfigError> {
        let bad = |expected: String| ConfigError::BadValue {
            origin: entry.origin.clone(),
            key: entry.key.clone(),
            value: entry.text.clone(),
            expected,
        };
        if let Some((app, name)) = app_key(&entry.key) {
            App::new(app).map_err(|error| bad(error.to_string()))?;
            return self.take_app(app, name, &entry.text).map_err(bad);
        }
        let Some(field) = FIELDS.iter().find(|field| field.key == entry.key) else {
            // The parser lets only known keys through.
            return Err(bad("a known key".to_owned()));
        };
        field.kind.set(&mut self.config, &entry.text).map_err(bad)
    }

    fn take_app(&mut self, app: &str, name: &str, text: &str) -> Result<(), String> {
        let draft = self.apps.entry(app.to_owned()).or_default();
        let device = &mut draft.device;
        let path = || Some(PathBuf::from(text));
        match name {
            "ids" => draft.ids = Some(one_of(ID_MODES, text)?.to_owned()),
            "snowflake_epoch_ms" => draft.epoch_ms = Some(integer(text, 0, EPOCH_MS_MAX)?),
            _ if text.is_empty() => return Err("a text that is not empty".to_owned()),
            "jwt_hs256_secret_file" => device.hs256_secret_file = path(),
            "jwt_public_key_file" => device.public_key_file = path(),
            "jwt_audience" => device.audience = Some(text.to_owned()),
            "jwt_issuer" => device.issuer = Some(text.to_owned()),
            // The parser lets only known keys through.
            _ => return Err("a known key".to_owned()),
        }
        Ok(())
    }

    /// Checks what concerns more than one setting.
    fn finish(mut self) -> Result<Config, ConfigError> {
        for (name, draft) in &self.apps {
            let app = App::new(name).map_err(|error| ConfigError::Conflict(error.to_string()))?;
            if draft.device != DeviceConfig::default() {
                self.config
                    .devices
                    .insert(app.clone(), draft.device.clone());
            }
            self.config.apps.insert(
                app,
                AppConfig {
                    ids: draft.ids(name)?,
                },
            );
        }
        check_loopback(&self.config)?;
        check_ports(&self.config)?;
        check_tls(&self.config.tls)?;
        Ok(self.config)
    }
}

impl AppDraft {
    fn ids(&self, app: &str) -> Result<IdMode, ConfigError> {
        let mode = self.ids.as_deref().unwrap_or("numeric");
        match (mode, self.epoch_ms) {
            ("snowflake", Some(epoch_ms)) => Ok(IdMode::Snowflake { epoch_ms }),
            ("snowflake", None) => Err(ConfigError::Conflict(format!(
                "apps.{app}: ids = 'snowflake' needs apps.{app}.snowflake_epoch_ms, the time of \
                 snowflake 0"
            ))),
            (_, Some(_)) => Err(ConfigError::Conflict(format!(
                "apps.{app}: snowflake_epoch_ms is only for ids = 'snowflake', here it is '{mode}'"
            ))),
            ("opaque", None) => Ok(IdMode::Opaque),
            (_, None) => Ok(IdMode::Numeric),
        }
    }
}

fn listens(config: &Config) -> [(&'static str, SocketAddr); 4] {
    [
        ("resp.listen", config.resp.listen),
        ("http.listen", config.http.listen),
        ("admin.listen", config.admin.listen),
        ("cluster.listen", config.cluster.listen),
    ]
}

/// Without keys nobody but this machine may get in.
fn check_loopback(config: &Config) -> Result<(), ConfigError> {
    let open = listens(config)
        .into_iter()
        .find(|(_, address)| !address.ip().is_loopback());
    match open {
        Some((key, address)) if config.dev => Err(ConfigError::Conflict(format!(
            "dev needs no key, so it listens on loopback only, but {key} = '{address}'; leave dev \
             out, or listen on 127.0.0.1"
        ))),
        _ => Ok(()),
    }
}

/// What is in the files is checked where they are used.
fn check_tls(tls: &TlsConfig) -> Result<(), ConfigError> {
    let lacks = match (&tls.cert, &tls.key, &tls.client_ca) {
        (Some(_), Some(_), _) | (None, None, None) => return Ok(()),
        (Some(_), None, _) => "tls.cert needs tls.key, the key of the certificate",
        (None, Some(_), _) => "tls.key needs tls.cert, the certificate that it is the key of",
        (None, None, Some(_)) => {
            "tls.client_ca needs tls.cert and tls.key: certificates of clients are only asked for \
             where the server has one"
        }
    };
    Err(ConfigError::Conflict(lacks.to_owned()))
}

fn check_ports(config: &Config) -> Result<(), ConfigError> {
    let all = listens(config);
    for (index, (key, address)) in all.iter().enumerate() {
        let twin = all
            .iter()
            .take(index)
            .find(|(_, other)| other == address && other.port() != 0);
        if let Some((other_key, _)) = twin {
            return Err(ConfigError::Conflict(format!(
                "{other_key} and {key} are both '{address}', each needs its own"
            )));
        }
    }
    Ok(())
}

impl Kind {
    /// Checks a text and stores the value.
    ///
    /// # Errors
    /// Says what would be right.
    pub(crate) fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match self {
            Self::Path { set } if !text.is_empty() => set(config, PathBuf::from(text)),
            Self::Path { .. } => return Err(self.range()),
            Self::PathOrNone { set } => {
                set(config, (!text.is_empty()).then(|| PathBuf::from(text)));
            }
            Self::Integer {
                min,
                max,
                auto,
                set,
            } => {
                let given = auto
                    .filter(|_| text == "auto")
                    .map(|auto| auto().clamp(*min, *max));
                let value = given.map_or_else(|| integer(text, *min, *max), Ok);
                set(config, value.map_err(|_| self.range())?);
            }
            Self::Bytes {
                min,
                max,
                auto,
                set,
            } => {
                let given = auto
                    .filter(|_| text == "auto")
                    .map(|auto| auto().clamp(*min, *max));
                let value = given
                    .or_else(|| bytes(text))
                    .filter(|value| (*min..=*max).contains(value));
                set(config, value.ok_or_else(|| self.range())?);
            }
            Self::Choice { words, set } => set(config, one_of(words, text)?),
            Self::Switch { set } => match text {
                "true" | "1" => set(config, true),
                "false" | "0" => set(config, false),
                _ => return Err(self.range()),
            },
            Self::Address { set } => {
                let address = text.replace("localhost:", "127.0.0.1:").parse();
                set(config, address.map_err(|_| self.range())?);
            }
        }
        Ok(())
    }

    /// What may be said, in words.
    pub fn range(&self) -> String {
        let auto_text = |auto: &Option<fn() -> u64>| if auto.is_some() { ", or auto" } else { "" };
        match self {
            Self::Path { .. } => "a path".to_owned(),
            Self::PathOrNone { .. } => "a path, or empty for none".to_owned(),
            Self::Integer { min, max, auto, .. } => {
                format!("a whole number from {min} to {max}{}", auto_text(auto))
            }
            Self::Bytes { min, max, auto, .. } => {
                format!(
                    "{} to {} (512MiB, 2GiB, ...){}",
                    show_bytes(*min),
                    show_bytes(*max),
                    auto_text(auto)
                )
            }
            Self::Choice { words, .. } => words.join(" or "),
            Self::Switch { .. } => "true or false".to_owned(),
            Self::Address { .. } => "an IP address and port, like 127.0.0.1:7400".to_owned(),
        }
    }
}

impl Field {
    /// The default as it is written in TOML.
    pub(crate) fn default_toml(&self) -> String {
        let bare = match self.kind {
            Kind::Integer { .. } | Kind::Bytes { .. } => integer(self.default, 0, u64::MAX).is_ok(),
            Kind::Switch { .. } => true,
            Kind::Path { .. }
            | Kind::PathOrNone { .. }
            | Kind::Choice { .. }
            | Kind::Address { .. } => false,
        };
        if bare {
            self.default.to_owned()
        } else {
            format!("\"{}\"", self.default)
        }
    }
}

fn integer(text: &str, min: u64, max: u64) -> Result<u64, String> {
    parse_decimal(text.as_bytes())
        .filter(|value| (min..=max).contains(value))
        .ok_or_else(|| format!("a whole number from {min} to {max}"))
}

fn one_of<'a>(words: &[&'a str], text: &str) -> Result<&'a str, String> {
    words
        .iter()
        .copied()
        .find(|word| *word == text)
        .ok_or_else(|| words.join(" or "))
}

const UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// Reads a number of bytes: digits, then nothing or a unit.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    for (unit, factor) in UNITS {
        if let Some(number) = text.strip_suffix(unit) {
            return parse_decimal(number.trim_end().as_bytes())?.checked_mul(factor);
        }
    }
    parse_decimal(text.as_bytes())
}

/// A number of bytes in the largest unit that divides it.
pub(crate) fn show_bytes(value: u64) -> String {
    let unit = UNITS
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    unit.map_or_else(
        || value.to_string(),
        |(unit, factor)| format!("{}{unit}", value / factor),
    )
}

/// The flag layer of a data directory named on the command line.
pub fn data_dir_flag(data_dir: Option<&Path>) -> Layer {
    data_dir
        .map(|path| Entry {
            key: "data_dir".to_owned(),
            text: path.to_string_lossy().into_owned(),
            origin: Origin::Flag("data-dir".to_owned()),
        })
        .into_iter()
        .collect()
}
