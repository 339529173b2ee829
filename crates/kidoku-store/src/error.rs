//! What can go wrong with a store.

use kidoku_core::fact::codec::DecodeError;
use std::fmt;

/// Why a store did not do what was asked.
#[derive(Debug)]
pub enum StoreError {
    /// The engine below failed: disk full, disk failing, files missing.
    Engine(fjall::Error),
    /// A key or value is damaged, or was written by something else.
    Corrupt {
        /// The key, escaped.
        key: String,
        /// What is wrong with it.
        reason: DecodeError,
    },
    /// The store was written by another version of Kidoku.
    Format {
        /// The version found, escaped.
        found: String,
    },
    /// The embedded store was closed after a failure and could not be opened again yet.
    NotReopened,
    /// The checkpoint is closed or closing.
    Closed,
}

impl StoreError {
    /// A damaged row.
    pub(crate) fn corrupt(key: &[u8], reason: DecodeError) -> Self {
        Self::Corrupt {
            key: key.escape_ascii().to_string(),
            reason,
        }
    }
}

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(f, "the embedded store failed: {error}"),
            Self::Corrupt { key, reason } => write!(f, "the row {key} is damaged: {reason}"),
            Self::Format { found } => write!(
                f,
                "the store has the format {found}, this version reads {}",
                crate::embedded::FORMAT_VERSION
            ),
            Self::NotReopened => {
                f.write_str("the embedded store failed and could not be opened again yet")
            }
            Self::Closed => f.write_str("the checkpoint is closed"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine(error) => Some(error),
            Self::Corrupt { reason, .. } => Some(reason),
            Self::Format { .. } | Self::NotReopened | Self::Closed => None,
        }
    }
}
