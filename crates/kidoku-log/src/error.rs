//! What can go wrong with a log.

use crate::Lsn;
use crate::format::{FORMAT_VERSION, GROUP_BYTES_MAX, RECORD_BYTES_MAX};
use std::{fmt, io};

/// Why a group of records is not one. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupError {
    /// A length runs past the end of the bytes.
    CutShort,
    /// A record is empty or longer than [`RECORD_BYTES_MAX`].
    RecordLength(u32),
    /// The bytes hold another number of records than said.
    Count {
        /// What the caller said.
        said: u64,
        /// What there is.
        found: u64,
    },
    /// There is no record.
    Empty,
    /// All records together are longer than [`GROUP_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutShort => f.write_str("the length of a log record runs past the group's end"),
            Self::RecordLength(length) => {
                write!(
                    f,
                    "a log record of {length} bytes, it takes 1 to {RECORD_BYTES_MAX}"
                )
            }
            Self::Count { said, found } => {
                write!(f, "a group said to hold {said} log records holds {found}")
            }
            Self::Empty => f.write_str("a group without log records"),
            Self::TooLong => {
                write!(
                    f,
                    "a group of log records is longer than {GROUP_BYTES_MAX} bytes"
                )
            }
        }
    }
}

impl std::error::Error for GroupError {}

/// What can go wrong with a log.
#[derive(Debug)]
pub enum LogError {
    /// The disk refused something.
    Io(io::Error),
    /// A segment, whole by its checksum, is of another format version.
    Version {
        /// The first lsn of the segment, which is also its name.
        segment: Lsn,
        /// Its version.
        found: u32,
    },
    /// A write or sync failed before; nothing is written until [`crate::Log::reopen`].
    Poisoned,
    /// The caller's records are not well formed.
    Group(GroupError),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "log: {error}"),
            Self::Version { segment, found } => write!(
                f,
                "log segment {} has format version {found}, this program reads {FORMAT_VERSION}",
                segment.0
            ),
            Self::Poisoned => f.write_str("log: a write failed before and it is not open again"),
            Self::Group(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Group(error) => Some(error),
            Self::Version { .. } | Self::Poisoned => None,
        }
    }
}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<GroupError> for LogError {
    fn from(error: GroupError) -> Self {
        Self::Group(error)
    }
}

impl From<LogError> for io::Error {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io(error) => error,
            LogError::Group(_) => Self::new(io::ErrorKind::InvalidInput, error),
            LogError::Version { .. } => Self::new(io::ErrorKind::InvalidData, error),
            LogError::Poisoned => Self::other(error),
        }
    }
}
