//! What can be wrong with a configuration, said so that it can be put right at once.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The built-in default.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable of the environment: its name.
    Environment(String),
    /// A command line flag: its name without the dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// Why a configuration is refused. `Display` names the place, the key and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A file can not be read.
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A file is not TOML.
    NotToml {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// There is no such setting.
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key as written.
        key: String,
        /// The known key that is most like it.
        nearest: String,
    },
    /// A value is of the wrong kind or out of range.
    BadValue {
        /// Where it stands.
        origin: Origin,
        /// Which setting.
        key: String,
        /// The value as written.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// Two settings do not go together.
    Conflict(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => {
                write!(f, "{}: can not be read: {reason}", path.display())
            }
            Self::NotToml { path, reason } => {
                write!(
                    f,
                    "{}: not valid TOML: {}",
                    path.display(),
                    reason.trim_end()
                )
            }
            Self::UnknownKey {
                origin,
                key,
                nearest,
            } => {
                write!(
                    f,
                    "{origin}: unknown key '{key}', did you mean '{nearest}'?"
                )
            }
            Self::BadValue {
                origin,
                key,
                value,
                expected,
            } => {
                write!(f, "{origin}: {key} = '{value}': expected {expected}")
            }
            Self::Conflict(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ConfigError {}
