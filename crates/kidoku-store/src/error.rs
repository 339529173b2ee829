//! What can go wrong with a store.

use crate::key::{self, Key};
use kidoku_core::damaged::Damaged;
use kidoku_core::fact::Partition;
use kidoku_core::fact::codec::DecodeError;
use kidoku_core::id::{App, ChannelKey};
use std::{fmt, io};

/// How much can not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One row.
    Row,
    /// Rows up to this key may be missing.
    UpTo(Vec<u8>),
    /// It is not known where the next row is that can be read.
    Unknown,
}

/// Why a store did not do what was asked.
#[derive(Debug)]
pub enum StoreError {
    /// The engine below failed: disk full, disk failing, files missing.
    Engine(fjall::Error),
    /// A key or value is damaged, or was written by something else.
    Corrupt {
        /// The key, or the one from which on nothing can be read.
        key: Vec<u8>,
        /// How far it goes.
        extent: Extent,
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
            extent: Extent::Row,
            reason,
        }
    }

    /// A stretch of rows that can not be read.
    pub(crate) fn corrupt_from(from: &[u8], extent: Extent) -> Self {
        Self::Corrupt {
            key: from.to_vec(),
            extent,
            reason: DecodeError::Hash,
        }
    }

    /// What is damaged of whom, for a load about `subject`; `None` when it is another error.
    pub(crate) fn damaged(&self, subject: &Partition) -> Option<Damaged> {
        let Self::Corrupt { key, extent, .. } = self else {
            return None;
        };
        let named = match extent {
            Extent::Row => damaged_row(key),
            Extent::UpTo(_) | Extent::Unknown => None,
        };
        Some(named.unwrap_or_else(|| Damaged::some_rows(subject.clone())))
    }
}

/// What a key says of the row under it.
pub(crate) fn damaged_row(key: &[u8]) -> Option<Damaged> {
    match key::parse(key).ok()? {
        Key::Fact(key) => Damaged::of_key(&key).ok(),
        Key::Roster { app, channel, .. } => {
            let channel = ChannelKey::new(&App::new(app).ok()?, channel).ok()?;
            Some(Damaged {
                // Whose entry it is, is nobody's business who asks about the channel.
                row: Box::from("an entry of its roster"),
                ..Damaged::some_rows(Partition::Channel(channel))
            })
        }
    }
}

/// A place in the order of keys, in words.
pub(crate) fn place(key: &[u8]) -> String {
    let owner = key::owner_bytes(key);
    let mut parts = owner.split(|byte| *byte == 0);
    let (Some([space, app @ ..]), Some(name)) = (parts.next(), parts.next()) else {
        return key.escape_ascii().to_string();
    };
    let what = match space {
        b'u' => "user",
        b'c' => "channel",
        b'r' => "the roster of channel",
        _ => return key.escape_ascii().to_string(),
    };
    format!(
        "{what} {} of app {}",
        name.escape_ascii(),
        app.escape_ascii()
    )
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
            Self::Corrupt {
                key,
                extent,
                reason,
            } => match (extent, damaged_row(key)) {
                (Extent::Row, Some(damaged)) => {
                    write!(f, "app {}: {damaged}: {reason}", damaged.app())
                }
                (Extent::Row, None) => {
                    write!(f, "the row {} is damaged: {reason}", key.escape_ascii())
                }
                (Extent::UpTo(end), _) => {
                    let (from, end) = (place(key), place(end));
                    write!(f, "rows from {from} to {end} may be missing")
                }
                (Extent::Unknown, _) => {
                    write!(f, "rows from {} on can not be read", place(key))
                }
            },
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
