//! What a shard, or the parsing of its arguments, may refuse. Each error has one code word that is
//! the same in RESP and HTTP, and a text that names what, which, and the limit.

use crate::damaged::Damaged;
use crate::id::NameKind;
use crate::limits::{
    APP_BYTES_MAX, CHANNELS_PER_USER_MAX, CLOCK_AHEAD_MAX_MS, NAME_BYTES_MAX, ROLES_PER_USER_MAX,
};
use std::fmt;

/// The first word of every error: what the caller can react to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// An id or name breaks a rule.
    BadId,
    /// No valid key was given.
    NoAuth,
    /// The key or the channel's settings do not allow this.
    NoPerm,
    /// Something is larger or more than a limit.
    Limit,
    /// A queue is full: try again a little later.
    Busy,
    /// The disk is full or failing: writes are refused, reads go on.
    DiskFull,
    /// Another node owns this.
    Moved,
    /// The data is not there yet: try again.
    TryAgain,
    /// The command or body is not well formed.
    Syntax,
    /// A fault of the server.
    Internal,
}

impl Code {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadId => "BADID",
            Self::NoAuth => "NOAUTH",
            Self::NoPerm => "NOPERM",
            Self::Limit => "LIMIT",
            Self::Busy => "BUSY",
            Self::DiskFull => "DISKFULL",
            Self::Moved => "MOVED",
            Self::TryAgain => "TRYAGAIN",
            Self::Syntax => "SYNTAX",
            Self::Internal => "INTERNAL",
        }
    }
}

/// Why something was refused. Carries data; the text is made by `Display`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// An app name breaks its rule.
    BadApp,
    /// A name is empty.
    NameEmpty(NameKind),
    /// A name is over [`NAME_BYTES_MAX`].
    NameTooLong(NameKind),
    /// A name has a control character.
    NameControl(NameKind),
    /// A message id is not a decimal number from 1 to 2^63-1.
    BadMessageId,
    /// A snowflake id, era or clock is too far ahead of the server's clock.
    Ahead {
        /// What is ahead: `message id`, `era` or `clock`.
        what: &'static str,
        /// By how many milliseconds.
        by_ms: u64,
    },
    /// The user already has a read state in [`CHANNELS_PER_USER_MAX`] channels.
    TooManyChannels,
    /// The user already holds [`ROLES_PER_USER_MAX`] roles.
    TooManyRoles,
    /// The channel does not show what was asked: receipts are off, or only counted.
    ReceiptsHidden {
        /// The channel's setting: `OFF` or `COUNT`.
        setting: &'static str,
    },
    /// A channel can not be its own parent.
    OwnParent,
    /// A queue is full.
    Busy,
    /// The log can not be written.
    DiskFull,
    /// Reading from the store failed.
    Storage,
    /// What is stored of the user or channel asked about, or of one it needs, is damaged.
    Damaged(Box<Damaged>),
}

impl Error {
    /// The code word.
    pub fn code(&self) -> Code {
        match self {
            Self::BadApp
            | Self::NameEmpty(_)
            | Self::NameTooLong(_)
            | Self::NameControl(_)
            | Self::BadMessageId
            | Self::Ahead { .. }
            | Self::OwnParent => Code::BadId,
            Self::TooManyChannels | Self::TooManyRoles => Code::Limit,
            Self::ReceiptsHidden { .. } => Code::NoPerm,
            Self::Busy => Code::Busy,
            Self::DiskFull => Code::DiskFull,
            Self::Storage | Self::Damaged(_) => Code::Internal,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadApp => write!(
                f,
                "an app is 1 to {APP_BYTES_MAX} bytes of a-z, 0-9 and '-'"
            ),
            Self::NameEmpty(kind) => {
                write!(
                    f,
                    "{} is empty, it takes 1 to {NAME_BYTES_MAX} bytes",
                    kind.as_str()
                )
            }
            Self::NameTooLong(kind) => {
                write!(f, "{} is longer than {NAME_BYTES_MAX} bytes", kind.as_str())
            }
            Self::NameControl(kind) => {
                write!(
                    f,
                    "{} has a control character, none is allowed",
                    kind.as_str()
                )
            }
            Self::BadMessageId => {
                f.write_str("a message id is a whole number from 1 to 9223372036854775807")
            }
            Self::Ahead { what, by_ms } => write!(
                f,
                "{what} is {by_ms} ms ahead of the server's clock, at most {CLOCK_AHEAD_MAX_MS} ms \
                 is allowed"
            ),
            Self::TooManyChannels => {
                write!(
                    f,
                    "the user has a read state in {CHANNELS_PER_USER_MAX} channels, the most"
                )
            }
            Self::TooManyRoles => write!(f, "the user holds {ROLES_PER_USER_MAX} roles, the most"),
            Self::ReceiptsHidden { setting } => write!(
                f,
                "receipts of this channel are set to {setting}, change it with KD.CHANNEL RECEIPTS"
            ),
            Self::OwnParent => f.write_str("a channel can not be its own parent"),
            Self::Busy => f.write_str("too much work is waiting, retry after 100 ms"),
            Self::DiskFull => f.write_str("the disk takes no writes, see the server's /readyz"),
            Self::Storage => {
                f.write_str("what is stored of this can not be read, see the server's /readyz")
            }
            Self::Damaged(damaged) => write!(
                f,
                "{damaged}, so no number can be made of it: stop the server and run 'kidoku check \
                 --repair', which lists what is lost, and with --apply goes on without it"
            ),
        }
    }
}

impl std::error::Error for Error {}
