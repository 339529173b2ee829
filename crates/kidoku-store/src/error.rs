//! What can go wrong with a store.

use kidoku_core::fact::codec::DecodeError;
use std::{fmt, io};

/// Why a store did not do what was asked.
#[derive(Debug)]
pub enum StoreError {
    /// The engine below failed: disk full, disk failing, files missing.
    Engine(fjall::Error),
    /// A key or value is damaged, or was written by something else.
    Corrupt {
        /// The key, or the one from which on nothing can be read.
        key: Vec<u8>,
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
    /// A file beside the store can't be read or written.
    Io(io::Error),
    /// The checkpoint is closed or closing.
    Closed,
}

impl StoreError {
    /// A damaged row.
    pub(crate) fn corrupt(key: &[u8], reason: DecodeError) -> Self {
        Self::Corrupt {
            key: key.to_vec(),
            reason,
        }
    }
}

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(f, "the embedded store failed: {error}"),
            Self::Corrupt { key, reason } => {
                write!(f, "the row {} is damaged: {reason}", key.escape_ascii())
            }
            Self::Format { found } => write!(
                f,
                "the store has the format {found}, this version reads {}",
                crate::embedded::FORMAT_VERSION
            ),
            Self::NotReopened => {
                f.write_str("the embedded store failed and could not be opened again yet")
            }
            Self::Io(error) => write!(f, "a file of the store: {error}"),
            Self::Closed => f.write_str("the checkpoint is closed"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine(error) => Some(error),
            Self::Corrupt { reason, .. } => Some(reason),
            Self::Io(error) => Some(error),
            Self::Format { .. } | Self::NotReopened | Self::Closed => None,
        }
    }
}
